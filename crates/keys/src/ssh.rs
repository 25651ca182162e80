//! SSH keys as age recipients and identities: the stanzas `ssh-ed25519` and `ssh-rsa` of filippo.io/age 1.3, `agessh/agessh.go`.
//!
//! Key files are taken apart, and those with a passphrase unlocked, by `ssh-key` and `pkcs8`; private RSA operations are aws-lc-rs, as
//! everywhere in this crate. Not here: asking for a passphrase.

use std::collections::HashSet;
use std::fmt;

use age::secrecy::ExposeSecret;
use age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, hkdf};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use rand_core::{OsRng, RngCore};
use rsa::pkcs1::der::{Decode, asn1::OctetStringRef, asn1::UintRef};
use rsa::pkcs1::{self, ALGORITHM_ID};
use rsa::pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use rsa::sha2::{Digest, Sha256, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Oaep, RsaPublicKey};
use ssh_key::private::{Ed25519Keypair, KeypairData, RsaKeypair};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Mpint, PrivateKey, PublicKey};
use waxwing_formats::sealed_secret::pem;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use crate::rsa_key::RsaNumbers;
use crate::unsealing_key;

/// A public SSH key that can be wrapped for.
#[derive(Clone)]
pub(crate) struct SshRecipient {
    /// The key as SSH has it on the wire (RFC 4253 section 6.6).
    wire: Vec<u8>,
    key: PublicHalf,
}

#[derive(Clone)]
enum PublicHalf {
    /// The u coordinate of the key on curve25519.
    Ed25519([u8; 32]),
    Rsa(Box<RsaPublicKey>),
}

/// A private SSH key that unwraps.
pub(crate) struct SshIdentity {
    recipient: SshRecipient,
    key: PrivateHalf,
}

enum PrivateHalf {
    /// The scalar on curve25519.
    Ed25519(Zeroizing<[u8; 32]>),
    Rsa(OaepPrivateDecryptingKey),
}

/// A private SSH key with a passphrase. Its public half can be read without.
pub(crate) struct LockedSshKey {
    recipient: SshRecipient,
    key: PrivateKey,
}

/// Why an SSH key can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SshKeyError {
    /// It can't be read.
    Damaged,
    /// It is of a kind that is known and not supported; with its article.
    Unsupported(&'static str),
    /// A passphrase protects it.
    Locked,
}

impl SshRecipient {
    /// Reads a line as in `authorized_keys`, without options. What stands behind the key is a comment.
    pub(crate) fn from_line(line: &str) -> Result<Self, SshKeyError> {
        let mut words = line.split_ascii_whitespace();
        let (kind, key) = words.next().zip(words.next()).ok_or(SshKeyError::Damaged)?;
        if !["ssh-ed25519", "ssh-rsa"].contains(&kind) {
            return Err(OTHER_KIND);
        }
        let key = PublicKey::from_openssh(&format!("{kind} {key}")).map_err(|_| SshKeyError::Damaged)?;
        Self::new(key.into())
    }

    fn new(key: KeyData) -> Result<Self, SshKeyError> {
        let half = match &key {
            KeyData::Ed25519(key) => {
                let point = CompressedEdwardsY(key.0).decompress().ok_or(SshKeyError::Damaged)?;
                PublicHalf::Ed25519(point.to_montgomery().to_bytes())
            }
            KeyData::Rsa(key) => PublicHalf::Rsa(Box::new(rsa_public(key)?)),
            _ => return Err(OTHER_KIND),
        };
        Ok(Self { wire: PublicKey::from(key).to_bytes().map_err(|_| SshKeyError::Damaged)?, key: half })
    }

    /// Tells whether a stanza may be for this key.
    fn is_meant_by(&self, stanza: &Stanza) -> bool {
        stanza.tag == self.kind() && stanza.args.first().is_some_and(|tag| *tag == self.tag())
    }

