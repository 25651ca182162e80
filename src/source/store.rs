//! Keeps mirrors of repositories on disk, one for each URL, and hands out trees of their revisions.
//!
//! All sources of one URL share its mirror, but only after the server has let each of them in with its own credentials:
//! what one source may read, another doesn't get for naming the same URL. Fetches of one URL take turns. The store is a
//! cache: whatever is damaged or half-written is thrown away and fetched again. It does NOT remember which source wanted
//! what.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use gix::hash;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::timeout_at;

use super::error::{SourceError, store_error};
use super::fetch::{Answer, Conversation};
use super::http::{self, Session};
use super::local::LocalRepository;
use super::mirror::{Mirror, ObjectFault};
use super::remote::{Reference, Remote};
use super::revision::{CommitId, Revision};
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
    /// After how many fetches a mirror is made anew, since each adds a pack.
    pub max_fetches: usize,
}

impl Settings {
    /// Returns the settings for `directory` with files up to 16 MiB, fetches up to 1 GiB and a new mirror after 32
    /// fetches.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), max_file_bytes: 16 << 20, max_fetch_bytes: 1 << 30, max_fetches: 32 }
    }
}

/// Fetches revisions and keeps them on disk.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    settings: Settings,
    shelves: Mutex<HashMap<RemoteUrl, Arc<AsyncMutex<Shelf>>>>,
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
        Ok(Self(Arc::new(Inner { settings, shelves: Mutex::default(), _lock: lock })))
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
        let deadline = Instant::now() + remote.timeout;
        let timed_out = || SourceError::TimedOut { url: remote.url.clone(), timeout: remote.timeout };
        let shelf = timeout_at(deadline.into(), self.shelf(&remote.url)?.lock_owned());
        let shelf = shelf.await.map_err(|_| timed_out())?;
        let interrupt = InterruptOnDrop::default();
        let job = Job {
            remote: Arc::clone(&remote),
            settings: self.0.settings.clone(),
            deadline,
            interrupt: Arc::clone(&interrupt.0),
            runtime: Handle::current(),
        };
        let done = timeout_at(deadline.into(), tokio::task::spawn_blocking(move || job.run(shelf)));
        let tree =
            done.await.map_err(|_| timed_out())?.map_err(|_| SourceError::Abandoned { url: remote.url.clone() })??;
        Ok(fetched(&remote, tree, held))
    }

    /// Tells whether `tree` is the commit that `remote` names, of the same repository.
    fn is_exactly(&self, tree: &Tree, remote: &Remote) -> bool {
        matches!(&remote.reference, Reference::Commit(id) if *id == tree.commit())
            && tree.is_in(&self.folder(&remote.url))
    }

    fn shelf(&self, url: &RemoteUrl) -> Result<Arc<AsyncMutex<Shelf>>, SourceError> {
        let mut shelves = self.0.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = shelves.get(url) {
            return Ok(Arc::clone(shelf));
        }
        let shelf = Arc::new(AsyncMutex::new(Shelf::open(self.folder(url))?));
        shelves.insert(url.clone(), Arc::clone(&shelf));
        Ok(shelf)
    }

    fn folder(&self, url: &RemoteUrl) -> PathBuf {
        self.0.settings.directory.join(hex::encode(Sha256::digest(url.as_str())))
    }
}

