//! Copying a revision out of a repository on this machine, in process.
//!
//! Objects are copied bottom up, so that a tree in the mirror is always whole and what is there already is skipped. No
//! program is started, and the repository's own configuration has NO say: see docs/decisions.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::hash;
use gix::objs::{self, Exists, Find, FindHeader, TreeRefIter, Write};

use super::error::SourceError;
use super::mirror::{MAX_OBJECT_BYTES, Mirror, OBJECT_LIMIT, git_store_error};
use super::remote::{Reference, Remote};

/// The deepest folder that is copied.
const MAX_DEPTH: usize = 256;

/// The mirror that objects are copied into.
struct Target<'a> {
    objects: gix::odb::store::Handle<Arc<gix::odb::Store>>,
    mirror: &'a Mirror,
    /// What was not there before this copy.
    written: RefCell<Vec<gix::ObjectId>>,
}

/// Reads a repository on this machine.
pub(super) struct LocalRepository<'a> {
    remote: &'a Remote,
    repository: gix::Repository,
    interrupt: &'a AtomicBool,
}

impl<'a> LocalRepository<'a> {
    /// Opens the repository that the `file://` URL names, bare or with a work tree.
    ///
    /// # Errors
    ///
    /// Fails when there is none that can be read.
    pub(super) fn open(remote: &'a Remote, interrupt: &'a AtomicBool) -> Result<Self, SourceError> {
        let unreadable = || SourceError::LocalUnreadable { url: remote.url.clone() };
        let path = remote.url.local_path().ok_or_else(unreadable)?;
        let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced).config_overrides([OBJECT_LIMIT]);
        match gix::open_opts(&path, options) {
            Ok(repository) => Ok(Self { remote, repository, interrupt }),
            Err(_) if path.exists() => Err(unreadable()),
            Err(_) => Err(SourceError::RepositoryNotFound { url: remote.url.clone() }),
        }
    }

    pub(super) fn hash(&self) -> hash::Kind {
        self.repository.object_hash()
    }

    /// Finds the commit that the reference leads to.
    ///
    /// # Errors
    ///
    /// Fails when the repository is empty or does not have it.
    pub(super) fn tip(&self) -> Result<gix::ObjectId, SourceError> {
        match self.remote.reference.full_name() {
            Some(name) => self.tip_of(&name),
            None => self.exact_commit(),
        }
    }

    fn tip_of(&self, name: &str) -> Result<gix::ObjectId, SourceError> {
        let found = self.repository.try_find_reference(name).map_err(|_| self.unreadable())?;
        let Some(mut reference) = found else {
            return Err(if self.is_empty() { self.empty() } else { self.not_found() });
        };
        let id = reference.peel_to_id().map_err(|_| self.unreadable())?;
        Ok(id.detach())
    }

    fn exact_commit(&self) -> Result<gix::ObjectId, SourceError> {
        match &self.remote.reference {
            Reference::Commit(id) if self.repository.objects.exists(&id.0) => Ok(id.0),
            _ => Err(self.not_found()),
        }
    }

    fn is_empty(&self) -> bool {
        let Ok(platform) = self.repository.references() else {
            return false;
        };
        platform.all().is_ok_and(|mut all| all.next().is_none())
    }

    /// Copies a commit and everything that it holds. A copy that fails leaves nothing behind: on a full disk, what it wrote would be
    /// in the way of the next one, which may need less.
    ///
    /// # Errors
    ///
    /// Fails when an object is missing or damaged, or the target cannot be written.
    pub(super) fn copy_commit(&self, id: &hash::oid, mirror: &Mirror) -> Result<(), SourceError> {
        let commit = self.read(id, objs::Kind::Commit)?;
        let tree = objs::CommitRefIter::from_bytes(&commit, id.kind()).tree_id().map_err(|_| self.unreadable())?;
        let target = Target { objects: mirror.handle(), mirror, written: RefCell::default() };
        let copied =
            self.copy_tree(&tree, &target, 0).and_then(|()| self.write(id, objs::Kind::Commit, &commit, &target));
        copied.inspect_err(|_| mirror.remove_loose(&target.written.borrow()))
    }

    fn copy_tree(&self, id: &hash::oid, target: &Target<'_>, depth: usize) -> Result<(), SourceError> {
        if target.objects.exists(id) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(self.unreadable());
        }
        let tree = self.read(id, objs::Kind::Tree)?;
        for entry in TreeRefIter::from_bytes(&tree, id.kind()) {
            let entry = entry.map_err(|_| self.unreadable())?;
            match entry.mode.kind() {
                objs::tree::EntryKind::Tree => self.copy_tree(entry.oid, target, depth + 1)?,
                objs::tree::EntryKind::Commit => {}
                _ => self.copy_blob(entry.oid, target)?,
            }
        }
        self.write(id, objs::Kind::Tree, &tree, target)
    }

    fn copy_blob(&self, id: &hash::oid, target: &Target<'_>) -> Result<(), SourceError> {
        if target.objects.exists(id) {
            return Ok(());
        }
        let blob = self.read(id, objs::Kind::Blob)?;
        self.write(id, objs::Kind::Blob, &blob, target)
    }

    fn read(&self, id: &hash::oid, kind: objs::Kind) -> Result<Vec<u8>, SourceError> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(SourceError::TimedOut { url: self.remote.url.clone(), timeout: self.remote.timeout });
        }
        let header = self.repository.objects.try_header(id).map_err(|_| self.unreadable())?;
        if header.is_some_and(|header| header.size > MAX_OBJECT_BYTES) {
            return Err(SourceError::ObjectTooLarge { url: self.remote.url.clone(), limit: MAX_OBJECT_BYTES });
        }
        let mut bytes = Vec::new();
        let found = self.repository.objects.try_find(id, &mut bytes).map_err(|_| self.unreadable())?;
        let object = found.ok_or_else(|| self.unreadable())?;
        if object.kind != kind {
            return Err(self.not_a_commit());
        }
        object.verify_checksum(id).map_err(|_| self.unreadable())?;
        Ok(bytes)
    }

    fn write(&self, id: &hash::oid, kind: objs::Kind, bytes: &[u8], target: &Target<'_>) -> Result<(), SourceError> {
        let written = target.objects.write_buf(kind, bytes);
        let written = written.map_err(|error| git_store_error(target.mirror.path(), &error))?;
        target.written.borrow_mut().push(written);
        if *written == *id { Ok(()) } else { Err(self.unreadable()) }
    }

    fn unreadable(&self) -> SourceError {
        SourceError::LocalUnreadable { url: self.remote.url.clone() }
    }

    fn empty(&self) -> SourceError {
        SourceError::Empty { url: self.remote.url.clone() }
    }

    fn not_found(&self) -> SourceError {
        SourceError::ReferenceNotFound { url: self.remote.url.clone(), reference: self.remote.reference.clone() }
    }

    fn not_a_commit(&self) -> SourceError {
        SourceError::NotACommit { url: self.remote.url.clone(), reference: self.remote.reference.clone() }
    }
}
