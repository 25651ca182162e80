//! Takes one value out of a JSON text, or the entries of an object in it.
//!
//! The text is read anew for each value, so that nothing but what is asked for is copied. A text gives its bytes, a whole number, `true`
//! and `false` what stands there, an object or array its JSON without blanks. Numbers that can't be written back as they stand (fractions, and those beyond 64 bits) are refused instead of rounded.
//! Nothing of what comes out is ever looked at for references. Not here: stores, and what they gave (`stored.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::SecretBytes;

/// Why a secret has no value for a reference; none of it quotes the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum ValueError {
    /// The pointer leads nowhere, or to `null`.
    #[error("the secret has no value there")]
    NoValue,
    /// The value can't be taken as it stands: it has a number that would be rounded, or is nested too deeply.
    #[error("the value has a number that can't be taken over exactly, or is nested too deeply")]
    Inexact,
    /// The pointer leads into a secret that is no JSON.
    #[error("the secret is not JSON, so nothing in it can be pointed to")]
    NotJson,
    /// The secret has several values, and the reference points to none of them.
    #[error("the secret has several values, and the reference has no pointer to one of them")]
    NoPointer,
    /// The value is to be decoded and is not base64.
    #[error("the value is not base64")]
    NotBase64,
    /// All of a secret is wanted, and it is no object.
    #[error("what is to be expanded is not an object")]
    NotAnObject,
    /// All of a secret is wanted, and one of its keys can't be one of a Secret.
    #[error("a key of the secret has other characters than letters, digits, -, _ and ., or is too long")]
    BadKey,
    /// All of a secret is wanted, and that is too much for a Secret.
    #[error("the secret has {MAX_ENTRIES} entries or more")]
    TooMany,
}

impl ValueError {
    /// Returns what can be done about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoValue => {
                "correct the pointer behind # in the reference, or add the value to the secret in the store"
            }
            Self::Inexact => "keep the value in the store as text",
            Self::NotJson => "leave out # and what stands behind it, for the secret as it is",
            Self::NoPointer => "write #/KEY behind the path",
            Self::NotBase64 => "leave decode=base64 out of the reference, or correct the value in the store",
            Self::NotAnObject => "expand a secret, or an object in one",
            Self::BadKey => "refer to the values one by one, under keys that a Secret can have",
            Self::TooMany => "refer to the values that are needed one by one, or keep fewer in one secret",
        }
    }
}

/// The longest key that a Secret can have (`ConfigMapKey` of k8s.io/apimachinery, which Secrets are checked by too).
const MAX_KEY: usize = 253;
/// The most entries that one Secret is filled with; the API server takes 1 MiB of them.
const MAX_ENTRIES: usize = 10_000;

/// Returns the value that keys lead to in a JSON text; the whole of it where there are none.
pub(super) fn value_at(json: &[u8], keys: &[&str]) -> Result<SecretBytes, ValueError> {
    match walk(json, At { keys, take: Take::Value, room: json.len() })? {
        Some(Found::Value(value)) => Ok(value),
        _ => Err(ValueError::NoValue),
    }
}

/// Returns the same, in which numbers may be rounded.
pub(super) fn rounded_at(json: &[u8], keys: &[&str]) -> Result<SecretBytes, ValueError> {
    match walk(json, At { keys, take: Take::Rounded, room: json.len() })? {
        Some(Found::Value(value)) => Ok(value),
        _ => Err(ValueError::NoValue),
    }
}

/// Returns the entries of the object that keys lead to in a JSON text.
pub(super) fn entries_at(json: &[u8], keys: &[&str]) -> Result<BTreeMap<String, SecretBytes>, ValueError> {
    match walk(json, At { keys, take: Take::Entries, room: json.len() })?.ok_or(ValueError::NoValue)? {
        Found::Entries(entries) => Ok(entries),
        Found::TooManyEntries => Err(ValueError::TooMany),
        Found::Value(_) | Found::NoEntries => Err(ValueError::NotAnObject),
    }
}

/// Takes entries that a Secret can have.
pub(super) fn for_a_secret(entries: BTreeMap<String, SecretBytes>) -> Result<Vec<(String, SecretBytes)>, ValueError> {
    let is_key = |key: &str| {
        let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(is_of_key) && ![".", ".."].contains(&key)
    };
    match entries.keys().all(|key| is_key(key)) {
        true => Ok(entries.into_iter().collect()),
        false => Err(ValueError::BadKey),
    }
}

/// Decodes base64, with blanks and line breaks around it.
pub(super) fn decoded(text: &[u8]) -> Result<SecretBytes, ValueError> {
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(text.trim_ascii().to_vec());
    let mut bytes = Zeroizing::new(vec![0; text.len()]);
    let length = STANDARD.decode_slice(text.as_slice(), &mut bytes).map_err(|_| ValueError::NotBase64)?;
    Ok(SecretBytes::concat(&[bytes.get(..length).unwrap_or_default()]))
}

/// Goes through a JSON text. What the parser says may quote the text, so it is dropped.
fn walk(json: &[u8], seed: At<'_>) -> Result<Option<Found>, ValueError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    seed.deserialize(&mut deserializer).map_err(|_| ValueError::Inexact)
}

