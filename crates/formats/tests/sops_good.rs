//! Files that the real sops made: they open, and what comes out is what sops itself prints.

#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used, reason = "a test reads fixtures and may fail")]
mod support;

use serde_json::Value;
use support::{Keys, cases, file, fixtures};
use waxwing_formats::sops::{Document, Sealed, Store, is_sealed};
use waxwing_formats::{KeyPath, Segment};

#[test]
fn every_file_opens_to_the_bytes_that_sops_prints() {
    let keys = Keys::named(&["one", "two"]);
    let mut different = Vec::new();
    for case in cases("good") {
        let (path, sealed) = file(&case, "sealed");
        assert!(is_sealed(&sealed, Store::from_path(&path)), "{}", case.display());
        let whole = keys.open_file(&path).whole().unwrap();
        let expected = file(&case, "opened").1;
        if whole.expose_secret() != expected {
            let found = String::from_utf8_lossy(whole.expose_secret()).into_owned();
            different.push(format!("{}\n{found}", case.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n====\n"));
}

#[test]
fn every_sealed_value_is_the_one_that_sops_finds_in_its_place() {
    let keys = Keys::named(&["one", "two"]);
    let mut compared = 0;
    for case in cases("good").iter().filter(|case| case.join("opened.json.txt").exists()) {
        let (path, _) = file(case, "sealed");
        let expected: Value = serde_json::from_slice(&file(case, "opened.json").1).unwrap();
        let document = keys.open_file(&path);
        for (leaf, value) in document.values() {
            let text = String::from_utf8_lossy(value.text.expose_secret());
            let found = at(&expected, leaf.path).unwrap_or_else(|| panic!("{} {}", case.display(), leaf.path));
            assert!(same(found, &text), "{} {}: {found} and {text}", case.display(), leaf.path);
            assert!(document.value(leaf.document, leaf.path).is_some());
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} values compared");
}

fn at<'a>(value: &'a Value, path: &KeyPath) -> Option<&'a Value> {
    path.segments().iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(index) => value.get(index),
    })
}

fn same(expected: &Value, text: &str) -> bool {
    match expected {
        Value::String(expected) => expected == text,
        Value::Number(number) => text.parse::<f64>().ok() == number.as_f64(),
        Value::Bool(value) => text == value.to_string(),
        _ => false,
    }
}

#[test]
fn skeletons_without_secrets_are_what_kubectl_would_read_from_sops_output() {
    let keys = Keys::named(&["one", "two"]);
    for case in cases("good") {
        let (path, _) = file(&case, "sealed");
        if Store::from_path(&path) != Store::Yaml || case.ends_with("yaml-scalars") {
            continue;
        }
        let document = keys.open_file(&path);
        let Ok(mut skeletons) = document.skeletons(&mut |document, path, _| format!("{document} {path}")) else {
            assert!(case.ends_with("yaml-scalars-unencrypted"), "only infinities are refused: {}", case.display());
            continue;
        };
        let mut expected: Vec<Value> = waxwing_formats::yaml::manifests(&file(&case, "opened").1)
            .unwrap()
            .into_iter()
            .map(|document| document.value)
            .collect();
        skeletons.iter_mut().zip(&mut expected).for_each(|(skeleton, expected)| blank(skeleton, expected));
        assert_eq!(skeletons, expected, "{}", case.display());
    }
}

/// Replaces stand-ins and what is in their place by null.
fn blank(skeleton: &mut Value, expected: &mut Value) {
    match (skeleton, expected) {
        (Value::Object(one), Value::Object(two)) => {
            one.iter_mut().for_each(|(key, value)| blank(value, two.get_mut(key).unwrap()));
        }
        (Value::Array(one), Value::Array(two)) => {
            one.iter_mut().zip(two).for_each(|(one, two)| blank(one, two));
        }
        (one @ Value::String(_), two) if one.as_str().unwrap().contains(" /") => {
            *one = Value::Null;
            *two = Value::Null;
        }
        _ => {}
    }
}

#[test]
fn shamir_groups_open_with_any_two_of_three_keys_and_no_more_are_asked() {
    let path = fixtures().join("good/yaml-shamir/sealed.yaml");
    for names in [["one", "two"], ["two", "three"], ["three", "one"]] {
        let document = Keys::named(&names).open_file(&path);
        assert_eq!(document.provenance().len(), 2);
        let password = document.value(0, &KeyPath::root().key("password")).unwrap();
        assert_eq!(password.text.expose_secret(), b"hunter2");
    }
    let sealed = std::fs::read(path).unwrap();
    let error = Keys::named(&["two"]).open(Document::parse(&sealed, Store::Yaml).unwrap()).unwrap_err();
    insta::assert_snapshot!(error);
}

#[test]
fn asking_stops_at_the_first_key_that_opens_and_goes_on_after_one_that_does_not() {
    let sealed = std::fs::read(fixtures().join("good/yaml-two-recipients/sealed.yaml")).unwrap();
    let keys = Keys::named(&["one", "two"]);

    let mut unlock = Document::<Sealed>::parse(&sealed, Store::Yaml).unwrap().unlock();
    let first = unlock.next().unwrap();
    unlock.answer(first.id, keys.answer(&first));
    assert_eq!(unlock.next(), None);
    assert_eq!(unlock.finish().unwrap().provenance(), [first.wrapped.recipient()]);

    let mut unlock = Document::<Sealed>::parse(&sealed, Store::Yaml).unwrap().unlock();
    let first = unlock.next().unwrap();
    let wrong = waxwing_formats::DataKey::new(waxwing_formats::SecretBytes::new(vec![7; 32]));
    unlock.answer(first.id, Ok(wrong));
    let second = unlock.next().unwrap();
    unlock.answer(second.id, keys.answer(&second));
    assert_eq!(unlock.finish().unwrap().provenance(), [second.wrapped.recipient()]);
}
