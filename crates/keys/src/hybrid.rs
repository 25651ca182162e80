//! Post-quantum age recipients and identities: the stanza `mlkem768x25519` of filippo.io/age 1.3, `pq.go`, that is HPKE (RFC 9180) in
//! base mode with the KEM MLKEM768-X25519 (0x647a, also called X-Wing), HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! All of HPKE is the crate `hpke`. What is here: the texts (Bech32), the lengths, and points of low order, which age refuses.

use std::collections::HashSet;
use std::fmt;

use age::secrecy::ExposeSecret;
use age::{DecryptError, EncryptError};
use age_core::format::{FileKey, Stanza};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::{FromBase32, ToBase32, Variant};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use x25519_dalek::x25519;
use zeroize::Zeroizing;

use crate::ssh::file_key;

/// What a post-quantum recipient begins with.
pub(crate) const RECIPIENT_PREFIX: &str = "age1pq1";
/// What a post-quantum identity begins with.
pub(crate) const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-PQ-1";

/// A post-quantum recipient.
#[derive(Clone)]
pub(crate) struct HybridRecipient(<XWing as Kem>::PublicKey);

/// A post-quantum identity.
pub(crate) struct HybridIdentity(<XWing as Kem>::PrivateKey);

impl HybridRecipient {
    /// Reads `age1pq1...`: Bech32 of the ML-KEM-768 key (1184 bytes) and the X25519 key (32 bytes).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = bech32_of(text, RECIPIENT_PREFIX)?;
        is_usable_point(&bytes).then(|| <XWing as Kem>::PublicKey::from_bytes(&bytes).ok().map(Self))?
    }
}

/// Tells whether a key or share ends in a point of X25519 that is not of low order: whose multiple by the cofactor, or by any clamped
/// scalar, is not zero.
fn is_usable_point(bytes: &[u8]) -> bool {
    bytes.last_chunk().is_some_and(|point| x25519([1; 32], *point) != [0; 32])
}

impl age::Recipient for HybridRecipient {
    /// The label keeps recipients that are not post-quantum out of the same file (`WrapWithLabels` in `pq.go`).
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let sealed = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &self.0,
            INFO,
            file_key.expose_secret(),
            &[],
        );
        let failed = |_| EncryptError::Io(std::io::Error::other("failed to wrap for a post-quantum recipient"));
        let (share, body) = sealed.map_err(failed)?;
        let args = vec![STANDARD_NO_PAD.encode(share.to_bytes())];
        Ok((vec![Stanza { tag: TAG.to_owned(), args, body }], HashSet::from([LABEL.to_owned()])))
    }
}

impl fmt::Display for HybridRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = RECIPIENT_PREFIX.trim_end_matches('1');
        let text = bech32::encode(prefix, self.0.to_bytes().to_base32(), Variant::Bech32);
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl HybridIdentity {
    /// Reads `AGE-SECRET-KEY-PQ-1...`: Bech32 of a seed of 32 bytes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        <XWing as Kem>::PrivateKey::from_bytes(&bech32_of(text, IDENTITY_PREFIX)?).ok().map(Self)
    }

    /// Returns the public half, which is wrapped for.
    pub(crate) fn recipient(&self) -> HybridRecipient {
        HybridRecipient(XWing::sk_to_pk(&self.0))
    }
}

/// Stanzas do not say who they are for: one that does not open is another's.
impl age::Identity for HybridIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != TAG {
            return None;
        }
        let Some(share) = share(stanza) else { return Some(Err(DecryptError::InvalidHeader)) };
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &share,
            INFO,
            &stanza.body,
            &[],
        );
        file_key(&Zeroizing::new(opened.ok()?)).map(Ok)
    }
}

/// Returns the sender's share: the one argument, a ciphertext of ML-KEM-768 (1088 bytes) and a point of X25519 (32 bytes).
fn share(stanza: &Stanza) -> Option<<XWing as Kem>::EncappedKey> {
    let [share] = stanza.args.as_slice() else { return None };
    let share = STANDARD_NO_PAD.decode(share).ok()?;
    if stanza.body.len() != BODY_LEN || !is_usable_point(&share) {
        return None;
    }
    <XWing as Kem>::EncappedKey::from_bytes(&share).ok()
}

/// Returns the bytes of a Bech32 text that begins with `prefix`, which ends in the separator.
fn bech32_of(text: &str, prefix: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (kind, digits, variant) = bech32::decode(text).ok().filter(|_| text.starts_with(prefix))?;
    let is_this = variant == Variant::Bech32 && format!("{kind}1").eq_ignore_ascii_case(prefix);
    let bytes = Vec::from_base32(&digits).ok().filter(|_| is_this)?;
    Some(Zeroizing::new(bytes))
}

const TAG: &str = "mlkem768x25519";
const LABEL: &str = "postquantum";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// A file key and the tag of the cipher.
const BODY_LEN: usize = 16 + 16;
