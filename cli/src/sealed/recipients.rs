//! Who shall be able to open a file: master keys by name, in groups.
//!
//! What can't be wrapped for is refused by name and never left out, since then a file would have fewer recipients than somebody
//! counts on.

use std::collections::BTreeMap;

use waxwing_formats::{DataKey, WrappedKey};
use waxwing_keys::{
    AgeRecipient, AwsKey, AzureKey, GcpKey, PgpKeyName, PgpNameError, RecipientError, ServiceKey, ServiceKeyError,
    VaultKey,
};

use super::error::SealedError;
use super::pgp_keys;
use super::plugins::PluginRecipient;
use super::services;

/// An encryption context of AWS KMS.
pub(crate) type Context = BTreeMap<String, String>;

/// A master key that data keys are wrapped with.
#[derive(Clone, Debug)]
pub(crate) enum MasterKey {
    /// An age recipient.
    Age(AgeRecipient),
    /// An age recipient of a plugin.
    Plugin(PluginRecipient),
    /// A PGP key.
    Pgp(PgpKeyName),
    /// A key of a key service.
    Service(ServiceKey),
}

/// What names master keys: for each kind a text with commas between the names.
#[derive(Clone, Copy, Default)]
pub(crate) struct Names<'a> {
    pub(crate) age: &'a str,
    pub(crate) pgp: &'a str,
    pub(crate) aws: &'a str,
    /// The profile of the AWS configuration to use for those keys.
    pub(crate) aws_profile: &'a str,
    pub(crate) gcp: &'a str,
    pub(crate) azure: &'a str,
    pub(crate) vault: &'a str,
    pub(crate) huawei: &'a str,
}

impl Names<'_> {
    /// Tells whether no key is named.
    pub(crate) fn are_none(&self) -> bool {
        let Self { age, pgp, aws, aws_profile: _, gcp, azure, vault, huawei } = *self;
        [age, pgp, aws, gcp, azure, vault, huawei].iter().all(|names| names.is_empty())
    }
}

impl MasterKey {
    /// Reads the keys that are named. Those of AWS KMS get the encryption context.
    pub(crate) fn named(names: &Names<'_>, context: &Context) -> Result<Vec<Self>, MasterKeyError> {
        let Names { age, pgp, aws, aws_profile, gcp, azure, vault, huawei } = *names;
        if let Some(name) = each(huawei).next() {
            return Err(MasterKeyError::Unsupported { name: format!("hckms {name}") });
        }
        let mut keys = Vec::new();
        for name in each(age) {
            keys.push(Self::age(name)?);
        }
        for name in each(pgp) {
            keys.push(Self::Pgp(name.parse()?));
        }
        for name in each(aws) {
            keys.push(ServiceKey::Aws(AwsKey::parse(name, context, aws_profile)?).into());
        }
        for name in each(gcp) {
            keys.push(ServiceKey::Gcp(GcpKey::parse(name)?).into());
        }
        for name in each(azure) {
            keys.push(ServiceKey::Azure(AzureKey::parse(name)?).into());
        }
        for name in each(vault) {
            keys.push(ServiceKey::Vault(VaultKey::parse(name)?).into());
        }
        Ok(keys)
    }

    fn age(name: &str) -> Result<Self, MasterKeyError> {
        match PluginRecipient::recognize(name) {
            Some(recipient) => Ok(Self::Plugin(recipient)),
            None => name.parse().map(Self::Age).map_err(MasterKeyError::Age),
        }
    }

    /// Wraps a data key or a share.
    pub(super) fn wrap(&self, key: &DataKey) -> Result<WrappedKey, SealedError> {
        match self {
            Self::Age(recipient) => Ok(recipient.wrap(key)?),
            Self::Plugin(recipient) => Ok(recipient.wrap(key)?),
            Self::Pgp(name) => {
                pgp_keys::wrap(name, key).map_err(|source| SealedError::Pgp { recipient: self.name(), source })
            }
            Self::Service(service) => services::wrap(service, key)
                .map_err(|source| SealedError::Service { recipient: service.recipient(), source }),
        }
    }

