//! PGP keys from outside: which key files are read, what they open, who is wrapped for, how bad ones are refused, and that gpg judges
//! the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use waxwing_harness::Gnupg;
use waxwing_keys::{PgpIdentities, PgpKeyName, PgpRecipient, RsaSizes};

const DATA_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
/// Keys that open and are wrapped for.
const KINDS: [&str; 5] = ["rsa", "curve25519", "p256", "p384", "p521"];

fn fixture(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pgp").join(name)
}

fn identities(name: &str) -> PgpIdentities {
    PgpIdentities::parse(&fixture(name), RsaSizes::From2048).unwrap()
}

fn message(name: &str) -> WrappedKey {
    wrapped(&String::from_utf8(fixture(&format!("{name}.msg"))).unwrap())
}

fn wrapped(enc: &str) -> WrappedKey {
    WrappedKey::Pgp { fingerprint: "0123ABCD".to_owned(), enc: enc.to_owned() }
}

fn opened(identities: &PgpIdentities, wrapped: &WrappedKey) -> Result<Vec<u8>, String> {
    identities.answer(wrapped).map(|key| key.expose_secret().to_vec()).map_err(|Refusal(why)| why)
}

fn data_key() -> DataKey {
    DataKey::new(SecretBytes::concat(&[DATA_KEY]))
}

fn recipient(file: &str, name: &str) -> Result<PgpRecipient, String> {
    let name: PgpKeyName = name.parse().unwrap();
    PgpRecipient::find(&fixture(file), &name, Timestamp::now()).map_err(|error| error.to_string())
}

/// The name of the one key of a file.
fn fingerprint(name: &str) -> String {
    let parsed = PgpIdentities::parse(&fixture(&format!("{name}.asc")), RsaSizes::Any);
    parsed.unwrap().fingerprints()[0].to_owned()
}

#[test]
fn what_gpg_encrypted_opens_with_keys_of_every_kind_and_with_no_other() {
    for name in KINDS {
        assert_eq!(opened(&identities(&format!("{name}.asc")), &message(name)), Ok(DATA_KEY.to_vec()), "{name}");
        let why = opened(&identities("other.asc"), &message(name)).unwrap_err();
        assert_eq!(why, format!("no key matches; there are PGP keys {}", fingerprint("other")));
    }
    for name in ["two", "anonymous", "plain-zip", "zlib", "none", "3des"] {
        assert_eq!(opened(&identities("rsa.asc"), &message(name)), Ok(DATA_KEY.to_vec()), "{name}");
    }
    let sealed = String::from_utf8(fixture("sops.yaml")).unwrap();
    let armored = sealed.lines().skip_while(|line| !line.contains("BEGIN PGP")).map(str::trim);
    let armored: Vec<&str> = armored.take_while(|line| !line.starts_with("fp:")).collect();
    let key = identities("rsa.asc").answer(&wrapped(&armored.join("\n"))).unwrap();
    assert_eq!(key.expose_secret().len(), 32);
}

#[test]
fn key_files_may_be_armored_or_not_with_text_around_and_several_keys() {
    let armored = String::from_utf8(fixture("rsa.asc")).unwrap();
    let other = String::from_utf8(fixture("other.asc")).unwrap();
    let public = String::from_utf8(fixture("p256.pub.asc")).unwrap();
    let (of_one, of_two) = (vec![fingerprint("rsa")], vec![fingerprint("other"), fingerprint("rsa")]);
    for (case, file, fingerprints) in [
        ("packets", fixture("rsa.gpg"), &of_one),
        ("without the private half of the primary key", fixture("subkeys.asc"), &of_one),
        ("text around it", format!("# the key of the shop\n\n{armored}\nthat was it\n").into_bytes(), &of_one),
        ("other line breaks", armored.replace('\n', "\r\n").into_bytes(), &of_one),
        ("several blocks", format!("{other}{public}{armored}").into_bytes(), &of_two),
    ] {
        let identities = PgpIdentities::parse(&file, RsaSizes::From2048).unwrap();
        assert_eq!(opened(&identities, &message("rsa")), Ok(DATA_KEY.to_vec()), "{case}");
        assert_eq!(identities.fingerprints(), *fingerprints, "{case}");
    }
    let two = identities("two.asc");
    for name in ["rsa", "curve25519"] {
        assert_eq!(opened(&two, &message(name)), Ok(DATA_KEY.to_vec()));
    }
}

