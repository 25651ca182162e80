//! Key files from the cluster: any bytes are read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::SecretBytes;
use waxwing_keys::{AgeIdentities, SealingKey};

fuzz_target!(|bytes: &[u8]| {
    let _ = AgeIdentities::parse(bytes);
    let _ = SealingKey::from_pem(&SecretBytes::new(bytes.to_vec()), bytes);
});
