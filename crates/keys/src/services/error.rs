//! What a call to a key service can end with, when it is not a key.
//!
//! A service may quote in its answer what it was asked, so of an answer only the status and the service's own code are kept.

use std::error::Error;
use std::time::Duration;

/// Why a key service did not wrap or unwrap; none of it quotes what was sent or received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// What a file says of the key is malformed, or its ciphertext is.
    #[error("{what} is malformed")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// Whoever calls does not want it called.
    #[error("{service} is not called: {why}")]
    NotAllowed {
        /// The service.
        service: &'static str,
        /// What forbids it.
        why: String,
    },
    /// There are no credentials, or they can't be read.
    #[error("there are no credentials for {service}: {why}")]
    NoCredentials {
        /// The service.
        service: &'static str,
        /// What was looked for, or went wrong; no part of a credential.
        why: String,
    },
    /// The service knows the caller, or not even that, and does not let it.
    #[error("{service} does not allow it ({code})")]
    Denied {
        /// The service.
        service: &'static str,
        /// Its status or code.
        code: String,
    },
    /// There is no such key, engine or version.
    #[error("{service} has no such key ({code})")]
    NotFound {
        /// The service.
        service: &'static str,
        /// Its status or code.
        code: String,
    },
    /// The ciphertext is not of this key, or was made with another context; or the key is disabled.
    #[error("{service} does not unwrap it ({code})")]
    Refused {
        /// The service.
        service: &'static str,
        /// Its status or code.
        code: String,
    },
    /// It was asked too often.
    #[error("{service} was asked too often ({code})")]
    Throttled {
        /// The service.
        service: &'static str,
        /// Its status or code.
        code: String,
        /// How long it wants not to be asked, if it says that.
        retry_after: Option<Duration>,
    },
    /// It can't be reached, is down, sealed, or too slow.
    #[error("{service} can't be reached: {why}")]
    Unavailable {
        /// The service.
        service: &'static str,
        /// What went wrong, without addresses' credentials or bodies.
        why: String,
    },
    /// It answered with something else than its documentation says.
    #[error("{service} gave an answer that can't be read")]
    Answer {
        /// The service.
        service: &'static str,
    },
}

impl ServiceError {
    /// Tells whether the service knows the caller and does not let it, or does not know it any more.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Returns its kind in a word, as metrics count it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::NoCredentials { .. } => "no-credentials",
            Self::NotAllowed { .. } => "not-allowed",
            Self::Denied { .. } => "denied",
            Self::NotFound { .. } => "not-found",
            Self::Refused { .. } => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Answer { .. } => "unreadable",
        }
    }
}

/// Returns what an error began with: what happened, without where it happened and what was sent.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
