//! Digests of public things: manifests with handles, and the field sets that the API server reports.
//!
//! A digest is a SHA-256 over canonical JSON: no spaces, the keys of each map sorted by their bytes, scalars as
//! `serde_json` writes them. It is not a MAC and covers no plaintext, so it may be stored and shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::Manifest;

/// A SHA-256, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// What decides, beside the manifest, whether an object has to be sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct DigestContext<'a> {
    /// `spec.secrets` of the Sync: what its secrets are opened with, and where they may end.
    pub secrets_spec: Value,
    /// The identity of the target cluster.
    pub cluster: &'a str,
    /// The version of the rules that say where a secret may end; raised when they change.
    pub binding_rules_version: u32,
}

/// Returns the digest of one object as it should be: equal digests mean that there is nothing to open and nothing to
/// send.
///
/// It covers `{"cluster","manifest","object","rules","secrets"}`, the manifest with its handles, and `"versions"` where it has secrets of
/// stores: which versions of them, as [`Inputs::versions`](crate::Inputs) says.
pub fn desired_digest(manifest: &Manifest, versions: Option<&str>, context: &DigestContext<'_>) -> Digest {
    let mut hash = Sha256::new();
    let mut part = |name: &str, value: &Value| {
        hash.update(name);
        feed(value, &mut hash);
    };
    part("{\"cluster\":", &context.cluster.into());
    part(",\"manifest\":", &manifest.body);
    part(",\"object\":", &manifest.id.to_string().into());
    part(",\"rules\":", &context.binding_rules_version.into());
    part(",\"secrets\":", &context.secrets_spec);
    versions.into_iter().for_each(|versions| part(",\"versions\":", &versions.into()));
    hash.update(b"}");
    Digest(hash.finalize().into())
}

impl Digest {
    /// Returns the SHA-256 of the canonical JSON of `value`.
    pub fn of(value: &Value) -> Self {
        let mut hash = Sha256::new();
        feed(value, &mut hash);
        Self(hash.finalize().into())
    }
}

/// Feeds the canonical JSON of `value` to a hash, without writing it down first.
fn feed(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hash.update(b"[");
            for (position, item) in items.iter().enumerate() {
                hash.update(if position == 0 { "" } else { "," });
                feed(item, hash);
            }
            hash.update(b"]");
        }
        Value::Object(map) => feed_object(map, hash),
        scalar => feed_scalar(scalar, hash),
    }
}

fn feed_object(map: &Map<String, Value>, hash: &mut Sha256) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    hash.update(b"{");
    for (position, (key, value)) in entries.into_iter().enumerate() {
        hash.update(if position == 0 { "" } else { "," });
        feed_scalar(key, hash);
        hash.update(b":");
        feed(value, hash);
    }
    hash.update(b"}");
}

#[expect(clippy::expect_used, reason = "it is called for strings, numbers, booleans and null")]
fn feed_scalar(scalar: &(impl Serialize + ?Sized), hash: &mut Sha256) {
    serde_json::to_writer(hash, scalar).expect("a scalar can always be written, and a hash takes everything");
}

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: expected 64 hexadecimal digits")]
pub struct DigestFormatError;

impl FromStr for Digest {
    type Err = DigestFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestFormatError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::manifest;

    fn context() -> DigestContext<'static> {
        DigestContext { secrets_spec: json!({"plaintext": "Deny"}), cluster: "local", binding_rules_version: 1 }
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_the_order_of_items_does() {
        assert_eq!(
            Digest::of(&json!({"a": 1, "b": {"c": 2, "d": 3}})),
            Digest::of(&json!({"b": {"d": 3, "c": 2}, "a": 1}))
        );
        assert_ne!(Digest::of(&json!([1, 2])), Digest::of(&json!([2, 1])));
        assert_ne!(Digest::of(&json!("1")), Digest::of(&json!(1)));
    }

    #[test]
    fn the_digest_is_the_sha256_of_the_canonical_text() {
        // sha256 of `{"a":1}`
        let expected = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
        assert_eq!(Digest::of(&json!({"a": 1})).to_string(), expected);
    }

    #[test]
    fn the_digest_of_an_object_is_that_of_the_map_that_its_description_names() {
        let object = manifest("ConfigMap", "web", json!({"data": {"z": "\u{1F980}\n\"", "a": [1, null, {}]}}));
        let map = json!({
            "cluster": "local",
            "manifest": object.body,
            "object": object.id.to_string(),
            "rules": 1,
            "secrets": {"plaintext": "Deny"},
        });
        assert_eq!(desired_digest(&object, None, &context()), Digest::of(&map));
        let mut with_versions = map;
        with_versions["versions"] = json!("3");
        assert_eq!(desired_digest(&object, Some("3"), &context()), Digest::of(&with_versions));
    }

    #[test]
    fn everything_that_decides_what_is_sent_changes_the_digest() {
        let object = manifest("ConfigMap", "web", json!({"data": {"a": "1"}}));
        let base = desired_digest(&object, None, &context());
        let others = [
            desired_digest(&manifest("ConfigMap", "web", json!({"data": {"a": "2"}})), None, &context()),
            desired_digest(&object, Some("3"), &context()),
            desired_digest(&object, None, &DigestContext { secrets_spec: json!({}), ..context() }),
            desired_digest(&object, None, &DigestContext { cluster: "spoke", ..context() }),
            desired_digest(&object, None, &DigestContext { binding_rules_version: 2, ..context() }),
        ];
        assert_eq!(base, desired_digest(&object, None, &context()));
        for other in others {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn the_text_form_round_trips_and_bad_text_is_refused() {
        let digest = Digest::of(&json!(null));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::from_value::<Digest>(serde_json::to_value(digest).unwrap()).unwrap(), digest);
        for bad in ["", "zz", "00", &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(bad.parse::<Digest>(), Err(DigestFormatError), "{bad}");
        }
    }
}
