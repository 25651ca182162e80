//! Digests of public things: manifests with handles, and the field sets that the API server reports.
//!
//! A digest is a SHA-256 over canonical JSON: no spaces, the keys of each map sorted by their bytes, scalars as
//! `serde_json` writes them. It is not a MAC and covers no plaintext, so it may be stored and shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};
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
/// It covers `{"cluster","manifest","object","rules","secrets"}`, the manifest with its handles.
pub fn desired_digest(manifest: &Manifest, context: &DigestContext<'_>) -> Digest {
    Digest::of(&json!({
        "cluster": context.cluster,
        "manifest": manifest.body,
        "object": manifest.id.to_string(),
        "rules": context.binding_rules_version,
        "secrets": context.secrets_spec,
    }))
}

impl Digest {
    /// Returns the SHA-256 of the canonical JSON of `value`.
    pub fn of(value: &Value) -> Self {
        Self(Sha256::digest(sorted(value).to_string()).into())
    }
}

/// Returns the value with the keys of all maps in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            Value::Object(keys.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        scalar => scalar.clone(),
    }
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
    fn everything_that_decides_what_is_sent_changes_the_digest() {
        let object = manifest("ConfigMap", "web", json!({"data": {"a": "1"}}));
        let base = desired_digest(&object, &context());
        let others = [
            desired_digest(&manifest("ConfigMap", "web", json!({"data": {"a": "2"}})), &context()),
            desired_digest(&object, &DigestContext { secrets_spec: json!({}), ..context() }),
            desired_digest(&object, &DigestContext { cluster: "spoke", ..context() }),
            desired_digest(&object, &DigestContext { binding_rules_version: 2, ..context() }),
        ];
        assert_eq!(base, desired_digest(&object, &context()));
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
