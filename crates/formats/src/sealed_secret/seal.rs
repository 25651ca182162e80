//! Sealing: from a plaintext Secret and a certificate to a SealedSecret that may be committed.
//!
//! As `NewSealedSecret` in `pkg/apis/sealedsecrets/v1alpha1/sealedsecret_expansion.go` and `HybridEncrypt` in
//! `pkg/crypto/crypto.go`. Sealing the same value twice never gives the same text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand_core::CryptoRngCore;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::item::MAX_PLAINTEXT;
use super::plain_secret::annotations_of;
use super::session::{self, TAG_LEN};
use super::{API_VERSION, KIND, PlainSecret, PublicKey, Scope};
use crate::{KeyPath, SecretBytes};

/// Seals a whole Secret. `scope` is the one to seal with; pass [`PlainSecret::scope`] to follow its annotations.
///
/// # Errors
/// Fails when the scope binds a namespace and the Secret has none, or when a value can't be sealed.
pub fn seal(
    secret: &PlainSecret,
    scope: Scope,
    key: &PublicKey,
    rng: &mut impl CryptoRngCore,
) -> Result<Value, SealError> {
    let namespace = secret.namespace();
    if namespace.is_none() && scope != Scope::ClusterWide {
        return Err(SealError::NoNamespace { name: secret.name().to_owned(), scope });
    }
    let label = scope.label(namespace.unwrap_or_default(), secret.name());
    let mut encrypted_data = Map::new();
    for (item, value) in secret.values() {
        let token = seal_item(key, &label, value, rng).map_err(|source| SealError::Item {
            path: KeyPath::root().key("data").key(item),
            source: Box::new(source),
        })?;
        encrypted_data.insert(item.clone(), Value::String(token));
    }
    Ok(json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": sealed_metadata(secret, scope),
        "spec": { "encryptedData": encrypted_data, "template": template(secret, scope) },
    }))
}

/// Seals one value under a label from [`Scope::label`] and returns the base64 text for `spec.encryptedData`.
///
/// # Errors
/// Fails when the value has more than 1 MiB, or when random numbers can't be drawn.
pub fn seal_item(
    key: &PublicKey,
    label: &[u8],
    plaintext: &SecretBytes,
    rng: &mut impl CryptoRngCore,
) -> Result<String, SealError> {
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(SealError::TooLong { len: plaintext.len() });
    }
    let mut session_key = Zeroizing::new([0; 32]);
    rng.try_fill_bytes(session_key.as_mut_slice()).map_err(SealError::Randomness)?;
    let block = key.wrap(&session_key, label).ok_or(SealError::Rsa)?;

    // A key has at most 8192 bits, so a block has at most 1024 bytes.
    let block_len = (block.len() as u16).to_be_bytes();
    let mut blob = Zeroizing::new([&block_len, block.as_slice(), plaintext.expose_secret(), &[0; TAG_LEN]].concat());
    let sealed = blob.get_mut(block_len.len() + block.len()..).unwrap_or_default();
    encrypt_in_place(sealed, &session_key)?;
    Ok(STANDARD.encode(&*blob))
}

/// Why a Secret was not sealed; none of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The scope binds a namespace and the Secret has none.
    #[error("the Secret {name} has no namespace, and with scope {scope} the namespace is part of what is sealed")]
    NoNamespace {
        /// The name of the Secret.
        name: String,
        /// The scope that was asked for.
        scope: Scope,
    },
    /// The random number generator failed.
    #[error("failed to draw random numbers")]
    Randomness(#[source] rand_core::Error),
    /// The RSA operation failed.
    #[error("failed to encrypt with the certificate's key")]
    Rsa,
    /// The value could not be encrypted.
    #[error("failed to encrypt the value")]
    Cipher,
    /// The value is longer than a Secret may be.
    #[error("the value has {len} bytes; a Secret holds at most 1 MiB")]
    TooLong {
        /// The length of the value in bytes.
        len: usize,
    },
    /// One of several values was not sealed.
    #[error("failed to seal {path}")]
    Item {
        /// Where it stands in the Secret.
        path: KeyPath,
        /// Why not.
        source: Box<SealError>,
    },
}

impl SealError {
    /// Returns what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoNamespace { .. } => {
                Some("set metadata.namespace or pass --namespace, or choose --scope cluster-wide")
            }
            Self::TooLong { .. } => Some("split it into several Secrets"),
            Self::Item { source, .. } => source.hint(),
            Self::Randomness(_) | Self::Rsa | Self::Cipher => None,
        }
    }
}

/// Encrypts all but the last 16 bytes and writes the tag over those.
fn encrypt_in_place(buffer: &mut [u8], session_key: &[u8; 32]) -> Result<(), SealError> {
    let (text, tag) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::Cipher)?;
    *tag = session::seal(session_key, text).map_err(|_| SealError::Cipher)?;
    Ok(())
}

fn sealed_metadata(secret: &PlainSecret, scope: Scope) -> Value {
    let mut metadata = Map::new();
    if let Some(annotation) = scope.annotation() {
        metadata.insert("annotations".to_owned(), json!({ annotation: "true" }));
    }
    insert_identity(&mut metadata, secret);
    Value::Object(metadata)
}

/// The scope stands here too, because the Secret gets its annotations from here.
fn template(secret: &PlainSecret, scope: Scope) -> Value {
    let mut metadata = secret.metadata().clone();
    let mut annotations = match metadata.remove("annotations") {
        Some(Value::Object(annotations)) => annotations,
        _ => Map::new(),
    };
    if scope != secret.scope() {
        annotations = annotations_of(annotations, scope);
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
    }
    insert_identity(&mut metadata, secret);
    metadata.sort_keys();

    let mut template = Map::new();
    template.extend(secret.immutable().map(|immutable| ("immutable".to_owned(), Value::from(immutable))));
    template.insert("metadata".to_owned(), Value::Object(metadata));
    template.extend(secret.type_().map(|type_| ("type".to_owned(), Value::from(type_))));
    Value::Object(template)
}

fn insert_identity(metadata: &mut Map<String, Value>, secret: &PlainSecret) {
    metadata.insert("name".to_owned(), Value::from(secret.name()));
    metadata.extend(secret.namespace().map(|namespace| ("namespace".to_owned(), Value::from(namespace))));
}
