//! Post-quantum age identities and recipients: what they open and how bad ones are refused, by C2SP's vectors and by age itself.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use bech32::{FromBase32, ToBase32, Variant};
use proptest::prelude::*;
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use waxwing_harness::{AgeKey, Failure, Upstream};
use waxwing_keys::{AgeIdentities, AgeRecipient};

const DATA_KEY: &[u8] = &[7; 32];
/// Of C2SP's vectors, as is the recipient.
const IDENTITY: &str = "AGE-SECRET-KEY-PQ-1HZLGZUPT4ETPKDEV8HSGFDCYZ4E522W0A7PU2LHT8EH9W6YLNC3SW78XKG";

fn identities(text: &str) -> AgeIdentities {
    AgeIdentities::parse(text.as_bytes()).unwrap()
}

fn data_key() -> DataKey {
    DataKey::new(SecretBytes::concat(&[DATA_KEY]))
}

fn wrapped_in_armor(file: &[u8]) -> WrappedKey {
    let body = STANDARD.encode(file);
    let body: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let enc = format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n", body.join("\n"));
    WrappedKey::Age { recipient: "age1pq1someone".to_owned(), enc }
}

fn upstream() -> Option<(Upstream, AgeKey, AgeKey)> {
    let found = Upstream::new().and_then(|upstream| {
        let [own, other] = [upstream.age_keygen_hybrid()?, upstream.age_keygen_hybrid()?];
        Ok((upstream, own, other))
    });
    match found {
        Ok(found) => Some(found),
        Err(failure @ Failure::MissingTool { .. }) => {
            eprintln!("SKIPPED: {failure}: {}", failure.hint().unwrap_or_default());
            None
        }
        Err(failure) => panic!("{failure:?}"),
    }
}

