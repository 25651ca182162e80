//! Compares with the live sops program: random files (the same in every run) that it seals open here to the bytes
//! that it prints, and what it refuses is refused here.
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

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::damage::DEFECTS;
use support::{Keys, fixtures};
use waxwing_formats::sops::{Document, Store};

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
    let opened =
        Keys::named(&["one"]).open(document).map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
    let whole = opened.whole().unwrap();
    prop_assert_eq!(String::from_utf8_lossy(whole.expose_secret()), String::from_utf8_lossy(&expected), "{}", shown);
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases, failure_persistence: None, max_global_rejects: 4096, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
}

/// A scalar in YAML's spelling.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
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
    runner(48).run(&text, |text| compare(&sops, &text, "x.yaml", &[])).unwrap();
}

#[test]
fn random_rules_over_comments_open_as_sops_opens_them() {
    let Some(sops) = sops() else { return };
    let text = prop::collection::vec(block(), 1..4).prop_map(|blocks| {
        let pieces = blocks.into_iter().map(|block| (Some("ab".to_owned()), block, None)).collect();
        nest(pieces, false, false).join("\n") + "\n"
    });
    for flags in [["--encrypted-comment-regex", "a.?b"], ["--unencrypted-comment-regex", "^ ?a.?b"]] {
        runner(12).run(&text, |text| compare(&sops, &text, "x.yaml", &flags)).unwrap();
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
    runner(48).run(&ini(), |text| compare(&sops, &text, "x.ini", &[])).unwrap();
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
