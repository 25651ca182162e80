//! Any revision of a repository on this machine, as a developer or a pipeline has it checked out.
//!
//! For command lines only; the controller fetches into its [`Store`](super::Store). Nothing is written or copied, no program
//! is started, and the repository's own configuration has no say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::objs;
use gix::odb;

use super::mirror::{ObjectFault, read_checked};
use super::tree::{Objects, Tree, TreeError};

/// The largest file in bytes that is read, as in the controller.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Says why a revision can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The folder is not there.
    #[error("failed to open the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A path is named that nobody knows.
    #[error("{} is neither on the disk nor staged nor in the last commit", .0.display())]
    NotThere(PathBuf),
    /// There is a repository, and it can't be opened.
    #[error("the Git repository in {} cannot be opened", .0.display())]
    Repository(PathBuf),
    /// A revision was asked for where there is no repository.
    #[error("{} is not in a Git repository", .0.display())]
    NoRepository(PathBuf),
    /// A folder in it can't be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The repository doesn't have the revision.
    #[error("the Git repository in {} has no commit {revision}", path.display())]
    NoRevision {
        /// The repository.
        path: PathBuf,
        /// What was asked for.
        revision: String,
    },
}

impl CheckoutError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "name a folder that exists",
            Self::NotThere(_) => "check how it is written",
            Self::Repository(_) => "check that `git status` works there",
            Self::NoRepository(_) => "name a folder to compare with",
            Self::Tree(_) => "check the names and permissions of the files there",
            Self::NoRevision { .. } => "fetch it first; a shallow clone has only some commits",
        }
    }
}

/// Returns the files of `revision`, in any form that `git rev-parse` takes, of the repository that `folder` is in.
///
/// # Errors
///
/// Fails when there is no repository, or it doesn't have the commit.
pub fn revision_in(folder: &Path, revision: &str) -> Result<Tree, CheckoutError> {
    let failed = |source| CheckoutError::Folder { path: folder.to_owned(), source };
    let folder = folder.canonicalize().map_err(failed)?;
    let root = folder.ancestors().find(|above| above.join(".git").exists());
    let root = root.ok_or_else(|| CheckoutError::NoRepository(folder.clone()))?;
    let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced);
    let repository = gix::open_opts(root, options).map_err(|_| CheckoutError::Repository(root.to_owned()))?;
    let tree = commit_in(&repository, revision)
        .zip(LocalObjects::of(&repository))
        .and_then(|(commit, objects)| Tree::of_commit(Arc::new(objects), root.to_owned(), commit, MAX_FILE_BYTES).ok());
    tree.ok_or_else(|| CheckoutError::NoRevision { path: root.to_owned(), revision: revision.to_owned() })
}

fn commit_in(repository: &gix::Repository, revision: &str) -> Option<gix::ObjectId> {
    let found = repository.rev_parse_single(revision).ok()?;
    Some(found.object().ok()?.peel_to_commit().ok()?.id)
}

/// The objects of a repository that is read where it is.
pub(super) struct LocalObjects(Arc<odb::Store>);

impl LocalObjects {
    pub(super) fn of(repository: &gix::Repository) -> Option<Self> {
        let directory = repository.common_dir().join("objects");
        let options = odb::store::init::Options::default();
        let store = odb::Store::at_opts(directory, repository.object_hash(), &mut std::iter::empty(), options);
        store.ok().map(|store| Self(Arc::new(store)))
    }
}

impl Objects for LocalObjects {
    fn read(&self, id: &gix::oid, kind: objs::Kind, limit: u64) -> Result<Vec<u8>, ObjectFault> {
        read_checked(&self.0.to_handle_arc(), id, kind, limit)
    }
}
