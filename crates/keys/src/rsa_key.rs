//! Private RSA keys, from the numbers that key files have to what aws-lc-rs takes: PKCS#1 (RFC 8017 appendix A.1.2) in PKCS#8 (RFC 5208).
//!
//! Not here: reading key files. Private operations with a key are aws-lc-rs, wherever they are called.

use aws_lc_rs::rsa::PrivateDecryptingKey;
use rsa::BigUint;
use rsa::pkcs1::der::Encode;
use rsa::pkcs1::der::asn1::UintRef;
use rsa::pkcs1::{ALGORITHM_ID, RsaPrivateKey};
use rsa::pkcs8::PrivateKeyInfo;
use zeroize::Zeroizing;

/// The numbers of a private key, big-endian, without `d mod (p-1)` and `d mod (q-1)`, which follow from them.
pub(crate) struct RsaNumbers<'a> {
    pub(crate) modulus: &'a [u8],
    pub(crate) public_exponent: &'a [u8],
    pub(crate) private_exponent: &'a [u8],
    pub(crate) p: &'a [u8],
    pub(crate) q: &'a [u8],
    /// The inverse of `q` modulo `p`.
    pub(crate) coefficient: &'a [u8],
}

impl RsaNumbers<'_> {
    /// Returns the key as PKCS#1, if the numbers can be those of one.
    pub(crate) fn to_pkcs1(&self) -> Option<Zeroizing<Vec<u8>>> {
        let exponent = |prime: &[u8]| {
            let (one, prime) = (BigUint::from(1_u8), Zeroizing::new(BigUint::from_bytes_be(prime)));
            let below = (*prime > one).then(|| Zeroizing::new(&*prime - one))?;
            let private = Zeroizing::new(BigUint::from_bytes_be(self.private_exponent));
            let exponent = Zeroizing::new(&*private % &*below);
            Some(Zeroizing::new(exponent.to_bytes_be()))
        };
        let (exponent1, exponent2) = (exponent(self.p)?, exponent(self.q)?);
        let number = |bytes| UintRef::new(bytes).ok();
        let key = RsaPrivateKey {
            modulus: number(self.modulus)?,
            public_exponent: number(self.public_exponent)?,
            private_exponent: number(self.private_exponent)?,
            prime1: number(self.p)?,
            prime2: number(self.q)?,
            exponent1: number(&exponent1)?,
            exponent2: number(&exponent2)?,
            coefficient: number(self.coefficient)?,
            other_prime_infos: None,
        };
        key.to_der().ok().map(Zeroizing::new)
    }
}

/// Reads a key; aws-lc-rs takes decryption keys as PKCS#8 only, so PKCS#1 is wrapped in it (RFC 5208 section 5).
pub(crate) fn private_key(pkcs1: &[u8]) -> Option<PrivateDecryptingKey> {
    let wrapped = PrivateKeyInfo::new(ALGORITHM_ID, pkcs1).to_der().ok().map(Zeroizing::new)?;
    PrivateDecryptingKey::from_pkcs8(&wrapped).ok()
}
