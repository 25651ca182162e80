//! Keeps mirrors of repositories on disk, one for each URL, and hands out trees of their revisions.
//!
//! All sources of one URL share its mirror, but only after the server has let each of them in with its own credentials:
//! what one source may read, another doesn't get for naming the same URL, nor for knowing the id of a commit. Fetches of one URL take turns. The store is a
//! cache: whatever is damaged or half-written is thrown away and fetched again. It does NOT find out which sources are
//! gone, but removes what they leave when it is told ([`Store::retain`]).

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::error::{SourceError, store_error};
use super::job::Job;
use super::remote::{Reference, Remote};
use super::revision::Revision;
use super::shelf::{Shelf, private_directory};
use super::tree::Tree;
use super::url::RemoteUrl;

/// Says where the store is and what it accepts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory, which is created if it is not there. No other process may use it.
    pub directory: PathBuf,
    /// The largest file in bytes that a [`Tree`] reads.
    pub max_file_bytes: u64,
    /// The most bytes that one fetch receives.
    pub max_fetch_bytes: u64,
    /// The longest that a fetch may take, whatever was asked for: a server that dawdles holds a worker for no longer.
    pub max_timeout: Duration,
    /// After how many fetches a mirror is made anew, since each adds a pack.
    pub max_fetches: usize,
}

impl Settings {
    /// Returns the settings for `directory` with files up to 16 MiB, fetches up to 1 GiB and ten minutes, and a new
    /// mirror after 32 fetches.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_file_bytes: 16 << 20,
            max_fetch_bytes: 1 << 30,
            max_timeout: Duration::from_secs(10 * 60),
            max_fetches: 32,
        }
    }
}

/// The shelf of one URL; it is opened by whoever needs it first, on a thread that may block.
pub(super) type Place = Arc<AsyncMutex<Option<Shelf>>>;

/// Fetches revisions and keeps them on disk.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// By their folders.
    places: Mutex<HashMap<PathBuf, Place>>,
    _lock: File,
}

/// Holds what a fetch came to.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What was asked for and what it is now.
    pub revision: Revision,
    /// The files.
    pub tree: Arc<Tree>,
    /// Whether it is another commit than the one that was held before.
    pub changed: bool,
}

impl Store {
    /// Opens the store, and creates it if need be, readable by this user alone.
    ///
    /// # Errors
    ///
    /// Fails when the directory cannot be used or another process uses it.
    pub fn open(settings: Settings) -> Result<Self, SourceError> {
        let path = settings.directory.clone();
        private_directory(&path)?;
        let lock = File::create(path.join("lock")).map_err(|source| store_error(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SourceError::StoreInUse { path }),
            Err(TryLockError::Error(source)) => return Err(store_error(&path, source)),
        }
        Ok(Self(Arc::new(Inner { settings, places: Mutex::default(), _lock: lock })))
    }

    /// Fetches what `remote` names. `held` is the tree that the caller has from its last fetch of this source; it tells
    /// what is new, and an exact commit that is held already is not asked for again.
    ///
    /// # Errors
    ///
    /// Fails as [`SourceError`] says. Trees that were handed out before stay readable.
    pub async fn fetch(&self, remote: Arc<Remote>, held: Option<&Arc<Tree>>) -> Result<Fetched, SourceError> {
        if let Some(tree) = held.filter(|tree| self.is_exactly(tree, &remote)) {
            return Ok(fetched(&remote, Arc::clone(tree), held));
        }
        let timeout = remote.timeout.min(self.0.settings.max_timeout);
        let deadline = Instant::now() + timeout;
        let timed_out = || SourceError::TimedOut { url: remote.url.clone(), timeout };
        let folder = self.folder(&remote.url);
        let place = timeout_at(deadline.into(), self.place(&folder).lock_owned());
        let mut place = place.await.map_err(|_| timed_out())?;
        let interrupt = InterruptOnDrop::default();
        let job = Job {
            remote: Arc::clone(&remote),
            settings: self.0.settings.clone(),
            deadline,
            interrupt: Arc::clone(&interrupt.0),
            runtime: Handle::current(),
        };
        let done = spawn_blocking(move || job.run(shelf_in(&mut place, folder)?));
        let done = timeout_at(deadline.into(), done);
        let tree =
            done.await.map_err(|_| timed_out())?.map_err(|_| SourceError::Abandoned { url: remote.url.clone() })??;
        Ok(fetched(&remote, tree, held))
    }

    /// Returns what `holder` last fetched from `url`, by the name that it was fetched by, also in an earlier run, without
    /// asking the server. Nothing is returned to a holder that the server never let in, or when the mirror was made anew
    /// since.
    pub async fn stored(&self, url: &RemoteUrl, holder: &str) -> Option<Fetched> {
        let (folder, holder) = (self.folder(url), holder.to_owned());
        let mut place = self.place(&folder).lock_owned().await;
        let max_file_bytes = self.0.settings.max_file_bytes;
        let find = move || shelf_in(&mut place, folder).ok()?.stored(&holder, max_file_bytes);
        let (revision, tree) = spawn_blocking(find).await.ok().flatten()?;
        Some(Fetched { revision, tree, changed: false })
    }

    /// Tells whether `tree` is the commit that `remote` names, of the same repository.
    fn is_exactly(&self, tree: &Tree, remote: &Remote) -> bool {
        matches!(&remote.reference, Reference::Commit(id) if *id == tree.commit())
            && tree.is_in(&self.folder(&remote.url))
    }

    pub(super) fn place(&self, folder: &Path) -> Place {
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(folder.to_owned()).or_default())
    }

    /// Drops the places that have no shelf and that nobody is about to use.
    pub(super) fn forget_closed_places(&self) {
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| Arc::strong_count(place) > 1 || place.try_lock().is_ok_and(|shelf| shelf.is_some()));
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0.settings.directory
    }

    pub(super) fn folder(&self, url: &RemoteUrl) -> PathBuf {
        self.directory().join(hex::encode(Sha256::digest(url.as_str())))
    }
}

/// Opens the shelf if nobody did.
fn shelf_in(place: &mut OwnedMutexGuard<Option<Shelf>>, folder: PathBuf) -> Result<&mut Shelf, SourceError> {
    let shelf = match place.take() {
        Some(shelf) => shelf,
        None => Shelf::open(folder)?,
    };
    Ok(place.insert(shelf))
}

fn fetched(remote: &Remote, tree: Arc<Tree>, held: Option<&Arc<Tree>>) -> Fetched {
    let revision = remote.revision(&tree);
    let changed = held.map(|held| held.commit()) != Some(revision.commit);
    Fetched { revision, tree, changed }
}

/// Stops the blocking part of a fetch when nobody waits for it any more.
#[derive(Default)]
struct InterruptOnDrop(Arc<AtomicBool>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
