//! What callers of the HTTP interface may ask about a SealedSecret that they have: whether this cluster opens it, and the same sealed
//! with the newest key. As `AttemptUnseal` and `Rotate` of `pkg/controller/controller.go` of sealed-secrets 0.40, but that a rotated
//! one keeps its template, labels and annotations, and one of the deprecated form its blob: what is sealed as a whole there stays so.
//!
//! An item is sealed again under the very label under which it opened, and a template is neither read nor rendered. Of `/v1/verify` and
//! `/v1/rotate` anybody may ask who reaches them, so what is wrong is not told there ([`verify`], [`rotate`]); it is to whoever may
//! read the SealedSecret ([`Asked`]).

use rand_core::OsRng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use waxwing_formats::is_copy_of_the_object;
use waxwing_formats::sealed_secret::{Certificate, Fingerprint, ItemError, MOST_NODES, Scope, seal_item};
use waxwing_formats::yaml::{self, YamlError, YamlErrorKind};
use waxwing_keys::Keyring;

use super::error::Why;
use super::form::{BLOB, Form};
use super::open::{Diagnosis, ItemTrouble, MOST_ITEMS, inspect, open};
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
/// Stands for a name or namespace that is missing; no object is called so.
const NOWHERE: &str = "-";
/// The longest name of an object, in bytes (RFC 1123 as Kubernetes takes it).
const LONGEST_NAME: usize = 253;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResealError {
    /// It is not one SealedSecret.
    #[error("the request does not hold one well-formed SealedSecret")]
    Malformed,
    /// No key opens it, or not all of it.
    #[error("no key opens all of it")]
    Closed,
    /// It has more than is opened for a caller.
    #[error("the SealedSecret has more than 4000 items, or more fields than the API server would store")]
    TooLarge,
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
    let asked = Asked::read(text)?;
    Ok(open(&asked.sealed.envelope(), ring, None, Diagnosis::Spared).is_ok())
}

/// Seals the items of a SealedSecret in YAML or JSON with the newest key, and returns it as JSON. Takes a while: run it where
/// blocking is allowed.
///
/// # Errors
///
/// See [`ResealError`].
pub fn rotate(text: &[u8], ring: &Keyring) -> Result<String, ResealError> {
    let (resealed, _) = Asked::read(text)?.sealed_again(ring)?;
    Ok(resealed.to_string())
}

/// Where a SealedSecret is, as a caller says before anything else of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

#[derive(Deserialize)]
struct Head {
    metadata: Option<HeadMetadata>,
}

#[derive(Deserialize)]
struct HeadMetadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

impl Named {
    /// Reads the names alone of the one object of a text in JSON; nothing else of it is kept.
    ///
    /// # Errors
    ///
    /// Fails where it is not one object in JSON; returns nothing where either is missing, or longer than any object's is.
    pub fn read(text: &[u8]) -> Result<Option<Self>, ResealError> {
        let head: Head = serde_json::from_slice(text).map_err(|_| ResealError::Malformed)?;
        let fits = |name: &str| (1..=LONGEST_NAME).contains(&name.len());
        let named = head.metadata.map(|HeadMetadata { namespace, name }| Self { namespace, name });
        Ok(named.filter(|named| fits(&named.namespace) && fits(&named.name)))
    }
}

/// A SealedSecret that somebody asks about.
pub struct Asked {
    manifest: Value,
    sealed: Form,
}

/// What became of an item.
pub struct ItemReport {
    /// Its key in the Secret.
    pub item: String,
    /// The key that opens it, and the scope under which; or why none does.
    pub opened: Result<(Fingerprint, Scope), ItemRefusal>,
}

/// Why an item doesn't open, for somebody who may know.
#[derive(Serialize)]
pub struct ItemRefusal {
    reason: &'static str,
    message: String,
    hint: String,
}

/// Why a SealedSecret was not sealed again, for somebody who may know.
pub enum Unresealed {
    /// Not all items open.
    Unopened(Vec<ItemReport>),
    /// Anything else.
    Other(ResealError),
}

