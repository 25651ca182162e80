//! What a reader of manifests needs of a folder tree, whether it is a revision or a folder on disk.

use std::sync::Arc;

use super::path::RepoPath;
use super::tree::{Blob, Entry, Kind, Tree, TreeError};

/// Something that stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it stands; after following links, where that is.
    pub path: RepoPath,
    /// What it is.
    pub kind: Kind,
}

impl From<Entry> for Found {
    fn from(entry: Entry) -> Self {
        Self { path: entry.path, kind: entry.kind }
    }
}

/// Files that can be read by their path in a repository.
pub trait Files {
    /// Finds what stands at `path`, and follows links until it is a file or folder.
    ///
    /// # Errors
    ///
    /// Fails when nothing is there, on the way is a file or submodule, or a link leads out or nowhere.
    fn find(&self, path: &RepoPath) -> Result<Found, TreeError>;

    /// Returns the bytes of the file at `path`, following links. A file over the size limit is not read.
    ///
    /// # Errors
    ///
    /// Fails as [`Files::find`] does, and when it is no file, too large or a Git LFS pointer.
    fn bytes(&self, path: &RepoPath) -> Result<Blob, TreeError>;

    /// Returns what stands directly in the folder at `path`, by name; links are not followed.
    ///
    /// # Errors
    ///
    /// Fails as [`Files::find`] does, and when an entry has a name that is not allowed.
    fn list(&self, path: &RepoPath) -> Result<Vec<Found>, TreeError>;
}

impl Files for Tree {
    fn find(&self, path: &RepoPath) -> Result<Found, TreeError> {
        self.resolve(path).map(Found::from)
    }

    fn bytes(&self, path: &RepoPath) -> Result<Blob, TreeError> {
        self.read(path)
    }

    fn list(&self, path: &RepoPath) -> Result<Vec<Found>, TreeError> {
        Ok(self.entries(path)?.into_iter().map(Found::from).collect())
    }
}

impl<T: Files + ?Sized> Files for Arc<T> {
    fn find(&self, path: &RepoPath) -> Result<Found, TreeError> {
        (**self).find(path)
    }

    fn bytes(&self, path: &RepoPath) -> Result<Blob, TreeError> {
        (**self).bytes(path)
    }

    fn list(&self, path: &RepoPath) -> Result<Vec<Found>, TreeError> {
        (**self).list(path)
    }
}
