//! The real kubeseal and ours, called alike in folders that are alike.

#![allow(clippy::unwrap_used, dead_code, reason = "a test may stop where it stands; each test uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use regex::Regex;
use waxwing_harness::{Call, Finished, Upstream};

use super::Folder;

/// Which program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Theirs,
    Ours,
}

/// Prepares a call; ours is called by the name `kubeseal`.
pub(crate) fn call(upstream: &Upstream, program: Program, folder: &Path, words: &[&str]) -> Call {
    let call = match program {
        Program::Theirs => upstream.kubeseal(words).unwrap(),
        Program::Ours => {
            let programs = folder.join(".programs");
            fs::create_dir_all(&programs).unwrap();
            let link = programs.join("kubeseal");
            drop(symlink(env!("CARGO_BIN_EXE_seal"), &link));
            Call::new(&link, folder).args(words)
        }
    };
    call.dir(folder)
}

/// Puts the same word in the place of everything that was sealed.
pub(crate) fn masked(text: &[u8]) -> String {
    let sealed = Regex::new(r"A[QgYw][A-Za-z0-9+/]{300,}={0,2}").unwrap();
    sealed.replace_all(&String::from_utf8_lossy(text), "SEALED").into_owned()
}

/// Returns the files of a folder, but for those that kubeseal leaves behind when it fails.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let entries = entries.filter(|path| !path.file_name().unwrap().as_encoded_bytes().starts_with(b"."));
    entries.map(|path| (path.file_name().unwrap().display().to_string(), masked(&fs::read(&path).unwrap()))).collect()
}

/// What is compared of a call.
#[derive(PartialEq, Eq)]
pub(crate) struct Seen {
    code: Option<i32>,
    stdout: String,
    files: BTreeMap<String, String>,
    pub(crate) stderr: String,
}

/// Looks at what a call left behind.
pub(crate) fn seen(finished: Finished, folder: &Path) -> Seen {
    let (code, stdout) = (finished.status.code(), masked(&finished.stdout));
    Seen { code, stdout, files: files(folder), stderr: finished.stderr }
}

/// Says what differs between two calls; `told` takes what is compared out of standard error.
pub(crate) fn difference(words: &[&str], theirs: Seen, ours: Seen, told: fn(&str) -> String) -> Option<String> {
    // kubeseal prints all its flags to standard output when one is wrong; ours prints nothing.
    let printed = if theirs.code == Some(2) { &String::new() } else { &theirs.stdout };
    let is_same = (theirs.code, printed, &theirs.files, told(&theirs.stderr))
        == (ours.code, &ours.stdout, &ours.files, told(&ours.stderr));
    let show = |name: &str, one: &Seen, other: &Seen| {
        let changed = one.files.iter().filter(|(name, text)| other.files.get(*name) != Some(text));
        let changed: String = changed.map(|(name, text)| format!("{name}:\n{text}")).collect();
        format!("{name}: {:?}\n{}{}{changed}", one.code, one.stdout, one.stderr)
    };
    (!is_same).then(|| format!("{words:?}\n{}{}\n", show("theirs", &theirs, &ours), show("ours", &ours, &theirs)))
}

/// Copies a folder, which both programs are to have alike.
pub(crate) fn copy(from: &Folder) -> Folder {
    let folder = Folder::new();
    for entry in fs::read_dir(from.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Returns the first line, without what the system said, and with the names of items in order.
pub(crate) fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().replace(": No such file or directory (os error 2)", "");
    let Some((before, items)) = line.strip_suffix(')').and_then(|line| line.split_once(" (")) else { return line };
    let mut items: Vec<_> = items.split(", ").collect();
    items.sort_unstable();
    format!("{before} ({})", items.join(", "))
}
