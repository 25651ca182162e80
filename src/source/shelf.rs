//! The place of one URL in the store: a folder with one mirror, and notes of who fetched what.
//!
//! A mirror is filled under another name and then renamed to a number that only grows, so a killed process leaves either
//! a whole mirror or something that the next start throws away. It does NOT decide what to fetch.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use gix::hash;
use sha2::{Digest, Sha256};

use super::error::{SourceError, store_error};
use super::mirror::{Mirror, ObjectFault};
use super::note;
use super::revision::{CommitId, Revision};
use super::tree::Tree;

/// The mirror that is being filled.
const UNFINISHED: &str = "unfinished";
/// The folder of notes.
const HOLDERS: &str = "holders";

/// Everything that the store has of one URL.
pub(super) struct Shelf {
    folder: PathBuf,
    next: u64,
    mirror: Option<Arc<Mirror>>,
    trees: HashMap<CommitId, Weak<Tree>>,
}

/// What came of filling a mirror.
pub(super) enum Filled {
    /// It has this commit.
    Done(gix::ObjectId),
    /// The server hashes otherwise than the mirror.
    OtherHash(hash::Kind),
    /// The commit did not arrive, and the fault may be the server's or the mirror's.
    NotReceived(SourceError),
}

impl Shelf {
    /// Takes over the latest mirror that an earlier run finished, and removes all others.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be used.
    pub(super) fn open(folder: PathBuf) -> Result<Self, SourceError> {
        private_directory(&folder)?;
        let failed = |source| store_error(&folder, source);
        let names: Vec<fs::DirEntry> = fs::read_dir(&folder).and_then(Iterator::collect).map_err(failed)?;
        let latest = names.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max();
        let mirror = latest.and_then(|number| Mirror::open(&folder.join(number.to_string())).ok());
        for path in names.iter().map(fs::DirEntry::path) {
            let kept = path.ends_with(HOLDERS) || mirror.as_ref().is_some_and(|mirror| mirror.path() == path);
            if !kept {
                fs::remove_dir_all(path).map_err(failed)?;
            }
        }
        let next = latest.map_or(0, |number| number + 1);
        Ok(Self { folder, next, mirror: mirror.map(Arc::new), trees: HashMap::new() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the mirror, unless it is damaged or has taken `max_fetches`.
    pub(super) fn usable_mirror(&self, max_fetches: usize) -> Option<Arc<Mirror>> {
        self.mirror.clone().filter(|mirror| !mirror.is_worn(max_fetches))
    }

    /// Fills a new mirror and puts it in place of the old one, which goes when its last tree does.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written, or as `fill` does; then the old mirror stays.
    pub(super) fn replace(
        &mut self,
        hash: hash::Kind,
        fill: impl FnOnce(&Mirror) -> Result<Filled, SourceError>,
    ) -> Result<Filled, SourceError> {
        let filled = fill(&self.empty_mirror(hash)?)?;
        if matches!(filled, Filled::Done(_)) {
            self.put_in_place(&self.folder.join(UNFINISHED))?;
        }
        Ok(filled)
    }

    /// Fills a new mirror and throws it away: it shows what the server gives, and nothing else changes.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written, or as `fill` does.
    pub(super) fn try_out(
        &self,
        hash: hash::Kind,
        fill: impl FnOnce(&Mirror) -> Result<Filled, SourceError>,
    ) -> Result<Filled, SourceError> {
        let mirror = self.empty_mirror(hash)?;
        mirror.retire();
        fill(&mirror)
    }

    fn empty_mirror(&self, hash: hash::Kind) -> Result<Mirror, SourceError> {
        private_directory(&self.folder)?;
        let unfinished = self.folder.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|source| store_error(&unfinished, source))?;
        }
        Mirror::create(&unfinished, hash)?;
        Mirror::open(&unfinished)
    }

    fn put_in_place(&mut self, unfinished: &Path) -> Result<(), SourceError> {
        let path = self.folder.join(self.next.to_string());
        fs::rename(unfinished, &path).map_err(|source| store_error(&path, source))?;
        self.next += 1;
        if let Some(old) = self.mirror.replace(Arc::new(Mirror::open(&path)?)) {
            old.retire();
        }
        self.trees.clear();
        Ok(())
    }

    /// Returns the one tree of this commit that all sources share.
    ///
    /// # Errors
    ///
    /// Fails when there is no mirror, or it does not have the commit whole.
    pub(super) fn tree(&mut self, commit: CommitId, max_file_bytes: u64) -> Result<Arc<Tree>, ObjectFault> {
        self.trees.retain(|_, tree| tree.strong_count() > 0);
        if let Some(tree) = self.trees.get(&commit).and_then(Weak::upgrade) {
            return Ok(tree);
        }
        let mirror = self.mirror.clone().ok_or(ObjectFault::Missing)?;
        let tree = Arc::new(Tree::new(mirror, commit.0, max_file_bytes)?);
        self.trees.insert(commit, Arc::downgrade(&tree));
        Ok(tree)
    }

    /// Notes that the server let `holder` have this revision.
    ///
    /// # Errors
    ///
    /// Fails when the note cannot be written.
    pub(super) fn note(&self, holder: &str, revision: &Revision) -> Result<(), SourceError> {
        if self.noted(holder).as_ref() == Some(revision) {
            return Ok(());
        }
        let path = self.note_path(holder);
        let failed = |source| store_error(&path, source);
        private_directory(&self.folder.join(HOLDERS))?;
        let mut note = tempfile::NamedTempFile::new_in(self.folder.join(HOLDERS)).map_err(failed)?;
        note.write_all(note::print(revision).as_bytes()).map_err(failed)?;
        note.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Returns what `holder` fetched last, if the mirror still has it.
    pub(super) fn stored(&mut self, holder: &str, max_file_bytes: u64) -> Option<(Revision, Arc<Tree>)> {
        let revision = self.noted(holder)?;
        // A mirror that was made anew for another source is whole, though it lacks this commit.
        let has = self.mirror.as_ref().is_some_and(|mirror| mirror.has(&revision.commit.0));
        let tree = has.then(|| self.tree(revision.commit, max_file_bytes).ok()).flatten()?;
        Some((revision, tree))
    }

    /// Returns the revision that the server let `holder` have last.
    pub(super) fn noted(&self, holder: &str) -> Option<Revision> {
        note::parse(&fs::read_to_string(self.note_path(holder)).ok()?)
    }

    fn note_path(&self, holder: &str) -> PathBuf {
        self.folder.join(HOLDERS).join(note_name(holder))
    }

    /// Removes all notes, and with them everything else that no tree stands in. Tells whether the folder is gone.
    ///
    /// # Errors
    ///
    /// Fails when something can't be removed.
    pub(super) fn clear(&mut self) -> io::Result<bool> {
        remove_folder(&self.folder.join(HOLDERS))?;
        // New trees are made with the shelf at hand, so this count only falls.
        if self.mirror.as_ref().is_some_and(|mirror| Arc::strong_count(mirror) > 1) {
            return Ok(false);
        }
        if let Some(mirror) = self.mirror.take() {
            mirror.retire();
        }
        remove_folder(&self.folder.join(UNFINISHED))?;
        match fs::remove_dir(&self.folder) {
            // A mirror that was replaced goes with its last tree.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => gone(removed).map(|()| true),
        }
    }
}

/// Returns the name of the file that has the note of `holder`.
pub(super) fn note_name(holder: &str) -> String {
    hex::encode(Sha256::digest(holder))
}

/// Returns the names of all notes in the folder of a shelf, and of what else stands among them.
pub(super) fn notes_in(folder: &Path) -> HashSet<String> {
    let entries = fs::read_dir(folder.join(HOLDERS)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Removes the note of this name from the folder of a shelf.
///
/// # Errors
///
/// Fails when it can't be removed.
pub(super) fn remove_note(folder: &Path, name: &str) -> io::Result<()> {
    gone(fs::remove_file(folder.join(HOLDERS).join(name)))
}

fn remove_folder(path: &Path) -> io::Result<()> {
    gone(fs::remove_dir_all(path))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Creates a directory for this user alone, with those above it.
pub(super) fn private_directory(path: &Path) -> Result<(), SourceError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| store_error(path, source))
}
