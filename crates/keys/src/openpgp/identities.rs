//! Private PGP keys from a file, and what they unwrap.
//!
//! A key is used whatever its signatures say: one that expired opens what was wrapped for it before. What a passphrase protects is
//! refused by name: nobody is asked here.

use std::fmt;

use pgp::composed::PlainSessionKey;
use pgp::packet::PublicKeyEncryptedSessionKey;
use pgp::types::KeyDetails;
use waxwing_formats::{DataKey, Refusal, WrappedKey};

use super::key_file::{self, FileError};
use super::message::{MessageError, Sealed};
use super::private::{PrivateKey, RsaSizes, Unusable};
use super::{unless_it_panics, upper_hex};

/// How many private operations one message may take: one that does not say whom it is for is tried with each key.
const MAX_TRIES: usize = 32;

/// The private PGP keys of one file.
pub struct PgpIdentities(Vec<Identity>);

/// A private key, and the fingerprint of the key that it belongs to or is, by which users know it.
struct Identity {
    known_as: String,
    key: PrivateKey,
}

impl PgpIdentities {
    /// Reads a key file: private keys, armored or not, each with those that belong to it; text around armored blocks is passed over.
    ///
    /// # Errors
    /// Refuses a file that is damaged, and one without a key that can be used; says why, without quoting any of it.
    pub fn parse(file: &[u8], sizes: RsaSizes) -> Result<Self, PgpKeyError> {
        unless_it_panics(|| Self::parse_unguarded(file, sizes)).unwrap_or(Err(PgpKeyError::Damaged))
    }

    fn parse_unguarded(file: &[u8], sizes: RsaSizes) -> Result<Self, PgpKeyError> {
        let packets = key_file::private_packets(file)?;
        if packets.is_empty() {
            return Err(PgpKeyError::Empty);
        }
        let (mut identities, mut known_as) = (Vec::new(), String::new());
        for packet in packets {
            let key = PrivateKey::parse(&packet.body, sizes).map_err(|_| PgpKeyError::Damaged)?;
            if packet.is_primary {
                known_as = upper_hex(key.public.fingerprint().as_bytes());
            }
            identities.push(Identity { known_as: known_as.clone(), key });
        }
        identities.retain(|identity| identity.key.unusable() != Some(Unusable::SignsOnly));
        match identities.first().map(|identity| (identity.known_as.clone(), identity.key.unusable())) {
            None => Err(PgpKeyError::SignsOnly { fingerprint: known_as }),
            Some((fingerprint, Some(why))) if identities.iter().all(|identity| identity.key.unusable().is_some()) => {
                Err(PgpKeyError::Unusable { fingerprint, why: Why(why) })
            }
            Some(_) => Ok(Self(identities)),
        }
    }

    /// Returns the fingerprints by which users know the keys; these are public.
    pub fn fingerprints(&self) -> Vec<&str> {
        let mut fingerprints: Vec<&str> = self.0.iter().map(|identity| identity.known_as.as_str()).collect();
        fingerprints.dedup();
        fingerprints
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// Says why it can't: another scheme, another key, a key that can't be used, or damage. What is wrong with a session key is not
    /// said, as that would help whoever sends made-up ones.
    pub fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        match wrapped {
            WrappedKey::Pgp { enc, .. } => {
                let opened = unless_it_panics(|| self.unwrap(enc));
                opened.unwrap_or_else(|| Err(MessageError::Damaged.to_string())).map_err(Refusal)
            }
            other => Err(Refusal(format!("there is no key for {}, only PGP keys", other.recipient()))),
        }
    }

    fn unwrap(&self, armored: &str) -> Result<DataKey, String> {
        let text = |error: MessageError| error.to_string();
        let sealed = Sealed::parse(armored).map_err(text)?;
        let session_key = self.session_key(&sealed.session_keys().map_err(text)?)?;
        sealed.open(session_key).map_err(text)
    }

    /// Unwraps the first session key that one of the keys is for. Those for whoever they open for come last.
    fn session_key(&self, esks: &[&PublicKeyEncryptedSessionKey]) -> Result<PlainSessionKey, String> {
        let (anyones, someones): (Vec<_>, Vec<_>) = esks.iter().copied().partition(|esk| is_for_anyone(esk));
        let mut refusal = None;
        let mut tries = 0;
        let in_order = someones.into_iter().map(|esk| (esk, true)).chain(anyones.into_iter().map(|esk| (esk, false)));
        for (esk, is_named) in in_order {
            for identity in self.0.iter().filter(|identity| esk.match_identity(&identity.key.public)) {
                let why = match identity.key.unusable() {
                    Some(why) => format!("the PGP key {} {why}", identity.known_as),
                    None if tries == MAX_TRIES => return Err("there are too many keys to try".to_owned()),
                    None => {
                        tries += 1;
                        match identity.key.session_key(esk) {
                            Some(session_key) => return Ok(session_key),
                            None => MessageError::Damaged.to_string(),
                        }
                    }
                };
                if is_named {
                    refusal = refusal.or(Some(why));
                }
            }
        }
        Err(refusal.unwrap_or_else(|| format!("no key matches; there are PGP keys {}", self.fingerprints().join(", "))))
    }
}

/// Tells whether a session key does not say whom it is for.
fn is_for_anyone(esk: &PublicKeyEncryptedSessionKey) -> bool {
    esk.id().is_ok_and(|id| id.is_wildcard()) || esk.fingerprint().is_ok_and(|fingerprint| fingerprint.is_none())
}

impl fmt::Debug for PgpIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PgpIdentities").field(&self.fingerprints()).finish()
    }
}

/// Why a key unwraps nothing, in words that go on behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(Unusable);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a file with PGP keys was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PgpKeyError {
    /// It is longer than any key file.
    #[error("the PGP key file is longer than 1 MiB")]
    TooLong,
    /// There are too many keys in it.
    #[error("the PGP key file has more than 200 keys")]
    TooManyKeys,
    /// There is no private key in it.
    #[error("the PGP key file has no private key")]
    Empty,
    /// It can't be read.
    #[error("the PGP key file is damaged, or of a kind that is not supported")]
    Damaged,
    /// Its keys only sign.
    #[error("the PGP key {fingerprint} has no part that opens anything")]
    SignsOnly {
        /// The key's fingerprint.
        fingerprint: String,
    },
    /// None of its keys can be used; this is the first.
    #[error("the PGP key {fingerprint} {why}")]
    Unusable {
        /// The key's fingerprint.
        fingerprint: String,
        /// Why not.
        why: Why,
    },
}

impl PgpKeyError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unusable { why: Why(Unusable::Locked), .. } => {
                "take the passphrase off a copy of the key, with `gpg --edit-key` and `passwd`, and export that"
            }
            Self::Unusable { why: Why(Unusable::Size(_) | Unusable::Unsupported(_) | Unusable::SignsOnly), .. }
            | Self::SignsOnly { .. } => {
                "make a new key, such as with `gpg --quick-generate-key NAME future-default`, and wrap the data keys for it"
            }
            Self::TooLong
            | Self::TooManyKeys
            | Self::Empty
            | Self::Damaged
            | Self::Unusable { why: Why(Unusable::Absent), .. } => {
                "put in what `gpg --armor --export-secret-keys FINGERPRINT` prints"
            }
        }
    }
}

impl From<FileError> for PgpKeyError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::TooLong => Self::TooLong,
            FileError::TooManyKeys => Self::TooManyKeys,
            FileError::Damaged => Self::Damaged,
        }
    }
}
