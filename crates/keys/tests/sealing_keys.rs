//! Sealing keys from outside: which key files are read, which key opens what, and how each refusal is worded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use rand_core::OsRng;
use waxwing_formats::sealed_secret::{Certificate, PublicKey, Scope, SealedItem, SealedSecretManifest, pem, seal_item};
use waxwing_formats::{Refusal, RequestId, SecretBytes, WrappedKey};
use waxwing_keys::{KeyError, Keyring, SealingKey};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("../formats/tests/fixtures/sealed_secret").join(name)).unwrap()
}

fn pair(key: &str, certificate: &str) -> Result<SealingKey, KeyError> {
    let key = SecretBytes::new(fixture(&format!("keys/{key}")));
    SealingKey::from_pem(&key, &fixture(&format!("keys/{certificate}")))
}

fn key(name: &str) -> SealingKey {
    pair(&format!("{name}.key"), &format!("{name}.crt")).unwrap()
}

fn public_key(name: &str) -> PublicKey {
    Certificate::from_pem(&fixture(&format!("keys/{name}.crt"))).unwrap().public_key
}

fn sealed_for(name: &str, label: &[u8]) -> SealedItem {
    let token = seal_item(&public_key(name), label, &SecretBytes::new(b"hello".to_vec()), &mut OsRng).unwrap();
    SealedItem::parse(&token).unwrap()
}

fn request(item: &SealedItem, label: &[u8]) -> WrappedKey {
    item.request(RequestId(0), label.to_vec()).wrapped
}

#[test]
fn keys_are_read_as_pkcs1_and_as_pkcs8() {
    let pkcs8 = pair("throw-away.pkcs8.key", "throw-away.crt").unwrap();
    assert_eq!(pkcs8.fingerprint().as_str(), "SHA256:urHIP07ww5QpScMq27HUA+rxv5CE2a1ws2UK4lX9jGI");
    assert_eq!(key("throw-away").fingerprint(), pkcs8.fingerprint());
    assert_eq!(pkcs8.not_before().to_string(), "2024-01-01T00:00:00Z");
    assert_eq!(pkcs8.certificate_pem().as_bytes(), fixture("keys/throw-away.crt"));
}

#[test]
fn an_expired_certificate_does_not_keep_its_key_from_opening() {
    let expired = pair("throw-away.key", "expired.crt").unwrap();
    let item = sealed_for("throw-away", b"");
    assert!(Keyring::new(vec![expired]).open(&request(&item, b""), None).is_ok());
}

#[test]
fn each_unusable_pair_of_files_is_refused_by_name() {
    let truncated = |name: &str| {
        let block = pem::first_block(&fixture(name), &["RSA PRIVATE KEY"]).unwrap();
        let half = STANDARD.encode(&block.der[..block.der.len() / 2]);
        format!("-----BEGIN RSA PRIVATE KEY-----\n{half}\n-----END RSA PRIVATE KEY-----\n").into_bytes()
    };
    let certificate = fixture("keys/throw-away.crt");
    let cases: [(&str, Vec<u8>, Vec<u8>); 10] = [
        ("no key", Vec::new(), certificate.clone()),
        ("a certificate in place of the key", certificate.clone(), certificate.clone()),
        ("an elliptic curve key", fixture("keys/elliptic.key"), certificate.clone()),
        ("an elliptic curve key as PKCS#8", fixture("keys/elliptic.pkcs8.key"), certificate.clone()),
        ("an RSA-1024 key", fixture("keys/small.key"), fixture("keys/small.crt")),
        ("half a key", truncated("keys/throw-away.key"), certificate),
        ("no certificate", fixture("keys/throw-away.key"), Vec::new()),
        ("a key in place of the certificate", fixture("keys/throw-away.key"), fixture("keys/throw-away.key")),
        ("the certificate of another key", fixture("keys/throw-away.key"), fixture("keys/newer.crt")),
        ("an elliptic curve certificate", fixture("keys/throw-away.key"), fixture("keys/elliptic.crt")),
    ];
    let mut report = String::new();
    for (case, key, certificate) in cases {
        let error = SealingKey::from_pem(&SecretBytes::new(key), &certificate).unwrap_err();
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        writeln!(report, "{case}: {error}{source}\n    hint: {}", error.hint()).unwrap();
    }
    insta::assert_snapshot!("unusable sealing keys", report);
}

#[test]
fn the_newest_key_seals_and_every_key_opens() {
    let keyring = Keyring::new(vec![key("big"), key("newer"), key("throw-away")]);
    let order: Vec<String> = keyring.fingerprints().map(ToString::to_string).collect();
    let expected = ["newer", "throw-away", "big"].map(|name| key(name).fingerprint().to_string());
    assert_eq!(order, expected);
    assert_eq!(keyring.certificate_pem().unwrap().as_bytes(), fixture("keys/newer.crt"));

    for name in ["big", "newer", "throw-away"] {
        let item = sealed_for(name, b"shop/db");
        let (session_key, fingerprint) = keyring.open(&request(&item, b"shop/db"), None).unwrap();
        assert_eq!(&fingerprint, key(name).fingerprint());
        assert_eq!(item.open(&session_key).unwrap().expose_secret(), b"hello");
    }
}

