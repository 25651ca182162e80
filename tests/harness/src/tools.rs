//! Finds the programs that `make tools` installs (`tests/install-tools`). It never looks into `PATH`: what happens to
//! be installed on a machine has another version. GnuPG is the machine's, by a link that they make.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Knows the folders that hold the pinned programs.
#[derive(Clone, Debug)]
pub struct Tools {
    folders: Vec<PathBuf>,
}

impl Tools {
    /// Returns the tools of this workspace: in the folder that `WAXWING_TOOLS` names, else in `tools/bin` of cargo's
    /// target folder. The programs that `KUBEBUILDER_ASSETS` holds come first.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when there is no such folder.
    ///
    /// # Panics
    /// In the same case under `CI`, where nobody may overlook it.
    pub fn locate() -> Result<Self, Failure> {
        let home = tool_folder();
        if !home.is_dir() {
            return missing("etcd", &home);
        }
        Ok(Self { folders: named("KUBEBUILDER_ASSETS").into_iter().chain([home]).collect() })
    }

    /// Returns the path of the program `name`.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    ///
    /// # Panics
    /// In the same case under `CI`, where nobody may overlook it.
    pub fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        let found = self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        match (found, self.folders.last()) {
            (Some(path), _) => Ok(path),
            (None, Some(home)) => missing(name, home),
            (None, None) => missing(name, Path::new("")),
        }
    }
}

fn tool_folder() -> PathBuf {
    named("WAXWING_TOOLS").unwrap_or_else(|| target_folder().join("tools/bin"))
}

fn target_folder() -> PathBuf {
    named("CARGO_TARGET_DIR").unwrap_or_else(|| Path::new(WORKSPACE).join("target"))
}

/// Returns the path that a variable of the environment holds, unless it is empty.
fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[expect(clippy::panic, reason = "a part that is missing in CI must not pass for a test that ran")]
fn missing<T>(name: &str, folder: &Path) -> Result<T, Failure> {
    let failure = Failure::MissingTool { name: name.to_owned(), folder: folder.to_owned() };
    if env::var_os("CI").is_some() {
        panic!("{failure:?}");
    }
    Err(failure)
}
