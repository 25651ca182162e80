//! Stands in for `kustomize`: puts aside all that the controller gives to its child and all that the child says, and
//! lets the real one work in between.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use waxwing_harness::{RunDir, Tools};

/// What is put aside: arguments, environment, standard input, the folder it works in with that folder's name, output.
const SCRIPT: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
aside=$(mktemp -d 'CALLS/XXXXXXXX') || exit 99
printf '%s\n' "$0" "$@" > "$aside/arguments"
cp "/proc/$$/environ" "$aside/environment"
cat > "$aside/input"
pwd > "$aside/folder"
cp -R . "$aside/files"
'KUSTOMIZE' "$@" > "$aside/output" 2> "$aside/messages"
status=$?
cat "$aside/output"
cat "$aside/messages" >&2
exit $status
"#;

/// The program, and the folder with what it put aside.
pub(super) struct Spy {
    dir: RunDir,
}

impl Spy {
    /// Writes the program.
    pub(super) fn new() -> Self {
        let spy = Self { dir: RunDir::new("spy").unwrap() };
        let calls = spy.dir.folder("calls").unwrap();
        let kustomize = Tools::locate().unwrap().path("kustomize").unwrap();
        let script = SCRIPT.replace("CALLS", &calls.to_string_lossy());
        fs::write(spy.program(), script.replace("KUSTOMIZE", &kustomize.to_string_lossy())).unwrap();
        fs::set_permissions(spy.program(), fs::Permissions::from_mode(0o700)).unwrap();
        spy
    }

    /// Returns the program.
    pub(super) fn program(&self) -> PathBuf {
        self.dir.join("kustomize")
    }

    /// Returns the folders that the calls left, one for each.
    pub(super) fn calls(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.join("calls")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// Returns the folder in which the child worked.
pub(super) fn working_folder(call: &Path) -> PathBuf {
    let folder = fs::read_to_string(call.join("folder")).unwrap();
    PathBuf::from(folder.trim_end())
}
