//! The deprecated form of a SealedSecret: one sealed blob in `spec.data` over the JSON of the whole Secret.
//!
//! As `NewSealedSecretV1` and `unseal` of upstream's `sealedsecret_expansion.go`: the blob has the layout of an item, the
//! template is ignored, and the Secret takes the SealedSecret's name and namespace. Nothing else of the Secret is known before it
//! is opened.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::item::{ItemError, SealedItem};
use super::manifest::{Identity, type_of_secret};
use super::{ManifestError, PlainSecret, PlainSecretError, Scope};
use crate::SecretBytes;
use crate::yaml::YamlErrorKind;

/// A SealedSecret with one blob. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeprecatedSealedSecret {
    identity: Identity,
    token: String,
}

impl DeprecatedSealedSecret {
    /// The name of the blob where items have names: no key of a Secret has a slash.
    pub const ITEM: &str = "/spec/data";

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

    /// Returns the blob as it stands there: base64 text, or what stands for it after a render.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the blob, which opens like an item.
    ///
    /// # Errors
    /// Refuses what can't have been sealed.
    pub fn item(&self) -> Result<SealedItem, ItemError> {
        SealedItem::parse(&self.token)
    }

    /// Returns the Secret in an opened blob, with the SealedSecret's name and namespace, whatever it says itself.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn secret(&self, opened: &SecretBytes) -> Result<BlobSecret, BlobError> {
        let metadata = json!({"name": self.name(), "namespace": self.namespace()});
        Self::complete(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}), opened)
    }

    /// Adds to a Secret what an opened blob says of it; what is there already counts.
    ///
    /// Anybody can seal, so what it takes in memory is bounded: see [`MOST_NODES`](super::MOST_NODES).
    /// The buffers of the parser are freed unwiped; the binaries use an allocator that wipes them.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn complete(secret: &Value, opened: &SecretBytes) -> Result<BlobSecret, BlobError> {
        let secrets = PlainSecret::parse_foreign(opened.expose_secret()).map_err(|error| BlobError::of(&error))?;
        let [blob] = <[PlainSecret; 1]>::try_from(secrets).map_err(|_| BlobError::NotASecret)?;
        let type_ = type_of_secret(blob.type_())?;
        let (mut skeleton, has_type) = (secret.clone(), type_.is_some());
        if let Some(fields) = skeleton.as_object_mut() {
            fields.insert("type".to_owned(), Value::from(type_.unwrap_or("Opaque")));
            fields.extend(blob.immutable().map(|immutable| ("immutable".to_owned(), Value::from(immutable))));
            add(fields.entry("metadata").or_insert_with(|| json!({})), &Value::Object(blob.metadata().clone()));
        }
        Ok(BlobSecret { skeleton, has_type, values: blob.into_values() })
    }
}

/// Adds the fields that are not there yet, to any depth.
fn add(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (field, value) in from {
        match into.get_mut(field) {
            Some(here) => add(here, value),
            None => drop(into.insert(field.clone(), value.clone())),
        }
    }
}

/// The Secret that was sealed in a blob.
#[derive(Debug)]
pub struct BlobSecret {
    /// All of it but `data`; public once the Secret stands.
    pub skeleton: Value,
    /// Whether a type was stated.
    pub has_type: bool,
    /// Its `data`.
    pub values: BTreeMap<String, SecretBytes>,
}

/// Why an opened blob makes no Secret. Nothing of it is from the blob, not even a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It is something else.
    #[error("what is sealed in /spec/data is not one Secret in JSON")]
    NotASecret,
    /// It has more than is read.
    #[error("what is sealed in /spec/data has more fields than the API server would store")]
    TooLarge,
    /// It is a Secret that is not made.
    #[error(transparent)]
    Refused(#[from] ManifestError),
}

impl BlobError {
    fn of(error: &PlainSecretError) -> Self {
        match error {
            PlainSecretError::Syntax(error) if error.kind == YamlErrorKind::TooLarge => Self::TooLarge,
            _ => Self::NotASecret,
        }
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotASecret => {
                "seal the Secret again with `seal`: each value gets its own entry under spec.encryptedData"
            }
            Self::TooLarge => "seal several Secrets instead of it",
            Self::Refused(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_anybody_sealed_to_take_much_memory_is_refused_before_it_does() {
        let secret = |more: &str| {
            let text =
                format!(r#"{{"apiVersion": "v1", "kind": "Secret", "metadata": {{"name": "x"}}, "more": [{more}1]}}"#);
            DeprecatedSealedSecret::complete(&json!({}), &SecretBytes::new(text.into_bytes())).map(|_| ())
        };
        assert_eq!(secret("1,"), Ok(()));
        assert_eq!(secret(&"1,".repeat(1 << 20)), Err(BlobError::TooLarge));
    }
}
