//! Runs `seal` in a folder of its own, with nothing of the user's environment.

#![allow(clippy::expect_used, dead_code, reason = "a test may stop where it stands; each test uses its part")]

pub(crate) mod kubeseal;
pub(crate) mod server;
pub(crate) mod waxwing;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use waxwing_harness::Call;

/// A folder that `seal` is run in, with certificates in it.
pub(crate) struct Folder(TempDir);

/// What a run of `seal` left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it told the user.
    pub(crate) stderr: String,
}

impl Folder {
    /// Makes a folder with the throw-away certificate `cluster.pem`, which `cluster.key` opens, and with ones that are no good.
    pub(crate) fn new() -> Self {
        let folder = Self(TempDir::new().expect("a folder can be made"));
        for (fixture, name) in [
            ("throw-away.crt", "cluster.pem"),
            ("throw-away.key", "cluster.key"),
            ("newer.key", "newer.key"),
            ("big.crt", "big.pem"),
            ("expired.crt", "expired.pem"),
            ("small.crt", "small.pem"),
            ("elliptic.crt", "elliptic.pem"),
        ] {
            std::fs::copy(fixtures().join(fixture), folder.path().join(name)).expect("a fixture can be copied");
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), content).expect("a file can be written");
    }

    /// Runs `seal` with `arguments`, and with `stdin` at its standard input.
    pub(crate) fn seal(&self, arguments: &[&str], stdin: &str) -> Ran {
        run(self.call(arguments).stdin(stdin))
    }

    /// Prepares a run.
    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), self.path()).args(arguments)
    }
}

/// Runs what [`Folder::call`] prepared.
pub(crate) fn run(call: Call) -> Ran {
    let finished = call.run().expect("seal can be started");
    let stdout = String::from_utf8(finished.stdout).expect("seal prints text");
    Ran { code: finished.status.code(), stdout, stderr: finished.stderr }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/fixtures/sealed_secret/keys")
}
