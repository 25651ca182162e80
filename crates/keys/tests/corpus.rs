//! The fuzz targets over their committed corpora and over all fixtures: nothing panics, and what a target asserts holds.
//!
//! The corpora are what `make fuzz` found worth keeping; `fuzz/README.md` says how they are made.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may stop where it stands")]
#![allow(clippy::cast_possible_truncation, dead_code, unreachable_pub, reason = "the targets are a crate elsewhere")]

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 11] = [
    ("manifests", targets::manifests),
    ("sops_sealed", targets::sops_sealed),
    ("sops_open", targets::sops_open),
    ("sops_plain", targets::sops_plain),
    ("sealed_secret", targets::sealed_secret),
    ("templates", targets::templates),
    ("keys", targets::keys),
    ("wrapped", targets::wrapped),
    ("references", targets::references),
    ("stored", targets::stored),
    ("names", targets::names),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn run(folder: &Path, targets: &[(&str, Target)]) {
    let mut found = Vec::new();
    files(folder, &mut found);
    assert!(!found.is_empty(), "{}", folder.display());
    for path in found {
        let bytes = fs::read(&path).expect("a file can be read");
        targets.iter().for_each(|(_, target)| target(&bytes));
    }
}

#[test]
fn whatever_is_in_a_corpus_is_read_or_refused() {
    for target in TARGETS {
        run(&root().join("fuzz/corpus").join(target.0), &[target]);
    }
}

#[test]
fn every_fixture_is_read_or_refused_by_every_parser() {
    for folder in ["crates/formats/tests/fixtures", "crates/keys/tests/fixtures", "keys-example"] {
        run(&root().join(folder), &TARGETS);
    }
}

#[test]
fn each_target_has_a_corpus_and_a_binary_of_its_name() {
    for folder in ["fuzz/corpus", "fuzz/fuzz_targets"] {
        let names = fs::read_dir(root().join(folder)).expect("the folder is there");
        let names = names.map(|entry| entry.expect("a folder can be read").path());
        let mut names: Vec<_> = names.map(|path| path.file_stem().map(ToOwned::to_owned)).collect();
        let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| Some(name.into())).collect();
        names.sort();
        targets.sort();
        assert_eq!(names, targets, "{folder}");
    }
}
