//! A checkout on this machine, as a developer or a pipeline has it: its files as they lie there, and its revisions.
//!
//! For command lines only; the controller fetches into its [`Store`](super::Store). Nothing is written, no program is
//! started, and the repository's own configuration has no say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::objs;
use gix::odb;

use super::mirror::{ObjectFault, read_checked};
use super::path::{PathError, RepoPath};
use super::tree::{Objects, Tree};
use super::work_tree::WorkTree;

/// The largest file in bytes that is read, as in the controller.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A folder with files, and the repository that it belongs to, if it belongs to one.
pub struct Checkout {
    root: PathBuf,
    repository: Option<gix::Repository>,
}

/// Says why a checkout can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The folder is not there, or can't be looked into.
    #[error("failed to open the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is a repository, and it can't be opened.
    #[error("the Git repository in {} cannot be opened", .0.display())]
    Repository(PathBuf),
    /// A revision was asked for where there is no repository.
    #[error("{} is not in a Git repository", .0.display())]
    NoRepository(PathBuf),
    /// The repository doesn't have the revision.
    #[error("the Git repository in {} has no commit {revision}", path.display())]
    NoRevision {
        /// The repository.
        path: PathBuf,
        /// What was asked for.
        revision: String,
    },
    /// The path of the folder can't be one in a repository.
    #[error("{} cannot be the path of a folder in a repository", path.display())]
    Path {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: PathError,
    },
}

impl CheckoutError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "name a folder that exists",
            Self::Repository(_) => "check that `git status` works there",
            Self::NoRepository(_) => "name a folder to compare with",
            Self::NoRevision { .. } => "fetch it first; a shallow clone has only some commits",
            Self::Path { .. } => "use names in UTF-8 without control characters",
        }
    }
}

impl Checkout {
    /// Finds the repository that `folder` is in, and without one takes the folder alone.
    ///
    /// # Errors
    ///
    /// Fails when there is no such folder, or its repository can't be opened.
    pub fn containing(folder: &Path) -> Result<Self, CheckoutError> {
        let folder = canonical(folder)?;
        let root = folder.ancestors().find(|above| above.join(".git").exists());
        let Some(root) = root else {
            return Ok(Self { root: folder, repository: None });
        };
        let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced);
        let repository = gix::open_opts(root, options).map_err(|_| CheckoutError::Repository(root.to_owned()))?;
        Ok(Self { root: root.to_owned(), repository: Some(repository) })
    }

    /// Returns the path of `folder` from the root of the checkout.
    ///
    /// # Errors
    ///
    /// Fails when there is no such folder, or its name can't stand in a repository.
    pub fn path_of(&self, folder: &Path) -> Result<RepoPath, CheckoutError> {
        let folder = canonical(folder)?;
        let relative = folder.strip_prefix(&self.root).unwrap_or(&folder);
        let text = relative.to_str().unwrap_or("\0");
        RepoPath::parse(text).map_err(|source| CheckoutError::Path { path: folder.clone(), source })
    }

    /// Returns the files as they lie on the disk now, tracked or not.
    pub fn files(&self) -> Tree {
        WorkTree::at(&self.root).into_tree(MAX_FILE_BYTES)
    }

    /// Returns the files of a revision, in any form that `git rev-parse` takes.
    ///
    /// # Errors
    ///
    /// Fails when there is no repository, or it doesn't have the revision whole.
    pub fn revision(&self, revision: &str) -> Result<Tree, CheckoutError> {
        let repository = self.repository.as_ref().ok_or_else(|| CheckoutError::NoRepository(self.root.clone()))?;
        let missing = || CheckoutError::NoRevision { path: self.root.clone(), revision: revision.to_owned() };
        let found = repository.rev_parse_single(revision).map_err(|_| missing())?;
        let commit = found.object().ok().and_then(|object| object.peel_to_commit().ok()).ok_or_else(missing)?;
        let objects = Arc::new(LocalObjects::of(repository).ok_or_else(missing)?);
        Tree::of_commit(objects, self.root.clone(), commit.id, MAX_FILE_BYTES).map_err(|_| missing())
    }
}

fn canonical(folder: &Path) -> Result<PathBuf, CheckoutError> {
    let failed = |source| CheckoutError::Folder { path: folder.to_owned(), source };
    let path = folder.canonicalize().map_err(failed)?;
    std::fs::read_dir(&path).map_err(failed)?;
    Ok(path)
}

/// The objects of a repository that is read where it is.
struct LocalObjects(Arc<odb::Store>);

impl LocalObjects {
    fn of(repository: &gix::Repository) -> Option<Self> {
        let directory = repository.common_dir().join("objects");
        let options = odb::store::init::Options::default();
        let hash = repository.object_hash();
        odb::Store::at_opts(directory, hash, &mut std::iter::empty(), options).ok().map(|store| Self(Arc::new(store)))
    }
}

impl Objects for LocalObjects {
    fn read(&self, id: &gix::oid, kind: objs::Kind, limit: u64) -> Result<Vec<u8>, ObjectFault> {
        read_checked(&self.0.to_handle_arc(), id, kind, limit)
    }
}