/// Returns what became of a file, in the words of the vectors.
fn outcome(answer: Result<DataKey, Refusal>) -> (&'static str, String) {
    match answer {
        Ok(key) => {
            let hash = digest(&SHA256, key.expose_secret());
            ("success", hash.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
        }
        Err(Refusal(reason)) if reason.starts_with("no identity matches") => ("no match", String::new()),
        Err(Refusal(reason)) => {
            assert_eq!(reason, "it is damaged, or not an age file");
            ("header failure", String::new())
        }
    }
}

#[test]
fn every_vector_of_c2sp_ends_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cctv");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let vector = fs::read(&path).unwrap();
        let Some(middle) = vector.windows(2).position(|two| two == b"\n\n").filter(|_| path.extension().is_none())
        else {
            continue;
        };
        let (head, file) = (std::str::from_utf8(&vector[..middle]).unwrap(), &vector[middle + 2..]);
        let all =
            |key: &str| head.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect::<Vec<_>>();
        let wrapped = match all("armored").is_empty() {
            true => wrapped_in_armor(file),
            false => {
                let enc = String::from_utf8(file.to_vec()).unwrap();
                WrappedKey::Age { recipient: "age1pq1someone".to_owned(), enc }
            }
        };
        let (ended, payload) = outcome(identities(&all("identity").join("\n")).answer(&wrapped));
        assert_eq!([ended, &payload], [all("expect")[0], all("payload").first().unwrap_or(&"")], "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 19);
}

#[test]
fn what_is_wrapped_for_a_post_quantum_key_age_opens_and_the_other_way_round() {
    let Some((upstream, own, other)) = upstream() else { return };
    assert_eq!(identities(&own.identity).recipients(), std::slice::from_ref(&own.recipient));
    let enc =
        upstream.age(&["-a", "-r", &other.recipient, "-r", &own.recipient]).unwrap().stdin(DATA_KEY).text().unwrap();
    let theirs = WrappedKey::Age { recipient: own.recipient.clone(), enc };
    assert_eq!(identities(&own.identity).answer(&theirs).unwrap().expose_secret(), DATA_KEY);

    let ours = own.recipient.parse::<AgeRecipient>().unwrap().wrap(&data_key()).unwrap();
    assert_eq!(identities(&own.identity).answer(&ours).unwrap().expose_secret(), DATA_KEY);
    assert!(identities(&other.identity).answer(&ours).is_err());
    let WrappedKey::Age { enc, recipient } = ours else { panic!("age wraps for age") };
    assert_eq!(recipient, own.recipient);
    let key = upstream.home().join("hybrid.txt");
    fs::write(&key, &own.identity).unwrap();
    let opened = upstream.age(&["-d", "-i", &key.display().to_string()]).unwrap().stdin(enc).run().unwrap();
    assert_eq!(opened.stdout, DATA_KEY, "{}", opened.stderr);
}

#[test]
fn a_key_file_may_have_both_kinds() {
    let classic = include_str!("fixtures/age/throw-away.txt");
    let both = identities(&format!("{IDENTITY}\n{classic}"));
    assert_eq!(both.recipients().len(), 2);
    let enc = include_str!("fixtures/age/data-key.age").to_owned();
    assert!(both.answer(&WrappedKey::Age { recipient: "age1someone".to_owned(), enc }).is_ok());
    let own: AgeRecipient = both.recipients()[0].parse().unwrap();
    assert!(both.answer(&own.wrap(&data_key()).unwrap()).is_ok());
}

fn bech32_of(kind: &str, bytes: &[u8], variant: Variant) -> String {
    bech32::encode(kind, bytes.to_base32(), variant).unwrap()
}

#[test]
fn each_unusable_post_quantum_key_is_refused_and_an_identity_never_quoted() {
    let own = identities(IDENTITY).recipients()[0].clone();
    let public = Vec::from_base32(&bech32::decode(&own).unwrap().1).unwrap();
    let (pq, classic) = public.split_at(1184);
    let recipient = |bytes: &[u8]| bech32_of("age1pq", bytes, Variant::Bech32);
    let mut report = String::new();
    for (case, text) in [
        ("cut off", own[..1000].to_owned()),
        ("a wrong digit", format!("{}{}", &own[..own.len() - 1], if own.ends_with('q') { "p" } else { "q" })),
        ("mixed case", format!("{}{}", &own[..100], own[100..].to_uppercase())),
        ("upper case", own.to_uppercase()),
        ("the other checksum", bech32_of("age1pq", &public, Variant::Bech32m)),
        ("no bytes", recipient(&[])),
        ("a byte less", recipient(&public[..public.len() - 1])),
        ("a byte more", recipient(&[&public, [0].as_slice()].concat())),
        ("a number out of range", recipient(&[&[0xff; 1184], classic].concat())),
        ("a point of low order", recipient(&[pq, &[0; 32]].concat())),
        ("the name of a plugin", bech32_of("age1pq1x", &public, Variant::Bech32)),
    ] {
        let error = text.parse::<AgeRecipient>().unwrap_err();
        let shown = error.to_string().replace(&text, "RECIPIENT");
        writeln!(report, "{case}: {shown}").unwrap();
    }
    let seed = Vec::from_base32(&bech32::decode(IDENTITY).unwrap().1).unwrap();
    let identity = |bytes: &[u8]| bech32_of("age-secret-key-pq-", bytes, Variant::Bech32).to_uppercase();
    for (case, text) in [
        ("an identity cut off", IDENTITY[..60].to_owned()),
        ("an identity in lower case", IDENTITY.to_lowercase()),
        ("an identity in mixed case", IDENTITY.replace("HZLG", "hzlg")),
        ("an identity with a byte less", identity(&seed[..31])),
        ("an identity with a byte more", identity(&[&seed, [0].as_slice()].concat())),
        (
            "an identity with the other checksum",
            bech32_of("age-secret-key-pq-", &seed, Variant::Bech32m).to_uppercase(),
        ),
        ("an identity of a longer kind", bech32_of("age-secret-key-pq-1", &seed, Variant::Bech32).to_uppercase()),
    ] {
        let error = AgeIdentities::parse(text.as_bytes()).unwrap_err();
        assert!(!format!("{error}{error:?}").to_uppercase().contains(&IDENTITY[24..40]));
        writeln!(report, "{case}: {error}").unwrap();
    }
    let error = IDENTITY.parse::<AgeRecipient>().unwrap_err();
    assert!(!error.to_string().contains(&IDENTITY[24..40]));
    writeln!(report, "an identity for a recipient: {error}").unwrap();
    insta::assert_snapshot!(report);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_wrapped_opens_and_one_flipped_bit_never_does(
        key in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let identities = identities(IDENTITY);
        let recipient: AgeRecipient = identities.recipients()[0].parse().unwrap();
        let wrapped = recipient.wrap(&DataKey::new(SecretBytes::concat(&[&key]))).unwrap();
        let opened = identities.answer(&wrapped).unwrap();
        prop_assert_eq!(opened.expose_secret(), &key);
        let WrappedKey::Age { enc, .. } = wrapped else { panic!("age wraps for age") };
        let body: String = enc.lines().filter(|line| !line.starts_with("-----")).collect();
        let mut file = STANDARD.decode(body).unwrap();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(identities.answer(&wrapped_in_armor(&file)).is_err());
    }
}
