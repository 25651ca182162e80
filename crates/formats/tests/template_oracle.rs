//! Compares templates with the real kubeseal, which unseals and renders as the controller does: a table of templates, and
//! random calls of every function with arguments of the types that it takes. What it makes is made here to the byte, and
//! what it refuses is refused here.
//!
//! The program is looked for in `WAXWING_TOOLS` and in `target/tools/bin` of the workspace. Without it the tests say so and
//! pass, except under CI (`CI` is set), where they fail.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test runs a program and may fail"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand_core::OsRng;
use regex::Regex;
use serde_json::{Value, json};
use support::fixtures;
use support::templates::{VALUES, corpus, rendered};
use waxwing_formats::SecretBytes;
use waxwing_formats::go_template::{Fault, REFUSED, Signature, signatures};
use waxwing_formats::sealed_secret::{Certificate, PublicKey, Scope, seal_item};

fn kubeseal() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin");
    let folders = std::env::var_os("WAXWING_TOOLS").map(PathBuf::from).into_iter().chain([built]);
    let found = folders.map(|folder| folder.join("kubeseal")).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "kubeseal is missing: set WAXWING_TOOLS or install the tools");
        eprintln!("SKIPPED: kubeseal is missing, so nothing was compared");
    }
    found
}

/// Templates by their keys.
type Templates = BTreeMap<String, String>;

struct Oracle {
    kubeseal: PathBuf,
    sealed: Value,
}

impl Oracle {
    fn new() -> Option<Self> {
        let kubeseal = kubeseal()?;
        let pem = std::fs::read(keys().join("throw-away.crt")).unwrap();
        let key: PublicKey = Certificate::from_pem(&pem).unwrap().public_key;
        let label = Scope::Strict.label("shop", "db");
        let seal = |value: &[u8]| {
            let value = SecretBytes::new(value.to_vec());
            seal_item(&key, &label, &value, &mut OsRng).unwrap()
        };
        let items: BTreeMap<&str, String> = VALUES.iter().map(|(name, value)| (*name, seal(value))).collect();
        let sealed = json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"encryptedData": items, "template": {"data": {}}},
        });
        Some(Self { kubeseal, sealed })
    }

    /// Renders all templates, or returns the keys of those that fail.
    fn render(&self, templates: &Templates) -> Result<BTreeMap<String, Vec<u8>>, (BTreeSet<String>, String)> {
        let mut sealed = self.sealed.clone();
        sealed["spec"]["template"]["data"] = json!(templates);
        let mut command = Command::new(&self.kubeseal);
        let key = keys().join("throw-away.key");
        command.args(["--recovery-unseal", "-o", "json", "--recovery-private-key"]).arg(key).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let text = sealed.to_string();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let name = Regex::new(r"template: (t\d+):").unwrap();
            return Err((name.captures_iter(&said).map(|found| found[1].to_owned()).collect(), said));
        }
        let secret: Value = serde_json::from_slice(&output.stdout).unwrap();
        let data = secret["data"].as_object().unwrap();
        let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        Ok(templates.keys().map(|key| (key.clone(), decode(&data[key]))).collect())
    }

    /// Returns what is different, in words.
    fn compare(&self, templates: &[String]) -> Vec<String> {
        let named: Templates =
            templates.iter().enumerate().map(|(number, text)| (format!("t{number:05}"), text.clone())).collect();
        let ours: BTreeMap<&String, Result<Vec<u8>, _>> =
            named.iter().map(|(key, text)| (key, rendered(key, text, &named))).collect();
        let of = |wanted: bool| -> Templates {
            let chosen = named.iter().filter(|(key, _)| ours[key].is_ok() == wanted);
            chosen.map(|(key, text)| (key.clone(), text.clone())).collect()
        };
        let (mut good, bad) = (of(true), of(false));
        let mut differences = Vec::new();
        let (fails, said) = self.render(&bad).err().unwrap_or_default();
        assert!(bad.is_empty() || !fails.is_empty(), "upstream names no template that fails: {said}");
        for (key, text) in bad.iter().filter(|(key, _)| !fails.contains(*key)) {
            let why = ours[key].as_ref().unwrap_err();
            if !matches!(why.fault, Fault::Refused(_)) && !is_better(why.function) {
                differences.push(format!("works upstream: {text}\n   {why}"));
            }
        }
        if let Err((fails, said)) = self.render(&good) {
            assert!(!fails.is_empty(), "{said}");
            for key in fails {
                differences.push(format!("fails upstream: {}", good.remove(&key).unwrap()));
            }
        }
        for (key, theirs) in self.render(&good).map_err(|(_, said)| said).unwrap() {
            // Templates see each other's texts, so what is left is rendered again.
            let own = rendered(&key, &good[&key], &good).unwrap();
            if own != theirs {
                let (own, theirs) = (String::from_utf8_lossy(&own), String::from_utf8_lossy(&theirs));
                differences.push(format!("{}\n   ours: {own:?}\n  their: {theirs:?}", good[&key]));
            }
        }
        differences
    }
}

