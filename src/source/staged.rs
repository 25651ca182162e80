//! What is staged in a repository on this machine: the files as the next commit has them, not as they lie on the disk.
//!
//! For command lines only. Nothing is written, no program is started, and the repository's own configuration has no say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gix::hash::ObjectId;
use gix::index::entry::{Flags, Mode, Stage};
use gix::objs;

use super::checkout::{CheckoutError, LocalObjects};
use super::mirror::ObjectFault;
use super::path::RepoPath;
use super::tree::{LFS_LINE, Objects, TreeError};

/// The largest file in bytes that is read, as for revisions.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The files of an index.
pub struct Staged {
    root: PathBuf,
    objects: LocalObjects,
    files: BTreeMap<RepoPath, File>,
    links: BTreeSet<RepoPath>,
    /// What else the index has, or the last commit had.
    others: BTreeSet<RepoPath>,
}

struct File {
    id: ObjectId,
    /// Whether the last commit has it otherwise, or not at all.
    is_changed: bool,
}

impl Staged {
    /// Reads the index of the working tree that `folder` lies in, or another one in its place, as `GIT_INDEX_FILE` names it to hooks.
    /// Links are left out, other repositories inside, and files that are only announced (`git add --intent-to-add`).
    ///
    /// # Errors
    /// Fails where there is no repository, or it or its index can't be read.
    pub fn around(folder: &Path, index: Option<&Path>) -> Result<Self, CheckoutError> {
        let failed = |source| CheckoutError::Folder { path: folder.to_owned(), source };
        let folder = folder.canonicalize().map_err(failed)?;
        let root = folder.ancestors().find(|above| above.join(".git").exists());
        let root = root.ok_or_else(|| CheckoutError::NoRepository(folder.clone()))?;
        let refused = || CheckoutError::Repository(root.to_owned());
        let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced);
        let repository = gix::open_opts(root, options).map_err(|_| refused())?;
        let path = index.map_or_else(|| repository.index_path(), |index| root.join(index));
        let (kind, options) = (repository.object_hash(), gix::index::decode::Options::default());
        let index = gix::index::File::at_or_default(path, kind, false, options).map_err(|_| refused())?;
        let head = repository.head_tree_id_or_empty().map_err(|_| refused())?;
        let head = repository.index_from_tree(&head).map_err(|_| refused())?;
        let objects = LocalObjects::of(&repository).ok_or_else(refused)?;
        let files = files(&index, &head)?;
        let links = index.entries().iter().filter(|entry| entry.mode == Mode::SYMLINK);
        let links = links.filter(|entry| entry.stage() == Stage::Unconflicted);
        let links = links.filter_map(|entry| named(entry.path(&index))).collect();
        let of_index = index.entries().iter().filter_map(|entry| named(entry.path(&index)));
        let of_head = head.entries().iter().filter_map(|entry| named(entry.path(&head)));
        let others = of_index.chain(of_head).filter(|path| !files.contains_key(path)).collect();
        Ok(Self { root: root.to_owned(), objects, files, links, others })
    }

    /// Returns the folder on the disk that paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the files at or below `path` that the last commit has otherwise, or not at all, in the order of their paths.
    pub fn changed(&self, path: &RepoPath) -> Vec<RepoPath> {
        let changed = self.files.iter().filter(|(name, file)| file.is_changed && name.is_within(path));
        changed.map(|(name, _)| name.clone()).collect()
    }

    /// Returns all files, whether they are changed or not.
    pub fn all(&self) -> impl Iterator<Item = &RepoPath> {
        self.files.keys()
    }

    /// Returns the links of the index.
    pub fn links(&self) -> impl Iterator<Item = &RepoPath> {
        self.links.iter()
    }

    /// Tells whether the index has something at or below `path`, or the last commit had.
    pub fn knows(&self, path: &RepoPath) -> bool {
        self.files.keys().chain(&self.others).any(|name| name.is_within(path))
    }

    /// Returns the bytes of a file.
    ///
    /// # Errors
    /// Fails when it is not there, too large or a Git LFS pointer, or the repository lacks it.
    pub fn bytes(&self, path: &RepoPath) -> Result<Vec<u8>, TreeError> {
        let file = self.files.get(path).ok_or_else(|| TreeError::NotFound(path.clone()))?;
        let bytes = self.objects.read(&file.id, objs::Kind::Blob, MAX_FILE_BYTES).map_err(|fault| match fault {
            ObjectFault::TooLarge(size) => TreeError::TooLarge { path: path.clone(), size, limit: MAX_FILE_BYTES },
            _ => TreeError::Unreadable(path.clone()),
        })?;
        if bytes.starts_with(LFS_LINE) { Err(TreeError::LfsPointer(path.clone())) } else { Ok(bytes) }
    }
}

fn files(index: &gix::index::State, head: &gix::index::State) -> Result<BTreeMap<RepoPath, File>, CheckoutError> {
    let mut files = BTreeMap::new();
    for entry in index.entries() {
        let is_file = matches!(entry.mode, Mode::FILE | Mode::FILE_EXECUTABLE);
        if !is_file || entry.stage() != Stage::Unconflicted || entry.flags.contains(Flags::INTENT_TO_ADD) {
            continue;
        }
        let name = entry.path(index);
        let path = named(name);
        let refused = || TreeError::Name { folder: RepoPath::root(), name: format!("{name:?}") };
        let before = head.entry_by_path(name);
        let is_changed = before.is_none_or(|before| (before.id, before.mode) != (entry.id, entry.mode));
        files.insert(path.ok_or_else(refused)?, File { id: entry.id, is_changed });
    }
    Ok(files)
}

fn named(name: &[u8]) -> Option<RepoPath> {
    std::str::from_utf8(name).ok().and_then(|name| RepoPath::parse(name).ok())
}
