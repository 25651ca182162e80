//! Files on the disk as Git would commit them, for commands that look at many.

use std::io;
use std::path::Path;

use waxwing::source::{CheckoutError, RepoPath, WorkingFolder};

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
}

fn around_file(path: &Path) -> io::Result<(WorkingFolder, RepoPath)> {
    let real = path.canonicalize()?;
    let (above, name) = real.parent().zip(real.file_name()).ok_or(io::ErrorKind::InvalidFilename)?;
    let (folder, above) = WorkingFolder::around(above)?;
    let file = name.to_str().and_then(|name| above.child(name).ok()).ok_or(io::ErrorKind::InvalidFilename)?;
    Ok((folder, file))
}