/// What docs/from-sealed-secrets.md names as different: upstream goes on with the text of an error, or with nothing.
fn is_better(function: Option<&str>) -> bool {
    matches!(function, Some("b64dec" | "b32dec" | "chunk" | "mustChunk" | "unset"))
}

fn keys() -> PathBuf {
    fixtures().join("../sealed_secret/keys")
}

#[test]
fn the_table_of_templates_renders_as_upstream_renders_it() {
    let Some(oracle) = Oracle::new() else { return };
    let templates = corpus();
    assert!(templates.len() >= 300, "{}", templates.len());
    let differences = oracle.compare(&templates);
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn random_calls_of_every_function_give_what_upstream_gives() {
    let Some(oracle) = Oracle::new() else { return };
    let mut runner = runner();
    let mut differences = Vec::new();
    for _ in 0..factor() {
        let mut templates = Vec::new();
        for function in signatures() {
            for _ in 0..8 {
                templates.push(random_call(&mut runner, &function));
            }
        }
        differences.extend(oracle.compare(&templates));
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// How many times as many templates as usual are compared.
fn factor() -> usize {
    std::env::var("WAXWING_ORACLE_FACTOR").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

fn runner() -> TestRunner {
    let seed: u8 = std::env::var("WAXWING_ORACLE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    TestRunner::new_with_rng(Config::default(), rng)
}

fn pick<'a>(runner: &mut TestRunner, from: &[&'a str]) -> &'a str {
    let strategy = proptest::sample::select(from.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let chosen = strategy.new_tree(runner).unwrap().current();
    from.iter().find(|text| **text == chosen).unwrap()
}

fn number(runner: &mut TestRunner, below: usize) -> usize {
    (0..below).new_tree(runner).unwrap().current()
}

fn random_call(runner: &mut TestRunner, function: &Signature) -> String {
    let mut words: Vec<String> = function.fixed.iter().map(|kind| argument(runner, kind, 0)).collect();
    if let Some(rest) = function.rest {
        let more = number(runner, 4);
        words.extend((0..more).map(|_| argument(runner, rest, 0)));
    }
    let call = format!("{} {}", function.name, words.join(" "));
    // A map's keys come in random order upstream.
    match function.name {
        "keys" => format!("{{{{ {call} | sortAlpha }}}}"),
        "values" => format!("{{{{ {call} | len }}}}"),
        _ if number(runner, 3) == 0 => format!("{{{{ {call} | toJson }}}}"),
        _ if number(runner, 3) == 0 => format!("{{{{ {call} | printf \"%#v %T\" 1 }}}}"),
        _ => format!("{{{{ {call} }}}}"),
    }
}

const TEXTS: &[&str] = &[
    ".a",
    ".password",
    ".empty",
    ".text",
    ".bytes",
    ".json",
    ".list",
    ".number",
    ".float",
    r#""""#,
    r#""a""#,
    r#"",""#,
    r#""é-ß""#,
    r#""a,b,,c""#,
    r#""0x1F""#,
    r#""-17.50""#,
    r#""[a-z]+""#,
    r#""(\\d)(.)""#,
    r#""$2${1}""#,
    r#""%v %d""#,
    r#""/a/./b/..//c.d""#,
    r#""MFRGG===""#,
    r#""v1.2.3-rc.1+b""#,
    r#"">=1.2, <3 || ^0.2""#,
    r#""YWJj""#,
    r#""null""#,
    r#""[1,\"x\",{\"k\":null}]""#,
    r#""string""#,
    r#"" a b\tc ""#,
    r#""A_b C""#,
    r#""\xff\u2028<""#,
];
const INTS: &[&str] = &["0", "1", "2", "3", "7", "-1", "-3", "'a'", "(len .a)", "1.0"];
const FLOATS: &[&str] = &["0.0", "1.5", "-2.25", "1e21", "1e-7", "3", "123456789.5"];
const DICTS: &[&str] = &[
    "(dict)",
    r#"(dict "a" 1)"#,
    r#"(dict "a" "x" "b" nil "c" (list 1 2))"#,
    r#"(dict "a" (dict "b" (dict "c" 5)))"#,
    r#"(fromJson "{\"k\":[1,2.5,{\"x\":null}]}")"#,
];
const OTHERS: &[&str] = &[
    "nil",
    "true",
    "false",
    ".missing",
    "(list)",
    r#"(list 1 "a" nil 2.5)"#,
    r#"(list "b" "a" "b")"#,
    "(until 4)",
    r#"(splitList "," .list)"#,
    "(rest list)",
    r#"(split "," "a,b")"#,
    "(add 1 2)",
    r#"(index "abc" 1)"#,
    "(chunk 2 (until 3))",
    ".",
    "(list (list 1) (list 1))",
    r#"(semver "1.2-a")"#,
    r#"(semver "3.2").Major"#,
    "(int64 5)",
    r#"(list 0 "" false)"#,
];

fn argument(runner: &mut TestRunner, kind: &str, depth: usize) -> String {
    // Now and then a type that does not fit.
    let kind = if number(runner, 25) == 0 { "interface {}" } else { kind };
    let from = match kind {
        "string" => TEXTS,
        "int" => INTS,
        "float64" => FLOATS,
        "bool" => &["true", "false", "(eq 1 1)", "(not .a)"],
        "map[string]interface {}" => DICTS,
        _ => match number(runner, 5) {
            0 => TEXTS,
            1 => INTS,
            2 => FLOATS,
            3 => DICTS,
            _ => OTHERS,
        },
    };
    match (depth, number(runner, 6)) {
        (0, 0) if kind == "string" => {
            let inner = argument(runner, "string", 1);
            format!("({} {inner})", pick(runner, &["upper", "b64enc", "trim", "quote", "sha256sum", "toJson"]))
        }
        _ => pick(runner, from).to_owned(),
    }
}

#[test]
fn versions_satisfy_the_constraints_that_they_satisfy_upstream() {
    let Some(oracle) = Oracle::new() else { return };
    let mut runner = runner();
    let templates = (0..1500 * factor()).map(|_| {
        let (constraint, version) = (random_constraint(&mut runner), random_version(&mut runner, &NUMBERS[..6]));
        format!("{{{{ semverCompare \"{constraint}\" \"{version}\" }}}} {{{{ (semver \"{version}\").Prerelease }}}}")
    });
    let templates: Vec<String> = templates.collect();
    let answers = templates.iter().filter_map(|text| rendered("t", text, &Templates::new()).ok());
    let (yes, no): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.starts_with(b"true"));
    assert!(yes.len() > 100 && no.len() > 100, "{} {} of {}", yes.len(), no.len(), templates.len());
    let differences = oracle.compare(&templates);
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

const NUMBERS: [&str; 11] = ["0", "1", "2", "3", "10", "01", "x", "X", "*", "xx", "1|2"];

/// Returns a version whose numbers are mostly among the first three.
fn random_version(runner: &mut TestRunner, numbers: &[&str]) -> String {
    let rare = |runner: &mut TestRunner| number(runner, 12) == 0;
    let count = if rare(runner) { 4 } else { 1 + number(runner, 5).min(2) };
    let mut parts = Vec::new();
    for _ in 0..count {
        let from = if number(runner, 4) == 0 { numbers } else { &numbers[..3] };
        parts.push(pick(runner, from));
    }
    let pre = ["", "-0", "-1", "-rc.1", "-rc.2", "-rc.10", "-rc", "-a.b", "-99999999999999999999", "-01", "-"];
    let pre = if number(runner, 2) == 0 { "" } else { pick(runner, &pre) };
    let metadata = if rare(runner) { pick(runner, &["+x", "+1.2", "+"]) } else { "" };
    format!("{}{}{pre}{metadata}", if rare(runner) { "v" } else { "" }, parts.join("."))
}

fn random_constraint(runner: &mut TestRunner) -> String {
    let operators = ["", "", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^", "^", "!"];
    let mut text = String::new();
    for position in 0..1 + number(runner, 3) {
        let between = pick(runner, &[" ", ", ", ",", " || ", "||", " - ", " -", " , "]);
        let operator = if between == " - " { "" } else { pick(runner, &operators) };
        let space = pick(runner, &["", "", "", " ", "\\t"]);
        text.push_str(if position == 0 { "" } else { between });
        text.push_str(&format!("{operator}{space}{}", random_version(runner, &NUMBERS)));
    }
    text
}

#[test]
fn what_is_refused_by_name_exists_upstream() {
    let Some(oracle) = Oracle::new() else { return };
    // A function that upstream does not have is refused by its parser, in words that name it.
    let templates = REFUSED.iter().map(|(name, _)| format!("{{{{ if false }}}}{{{{ {name} }}}}{{{{ end }}}}"));
    let named: Templates = templates.enumerate().map(|(number, text)| (format!("t{number:05}"), text)).collect();
    let (unknown, said) = oracle.render(&named).err().unwrap_or_default();
    assert!(unknown.is_empty(), "{said}");
}
