//! The private half of a sealing key, as the Secret of a sealing key or a backup has it (`tls.key`).
//!
//! Key files are taken apart with `pkcs1` and `pkcs8`; every operation with the private key is aws-lc-rs, which is
//! constant-time and wipes what it holds. Not here: the certificate, and which of several keys seals.

use std::fmt;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey};
use rsa::pkcs1::der::Decode;
use rsa::pkcs1::{ALGORITHM_ID, RsaPrivateKey};
use rsa::pkcs8::PrivateKeyInfo;
use waxwing_formats::sealed_secret::{Fingerprint, pem};
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};
use zeroize::Zeroizing;

use crate::{KeyError, rsa_key};

/// A private key that opens what was sealed with its certificate, wherever that is.
pub struct UnsealingKey {
    private: OaepPrivateDecryptingKey,
    fingerprint: Fingerprint,
}

impl UnsealingKey {
    /// Reads the first key of a PEM file (PKCS#1 or PKCS#8).
    ///
    /// # Errors
    /// Fails when there is none, or another one than an RSA key of 2048 to 8192 bits.
    pub fn from_pem(tls_key: &SecretBytes) -> Result<Self, KeyError> {
        let pkcs1 = read_pkcs1(tls_key.expose_secret())?;
        let fingerprint = check_numbers(&pkcs1)?;
        Ok(Self { private: private_key(&pkcs1)?, fingerprint })
    }

    /// Returns the key's name.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Unwraps the session key of a SealedSecret item, if it is this key's and has the label that it is asked for with.
    pub fn unwrap(&self, wrapped: &WrappedKey) -> Option<DataKey> {
        match wrapped {
            WrappedKey::SealedItem { rsa, label } if self.fits(rsa) => self.open(rsa, label),
            _ => None,
        }
    }

    /// Tells whether an RSA block of this length may be this key's. A few leading zeros may have been dropped.
    pub(crate) fn fits(&self, block: &[u8]) -> bool {
        self.private.key_size_bytes().checked_sub(block.len()).is_some_and(|missing| missing <= MAX_DROPPED_ZEROS)
    }

    /// Unwraps a session key, if the block is this key's and has this label.
    pub(crate) fn open(&self, block: &[u8], label: &[u8]) -> Option<DataKey> {
        let missing = self.private.key_size_bytes().checked_sub(block.len())?;
        let padded = [vec![0; missing].as_slice(), block].concat();
        let mut buffer = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let session_key = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, &padded, &mut buffer, Some(label)).ok()?;
        Some(DataKey::new(SecretBytes::concat(&[session_key])))
    }
}

impl fmt::Debug for UnsealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnsealingKey({})", self.fingerprint)
    }
}

fn read_pkcs1(tls_key: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let block = pem::first_block(tls_key, &[PKCS1, PKCS8, SEC1]).ok_or(KeyError::Missing)?;
    match block.label.as_str() {
        PKCS1 => Ok(block.der),
        PKCS8 => {
            let info = PrivateKeyInfo::from_der(&block.der).map_err(|_| KeyError::Damaged)?;
            let is_rsa = info.algorithm.oid == ALGORITHM_ID.oid;
            if is_rsa { Ok(Zeroizing::new(info.private_key.to_vec())) } else { Err(KeyError::NotRsa) }
        }
        _ => Err(KeyError::NotRsa),
    }
}

fn check_numbers(pkcs1: &[u8]) -> Result<Fingerprint, KeyError> {
    let numbers = RsaPrivateKey::from_der(pkcs1).map_err(|_| KeyError::Damaged)?;
    let (modulus, exponent) = (numbers.modulus.as_bytes(), numbers.public_exponent.as_bytes());
    let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading_zeros;
    if !(2048..=8192).contains(&bits) {
        return Err(KeyError::KeySize { bits });
    }
    Ok(Fingerprint::of_rsa(modulus, exponent))
}

/// Reads a key in PKCS#1 form.
pub(crate) fn private_key(pkcs1: &[u8]) -> Result<OaepPrivateDecryptingKey, KeyError> {
    let key = rsa_key::private_key(pkcs1).ok_or(KeyError::Damaged)?;
    OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::Damaged)
}

const PKCS1: &str = "RSA PRIVATE KEY";
const PKCS8: &str = "PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
/// 16 zero bytes in a row at the front of a block do not happen by chance; a smaller key does.
const MAX_DROPPED_ZEROS: usize = 15;
