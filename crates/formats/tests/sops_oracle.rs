//! Compares with the live sops program: random files (the same in every run) that it seals under random rules for random recipients
//! open here to the bytes that it prints, what is sealed here under the same terms has the text that it writes and opens there to the
//! same bytes, and what it refuses is refused here.
//!
//! The program is looked for in `WAXWING_SOPS` and in `target/tools/bin` of the workspace. Without it the tests say so
//! and pass, except under CI (`CI` is set), where they fail.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reads fixtures and may fail"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand_core::OsRng;
use regex::Regex;
use support::comments::{self, Listed};
use support::damage::DEFECTS;
use support::masked::masked;
use support::random::{self, Recipients, Sheaf, Way};
use support::{Keys, fixtures, usual_terms};
use waxwing_formats::sops::{Document, Plain, SopsError, Store, Terms, Vectors, Verified};
use waxwing_formats::{DataKey, SecretBytes};

/// Finds sops, or says that it is missing.
fn sops() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/sops");
    let found =
        std::env::var_os("WAXWING_SOPS").map(PathBuf::from).into_iter().chain([built]).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "sops is missing: set WAXWING_SOPS or install the tools");
        eprintln!("SKIPPED: sops is missing, so nothing was compared");
    }
    found
}

/// The program, and the files that it is run with.
struct Oracle {
    sops: PathBuf,
    identities: String,
    /// A configuration whose rules share data keys among three groups, of which all or two are needed.
    groups: PathBuf,
    calls: AtomicUsize,
    /// Files in which sops does to comments what docs/from-sops.md lists.
    listed: AtomicUsize,
}

const NAMES: [&str; 3] = ["one", "two", "three"];

impl Oracle {
    fn new(sops: PathBuf) -> Self {
        let keys = NAMES.map(|name| std::fs::read_to_string(fixtures().join(format!("keys/{name}.txt"))).unwrap());
        let groups = NAMES.map(|name| format!("  - age: [{}]\n", recipient(name))).concat();
        let rule = |folder: &str, threshold: usize| {
            format!("- path_regex: {folder}/\n  shamir_threshold: {threshold}\n  key_groups:\n{groups}")
        };
        // The tests run beside each other, and each removes its own.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("groups-{}-{number}.yaml", std::process::id()));
        std::fs::write(&path, format!("creation_rules:\n{}{}", rule("all", 3), rule("two", 2))).unwrap();
        Self { sops, identities: keys.concat(), groups: path, calls: AtomicUsize::new(0), listed: AtomicUsize::new(0) }
    }

    /// Runs sops over a text; nothing if it refuses.
    fn run(&self, config: &Path, text: &[u8], arguments: &[&str]) -> Option<Vec<u8>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(config.exists(), "without its rules sops would refuse everything");
        let mut command = Command::new(&self.sops);
        command.arg("--config").arg(config).args(arguments).env_clear().env("SOPS_AGE_KEY", &self.identities);
        piped(&mut command, text)
    }

    fn opened(&self, text: &[u8], more: &[&str], name: &str) -> Option<Vec<u8>> {
        let arguments = [&["--decrypt"], more, &["--filename-override", name, "/dev/stdin"]].concat();
        self.run(Path::new("/dev/null"), text, &arguments)
    }

    fn sealed(&self, text: &[u8], way: &Way, name: &str) -> Option<Vec<u8>> {
        let first = |count| NAMES.iter().take(count).map(|name| recipient(name)).collect::<Vec<_>>().join(",");
        let (config, folder, age) = match way.recipients {
            Recipients::Any(count) => (Path::new("/dev/null"), "any", Some(first(count))),
            Recipients::AllGroups => (self.groups.as_path(), "all", None),
            Recipients::TwoGroups => (self.groups.as_path(), "two", None),
        };
        let name = self.groups.with_file_name(folder).join(name).display().to_string();
        let mut arguments = vec!["--encrypt", "--filename-override", &name];
        arguments.extend(way.rule);
        arguments.extend(way.is_mac_only.then_some("--mac-only-encrypted"));
        arguments.extend(age.iter().flat_map(|age| ["--age", age]));
        arguments.push("/dev/stdin");
        self.run(config, text, &arguments)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.groups);
    }
}

