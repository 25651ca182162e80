//! The deprecated form of a SealedSecret: one sealed blob in `spec.data` over the JSON of the whole Secret.
//!
//! As `NewSealedSecretV1` and `unseal` of upstream's `sealedsecret_expansion.go`: the blob has the layout of an item, the
//! template is ignored, and the Secret takes the SealedSecret's name and namespace. Nothing of the Secret is known before it
//! is opened, so that it can't be planned; only whoever holds the key at hand can use this form.

use std::collections::BTreeMap;

use serde_json::Value;

use super::item::{ItemError, SealedItem};
use super::manifest::Identity;
use super::{ManifestError, PlainSecret, PlainSecretError, Scope};
use crate::SecretBytes;

/// A SealedSecret with one blob. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeprecatedSealedSecret {
    identity: Identity,
    token: String,
}

impl DeprecatedSealedSecret {
    /// Tells whether a SealedSecret has this form: something stands in `spec.data`.
    pub fn is_deprecated(manifest: &Value) -> bool {
        manifest.pointer("/spec/data").is_some_and(|data| !data.is_null())
    }

    /// Takes apart a SealedSecret of this form that has its final name and namespace.
    ///
    /// # Errors
    /// As [`SealedSecretManifest::parse`](super::SealedSecretManifest::parse); refuses items beside the blob, as upstream.
    pub fn parse(manifest: &Value) -> Result<Self, ManifestError> {
        let (identity, token) = Identity::with_blob(manifest)?;
        Ok(Self { identity, token })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// Returns the scope that its annotations state.
    pub fn scope(&self) -> Scope {
        self.identity.scope
    }

    /// Returns the OAEP label that the blob must have been sealed with.
    pub fn label(&self) -> Vec<u8> {
        self.identity.label()
    }

    /// Returns the blob, which opens like an item.
    ///
    /// # Errors
    /// Refuses what can't have been sealed.
    pub fn item(&self) -> Result<SealedItem, ItemError> {
        SealedItem::parse(&self.token)
    }

    /// Returns the Secret in an opened blob without its `data`, and its `data`; with the SealedSecret's name and namespace,
    /// whatever it says itself.
    ///
    /// The buffers of the parser are freed unwiped; the binaries use an allocator that wipes them.
    ///
    /// # Errors
    /// Refuses what is not one Secret in JSON; says where, never what.
    pub fn secret(&self, opened: &SecretBytes) -> Result<(Value, BTreeMap<String, SecretBytes>), PlainSecretError> {
        let secret = PlainSecret::parse(opened.expose_secret())?.into_iter().next().ok_or(PlainSecretError::Nothing)?;
        let skeleton = self.identity.skeleton(secret.metadata().clone(), secret.type_(), secret.immutable());
        Ok((skeleton, secret.into_values()))
    }
}
