//! Judges one file: whether it is sealed, whether it is sealed as its rule says, and whether anything else in it is secret.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use waxwing::source::RepoPath;
use waxwing_formats::KeyPath;
use waxwing_formats::sealed_secret::Certificate;
use waxwing_formats::sops::{Document, Plain, Rule, Sealed, SopsError, Store};
use waxwing_formats::yaml::{self, ManifestDocument};

use super::lines::Lines;
use super::report::{Check, Finding, Level, Place};
use super::secrets::{self, Generated, SealingKeys};
use crate::error::with_causes;
use crate::sealed::{Expected, is_sealed};

/// What came of it.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) is_sealed: bool,
    /// The files that a kustomization in it makes Secrets of.
    pub(crate) generated: Vec<Generated>,
    pub(crate) findings: Vec<Finding>,
}

impl From<Finding> for Judged {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

/// Judges a file, of which a rule may expect something, and in which SealedSecrets should be for these keys.
pub(crate) fn judge(file: &RepoPath, bytes: &[u8], expected: Option<&Expected>, keys: Option<&SealingKeys>) -> Judged {
    let store = Store::from_path(Path::new(file.as_str()));
    let mut judged = judge_as(file, bytes, store, expected, keys);
    if !judged.findings.is_empty() {
        let lines = Lines::read(bytes, store);
        judged.findings.iter_mut().for_each(|finding| finding.place.find_line(&lines));
    }
    judged
}

fn judge_as(
    file: &RepoPath,
    bytes: &[u8],
    store: Store,
    expected: Option<&Expected>,
    keys: Option<&SealingKeys>,
) -> Judged {
    if is_sealed(bytes, store) {
        let findings = judge_sealed(file, bytes, store, expected);
        return Judged { is_sealed: true, findings, ..Judged::default() };
    }
    let is_read = matches!(store, Store::Yaml | Store::Json) || secrets::is_kustomization(file);
    // What can't be read, as a template of Helm, is said only where a rule is for it, by `judge_plain`.
    let documents = is_read.then(|| yaml::manifests(bytes).ok()).flatten();
    let mut judged = judge_manifests(file, documents.as_deref().unwrap_or_default(), keys);
    let is_under_a_rule = |expected: &&Expected| expected.is_for_some && file.file_name() != Some(".sops.yaml");
    if let Some(expected) = expected.filter(is_under_a_rule).filter(|_| !judged.is_sealed) {
        let is_for_kubernetes = secrets::is_kustomization(file) || documents.as_deref().is_some_and(are_objects);
        let level = if is_for_kubernetes { Level::Warning } else { Level::Error };
        judged.findings.extend(judge_plain(file, bytes, store, expected, level));
    }
    judged.findings.extend(private_key(file, bytes));
    judged.findings.extend(expired_certificate(file, bytes, Timestamp::now()));
    judged
}

fn judge_sealed(file: &RepoPath, bytes: &[u8], store: Store, expected: Option<&Expected>) -> Vec<Finding> {
    let document = match Document::<Sealed>::parse_local(bytes, store) {
        Ok(document) => document,
        Err(error) => return vec![Finding::error(Check::Damaged, Place::file(file), with_causes(&error))],
    };
    let mut findings = secrets::in_the_clear(file, &document);
    if !document.is_signed() {
        let message = "the file names no version or has no message authentication code, so nobody can open it";
        findings.push(Finding::error(Check::Damaged, Place::file(file), message));
    }
    if let Some(expected) = expected {
        let is_wanted = |path: &KeyPath| expected.rule.as_ref().and_then(|rule| rule.seals(path)) == Some(true);
        let plain = document.in_the_clear().filter(|leaf| is_wanted(leaf.path));
        let place = |document_index, path| Place::value(file, (document_index, document.documents()), path);
        findings.extend(plain.map(|leaf| unsealed(place(leaf.document, leaf.path))));
        findings.extend(other_recipients(file, &document, expected));
    }
    findings
}

fn unsealed(place: Place) -> Finding {
    Finding::error(Check::PlainValue, place, "the rule in .sops.yaml wants this sealed")
}

/// Compares who can open a file with who should, group by group. A rule without any keys is for files that get theirs from the
/// command line.
fn other_recipients(file: &RepoPath, document: &Document<Sealed>, expected: &Expected) -> Vec<Finding> {
    if expected.groups.iter().all(BTreeSet::is_empty) {
        return Vec::new();
    }
    let groups = document.terms().groups;
    let count = groups.len().max(expected.groups.len());
    let mut groups =
        groups.iter().map(|group| group.iter().map(|one| one.wrapped().recipient()).collect::<BTreeSet<_>>());
    let mut findings = Vec::new();
    for number in 1..=count {
        let (has, wants) =
            (groups.next().unwrap_or_default(), expected.groups.get(number - 1).cloned().unwrap_or_default());
        let within = if count > 1 { format!("key group {number}: ") } else { String::new() };
        let mut found = |message: String| {
            let message = format!("{within}{message}");
            findings.push(Finding::error(Check::Recipients, Place::file(file), message));
        };
        has.difference(&wants).for_each(|name| found(format!("{name} can open it and is not in the rule")));
        wants.difference(&has).for_each(|name| found(format!("{name} can't open it and is in the rule")));
    }
    findings
}

/// A file in the clear of which a rule says that something in it is sealed. A rule for `.yaml` at large is for many objects that
/// have nothing secret; of those that are no Secrets it is a warning.
fn judge_plain(file: &RepoPath, bytes: &[u8], store: Store, expected: &Expected, level: Level) -> Vec<Finding> {
    let rule = expected.rule.clone().unwrap_or_else(Rule::usual);
    let paths = match Plain::parse(bytes, store).and_then(|plain| plain.to_seal(&rule)) {
        Ok(paths) => paths,
        Err(SopsError::NothingToSeal) => return Vec::new(),
        Err(error) => {
            let message =
                format!("a rule in .sops.yaml is for this file, and it can't be read: {}", with_causes(&error));
            return vec![Finding::warning(Check::NotRead, Place::file(file), message)];
        }
    };
    let documents = paths.iter().map(|(document, _)| document + 1).max().unwrap_or_default();
    let place = |(document, path): &(usize, KeyPath)| match store {
        Store::Binary => Place::file(file),
        _ => Place::value(file, (*document, documents), path),
    };
    paths.iter().map(|value| Finding { level, ..unsealed(place(value)) }).collect()
}

/// Looks at the objects in a file.
fn judge_manifests(file: &RepoPath, documents: &[ManifestDocument], keys: Option<&SealingKeys>) -> Judged {
    let mut judged = Judged::default();
    let count = documents.iter().map(|document| document.index + 1).max().unwrap_or_default();
    for document in documents {
        let place = |path: &KeyPath| Place::value(file, (document.index, count), path);
        let found = secrets::in_manifest(&document.value, &KeyPath::root(), keys, &place);
        judged.is_sealed |= found.is_sealed;
        judged.findings.extend(found.findings);
        if secrets::is_kustomization(file) {
            let (generated, findings) = secrets::of_generators(file, &document.value, &place);
            judged.generated.extend(generated);
            judged.findings.extend(findings);
        }
    }
    judged
}

/// Tells whether everything in a file is an object of Kubernetes.
fn are_objects(documents: &[ManifestDocument]) -> bool {
    documents.iter().all(|ManifestDocument { value, .. }| value.get("apiVersion").and(value.get("kind")).is_some())
}

/// A line that begins a private key, as age, OpenSSL and GnuPG write them.
fn private_key(file: &RepoPath, bytes: &[u8]) -> Option<Finding> {
    let begins = |line: &[u8]| {
        let line = line.trim_ascii();
        let is_pem = line.starts_with(b"-----BEGIN ")
            && [b"PRIVATE KEY-----".as_slice(), b"PRIVATE KEY BLOCK-----"].iter().any(|end| line.ends_with(end));
        is_pem || (line.starts_with(b"AGE-SECRET-KEY-") && line.len() > 40)
    };
    let (line, _) = (1..).zip(bytes.split(|byte| *byte == b'\n')).find(|(_, line)| begins(line))?;
    Some(Finding::error(Check::PrivateKey, Place::line(file, line), format!("a private key begins in line {line}")))
}

/// A file that is one certificate, as `seal cert` prints them, that nothing can be sealed with any more.
fn expired_certificate(file: &RepoPath, bytes: &[u8], now: Timestamp) -> Option<Finding> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let is_one = bytes.trim_ascii_start().starts_with(b"-----BEGIN CERTIFICATE-----")
        && bytes.windows(BEGIN.len()).filter(|window| *window == BEGIN).count() == 1;
    let certificate = is_one.then(|| Certificate::from_pem(bytes).ok()).flatten()?;
    let message = format!("the certificate expired at {}, so nothing can be sealed with it", certificate.not_after);
    (certificate.not_after < now).then(|| Finding::warning(Check::ExpiredCertificate, Place::file(file), message))
}
