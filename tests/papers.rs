//! Holds the papers to what there is: every file, test and make target that they name exists.
//!
//! What is named is what stands in code font: a path with a folder in it, or a name of at least four words joined by `_`,
//! which must be a test's or a module's unless it is a metric's, which `dashboards.rs` looks after. Links between the papers
//! are followed too.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops where it stands")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use waxwing::api::Reason;

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
    let of_metrics = ["waxwing_", "process_", "sealed_secrets_controller_", "ss_app_"];
    let is_metric = of_metrics.iter().any(|prefix| text.starts_with(prefix));
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

/// The headings of a page at one level, such as `### `.
fn headings(page: &str, level: &str) -> BTreeSet<String> {
    let fenced = page.split("```").step_by(2);
    fenced.flat_map(str::lines).filter_map(|line| line.strip_prefix(level)).map(str::to_owned).collect()
}

#[test]
fn every_reason_has_an_entry_in_troubleshooting_and_every_entry_a_reason() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let reasons: BTreeSet<String> = Reason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(headings(&page, "### "), reasons);
    for entry in page.split("\n### ").skip(1) {
        assert!(entry.lines().filter(|line| !line.is_empty()).count() > 1, "an entry says what to do: {entry}");
    }
}

/// What a link calls a heading: lower-case letters, digits and hyphens, as the hosts of repositories make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

#[test]
fn every_link_to_a_heading_leads_to_one() {
    for (path, page) in papers() {
        let links = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for (file, heading) in links.filter(|link| !link.contains("://")).filter_map(|link| link.split_once('#')) {
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let target = fs::read_to_string(target).unwrap();
            let lines = target.lines().filter(|line| line.starts_with('#'));
            let mut anchors = lines.map(|line| anchor(line.trim_start_matches('#').trim()));
            assert!(anchors.any(|found| found == heading), "{} links to {file}#{heading}", path.display());
        }
    }
}

#[test]
fn every_alert_has_an_entry_where_its_runbook_leads_and_every_entry_an_alert() {
    let rules = fs::read_to_string(root().join("charts/waxwing/alerts/waxwing.yaml")).unwrap();
    let after = |word: &str| -> Vec<String> {
        rules.lines().filter_map(|line| line.trim_start().strip_prefix(word)).map(str::to_owned).collect()
    };
    let alerts = after("- alert: ");
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let entries: BTreeSet<String> = alerts.iter().map(|alert| format!("Alert: {alert}")).collect();
    assert_eq!(
        headings(&page, "### ").into_iter().filter(|heading| heading.starts_with("Alert: ")).collect::<BTreeSet<_>>(),
        entries
    );
    for runbook in after("runbook: ") {
        let (file, place) = runbook.split_once('#').unwrap();
        assert_eq!(file, "docs/operating.md");
        assert!(page.contains(&format!("<a id=\"{place}\"></a>")), "{runbook} leads nowhere");
    }
}
