//! AES-256-GCM as sops uses it: 32-byte initialization vectors, the key path as additional data.
//!
//! Source: sops 3.13.3, `aes/cipher.go`; NIST SP 800-38D. Vectors of 12 and 16 bytes are read too, since other
//! writers of the format use them.

use aes_gcm::aead::array::ArraySize;
use aes_gcm::aead::consts::{U12, U16, U32};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use zeroize::Zeroizing;

use super::token::{Token, ValueKind};

/// The length of the initialization vectors that are written.
pub(crate) const IV_LEN: usize = 32;

/// A data key, ready for use.
pub(crate) struct Cipher {
    usual: AesGcm<Aes256, U32>,
    short: AesGcm<Aes256, U12>,
    block: AesGcm<Aes256, U16>,
}

impl Cipher {
    /// Takes a key of 32 bytes; nothing for another length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        Some(Self {
            usual: AesGcm::new_from_slice(key).ok()?,
            short: AesGcm::new_from_slice(key).ok()?,
            block: AesGcm::new_from_slice(key).ok()?,
        })
    }

    /// Seals a text and returns its token; nothing for a text beyond what the cipher may be used for. A vector must never be
    /// used for two different texts.
    pub(crate) fn seal(
        &self,
        text: &[u8],
        kind: Option<ValueKind>,
        additional: &[u8],
        iv: &[u8; IV_LEN],
    ) -> Option<Token> {
        let nonce = Nonce::<U32>::from(*iv);
        let mut data = text.to_vec();
        let tag = self.usual.encrypt_inout_detached(&nonce, additional, data.as_mut_slice().into()).ok()?;
        Some(Token::new(data, iv, tag.into(), kind))
    }

    /// Returns the plaintext of a token, or nothing if it does not authenticate.
    pub(crate) fn open(&self, token: &Token, additional: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match token.iv.len() {
            32 => open(&self.usual, token, additional),
            16 => open(&self.block, token, additional),
            12 => open(&self.short, token, additional),
            _ => None,
        }
    }
}

fn open<N: ArraySize>(cipher: &AesGcm<Aes256, N>, token: &Token, additional: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let nonce = Nonce::<N>::try_from(token.iv.as_slice()).ok()?;
    let mut text = Zeroizing::new(token.data.clone());
    cipher.decrypt_inout_detached(&nonce, additional, text.as_mut_slice().into(), &token.tag.into()).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of sops' own `aes/cipher_test.go`.
    const FOO: &str = "ENC[AES256_GCM,data:oYyi,iv:MyIDYbT718JRr11QtBkcj3Dwm4k1aCGZBVeZf0EyV8o=,\
                       tag:t5z2Z023Up0kxwCgw1gNxg==,type:str]";

    #[test]
    fn the_vector_of_sops_opens_and_only_in_its_place() {
        let token = Token::parse(FOO).unwrap();
        let cipher = Cipher::new(&[b'f'; 32]).unwrap();
        assert_eq!(cipher.open(&token, b"bar:").unwrap().as_slice(), b"foo");
        assert!(cipher.open(&token, b"foo:").is_none());
        assert!(Cipher::new(&[b'f'; 31]).is_none());
    }
}
