//! age identities from outside: which key files are read, what they open, and how each refusal is worded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use age::secrecy::SecretString;
use waxwing_formats::{Refusal, WrappedKey};
use waxwing_keys::AgeIdentities;

const IDENTITY_FILE: &str = include_str!("fixtures/age/throw-away.txt");
const OTHER_FILE: &str = include_str!("fixtures/age/other.txt");
const DATA_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn identities(file: &str) -> AgeIdentities {
    AgeIdentities::parse(file.as_bytes()).unwrap()
}

fn wrapped(enc: &str) -> WrappedKey {
    WrappedKey::Age { recipient: "age1someone".to_owned(), enc: enc.to_owned() }
}

fn secret_line(file: &str) -> &str {
    file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap()
}

#[test]
fn what_age_encrypted_opens() {
    let identities = identities(IDENTITY_FILE);
    for enc in [include_str!("fixtures/age/data-key.age"), include_str!("fixtures/age/two-recipients.age")] {
        for enc in [enc.to_owned(), format!("\n  {enc}\n\n"), enc.trim().to_owned(), enc.replace('\n', "\r\n")] {
            assert_eq!(identities.answer(&wrapped(&enc)).unwrap().expose_secret(), DATA_KEY);
        }
    }
}

#[test]
fn key_files_may_have_comments_empty_lines_and_several_identities() {
    let file = format!("# one\r\n\r\n  {}  \r\n# two\n{}\n", secret_line(OTHER_FILE), secret_line(IDENTITY_FILE));
    let identities = identities(&file);
    assert_eq!(identities.recipients().len(), 2);
    assert!(identities.answer(&wrapped(include_str!("fixtures/age/data-key.age"))).is_ok());
}

#[test]
fn each_unusable_key_file_is_refused_by_line_and_never_quoted() {
    let good = secret_line(IDENTITY_FILE);
    let mut broken = good.to_owned();
    broken.replace_range(20..21, if &good[20..21] == "Q" { "P" } else { "Q" });
    let cases: [(&str, Vec<u8>); 10] = [
        ("nothing", Vec::new()),
        ("comments only", b"# created: now\n".to_vec()),
        ("no text", vec![0xff, 0xfe, 0]),
        ("a mistyped identity", format!("# note\n{broken}").into_bytes()),
        ("a recipient", b"\nage1d4cqk0wxqw3tj9rk6dugwd2qfd7pvmv8ht0nw4mdy8v837a5afnq5c9x38\n".to_vec()),
        ("a damaged post-quantum identity", format!("{good}\nAGE-SECRET-KEY-PQ-1SECRETSECRET\n").into_bytes()),
        ("a plugin identity", b"AGE-PLUGIN-YUBIKEY-1SECRET\n".to_vec()),
        ("an encrypted file", b"age-encryption.org/v1\n-> scrypt SECRET 18\n".to_vec()),
        ("an armored encrypted file", b"-----BEGIN AGE ENCRYPTED FILE-----\nSECRET\n".to_vec()),
        ("an SSH key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n".to_vec()),
    ];
    let mut report = String::new();
    for (case, file) in cases {
        let error = AgeIdentities::parse(&file).unwrap_err();
        writeln!(report, "{case}: {error}\n    hint: {}", error.hint()).unwrap();
        assert!(!format!("{error:?}{error}").contains(&good[18..40]));
        assert!(!format!("{error:?}{error}").contains("SECRET"));
    }
    insta::assert_snapshot!("unusable key files", report);
}

fn with_passphrase() -> String {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from("guess me".to_owned()));
    recipient.set_work_factor(2);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let mut output = Vec::new();
    let armor = age::armor::ArmoredWriter::wrap_output(&mut output, age::armor::Format::AsciiArmor).unwrap();
    let mut writer = encryptor.wrap_output(armor).unwrap();
    writer.write_all(DATA_KEY).unwrap();
    writer.finish().unwrap().finish().unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn each_wrapped_key_that_does_not_open_is_refused_by_name() {
    let good = include_str!("fixtures/age/data-key.age");
    let cases: [(&str, WrappedKey); 8] = [
        ("a passphrase", wrapped(&with_passphrase())),
        ("a file of 65 bytes", wrapped(include_str!("fixtures/age/too-long.age"))),
        ("nothing", wrapped("")),
        ("no armor", wrapped("age-encryption.org/v1")),
        ("half a file", wrapped(&good[..good.len() / 2])),
        ("two files", wrapped(&format!("{good}{good}"))),
        ("PGP", WrappedKey::Pgp { fingerprint: "0123ABCD".to_owned(), enc: String::new() }),
        (
            "AWS KMS",
            WrappedKey::AwsKms {
                arn: "arn:aws:kms:eu-west-1:1:key/k".to_owned(),
                role: None,
                context: BTreeMap::new(),
                profile: String::new(),
                enc: String::new(),
            },
        ),
    ];
    let identities = identities(IDENTITY_FILE);
    let mut report = String::new();
    for (case, wrapped) in cases {
        let Refusal(reason) = identities.answer(&wrapped).unwrap_err();
        writeln!(report, "{case}: {reason}").unwrap();
    }
    insta::assert_snapshot!("wrapped keys that do not open", report);
}

#[test]
fn the_refusal_of_a_foreign_key_names_the_recipients_that_would_do() {
    let identities = identities(OTHER_FILE);
    let Refusal(reason) = identities.answer(&wrapped(include_str!("fixtures/age/data-key.age"))).unwrap_err();
    assert_eq!(reason, format!("no identity matches; there are identities for {}", identities.recipients()[0]));
}

#[test]
fn a_damaged_file_never_opens_to_another_key() {
    let good = include_str!("fixtures/age/data-key.age");
    let identities = identities(IDENTITY_FILE);
    for at in 0..good.len() {
        for replacement in [b'A', b'\n', b'\0', b'='] {
            let mut damaged = good.as_bytes().to_vec();
            damaged[at] = replacement;
            let answer = identities.answer(&wrapped(&String::from_utf8(damaged).unwrap()));
            assert!(answer.is_err() || good.as_bytes()[at] == replacement, "byte {at}");
        }
    }
}

#[test]
fn debug_output_shows_recipients_only() {
    let identities = identities(IDENTITY_FILE);
    let shown = format!("{identities:?}");
    assert_eq!(shown, format!("AgeIdentities([{:?}])", identities.recipients()[0]));
}
