//! One value of a SealedSecret: parsing it, asking for its session key, opening it.
//!
//! `base64(u16be(len(C)) || C || AES-256-GCM(K, nonce = 0^12, aad = "", plaintext))` with
//! `C = RSA-OAEP(SHA-256, MGF1-SHA-256, label, K)` (`HybridEncrypt` in `pkg/crypto/crypto.go`). The zero nonce is
//! safe only because the session key `K` is drawn anew for each value. The name of the item is not bound.

use zeroize::Zeroizing;

use super::session::{self, TAG_LEN};
use super::{PublicKey, lenient_base64};
use crate::{DataKey, KeyRequest, RequestId, SecretBytes, WrappedKey};

/// One sealed value, taken apart but not opened; it holds ciphertext only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedItem {
    rsa: Vec<u8>,
    sealed: Vec<u8>,
}

impl SealedItem {
    /// Parses the base64 text that stands under `spec.encryptedData`.
    ///
    /// # Errors
    /// Refuses what can't have been sealed: other text than base64, too few bytes, a block that no RSA key of 2048
    /// to 8192 bits makes, and more than a Secret may hold (1 MiB).
    pub fn parse(text: &str) -> Result<Self, ItemError> {
        if text.len() > MAX_TEXT {
            return Err(ItemError::TooLong { len: text.len() });
        }
        let blob = lenient_base64::decode(text).ok_or(ItemError::NotBase64)?;
        let too_short = || ItemError::TooShort { len: blob.len() };
        let (length, rest) = blob.split_first_chunk::<2>().ok_or_else(too_short)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if !(1..=MAX_RSA_BLOCK).contains(&length) {
            return Err(ItemError::ForeignBlock { len: length });
        }
        let (rsa, sealed) = rest.split_at_checked(length).ok_or_else(too_short)?;
        if sealed.len() < TAG_LEN {
            return Err(too_short());
        }
        Ok(Self { rsa: rsa.to_vec(), sealed: sealed.to_vec() })
    }

    /// Tells whether the value may have been sealed with this key. No other key's owner can be told apart for sure without the
    /// private key, but a block of another size, or a number that is not below the modulus, is for another key (RFC 8017
    /// section 7.1.2).
    pub fn may_be_for(&self, key: &PublicKey) -> bool {
        let modulus = key.modulus();
        let missing = modulus.len().checked_sub(self.rsa.len());
        missing.is_some_and(|missing| {
            // Go drops leading zeros, of which there are never many.
            let padded = std::iter::repeat_n(&0, missing).chain(&self.rsa);
            missing <= MAX_DROPPED_ZEROS && padded.lt(modulus)
        })
    }

    /// Asks for the session key of this value. The label comes from [`Scope::label`](super::Scope::label) with the
    /// name and namespace that the SealedSecret has now.
    pub fn request(&self, id: RequestId, label: Vec<u8>) -> KeyRequest {
        KeyRequest { id, wrapped: WrappedKey::SealedItem { rsa: self.rsa.clone(), label } }
    }

    /// Opens the value with the answer to [`Self::request`].
    ///
    /// # Errors
    /// Fails when the key is not 32 bytes long or the value doesn't authenticate under it.
    pub fn open(&self, key: &DataKey) -> Result<SecretBytes, ItemError> {
        let key = key.expose_secret();
        let key: &[u8; 32] = key.try_into().map_err(|_| ItemError::WrongKeyLength { len: key.len() })?;
        let (ciphertext, tag) = self.sealed.split_last_chunk::<TAG_LEN>().ok_or(ItemError::NotAuthentic)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        session::open(key, &mut buffer, tag).map_err(|_| ItemError::NotAuthentic)?;
        Ok(SecretBytes::new(std::mem::take(&mut buffer)))
    }
}

/// Why a sealed value was refused; none of it quotes the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// It is not standard base64 with padding.
    #[error("the sealed value is not base64")]
    NotBase64,
    /// It ends before its parts do.
    #[error("the sealed value is cut short: it has {len} bytes")]
    TooShort {
        /// The decoded length in bytes.
        len: usize,
    },
    /// It is longer than any Secret may be.
    #[error("the sealed value has {len} characters, more than a secret of 1 MiB needs")]
    TooLong {
        /// The length of the base64 text in bytes.
        len: usize,
    },
    /// Its RSA block has a length that no supported key makes.
    #[error("the sealed value starts with an RSA block of {len} bytes, which no key of 2048 to 8192 bits makes")]
    ForeignBlock {
        /// The length that the value states, in bytes.
        len: usize,
    },
    /// The session key has the wrong length.
    #[error("the session key has {len} bytes instead of 32")]
    WrongKeyLength {
        /// The length of the key in bytes.
        len: usize,
    },
    /// The value was changed after it was sealed.
    #[error("the sealed value does not authenticate: it was changed after it was sealed")]
    NotAuthentic,
}

impl ItemError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "split the secret: Kubernetes accepts at most 1 MiB",
            _ => "seal the value again with `seal`",
        }
    }
}

/// More zero bytes at the front of a block do not happen by chance.
const MAX_DROPPED_ZEROS: usize = 15;
/// The block of an RSA-8192 key.
const MAX_RSA_BLOCK: usize = 1024;
/// What Kubernetes accepts as the values of one Secret (`MaxSecretSize`).
pub(super) const MAX_PLAINTEXT: usize = 1 << 20;
/// The base64 of the longest value, with a line break for each digit.
const MAX_TEXT: usize = 2 * ((2 + MAX_RSA_BLOCK + MAX_PLAINTEXT + TAG_LEN) * 4 / 3 + 4);