fn piped(command: &mut Command, text: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

fn recipient(name: &str) -> String {
    let text = std::fs::read_to_string(fixtures().join(format!("keys/{name}.txt"))).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

/// What a file of a store may be called.
fn name_of(store: Store) -> &'static str {
    match store {
        Store::Yaml => "x.yaml",
        Store::Json => "x.json",
        Store::Dotenv => "x.env",
        Store::Ini => "x.ini",
        Store::Binary => "x.bin",
    }
}

/// Seals, opens with both, and compares the bytes.
fn compare(oracle: &Oracle, text: &str, store: Store, way: &Way) -> Result<(), TestCaseError> {
    let name = name_of(store);
    let numbered = if store == Store::Yaml { comments::numbered(text) } else { text.to_owned() };
    let text = numbered.as_str();
    let Some(sealed) = oracle.sealed(text.as_bytes(), way, name) else {
        return Err(TestCaseError::reject("sops does not seal this"));
    };
    let Some(expected) = oracle.opened(&sealed, &[], name) else {
        return Err(TestCaseError::reject("sops does not open its own file"));
    };
    let shown = String::from_utf8_lossy(&sealed).into_owned();
    let document = Document::parse(&sealed, store);
    let document = document.map_err(|error| TestCaseError::fail(format!("{error:?}\n{shown}")))?;
    let opened = Keys::named(&NAMES).open_with_key(document);
    let (opened, key) = opened.map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
    let whole = opened.whole().unwrap();
    let (whole, expected) = (String::from_utf8_lossy(whole.expose_secret()), String::from_utf8_lossy(&expected));
    let is_whole = comments::is_what_sops_opened(&whole, &expected);
    prop_assert!(is_whole, "{whole}\n== sops:\n{expected}\n{shown}");
    sealed_here(oracle, text, &opened, &key, &shown)?;
    // Of what sops does not find again, it seals the token once more.
    sealed_again(oracle, &opened, &key, &shown, whole == expected)
}

/// Seals the same text here under the same terms: what is not random in it is what sops wrote, and sops opens it to the same
/// bytes.
fn sealed_here(
    oracle: &Oracle,
    text: &str,
    opened: &Document<Verified>,
    key: &DataKey,
    shown: &str,
) -> Result<(), TestCaseError> {
    let plain = Plain::parse(text.as_bytes(), opened.store());
    let plain = plain.map_err(|error| match error {
        SopsError::Ini(_) => TestCaseError::reject("a key or section that stands twice is refused here"),
        _ => TestCaseError::fail(format!("{error:?}\n{text}")),
    })?;
    let sealed = plain.seal(key, terms_of(opened), Vectors::default(), Timestamp::UNIX_EPOCH, &mut OsRng);
    let sealed = sealed.map_err(|error| TestCaseError::fail(format!("{error:?}\n{text}\n{shown}")))?;
    let found = sealed.text(None).unwrap();
    let by_sops = oracle.opened(found.as_bytes(), &[], name_of(opened.store()));
    let by_sops = by_sops.ok_or_else(|| TestCaseError::fail(format!("sops does not open\n{found}")))?;
    let (by_sops, whole) = (String::from_utf8_lossy(&by_sops), opened.whole().unwrap());
    let whole = String::from_utf8_lossy(whole.expose_secret());
    if masked(&found) == masked(shown) {
        prop_assert!(comments::is_what_sops_opened(&whole, &by_sops), "{found}\n{by_sops}\n{whole}");
        return Ok(());
    }
    prop_assert_eq!(opened.store(), Store::Yaml, "{}\n{}", text, found);
    let here = Document::parse(found.as_bytes(), Store::Yaml).unwrap();
    let here = Keys::named(&NAMES).open(here).unwrap().whole().unwrap();
    let here = comments::File { sealed: &found, opened: &String::from_utf8_lossy(here.expose_secret()) };
    let there = comments::File { sealed: shown, opened: &whole };
    let listed = Listed::of(text, there, opened.terms().rule.as_ref());
    oracle.listed.fetch_add(1, Ordering::Relaxed);
    let difference = different(&masked(&found), &masked(shown));
    prop_assert_eq!(comments::without_comments(&by_sops), comments::without_comments(&whole), "{}", found);
    prop_assert_eq!(listed.fault(here, there), None, "{:?}\n{}\n{}", listed, difference, text);
    Ok(())
}

/// sops writes no rule into a new binary file, and takes the usual one when it reads it.
fn terms_of(opened: &Document<Verified>) -> Terms {
    let rule = opened.terms().rule.filter(|_| opened.store() != Store::Binary);
    Terms { rule, ..opened.terms() }
}

/// Seals what was opened, unchanged: every token stays, only the time and the code are new, and each comment is where sops leaves it
/// when it seals its file anew.
fn sealed_again(
    oracle: &Oracle,
    opened: &Document<Verified>,
    key: &DataKey,
    shown: &str,
    is_found: bool,
) -> Result<(), TestCaseError> {
    let sealed = opened.plain().seal(key, opened.terms(), opened.vectors(), Timestamp::UNIX_EPOCH, &mut OsRng);
    let sealed = sealed.map_err(|error| TestCaseError::fail(format!("{error:?}\n{shown}")))?;
    let found = sealed.text(None).unwrap();
    let tokens = |text: &str| {
        let token = Regex::new(r"ENC\[AES256_GCM,[^]]*\]").unwrap();
        token.find_iter(text).map(|found| found.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    let new = tokens(&found).into_iter().filter(|token| !shown.contains(token)).count();
    // A comment that sops left in the clear, and finds in a block to be sealed when it reads its own file, is new besides the code.
    let comments = |text: &str| text.matches(",type:comment]").count();
    let sealed_now = comments(&found).checked_sub(comments(shown));
    prop_assert_eq!(Some(new), sealed_now.map(|now| now + 1), "{}\n{}", found, shown);
    if opened.store() == Store::Yaml && is_found {
        let arguments = ["rotate", "--filename-override", "x.yaml", "/dev/stdin"];
        let rotated = oracle.run(Path::new("/dev/null"), shown.as_bytes(), &arguments);
        let rotated = rotated.ok_or_else(|| TestCaseError::fail(format!("sops does not rotate\n{shown}")))?;
        let rotated = String::from_utf8_lossy(&rotated).into_owned();
        prop_assert_eq!(String::new(), different(&masked(&found), &masked(&rotated)));
    }
    Ok(())
}

/// The lines that only one of two texts has, in the order of each.
fn different(here: &str, there: &str) -> String {
    let only = |mark: &str, text: &str, other: &str| {
        let mut left: Vec<&str> = other.lines().collect();
        let mut more = String::new();
        for line in text.lines() {
            match left.iter().position(|other| *other == line) {
                Some(at) => drop(left.remove(at)),
                None => more.extend([mark, line, "\n"]),
            }
        }
        more
    };
    if here == there {
        String::new()
    } else {
        only("here: ", here, there) + &only("sops: ", there, here) + "(or the order)"
    }
}

/// What random files begin with, and how many there are for each that `make test` compares: `WAXWING_ORACLE_SEED` and
/// `WAXWING_ORACLE_FACTOR` say otherwise.
fn seed_and_factor() -> (u64, u32) {
    let said = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    (said("WAXWING_ORACLE_SEED").unwrap_or(1), said("WAXWING_ORACLE_FACTOR").unwrap_or(1) as u32)
}

/// Compares so many sheaves of a store, and returns how many documents that are.
fn compare_store(oracle: &Oracle, store: Store, sheaves: u32, sheaf: impl Strategy<Value = Sheaf>) -> usize {
    let (seed, factor) = seed_and_factor();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = store as u8;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let cases = sheaves * factor;
    let config = Config { cases, failure_persistence: None, max_global_rejects: 4096 * factor, ..Config::default() };
    let compared = AtomicUsize::new(0);
    let done = TestRunner::new_with_rng(config, rng).run(&sheaf, |sheaf| {
        let found = compare_all(oracle, store, &sheaf.documents, &sheaf.way)?;
        compared.fetch_add(found, Ordering::Relaxed);
        if found > 0 { Ok(()) } else { Err(TestCaseError::reject("nothing of it can be compared")) }
    });
    done.unwrap_or_else(|error| panic!("{store}, with WAXWING_ORACLE_SEED={seed}: {error}"));
    compared.into_inner()
}

/// Compares documents in one file, or where sops can't seal or open that, in several; returns how many there were.
fn compare_all(oracle: &Oracle, store: Store, documents: &[String], way: &Way) -> Result<usize, TestCaseError> {
    match (compare_one(oracle, &in_one_file(store, documents), store, way), documents) {
        (Ok(()), _) => Ok(documents.len()),
        (Err(TestCaseError::Reject(_)), [_]) => Ok(0),
        (Err(TestCaseError::Reject(_)), _) => {
            let (one, other) = documents.split_at(documents.len() / 2);
            Ok(compare_all(oracle, store, one, way)? + compare_all(oracle, store, other, way)?)
        }
        (Err(failed), _) => Err(failed),
    }
}

/// Compares a file. Some values sops writes so that it reads others: a text of go-yaml that begins with a line break in a list, a
/// backslash at the end of a line of INI. Where the code covers them it then refuses its own file, and where it covers only what is
/// sealed nobody notices there.
fn compare_one(oracle: &Oracle, text: &str, store: Store, way: &Way) -> Result<(), TestCaseError> {
    match compare(oracle, text, store, way) {
        Err(TestCaseError::Fail(why)) if way.is_mac_only => {
            match compare(oracle, text, store, &Way { is_mac_only: false, ..way.clone() }) {
                Err(TestCaseError::Reject(why)) => Err(TestCaseError::Reject(why)),
                _ => Err(TestCaseError::Fail(why)),
            }
        }
        done => done,
    }
}

/// Puts documents into one file; of most stores a file has one.
fn in_one_file(store: Store, documents: &[String]) -> String {
    match store {
        Store::Json => {
            let members = documents.iter().enumerate().map(|(at, document)| format!("\"d{at}\": {document}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        _ => documents.join("---\n"),
    }
}

#[test]
fn over_500_random_documents_that_sops_seals_open_here_and_what_is_sealed_here_opens_with_sops() {
    let Some(sops) = sops() else { return };
    let (oracle, began) = (Oracle::new(sops), Instant::now());
    let compared: usize = thread::scope(|scope| {
        let oracle = &oracle;
        let stores = [
            scope.spawn(|| compare_store(oracle, Store::Yaml, 60, random::sheaf(random::yaml(), 5))),
            scope.spawn(|| compare_store(oracle, Store::Json, 28, random::sheaf(random::json(), 5))),
            scope.spawn(|| compare_store(oracle, Store::Dotenv, 50, random::sheaf(random::dotenv(), 1))),
            scope.spawn(|| compare_store(oracle, Store::Ini, 80, random::sheaf(random::ini(), 1))),
            scope.spawn(|| compare_store(oracle, Store::Binary, 30, random::sheaf(random::binary(), 1))),
        ];
        stores.map(|store| store.join().unwrap()).iter().sum()
    });
    let (seed, _) = seed_and_factor();
    let (calls, seconds) = (oracle.calls.load(Ordering::Relaxed), began.elapsed().as_secs());
    let listed = oracle.listed.load(Ordering::Relaxed);
    eprintln!("compared {compared} documents with sops in {calls} calls and {seconds} s (WAXWING_ORACLE_SEED={seed})");
    eprintln!("{listed} files of them were sealed otherwise by sops, for a reason that is listed");
    assert!(compared >= 500, "only {compared}");
}

#[test]
fn whatever_sops_refuses_is_refused_here_and_the_list_of_what_it_accepts_is_known() {
    let Some(oracle) = sops().map(Oracle::new) else { return };
    let accepted: Vec<&str> = DEFECTS
        .iter()
        .filter(|defect| {
            let (case, extension) = defect.base.split_once('.').unwrap();
            let good = std::fs::read_to_string(fixtures().join(format!("good/{case}/sealed.{extension}"))).unwrap();
            let bad = (defect.edit)(good);
            let name = format!("x.{extension}");
            oracle.opened(bad.as_bytes(), &[], &name).is_some()
        })
        .map(|defect| defect.name)
        .collect();
    insta::assert_snapshot!(accepted.join("\n"));
}

#[test]
fn what_opens_without_a_check_of_its_code_opens_with_sops_to_the_same_bytes() {
    let Some(oracle) = sops().map(Oracle::new) else { return };
    let keys = Keys::named(&["one", "two"]);
    let mut compared = 0;
    for defect in DEFECTS {
        let (case, extension) = defect.base.split_once('.').unwrap();
        let good = std::fs::read_to_string(fixtures().join(format!("good/{case}/sealed.{extension}"))).unwrap();
        let (bad, name) = ((defect.edit)(good), format!("x.{extension}"));
        let document = Document::parse(bad.as_bytes(), Store::from_path(Path::new(&name)));
        let Some(opened) = document.ok().and_then(|document| keys.open_unverified(document).ok()) else { continue };
        let expected = oracle.opened(bad.as_bytes(), &["--ignore-mac"], &name);
        let expected = expected.unwrap_or_else(|| panic!("sops refuses what opens here: {}", defect.name));
        let whole = opened.whole().unwrap();
        assert_eq!(
            String::from_utf8_lossy(whole.expose_secret()),
            String::from_utf8_lossy(&expected),
            "{}",
            defect.name
        );
        compared += 1;
    }
    assert!(compared > 5, "{compared}");
}

type Edit = fn(&str) -> String;

/// What an editor of another system does to a text.
const FOREIGN: [(&str, Edit); 4] = [
    ("as it is", str::to_owned),
    ("line ends of Windows", |text| text.replace('\n', "\r\n")),
    ("line ends of old Macs", |text| text.replace('\n', "\r")),
    ("a byte order mark", |text| format!("\u{feff}{text}")),
];

#[test]
fn files_of_other_systems_open_and_are_sealed_as_by_sops_or_are_refused() {
    let Some(oracle) = sops().map(Oracle::new) else { return };
    let cases = ["yaml-secret.yaml", "yaml-strings.yaml", "json-values.json", "dotenv.env", "ini.ini", "binary.bin"];
    let mut report = Vec::new();
    for (case, extension) in cases.map(|case| case.split_once('.').unwrap()) {
        let read = |stem: &str| {
            let bytes = std::fs::read(fixtures().join(format!("good/{case}/{stem}.{extension}"))).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (sealed, plain, name) = (read("sealed"), read("plain"), format!("x.{extension}"));
        for (what, edit) in FOREIGN {
            let (sealed, plain) = (edit(&sealed), edit(&plain));
            let opening = compared(oracle.opened(sealed.as_bytes(), &[], &name), opened_here(&sealed, &name));
            let way = Way { rule: &[], recipients: Recipients::Any(1), is_mac_only: false };
            let theirs = oracle.sealed(plain.as_bytes(), &way, &name);
            let theirs = theirs.and_then(|sealed| oracle.opened(&sealed, &[], &name));
            let sealing = compared(theirs, sealed_and_opened_here(&plain, &name));
            report.push(format!("{case}, {what}: opened: {opening}; sealed: {sealing}"));
        }
    }
    insta::assert_snapshot!(report.join("\n"));
}

fn compared(theirs: Option<Vec<u8>>, ours: Option<Vec<u8>>) -> &'static str {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs == ours => "the same",
        (None, None) => "refused by both",
        (Some(_), None) => "refused here",
        (None, Some(_)) => "refused by sops",
        (Some(_), Some(_)) => "DIFFERENT",
    }
}

fn opened_here(sealed: &str, name: &str) -> Option<Vec<u8>> {
    let document = Document::parse(sealed.as_bytes(), Store::from_path(Path::new(name))).ok()?;
    let opened = Keys::named(&["one", "two"]).open(document).ok()?;
    Some(opened.whole().ok()?.expose_secret().to_vec())
}

fn sealed_and_opened_here(plain: &str, name: &str) -> Option<Vec<u8>> {
    let store = Store::from_path(Path::new(name));
    let key = waxwing_formats::sops::new_data_key(&mut OsRng).ok()?;
    let wrapped = waxwing_formats::WrappedKey::Age { recipient: "someone".to_owned(), enc: "wrapped\n".to_owned() };
    let plain = Plain::parse(plain.as_bytes(), store).ok()?;
    let sealed = plain.seal(&key, usual_terms(wrapped), Vectors::default(), Timestamp::UNIX_EPOCH, &mut OsRng).ok()?;
    let mut unlock = Document::parse(sealed.text(None).ok()?.as_bytes(), store).ok()?.unlock();
    while let Some(request) = unlock.next() {
        unlock.answer(request.id, Ok(DataKey::new(SecretBytes::concat(&[key.expose_secret()]))));
    }
    Some(unlock.finish().ok()?.whole().ok()?.expose_secret().to_vec())
}
