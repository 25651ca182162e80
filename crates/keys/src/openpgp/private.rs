//! One private key, and the session keys that it unwraps.
//!
//! RSA keys are taken apart here (RFC 9580 sections 5.5.3 and 5.5.5.1) and used in aws-lc-rs; those that are too small for it in `rsa`,
//! blinded, where the caller wants that. All others are those of the crate `pgp`.

use std::io::{BufRead, Cursor};

use aws_lc_rs::rsa::Pkcs1PrivateDecryptingKey;
use pgp::composed::PlainSessionKey;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{PacketHeader, PublicKey, PublicKeyEncryptedSessionKey};
use pgp::types::{
    EcdhPublicParams, EskType, KeyDetails, KeyVersion, Mpi, PkeskBytes, PkeskVersion, PlainSecretParams, PublicParams,
    Tag,
};
use rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Encrypt, RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

use crate::rsa_key::{self, RsaNumbers};

/// Which RSA keys are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaSizes {
    /// Those of 2048 to 8192 bits, with which aws-lc-rs works in constant time.
    From2048,
    /// Smaller ones too, whose time may tell of the key: for whoever opens files of his own.
    Any,
}

/// A private key.
pub(super) struct PrivateKey {
    pub(super) public: PublicKey,
    half: Result<Half, Unusable>,
}

enum Half {
    Rsa(Pkcs1PrivateDecryptingKey),
    SmallRsa(Box<RsaPrivateKey>),
    Other(Box<PlainSecretParams>),
}

/// Why a key unwraps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("opens nothing")]
    SignsOnly,
    #[error("has a passphrase, and nobody is asked for one here")]
    Locked,
    #[error("is there without its private half")]
    Absent,
    #[error("is an RSA key of {0} bits, and those of 2048 to 8192 are supported")]
    Size(usize),
    #[error("is {0}, which is not supported")]
    Unsupported(&'static str),
}

/// A key can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DamagedKey;

impl PrivateKey {
    /// Reads the body of a packet.
    pub(super) fn parse(body: &[u8], sizes: RsaSizes) -> Result<Self, DamagedKey> {
        let mut cursor = Cursor::new(body);
        // What is public stands first, as it does in the packet of a public key.
        let public = PublicKey::try_from_reader(PacketHeader::new_fixed(Tag::PublicKey, 0), &mut cursor);
        let public = public.map_err(|_| DamagedKey)?;
        let secret = usize::try_from(cursor.position()).ok().and_then(|at| body.get(at..)).ok_or(DamagedKey)?;
        let half = match public.algorithm() {
            PublicKeyAlgorithm::RSA
            | PublicKeyAlgorithm::RSAEncrypt
            | PublicKeyAlgorithm::ECDH
            | PublicKeyAlgorithm::X25519
            | PublicKeyAlgorithm::X448 => half(&public, secret, sizes)?,
            PublicKeyAlgorithm::Elgamal | PublicKeyAlgorithm::ElgamalEncrypt => {
                Err(Unusable::Unsupported("an Elgamal key"))
            }
            _ => Err(Unusable::SignsOnly),
        };
        Ok(Self { public, half })
    }

    /// Says why it unwraps nothing, if that is so.
    pub(super) fn unusable(&self) -> Option<Unusable> {
        self.half.as_ref().err().copied()
    }

    /// Unwraps a session key. Nothing says what is wrong with one that does not unwrap: whoever made it could learn from that.
    pub(super) fn session_key(&self, esk: &PublicKeyEncryptedSessionKey) -> Option<PlainSessionKey> {
        let kind = match esk.version() {
            PkeskVersion::V3 => EskType::V3_4,
            PkeskVersion::V6 => EskType::V6,
            PkeskVersion::Other(_) => return None,
        };
        match (self.half.as_ref().ok()?, esk.values().ok()?) {
            (Half::Rsa(key), PkeskBytes::Rsa { mpi }) => {
                let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
                let number = padded(mpi, key.key_size_bytes())?;
                session_key(key.decrypt(&number, &mut buffer).ok()?, kind)
            }
            (Half::SmallRsa(key), PkeskBytes::Rsa { mpi }) => {
                let number = padded(mpi, key.size())?;
                let opened = key.decrypt_blinded(&mut OsRng, Pkcs1v15Encrypt, &number).ok().map(Zeroizing::new)?;
                session_key(&opened, kind)
            }
            (Half::Other(key), values) => key.decrypt(self.public.public_params(), values, kind, &self.public).ok(),
            _ => None,
        }
    }
}

