//! The certificate of a sealing key: what it says and the public key to seal with.
//!
//! As `ParseKey` in `pkg/kubeseal/kubeseal.go`: the first certificate of the file counts, it must not have expired,
//! and nothing else is judged: no chain, no name, no key usage, no start date. Whoever can put another certificate
//! in its place can read what is sealed with it; that is for the caller to prevent.

use std::fmt;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use jiff::Timestamp;
use rsa::pkcs1;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use super::{Fingerprint, pem};

/// What a certificate says about its sealing key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// When the key came into use; the newest one seals.
    pub not_before: Timestamp,
    /// The last moment at which new values may be sealed with it. Opening goes on.
    pub not_after: Timestamp,
    /// The key to seal with.
    pub public_key: PublicKey,
}

impl Certificate {
    /// Reads the first certificate of a PEM file, expired or not.
    ///
    /// # Errors
    /// Fails when there is none, when it is damaged, or when its key is not RSA of 2048 to 8192 bits.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let block = pem::first_block(pem, &["CERTIFICATE"]).ok_or(CertificateError::Missing)?;
        Self::from_der(&block.der)
    }

    fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(CertificateError::Damaged)?;
        let validity = parsed.tbs_certificate.validity;
        let info = parsed.tbs_certificate.subject_public_key_info;
        if info.algorithm.oid != RSA_ENCRYPTION {
            return Err(CertificateError::NotRsa);
        }
        Ok(Self {
            not_before: timestamp(validity.not_before)?,
            not_after: timestamp(validity.not_after)?,
            public_key: PublicKey::from_info(&info)?,
        })
    }
}

/// An RSA public key of 2048 to 8192 bits.
#[derive(Clone)]
pub struct PublicKey {
    key: PublicEncryptingKey,
    /// A big-endian number without leading zeros.
    modulus: Vec<u8>,
    /// The same.
    exponent: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.fingerprint()).finish()
    }
}

impl PublicKey {
    /// Reads the key to seal with from the first certificate of a PEM file.
    ///
    /// # Errors
    /// As [`Certificate::from_pem`], and when the certificate has expired at `now`.
    pub fn from_certificate_pem(pem: &[u8], now: Timestamp) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_pem(pem)?;
        if now > certificate.not_after {
            return Err(CertificateError::Expired { not_after: certificate.not_after });
        }
        Ok(certificate.public_key)
    }

    fn from_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self, CertificateError> {
        let parts =
            pkcs1::RsaPublicKey::from_der(info.subject_public_key.raw_bytes()).map_err(CertificateError::Damaged)?;
        let (modulus, exponent) = (parts.modulus.as_bytes().to_vec(), parts.public_exponent.as_bytes().to_vec());
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(MIN_BITS..=MAX_BITS).contains(&bits) {
            return Err(CertificateError::KeySize { bits });
        }
        let der = info.to_der().map_err(CertificateError::Damaged)?;
        let key = PublicEncryptingKey::from_der(&der).map_err(|_| CertificateError::BadKey)?;
        Ok(Self { key, modulus, exponent })
    }

    /// Returns the name of the key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_rsa(&self.modulus, &self.exponent)
    }

    /// Returns the modulus as a big-endian number without leading zeros.
    pub(super) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// Encrypts a session key under a label (RFC 8017 section 7.1, with SHA-256 for everything).
    pub(super) fn wrap(&self, session_key: &[u8; 32], label: &[u8]) -> Option<Vec<u8>> {
        let mut block = vec![0; self.modulus.len()];
        let key = OaepPublicEncryptingKey::new(self.key.clone()).ok()?;
        key.encrypt(&OAEP_SHA256_MGF1SHA256, session_key, &mut block, Some(label)).ok().map(|made| made.to_vec())
    }
}

/// Why a certificate can't be used to seal.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file has no certificate.
    #[error("there is no PEM certificate in it")]
    Missing,
    /// The certificate can't be read.
    #[error("failed to read the certificate")]
    Damaged(#[source] x509_cert::der::Error),
    /// It certifies a key of another kind.
    #[error("the certificate's key is not an RSA key")]
    NotRsa,
    /// The key is too small or too big.
    #[error("the certificate's RSA key has {bits} bits; 2048 to 8192 are supported")]
    KeySize {
        /// The size of the modulus.
        bits: usize,
    },
    /// The key's numbers make no RSA key.
    #[error("the certificate's RSA key is not valid")]
    BadKey,
    /// Its end date is before 1970 or after 9999.
    #[error("the certificate's dates are out of range")]
    Dates,
    /// It may no longer be sealed with.
    #[error("the certificate expired at {not_after}")]
    Expired {
        /// The last moment at which it was good.
        not_after: Timestamp,
    },
}

impl CertificateError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "fetch the newest certificate with `seal cert`: the cluster renews its sealing key",
            Self::Missing => {
                "pass the file that `seal cert` prints; it begins with -----BEGIN CERTIFICATE----- and is UTF-8"
            }
            _ => "seal with the certificate of the cluster's sealing key; `seal cert` prints it",
        }
    }
}

fn timestamp(time: Time) -> Result<Timestamp, CertificateError> {
    let since_1970 = time.to_unix_duration();
    let seconds = i64::try_from(since_1970.as_secs()).map_err(|_| CertificateError::Dates)?;
    Timestamp::from_second(seconds).map_err(|_| CertificateError::Dates)
}

/// `rsaEncryption` (RFC 8017 appendix A.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;
