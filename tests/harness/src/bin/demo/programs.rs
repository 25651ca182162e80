//! Finds the two programs that the demo is about.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Where they are: beside the demo, as `make demo` builds all three together.
pub(crate) struct Programs {
    /// The controller.
    pub(crate) waxwing: PathBuf,
    /// The command line.
    pub(crate) seal: PathBuf,
}

impl Programs {
    /// Finds both.
    pub(crate) fn find() -> Result<Self, Error> {
        Ok(Self { waxwing: beside("waxwing")?, seal: beside("seal")? })
    }
}

fn beside(name: &str) -> Result<PathBuf, Error> {
    let path = env::current_exe()?.parent().unwrap_or(Path::new("")).join(name);
    if path.is_file() { Ok(path) } else { Err(Error::Program { path }) }
}
