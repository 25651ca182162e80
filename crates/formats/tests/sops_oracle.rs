//! Compares with the live sops program: random files (the same in every run) that it seals open here to the bytes
//! that it prints, what is sealed here has the text that it writes and opens there, and what it refuses is refused here.
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

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand_core::OsRng;
use regex::Regex;
use support::damage::DEFECTS;
use support::masked::masked;
use support::{Keys, fixtures};
use waxwing_formats::DataKey;
use waxwing_formats::sops::{Document, Plain, SopsError, Store, Terms, Vectors, Verified};

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

/// Runs sops over a text; nothing if it refuses.
fn run(sops: &Path, text: &[u8], arguments: &[&str]) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut child = Command::new(sops)
        .args(["--config", "/dev/null"])
        .args(arguments)
        .env_clear()
        .env("SOPS_AGE_KEY_FILE", fixtures().join("keys/one.txt"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

fn recipient() -> String {
    let text = std::fs::read_to_string(fixtures().join("keys/one.txt")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

/// Seals, opens with both, and compares the bytes.
fn compare(sops: &Path, text: &str, name: &str, flags: &[&str]) -> Result<(), TestCaseError> {
    let recipient = recipient();
    let mut seal = vec!["--encrypt", "--age", &recipient, "--filename-override", name];
    seal.extend(flags);
    let Some(sealed) = run(sops, text.as_bytes(), &[&seal, ["/dev/stdin"].as_slice()].concat()) else {
        return Err(TestCaseError::reject("sops does not seal this"));
    };
    let Some(expected) = run(sops, &sealed, &["--decrypt", "--filename-override", name, "/dev/stdin"]) else {
        return Err(TestCaseError::reject("sops does not open its own file"));
    };
    if String::from_utf8_lossy(&expected).contains("ENC[AES256_GCM,") {
        return Err(TestCaseError::reject(
            "sops loses a comment: it looks for it in another place than it sealed it for",
        ));
    }
    let shown = String::from_utf8_lossy(&sealed).into_owned();
    if shown.lines().any(|line| line.trim_start_matches([' ', '-']).starts_with('#') && line.contains("- #")) {
        return Err(TestCaseError::reject(
            "sops drops a comment above a list in a list when one stands behind the dash",
        ));
    }
    let document = Document::parse(&sealed, Store::from_path(Path::new(name)));
    let document = document.map_err(|error| TestCaseError::fail(format!("{error:?}\n{shown}")))?;
    let opened = Keys::named(&["one"]).open_with_key(document);
    let (opened, key) = opened.map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
    let whole = opened.whole().unwrap();
    prop_assert_eq!(String::from_utf8_lossy(whole.expose_secret()), String::from_utf8_lossy(&expected), "{}", shown);
    sealed_here(sops, text, name, &opened, &key, &shown)?;
    sealed_again(&opened, &key, &shown)
}

/// Seals the same text here under the same terms: what is not random in it is what sops wrote, and sops opens it to the same
/// bytes.
fn sealed_here(
    sops: &Path,
    text: &str,
    name: &str,
    opened: &Document<Verified>,
    key: &DataKey,
    shown: &str,
) -> Result<(), TestCaseError> {
    let plain = Plain::parse(text.as_bytes(), opened.store());
    let plain = plain.map_err(|error| match error {
        SopsError::Ini(_) => TestCaseError::reject("a key or section that stands twice is refused here"),
        _ => TestCaseError::fail(format!("{error:?}\n{text}")),
    })?;
    let sealed = plain.seal(key, terms_of(opened, name), Vectors::default(), Timestamp::UNIX_EPOCH, &mut OsRng);
    let sealed = sealed.map_err(|error| TestCaseError::fail(format!("{error:?}\n{text}\n{shown}")))?;
    let found = sealed.text(None).unwrap();
    let kept = if has_odd_comments(text) { without_comments } else { masked };
    prop_assert_eq!(kept(&found), kept(shown), "{}", text);
    let by_sops = run(sops, found.as_bytes(), &["--decrypt", "--filename-override", name, "/dev/stdin"]);
    let by_sops = by_sops.ok_or_else(|| TestCaseError::fail(format!("sops does not open\n{found}")))?;
    let whole = opened.whole().unwrap();
    prop_assert_eq!(kept(&String::from_utf8_lossy(&by_sops)), kept(&String::from_utf8_lossy(whole.expose_secret())));
    Ok(())
}

/// Tells whether a comment stands in another column right below a comment, or ends a block below a deeper line: sops finds some
/// of these in the file itself and not in the block that they stand in.
fn has_odd_comments(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    // Of an item that is a mapping, the column of its key.
    let marks = |line: &str| if line.contains(": ") { [' ', '-'] } else { [' ', ' '] };
    let column = |line: &str| line.len() - line.trim_start_matches(marks(line)).len();
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let is_odd = |at: usize, above: &str, below: &str| {
        let follows = lines.get(at + 2).map_or(0, |next| column(next));
        let ends_block = column(above) > column(below) && follows < column(below);
        is_comment(below) && (ends_block || (is_comment(above) && column(above) != column(below)))
    };
    lines.iter().zip(lines.iter().skip(1)).enumerate().any(|(at, (above, below))| is_odd(at, above, below))
}

/// What is left of a sealed file, masked, without its comments.
fn without_comments(sealed: &str) -> String {
    let is_comment =
        |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.contains("ENC[comment]");
    let masked = masked(sealed);
    let lines = masked.lines().filter(|line| !is_comment(line)).map(|line| line.split(" #").next().unwrap_or_default());
    lines.map(|line| format!("{line}\n")).collect()
}

/// sops writes no rule into a new binary file, and takes the usual one when it reads it.
fn terms_of(opened: &Document<Verified>, name: &str) -> Terms {
    let rule = opened.terms().rule.filter(|_| !name.ends_with(".bin"));
    Terms { rule, ..opened.terms() }
}

/// Seals what was opened, unchanged: every token stays, only the time and the code are new.
fn sealed_again(opened: &Document<Verified>, key: &DataKey, shown: &str) -> Result<(), TestCaseError> {
    let sealed = opened.plain().seal(key, opened.terms(), opened.vectors(), Timestamp::UNIX_EPOCH, &mut OsRng);
    let sealed = sealed.map_err(|error| TestCaseError::fail(format!("{error:?}\n{shown}")))?;
    let found = sealed.text(None).unwrap();
    let tokens = |text: &str| {
        let token = Regex::new(r"ENC\[AES256_GCM,[^]]*\]").unwrap();
        token.find_iter(text).map(|found| found.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    let new = tokens(&found).into_iter().filter(|token| !shown.contains(token)).count();
    prop_assert_eq!(new, 1, "{}\n{}", found, shown);
    Ok(())
}

/// Runs so many cases, or as many times more as `WAXWING_ORACLE_FACTOR` says.
fn runner(cases: u32) -> TestRunner {
    let factor = std::env::var("WAXWING_ORACLE_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let cases = cases * factor;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases, failure_persistence: None, max_global_rejects: 4096 * factor, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
}

/// A scalar in YAML's spelling.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "-?[0-9]{1,8}",
        "[0-9]{1,3}\\.[0-9]{1,3}(e[0-9])?",
        prop::sample::select(vec!["yes", "null", "true", "0x1F", "017", "2020-01-01", "1_000", "~", ".inf", "\"\""])
            .prop_map(str::to_owned),
        "[ -~éü漢🦭]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[a-z \n#:'-]{0,30}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

/// A block of YAML, as lines without indentation of its own.
fn block() -> impl Strategy<Value = Vec<String>> {
    let leaf = scalar().prop_map(|text| vec![text]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let comment = prop::option::weighted(0.3, "[a-z #:]{0,8}");
        let behind = prop::option::weighted(0.2, "[a-z]{1,5}");
        let children = prop::collection::vec((comment, inner, behind), 1..4);
        (children, any::<bool>(), any::<bool>()).prop_map(|(children, list, foot)| nest(children, list, foot))
    })
}

type Piece = (Option<String>, Vec<String>, Option<String>);

fn nest(children: Vec<Piece>, list: bool, foot: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, (comment, inner, behind)) in children.into_iter().enumerate() {
        lines.extend(comment.map(|text| format!("# {text}")));
        let mark =
            if list { "-".to_owned() } else { format!("k{at}_{}:", if at % 2 == 0 { "a" } else { "unencrypted" }) };
        match inner.as_slice() {
            [scalar] if !scalar.ends_with(':') && !scalar.starts_with("- ") && !scalar.starts_with('#') => {
                let behind = behind.map(|text| format!(" # {text}")).unwrap_or_default();
                lines.push(format!("{mark} {scalar}{behind}"));
            }
            _ => {
                lines.push(mark);
                lines.extend(inner.into_iter().map(|line| format!("    {line}")));
            }
        }
    }
    if foot {
        lines.push("# foot".to_owned());
    }
    lines
}

#[test]
fn random_yaml_that_sops_seals_opens_to_the_bytes_that_sops_prints() {
    let Some(sops) = sops() else { return };
    let documents = prop::collection::vec(prop::collection::vec(block(), 1..4), 1..3);
    let text = documents.prop_map(|documents| {
        let document = |blocks: Vec<Vec<String>>| {
            let pieces = blocks.into_iter().map(|block| (None, block, None)).collect();
            nest(pieces, false, false).join("\n") + "\n"
        };
        documents.into_iter().map(document).collect::<Vec<_>>().join("---\n")
    });
    runner(24).run(&text, |text| compare(&sops, &text, "x.yaml", &[])).unwrap();
}

#[test]
fn random_rules_over_comments_open_as_sops_opens_them() {
    let Some(sops) = sops() else { return };
    let text = prop::collection::vec(block(), 1..4).prop_map(|blocks| {
        let pieces = blocks.into_iter().map(|block| (Some("ab".to_owned()), block, None)).collect();
        nest(pieces, false, false).join("\n") + "\n"
    });
    for flags in [["--encrypted-comment-regex", "a.?b"], ["--unencrypted-comment-regex", "^ ?a.?b"]] {
        runner(8).run(&text, |text| compare(&sops, &text, "x.yaml", &flags)).unwrap();
    }
}

#[test]
fn random_json_dotenv_and_bytes_open_as_sops_opens_them() {
    let Some(sops) = sops() else { return };
    let text = prop::collection::btree_map("[a-z_]{1,4}", "\\PC{0,12}", 1..5);
    runner(8).run(&text, |map| compare(&sops, &serde_json::to_string(&map).unwrap(), "x.json", &[])).unwrap();
    runner(8)
        .run(&text, |map| {
            let lines = map.iter().map(|(key, value)| format!("{key}={}\n", value.replace('\n', "")));
            compare(&sops, &lines.collect::<String>(), "x.env", &[])
        })
        .unwrap();
    runner(8).run(&"(?s).{0,40}", |text| compare(&sops, &text, "x.bin", &[])).unwrap();
}

/// INI: keys, some quoted, with values that are quoted, continued, commented and none of these.
fn ini() -> impl Strategy<Value = String> {
    let comment = || prop::option::weighted(0.3, "[#;][ -~]{0,8}");
    let value = prop_oneof![
        "[ -~é漢]{0,16}",
        "[#;\"'`\\\\ =:a]{0,8}",
        "`[ -~]{0,8}`",
        "\"\"\"[ -~\n]{1,20}\"\"\"",
        "[a-z]{1,4} \\\\\n *[a-z#]{0,4}",
    ];
    let key = (comment(), prop::sample::select(vec!["k", "`a=b` k", "two words ", "\"q\""]), value, "[=:]");
    let section = (comment(), prop::option::weighted(0.2, "[#;][a-z ]{0,5}"), prop::collection::vec(key, 0..5));
    prop::collection::vec(section, 1..4).prop_map(|sections| {
        let mut lines = Vec::new();
        for (number, (above, behind, keys)) in sections.into_iter().enumerate() {
            lines.extend(above);
            lines.extend((number > 0).then(|| format!("[s{number}] {}", behind.unwrap_or_default())));
            for (number, (above, name, value, delimiter)) in keys.into_iter().enumerate() {
                lines.extend(above);
                let name = name.replace('k', &format!("k{number}")).replace('q', &format!("q{number}"));
                lines.push(format!("{name}{delimiter} {value}"));
            }
        }
        lines.join("\n") + "\n"
    })
}

#[test]
fn random_ini_opens_as_sops_opens_it() {
    let Some(sops) = sops() else { return };
    runner(16).run(&ini(), |text| compare(&sops, &text, "x.ini", &[])).unwrap();
}

#[test]
fn whatever_sops_refuses_is_refused_here_and_the_list_of_what_it_accepts_is_known() {
    let Some(sops) = sops() else { return };
    let accepted: Vec<&str> = DEFECTS
        .iter()
        .filter(|defect| {
            let (case, extension) = defect.base.split_once('.').unwrap();
            let good = std::fs::read_to_string(fixtures().join(format!("good/{case}/sealed.{extension}"))).unwrap();
            let bad = (defect.edit)(good);
            let name = format!("x.{extension}");
            run(&sops, bad.as_bytes(), &["--decrypt", "--filename-override", &name, "/dev/stdin"]).is_some()
        })
        .map(|defect| defect.name)
        .collect();
    insta::assert_snapshot!(accepted.join("\n"));
}

#[test]
fn what_opens_without_a_check_of_its_code_opens_with_sops_to_the_same_bytes() {
    let Some(sops) = sops() else { return };
    let keys = Keys::named(&["one", "two"]);
    let mut compared = 0;
    for defect in DEFECTS {
        let (case, extension) = defect.base.split_once('.').unwrap();
        let good = std::fs::read_to_string(fixtures().join(format!("good/{case}/sealed.{extension}"))).unwrap();
        let (bad, name) = ((defect.edit)(good), format!("x.{extension}"));
        let document = Document::parse(bad.as_bytes(), Store::from_path(Path::new(&name)));
        let Some(opened) = document.ok().and_then(|document| keys.open_unverified(document).ok()) else { continue };
        let arguments = ["--decrypt", "--ignore-mac", "--filename-override", &name, "/dev/stdin"];
        let expected = run(&sops, bad.as_bytes(), &arguments);
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
