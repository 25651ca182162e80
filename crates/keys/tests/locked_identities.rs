//! Keys with a passphrase: which files are recognized, what they open once unlocked, and how each refusal is worded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use age::secrecy::SecretString;
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};
use waxwing_keys::{AgeIdentities, AgeRecipient, LockedIdentities};

const DATA_KEY: &[u8] = &[7; 32];

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn passphrase(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn wrapped_for(recipient: &str) -> WrappedKey {
    let recipient: AgeRecipient = recipient.parse().unwrap();
    recipient.wrap(&DataKey::new(SecretBytes::concat(&[DATA_KEY]))).unwrap()
}

/// Locks a file with little work, which the age program has no flag for.
fn locked(file: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from("open sesame".to_owned()));
    recipient.set_work_factor(2);
    age::encrypt(&recipient, file).unwrap()
}

/// Key files with a passphrase, and the same without.
const LOCKED: [(&str, &str); 4] = [
    ("ssh/ed25519.locked", "ssh/ed25519"),
    ("ssh/rsa.locked", "ssh/rsa"),
    ("age/locked.age", "age/throw-away.txt"),
    ("age/locked.bin", "age/throw-away.txt"),
];

#[test]
fn the_passphrase_unlocks_the_identities_that_the_file_would_have_without() {
    for (locked, open) in LOCKED {
        let recipients = AgeIdentities::parse(&fixture(open)).unwrap().recipients();
        let unlocked =
            LockedIdentities::recognize(&fixture(locked)).unwrap().unlock(&passphrase("open sesame")).unwrap();
        assert_eq!(unlocked.recipients(), recipients, "{locked}");
        let wrapped = wrapped_for(&recipients[0]);
        assert_eq!(unlocked.answer(&wrapped).unwrap().expose_secret(), DATA_KEY, "{locked}");
    }
}

#[test]
fn a_file_without_armor_keeps_a_last_byte_that_looks_like_white_space() {
    let open = fixture("age/throw-away.txt");
    let ends_in_space = |file: &Vec<u8>| file.last().is_some_and(u8::is_ascii_whitespace);
    let file = (0..10_000).map(|_| locked(&open)).find(ends_in_space).unwrap();
    let unlocked = LockedIdentities::recognize(&file).unwrap().unlock(&passphrase("open sesame")).unwrap();
    assert_eq!(unlocked.recipients(), AgeIdentities::parse(&open).unwrap().recipients());
}

#[test]
fn an_ssh_key_knows_without_its_passphrase_whether_it_is_meant() {
    let own = AgeIdentities::parse(&fixture("ssh/ed25519")).unwrap().recipients().remove(0);
    let other = AgeIdentities::parse(&fixture("ssh/other")).unwrap().recipients().remove(0);
    let pgp = WrappedKey::Pgp { fingerprint: "0123ABCD".to_owned(), enc: String::new() };
    let damaged = WrappedKey::Age { recipient: own.clone(), enc: "no age file".to_owned() };
    for (file, expected) in
        [("ssh/ed25519.locked", [true, false, false, false]), ("age/locked.age", [true, true, false, true])]
    {
        let locked = LockedIdentities::recognize(&fixture(file)).unwrap();
        let met = [&wrapped_for(&own), &wrapped_for(&other), &pgp, &damaged].map(|wrapped| locked.may_open(wrapped));
        assert_eq!(met, expected, "{file}");
    }
}

#[test]
fn files_without_a_passphrase_are_not_taken_for_locked_ones() {
    for name in ["ssh/ed25519", "ssh/rsa.pkcs1", "ssh/rsa.locked.pkcs1", "ssh/ed25519.pub", "age/throw-away.txt"] {
        assert!(LockedIdentities::recognize(&fixture(name)).is_none(), "{name}");
    }
    assert!(LockedIdentities::recognize(b"").is_none());
}

#[test]
fn each_file_that_stays_locked_is_refused_in_words_and_so_is_each_where_nobody_is_asked() {
    let mut report = String::new();
    let damaged = |name: &str| {
        let file = String::from_utf8(fixture(name)).unwrap();
        file.lines().take(2).chain(file.lines().last()).collect::<Vec<_>>().join("\n").into_bytes()
    };
    let much = String::from_utf8_lossy(&fixture("age/locked.bin")).replacen(" 18\n", " 30\n", 1).into_bytes();
    for (case, file, secret) in [
        ("another passphrase", locked(b"# nothing"), "open"),
        ("no passphrase", locked(b"# nothing"), ""),
        ("another passphrase of an SSH key", fixture("ssh/ed25519.locked"), "open"),
        ("no passphrase of an SSH key", fixture("ssh/rsa.locked"), ""),
        ("for a recipient", fixture("age/data-key.age"), "open sesame"),
        ("a plugin in it", locked(b"AGE-PLUGIN-X-1AAAA"), "open sesame"),
        ("nothing in it", locked(b"# nothing"), "open sesame"),
        ("damaged", damaged("age/locked.age"), "open sesame"),
        ("too much work", much, "open sesame"),
    ] {
        let error = LockedIdentities::recognize(&file).unwrap().unlock(&passphrase(secret)).unwrap_err();
        writeln!(report, "{case}: {error}").unwrap();
    }
    for (file, _) in LOCKED {
        let error = AgeIdentities::parse(&fixture(file)).unwrap_err();
        writeln!(report, "{file}, where nobody is asked: {error}; hint: {}", error.hint()).unwrap();
    }
    insta::assert_snapshot!(report);
}
