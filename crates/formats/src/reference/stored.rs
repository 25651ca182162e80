//! A secret that a store gave, in the form in which the store has it: an object within a JSON answer, bytes that may be JSON, or entries of
//! bytes. It is kept in memory that is wiped, and what a reference names is taken out of it. Not here: how JSON is walked (`value.rs`),
//! and stores.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;

use super::value::{decoded, entries_at, for_a_secret, rounded_at, value_at};
use super::{Decode, Pointer, ValueError};
use crate::SecretBytes;

/// A secret as a store gave it. Not printable beyond its length.
pub struct StoredSecret(Kept);

enum Kept {
    /// An object somewhere in a JSON text, with the keys that lead to it.
    Within(SecretBytes, &'static [&'static str]),
    /// Bytes, of whatever kind.
    Bytes(SecretBytes),
    /// Bytes by name.
    Entries(BTreeMap<String, SecretBytes>),
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Within(bytes, _) | Kept::Bytes(bytes) => write!(f, "StoredSecret({bytes:?})"),
            Kept::Entries(_) => write!(f, "StoredSecret([REDACTED; {} bytes])", self.len()),
        }
    }
}

impl StoredSecret {
    /// Takes an answer of a store, in which `within` leads to the secret.
    pub fn new(json: SecretBytes, within: &'static [&'static str]) -> Self {
        Self(Kept::Within(json, within))
    }

    /// Takes a secret that is bytes: a pointer leads into them if they are JSON, and without one they are the value.
    pub fn of_bytes(bytes: SecretBytes) -> Self {
        Self(Kept::Bytes(bytes))
    }

    /// Takes a secret that has bytes by name: the first key of a pointer names them.
    pub fn of_entries(entries: BTreeMap<String, SecretBytes>) -> Self {
        Self(Kept::Entries(entries))
    }

    /// Returns the value that a pointer leads to; the secret itself where it has no keys.
    ///
    /// # Errors
    /// Fails if there is none, or if it can't be taken or decoded.
    pub fn value(&self, pointer: &Pointer, decode: Option<Decode>) -> Result<SecretBytes, ValueError> {
        let value = match &self.0 {
            Kept::Within(json, within) => value_at(json.expose_secret(), &behind(within, pointer))?,
            Kept::Bytes(bytes) => in_bytes(bytes, &behind(&[], pointer))?,
            Kept::Entries(entries) => {
                let keys = behind(&[], pointer);
                let (name, keys) = keys.split_first().ok_or(ValueError::NoPointer)?;
                in_bytes(entries.get(*name).ok_or(ValueError::NoValue)?, keys)?
            }
        };
        match decode {
            None => Ok(value),
            Some(Decode::Base64) => decoded(value.expose_secret()),
        }
    }

    /// Returns all entries of the object that a pointer leads to, as a Secret would have them.
    ///
    /// # Errors
    /// Fails if there is no object, or if a key or value in it can't be taken. Entries that are `null` are none.
    pub fn entries(&self, pointer: &Pointer) -> Result<Vec<(String, SecretBytes)>, ValueError> {
        let keys = behind(&[], pointer);
        let entries = match (&self.0, keys.as_slice()) {
            (Kept::Within(json, within), _) => entries_at(json.expose_secret(), &behind(within, pointer))?,
            (Kept::Bytes(bytes), keys) => entries_at(as_json(bytes)?, keys)?,
            (Kept::Entries(entries), []) => entries.iter().map(|(name, bytes)| (name.clone(), copied(bytes))).collect(),
            (Kept::Entries(entries), [name, keys @ ..]) => {
                entries_at(as_json(entries.get(*name).ok_or(ValueError::NoValue)?)?, keys)?
            }
        };
        for_a_secret(entries)
    }

    /// Returns how many bytes were given.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Within(bytes, _) | Kept::Bytes(bytes) => bytes.len(),
            Kept::Entries(entries) => entries.iter().map(|(name, bytes)| name.len() + bytes.len()).sum(),
        }
    }

    /// Tells whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what a digest makes of the secret alone: not of what stands around it in the answer, which may differ each time.
    ///
    /// # Errors
    /// Fails if there is none, or if it is several.
    pub fn digested<T>(&self, digest: impl FnOnce(&SecretBytes) -> T) -> Result<T, ValueError> {
        match &self.0 {
            Kept::Within(json, within) => rounded_at(json.expose_secret(), within).map(|object| digest(&object)),
            Kept::Bytes(bytes) => Ok(digest(bytes)),
            Kept::Entries(_) => Err(ValueError::NoPointer),
        }
    }
}

