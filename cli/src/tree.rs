//! Files on the disk as Git would commit them, for commands that look at many.

use std::io;
use std::path::Path;

use waxwing::source::{CheckoutError, RepoPath, Staged, WorkingFolder};

/// The files at or below a path.
pub(crate) struct Tree {
    /// What their paths are relative to.
    pub(crate) folder: WorkingFolder,
    /// In the order of their paths.
    pub(crate) files: Vec<RepoPath>,
}

impl Tree {
    /// Lists the files that would be committed at or below a file or folder; a file that is named itself always counts.
    ///
    /// # Errors
    /// Fails when the path or something below it can't be read.
    pub(crate) fn at(path: &Path) -> Result<Self, CheckoutError> {
        let failed = |source| CheckoutError::Folder { path: path.to_owned(), source };
        let (folder, start) =
            if path.is_dir() { WorkingFolder::around(path) } else { around_file(path) }.map_err(failed)?;
        let files = folder.committable(&start)?;
        Ok(Self { folder, files })
    }

    /// Reads what is staged in the repository that a path lies in, and says which files of it are meant. The path need not be on the
    /// disk.
    ///
    /// # Errors
    /// Fails when there is no repository, or it or the path can't be read, or nobody knows the path.
    pub(crate) fn staged(path: &Path, index: Option<&Path>) -> Result<(RepoPath, Staged), CheckoutError> {
        let failed = |source| CheckoutError::Folder { path: path.to_owned(), source };
        let above = if path.is_dir() {
            path
        } else {
            path.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."))
        };
        let (folder, below) = WorkingFolder::around(above).map_err(failed)?;
        let below = match path.file_name().filter(|_| above != path) {
            None => below,
            Some(name) => {
                let file = name.to_str().and_then(|name| below.child(name).ok());
                file.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?
            }
        };
        let staged = Staged::around(folder.root(), index)?;
        if path.symlink_metadata().is_err() && !staged.knows(&below) {
            return Err(CheckoutError::NotThere(path.to_owned()));
        }
        Ok((below, staged))
    }
}

fn around_file(path: &Path) -> io::Result<(WorkingFolder, RepoPath)> {
    let real = path.canonicalize()?;
    let (above, name) = real.parent().zip(real.file_name()).ok_or(io::ErrorKind::InvalidFilename)?;
    let (folder, above) = WorkingFolder::around(above)?;
    let file = name.to_str().and_then(|name| above.child(name).ok()).ok_or(io::ErrorKind::InvalidFilename)?;
    Ok((folder, file))
}
