//! Removes what no source names any more: mirrors of repositories, and notes of who fetched what.
//!
//! Nothing is removed while it is fetched or a tree of it is in use. It does NOT know which sources there are: it is told,
//! and asks again when it has a place for itself, since a source may have come in between.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::shelf::{Shelf, note_name, notes_in, remove_note};
use super::store::Store;
use super::url::RemoteUrl;

/// The notes of each place, by the folder of the place.
type Notes = HashMap<PathBuf, HashSet<String>>;

impl Store {
    /// Removes the mirrors of all URLs that nobody in `named` has, also those of earlier runs, and forgets what holders
    /// fetched that don't have its URL any more. Returns whether all of that is gone: what is being fetched or read stays
    /// until this is called again. What can't be removed is logged.
    ///
    /// `named` gives each holder with its URL. A holder must be there before it fetches.
    pub async fn retain(&self, named: impl Fn() -> Vec<(RemoteUrl, String)>) -> bool {
        let directory = self.directory().to_owned();
        let stored = spawn_blocking(move || notes_of_all(&directory)).await.unwrap_or_default();
        let kept = self.notes_of(named());
        let mut all_gone = true;
        for (folder, notes) in stored {
            if kept.get(&folder).is_none_or(|kept| !notes.is_subset(kept)) {
                all_gone &= self.sweep(folder, &named).await;
            }
        }
        self.forget_closed_places();
        all_gone
    }

    async fn sweep(&self, folder: PathBuf, named: impl Fn() -> Vec<(RemoteUrl, String)>) -> bool {
        let Ok(mut place) = self.place(&folder).try_lock_owned() else {
            return false;
        };
        // Who fetched by now was named before that, and who comes next waits for the place.
        let kept = self.notes_of(named()).remove(&folder);
        let sweep = move || {
            sweep_place(&mut place, &folder, kept.as_ref()).unwrap_or_else(|error| {
                tracing::warn!(path = %folder.display(), %error, "failed to remove what no source names any more");
                false
            })
        };
        spawn_blocking(sweep).await.unwrap_or(false)
    }

    fn notes_of(&self, named: Vec<(RemoteUrl, String)>) -> Notes {
        let mut notes = Notes::new();
        for (url, holder) in named {
            notes.entry(self.folder(&url)).or_default().insert(note_name(&holder));
        }
        notes
    }
}

/// Removes the notes that are not in `kept`, or, without any such list, everything. Tells whether it is gone.
fn sweep_place(place: &mut Option<Shelf>, folder: &Path, kept: Option<&HashSet<String>>) -> io::Result<bool> {
    if let Some(kept) = kept {
        notes_in(folder).difference(kept).try_for_each(|note| remove_note(folder, note))?;
        return Ok(true);
    }
    let all_gone = match place {
        Some(shelf) => shelf.clear()?,
        // It was not opened in this run, so nobody has a tree of it.
        None => fs::remove_dir_all(folder).map(|()| true)?,
    };
    if all_gone {
        *place = None;
    }
    Ok(all_gone)
}

fn notes_of_all(directory: &Path) -> Notes {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let folders = entries.filter(is_place).map(|entry| entry.path());
    folders.map(|folder| (folder.clone(), notes_in(&folder))).collect()
}

/// Tells the folder of a URL, which is named by a SHA-256, from whatever else stands in the directory of the store.
fn is_place(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let is_digest = name.len() == 64 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
    is_digest && entry.file_type().is_ok_and(|kind| kind.is_dir())
}