#[test]
fn messages_may_have_other_line_breaks_and_space_around() {
    let identities = identities("rsa.asc");
    let armored = String::from_utf8(fixture("rsa.msg")).unwrap();
    for armored in [armored.replace('\n', "\r\n"), format!("\n\n  {armored}\n\n"), armored.trim().to_owned()] {
        assert_eq!(opened(&identities, &wrapped(&armored)), Ok(DATA_KEY.to_vec()), "{armored:?}");
    }
}

#[test]
fn small_keys_open_for_whoever_asks_for_that_and_for_nobody_else() {
    let any = PgpIdentities::parse(&fixture("small.asc"), RsaSizes::Any).unwrap();
    assert_eq!(opened(&any, &message("small")), Ok(DATA_KEY.to_vec()));
    assert!(PgpIdentities::parse(&fixture("small.asc"), RsaSizes::From2048).is_err());
    let both = [fixture("rsa.asc"), fixture("small.asc")].concat();
    let both = PgpIdentities::parse(&both, RsaSizes::From2048).unwrap();
    assert_eq!(opened(&both, &message("rsa")), Ok(DATA_KEY.to_vec()));
    let why = opened(&both, &message("small")).unwrap_err();
    assert!(why.ends_with("is an RSA key of 1024 bits, and those of 2048 to 8192 are supported"), "{why}");
}

/// Whatever stands behind the head of an armored text, changed; a line in the middle, so that it stays base64.
fn with_another_line(armored: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(armored.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    text.replacen(lines[lines.len() / 2], &"A".repeat(64), 1).into_bytes()
}

#[test]
fn each_unusable_key_file_is_refused_in_words_and_never_quoted() {
    let secret = String::from_utf8(fixture("rsa.asc")).unwrap();
    let cases: [(&str, Vec<u8>); 13] = [
        ("nothing", Vec::new()),
        ("text", b"hello".to_vec()),
        ("an age key", b"AGE-SECRET-KEY-1SECRET\n".to_vec()),
        ("a public key", fixture("rsa.pub.asc")),
        ("half a key", secret.as_bytes()[..secret.len() / 2].to_vec()),
        ("half of the packets", fixture("rsa.gpg")[..1000].to_vec()),
        ("a damaged key", with_another_line(secret.as_bytes())),
        ("a key with a passphrase", fixture("locked.asc")),
        ("a small key", fixture("small.asc")),
        ("an Elgamal key", fixture("elgamal.asc")),
        ("a curve that is not known", fixture("brainpool.asc")),
        ("a key that signs", fixture("signs-only.asc")),
        ("a long file", vec![b'\n'; (1 << 20) + 1]),
    ];
    let mut report = String::new();
    for (case, file) in cases {
        let error = PgpIdentities::parse(&file, RsaSizes::From2048).unwrap_err();
        assert!(!format!("{error:?}{error}").contains("SECRET"));
        let error = [format!("{case}: {error}"), format!("    hint: {}", error.hint())].join("\n");
        writeln!(report, "{}", without_fingerprints(&error)).unwrap();
    }
    insta::assert_snapshot!("unusable PGP key files", report);
}

/// The keys are made anew now and then.
fn without_fingerprints(text: &str) -> String {
    let pieces = text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit());
    pieces.map(|piece| piece.get(40..).map_or(piece.to_owned(), |rest| format!("FINGERPRINT{rest}"))).collect()
}

