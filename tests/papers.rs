//! Holds the papers to what there is: every file, test and make target that they name exists.
//!
//! What is named is what stands in code font: a path with a folder in it, or a name of at least four words joined by `_`,
//! which must be a test's or a module's unless it is a metric's, which `dashboards.rs` looks after. Links between the papers
//! are followed too.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops where it stands")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 7] = ["cli/", "crates/", "crds/", "docs/", "keys-example/", "src/", "tests/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The papers: Markdown at the root and under `docs/`.
fn papers() -> Vec<(PathBuf, String)> {
    let folders = [root().to_owned(), root().join("docs"), root().join("docs/decisions")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let papers = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    papers.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What stands in code font outside of fenced blocks.
fn quoted(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|text| text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))).collect()
}

/// The names of all functions of the workspace.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in ["cli", "crates", "src", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = fs::read_to_string(file).unwrap();
        let after_fn = text.split("fn ").skip(1);
        names.extend(
            after_fn.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()),
        );
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    here.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

fn is_name(text: &str) -> bool {
    let is_metric = text.starts_with("waxwing_") || text.starts_with("process_");
    !is_metric
        && text.matches('_').count() >= 3
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_path(text: &str) -> bool {
    FOLDERS.iter().any(|folder| text.starts_with(folder)) && !text.contains([' ', '*', '{', '<', '$'])
}

#[test]
fn every_test_that_is_named_exists() {
    let functions = functions();
    for (path, page) in papers() {
        let missing: Vec<_> =
            quoted(&page).into_iter().filter(|text| is_name(text) && !functions.contains(*text)).collect();
        assert!(missing.is_empty(), "{} names what is not there: {missing:#?}", path.display());
    }
}

#[test]
fn every_file_that_is_named_exists() {
    for (path, page) in papers() {
        let missing: Vec<_> =
            quoted(&page).into_iter().filter(|text| is_path(text) && !root().join(text).exists()).collect();
        assert!(missing.is_empty(), "{} names what is not there: {missing:#?}", path.display());
    }
}

#[test]
fn every_link_leads_somewhere() {
    for (path, page) in papers() {
        let prose: String = page.lines().map(|line| line.split('`').step_by(2).collect::<String>()).collect();
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let files = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        for link in files.map(|link| link.split('#').next().unwrap()) {
            assert!(path.parent().unwrap().join(link).exists(), "{} links to {link}", path.display());
        }
    }
}

#[test]
fn every_make_target_that_is_named_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for (path, page) in papers() {
        for target in page
            .split("make ")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap())
        {
            let in_code = page.contains(&format!("`make {target}")) || page.contains(&format!("\nmake {target}"));
            let exists = makefile.contains(&format!("\n{target}:"));
            assert!(exists || !in_code, "{} names the target {target}", path.display());
        }
    }
}
