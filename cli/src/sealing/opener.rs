//! Which key opens an item: the controller says so, or private keys that are at hand do.

use std::collections::BTreeMap;
use std::fmt;

use rand_core::OsRng;
use serde::Serialize;
use serde_json::Value;
use waxwing_formats::sealed_secret::{DeprecatedSealedSecret, PublicKey, SealedItem, seal_item};
use waxwing_formats::{RequestId, SecretBytes};
use waxwing_keys::UnsealingKey;

use super::SealingError;
use super::binding::Binding;
use super::interface::Interface;

/// The name that the one blob of the deprecated form has among items; no key of a Secret has a slash.
pub(crate) const BLOB: &str = DeprecatedSealedSecret::ITEM;

/// Who can open items.
pub(crate) enum Opener {
    /// The controller of the cluster.
    Controller(Box<Interface>),
    /// Keys that are at hand.
    Keys(Vec<UnsealingKey>),
}

/// Which key opens an item, by its fingerprint, or why none does.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) item: String,
    pub(crate) key: Result<String, Closed>,
    /// The name of the key's Secret, where it is known.
    pub(crate) key_name: Option<String>,
}

/// Why an item does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Closed {
    /// It is none.
    Malformed,
    /// A key fits, and it was changed since it was sealed.
    Damaged,
    /// It was sealed for another scope.
    OtherScope,
    /// There is no key at all.
    NoKey,
    /// No key fits, or it was sealed for another name or namespace.
    SealedElsewhere,
    /// It was not tried: the controller does so much for one object and no more.
    NotTried,
}

impl Closed {
    /// Reads the reason that the controller gives; one that is not known says nothing.
    pub(super) fn named(reason: &str) -> Self {
        match reason {
            "Malformed" => Self::Malformed,
            "Damaged" => Self::Damaged,
            "OtherScope" => Self::OtherScope,
            "NoKey" => Self::NoKey,
            "SealedElsewhere" => Self::SealedElsewhere,
            _ => Self::NotTried,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is no sealed value",
            Self::Damaged => "it was changed after it was sealed",
            Self::OtherScope => "it was sealed for another scope than the annotations say",
            Self::NoKey => "there is no key",
            Self::SealedElsewhere => {
                "no key opens it: it was sealed with another certificate, or for another name or namespace"
            }
            Self::NotTried => "nobody can say: it was not tried",
        })
    }
}

impl Opener {
    /// Says of each item of a SealedSecret which key opens it.
    pub(crate) fn look(&self, object: &Value) -> Result<Vec<Seen>, SealingError> {
        match self {
            Self::Controller(controller) => controller.verify(object),
            Self::Keys(keys) => look(object, keys),
        }
    }

    /// Seals the items that are named again, and returns them; each has to open. They stay bound to what they were bound to.
    pub(crate) fn seal_again(
        &self,
        object: &Value,
        items: &[String],
        newest: &PublicKey,
    ) -> Result<BTreeMap<String, String>, SealingError> {
        let mut sealed = match self {
            Self::Controller(controller) => tokens(&controller.rotate(object)?)?,
            Self::Keys(keys) => seal_again(object, items, keys, newest)?,
        };
        sealed.retain(|item, _| items.contains(item));
        let old = |item: &str| object.pointer("/spec/encryptedData").and_then(|data| data.get(item)?.as_str());
        let is_new = |item: &String, token: &String| old(item) != Some(token.as_str());
        let is_done = items.iter().all(|item| sealed.get(item).is_some_and(|token| is_new(item, token)));
        if is_done && self.are_for_the_newest(&sealed, newest)? { Ok(sealed) } else { Err(SealingError::Strange) }
    }

    /// Seals the one blob of the deprecated form again, whatever it holds, and returns the new `spec`.
    pub(crate) fn seal_blob_again(&self, object: &Value, newest: &PublicKey) -> Result<Value, SealingError> {
        let blob = match self {
            Self::Controller(controller) => {
                controller.rotate(object)?.get("data").and_then(Value::as_str).map(str::to_owned)
            }
            Self::Keys(keys) => Some(blob_again(object, keys, newest)?),
        };
        let mut spec = object.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
        let blob = blob.filter(|blob| spec.get("data").is_some_and(|old| old != blob)).ok_or(SealingError::Strange)?;
        let sealed = BTreeMap::from([(BLOB.to_owned(), blob.clone())]);
        spec.insert("data".to_owned(), blob.into());
        if self.are_for_the_newest(&sealed, newest)? { Ok(spec.into()) } else { Err(SealingError::Strange) }
    }

