//! The two forms of a SealedSecret: a sealed value for each key, and the deprecated one, with one sealed blob over the whole Secret
//! (`unseal` of `sealedsecret_expansion.go` of sealed-secrets 0.40).

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::{
    BlobSecret, DeprecatedSealedSecret, Fingerprint, ManifestError, Scope, SealedSecretManifest,
};
use waxwing_keys::Keyring;

use super::error::Trouble;
use super::open::{Diagnosis, Envelope, open};
use crate::unsealing::with_stack_wiped;

/// The name of the blob among the names of items.
pub(super) const BLOB: &str = DeprecatedSealedSecret::ITEM;

/// A SealedSecret, taken apart. All of it is public.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A sealed value for each key.
    Items(SealedSecretManifest),
    /// One for all of it.
    Blob(DeprecatedSealedSecret),
}

/// The Secret that was opened. Not `Debug`.
pub(super) struct Contents {
    /// All of it but `data`.
    pub(super) skeleton: Value,
    /// Whether a type is stated.
    pub(super) has_type: bool,
    /// Its `data`.
    pub(super) values: BTreeMap<String, SecretBytes>,
    /// The key that opened the last of them.
    pub(super) key: Option<Fingerprint>,
}

impl Form {
    /// Takes a SealedSecret apart.
    pub(super) fn parse(manifest: &Value) -> Result<Self, ManifestError> {
        match DeprecatedSealedSecret::is_deprecated(manifest) {
            true => DeprecatedSealedSecret::parse(manifest).map(Self::Blob),
            false => SealedSecretManifest::parse(manifest).map(Self::Items),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Items(sealed) => sealed.name(),
            Self::Blob(sealed) => sealed.name(),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Items(sealed) => sealed.namespace(),
            Self::Blob(sealed) => sealed.namespace(),
        }
    }

    /// Returns the scope that its annotations state.
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::Items(sealed) => sealed.scope(),
            Self::Blob(sealed) => sealed.scope(),
        }
    }

    /// Returns what is sealed, and what for.
    pub(super) fn envelope(&self) -> Envelope<'_> {
        let items = match self {
            Self::Items(sealed) => sealed.items().iter().map(|(name, text)| (name.as_str(), text.as_str())).collect(),
            Self::Blob(sealed) => vec![(BLOB, sealed.token())],
        };
        Envelope { name: self.name(), namespace: self.namespace(), scope: self.scope(), items }
    }

    /// Opens all of it, and runs the templates. Takes a while: run it where blocking is allowed.
    pub(super) fn contents(&self, ring: &Keyring, hint: Option<&Fingerprint>) -> Result<Contents, Trouble> {
        let opened = open(&self.envelope(), ring, hint, Diagnosis::Wanted)?;
        match self {
            Self::Items(sealed) => {
                let values = with_stack_wiped(|| sealed.secret_data(opened.values)).map_err(Trouble::Templates)?;
                Ok(Contents {
                    skeleton: sealed.secret_skeleton(),
                    has_type: sealed.has_type(),
                    values,
                    key: opened.key,
                })
            }
            Self::Blob(sealed) => {
                let BlobSecret { skeleton, has_type, values } = unpacked(sealed, opened.values)?;
                Ok(Contents { skeleton, has_type, values, key: opened.key })
            }
        }
    }
}

/// Returns the Secret in an opened blob.
fn unpacked(sealed: &DeprecatedSealedSecret, mut opened: BTreeMap<String, SecretBytes>) -> Result<BlobSecret, Trouble> {
    let blob = opened.remove(BLOB).unwrap_or_else(|| SecretBytes::concat(&[]));
    with_stack_wiped(|| sealed.secret(&blob)).map_err(Trouble::Blob)
}
