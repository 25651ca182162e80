//! Why a sealed file could not be opened or made.

use waxwing_formats::sops::{PathError, SealError, SopsError, UnlockError};
use waxwing_keys::{ServiceError, WrapError};

use super::pgp_keys::PgpError;
use super::plugins::PluginError;
use super::services;
use crate::keyservice::KeyServiceError;

/// What the user can do where neither his own keys nor a service may be asked.
pub(crate) const NOBODY_TO_ASK: &str = "leave --enable-local-keyservice out, or name a key service with --keyservice";

/// Why a sealed file could not be opened or made; none of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedError {
    /// It can't be read, or not be written in its format.
    #[error(transparent)]
    File(#[from] SopsError),
    /// It does not open.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// It can't be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The data key could not be wrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// A plugin could not wrap it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// It could not be wrapped for a PGP key.
    #[error("failed to wrap the data key for {recipient}")]
    Pgp {
        /// For whom.
        recipient: String,
        /// Why.
        source: PgpError,
    },
    /// A key service could not wrap it.
    #[error("failed to wrap the data key for {recipient}")]
    Service {
        /// For whom.
        recipient: String,
        /// What the service said.
        source: ServiceError,
    },
    /// A vault did not say which version of a key is the newest.
    #[error("failed to find the newest version of {recipient}, which a key service does not say")]
    Version {
        /// The key.
        recipient: String,
        /// What the vault said.
        source: ServiceError,
    },
    /// Neither the keys at hand nor a key service of the user's could wrap it.
    #[error("failed to wrap the data key for {recipient}: {reasons}")]
    KeyServices {
        /// For whom.
        recipient: String,
        /// What each of them said.
        reasons: String,
        /// What the last one said.
        last: KeyServiceError,
    },
    /// Nobody may be asked to wrap it.
    #[error("there is no key service to ask")]
    NobodyToAsk,
    /// A path leads nowhere in it.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl SealedError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(error) => Some(error.hint()),
            Self::Unlock(error) => Some(error.hint()),
            Self::Seal(error) => Some(error.hint()),
            Self::Path(error) => Some(error.hint()),
            Self::Plugin(error) => error.hint(),
            Self::Service { source, .. } => services::hint(source),
            Self::Version { .. } => Some("write the version behind the name of the key, or log in to look it up"),
            Self::KeyServices { last, .. } => Some(last.hint()),
            Self::NobodyToAsk => Some(NOBODY_TO_ASK),
            Self::Wrap(_) => None,
            Self::Pgp { source, .. } => source.hint(),
        }
    }
}