    /// Whoever answers has to have sealed with the key that it says it has; there may be a newer one by now.
    fn are_for_the_newest(&self, sealed: &BTreeMap<String, String>, newest: &PublicKey) -> Result<bool, SealingError> {
        let are_for = |newest: &PublicKey| {
            sealed.values().all(|token| SealedItem::parse(token).is_ok_and(|token| token.may_be_for(newest)))
        };
        Ok(are_for(newest) || self.newest().transpose()?.is_some_and(|newest| are_for(&newest)))
    }

    /// Returns the key to seal with that the controller has, where it is asked.
    pub(crate) fn newest(&self) -> Option<Result<PublicKey, SealingError>> {
        match self {
            Self::Controller(controller) => Some(controller.newest()),
            Self::Keys(_) => None,
        }
    }
}

/// Returns the items of a `spec` that the controller made.
fn tokens(spec: &Value) -> Result<BTreeMap<String, String>, SealingError> {
    let items = spec.get("encryptedData").and_then(Value::as_object).ok_or(SealingError::Strange)?;
    let text = |(name, token): (&String, &Value)| Some((name.clone(), token.as_str()?.to_owned()));
    items.iter().map(text).collect::<Option<_>>().ok_or(SealingError::Strange)
}

fn look(object: &Value, keys: &[UnsealingKey]) -> Result<Vec<Seen>, SealingError> {
    let binding = Binding::known(object).ok_or(SealingError::NoNamespace)?;
    let mut seen = Vec::new();
    if DeprecatedSealedSecret::is_deprecated(object) {
        let item = DeprecatedSealedSecret::parse(object).ok().and_then(|secret| secret.item().ok());
        let key = item.map_or(Err(Closed::Malformed), |item| key_of(&item, &binding, keys));
        seen.push(Seen { item: BLOB.to_owned(), key, key_name: None });
    }
    for (name, token) in object.pointer("/spec/encryptedData").and_then(Value::as_object).into_iter().flatten() {
        let item = token.as_str().and_then(|token| SealedItem::parse(token).ok());
        let key = item.map_or(Err(Closed::Malformed), |item| key_of(&item, &binding, keys));
        seen.push(Seen { item: name.clone(), key, key_name: None });
    }
    seen.sort_by(|one, other| one.item.cmp(&other.item));
    Ok(seen)
}

fn key_of(item: &SealedItem, binding: &Binding, keys: &[UnsealingKey]) -> Result<String, Closed> {
    match open(item, &binding.own_label(), keys) {
        Ok((key, _)) => Ok(key.fingerprint().to_string()),
        Err(Closed::SealedElsewhere) => {
            let is_of_other = binding.other_scopes().any(|scope| open(item, &binding.label(scope), keys).is_ok());
            Err(if is_of_other { Closed::OtherScope } else { Closed::SealedElsewhere })
        }
        Err(closed) => Err(closed),
    }
}

fn open<'k>(
    item: &SealedItem,
    label: &[u8],
    keys: &'k [UnsealingKey],
) -> Result<(&'k UnsealingKey, SecretBytes), Closed> {
    if keys.is_empty() {
        return Err(Closed::NoKey);
    }
    let wrapped = item.request(RequestId(0), label.to_vec()).wrapped;
    let found = keys.iter().find_map(|key| Some((key, key.unwrap(&wrapped)?)));
    let (key, session_key) = found.ok_or(Closed::SealedElsewhere)?;
    item.open(&session_key).map(|value| (key, value)).map_err(|_| Closed::Damaged)
}

fn seal_again(
    object: &Value,
    items: &[String],
    keys: &[UnsealingKey],
    newest: &PublicKey,
) -> Result<BTreeMap<String, String>, SealingError> {
    let label = Binding::known(object).ok_or(SealingError::NoNamespace)?.own_label();
    let mut sealed = BTreeMap::new();
    for name in items {
        let token = object.pointer("/spec/encryptedData").and_then(|data| data.get(name)?.as_str());
        let item = token.and_then(|token| SealedItem::parse(token).ok()).ok_or(SealingError::Closed)?;
        let (_, value) = open(&item, &label, keys).map_err(|_| SealingError::Closed)?;
        let token = seal_item(newest, &label, &value, &mut OsRng).map_err(SealingError::Seal)?;
        sealed.insert(name.clone(), token);
    }
    Ok(sealed)
}

/// Opens the blob of the deprecated form and seals it again as it is.
fn blob_again(object: &Value, keys: &[UnsealingKey], newest: &PublicKey) -> Result<String, SealingError> {
    let blob = DeprecatedSealedSecret::parse(object).map_err(|_| SealingError::Closed)?;
    let (item, label) = (blob.item().map_err(|_| SealingError::Closed)?, blob.label());
    let (_, opened) = open(&item, &label, keys).map_err(|_| SealingError::Closed)?;
    seal_item(newest, &label, &opened, &mut OsRng).map_err(SealingError::Seal)
}
