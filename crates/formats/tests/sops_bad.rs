//! Damaged files: each is refused, and the refusal says where and why, and never what.

#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used, reason = "a test reads fixtures and may fail")]
mod support;

use support::damage::{DEFECTS, Defect};
use support::{Keys, fixtures};
use waxwing_formats::sops::{Document, Sealed, Store};

/// Returns the refusal of a damaged file, with its sources and hint.
fn refusal(defect: &Defect, keys: &Keys) -> Option<String> {
    let (case, extension) = defect.base.split_once('.').unwrap();
    let path = fixtures().join(format!("good/{case}/sealed.{extension}"));
    let good = std::fs::read_to_string(&path).unwrap();
    let bad = (defect.edit)(good.clone());
    assert_ne!(good, bad, "the edit changed nothing: {}", defect.name);
    match Document::<Sealed>::parse(bad.as_bytes(), Store::from_path(&path)) {
        Ok(document) => keys.open(document).err().map(|error| describe(&error, error.hint())),
        Err(error) => Some(describe(&error, error.hint())),
    }
}

fn describe(error: &dyn std::error::Error, hint: &str) -> String {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}\n  hint: {hint}")
}

#[test]
fn every_defect_is_refused_with_its_place_and_a_remedy() {
    let keys = Keys::named(&["one", "two"]);
    let mut accepted = Vec::new();
    let mut report = String::new();
    for defect in DEFECTS {
        match refusal(defect, &keys) {
            Some(text) => report.push_str(&format!("{} ({})\n  {text}\n\n", defect.name, defect.base)),
            None => accepted.push(defect.name),
        }
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
    insta::assert_snapshot!(report);
}

#[test]
fn no_refusal_quotes_a_token_or_a_value() {
    let keys = Keys::named(&["one", "two"]);
    for text in DEFECTS.iter().filter_map(|defect| refusal(defect, &keys)) {
        assert!(!text.contains("ENC[") && !text.contains("hunter2") && !text.contains("mine"), "{text}");
    }
}

#[test]
fn values_of_nothing_can_be_added_unseen_and_are_nothing() {
    let path = fixtures().join("good/yaml-secret/sealed.yaml");
    let text = std::fs::read_to_string(path).unwrap().replace("type: Opaque", "type: Opaque\nnothing: null");
    let document = Document::parse(text.as_bytes(), Store::Yaml).unwrap();
    assert!(Keys::named(&["one"]).open(document).is_ok(), "as sops: null is not hashed");
}

#[test]
fn ini_that_can_not_be_read_is_refused_with_its_line() {
    let texts: [&[u8]; 10] = [
        b"a = 1\n[sops\n",
        b"\n[]\n",
        b"a = 1\nb\n",
        b"= x\n",
        b"\"\" = x\n",
        b"- = x\n",
        b"a = 1\nb = \"\"\"one\ntwo\n",
        b"[a]\nx = 1\n[a]\n",
        b"[a]\nx = 1\nx: 2\n",
        b"a = 1\nb = \xff\n",
    ];
    let refusals = texts.map(|text| {
        let error = Document::<Sealed>::parse(text, Store::Ini).unwrap_err();
        describe(&error, error.hint())
    });
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn files_beyond_the_limits_are_refused_before_they_cost_anything() {
    let long = vec![b' '; waxwing_formats::yaml::MAX_BYTES + 1];
    let deep = format!("a: {}{}", "[".repeat(300), "]".repeat(300));
    let laughs = (0..30)
        .fold("a0: &a0 [x, x]\n".to_owned(), |text, at| format!("{text}a{}: &a{} [*a{at}, *a{at}]\n", at + 1, at + 1));
    let wide = format!(
        "a: [{}]\nsops: {{lastmodified: \"2020-01-01T00:00:00Z\", age: [{{recipient: x, enc: y}}]}}\n",
        "~,".repeat(200_001)
    );
    let texts = [long.as_slice(), deep.as_bytes(), laughs.as_bytes(), wide.as_bytes()];
    let refusals: Vec<String> =
        texts.iter().map(|text| describe(&Document::<Sealed>::parse(text, Store::Yaml).unwrap_err(), "")).collect();
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn texts_made_to_be_slow_are_read_in_time_that_grows_with_their_length() {
    let block =
        "sops: {lastmodified: \"2020-01-01T00:00:00Z\", encrypted_comment_regex: x, age: [{recipient: r, enc: e}]}\n";
    let texts = [
        format!("a: 1\n{}{block}", "#\n".repeat(30_000)),
        format!("{}{block}", (0..12_000).map(|at| format!("k{at}: ~\n#\n")).collect::<String>()),
        format!("{{\"{}\": [{}], \"sops\": {{}}}}", "k".repeat(1_000_000), "null,".repeat(50_000) + "null"),
        format!("{}{}{}", "[".repeat(190), "~,".repeat(50_000), "]".repeat(190)),
        format!("a: {}{}{}\n{block}", "[".repeat(190), "~,".repeat(30_000), "]".repeat(190)),
        (0..15_000).map(|at| format!("k{at}: |\n  x\n")).collect::<String>(),
    ];
    for text in &texts {
        for store in [Store::Yaml, Store::Json] {
            let _ = Document::<Sealed>::parse(text.as_bytes(), store);
        }
        let _ = waxwing_formats::yaml::manifests(text.as_bytes());
    }
}
