//! What callers of the HTTP interface may ask about a SealedSecret that they have: whether this cluster opens it, and the same sealed
//! with the newest key. As `AttemptUnseal` and `Rotate` of `pkg/controller/controller.go` of sealed-secrets 0.40, but that a rotated
//! one keeps its template, labels and annotations.
//!
//! Anybody who reaches the interface may ask. So an item is sealed again under the very label under which it opened, a template is
//! neither read nor rendered, and what is wrong is not told.

use rand_core::OsRng;
use serde_json::{Map, Value};
use waxwing_formats::sealed_secret::{Certificate, SealedSecretManifest, seal_item};
use waxwing_formats::yaml;
use waxwing_keys::Keyring;

use super::open::{Diagnosis, open};
use crate::unsealing::with_stack_wiped;

/// Of the metadata, what a cluster put there.
const OF_CLUSTER: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// kubectl keeps a copy of the whole object here, sealed as it was.
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Stands for a name or namespace that is missing; no object is called so.
const NOWHERE: &str = "-";

/// Why there is no answer; callers are told nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResealError {
    /// It is not one SealedSecret.
    #[error("the request does not hold one well-formed SealedSecret")]
    Malformed,
    /// No key opens it, or not all of it.
    #[error("no key opens all of it")]
    Closed,
    /// There is nothing to seal with.
    #[error("there is no certificate to seal with")]
    NoCertificate,
}

/// Tells whether the keys open all items of a SealedSecret in YAML or JSON. Takes a while: run it where blocking is allowed.
///
/// # Errors
///
/// Fails where it is not one SealedSecret.
pub fn verify(text: &[u8], ring: &Keyring) -> Result<bool, ResealError> {
    let (_, sealed) = read(text)?;
    Ok(open(&sealed, ring, None, Diagnosis::Spared).is_ok())
}

/// Seals the items of a SealedSecret in YAML or JSON with the newest key, and returns it as JSON. Takes a while: run it where
/// blocking is allowed.
///
/// # Errors
///
/// See [`ResealError`].
pub fn rotate(text: &[u8], ring: &Keyring) -> Result<String, ResealError> {
    let (mut manifest, sealed) = read(text)?;
    let pem = ring.certificate_pem().ok_or(ResealError::NoCertificate)?;
    let key = Certificate::from_pem(pem.as_bytes()).map_err(|_| ResealError::NoCertificate)?.public_key;
    let label = sealed.label();
    let items = with_stack_wiped(|| {
        let opened = open(&sealed, ring, None, Diagnosis::Spared).map_err(|_| ResealError::Closed)?;
        let seal = |(name, value)| {
            let token = seal_item(&key, &label, &value, &mut OsRng).map_err(|_| ResealError::NoCertificate)?;
            Ok((name, Value::String(token)))
        };
        opened.values.into_iter().map(seal).collect::<Result<Map<_, _>, ResealError>>()
    })?;
    if let Some(Value::Object(spec)) = manifest.get_mut("spec") {
        spec.insert("encryptedData".to_owned(), Value::Object(items));
    }
    Ok(cleaned(manifest).to_string())
}

/// Reads the one SealedSecret of a text, and takes it apart without its template.
fn read(text: &[u8]) -> Result<(Value, SealedSecretManifest), ResealError> {
    let mut documents = yaml::manifests(text).map_err(|_| ResealError::Malformed)?.into_iter();
    let (Some(document), None) = (documents.next(), documents.next()) else { return Err(ResealError::Malformed) };
    let mut bare = document.value.clone();
    if let Some(Value::Object(spec)) = bare.get_mut("spec") {
        spec.shift_remove("template");
    }
    let Some(Value::Object(metadata)) = bare.get_mut("metadata") else { return Err(ResealError::Malformed) };
    for field in ["name", "namespace"] {
        let is_named = metadata.get(field).and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        if !is_named {
            metadata.insert(field.to_owned(), NOWHERE.into());
        }
    }
    let sealed = SealedSecretManifest::parse(&bare).map_err(|_| ResealError::Malformed)?;
    Ok((document.value, sealed))
}

/// Takes out what is about the object in the cluster, not about what is sealed.
fn cleaned(mut manifest: Value) -> Value {
    let Some(whole) = manifest.as_object_mut() else { return manifest };
    whole.shift_remove("status");
    if let Some(Value::Object(metadata)) = whole.get_mut("metadata") {
        metadata.retain(|field, _| !OF_CLUSTER.contains(&field.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.shift_remove(COPY);
        }
    }
    manifest
}
