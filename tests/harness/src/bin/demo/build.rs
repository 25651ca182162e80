//! Brings the programs up to date that the demo needs.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use waxwing_harness::Tools;

use crate::error::Error;
use crate::options::Options;
use crate::screen::Screen;

/// The programs that the cluster and the controller are run with.
const TOOLS: [&str; 6] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "kwok", "kustomize"];

/// Where the repository of Waxwing is.
pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where the two programs are that the demo is about.
pub(crate) struct Programs {
    /// The controller.
    pub(crate) waxwing: PathBuf,
    /// The command line.
    pub(crate) seal: PathBuf,
}

impl Programs {
    /// Builds what is missing or out of date, and finds it.
    pub(crate) fn prepare(options: &Options, screen: &mut Screen) -> Result<Self, Error> {
        if options.build {
            let what = format!("what the cluster is made of: {}", TOOLS.join(", "));
            screen.indented("Where something is not built yet, this takes minutes.")?;
            screen.talking_step(&what, |_| Ok(Tools::install(&TOOLS)?))?;
            screen.talking_step("waxwing and seal", |_| cargo_build())?;
        }
        Ok(Self { waxwing: beside("waxwing")?, seal: beside("seal")? })
    }
}

/// Runs the cargo that runs this, so that both build into the same folder; its progress is on standard error.
fn cargo_build() -> Result<(), Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let packages = ["--package", "waxwing", "--package", "seal"];
    let built =
        Command::new(cargo).current_dir(WORKSPACE).args(["build", "--locked", "--bins"]).args(packages).status();
    if built?.success() { Ok(()) } else { Err(Error::Build) }
}

fn beside(name: &str) -> Result<PathBuf, Error> {
    let path = env::current_exe()?.parent().unwrap_or(Path::new("")).join(name);
    if path.is_file() { Ok(path) } else { Err(Error::Program { path }) }
}
