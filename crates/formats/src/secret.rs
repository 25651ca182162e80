//! Secret bytes in memory: wiped on drop, never printed, never compared in variable time.
//!
//! There is no `Display`, `Serialize`, `Hash`, `PartialEq` or `Clone`; leaving secrecy is the one call
//! [`SecretBytes::expose_secret`].

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Holds plaintext of any length and wipes it when dropped.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of plaintext; the vector's allocation is wiped on drop, so it must not have been
    /// grown before (growth leaves copies behind).
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Concatenates `parts` into one buffer that is allocated once at its full size.
    pub fn concat(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Self::new(bytes)
    }

    /// Returns the plaintext. Every call is a place to audit.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// Returns the length in bytes, which is not treated as secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with `other` in time that depends on the lengths only.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes([REDACTED; {} bytes])", self.0.len())
    }
}

/// Holds what a master key unwraps to: the 32-byte data key of a document, a 33-byte Shamir share of it, or
/// the 32-byte session key of one SealedSecret item.
#[derive(Debug)]
pub struct DataKey(SecretBytes);

impl DataKey {
    /// Takes ownership of an unwrapped key of any length; whoever uses it checks the length.
    pub fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    /// Returns the key bytes.
    pub fn expose_secret(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_length_and_nothing_else() {
        let secret = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes([REDACTED; 7 bytes])");
    }

    #[test]
    fn concatenated_parts_stand_in_order() {
        let secret = SecretBytes::concat(&[b"a", b"", b"bc"]);
        assert_eq!(secret.expose_secret(), b"abc");
    }

    #[test]
    fn equality_is_by_content() {
        let a = SecretBytes::new(b"x".to_vec());
        assert!(a.ct_eq(&SecretBytes::new(b"x".to_vec())));
        assert!(!a.ct_eq(&SecretBytes::new(b"xx".to_vec())));
    }
}
