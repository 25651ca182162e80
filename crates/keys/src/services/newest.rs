//! Which version of a secret is the newest, as a store tells it: with the secret, where it does not say it otherwise.

use waxwing_formats::reference::{StoredSecret, Version};

/// The newest version of a secret.
#[derive(Debug)]
pub enum Newest {
    /// The store said which it is, and nothing of the secret. All of it is public.
    Told {
        /// What it is read by; none of a store that gives out the newest only.
        version: Option<Version>,
        /// What tells it from another of the same name, such as when it was made; may be empty.
        mark: String,
    },
    /// The secret was read to see it.
    Read {
        /// What it is read by; none of a store that keeps no versions.
        version: Option<Version>,
        /// The secret.
        secret: StoredSecret,
    },
}

/// A secret with which version of it that is, as one question tells both.
#[derive(Debug)]
pub struct VersionedSecret {
    /// What it is read by; none of a store that keeps no versions.
    pub version: Option<Version>,
    /// What tells the version from another of the same name, as in [`Newest::Told`]; where there is none, only the secret does.
    pub mark: Option<String>,
    /// The secret.
    pub secret: StoredSecret,
}