/// Reads the private half, if it is there and in the clear.
fn half(public: &PublicKey, secret: &[u8], sizes: RsaSizes) -> Result<Result<Half, Unusable>, DamagedKey> {
    // GnuPG writes a way of its own to derive a key, 101, where there is no private half (`doc/DETAILS` of GnuPG).
    match secret {
        [] => Err(DamagedKey),
        [0, numbers @ ..] => match public.public_params() {
            PublicParams::RSA(params) => rsa(&params.key, numbers, public.version(), sizes),
            PublicParams::ECDH(params) if !is_known(params) => {
                Ok(Err(Unusable::Unsupported("a key of a curve other than 25519, 448, P-256, P-384 and P-521")))
            }
            params => {
                let (version, algorithm) = (public.version(), public.algorithm());
                let half = PlainSecretParams::try_from_reader(Cursor::new(numbers), version, algorithm, params);
                half.map(|half| Ok(Half::Other(Box::new(half)))).map_err(|_| DamagedKey)
            }
        },
        [254 | 255, _, 101, _, b'G', b'N', b'U', ..] => Ok(Err(Unusable::Absent)),
        _ => Ok(Err(Unusable::Locked)),
    }
}

fn is_known(params: &EcdhPublicParams) -> bool {
    use EcdhPublicParams::{Curve25519Legacy, P256, P384, P521};
    matches!(params, Curve25519Legacy { .. } | P256 { .. } | P384 { .. } | P521 { .. })
}

/// Reads `d`, `p`, `q` and the inverse of `p` modulo `q`, and behind them the sum of these octets, which version 6 has not.
fn rsa(
    public: &RsaPublicKey,
    numbers: &[u8],
    version: KeyVersion,
    sizes: RsaSizes,
) -> Result<Result<Half, Unusable>, DamagedKey> {
    let numbers = match (version, numbers.split_last_chunk()) {
        (KeyVersion::V6, _) => numbers,
        (_, Some((numbers, sum))) if octet_sum(numbers).to_be_bytes() == *sum => numbers,
        _ => return Err(DamagedKey),
    };
    let mut cursor = Cursor::new(numbers);
    let mut next = || Mpi::try_from_reader(&mut cursor).map_err(|_| DamagedKey);
    let (d, p, q, u) = (next()?, next()?, next()?, next()?);
    if cursor.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
        return Err(DamagedKey);
    }
    let half = match public.n().bits() {
        2048..=8192 => large_rsa(public, [&d, &p, &q, &u]).map(Half::Rsa),
        ..2048 if sizes == RsaSizes::Any => small_rsa(public, [&d, &p, &q]).map(Box::new).map(Half::SmallRsa),
        bits => return Ok(Err(Unusable::Size(bits))),
    };
    half.map(Ok).ok_or(DamagedKey)
}

fn large_rsa(public: &RsaPublicKey, [d, p, q, u]: [&Mpi; 4]) -> Option<Pkcs1PrivateDecryptingKey> {
    // PKCS#1 has the inverse of the second prime, so the primes change places.
    let numbers = RsaNumbers {
        modulus: &public.n().to_bytes_be(),
        public_exponent: &public.e().to_bytes_be(),
        private_exponent: d.as_ref(),
        p: q.as_ref(),
        q: p.as_ref(),
        coefficient: u.as_ref(),
    };
    Pkcs1PrivateDecryptingKey::new(rsa_key::private_key(&numbers.to_pkcs1()?)?).ok()
}

fn small_rsa(public: &RsaPublicKey, [d, p, q]: [&Mpi; 3]) -> Option<RsaPrivateKey> {
    let number = |number: &Mpi| BigUint::from_bytes_be(number.as_ref());
    let primes = vec![number(p), number(q)];
    RsaPrivateKey::from_components(public.n().clone(), public.e().clone(), number(d), primes).ok()
}

/// Puts the zeros back that a number loses in a packet.
fn padded(number: &Mpi, length: usize) -> Option<Vec<u8>> {
    let zeros = length.checked_sub(number.len())?;
    Some([&vec![0; zeros], number.as_ref()].concat())
}

/// Reads a session key (RFC 9580 section 5.1): in version 3 the cipher, then the key and the sum of its octets.
fn session_key(bytes: &[u8], kind: EskType) -> Option<PlainSessionKey> {
    let (bytes, sum) = bytes.split_last_chunk()?;
    let (cipher, key) = match kind {
        EskType::V3_4 => bytes.split_first().map(|(cipher, key)| (Some(SymmetricKeyAlgorithm::from(*cipher)), key))?,
        EskType::V6 => (None, bytes),
    };
    if octet_sum(key).to_be_bytes() != *sum {
        return None;
    }
    match cipher {
        Some(cipher) if cipher.key_size() == key.len() && !key.is_empty() => {
            Some(PlainSessionKey::V3_4 { sym_alg: cipher, key: key.into() })
        }
        Some(_) => None,
        None => Some(PlainSessionKey::V6 { key: key.into() }),
    }
}

fn octet_sum(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |sum: u16, octet| sum.wrapping_add(u16::from(*octet)))
}