#[test]
fn each_message_that_does_not_open_is_refused_in_words() {
    let armored = String::from_utf8(fixture("rsa.msg")).unwrap();
    let all = [fixture("rsa.asc"), fixture("locked.asc"), fixture("elgamal.asc")].concat();
    let all = PgpIdentities::parse(&all, RsaSizes::From2048).unwrap();
    let mut report = String::new();
    for (case, wrapped) in [
        ("nothing", wrapped("")),
        ("no armor", wrapped("hello")),
        ("half a message", wrapped(&armored[..armored.len() / 2])),
        ("a damaged message", wrapped(&String::from_utf8(with_another_line(armored.as_bytes())).unwrap())),
        ("a key in its place", wrapped(&String::from_utf8(fixture("rsa.pub.asc")).unwrap())),
        ("a long message", wrapped(&format!("{armored}{}", "A".repeat(1 << 16)))),
        ("another's", message("other")),
        ("for a key with a passphrase", message("locked")),
        ("for an Elgamal key", message("elgamal")),
        ("unprotected", message("unprotected")),
        ("with a passphrase", message("passphrase")),
        ("signed", message("signed")),
        ("signed and not encrypted", message("only-signed")),
        ("compressed otherwise", message("bzip2")),
        ("too long", message("too-long")),
        ("ten million zeros", message("bomb")),
        ("age", WrappedKey::Age { recipient: "age1someone".to_owned(), enc: String::new() }),
    ] {
        writeln!(report, "{}", without_fingerprints(&format!("{case}: {}", opened(&all, &wrapped).unwrap_err())))
            .unwrap();
    }
    insta::assert_snapshot!("PGP messages that do not open", report);
}

