//! What the crate `pgp` tells the log while PGP keys are read and used, at the level at which it says most. A program of its own, since
//! a process has one log.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use waxwing_formats::WrappedKey;
use waxwing_keys::{PgpIdentities, PgpKeyName, PgpRecipient, RsaSizes};

/// Remembers all that is said.
struct Ear(Mutex<String>);

static EAR: Ear = Ear(Mutex::new(String::new()));

impl Log for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        writeln!(self.0.lock().unwrap(), "{}: {}", record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pgp").join(name)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn neither_a_private_key_nor_a_data_key_gets_to_the_log() {
    log::set_logger(&EAR).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for name in ["rsa", "curve25519", "p256", "small"] {
        let identities = PgpIdentities::parse(&fixture(&format!("{name}.asc")), RsaSizes::Any).unwrap();
        let enc = String::from_utf8(fixture(&format!("{name}.msg"))).unwrap();
        let opened = identities.answer(&WrappedKey::Pgp { fingerprint: String::new(), enc }).unwrap();
        let named: PgpKeyName = identities.fingerprints()[0].parse().unwrap();
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let recipient = PgpRecipient::find(&fixture(&format!("{name}.pub.asc")), &named, now).unwrap();
        recipient.wrap(&opened).unwrap();
    }
    let packets = fixture("rsa.gpg");
    let length = usize::from(u16::from_be_bytes([packets[1], packets[2]]));
    // Before the sum, the last number of a private RSA key has some 128 octets.
    let private = hex(&packets[3 + length - 100..3 + length - 2]);
    let said = EAR.0.lock().unwrap().to_lowercase();
    assert!(said.contains("pgp::"), "the crate says nothing");
    for secret in [&private[..64], "0123456789abcdef0123456789abcdef", &hex(b"0123456789abcdef")] {
        assert!(!said.contains(secret), "{secret} is in the log");
    }
    // What it says when it reads a private key itself.
    use pgp::composed::{Deserializable, SignedSecretKey};
    SignedSecretKey::from_bytes(packets.as_slice()).unwrap();
    assert!(
        EAR.0.lock().unwrap().contains(&private[..64]),
        "the crate is safe now: src/runtime/telemetry.rs may let it speak"
    );
}
