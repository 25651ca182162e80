//! A private folder that is removed when its owner ends, also when the owner is killed: a small shell that reads a
//! pipe from the owner does the removing, since the end of a pipe is the one thing that no death can skip.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::Failure;

/// Waits for the end of standard input, then removes the folder `$1`. It tries again for five seconds, since programs
/// that are being killed at the same moment may still write.
const REMOVE: &str = r#"
trap '' HUP INT TERM
read -r _
tries=0
until rm -rf -- "$1" || [ "$tries" -ge 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"#;

/// How many free bytes make a place good for a cluster or a repository.
const ENOUGH: u64 = 1 << 30;

/// Owns a folder that only this user can enter.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    remover: Option<Child>,
}

impl RunDir {
    /// Makes a new, empty folder, in memory (`/dev/shm`) where there is such a place.
    ///
    /// With `WAXWING_KEEP_RUNS` in the environment the folder stays, so that the logs in it can be read.
    ///
    /// # Errors
    /// [`Failure::Io`] when the folder can't be made.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let path = tempfile::Builder::new()
            .prefix(&format!("waxwing-{name}-"))
            .tempdir_in(parent())
            .map_err(Failure::io(format!("make a folder for {name}")))?
            .keep();
        let remover = match env::var_os("WAXWING_KEEP_RUNS") {
            Some(_) => None,
            None => Some(start_remover(&path)?),
        };
        Ok(Self { path, remover })
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of `name` in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder `name` inside and returns its path.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.join(name);
        fs::create_dir_all(&path).map_err(Failure::io(format!("make the folder {}", path.display())))?;
        Ok(path)
    }

    /// Writes the file `name` inside and returns its path.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
        let path = self.join(name);
        fs::write(&path, content).map_err(Failure::io(format!("write {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Some(mut remover) = self.remover.take() {
            drop(remover.stdin.take());
            remover.wait().ok();
        }
    }
}

/// Returns the ids of the processes that work in `folder`, or did before it was removed: whoever ends is to leave none.
///
/// # Errors
/// [`Failure::Io`] when the processes can't be listed.
pub fn processes_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let folder = folder.to_string_lossy();
    let works_there = |process: &fs::DirEntry| {
        // The link of a process whose folder is gone says so behind the path.
        let place = fs::read_link(process.path().join("cwd")).unwrap_or_default();
        place.to_string_lossy().starts_with(&*folder)
    };
    let all = fs::read_dir("/proc").map_err(Failure::io("list the processes"))?.flatten();
    Ok(all.filter(works_there).map(|process| process.file_name().to_string_lossy().into_owned()).collect())
}

/// Returns the place for new folders. Containers often have too little shared memory: etcd alone takes 64 MiB at once.
fn parent() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |volume| volume.f_bavail.saturating_mul(volume.f_frsize));
    let usable = free >= ENOUGH && tempfile::tempdir_in(memory).is_ok();
    if usable { memory.to_owned() } else { env::temp_dir() }
}

fn start_remover(path: &Path) -> Result<Child, Failure> {
    Command::new("sh")
        .args(["-c", REMOVE, "sh"])
        .arg(path)
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Failure::io(format!("start the shell that removes {}", path.display())))
}
