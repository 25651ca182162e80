//! One sealing key of a cluster: an RSA key and its certificate, as the Sealed Secrets controller keeps them in a
//! TLS Secret (`pkg/crypto/keys.go` and `pkg/controller/keys.go` of sealed-secrets 0.40).
//!
//! Key files are taken apart with `pkcs1` and `pkcs8`; every operation with the private key is aws-lc-rs, which is
//! constant-time and wipes what it holds. Not here: where the Secrets are and which labels they carry.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use jiff::Timestamp;
use rsa::pkcs1::der::{Decode, pem::LineEnding};
use rsa::pkcs8::PrivateKeyInfo;
use waxwing_formats::sealed_secret::{Certificate, CertificateError, Fingerprint, pem};
use waxwing_formats::{DataKey, SecretBytes};
use zeroize::Zeroizing;

use crate::{UnsealingKey, sealing_certificate};

/// A private key that opens what was sealed with its certificate.
pub struct SealingKey {
    private: UnsealingKey,
    not_before: Timestamp,
    certificate_pem: String,
}

impl SealingKey {
    /// Reads a key (PKCS#1 or PKCS#8) and the first certificate of its file, expired or not.
    ///
    /// # Errors
    /// Names what is wrong with which of the two files; a certificate of another key is refused too, because what
    /// is sealed with it could never be opened.
    pub fn from_pem(tls_key: &SecretBytes, tls_crt: &[u8]) -> Result<Self, KeyError> {
        let private = UnsealingKey::from_pem(tls_key)?;
        let certificate = Certificate::from_pem(tls_crt).map_err(KeyError::Certificate)?;
        if certificate.public_key.fingerprint() != *private.fingerprint() {
            return Err(KeyError::OtherCertificate { key: private.fingerprint().clone() });
        }
        let certificate_der = pem::first_block(tls_crt, &[CERTIFICATE]).map(|block| block.der).unwrap_or_default();
        Ok(Self {
            private,
            not_before: certificate.not_before,
            certificate_pem: encode_pem(CERTIFICATE, &certificate_der)?.to_string(),
        })
    }

    /// Makes a new key of 2048, 3072, 4096 (upstream's default) or 8192 bits, with a certificate that is valid from
    /// `now` on. Takes up to seconds: run it where blocking is allowed. An empty `common_name` leaves the names in the
    /// certificate empty, as upstream does by default.
    ///
    /// # Errors
    /// Fails when the size is another, when no key can be made, or when the dates are beyond the year 9999.
    pub fn generate(
        now: Timestamp,
        validity: Duration,
        common_name: &str,
        bits: usize,
    ) -> Result<GeneratedKey, KeyError> {
        let pair = RsaKeyPair::generate(key_size(bits)?).map_err(KeyError::Generate)?;
        let certificate = sealing_certificate::self_signed(&pair, now, validity, common_name)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(KeyError::Generate)?;
        let info = PrivateKeyInfo::from_der(pkcs8.as_ref()).map_err(|_| KeyError::Damaged)?;
        let mut key_pem = encode_pem(PKCS1, info.private_key)?;
        Ok(GeneratedKey {
            tls_key_pem: SecretBytes::new(std::mem::take(&mut *key_pem).into_bytes()),
            tls_crt_pem: encode_pem(CERTIFICATE, &certificate)?.to_string(),
        })
    }

    /// Returns the key's name.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.private.fingerprint()
    }

    /// Returns when the key came into use, from its certificate.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Returns the certificate to seal with.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Tells whether an RSA block of this length may be this key's. A few leading zeros may have been dropped.
    pub(crate) fn fits(&self, block: &[u8]) -> bool {
        self.private.fits(block)
    }

    /// Unwraps a session key, if the block is this key's and has this label.
    pub(crate) fn open(&self, block: &[u8], label: &[u8]) -> Option<DataKey> {
        self.private.open(block, label)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.fingerprint())
    }
}

/// A new sealing key in the form of a TLS Secret's `tls.key` and `tls.crt`.
#[derive(Debug)]
pub struct GeneratedKey {
    /// The private key as PKCS#1 PEM.
    pub tls_key_pem: SecretBytes,
    /// The certificate as PEM.
    pub tls_crt_pem: String,
}

/// Why a sealing key can't be read or made; none of it quotes the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file has no key.
    #[error("there is no PEM private key in tls.key")]
    Missing,
    /// The key is of another kind.
    #[error("the private key is not an RSA key")]
    NotRsa,
    /// The key file can't be read.
    #[error("failed to read the private key")]
    Damaged,
    /// The key is too small or too big.
    #[error("the RSA key has {bits} bits; 2048 to 8192 are supported")]
    KeySize {
        /// The size of the modulus.
        bits: usize,
    },
    /// A new key can't have this size.
    #[error("no key of {bits} bits can be made; 2048, 3072, 4096 and 8192 are supported")]
    NewKeySize {
        /// The size that was asked for.
        bits: usize,
    },
    /// The certificate can't be read.
    #[error("failed to read tls.crt")]
    Certificate(#[source] CertificateError),
    /// The certificate is of another key.
    #[error("the certificate in tls.crt does not belong to the key {key} in tls.key")]
    OtherCertificate {
        /// The private key's name.
        key: Fingerprint,
    },
    /// No key could be generated.
    #[error("failed to generate a sealing key")]
    Generate(#[source] Unspecified),
    /// The certificate could not be made.
    #[error("failed to make the certificate of a sealing key")]
    MakeCertificate(#[source] x509_cert::der::Error),
    /// The certificate's dates are out of range.
    #[error("the certificate's dates are out of range")]
    Dates,
}

impl KeyError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Generate(_) | Self::MakeCertificate(_) => "try again",
            Self::NewKeySize { .. } => "choose 4096",
            Self::Dates => "set the clock, or choose a shorter validity",
            Self::Certificate(_) | Self::OtherCertificate { .. } => {
                "put the certificate of the key in tls.key into tls.crt of the Secret"
            }
            Self::Missing | Self::NotRsa | Self::Damaged | Self::KeySize { .. } => {
                "put an RSA key of 2048 to 8192 bits into tls.key of the Secret, as -----BEGIN RSA PRIVATE KEY-----"
            }
        }
    }
}

fn key_size(bits: usize) -> Result<KeySize, KeyError> {
    match bits {
        2048 => Ok(KeySize::Rsa2048),
        3072 => Ok(KeySize::Rsa3072),
        4096 => Ok(KeySize::Rsa4096),
        8192 => Ok(KeySize::Rsa8192),
        _ => Err(KeyError::NewKeySize { bits }),
    }
}

fn encode_pem(label: &str, der: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    let encoded = rsa::pkcs1::der::pem::encode_string(label, LineEnding::LF, der);
    encoded.map(Zeroizing::new).map_err(|_| KeyError::Damaged)
}

const PKCS1: &str = "RSA PRIVATE KEY";
const CERTIFICATE: &str = "CERTIFICATE";