fn behind<'a>(within: &[&'a str], pointer: &'a Pointer) -> Vec<&'a str> {
    within.iter().copied().chain(pointer.keys().iter().map(String::as_str)).collect()
}

fn in_bytes(bytes: &SecretBytes, keys: &[&str]) -> Result<SecretBytes, ValueError> {
    match keys {
        [] => Ok(copied(bytes)),
        keys => value_at(as_json(bytes)?, keys),
    }
}

fn copied(bytes: &SecretBytes) -> SecretBytes {
    SecretBytes::concat(&[bytes.expose_secret()])
}

/// Returns the bytes if they are JSON. What the parser says may quote them, so it is dropped.
fn as_json(bytes: &SecretBytes) -> Result<&[u8], ValueError> {
    let bytes = bytes.expose_secret();
    serde_json::from_slice::<IgnoredAny>(bytes).map(|_| bytes).map_err(|_| ValueError::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &[u8]) -> SecretBytes {
        SecretBytes::new(text.to_vec())
    }

    fn value(secret: &StoredSecret, pointer: &str) -> Result<Vec<u8>, ValueError> {
        let pointer = if pointer.is_empty() { Pointer::default() } else { pointer.parse().unwrap() };
        secret.value(&pointer, None).map(|value| value.expose_secret().to_vec())
    }

    #[test]
    fn bytes_are_the_value_and_a_pointer_leads_into_them_if_they_are_json() {
        let object = StoredSecret::of_bytes(bytes(br#" {"user": "shop", "tls": {"a": 1.5, "b": 2}} "#));
        assert_eq!(value(&object, "").unwrap(), br#" {"user": "shop", "tls": {"a": 1.5, "b": 2}} "#);
        assert_eq!(value(&object, "/user").unwrap(), b"shop");
        assert_eq!(value(&object, "/none"), Err(ValueError::NoValue));
        assert_eq!(object.entries(&Pointer::default()).err(), Some(ValueError::Inexact));
        for text in [&b"hunter2"[..], b"{\"a\": 1} hunter2", &[0, 255], b""] {
            let secret = StoredSecret::of_bytes(bytes(text));
            assert_eq!(value(&secret, "").unwrap(), text);
            assert_eq!(value(&secret, "/a"), Err(ValueError::NotJson));
            assert_eq!(secret.entries(&Pointer::default()).err(), Some(ValueError::NotJson));
            assert_eq!(secret.digested(SecretBytes::len), Ok(text.len()));
        }
    }

    #[test]
    fn of_entries_one_is_named_and_may_be_json_itself() {
        let entries = [("a", &b"hunter2"[..]), ("b.json", br#"{"c":{"d":"e"}}"#)];
        let entries = entries.map(|(name, value)| (name.to_owned(), bytes(value)));
        let secret = StoredSecret::of_entries(BTreeMap::from(entries));
        assert_eq!(value(&secret, "/a").unwrap(), b"hunter2");
        assert_eq!(value(&secret, "/b.json/c/d").unwrap(), b"e");
        assert_eq!(value(&secret, ""), Err(ValueError::NoPointer));
        assert_eq!(value(&secret, "/x"), Err(ValueError::NoValue));
        assert_eq!(value(&secret, "/a/b"), Err(ValueError::NotJson));
        assert_eq!(secret.entries(&Pointer::default()).unwrap().len(), 2);
        assert_eq!(secret.entries(&"/b.json".parse().unwrap()).unwrap().len(), 1);
        assert_eq!(format!("{secret:?}"), "StoredSecret([REDACTED; 29 bytes])");
    }
}
