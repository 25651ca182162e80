//! A version of a key of the fake of Azure Key Vault: RSA with 2048 bits, and RSA-OAEP-256 (RFC 8017, section 7.1, with SHA-256).

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{no_cryptography, random_bytes};
use crate::failure::Failure;

pub(super) struct VaultKey {
    /// 32 hexadecimal digits.
    pub(super) version: String,
    /// The modulus, as a JSON Web Key has it (RFC 7518, section 6.3.1).
    pub(super) modulus: String,
    private: OaepPrivateDecryptingKey,
    public: OaepPublicEncryptingKey,
}

impl VaultKey {
    pub(super) fn new() -> Result<Self, Failure> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(no_cryptography)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(no_cryptography)?;
        let private = PrivateDecryptingKey::from_pkcs8(der.as_ref()).map_err(no_cryptography)?;
        let modulus = pair.public_key().modulus();
        Ok(Self {
            version: random_bytes(16)?.iter().map(|byte| format!("{byte:02x}")).collect(),
            modulus: URL_SAFE_NO_PAD.encode(modulus.big_endian_without_leading_zero()),
            public: OaepPublicEncryptingKey::new(private.public_key()).map_err(no_cryptography)?,
            private: OaepPrivateDecryptingKey::new(private).map_err(no_cryptography)?,
        })
    }

    pub(super) fn encrypt(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut room = vec![0; self.public.ciphertext_size()];
        let ciphertext = self.public.encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut room, None).ok()?;
        Some(ciphertext.to_vec())
    }

    pub(super) fn decrypt(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let mut room = vec![0; self.private.min_output_size()];
        let plaintext = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut room, None).ok()?;
        Some(plaintext.to_vec())
    }
}
