//! Opening without a check of the code of the whole file: what that lets through, and what it doesn't.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads fixtures and may fail")]
mod support;

use support::damage::DEFECTS;
use support::{Keys, fixtures};
use waxwing_formats::sops::{Document, Sealed, Store, UnlockError};

fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixtures().join("good").join(name)).unwrap()
}

#[test]
fn without_the_check_what_is_not_sealed_may_be_anything_and_what_is_sealed_may_not() {
    let keys = Keys::named(&["one", "two"]);
    let opens = |text: &str, store| {
        Document::<Sealed>::parse(text.as_bytes(), store).is_ok_and(|document| keys.open_unverified(document).is_ok())
    };
    let mut accepted = Vec::new();
    for defect in DEFECTS {
        let (case, extension) = defect.base.split_once('.').unwrap();
        let name = format!("{case}/sealed.{extension}");
        let store = Store::from_path(name.as_ref());
        assert!(opens(&fixture(&name), store), "{name}");
        if opens(&(defect.edit)(fixture(&name)), store) {
            accepted.push(defect.name);
        }
    }
    insta::assert_snapshot!(accepted.join("\n"));
}

#[test]
fn a_file_without_a_code_opens_to_what_it_was_and_to_nobody_without_a_key() {
    let good = fixture("yaml-secret/sealed.yaml");
    let without: String = good.lines().filter(|line| !line.contains(" mac:")).map(|line| format!("{line}\n")).collect();
    let parsed = |text: &str| Document::<Sealed>::parse(text.as_bytes(), Store::Yaml).unwrap();
    let whole = Keys::named(&["one"]).open(parsed(&good)).unwrap().whole().unwrap();
    let opened = Keys::named(&["one"]).open_unverified(parsed(&without)).unwrap();
    assert!(opened.whole().unwrap().ct_eq(&whole));
    assert!(matches!(Keys::named(&["one"]).open(parsed(&without)), Err(UnlockError::NoMac)));
    let by_stranger = Keys::named(&["two"]).open_unverified(parsed(&without));
    assert!(matches!(by_stranger, Err(UnlockError::NoKey { .. })));
}

#[test]
fn what_was_verified_can_be_taken_for_what_was_not() {
    let document = Document::<Sealed>::parse(fixture("yaml-secret/sealed.yaml").as_bytes(), Store::Yaml).unwrap();
    let verified = Keys::named(&["one"]).open(document).unwrap();
    let whole = verified.whole().unwrap();
    assert!(Document::<waxwing_formats::sops::Unverified>::from(verified).whole().unwrap().ct_eq(&whole));
}
