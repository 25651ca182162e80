//! One bare repository in the store, and reading objects out of it.
//!
//! Every object is hashed again when it is read, so that damage on disk is found before anyone acts on it. A mirror lives
//! as long as the store or a tree uses it; once retired, its directory goes with the last user. It does NOT talk to servers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gix::hash;
use gix::objs::{self, Exists, FindHeader};
use gix::odb;

use super::error::{SourceError, store_error};
use super::tree::Objects;

/// The largest object in bytes that is received or copied. A pack of a few kilobytes may promise any size.
pub(super) const MAX_OBJECT_BYTES: u64 = 128 << 20;
/// The same for gix.
pub(super) const OBJECT_LIMIT: &str = "gitoxide.objects.allocLimit=134217728";
/// The most packs that one mirror can take; far more than it gets before it is made anew.
const PACK_SLOTS: u16 = 512;

/// A bare repository on disk.
pub(super) struct Mirror {
    path: PathBuf,
    objects: Arc<odb::Store>,
    fetches: AtomicUsize,
    damaged: AtomicBool,
    retired: AtomicBool,
}

/// Says why an object could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectFault {
    /// The store does not have it.
    Missing,
    /// What the store has is not what the id says.
    Damaged,
    /// It is another kind of object.
    OtherKind,
    /// It has this many bytes, which is more than was allowed.
    TooLarge(u64),
}

impl Mirror {
    /// Creates an empty repository at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// Fails when the directory cannot be written.
    pub(super) fn create(path: &Path, hash: hash::Kind) -> Result<(), SourceError> {
        let options = gix::create::Options { object_hash: Some(hash), ..Default::default() };
        gix::ThreadSafeRepository::init_opts(path, gix::create::Kind::Bare, options, gix::open::Options::isolated())
            .map_err(|error| git_store_error(path, &error))?;
        Ok(())
    }

    /// Opens the repository at `path`, and clears away what a killed process left in it.
    ///
    /// # Errors
    ///
    /// Fails when it is not a whole repository.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        remove_leftovers(path).map_err(|source| store_error(path, source))?;
        let repository = repository_at(path)?;
        let options = odb::store::init::Options {
            slots: odb::store::init::Slots::Given(PACK_SLOTS),
            alloc_limit_bytes: usize::try_from(MAX_OBJECT_BYTES).ok(),
            ..Default::default()
        };
        let directory = path.join("objects");
        let packs = count_packs(&directory);
        let objects = odb::Store::at_opts(directory, repository.object_hash(), &mut std::iter::empty(), options)
            .map_err(|source| store_error(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            objects: Arc::new(objects),
            fetches: AtomicUsize::new(packs),
            damaged: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        })
    }

    /// Opens the repository for fetching into it.
    ///
    /// # Errors
    ///
    /// Fails when it was damaged since it was opened.
    pub(super) fn repository(&self) -> Result<gix::Repository, SourceError> {
        repository_at(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn hash(&self) -> hash::Kind {
        self.objects.object_hash()
    }

    /// Returns a handle that reads and writes objects, for one thread.
    pub(super) fn handle(&self) -> odb::store::Handle<Arc<odb::Store>> {
        self.objects.to_handle_arc()
    }

    /// Tells whether the store has this object, as far as its index knows.
    pub(super) fn has(&self, id: &hash::oid) -> bool {
        self.handle().exists(id)
    }

    /// Counts one more fetch.
    pub(super) fn count_fetch(&self) {
        self.fetches.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells whether the next fetch should start anew: after damage, or `limit` fetches.
    pub(super) fn is_worn(&self, limit: usize) -> bool {
        self.damaged.load(Ordering::Relaxed) || self.fetches.load(Ordering::Relaxed) >= limit
    }

    /// Takes the mirror for damaged, so that the next fetch starts anew.
    pub(super) fn condemn(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Removes objects that stand in files of their own, and that nothing refers to. What can't be removed stays.
    pub(super) fn remove_loose(&self, ids: &[gix::ObjectId]) {
        for hex in ids.iter().map(ToString::to_string) {
            let (folder, name) = hex.split_at(2);
            // It is garbage at worst, until the mirror is made anew.
            let _ = fs::remove_file(self.path.join("objects").join(folder).join(name));
        }
    }

    /// Lets the directory be removed when nobody reads from it any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

impl Objects for Mirror {
    /// Remembers damage, so that the next fetch starts anew.
    fn read(&self, id: &hash::oid, kind: objs::Kind, limit: u64) -> Result<Vec<u8>, ObjectFault> {
        let read = read_checked(&self.handle(), id, kind, limit);
        let whole = match read {
            Ok(_) | Err(ObjectFault::TooLarge(_)) => true,
            // A reference may name anything, but a commit names trees and a tree says what it names.
            Err(ObjectFault::OtherKind) => kind == objs::Kind::Commit,
            Err(ObjectFault::Missing | ObjectFault::Damaged) => false,
        };
        if !whole {
            self.condemn();
        }
        read
    }
}

/// Reads an object and hashes it again.
///
/// # Errors
///
/// Fails as [`ObjectFault`] says.
pub(super) fn read_checked(
    objects: &odb::store::Handle<Arc<odb::Store>>,
    id: &hash::oid,
    kind: objs::Kind,
    limit: u64,
) -> Result<Vec<u8>, ObjectFault> {
    let header = objects.try_header(id).map_err(|_| ObjectFault::Damaged)?.ok_or(ObjectFault::Missing)?;
    if header.kind != kind {
        return Err(ObjectFault::OtherKind);
    }
    if header.size > limit {
        return Err(ObjectFault::TooLarge(header.size));
    }
    let mut bytes = Vec::new();
    let object = objs::Find::try_find(objects, id, &mut bytes).map_err(|_| ObjectFault::Damaged)?;
    let object = object.ok_or(ObjectFault::Missing)?;
    object.verify_checksum(id).map_err(|_| ObjectFault::Damaged)?;
    Ok(bytes)
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Relaxed)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "failed to remove a replaced mirror");
        }
    }
}

fn repository_at(path: &Path) -> Result<gix::Repository, SourceError> {
    let options = gix::open::Options::isolated()
        .open_path_as_is(true)
        .with(gix::sec::Trust::Full)
        .config_overrides([OBJECT_LIMIT]);
    gix::open_opts(path, options).map_err(|error| git_store_error(path, &error))
}

/// Finds the operating system's error in what gix says about the store.
pub(super) fn git_store_error(path: &Path, error: &gix::Error) -> SourceError {
    let kind = error.downcast_any_ref::<io::Error>().map_or(io::ErrorKind::InvalidData, io::Error::kind);
    store_error(path, kind.into())
}

/// Removes lock files and half-written packs. Nobody else uses the repository: the store holds a lock.
fn remove_leftovers(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_directory = entry.file_type()?.is_dir();
        if is_directory {
            remove_leftovers(&entry.path())?;
        } else if is_leftover(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_leftover(path: &Path) -> bool {
    let in_packs = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "pack");
    let is_pack = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"pack-"));
    path.extension().is_some_and(|extension| extension == "lock") || (in_packs && !is_pack)
}

fn count_packs(objects: &Path) -> usize {
    let names = fs::read_dir(objects.join("pack")).into_iter().flatten().flatten();
    names.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack")).count()
}
