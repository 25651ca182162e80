//! The spec of a SealedSecret as it is kept in memory: JSON text, and beside it the bytes of its items, which base64 would make a
//! third longer. What comes out is what went in, also where that is no well-formed spec.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The field with the items.
const ITEMS: &str = "encryptedData";

/// A spec, which its copies share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackedSpec {
    /// Its JSON text, in which lengths in bytes stand for the items if `items` has any byte.
    text: Arc<str>,
    /// The bytes of the items, one after the other as the text has them.
    items: Arc<[u8]>,
}

impl PackedSpec {
    fn new(mut spec: Value) -> Self {
        let items = spec.get_mut(ITEMS).and_then(Value::as_object_mut).and_then(take_items).unwrap_or_default();
        Self { text: spec.to_string().into(), items: items.into() }
    }

    /// Returns what was packed.
    pub(super) fn value(&self) -> Value {
        // It was written from a value.
        let mut spec: Value = serde_json::from_str(&self.text).unwrap_or_default();
        if !self.items.is_empty()
            && let Some(items) = spec.get_mut(ITEMS).and_then(Value::as_object_mut)
        {
            put_items(items, &self.items);
        }
        spec
    }
}

impl Default for PackedSpec {
    fn default() -> Self {
        Self::new(Value::Null)
    }
}

impl<'de> Deserialize<'de> for PackedSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::new)
    }
}

/// Returns the bytes of all items, and leaves their lengths; does neither where there are none, or one is not base64 as we would write it.
fn take_items(items: &mut Map<String, Value>) -> Option<Vec<u8>> {
    let (mut bytes, mut lengths) = (Vec::new(), Vec::with_capacity(items.len()));
    for item in items.values() {
        let before = bytes.len();
        // Refuses padding that is missing and bits that mean nothing: each sequence of bytes has one text.
        STANDARD.decode_vec(item.as_str()?, &mut bytes).ok()?;
        lengths.push(Value::from(bytes.len() - before));
    }
    if bytes.is_empty() {
        return None;
    }
    for (item, length) in items.values_mut().zip(lengths) {
        *item = length;
    }
    Some(bytes)
}

fn put_items(items: &mut Map<String, Value>, mut bytes: &[u8]) {
    for item in items.values_mut() {
        // Those lengths were left that the bytes have.
        let length = item.as_u64().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let (own, rest) = bytes.split_at_checked(length).unwrap_or_default();
        *item = Value::from(STANDARD.encode(own));
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn packed(spec: &Value) -> PackedSpec {
        serde_json::from_value(spec.clone()).unwrap()
    }

    #[test]
    fn items_in_base64_are_kept_as_bytes() {
        let spec = json!({"encryptedData": {"b": "AQID", "a": "", "c": "/+8="}, "template": {"type": "Opaque"}});
        let kept = packed(&spec);
        assert_eq!(*kept.items, [1, 2, 3, 0xff, 0xef]);
        assert_eq!(kept.value(), spec);
        assert_eq!(kept.value().to_string(), spec.to_string(), "the order of the items is theirs");
    }

    #[test]
    fn whatever_else_a_spec_says_comes_out_as_it_went_in() {
        let items = [
            json!({"a": "AQID", "b": "AQI"}),
            json!({"a": "AQID", "b": "AQJ="}),
            json!({"a": "AQID", "b": "_-8="}),
            json!({"a": "AQID", "b": "AQ\nID"}),
            json!({"a": "AQID", "b": 3}),
            json!({"a": 3, "b": 0}),
            json!({"a": "", "b": ""}),
            json!({"a": "AQID", "b": null}),
            json!({}),
            json!(["AQID"]),
            json!("AQID"),
            Value::Null,
        ];
        for items in items {
            let spec = json!({"encryptedData": items, "data": "AQID"});
            assert_eq!(packed(&spec).value(), spec);
        }
        for spec in [Value::Null, json!("AQID"), json!([]), json!({}), json!({"data": "AQID"})] {
            assert_eq!(packed(&spec).value(), spec);
        }
        assert_eq!(PackedSpec::default().value(), Value::Null);
    }

    proptest! {
        #[test]
        fn what_comes_out_went_in_and_two_are_equal_where_they_say_the_same(
            one in items(), other in items(),
        ) {
            prop_assert_eq!(packed(&one).value(), one.clone());
            prop_assert_eq!(packed(&one) == packed(&other), one == other);
        }
    }

    fn items() -> impl Strategy<Value = Value> {
        let item = prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| json!(STANDARD.encode(bytes))),
            1 => "[AB+/=]{0,4}".prop_map(Value::from),
            1 => (0_u8..4).prop_map(Value::from),
        ];
        prop::collection::btree_map("[ab]", item, 0..3).prop_map(|items| json!({"encryptedData": items}))
    }
}