impl Asked {
    /// Reads the one SealedSecret of a text, and takes it apart without its template. What that takes in memory is a few times the text
    /// and no more than some tens of MiB beside it.
    ///
    /// # Errors
    ///
    /// Fails where it is not one SealedSecret, or has too much.
    pub fn read(text: &[u8]) -> Result<Self, ResealError> {
        let refusal = |error: YamlError| match error.kind {
            YamlErrorKind::TooLarge => ResealError::TooLarge,
            _ => ResealError::Malformed,
        };
        let mut documents = yaml::manifests_within(text, MOST_NODES).map_err(refusal)?.into_iter();
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
        let sealed = Form::parse(&bare).map_err(|_| ResealError::Malformed)?;
        if sealed.envelope().items.len() > MOST_ITEMS {
            return Err(ResealError::TooLarge);
        }
        Ok(Self { manifest: document.value, sealed })
    }

    /// Tells whether it is the one that was named.
    pub fn is(&self, named: &Named) -> bool {
        self.sealed.namespace() == named.namespace && self.sealed.name() == named.name
    }

    /// Says of each item which key opens it, or why none does. Takes a while: run it where blocking is allowed.
    pub fn inspect(&self, ring: &Keyring) -> Vec<ItemReport> {
        let scope = self.sealed.scope();
        let report = |(item, opened): (String, Result<Fingerprint, ItemTrouble>)| ItemReport {
            item,
            opened: opened.map(|key| (key, scope)).map_err(ItemRefusal::from),
        };
        inspect(&self.sealed.envelope(), ring).into_iter().map(report).collect()
    }

    /// Seals its items with the newest key, and returns it and how many they are. Takes a while: run it where blocking is allowed.
    ///
    /// # Errors
    ///
    /// See [`Unresealed`].
    pub fn reseal(&self, ring: &Keyring) -> Result<(Value, usize), Unresealed> {
        self.sealed_again(ring).map_err(|error| match error {
            ResealError::Closed => Unresealed::Unopened(self.inspect(ring)),
            other => Unresealed::Other(other),
        })
    }

    fn sealed_again(&self, ring: &Keyring) -> Result<(Value, usize), ResealError> {
        let pem = ring.certificate_pem().ok_or(ResealError::NoCertificate)?;
        let key = Certificate::from_pem(pem.as_bytes()).map_err(|_| ResealError::NoCertificate)?.public_key;
        let envelope = self.sealed.envelope();
        let label = envelope.label();
        let mut items = with_stack_wiped(|| {
            let opened = open(&envelope, ring, None, Diagnosis::Spared).map_err(|_| ResealError::Closed)?;
            let seal = |(name, value)| {
                let token = seal_item(&key, &label, &value, &mut OsRng).map_err(|_| ResealError::NoCertificate)?;
                Ok((name, Value::String(token)))
            };
            opened.values.into_iter().map(seal).collect::<Result<Map<_, _>, ResealError>>()
        })?;
        let (mut manifest, resealed) = (self.manifest.clone(), items.len());
        if let Some(Value::Object(spec)) = manifest.get_mut("spec") {
            let (field, sealed) = match &self.sealed {
                Form::Items(_) => ("encryptedData", Some(Value::Object(items))),
                // Not taken apart: the names of its values, its labels and its annotations are sealed as well.
                Form::Blob(_) => ("data", items.remove(BLOB)),
            };
            spec.extend(sealed.map(|sealed| (field.to_owned(), sealed)));
        }
        Ok((cleaned(manifest), resealed))
    }
}

impl From<ItemTrouble> for ItemRefusal {
    fn from(trouble: ItemTrouble) -> Self {
        match trouble {
            ItemTrouble::Item(error) => {
                let reason = if error == ItemError::NotAuthentic { "Damaged" } else { "Malformed" };
                Self { reason, message: error.to_string(), hint: error.hint().to_owned() }
            }
            ItemTrouble::Foreign(why) => {
                let reason = match why {
                    Why::NoKey => "NoKey",
                    Why::Scope { .. } => "OtherScope",
                    Why::Elsewhere { .. } => "SealedElsewhere",
                };
                Self { reason, message: why.fact(), hint: why.hint() }
            }
            ItemTrouble::Untried => Self {
                reason: "NotTried",
                message: "so many private-key operations were spent on items before it that it was not tried"
                    .to_owned(),
                hint: "mend those that do not open first".to_owned(),
            },
        }
    }
}

/// Takes out what is about the object in the cluster, not about what is sealed.
fn cleaned(mut manifest: Value) -> Value {
    let Some(whole) = manifest.as_object_mut() else { return manifest };
    whole.shift_remove("status");
    if let Some(Value::Object(metadata)) = whole.get_mut("metadata") {
        metadata.retain(|field, _| !OF_CLUSTER.contains(&field.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.retain(|name, _| !is_copy_of_the_object(name));
        }
    }
    manifest
}