#[test]
fn a_key_of_a_megabyte_and_a_bomb_cost_little() {
    let identities = identities("rsa.asc");
    let long = [vec![0x95, 0x03, 0xd0], vec![0x04; 1 << 20]].concat();
    let anonymous = String::from_utf8(fixture("anonymous.msg")).unwrap();
    let begun = Instant::now();
    for _ in 0..10 {
        opened(&identities, &message("bomb")).unwrap_err();
        PgpIdentities::parse(&long[..1 << 20], RsaSizes::From2048).unwrap_err();
        opened(&identities, &wrapped(&anonymous)).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_damaged_message_never_opens_to_another_key() {
    for name in ["rsa", "curve25519"] {
        let identities = identities(&format!("{name}.asc"));
        let packets = packets(&String::from_utf8(fixture(&format!("{name}.msg"))).unwrap());
        for at in 0..packets.len() {
            for bit in [1, 0x40, 0x80] {
                let mut damaged = packets.clone();
                damaged[at] ^= bit;
                let answer = opened(&identities, &wrapped(&in_armor(&damaged)));
                // How many bits a number has is told twice.
                assert!(answer.is_err() || answer == Ok(DATA_KEY.to_vec()), "{name}: byte {at}: {answer:?}");
            }
            assert!(opened(&identities, &wrapped(&in_armor(&packets[..at]))).is_err());
        }
    }
}

#[test]
fn a_damaged_key_never_brings_anything_down() {
    for name in ["rsa", "curve25519", "p521", "small", "locked", "elgamal"] {
        let armored = String::from_utf8(fixture(&format!("{name}.asc"))).unwrap();
        let packets = packets(&armored);
        for at in 0..packets.len() {
            for bit in [1, 0x80] {
                let mut damaged = packets.clone();
                damaged[at] ^= bit;
                if let Ok(identities) = PgpIdentities::parse(&damaged, RsaSizes::Any) {
                    let answer = opened(&identities, &message(name));
                    assert!(answer.is_err() || answer == Ok(DATA_KEY.to_vec()), "{name}: byte {at}");
                }
            }
        }
    }
}

/// Takes the armor off: the lines between the empty one and the checksum.
fn packets(armored: &str) -> Vec<u8> {
    use base64::Engine;
    let lines = armored.lines().skip_while(|line| !line.is_empty()).skip(1);
    let text: String = lines.take_while(|line| !line.starts_with(['=', '-'])).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn in_armor(packets: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(packets);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN PGP MESSAGE-----\n\n{}\n-----END PGP MESSAGE-----\n", lines.join("\n"))
}

#[test]
fn what_is_wrapped_for_a_key_opens_with_its_private_half_and_is_called_as_the_rule_calls_it() {
    for name in KINDS {
        let named = fingerprint(name).to_lowercase();
        let wrapped = recipient(&format!("{name}.pub.asc"), &named).unwrap().wrap(&data_key()).unwrap();
        assert_eq!(opened(&identities(&format!("{name}.asc")), &wrapped), Ok(DATA_KEY.to_vec()), "{name}");
        let WrappedKey::Pgp { fingerprint, enc } = &wrapped else { panic!("PGP wraps for PGP") };
        assert_eq!(fingerprint, &named);
        assert!(enc.starts_with("-----BEGIN PGP MESSAGE-----\n") && enc.ends_with("\n-----END PGP MESSAGE-----"));
    }
    let share = DataKey::new(SecretBytes::concat(&[DATA_KEY, b"\x01"]));
    let wrapped = recipient("rsa.pub.asc", &fingerprint("rsa")).unwrap().wrap(&share).unwrap();
    assert_eq!(opened(&identities("rsa.asc"), &wrapped).unwrap().len(), 33);
}

#[test]
fn keys_are_found_in_files_of_every_form_by_every_name() {
    let named = fingerprint("rsa");
    for file in ["rsa.pub.asc", "public.gpg", "pubring.gpg"] {
        for name in [named.clone(), format!("0x{}", &named[24..]), format!(" {} {}", &named[..20], &named[20..])] {
            let wrapped = recipient(file, &name).unwrap().wrap(&data_key()).unwrap();
            assert_eq!(opened(&identities("rsa.asc"), &wrapped), Ok(DATA_KEY.to_vec()), "{file}: {name}");
        }
    }
    // The primary key itself: it signs.
    assert!(recipient("rsa.pub.asc", &format!("{named}!")).unwrap_err().ends_with("is not to encrypt with"));
}

#[test]
fn each_public_key_that_can_not_be_used_is_refused_in_words() {
    let rsa = fingerprint("rsa");
    let mut report = String::new();
    for (case, file, name) in [
        ("another's", "other.pub.asc", rsa.clone()),
        ("a private key", "rsa.asc", rsa.clone()),
        ("no key", "rsa.msg", rsa),
        ("expired", "expired.pub.asc", fingerprint("expired")),
        ("revoked", "revoked.pub.asc", fingerprint("revoked")),
        ("a part of it revoked", "part-revoked.pub.asc", fingerprint("part-revoked")),
        ("Elgamal", "elgamal.pub.asc", public_fingerprint("elgamal")),
        ("a key that signs", "signs-only.pub.asc", public_fingerprint("signs-only")),
    ] {
        let name: PgpKeyName = name.parse().unwrap();
        let error = PgpRecipient::find(&fixture(file), &name, Timestamp::now()).unwrap_err();
        let error = without_fingerprints(&format!("{case}: {error}\n    hint: {}\n", error.hint()));
        report.push_str(&error);
    }
    let brainpool: PgpKeyName = public_fingerprint("brainpool").parse().unwrap();
    let error = PgpRecipient::find(&fixture("brainpool.pub.asc"), &brainpool, Timestamp::now());
    let error = error.and_then(|recipient| recipient.wrap(&data_key())).unwrap_err();
    report
        .push_str(&without_fingerprints(&format!("a curve that is not known: {error}\n    hint: {}\n", error.hint())));
    insta::assert_snapshot!("PGP keys that are not wrapped for", report);
}

#[test]
fn a_key_that_will_expire_is_used_until_then() {
    let name: PgpKeyName = fingerprint("expired").parse().unwrap();
    for (at, is_used) in
        [("2019-12-31T00:00:00Z", false), ("2020-06-01T00:00:00Z", true), ("2021-06-01T00:00:00Z", false)]
    {
        let found = PgpRecipient::find(&fixture("expired.pub.asc"), &name, at.parse().unwrap());
        assert_eq!(found.is_ok(), is_used, "{at}: {found:?}");
    }
}

#[test]
fn debug_output_shows_fingerprints_only() {
    assert_eq!(format!("{:?}", identities("rsa.asc")), format!("PgpIdentities([{:?}])", fingerprint("rsa")));
}

/// The fingerprint of a key that opens nothing here, as gpg tells it.
fn public_fingerprint(name: &str) -> String {
    let gnupg = Gnupg::new().unwrap();
    gnupg.gpg(&["--import"]).unwrap().stdin(fixture(&format!("{name}.pub.asc"))).text().unwrap();
    gnupg.fingerprint(name).unwrap()
}

#[test]
fn gpg_opens_what_is_wrapped_here_and_refuses_the_same_keys() {
    let gnupg = Gnupg::new().unwrap();
    for name in KINDS {
        gnupg.gpg(&["--import"]).unwrap().stdin(fixture(&format!("{name}.asc"))).text().unwrap();
        let wrapped = recipient(&format!("{name}.pub.asc"), &fingerprint(name)).unwrap().wrap(&data_key()).unwrap();
        let WrappedKey::Pgp { enc, .. } = wrapped else { panic!("PGP wraps for PGP") };
        let opened = gnupg.gpg(&["--decrypt"]).unwrap().stdin(enc).run().unwrap();
        assert_eq!(opened.stdout, DATA_KEY, "{name}: {}", opened.stderr);
    }
    for name in ["expired", "revoked", "part-revoked", "signs-only"] {
        gnupg.gpg(&["--import"]).unwrap().stdin(fixture(&format!("{name}.pub.asc"))).text().unwrap();
        let fingerprint = gnupg.fingerprint(name).unwrap();
        let call = gnupg.gpg(&["--encrypt", "--trust-model", "always", "--recipient", &fingerprint]).unwrap();
        assert!(!call.stdin(DATA_KEY).run().unwrap().status.success(), "{name}");
    }
}

#[test]
fn what_gpg_encrypts_now_opens_here() {
    let gnupg = Gnupg::new().unwrap();
    for (user, signing, encrypting) in [("one", "ed25519", "cv25519"), ("two", "rsa3072", "rsa3072")] {
        let fingerprint = gnupg.make_key(user, signing, encrypting, "").unwrap();
        let key = gnupg.private_key(user).unwrap();
        let identities = PgpIdentities::parse(key.as_bytes(), RsaSizes::From2048).unwrap();
        assert_eq!(identities.fingerprints(), [fingerprint.as_str()]);
        let call =
            gnupg.gpg(&["--encrypt", "--armor", "--trust-model", "always", "--recipient", &fingerprint]).unwrap();
        let enc = call.stdin(DATA_KEY).text().unwrap();
        assert_eq!(opened(&identities, &wrapped(&enc)), Ok(DATA_KEY.to_vec()), "{user}");
    }
}

/// What neither gpg 2.2 nor sops writes, and GnuPG 2.4 and others may.
#[test]
fn messages_of_the_newer_form_open_and_damaged_ones_do_not() {
    use pgp::composed::{ArmorOptions, Deserializable, MessageBuilder, SignedPublicKey};
    use pgp::crypto::{
        aead::{AeadAlgorithm, ChunkSize},
        sym::SymmetricKeyAlgorithm,
    };
    for name in KINDS {
        let (public, _) = SignedPublicKey::from_armor_single(fixture(&format!("{name}.pub.asc")).as_slice()).unwrap();
        let identities = identities(&format!("{name}.asc"));
        for aead in [AeadAlgorithm::Ocb, AeadAlgorithm::Eax, AeadAlgorithm::Gcm] {
            let rng = rand_core::OsRng;
            let builder = MessageBuilder::from_bytes("", DATA_KEY);
            let mut builder = builder.seipd_v2(rng, SymmetricKeyAlgorithm::AES256, aead, ChunkSize::C64B);
            builder.encrypt_to_key(rng, &public.public_subkeys[0].key).unwrap();
            let armored = builder.to_armored_string(rng, ArmorOptions::default()).unwrap();
            assert_eq!(opened(&identities, &wrapped(&armored)), Ok(DATA_KEY.to_vec()), "{name}, {aead:?}");
            let packets = packets(&armored);
            for at in 0..packets.len() {
                for bit in [1, 0x20] {
                    let mut damaged = packets.clone();
                    damaged[at] ^= bit;
                    let answer = opened(&identities, &wrapped(&in_armor(&damaged)));
                    assert!(answer.is_err() || answer == Ok(DATA_KEY.to_vec()), "{name}, {aead:?}, byte {at}");
                }
                assert!(opened(&identities, &wrapped(&in_armor(&packets[..at]))).is_err());
            }
        }
    }
}
