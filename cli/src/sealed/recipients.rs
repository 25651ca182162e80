//! Who shall be able to open a file: master keys by name, in groups.
//!
//! Only age recipients so far; what else a rule may name is refused by name and never left out, since then a file would have
//! fewer recipients than somebody counts on.

use waxwing_formats::DataKey;
use waxwing_formats::WrappedKey;
use waxwing_keys::{AgeRecipient, RecipientError};

use super::error::SealedError;
use super::plugins::PluginRecipient;

/// A master key that data keys are wrapped with.
#[derive(Clone, Debug)]
pub(crate) enum MasterKey {
    /// An age recipient.
    Age(AgeRecipient),
    /// An age recipient of a plugin.
    Plugin(PluginRecipient),
}

impl MasterKey {
    /// Reads age recipients, with commas between them.
    pub(crate) fn age(list: &str) -> Result<Vec<Self>, MasterKeyError> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(Self::age_recipient).collect()
    }

    fn age_recipient(name: &str) -> Result<Self, MasterKeyError> {
        match PluginRecipient::recognize(name) {
            Some(recipient) => Ok(Self::Plugin(recipient)),
            None => name.parse().map(Self::Age).map_err(MasterKeyError::Age),
        }
    }

    /// Wraps a data key or a share.
    pub(crate) fn wrap(&self, key: &DataKey) -> Result<WrappedKey, SealedError> {
        match self {
            Self::Age(recipient) => Ok(recipient.wrap(key)?),
            Self::Plugin(recipient) => Ok(recipient.wrap(key)?),
        }
    }

    /// Returns the scheme and the recipient, as [`WrappedKey::recipient`] does.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Age(recipient) => format!("age {recipient}"),
            Self::Plugin(recipient) => format!("age {recipient}"),
        }
    }

    /// Returns the master key that a wrapped key of a file is for.
    pub(crate) fn of(wrapped: &WrappedKey) -> Result<Self, MasterKeyError> {
        match wrapped {
            WrappedKey::Age { recipient, .. } => Self::age_recipient(recipient),
            other => Err(MasterKeyError::Unsupported { name: other.recipient() }),
        }
    }
}

/// Groups of master keys, each of which gets the data key or a share of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups(pub(crate) Vec<Vec<MasterKey>>);

impl Groups {
    /// Makes one group, without repetitions.
    pub(crate) fn one(keys: Vec<MasterKey>) -> Self {
        Self(vec![distinct(keys)])
    }
}

/// Leaves out who is named again.
pub(crate) fn distinct(keys: Vec<MasterKey>) -> Vec<MasterKey> {
    let mut distinct: Vec<MasterKey> = Vec::with_capacity(keys.len());
    for key in keys {
        if distinct.iter().all(|other| other.name() != key.name()) {
            distinct.push(key);
        }
    }
    distinct
}

/// Why a master key can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MasterKeyError {
    /// It is no age recipient, or one of an unsupported kind.
    #[error(transparent)]
    Age(RecipientError),
    /// It is of a kind that can't be wrapped for yet.
    #[error("{name} can't be wrapped for: only age recipients are supported yet")]
    Unsupported {
        /// The kind and name of the key.
        name: String,
    },
}

impl MasterKeyError {
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Age(error) => error.hint(),
            Self::Unsupported { .. } => "use the sops program for this file",
        }
    }
}
