//! What asking a store for a secret can end with, when it is not the secret.
//!
//! A closed list, so that whoever runs what refers to a secret can tell one that is gone from one that is denied and from a server that is
//! away. Of an answer only its status is kept.

use std::time::Duration;

use super::ServiceError;

/// Why a store gave no secret; none of it quotes what was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store does not let the login in, or there are no credentials for it.
    #[error("there are no credentials for {service}: {why}")]
    NoCredentials {
        /// The store.
        service: &'static str,
        /// What was looked for, or went wrong; no part of a credential.
        why: String,
    },
    /// The login may not read it, or nothing is mounted there, which the store does not tell apart.
    #[error("{service} does not let it be read ({code})")]
    Denied {
        /// The store.
        service: &'static str,
        /// Its status.
        code: String,
    },
    /// There is no such secret.
    #[error("{service} has no such secret")]
    Missing {
        /// The store.
        service: &'static str,
    },
    /// It makes secrets at such paths, and not at this one, or not with these parameters.
    #[error("{service} has no such role, or it does not take the parameters")]
    NoRole {
        /// The store.
        service: &'static str,
    },
    /// There is such a secret, and no such version of it.
    #[error("{service} has no such version of the secret")]
    NoSuchVersion {
        /// The store.
        service: &'static str,
    },
    /// That version of the secret was deleted or destroyed.
    #[error("that version of the secret was deleted in {service}")]
    Deleted {
        /// The store.
        service: &'static str,
    },
    /// The secret is there, and is not given out: it, or that version of it, is disabled, destroyed or scheduled for deletion.
    #[error("{service} has disabled the secret or that version of it, or is about to delete it")]
    Disabled {
        /// The store.
        service: &'static str,
    },
    /// A version is asked for where there are none.
    #[error("{service} keeps no versions of what the path leads to")]
    NoVersions {
        /// The store.
        service: &'static str,
    },
    /// The path leads to something that does not keep secrets to be read: another engine, or another part of the engine.
    #[error("the path does not lead to a secret of {service}: {why}")]
    NotASecret {
        /// The store.
        service: &'static str,
        /// What it leads to.
        why: &'static str,
    },
    /// The path leads to nothing that makes secrets that end.
    #[error("{service} makes no secret at this path: {why}")]
    NotMade {
        /// The store.
        service: &'static str,
        /// What it leads to.
        why: &'static str,
    },
    /// The answer is larger than what is read of one.
    #[error("the secret in {service} is larger than 1 MiB")]
    TooLarge {
        /// The store.
        service: &'static str,
    },
    /// It was asked too often.
    #[error("{service} was asked too often ({code})")]
    Throttled {
        /// The store.
        service: &'static str,
        /// Its status.
        code: String,
        /// How long it wants not to be asked, if it says that.
        retry_after: Option<Duration>,
    },
    /// It can't be reached, is down, sealed, or too slow.
    #[error("{service} can't be reached: {why}")]
    Unavailable {
        /// The store.
        service: &'static str,
        /// What went wrong, without addresses' credentials or bodies.
        why: String,
    },
    /// It answered with something else than its documentation says.
    #[error("{service} gave an answer that can't be read")]
    Answer {
        /// The store.
        service: &'static str,
    },
    /// What a backend says of the store can't be used.
    #[error("{what} is malformed")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
}

impl StoreError {
    /// Tells whether the store knows the login and does not let it, or does not know it any more.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Says why no answer was read: one that is not read to its end is too large.
    pub(super) fn of_asking(error: ServiceError) -> Self {
        match error {
            ServiceError::Answer { service } => Self::TooLarge { service },
            error => error.into(),
        }
    }

    /// Says of a version that was asked for what is said of a secret.
    pub(super) fn of_version(self) -> Self {
        match self {
            Self::Missing { service } => Self::NoSuchVersion { service },
            error => error,
        }
    }

    /// Returns its kind in a word, as metrics count it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NoCredentials { .. } => "no-credentials",
            Self::Denied { .. } => "denied",
            Self::Missing { .. } | Self::NoRole { .. } | Self::NoSuchVersion { .. } => "not-found",
            Self::Deleted { .. } => "deleted",
            Self::Disabled { .. } => "disabled",
            Self::NoVersions { .. } | Self::NotASecret { .. } | Self::NotMade { .. } => "refused",
            Self::TooLarge { .. } => "too-large",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Answer { .. } => "unreadable",
            Self::Malformed { .. } => "malformed",
        }
    }
}

impl From<ServiceError> for StoreError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NoCredentials { service, why } | ServiceError::NotAllowed { service, why } => {
                Self::NoCredentials { service, why }
            }
            ServiceError::Denied { service, code } => Self::Denied { service, code },
            ServiceError::NotFound { service, .. } => Self::Missing { service },
            ServiceError::Throttled { service, code, retry_after } => Self::Throttled { service, code, retry_after },
            ServiceError::Unavailable { service, why } => Self::Unavailable { service, why },
            ServiceError::Refused { service, .. } | ServiceError::Answer { service } => Self::Answer { service },
            ServiceError::Malformed { what } => Self::Malformed { what },
        }
    }
}