#[derive(Clone, Copy)]
enum Take {
    Value,
    /// A value in which numbers may be rounded.
    Rounded,
    Entries,
}

enum Found {
    Value(SecretBytes),
    Entries(BTreeMap<String, SecretBytes>),
    TooManyEntries,
    /// Entries are wanted of something that has none.
    NoEntries,
}

/// Looks for what keys lead to; none if that is `null` or nothing. All else is passed over without being kept.
#[derive(Clone, Copy)]
struct At<'a> {
    keys: &'a [&'a str],
    take: Take,
    /// The length of the whole text, which nothing that is written of it exceeds: a buffer that grows leaves copies behind.
    room: usize,
}

impl At<'_> {
    fn scalar(&self) -> Option<Found> {
        self.keys.is_empty().then_some(Found::NoEntries)
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Found>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match (self.keys, self.take) {
            ([], Take::Value | Take::Rounded) => {
                let mut room = Zeroizing::new(Vec::with_capacity(self.room));
                let may_round = matches!(self.take, Take::Rounded);
                Ok(Written { room: &mut room, may_round }.deserialize(deserializer)?.map(Found::Value))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Found>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let Some((wanted, keys)) = self.keys.split_first() else {
            let (mut entries, mut room) = (BTreeMap::new(), Zeroizing::new(Vec::with_capacity(self.room)));
            while let Some(key) = map.next_key::<String>()? {
                match entries.len() < MAX_ENTRIES {
                    true => {
                        let value = map.next_value_seed(Written { room: &mut room, may_round: false })?;
                        entries.extend(value.map(|value| (key, value)));
                    }
                    false => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            return Ok(Some(match entries.len() < MAX_ENTRIES {
                true => Found::Entries(entries),
                false => Found::TooManyEntries,
            }));
        };
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match key == *wanted {
                true => found = map.next_value_seed(At { keys, ..self })?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (index, keys) = match self.keys.split_first() {
            Some((index, keys)) => (index_of(index), keys),
            None => (None, self.keys),
        };
        let mut found = self.scalar();
        for position in 0.. {
            let is_it = index == Some(position) && !self.keys.is_empty();
            let item = match is_it {
                true => items.next_element_seed(At { keys, ..self })?.map(|item| found = item),
                false => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if item.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(self.scalar())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(self.scalar())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(self.scalar())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(self.scalar())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(self.scalar())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads the index of an item (RFC 6901, section 4): digits without a zero in front.
fn index_of(text: &str) -> Option<usize> {
    let is_index = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if is_index { text.parse().ok() } else { None }
}

/// Takes one value as it is written, in a buffer that others use too; none if it is `null`.
struct Written<'a> {
    room: &'a mut Zeroizing<Vec<u8>>,
    may_round: bool,
}

impl<'de> DeserializeSeed<'de> for Written<'_> {
    type Value = Option<SecretBytes>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.room.clear();
        let Self { room, may_round } = self;
        let mut writer = Writer { json: std::mem::take(room), may_round, is_null: false, text: None };
        Printed(&mut writer, true).deserialize(deserializer)?;
        let Writer { json, is_null, text, .. } = writer;
        let value = text.unwrap_or_else(|| SecretBytes::concat(&[&json]));
        *room = json;
        Ok((!is_null).then_some(value))
    }
}

/// What is written of a value.
struct Writer {
    json: Zeroizing<Vec<u8>>,
    may_round: bool,
    is_null: bool,
    /// The text itself, where the value is one.
    text: Option<SecretBytes>,
}

/// Writes a value as JSON; the flag says that it is the outermost, where a text stands for its bytes.
struct Printed<'a>(&'a mut Writer, bool);

impl Printed<'_> {
    fn put(self, text: impl fmt::Display) {
        // Memory takes everything.
        let _ = write!(self.0.json, "{text}");
    }

    fn put_text(json: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
        serde_json::to_writer(json, text)
    }
}

impl<'de> DeserializeSeed<'de> for Printed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Printed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that can be written as it stands")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.1 {
            true => self.0.text = Some(SecretBytes::concat(&[text.as_bytes()])),
            false => Self::put_text(&mut self.0.json, text).map_err(|_| E::custom("text"))?,
        }
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(value);
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        match self.0.may_round {
            // As short as it may have stood: without an exponent, 1e308 has 309 digits.
            true => self.put(format_args!("{value:e}")),
            false => return Err(E::custom("number")),
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.is_null = self.1;
        self.put("null");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let writer = self.0;
        writer.json.push(b'{');
        let mut is_first = true;
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if !std::mem::take(&mut is_first) {
                writer.json.push(b',');
            }
            Self::put_text(&mut writer.json, &key).map_err(|_| A::Error::custom("key"))?;
            writer.json.push(b':');
            map.next_value_seed(Printed(writer, false))?;
        }
        writer.json.push(b'}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let writer = self.0;
        writer.json.push(b'[');
        let mut length = writer.json.len();
        loop {
            if writer.json.len() > length {
                writer.json.push(b',');
            }
            length = writer.json.len();
            if items.next_element_seed(Printed(writer, false))?.is_none() {
                break;
            }
        }
        if writer.json.last() == Some(&b',') {
            writer.json.pop();
        }
        writer.json.push(b']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decode, Pointer, StoredSecret};
    use super::*;

    const ANSWER: &str = r#"{"request_id":"x","ratio":1.5,"data":{"data":{"user":"shop","pass":"p\u00e4\n\"w","port":5432,
        "on":true,"none":null,"half":0.5,"big":123456789012345678901,"tls":{"key/a":"k","list":["a",{"b":"c"}],"empty":[]},
        "bin":"AAH/","also":"bm8="},"metadata":{"version":3}}}"#;

    fn secret() -> StoredSecret {
        StoredSecret::new(SecretBytes::new(ANSWER.as_bytes().to_vec()), &["data", "data"])
    }

    fn value(pointer: &str, decode: Option<Decode>) -> Result<Vec<u8>, ValueError> {
        let pointer = if pointer.is_empty() { Pointer::default() } else { pointer.parse().unwrap() };
        secret().value(&pointer, decode).map(|value| value.expose_secret().to_vec())
    }

    #[test]
    fn a_pointer_takes_one_value_as_it_stands() {
        for (pointer, wanted) in [
            ("/user", "shop"),
            ("/pass", "pä\n\"w"),
            ("/port", "5432"),
            ("/on", "true"),
            ("/tls/key~1a", "k"),
            ("/tls/list/0", "a"),
            ("/tls/list/1/b", "c"),
            ("/tls/list", r#"["a",{"b":"c"}]"#),
            ("/tls", r#"{"key/a":"k","list":["a",{"b":"c"}],"empty":[]}"#),
        ] {
            assert_eq!(value(pointer, None).as_deref(), Ok(wanted.as_bytes()), "{pointer}");
        }
        assert_eq!(value("/bin", Some(Decode::Base64)).as_deref(), Ok(&[0, 1, 255][..]));
    }

    #[test]
    fn what_is_not_there_or_can_not_be_taken_is_refused_without_being_quoted() {
        for pointer in ["/other", "/none", "/user/x", "/tls/list/2", "/tls/list/00", "/tls/list/-1", "/port/0", "/on/x"]
        {
            assert_eq!(value(pointer, None), Err(ValueError::NoValue), "{pointer}");
        }
        for pointer in ["/half", "/big", ""] {
            assert_eq!(value(pointer, None), Err(ValueError::Inexact), "{pointer}");
        }
        assert_eq!(value("/tls/key~1a", Some(Decode::Base64)), Err(ValueError::NotBase64));
        assert!(secret().digested(SecretBytes::len).is_ok(), "a digest need not be exact");
        let none = StoredSecret::new(SecretBytes::new(b"not json".to_vec()), &["data"]);
        assert_eq!(none.value(&Pointer::default(), None).err(), Some(ValueError::Inexact));
        assert_eq!(format!("{none:?}"), "StoredSecret(SecretBytes([REDACTED; 8 bytes]))");
    }

    #[test]
    fn a_whole_secret_is_one_entry_for_each_of_its_values() {
        let json = r#"{"data":{"a":"1","b":{"c":2},"d":null}}"#;
        let secret = StoredSecret::new(SecretBytes::new(json.as_bytes().to_vec()), &["data"]);
        let entries = secret.entries(&Pointer::default()).unwrap();
        let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
        assert_eq!(entries, [("a", &b"1"[..]), ("b", br#"{"c":2}"#)]);
        assert_eq!(
            secret.value(&Pointer::default(), None).unwrap().expose_secret(),
            br#"{"a":"1","b":{"c":2},"d":null}"#
        );
        assert_eq!(secret.entries(&"/a".parse().unwrap()).err(), Some(ValueError::NotAnObject));
        assert_eq!(secret.entries(&"/x".parse().unwrap()).err(), Some(ValueError::NoValue));
        let odd = StoredSecret::new(SecretBytes::new(br#"{"a b":"1"}"#.to_vec()), &[]);
        assert_eq!(odd.entries(&Pointer::default()).err(), Some(ValueError::BadKey));
        let many = |count: usize| {
            let entries: Vec<String> = (0..count).map(|number| format!("\"k{number}\":1")).collect();
            StoredSecret::new(SecretBytes::new(format!("{{{}}}", entries.join(",")).into_bytes()), &[])
        };
        assert_eq!(many(9_999).entries(&Pointer::default()).unwrap().len(), 9_999);
        assert_eq!(many(10_001).entries(&Pointer::default()).err(), Some(ValueError::TooMany));
    }

    #[test]
    fn what_is_digested_is_no_longer_than_what_was_answered() {
        let numbers = format!("[{}]", vec!["1e308"; 1_000].join(","));
        let secret = StoredSecret::new(SecretBytes::new(numbers.clone().into_bytes()), &[]);
        assert_eq!(secret.digested(|object| object.expose_secret().len()), Ok(numbers.len()));
    }
}
