//! SSH keys as age identities and recipients: which files are read, what they open, how bad ones are refused, and that age judges
//! the same.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};
use waxwing_harness::{Failure, Upstream};
use waxwing_keys::{AgeIdentities, AgeRecipient};

/// Key files and the public keys that belong to them.
const FORMS: [(&str, &str); 6] = [
    ("ed25519", "ed25519.pub"),
    ("ed25519.pkcs8", "ed25519.pub"),
    ("rsa", "rsa.pub"),
    ("rsa.pkcs1", "rsa.pub"),
    ("rsa.pkcs8", "rsa.pub"),
    ("big-rsa", "big-rsa.pub"),
];
const DATA_KEY: &[u8] = &[7; 32];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ssh").join(name)
}

fn fixture(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn identities(name: &str) -> AgeIdentities {
    AgeIdentities::parse(fixture(name).as_bytes()).unwrap()
}

fn recipient(name: &str) -> AgeRecipient {
    fixture(name).parse().unwrap()
}

fn data_key() -> DataKey {
    DataKey::new(SecretBytes::concat(&[DATA_KEY]))
}

fn upstream() -> Option<Upstream> {
    match Upstream::new().and_then(|upstream| upstream.age(&[]).map(|_| upstream)) {
        Ok(upstream) => Some(upstream),
        Err(failure @ Failure::MissingTool { .. }) => {
            eprintln!("SKIPPED: {failure}: {}", failure.hint().unwrap_or_default());
            None
        }
        Err(failure) => panic!("{failure:?}"),
    }
}

#[test]
fn what_is_wrapped_for_an_ssh_key_opens_with_every_form_of_its_private_half_and_with_no_other() {
    for (private, public) in FORMS {
        let wrapped = recipient(public).wrap(&data_key()).unwrap();
        assert_eq!(identities(private).answer(&wrapped).unwrap().expose_secret(), DATA_KEY, "{private}");
        let WrappedKey::Age { recipient: name, .. } = &wrapped else { panic!("age wraps for age") };
        assert_eq!(name, fixture(public).trim());
        assert!(fixture(public).starts_with(&identities(private).recipients()[0]));
        for (other, _) in FORMS.iter().filter(|(_, other)| *other != public) {
            assert!(identities(other).answer(&wrapped).is_err(), "{other} opened what is for {private}");
        }
        assert!(identities("other").answer(&wrapped).is_err());
    }
}

#[test]
fn what_is_wrapped_for_an_ssh_key_age_opens_and_the_other_way_round() {
    let Some(upstream) = upstream() else { return };
    for (private, public) in FORMS {
        let (identity, key) = (path(private).display().to_string(), fixture(public).trim().to_owned());
        let enc = upstream.age(&["-a", "-r", &key]).unwrap().stdin(DATA_KEY).text().unwrap();
        let wrapped = WrappedKey::Age { recipient: key, enc };
        assert_eq!(identities(private).answer(&wrapped).unwrap().expose_secret(), DATA_KEY, "{private}");

        let WrappedKey::Age { enc, .. } = recipient(public).wrap(&data_key()).unwrap() else { panic!("age wraps") };
        let opened = upstream.age(&["-d", "-i", &identity]).unwrap().stdin(enc).run().unwrap();
        assert_eq!(opened.stdout, DATA_KEY, "{private}: {}", opened.stderr);
    }
}

#[test]
fn an_ssh_recipient_may_have_more_blanks_or_a_comment_or_none() {
    let key = fixture("ed25519.pub");
    let [kind, key, ..] = key.split(' ').collect::<Vec<_>>()[..] else { panic!("a key has two words") };
    for line in [format!("{kind} {key}"), format!("  {kind}   {key}\ta comment of some words \n")] {
        let wrapped = line.parse::<AgeRecipient>().unwrap().wrap(&data_key()).unwrap();
        assert!(identities("ed25519").answer(&wrapped).is_ok());
        assert_eq!(wrapped.recipient(), format!("age {}", line.trim()));
    }
}

#[test]
fn key_files_may_be_wrapped_otherwise_and_have_text_and_line_ends_of_other_kinds() {
    let key = fixture("ed25519");
    let (lines, own) = (key.lines().collect::<Vec<_>>(), identities("ed25519").recipients());
    let wide = format!("{}\n{}\n{}\n", lines[0], lines[1..lines.len() - 1].concat(), lines[lines.len() - 1]);
    for file in [key.replace('\n', "\r\n"), wide, format!("\n  {}  \n", key.trim())] {
        assert_eq!(AgeIdentities::parse(file.as_bytes()).unwrap().recipients(), own);
    }
}

#[test]
fn each_unusable_ssh_key_is_refused_in_words_and_never_quoted() {
    let cut = |name: &str| {
        let key = fixture(name);
        let lines: Vec<&str> = key.lines().collect();
        [&lines[..2], &lines[lines.len() - 1..]].concat().join("\n")
    };
    let mut report = String::new();
    for (case, file) in [
        ("a passphrase", fixture("ed25519.locked")),
        ("a passphrase for RSA", fixture("rsa.locked")),
        ("a passphrase in PEM", fixture("rsa.locked.pkcs1")),
        ("another kind", fixture("ecdsa")),
        ("too small", fixture("small-rsa")),
        ("half of it", fixture("ed25519")[..200].to_owned()),
        ("two lines of it", cut("ed25519")),
        ("two lines of RSA", cut("rsa.pkcs1")),
        ("a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        ("nothing in it", "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n".to_owned()),
    ] {
        let error = AgeIdentities::parse(file.as_bytes()).unwrap_err();
        writeln!(report, "{case}: {error}\n    hint: {}", error.hint()).unwrap();
    }
    for (case, line) in [
        ("too small a recipient", fixture("small-rsa.pub").split(' ').take(2).collect::<Vec<_>>().join(" ")),
        ("another kind of recipient", "ssh-dss AAAA".to_owned()),
        ("half a recipient", fixture("ed25519.pub")[..40].to_owned()),
        ("no key", "ssh-rsa".to_owned()),
        ("another key than it says", fixture("ed25519.pub").replace("ssh-ed25519", "ssh-rsa").trim().to_owned()),
        ("a number of zeros", zeros()),
    ] {
        let error = line.parse::<AgeRecipient>().unwrap_err();
        let error = error.to_string().replace(&line, "LINE");
        writeln!(report, "{case}: {error}").unwrap();
    }
    insta::assert_snapshot!(report);
}

/// An RSA key whose exponent is a number that must not be written so.
fn zeros() -> String {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let wire = [string(b"ssh-rsa"), string(&[0, 0]), string(&[0, 0, 0])].concat();
    format!("ssh-rsa {}", STANDARD.encode(wire))
}

/// An age file with the given lines in its header; its code is wrong, so nothing may come of it.
fn with_header(lines: &str) -> WrappedKey {
    let file = format!("age-encryption.org/v1\n{lines}\n--- {}\n0123456789abcdef", "A".repeat(43));
    let body = STANDARD.encode(file);
    let body: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let enc = format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n", body.join("\n"));
    WrappedKey::Age { recipient: "ssh-ed25519 AAAA".to_owned(), enc }
}

#[test]
fn each_damaged_stanza_for_an_ssh_key_is_refused() {
    let tag_of = |public: &str| {
        let WrappedKey::Age { enc, .. } = recipient(public).wrap(&data_key()).unwrap() else { panic!("age wraps") };
        let body: String = enc.lines().filter(|line| !line.starts_with("-----")).collect();
        let file = STANDARD.decode(body).unwrap();
        let header = String::from_utf8_lossy(&file).into_owned();
        header.lines().nth(1).unwrap().split(' ').nth(2).unwrap().to_owned()
    };
    let (tag, rsa_tag) = (tag_of("ed25519.pub"), tag_of("rsa.pub"));
    let (share, zero) = ("B".repeat(42) + "A", "A".repeat(43));
    let body = "A".repeat(43);
    let mut report = String::new();
    for (case, key, header) in [
        ("no argument", "ed25519", format!("-> ssh-ed25519\n{body}")),
        ("one argument", "ed25519", format!("-> ssh-ed25519 {tag}\n{body}")),
        ("three arguments", "ed25519", format!("-> ssh-ed25519 {tag} {share} x\n{body}")),
        ("a short share", "ed25519", format!("-> ssh-ed25519 {tag} AAAA\n{body}")),
        ("a share that is no base64", "ed25519", format!("-> ssh-ed25519 {tag} {}\n{body}", "!".repeat(43))),
        ("a share of low order", "ed25519", format!("-> ssh-ed25519 {tag} {zero}\n{body}")),
        ("another tag", "ed25519", format!("-> ssh-ed25519 AAAAAA {share}\n{body}")),
        ("a body that does not open", "ed25519", format!("-> ssh-ed25519 {tag} {share}\n{body}")),
        ("a short body", "ed25519", format!("-> ssh-ed25519 {tag} {share}\nAAAA")),
        ("RSA without an argument", "rsa", "-> ssh-rsa\nAAAA".to_owned()),
        ("RSA with a short body", "rsa", format!("-> ssh-rsa {rsa_tag}\nAAAA")),
        ("RSA with another tag", "rsa", "-> ssh-rsa AAAAAA\nAAAA".to_owned()),
        ("a stanza of another kind", "rsa", format!("-> ssh-ed25519 {rsa_tag} {share}\n{body}")),
    ] {
        let refusal = identities(key).answer(&with_header(&header)).unwrap_err();
        let refusal = refusal.0.replace(&identities(key).recipients()[0], "OWN");
        writeln!(report, "{case}: {refusal}").unwrap();
    }
    insta::assert_snapshot!(report);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_key_file_with_changed_bytes_is_read_or_refused_and_never_opens_what_is_not_its_own(
        form in 0..FORMS.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (private, _) = FORMS[form];
        let key = fixture(private);
        let lines: Vec<&str> = key.lines().collect();
        let mut der = STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap();
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        let file = format!("{}\n{}\n{}\n", lines[0], STANDARD.encode(der), lines[lines.len() - 1]);
        if let Ok(read) = AgeIdentities::parse(file.as_bytes()) {
            let wrapped = recipient("other.pub").wrap(&data_key()).unwrap();
            prop_assert!(read.answer(&wrapped).is_err());
        }
    }

    #[test]
    fn arbitrary_public_keys_are_read_or_refused(kind in "ssh-(rsa|ed25519)", wire in prop::collection::vec(any::<u8>(), 0..80)) {
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        for wire in [wire.clone(), [string(kind.as_bytes()), wire].concat()] {
            let _ = format!("{kind} {}", STANDARD.encode(wire)).parse::<AgeRecipient>();
        }
    }
}
