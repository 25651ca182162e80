//! A Git repository made with the real `git`: a bare one that is served, and a working tree that has its objects and branches.
//!
//! Nothing of the user's configuration counts, and author and date are fixed, so the same steps give the same commit ids.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::call::{Call, installed};
use crate::failure::Failure;
use crate::run_dir::RunDir;

/// Is a bare repository with its working tree, both gone when it is dropped. What is committed is served at once: to push it
/// from one repository to the other would cost three times what the commit does.
#[derive(Debug)]
pub struct GitRepo {
    dir: RunDir,
}

impl GitRepo {
    /// Makes an empty repository whose branch is `main`.
    ///
    /// # Errors
    /// [`Failure`] when git is not installed or refuses.
    pub fn new() -> Result<Self, Failure> {
        let repo = Self { dir: RunDir::new("git")? };
        repo.call(repo.dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "origin.git"])?;
        repo.call(repo.dir.path(), &["init", "--quiet", "--initial-branch=main", "tree"])?;
        repo.share("objects")?;
        repo.share("refs")?;
        Ok(repo)
    }

    /// Makes a part of the bare repository one of the working tree's, in place of its own.
    fn share(&self, part: &str) -> Result<(), Failure> {
        let own = self.tree().join(".git").join(part);
        let shared = fs::remove_dir_all(&own).and_then(|()| symlink(self.bare().join(part), &own));
        shared.map_err(Failure::io(format!("share {}", own.display())))
    }

    /// Returns the bare repository's folder.
    pub fn bare(&self) -> PathBuf {
        self.dir.join("origin.git")
    }

    /// Returns the working tree's folder.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// Returns the bare repository's `file://` address.
    pub fn file_url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    /// Writes the file `path` of the working tree, with the folders above it.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<(), Failure> {
        let path = self.prepare(path)?;
        fs::write(&path, content).map_err(Failure::io(format!("write {}", path.display())))
    }

    /// Removes the file or folder `path` of the working tree.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be removed.
    pub fn remove(&self, path: &str) -> Result<(), Failure> {
        let path = self.tree().join(path);
        let removed =
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Failure::io(format!("remove {}", path.display())))
    }

    /// Makes `path` of the working tree a symbolic link to `target`.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be made.
    pub fn symlink(&self, target: &str, path: &str) -> Result<(), Failure> {
        let path = self.prepare(path)?;
        symlink(target, &path).map_err(Failure::io(format!("link {}", path.display())))
    }

    /// Copies the folder `from` with all that is in it to `path` of the working tree.
    ///
    /// # Errors
    /// [`Failure::Io`] when something can't be read or written.
    pub fn copy_folder(&self, from: &Path, path: &str) -> Result<(), Failure> {
        let failed = || Failure::io(format!("copy {}", from.display()));
        for entry in fs::read_dir(from).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let inner = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(failed())?.is_dir() {
                self.copy_folder(&entry.path(), &inner)?;
            } else {
                self.write(inner.trim_start_matches('/'), fs::read(entry.path()).map_err(failed())?)?;
            }
        }
        Ok(())
    }

    /// Commits everything in the working tree, even if nothing changed, and returns the commit's id.
    ///
    /// # Errors
    /// [`Failure::Run`] when git refuses.
    pub fn commit(&self, message: &str) -> Result<String, Failure> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        self.head()
    }

    /// Returns the id of the working tree's commit.
    ///
    /// # Errors
    /// [`Failure::Run`] when there is no commit yet.
    pub fn head(&self) -> Result<String, Failure> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Sets the tag `name` to the working tree's commit, also over an older one.
    ///
    /// # Errors
    /// [`Failure::Run`] when git refuses.
    pub fn tag(&self, name: &str) -> Result<(), Failure> {
        self.git(&["tag", "--force", "--annotate", "--message", name, name]).map(drop)
    }

    /// Goes on with the branch `name`, which starts at the working tree's commit if it is new.
    ///
    /// # Errors
    /// [`Failure::Run`] when git refuses.
    pub fn branch(&self, name: &str) -> Result<(), Failure> {
        let known = self.git(&["rev-parse", "--verify", "--quiet", &format!("refs/heads/{name}")]).is_ok();
        let switch: &[&str] =
            if known { &["switch", "--quiet", name] } else { &["switch", "--quiet", "--create", name] };
        self.git(switch).map(drop)
    }

    /// Goes back to `revision` and forgets what came after, as a forced push does.
    ///
    /// # Errors
    /// [`Failure::Run`] when there is no such revision.
    pub fn reset(&self, revision: &str) -> Result<(), Failure> {
        self.git(&["reset", "--quiet", "--hard", revision]).map(drop)
    }

    /// Runs git in the working tree and returns what it printed.
    ///
    /// # Errors
    /// [`Failure::Run`] with what it complained about when it fails.
    pub fn git(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.call(&self.tree(), arguments)
    }

    fn call(&self, folder: &Path, arguments: &[&str]) -> Result<String, Failure> {
        git(self.dir.path()).dir(folder).args(arguments).text()
    }

    fn prepare(&self, path: &str) -> Result<PathBuf, Failure> {
        let path = self.tree().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Failure::io(format!("make the folder {}", folder.display())))?;
        }
        Ok(path)
    }
}

/// Prepares a call of the real `git` that knows no configuration but what stands here.
pub(crate) fn git(home: &Path) -> Call {
    let who = [("NAME", "Test"), ("EMAIL", "test@example.com"), ("DATE", "2026-01-01T00:00:00Z")];
    let call = Call::new(&installed("git"), home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        // Else each commit starts a further program, which finds nothing to tidy.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "maintenance.auto")
        .env("GIT_CONFIG_VALUE_0", "false");
    who.iter().fold(call, |call, (what, value)| {
        call.env(&format!("GIT_AUTHOR_{what}"), value).env(&format!("GIT_COMMITTER_{what}"), value)
    })
}
