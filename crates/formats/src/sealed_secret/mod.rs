//! SealedSecrets: values sealed with RSA-OAEP and AES-GCM for one cluster's sealing key.
//!
//! Byte-compatible with `kubeseal` and the Sealed Secrets controller 0.40 in both directions
//! (`pkg/crypto/crypto.go` and `pkg/apis/sealedsecrets/v1alpha1` there). Opening is split: a [`SealedItem`] asks
//! for its session key with a [`KeyRequest`](crate::KeyRequest) and opens with the answer. Sealing needs a
//! certificate only, so it happens here whole.
//!
//! What ends in the Secret is [`SealedSecretManifest::secret_skeleton`] and [`SealedSecretManifest::secret_data`], which runs
//! the templates, or [`DeprecatedSealedSecret::secret`].
//!
//! Not here: private-key operations, and which sealing keys exist.

mod certificate;
mod deprecated;
mod fingerprint;
mod in_place;
mod item;
pub(crate) mod lenient_base64;
mod manifest;
pub mod pem;
mod plain_secret;
mod scope;
mod seal;
mod session;
mod template;

pub use certificate::{Certificate, CertificateError, PublicKey};
pub use deprecated::{BlobError, BlobSecret, DeprecatedSealedSecret};
pub use fingerprint::Fingerprint;
pub use in_place::{InPlaceError, ItemChange, SealedFile, SealedObject};
pub use item::{ItemError, SealedItem};
pub use lenient_base64::decode as decode_base64;
pub(crate) use lenient_base64::is_base64;
pub use manifest::{ManifestError, SealedSecretManifest};
pub use plain_secret::{PlainSecret, PlainSecretError};
pub use scope::{ParseScopeError, Scope};
pub use seal::{SealError, seal, seal_item};
pub use template::{ItemTemplateError, TemplateData};

/// The `apiVersion` of every SealedSecret.
pub const API_VERSION: &str = "bitnami.com/v1alpha1";
/// The `kind` of every SealedSecret.
pub const KIND: &str = "SealedSecret";
/// The most nodes, keys counted too, that a SealedSecret or the Secret in a sealed blob may have where anybody may send it: some four times
/// as many as the largest has that fits the API server's storage, and some tens of MiB of memory, with what aliases stand for.
pub const MOST_NODES: usize = 40_000;