#[test]
fn a_hint_saves_operations_and_keys_of_another_size_are_not_tried() {
    let older = sealed_for("throw-away", b"");
    let operations = |name: &str, hint: Option<&str>| {
        let keyring = Keyring::new(vec![key("newer"), key("throw-away"), key("big")]);
        let hint = hint.map(|name| key(name).fingerprint().clone());
        let item = if name == "throw-away" { older.clone() } else { sealed_for(name, b"") };
        keyring.open(&request(&item, b""), hint.as_ref()).unwrap();
        keyring.operations()
    };
    assert_eq!(operations("throw-away", None), 2);
    assert_eq!(operations("throw-away", Some("throw-away")), 1);
    assert_eq!(operations("throw-away", Some("newer")), 2);
    assert_eq!(operations("throw-away", Some("big")), 2);
    assert_eq!(operations("big", None), 1);
}

#[test]
fn of_several_certificates_for_one_key_the_newest_counts() {
    let expired = pair("throw-away.key", "expired.crt").unwrap();
    let keyring = Keyring::new(vec![expired, key("throw-away")]);
    assert_eq!(keyring.fingerprints().count(), 1);
    assert_eq!(keyring.newest().unwrap().not_before().to_string(), "2024-01-01T00:00:00Z");
}

#[test]
fn an_rsa_block_that_lost_its_leading_zero_opens() {
    let sealed_secret = serde_json::from_slice(&fixture("dropped-zero.json")).unwrap();
    let manifest = SealedSecretManifest::parse(&sealed_secret).unwrap();
    let item = SealedItem::parse(&manifest.items()["username"]).unwrap();
    let keyring = Keyring::new(vec![key("throw-away")]);
    let (session_key, _) = keyring.open(&request(&item, &manifest.label()), None).unwrap();
    assert_eq!(item.open(&session_key).unwrap().expose_secret(), b"admin");
}

#[test]
fn each_item_that_does_not_open_is_refused_by_name() {
    let keyring = || Keyring::new(vec![key("newer"), key("throw-away")]);
    let (label, item) = (Scope::Strict.label("shop", "db"), sealed_for("throw-away", b"shop/db"));
    let cases = [
        ("another name", keyring(), request(&item, &Scope::Strict.label("shop", "other"))),
        ("another namespace", keyring(), request(&item, &Scope::Strict.label("other", "db"))),
        ("scope namespace-wide", keyring(), request(&item, &Scope::NamespaceWide.label("shop", "db"))),
        ("scope cluster-wide", keyring(), request(&item, &Scope::ClusterWide.label("shop", "db"))),
        ("another key", Keyring::new(vec![key("newer")]), request(&item, &label)),
        ("a key of another size", Keyring::new(vec![key("big")]), request(&item, &label)),
        ("a bigger block", keyring(), request(&sealed_for("big", &label), &label)),
        ("no key", Keyring::new(Vec::new()), request(&item, &label)),
        ("an empty block", keyring(), WrappedKey::SealedItem { rsa: Vec::new(), label: label.clone() }),
        ("a block of zeros", keyring(), WrappedKey::SealedItem { rsa: vec![0; 256], label: label.clone() }),
        ("a block above the modulus", keyring(), WrappedKey::SealedItem { rsa: vec![255; 256], label }),
        ("age", keyring(), WrappedKey::Age { recipient: "age1someone".to_owned(), enc: String::new() }),
        ("Huawei", keyring(), WrappedKey::HuaweiKms { key_id: "region:id".to_owned(), enc: String::new() }),
    ];
    let mut report = String::new();
    for (case, keyring, wrapped) in cases {
        let Refusal(reason) = keyring.open(&wrapped, None).unwrap_err();
        writeln!(report, "{case}: {reason}").unwrap();
    }
    insta::assert_snapshot!("items that do not open", report);
}

#[test]
fn a_generated_key_is_read_back_and_seals_what_it_opens() {
    let now = "2026-11-21T10:00:00.5Z".parse().unwrap();
    let made = SealingKey::generate(now, Duration::from_hours(24 * 3650), "", 4096).unwrap();
    assert!(made.tls_key_pem.expose_secret().starts_with(b"-----BEGIN RSA PRIVATE KEY-----\n"));
    assert!(!format!("{made:?}").contains("PRIVATE KEY"));

    let key = SealingKey::from_pem(&made.tls_key_pem, made.tls_crt_pem.as_bytes()).unwrap();
    let certificate = Certificate::from_pem(made.tls_crt_pem.as_bytes()).unwrap();
    assert_eq!(certificate.not_before.to_string(), "2026-11-21T10:00:00Z");
    assert_eq!(certificate.not_after.to_string(), "2036-11-18T10:00:00Z");

    let token = seal_item(&certificate.public_key, b"a/b", &SecretBytes::new(Vec::new()), &mut OsRng).unwrap();
    let item = SealedItem::parse(&token).unwrap();
    let wrapped = request(&item, b"a/b");
    assert!(matches!(&wrapped, WrappedKey::SealedItem { rsa, .. } if rsa.len() == 512));
    let (session_key, _) = Keyring::new(vec![key]).open(&wrapped, None).unwrap();
    assert!(item.open(&session_key).unwrap().is_empty());
}

#[test]
fn a_new_key_of_another_size_is_refused() {
    for bits in [0, 1024, 4095, 16_384] {
        let error = SealingKey::generate(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO, "", bits).unwrap_err();
        let expected = format!("no key of {bits} bits can be made; 2048, 3072, 4096 and 8192 are supported");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn dates_that_no_certificate_can_hold_are_refused() {
    for (now, days) in [("1969-12-31T23:59:59Z", 1), ("2026-01-01T00:00:00Z", 365 * 9000)] {
        let validity = Duration::from_hours(24 * days);
        let error = SealingKey::generate(now.parse().unwrap(), validity, "", 2048).unwrap_err();
        assert_eq!(error.to_string(), "the certificate's dates are out of range");
    }
}
