//! Files on the disk, which are replaced as a whole: whoever reads one finds the old text or the new one.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
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

/// Puts a new text in the place of a file that there is, which keeps its owner and permissions. A link stays a link.
///
/// Where the file can't be replaced as a whole, it is written over: one that has several names, is mounted by itself, belongs to
/// another user or lies in a folder that can't be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    // Who may not write the file may not replace it either.
    let old = OpenOptions::new().write(true).open(&path)?;
    let metadata = old.metadata()?;
    if metadata.nlink() > 1 {
        return write_over(old, bytes);
    }
    match put(&path, bytes, Permissions::from_mode(0o600), Some(&metadata)) {
        Err(error) if is_in_the_way(&error) => write_over(old, bytes),
        done => done,
    }
}

/// Puts a new text in the place of a file whose text is still `old`, as a whole or not at all. A link stays, and what it leads to is replaced.
///
/// # Errors
///
/// Fails for a file that has several names, or that somebody else changed.
pub(crate) fn replace_whole(path: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path)?;
    let metadata = fs::metadata(path)?;
    if metadata.nlink() > 1 {
        return Err(io::Error::other("it has several names, so that it can't be replaced as a whole"));
    }
    if *read(Some(path))? != old {
        return Err(io::Error::other("somebody else has changed it"));
    }
    put(path, new, Permissions::from_mode(0o600), Some(&metadata))
}

/// Tells whether a file might be written over though it can't be replaced.
fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

fn write_over(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a file that there may be or not.
pub(crate) fn write(path: &Path, bytes: &[u8], secrecy: Secrecy) -> io::Result<()> {
    match (fs::metadata(path), fs::symlink_metadata(path)) {
        (Ok(metadata), _) if metadata.is_file() => replace(path, bytes),
        (Err(error), Err(_)) if error.kind() == io::ErrorKind::NotFound => {
            let mode = if secrecy == Secrecy::Sealed { 0o666 } else { 0o600 };
            put(path, bytes, Permissions::from_mode(mode), None)
        }
        // A device or pipe can't be replaced, and a link that leads nowhere yet leads to what is made.
        _ => fs::write(path, bytes),
    }
}

/// Makes a file that only the user can read, as a whole or not at all.
///
/// # Errors
///
/// Fails where there is something of this name.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path)?;
    let _undisturbed = Undisturbed::begin()?;
    let mut file = Builder::new().prefix(".seal-").permissions(Permissions::from_mode(0o600)).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

fn put(path: &Path, bytes: &[u8], new: Permissions, old: Option<&Metadata>) -> io::Result<()> {
    let folder = folder_of(path)?;
    let _undisturbed = Undisturbed::begin()?;
    let mut file = Builder::new().prefix(".seal-").permissions(new).tempfile_in(folder)?;
    file.write_all(bytes)?;
    if let Some(old) = old {
        keep_owner(file.as_file(), old)?;
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such folder");
    if folder.is_dir() { Ok(folder) } else { Err(missing()) }
}

/// Has requests to end wait for as long as this lives, so that none leaves a file behind that was to take the place of another.
struct Undisturbed(SigSet);

impl Undisturbed {
    fn begin() -> io::Result<Self> {
        let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        Ok(Self(ends.thread_swap_mask(SigmaskHow::SIG_BLOCK)?))
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // It can't fail with what was the mask before.
        let _ = self.0.thread_set_mask();
    }
}

fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    let is_same = new.uid() == old.uid() && new.gid() == old.gid();
    if is_same { Ok(()) } else { fchown(file, Some(old.uid()), Some(old.gid())) }
}
