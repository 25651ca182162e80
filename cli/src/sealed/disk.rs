//! Files on the disk, which are replaced as a whole: whoever reads one finds the old text or the new one.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;
use zeroize::Zeroizing;

/// Who may read a file that did not exist before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Whoever the user lets read new files.
    Sealed,
    /// The user alone.
    Plain,
}

/// Reads a file, or standard input.
pub(crate) fn read(path: Option<&Path>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    match path {
        Some(path) => bytes = Zeroizing::new(fs::read(path)?),
        None => drop(io::stdin().lock().read_to_end(&mut bytes)?),
    }
    Ok(bytes)
}

/// Puts a new text in the place of a file that there is, and leaves its permissions as they are. A link stays a link.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let permissions = fs::metadata(&path)?.permissions();
    put(&path, bytes, Permissions::from_mode(0o600), Some(permissions))
}

/// Writes a file that there may be or not.
pub(crate) fn write(path: &Path, bytes: &[u8], secrecy: Secrecy) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => replace(path, bytes),
        // A device or pipe can't be replaced.
        Ok(_) => fs::write(path, bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mode = if secrecy == Secrecy::Sealed { 0o666 } else { 0o600 };
            put(path, bytes, Permissions::from_mode(mode), None)
        }
        Err(error) => Err(error),
    }
}

fn put(path: &Path, bytes: &[u8], new: Permissions, kept: Option<Permissions>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such folder"));
    }
    let mut file = Builder::new().prefix(".seal-").permissions(new).tempfile_in(folder)?;
    file.write_all(bytes)?;
    if let Some(permissions) = kept {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
