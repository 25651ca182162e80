//! Key files from the cluster, and messages for their keys: any bytes are read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::{SecretBytes, WrappedKey};
use waxwing_keys::{AgeIdentities, PgpIdentities, RsaSizes, SealingKey};

const PGP_KEY: &[u8] = include_bytes!("../../crates/keys/tests/fixtures/pgp/curve25519.asc");

fuzz_target!(|bytes: &[u8]| {
    let _ = AgeIdentities::parse(bytes);
    let _ = PgpIdentities::parse(bytes, RsaSizes::Any);
    if let Ok(identities) = PgpIdentities::parse(PGP_KEY, RsaSizes::From2048) {
        let enc = String::from_utf8_lossy(bytes).into_owned();
        let _ = identities.answer(&WrappedKey::Pgp { fingerprint: String::new(), enc });
    }
    let _ = SealingKey::from_pem(&SecretBytes::new(bytes.to_vec()), bytes);
});