    fn kind(&self) -> &'static str {
        match self.key {
            PublicHalf::Ed25519(_) => ED25519,
            PublicHalf::Rsa(_) => RSA,
        }
    }

    /// Returns what tells stanzas for this key from others: the first 4 bytes of SHA-256(key on the wire), in base64.
    fn tag(&self) -> String {
        let hash = Sha256::digest(&self.wire);
        STANDARD_NO_PAD.encode(hash.get(..TAG_LEN).unwrap_or_default())
    }
}

impl age::Recipient for SshRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let failed = || EncryptError::Io(std::io::Error::other("failed to wrap for an SSH key"));
        let (tag, args, body) = match &self.key {
            PublicHalf::Ed25519(key) => {
                let mut secret = Zeroizing::new([0; 32]);
                OsRng.fill_bytes(secret.as_mut());
                let share = x25519(*secret, X25519_BASEPOINT_BYTES);
                let wrapping_key = self.wrapping_key(&secret, key, &share, key).ok_or_else(failed)?;
                let body = aead_encrypt(&wrapping_key, file_key.expose_secret());
                (ED25519, vec![self.tag(), STANDARD_NO_PAD.encode(share)], body)
            }
            PublicHalf::Rsa(key) => {
                let padding = Oaep::new_with_label::<Sha256, _>(RSA_LABEL);
                let body = key.encrypt(&mut OsRng, padding, file_key.expose_secret()).map_err(|_| failed())?;
                (RSA, vec![self.tag()], body)
            }
        };
        Ok((vec![Stanza { tag: tag.to_owned(), args, body }], HashSet::new()))
    }
}

impl SshRecipient {
    /// `HKDF[share || key, label](X25519(tweak, X25519(secret, point)))` with `tweak = HKDF[wire, label]("")`, where `point` is the
    /// other side's public half. Nothing, if the point is of low order.
    fn wrapping_key(
        &self,
        secret: &[u8; 32],
        point: &[u8; 32],
        share: &[u8; 32],
        key: &[u8; 32],
    ) -> Option<Zeroizing<[u8; 32]>> {
        let shared = Zeroizing::new(x25519(*secret, *point));
        if *shared == [0; 32] {
            return None;
        }
        let tweak = hkdf(&self.wire, ED25519_LABEL, &[]);
        let tweaked = Zeroizing::new(x25519(tweak, *shared));
        Some(Zeroizing::new(hkdf(&[share.as_slice(), key].concat(), ED25519_LABEL, tweaked.as_slice())))
    }
}

impl fmt::Display for SshRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), STANDARD.encode(&self.wire))
    }
}

impl SshIdentity {
    /// Reads a private key: OpenSSH's form, PKCS#8 or PKCS#1.
    pub(crate) fn from_pem(file: &[u8]) -> Result<Self, SshKeyError> {
        let block = pem::first_block(file, &[OPENSSH, PKCS1, PKCS8]);
        let Some(block) = block else { return Err(without_key(file)) };
        match block.label.as_str() {
            OPENSSH => Self::from_openssh(&PrivateKey::from_bytes(&block.der).map_err(|_| SshKeyError::Damaged)?),
            PKCS1 => Self::from_pkcs1(&block.der),
            _ => Self::from_pkcs8(&block.der),
        }
    }