    /// Returns the scheme and the recipient, as [`WrappedKey::recipient`] does.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Age(recipient) => format!("age {recipient}"),
            Self::Plugin(recipient) => format!("age {recipient}"),
            Self::Pgp(name) => format!("pgp {name}"),
            Self::Service(service) => service.recipient(),
        }
    }

    /// Returns a wrapped key for it that has no ciphertext yet. As in sops, a vault of Azure is asked here for the newest version of a
    /// key that is named without one, whoever wraps for it afterwards: a key service would not say which one it took.
    pub(super) fn blank(&self) -> Result<WrappedKey, SealedError> {
        let enc = String::new();
        Ok(match self {
            Self::Age(recipient) => WrappedKey::Age { recipient: recipient.to_string(), enc },
            Self::Plugin(recipient) => WrappedKey::Age { recipient: recipient.to_string(), enc },
            Self::Pgp(name) => WrappedKey::Pgp { fingerprint: name.to_string(), enc },
            Self::Service(service) => services::versioned(service)
                .map_err(|source| SealedError::Version { recipient: self.name(), source })?
                .wrapped(enc),
        })
    }

    /// Tells whether both are the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Service(one), Self::Service(other)) => one.is_same(other),
            _ => self.name() == other.name(),
        }
    }

    /// Returns the master key that a wrapped key of a file is for.
    pub(crate) fn of(wrapped: &WrappedKey) -> Result<Self, MasterKeyError> {
        match (wrapped, ServiceKey::of(wrapped)) {
            (_, Some((service, _))) => Ok(service.into()),
            (WrappedKey::Age { recipient, .. }, None) => Self::age(recipient),
            (WrappedKey::Pgp { fingerprint, .. }, None) => Ok(Self::Pgp(fingerprint.parse()?)),
            (other, None) => Err(MasterKeyError::Unsupported { name: other.recipient() }),
        }
    }
}

impl From<ServiceKey> for MasterKey {
    fn from(key: ServiceKey) -> Self {
        Self::Service(key)
    }
}

fn each(names: &str) -> impl Iterator<Item = &str> {
    names.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Reads an encryption context, `NAME:VALUE` with commas between several.
pub(crate) fn context(text: &str) -> Result<Context, MasterKeyError> {
    let pairs = text.split(',').filter(|_| !text.is_empty());
    let read = |pair: &str| match pair.split(':').collect::<Vec<_>>().as_slice() {
        [name, value] => Ok(((*name).to_owned(), (*value).to_owned())),
        _ => Err(MasterKeyError::Context),
    };
    pairs.map(read).collect()
}

/// Groups of master keys, each of which gets the data key or a share of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups(pub(crate) Vec<Vec<MasterKey>>);

impl Groups {
    /// Makes one group, without repetitions.
    pub(crate) fn one(keys: Vec<MasterKey>) -> Self {
        Self(vec![distinct(keys)])
    }

    /// Returns how many groups are needed. Where nothing is said of several, all are, and sops writes that down.
    pub(crate) fn threshold(&self, said: usize) -> usize {
        if said == 0 && self.0.len() > 1 { self.0.len() } else { said }
    }
}

/// Leaves out who is named again.
pub(crate) fn distinct(keys: Vec<MasterKey>) -> Vec<MasterKey> {
    let mut distinct: Vec<MasterKey> = Vec::with_capacity(keys.len());
    for key in keys {
        if distinct.iter().all(|other| !other.is(&key)) {
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
    /// It is no name of a PGP key.
    #[error(transparent)]
    Pgp(#[from] PgpNameError),
    /// It is no key of its service.
    #[error(transparent)]
    Service(#[from] ServiceKeyError),
    /// An encryption context is not one.
    #[error("the encryption context is malformed")]
    Context,
    /// It is of a kind that can't be wrapped for.
    #[error("{name} can't be wrapped for")]
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
            Self::Pgp(error) => error.hint(),
            Self::Service(error) => error.hint(),
            Self::Context => "write NAME:VALUE, with commas between several; values are texts",
            Self::Unsupported { .. } => "use the sops program for this file",
        }
    }
}
