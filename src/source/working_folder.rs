//! A folder on disk, read as if it were committed: for commands that work on what is not committed yet.
//!
//! Nothing outside its root is read: links that lead out are refused. It is NOT immutable, and the controller never uses
//! it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::files::{Files, Found};
use super::path::RepoPath;
use super::revision::ObjectId;
use super::tree::{Blob, Kind, LFS_LINE, TreeError};

/// The largest file in bytes that is read, as for revisions.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A folder whose files are read as they stand.
#[derive(Debug)]
pub struct WorkingFolder {
    root: PathBuf,
}

impl WorkingFolder {
    /// Opens the working tree that `folder` lies in, or `folder` itself where that is in none, and returns it with the
    /// path of `folder` in it.
    ///
    /// # Errors
    ///
    /// Fails when `folder` is not a folder that can be read, or its path is not UTF-8.
    pub fn around(folder: &Path) -> io::Result<(Self, RepoPath)> {
        let folder = folder.canonicalize()?;
        if !folder.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let root = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&folder);
        let working_folder = Self { root: root.to_owned() };
        let path = working_folder.path_of(&folder).ok_or(io::ErrorKind::InvalidFilename)?;
        Ok((working_folder, path))
    }

    /// Returns the folder on the disk that paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path_of(&self, real: &Path) -> Option<RepoPath> {
        RepoPath::parse(real.strip_prefix(&self.root).ok()?.to_str()?).ok()
    }

    fn real(&self, path: &RepoPath) -> Result<PathBuf, TreeError> {
        let real = self.root.join(path.as_str()).canonicalize().map_err(|error| fault(path, &error))?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(TreeError::LinkLeaves(path.clone())) }
    }

    fn entry(&self, folder: &RepoPath, entry: &fs::DirEntry) -> Result<Found, TreeError> {
        let name = entry.file_name();
        let refused = || TreeError::Name { folder: folder.clone(), name: format!("{name:?}") };
        let path = name.to_str().and_then(|name| folder.child(name).ok()).ok_or_else(refused)?;
        let file_type = entry.file_type().map_err(|error| fault(&path, &error))?;
        let kind = match (file_type.is_dir(), file_type.is_symlink()) {
            (true, _) => Kind::Folder,
            (_, true) => Kind::Link,
            _ => Kind::File,
        };
        Ok(Found { path, kind })
    }
}

impl Files for WorkingFolder {
    fn find(&self, path: &RepoPath) -> Result<Found, TreeError> {
        let real = self.real(path)?;
        let kind = if real.is_dir() { Kind::Folder } else { Kind::File };
        let path = self.path_of(&real).ok_or_else(|| TreeError::LinkLeaves(path.clone()))?;
        Ok(Found { path, kind })
    }

    fn bytes(&self, path: &RepoPath) -> Result<Blob, TreeError> {
        let real = self.real(path)?;
        let metadata = fs::metadata(&real).map_err(|error| fault(path, &error))?;
        if !metadata.is_file() {
            return Err(TreeError::NotAFile(path.clone()));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(TreeError::TooLarge { path: path.clone(), size: metadata.len(), limit: MAX_FILE_BYTES });
        }
        let bytes = fs::read(&real).map_err(|error| fault(path, &error))?;
        if bytes.starts_with(LFS_LINE) {
            return Err(TreeError::LfsPointer(path.clone()));
        }
        let id = ObjectId::of_file(&bytes).ok_or_else(|| TreeError::Unreadable(path.clone()))?;
        let path = self.path_of(&real).ok_or_else(|| TreeError::LinkLeaves(path.clone()))?;
        Ok(Blob { id, path, bytes })
    }

    fn list(&self, path: &RepoPath) -> Result<Vec<Found>, TreeError> {
        let real = self.real(path)?;
        if !real.is_dir() {
            return Err(TreeError::NotAFolder(path.clone()));
        }
        let failed = |error: io::Error| fault(path, &error);
        let entries: Vec<fs::DirEntry> = fs::read_dir(real).and_then(Iterator::collect).map_err(failed)?;
        let committed = entries.iter().filter(|entry| entry.file_name() != ".git");
        let mut found = committed.map(|entry| self.entry(path, entry)).collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

fn fault(path: &RepoPath, error: &io::Error) -> TreeError {
    match error.kind() {
        io::ErrorKind::NotFound => TreeError::NotFound(path.clone()),
        io::ErrorKind::NotADirectory => TreeError::NotAFolder(path.clone()),
        _ if Errno::from_io_error(error) == Some(Errno::LOOP) => TreeError::LinkLoop(path.clone()),
        _ => TreeError::Unreadable(path.clone()),
    }
}