    fn from_openssh(key: &PrivateKey) -> Result<Self, SshKeyError> {
        match key.key_data() {
            KeypairData::Encrypted(_) => Err(SshKeyError::Locked),
            KeypairData::Ed25519(Ed25519Keypair { public, private }) => {
                let identity = Self::from_seed(private.as_ref())?;
                let belongs = identity.recipient.wire == SshRecipient::new(KeyData::Ed25519(*public))?.wire;
                if belongs { Ok(identity) } else { Err(SshKeyError::Damaged) }
            }
            KeypairData::Rsa(pair) => Self::from_pkcs1(&pkcs1(pair).ok_or(SshKeyError::Damaged)?),
            _ => Err(OTHER_KIND),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, SshKeyError> {
        let info = PrivateKeyInfo::from_der(der).map_err(|_| SshKeyError::Damaged)?;
        match info.algorithm.oid {
            oid if oid == ALGORITHM_ID.oid => Self::from_pkcs1(info.private_key),
            ED25519_OID => {
                let seed = OctetStringRef::from_der(info.private_key).map_err(|_| SshKeyError::Damaged)?;
                Self::from_seed(seed.as_bytes())
            }
            _ => Err(OTHER_KIND),
        }
    }

    /// The scalar is the first half of SHA-512(seed), as for signing (RFC 8032 section 5.1.5).
    fn from_seed(seed: &[u8]) -> Result<Self, SshKeyError> {
        let seed: &[u8; 32] = seed.try_into().map_err(|_| SshKeyError::Damaged)?;
        let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let (scalar, _) = hash.split_first_chunk::<32>().ok_or(SshKeyError::Damaged)?;
        let public = EdwardsPoint::mul_base_clamped(*scalar).compress().to_bytes();
        let recipient = SshRecipient::new(KeyData::Ed25519(Ed25519PublicKey(public)))?;
        Ok(Self { recipient, key: PrivateHalf::Ed25519(Zeroizing::new(*scalar)) })
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, SshKeyError> {
        let numbers = pkcs1::RsaPrivateKey::from_der(der).map_err(|_| SshKeyError::Damaged)?;
        let number = |number: UintRef<'_>| Mpint::from_positive_bytes(number.as_bytes());
        let key = number(numbers.modulus).and_then(|n| Ok((n, number(numbers.public_exponent)?)));
        let (n, e) = key.map_err(|_| SshKeyError::Damaged)?;
        let public = ssh_key::public::RsaPublicKey { e, n };
        if rsa_public(&public)?.n().bits() > MAX_PRIVATE_RSA_BITS {
            return Err(SshKeyError::Unsupported("an RSA key of more than 8192 bits"));
        }
        let private = unsealing_key::private_key(der).map_err(|_| SshKeyError::Damaged)?;
        Ok(Self { recipient: SshRecipient::new(KeyData::Rsa(public))?, key: PrivateHalf::Rsa(private) })
    }

    /// Returns the public half, which is wrapped for.
    pub(crate) fn recipient(&self) -> &SshRecipient {
        &self.recipient
    }
}

impl LockedSshKey {
    /// Reads a key in OpenSSH's form, if it is one and has a passphrase.
    pub(crate) fn from_pem(file: &[u8]) -> Option<Self> {
        let block = pem::first_block(file, &[OPENSSH])?;
        let key = PrivateKey::from_bytes(&block.der).ok().filter(PrivateKey::is_encrypted)?;
        let recipient = SshRecipient::new(key.public_key().key_data().clone()).ok()?;
        Some(Self { recipient, key })
    }

    /// Tells whether a stanza may be for this key.
    pub(crate) fn is_meant_by(&self, stanza: &Stanza) -> bool {
        self.recipient.is_meant_by(stanza)
    }

    /// Unlocks the key; [`SshKeyError::Locked`] if the passphrase is another.
    pub(crate) fn unlock(&self, passphrase: &[u8]) -> Result<SshIdentity, SshKeyError> {
        let key = self.key.decrypt(passphrase).map_err(|_| SshKeyError::Locked)?;
        SshIdentity::from_openssh(&key).map_err(|_| SshKeyError::Damaged)
    }
}

/// A tag is short and may be another key's, so what does not open is passed over, as in `agessh.go`.
impl age::Identity for SshIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        match (&self.key, stanza.tag.as_str()) {
            (PrivateHalf::Ed25519(scalar), ED25519) => {
                let [tag, share] = stanza.args.as_slice() else { return Some(Err(DecryptError::InvalidHeader)) };
                let share = STANDARD_NO_PAD.decode(share).ok().and_then(|share| share.try_into().ok());
                let Some(share) = share else { return Some(Err(DecryptError::InvalidHeader)) };
                if *tag != self.recipient.tag() {
                    return None;
                }
                self.unwrap_ed25519(scalar, &share, &stanza.body).map(Ok)
            }
            (PrivateHalf::Rsa(key), RSA) => {
                let [tag] = stanza.args.as_slice() else { return Some(Err(DecryptError::InvalidHeader)) };
                if *tag != self.recipient.tag() {
                    return None;
                }
                let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
                let label = Some(RSA_LABEL.as_bytes());
                file_key(key.decrypt(&OAEP_SHA256_MGF1SHA256, &stanza.body, &mut buffer, label).ok()?).map(Ok)
            }
            _ => None,
        }
    }
}

impl SshIdentity {
    fn unwrap_ed25519(&self, scalar: &[u8; 32], share: &[u8; 32], body: &[u8]) -> Option<FileKey> {
        let PublicHalf::Ed25519(own) = &self.recipient.key else { return None };
        let wrapping_key = self.recipient.wrapping_key(scalar, share, share, own)?;
        file_key(&Zeroizing::new(aead_decrypt(&wrapping_key, FILE_KEY_BYTES, body).ok()?))
    }
}

/// Returns a file key, if it has the length of one.
pub(crate) fn file_key(bytes: &[u8]) -> Option<FileKey> {
    let bytes: &[u8; FILE_KEY_BYTES] = bytes.try_into().ok()?;
    Some(FileKey::init_with_mut(|key| key.copy_from_slice(bytes)))
}

fn rsa_public(key: &ssh_key::public::RsaPublicKey) -> Result<RsaPublicKey, SshKeyError> {
    let number = |number: &Mpint| number.as_positive_bytes().map(BigUint::from_bytes_be).ok_or(SshKeyError::Damaged);
    let n = number(&key.n)?;
    match n.bits() {
        ..MIN_RSA_BITS => Err(SshKeyError::Unsupported("an RSA key of fewer than 2048 bits")),
        MIN_RSA_BITS..=MAX_RSA_BITS => {
            let key = RsaPublicKey::new_with_max_size(n, number(&key.e)?, MAX_RSA_BITS);
            key.map_err(|_| SshKeyError::Damaged)
        }
        _ => Err(SshKeyError::Unsupported("an RSA key of more than 16384 bits")),
    }
}

/// Makes the PKCS#1 form of OpenSSH's.
fn pkcs1(pair: &RsaKeypair) -> Option<Zeroizing<Vec<u8>>> {
    let number = Mpint::as_positive_bytes;
    let numbers = RsaNumbers {
        modulus: number(&pair.public.n)?,
        public_exponent: number(&pair.public.e)?,
        private_exponent: number(&pair.private.d)?,
        p: number(&pair.private.p)?,
        q: number(&pair.private.q)?,
        coefficient: number(&pair.private.iqmp)?,
    };
    numbers.to_pkcs1()
}

/// Says why there is no key in a file.
fn without_key(file: &[u8]) -> SshKeyError {
    let has = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
        SshKeyError::Unsupported("a PEM file with a passphrase")
    } else if has("-----BEGIN EC PRIVATE KEY-----") || has("-----BEGIN DSA PRIVATE KEY-----") {
        OTHER_KIND
    } else {
        SshKeyError::Damaged
    }
}

const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
const ED25519_LABEL: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
const RSA_LABEL: &str = "age-encryption.org/v1/ssh-rsa";
const TAG_LEN: usize = 4;
/// RFC 8410 section 3.
const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const OPENSSH: &str = "OPENSSH PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";
const PKCS8: &str = "PRIVATE KEY";
const OTHER_KIND: SshKeyError = SshKeyError::Unsupported("an SSH key of another kind than ed25519 and RSA");
/// As in `agessh.go`.
const MIN_RSA_BITS: usize = 2048;
/// What Go's SSH library reads.
const MAX_RSA_BITS: usize = 16384;
/// What aws-lc-rs decrypts with.
const MAX_PRIVATE_RSA_BITS: usize = 8192;
