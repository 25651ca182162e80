//! The symmetric half of a sealed value: AES-256-GCM under a session key that is drawn for this value alone.
//!
//! The nonce is zero and nothing is bound (`HybridEncrypt` in `pkg/crypto/crypto.go`). Of the library that does the RSA half, since
//! another would first find out anew what the processor can do, which takes longer in a virtual machine than all the rest of AES.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;

/// The length of the tag in bytes.
pub(super) const TAG_LEN: usize = 16;

/// Encrypts in place and returns the tag.
///
/// # Errors
/// Fails where the library does, which it has no reason to.
pub(super) fn seal(key: &[u8; 32], text: &mut [u8]) -> Result<[u8; TAG_LEN], Unspecified> {
    let tag = cipher(key)?.seal_in_place_separate_tag(nonce(), Aad::empty(), text)?;
    tag.as_ref().try_into().map_err(|_| Unspecified)
}

/// Decrypts in place.
///
/// # Errors
/// Fails when the tag is not the one of this text under this key; the buffer holds nothing of use then.
pub(super) fn open(key: &[u8; 32], ciphertext: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Unspecified> {
    cipher(key)?.open_in_place_separate_tag(nonce(), Aad::empty(), tag, ciphertext).map(drop)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
