//! The name of a sealing key: the SHA-256 fingerprint of its public half in SSH form.
//!
//! As `PublicKeyFingerprint` in `pkg/crypto/crypto.go`: `SHA256:` and unpadded base64 of
//! `SHA-256(string("ssh-rsa") || mpint(e) || mpint(n))` (RFC 4253 section 6.6).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

/// Names a sealing key, such as `SHA256:urHIP07ww5QpScMq27HUA+rxv5CE2a1ws2UK4lX9jGI`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Computes the fingerprint of an RSA public key from its modulus and exponent as big-endian numbers.
    pub fn of_rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let mut hash = Sha256::new();
        feed(&mut hash, b"ssh-rsa");
        feed(&mut hash, &mpint(exponent));
        feed(&mut hash, &mpint(modulus));
        Self(format!("SHA256:{}", STANDARD_NO_PAD.encode(hash.finalize())))
    }

    /// Returns the fingerprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `string`: the length as 32-bit big-endian and the bytes (RFC 4251 section 5). No RSA number comes near 4 GiB.
fn feed(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u32).to_be_bytes());
    hash.update(bytes);
}

/// A positive `mpint`: no leading zeros but one where the top bit is set (RFC 4251 section 5).
fn mpint(number: &[u8]) -> Vec<u8> {
    let significant: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    match significant.first() {
        Some(first) if first & 0x80 != 0 => [vec![0], significant].concat(),
        _ => significant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpints_are_positive_and_minimal() {
        assert_eq!(mpint(&[0, 0, 1, 0, 1]), [1, 0, 1]);
        assert_eq!(mpint(&[0x80]), [0, 0x80]);
        assert!(mpint(&[0]).is_empty());
    }
}
