//! A folder for plain text that another program reads: only the user can enter it, it lies in memory where there is such a place,
//! and what stands in it is wiped.

use std::env;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};
use waxwing_formats::SecretBytes;

use super::fault::Fault;
use crate::sealed;

/// The folder. It is removed when this is dropped.
pub(crate) struct Desk(TempDir);

impl Desk {
    /// Makes the folder in the first place where one can be made: in memory, else where temporary files go.
    pub(crate) fn new() -> io::Result<Self> {
        let make = |folder: PathBuf| {
            Builder::new().prefix("seal-").permissions(Permissions::from_mode(0o700)).tempdir_in(folder).map(Self)
        };
        in_memory().find_map(|folder| make(folder).ok()).map_or_else(|| make(env::temp_dir()), Ok)
    }

    /// Returns where a file of this name is, or will be.
    pub(crate) fn place(&self, name: &Path) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a text there.
    pub(crate) fn put(self, name: &Path, text: &SecretBytes) -> io::Result<Sheet> {
        let path = self.place(name);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let sheet = Sheet { path, _desk: self };
        file.write_all(text.expose_secret())?;
        Ok(sheet)
    }
}

/// A text that stands in the folder. It is wiped when this is dropped, and then the folder goes with whatever else is in it.
pub(crate) struct Sheet {
    path: PathBuf,
    _desk: Desk,
}

impl Sheet {
    /// Returns where the text is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what has become of it.
    pub(crate) fn read(&self) -> Result<SecretBytes, Fault> {
        let text = sealed::read(Some(&self.path)).map_err(|error| Fault::unreadable(Some(&self.path), &error))?;
        Ok(SecretBytes::concat(&[&text]))
    }

    fn wipe(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
        file.sync_all()
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        // The folder is removed whether this worked or not.
        let _ = self.wipe();
    }
}

/// Returns the user's own folder in memory, and the shared one.
fn in_memory() -> impl Iterator<Item = PathBuf> {
    let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    own.into_iter().chain([PathBuf::from("/dev/shm")])
}
