//! Brings JSON into the form of a Go type: what `encoding/json` makes of it when it decodes it into the type and prints it again.
//!
//! Null is what is not there. Where YAML is decoded into text, sigs.k8s.io/yaml takes numbers and booleans too, and writes them
//! as Go does (`convertToJSONableObject` of version 1.6). Keys of fields are matched without case where the exact one is missing.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::sealed_secret::is_base64;
use crate::{KeyPath, go_number};

/// How an object came in, which decides what passes for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As JSON, or by a decoder that makes JSON of YAML first.
    Json,
    /// As YAML, with the type at hand: numbers and booleans pass. Streams are read so, even if they are JSON, since what does not
    /// fit as JSON is tried as YAML (`YAMLOrJSONDecoder` of apimachinery).
    Yaml,
}

/// A field has another type than Go would accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} is not {expected}")]
pub struct ShapeError {
    /// Where it stands.
    pub path: KeyPath,
    /// What it should be, with its article.
    pub expected: &'static str,
}

/// A field of a Go struct.
pub(super) struct Field {
    name: &'static str,
    shape: Shape,
    empty: Empty,
}

pub(super) const fn field(name: &'static str, shape: Shape, empty: Empty) -> Field {
    Field { name, shape, empty }
}

/// What is printed of a field that is empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    /// Nothing: `omitempty`.
    Omit,
    /// Nothing where it is absent, all else as it is: `omitempty` on a pointer.
    OmitAbsent,
    /// Its zero value.
    Keep,
}

/// The type of a field.
pub(super) enum Shape {
    Text,
    Bool,
    Int,
    Time,
    /// Bytes, as base64.
    Bytes,
    Any,
    Texts,
    TextMap,
    /// Texts or nulls.
    NullableTextMap,
    /// Bytes as base64, or nulls.
    BytesMap,
    /// Texts; what is something else becomes the empty text, since `SealedSecretEncryptedData` drops errors.
    LooseTextMap,
    Object(&'static [Field]),
    List(&'static [Field]),
}

pub(super) fn object(value: Value, fields: &[Field], path: &KeyPath, reading: Reading) -> Result<Value, ShapeError> {
    let mut found: Vec<Value> = fields.iter().map(|_| Value::Null).collect();
    for (key, value) in map(value, path)? {
        let exact = fields.iter().position(|field| field.name == key);
        let index = exact.or_else(|| fields.iter().position(|field| is_alike(field.name, &key)));
        if let Some(place) = index.and_then(|index| found.get_mut(index)).filter(|_| !value.is_null()) {
            *place = value;
        }
    }
    let mut typed = Map::new();
    for (field, value) in fields.iter().zip(found) {
        let is_absent = value.is_null();
        let value = field.shape.read(value, &path.key(field.name), reading)?;
        let is_omitted = match field.empty {
            Empty::Omit => is_empty(&value),
            Empty::OmitAbsent => is_absent,
            Empty::Keep => false,
        };
        if !is_omitted {
            typed.insert(field.name.to_owned(), value);
        }
    }
    Ok(Value::Object(typed))
}

/// Compares a name with a key without case, as Go folds it: the long s and the sign of kelvin are letters of ASCII (`fold.go` of
/// `encoding/json`).
fn is_alike(name: &str, key: &str) -> bool {
    let folded = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(folded).eq(key.chars().map(folded))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

impl Shape {
    fn read(&self, value: Value, path: &KeyPath, reading: Reading) -> Result<Value, ShapeError> {
        match self {
            Self::Text => text(value, path, reading),
            Self::Bool => typed(value, path, "true or false", Value::is_boolean),
            Self::Int => int(value, path),
            Self::Time => time(value, path),
            Self::Bytes => bytes(value, path),
            Self::Any => Ok(value),
            Self::Texts => each(value, path, |item, path| text(item, path, reading)),
            Self::TextMap => entries(value, path, |item, path| text(item, path, reading)),
            Self::NullableTextMap => entries(value, path, |item, path| match item {
                Value::Null => Ok(Value::Null),
                item => text(item, path, reading),
            }),
            Self::BytesMap => entries(value, path, bytes),
            Self::LooseTextMap => Ok(loose_texts(value)),
            Self::Object(fields) => object(value, fields, path, reading),
            Self::List(fields) => each(value, path, |item, path| object(item, fields, path, reading)),
        }
    }
}

fn typed(value: Value, path: &KeyPath, expected: &'static str, is: fn(&Value) -> bool) -> Result<Value, ShapeError> {
    if value.is_null() || is(&value) { Ok(value) } else { Err(ShapeError { path: path.clone(), expected }) }
}

fn text(value: Value, path: &KeyPath, reading: Reading) -> Result<Value, ShapeError> {
    match (value, reading) {
        (Value::Null, _) => Ok(Value::from("")),
        (Value::String(text), _) => Ok(Value::String(text)),
        (Value::Bool(value), Reading::Yaml) => Ok(Value::String(value.to_string())),
        (Value::Number(number), Reading::Yaml) => Ok(Value::String(match number.as_f64() {
            Some(float) if number.is_f64() => go_number::shortest(float),
            _ => number.to_string(),
        })),
        _ => Err(ShapeError { path: path.clone(), expected: "a string" }),
    }
}

fn int(value: Value, path: &KeyPath) -> Result<Value, ShapeError> {
    if value.is_null() {
        return Ok(Value::from(0));
    }
    typed(value, path, "an integer", Value::is_i64)
}

fn time(value: Value, path: &KeyPath) -> Result<Value, ShapeError> {
    let wrong = || ShapeError { path: path.clone(), expected: "a time, such as 2006-01-02T15:04:05Z" };
    match value {
        Value::Null => Ok(Value::Null),
        Value::String(text) => {
            let time: Timestamp = text.parse().map_err(|_| wrong())?;
            Ok(Value::String(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
        }
        _ => Err(wrong()),
    }
}

fn bytes(value: Value, path: &KeyPath) -> Result<Value, ShapeError> {
    let is_bytes = |value: &Value| value.as_str().is_some_and(is_base64);
    typed(value, path, "base64", is_bytes)
}

fn loose_texts(value: Value) -> Value {
    let Value::Object(map) = value else {
        return if value.is_null() { value } else { Value::Object(Map::new()) };
    };
    let mut texts: Map<String, Value> =
        map.into_iter().map(|(key, value)| (key, if value.is_string() { value } else { Value::from("") })).collect();
    texts.sort_keys();
    Value::Object(texts)
}

fn each(
    value: Value,
    path: &KeyPath,
    read: impl Fn(Value, &KeyPath) -> Result<Value, ShapeError>,
) -> Result<Value, ShapeError> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| read(item, &path.index(index)));
            items.collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        _ => Err(ShapeError { path: path.clone(), expected: "a list" }),
    }
}

/// Reads the entries of a map, which Go prints in the order of their keys.
fn entries(
    value: Value,
    path: &KeyPath,
    read: impl Fn(Value, &KeyPath) -> Result<Value, ShapeError>,
) -> Result<Value, ShapeError> {
    let mut entries = Map::new();
    for (key, value) in map(value, path)? {
        let value = read(value, &path.key(&key))?;
        entries.insert(key, value);
    }
    entries.sort_keys();
    Ok(Value::Object(entries))
}

fn map(value: Value, path: &KeyPath) -> Result<Map<String, Value>, ShapeError> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map),
        _ => Err(ShapeError { path: path.clone(), expected: "a mapping" }),
    }
}