fn fetched(remote: &Remote, tree: Arc<Tree>, held: Option<&Arc<Tree>>) -> Fetched {
    let revision = Revision { reference: remote.reference.clone(), commit: tree.commit() };
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

/// The place of one URL in the store: a folder with one mirror, which is named by a number that only grows.
struct Shelf {
    folder: PathBuf,
    next: u64,
    mirror: Option<Arc<Mirror>>,
    trees: HashMap<CommitId, Weak<Tree>>,
}

impl Shelf {
    /// Takes over the latest mirror that an earlier run finished, and removes everything else.
    fn open(folder: PathBuf) -> Result<Self, SourceError> {
        private_directory(&folder)?;
        let failed = |source| store_error(&folder, source);
        let mut latest: Option<u64> = None;
        let names: Vec<_> = fs::read_dir(&folder).and_then(Iterator::collect).map_err(failed)?;
        let numbers = names.iter().filter_map(|entry: &fs::DirEntry| entry.file_name().to_str()?.parse::<u64>().ok());
        latest = latest.max(numbers.max());
        let mirror = latest.and_then(|number| Mirror::open(&folder.join(number.to_string())).ok());
        for entry in names {
            let kept = mirror.as_ref().is_some_and(|mirror| mirror.path() == entry.path());
            if !kept {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        let next = latest.map_or(0, |number| number + 1);
        Ok(Self { folder, next, mirror: mirror.map(Arc::new), trees: HashMap::new() })
    }

    /// Fills a new mirror and puts it in place of the old one, which goes when its last tree does.
    fn replace<T>(
        &mut self,
        hash: hash::Kind,
        fill: impl FnOnce(&Mirror) -> Result<Filled<T>, SourceError>,
    ) -> Result<Filled<T>, SourceError> {
        let unfinished = self.folder.join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|source| store_error(&unfinished, source))?;
        }
        Mirror::create(&unfinished, hash)?;
        let filled = match fill(&Mirror::open(&unfinished)?)? {
            Filled::Done(value) => value,
            other => return Ok(other),
        };
        let path = self.folder.join(self.next.to_string());
        fs::rename(&unfinished, &path).map_err(|source| store_error(&path, source))?;
        self.next += 1;
        if let Some(old) = self.mirror.replace(Arc::new(Mirror::open(&path)?)) {
            old.retire();
        }
        self.trees.clear();
        Ok(Filled::Done(filled))
    }
}

/// What came of filling a mirror.
enum Filled<T> {
    Done(T),
    OtherHash(hash::Kind),
    NotReceived(SourceError),
}

/// The blocking part of one fetch.
struct Job {
    remote: Arc<Remote>,
    settings: Settings,
    deadline: Instant,
    interrupt: Arc<AtomicBool>,
    runtime: Handle,
}

impl Job {
    fn run(self, mut shelf: OwnedMutexGuard<Shelf>) -> Result<Arc<Tree>, SourceError> {
        match self.attempt(&mut shelf) {
            Err(SourceError::StoreDamaged { path, .. }) => {
                tracing::warn!(path = %path.display(), "a mirror is damaged and is fetched anew");
                self.attempt(&mut shelf)
            }
            done => done,
        }
    }

    fn attempt(&self, shelf: &mut Shelf) -> Result<Arc<Tree>, SourceError> {
        let commit = match self.remote.url.local_path() {
            Some(_) => self.copy(shelf)?,
            None => self.converse(shelf)?,
        };
        self.tree(shelf, commit)
    }

    fn copy(&self, shelf: &mut Shelf) -> Result<gix::ObjectId, SourceError> {
        if !self.remote.credentials.login.is_anonymous() {
            return Err(SourceError::CredentialsNotUsable { url: self.remote.url.clone() });
        }
        let local = LocalRepository::open(&self.remote, &self.interrupt)?;
        let commit = local.tip()?;
        match self.usable_mirror(shelf).filter(|mirror| mirror.hash() == local.hash()) {
            Some(mirror) if mirror.has(&commit) => {}
            Some(mirror) => {
                mirror.count_fetch();
                local.copy_commit(&commit, &mirror)?;
            }
            None => {
                shelf.replace(local.hash(), |mirror| local.copy_commit(&commit, mirror).map(Filled::Done))?;
            }
        }
        Ok(commit)
    }

    fn converse(&self, shelf: &mut Shelf) -> Result<gix::ObjectId, SourceError> {
        let session = Arc::new(self.session()?);
        let conversation = Conversation {
            remote: &self.remote,
            session,
            interrupt: &self.interrupt,
            limit: self.settings.max_fetch_bytes,
        };
        if let Some(mirror) = self.usable_mirror(shelf)
            && let Filled::Done(commit) = fill(&conversation, &mirror)?
        {
            return Ok(commit);
        }
        let mut hash = hash::Kind::Sha1;
        loop {
            match shelf.replace(hash, |mirror| fill(&conversation, mirror))? {
                Filled::Done(commit) => return Ok(commit),
                Filled::OtherHash(other) if other != hash => hash = other,
                Filled::NotReceived(error) => return Err(error),
                Filled::OtherHash(_) => return Err(SourceError::Protocol { url: self.remote.url.clone() }),
            }
        }
    }

    fn usable_mirror(&self, shelf: &Shelf) -> Option<Arc<Mirror>> {
        shelf.mirror.clone().filter(|mirror| !mirror.is_worn(self.settings.max_fetches))
    }

    fn session(&self) -> Result<Session, SourceError> {
        let Remote { url, credentials, .. } = &*self.remote;
        if !credentials.login.is_anonymous() && !url.is_encrypted() {
            return Err(SourceError::CredentialsNotUsable { url: url.clone() });
        }
        let authorization = credentials
            .login
            .authorization()
            .map_err(|source| SourceError::CredentialsMalformed { url: url.clone(), source })?;
        let client =
            http::client(credentials.ca_pem.as_deref()).map_err(|_| SourceError::CaMalformed { url: url.clone() })?;
        Ok(Session {
            base: url.as_str().to_owned(),
            client,
            authorization,
            runtime: self.runtime.clone(),
            deadline: self.deadline,
            budget: Mutex::new(self.settings.max_fetch_bytes),
            fault: Mutex::default(),
        })
    }

    /// Returns the one tree of this commit that all sources share.
    fn tree(&self, shelf: &mut Shelf, commit: gix::ObjectId) -> Result<Arc<Tree>, SourceError> {
        shelf.trees.retain(|_, tree| tree.strong_count() > 0);
        if let Some(tree) = shelf.trees.get(&CommitId(commit)).and_then(Weak::upgrade) {
            return Ok(tree);
        }
        let damaged = |path: &Path| SourceError::StoreDamaged { url: self.remote.url.clone(), path: path.to_owned() };
        let mirror = shelf.mirror.clone().ok_or_else(|| damaged(&shelf.folder))?;
        let tree =
            Tree::new(Arc::clone(&mirror), commit, self.settings.max_file_bytes).map_err(|fault| match fault {
                ObjectFault::OtherKind | ObjectFault::TooLarge(_) => {
                    SourceError::NotACommit { url: self.remote.url.clone(), reference: self.remote.reference.clone() }
                }
                ObjectFault::Missing | ObjectFault::Damaged => damaged(mirror.path()),
            })?;
        let tree = Arc::new(tree);
        shelf.trees.insert(CommitId(commit), Arc::downgrade(&tree));
        Ok(tree)
    }
}

fn fill(conversation: &Conversation<'_>, mirror: &Mirror) -> Result<Filled<gix::ObjectId>, SourceError> {
    match conversation.fetch_into(mirror)? {
        Answer::OtherHash(hash) => Ok(Filled::OtherHash(hash)),
        Answer::NotReceived(error) => Ok(Filled::NotReceived(error)),
        Answer::Commit { id, received } => {
            if received {
                mirror.count_fetch();
            }
            Ok(Filled::Done(id))
        }
    }
}

fn private_directory(path: &Path) -> Result<(), SourceError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| store_error(path, source))
}
