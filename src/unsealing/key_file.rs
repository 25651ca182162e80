//! Key files of a Sync: which kind of keys an entry of a Secret has, by the ending of its name, as in Flux.
//!
//! Not here: reading the Secret; and whatever asks somebody or runs something for a key.

use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::{AgeIdentities, IdentityError, PgpIdentities, PgpKeyError, RsaSizes};

const AGE: &str = ".agekey";
const PGP: &str = ".asc";

/// The keys of one file. Not `Debug`.
pub enum KeyFile {
    /// age identities.
    Age(AgeIdentities),
    /// Private PGP keys.
    Pgp(PgpIdentities),
}

impl KeyFile {
    /// The endings that names of key files have, for messages.
    pub const ENDINGS: &str = ".agekey or .asc";

    /// Reads the entry `name` of a Secret; nothing if it is no key file by its name.
    ///
    /// # Errors
    /// Says why there is no key in it that can be used here.
    pub fn parse(name: &str, bytes: &[u8]) -> Option<Result<Self, KeyFileError>> {
        if name.ends_with(AGE) {
            return Some(AgeIdentities::parse(bytes).map(Self::Age).map_err(KeyFileError::Age));
        }
        let parse = || PgpIdentities::parse(bytes, RsaSizes::From2048).map(Self::Pgp).map_err(KeyFileError::Pgp);
        name.ends_with(PGP).then(parse)
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// Says why it can't.
    pub fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        match self {
            Self::Age(identities) => identities.answer(wrapped),
            Self::Pgp(identities) => identities.answer(wrapped),
        }
    }
}

/// Why a key file was refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It has no age identities that can be used here.
    #[error(transparent)]
    Age(IdentityError),
    /// It has no PGP keys that can be used here.
    #[error(transparent)]
    Pgp(PgpKeyError),
}

impl KeyFileError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Age(error) => error.hint(),
            Self::Pgp(error) => error.hint(),
        }
    }
}
