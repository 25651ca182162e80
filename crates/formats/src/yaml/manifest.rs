//! Turns a YAML tree into the JSON that kubectl would send: go-yaml v2 scalars, merge keys applied.
//!
//! Source: sigs.k8s.io/yaml 1.6, `convertToJSONableObject`. Stricter in two ways: duplicate keys are refused,
//! and so is a merge that brings a key which stands above it, where go-yaml v2 and v3 disagree.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

use super::error::{YamlError, YamlErrorKind};
use super::node::{Content, Node};
use super::resolve::{Rules, Scalar, resolve};
use crate::go_number;

/// Converts a tree to JSON.
pub(super) fn to_json(node: &Node, document: usize) -> Result<Value, YamlError> {
    match &node.content {
        Content::Scalar { .. } => scalar(node, document),
        Content::Sequence { items, .. } => {
            items.iter().map(|item| to_json(item, document)).collect::<Result<_, _>>().map(Value::Array)
        }
        Content::Mapping { pairs, .. } => mapping(pairs, document).map(Value::Object),
    }
}

fn scalar(node: &Node, document: usize) -> Result<Value, YamlError> {
    let scalar = resolve(node, Rules::V2).ok_or_else(|| node.error(document, YamlErrorKind::TagDoesNotFit))?;
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(value) => Value::Number(value.into()),
        Scalar::Uint(value) => Value::Number(value.into()),
        Scalar::Float(value) => Value::Number(float(node, value, document)?),
        Scalar::Time(time) => Value::String(time.to_nanos()),
        Scalar::Text(text) => Value::String(text),
        Scalar::Bytes(_) => return Err(node.error(document, YamlErrorKind::TagDoesNotFit)),
        Scalar::Merge => Value::String("<<".to_owned()),
    })
}

fn float(node: &Node, value: f64, document: usize) -> Result<Number, YamlError> {
    go_number::to_json(value).ok_or_else(|| node.error(document, YamlErrorKind::NumberNotInJson))
}

type Pairs = [(Rc<Node>, Rc<Node>)];

fn mapping(pairs: &Pairs, document: usize) -> Result<Map<String, Value>, YamlError> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(pairs.len());
    let mut map = Map::with_capacity(pairs.len());
    let mut merges = Vec::new();
    for (key_node, value) in pairs {
        let name = key_name(key_node, document)?;
        let (key, is_merge) = match name {
            Some(key) => (key, false),
            None => ("<<".to_owned(), true),
        };
        if let Some(first_line) = seen.insert(key.clone(), key_node.at.line) {
            return Err(key_node.error(document, YamlErrorKind::DuplicateKey { key, first_line }));
        }
        if is_merge {
            merges.push((value, key_node, map.len()));
        } else {
            map.insert(key, to_json(value, document)?);
        }
    }
    for (value, key_node, above) in merges {
        merge(&mut map, value, key_node, above, document)?;
    }
    Ok(map)
}

fn merge(
    map: &mut Map<String, Value>,
    value: &Node,
    key_node: &Node,
    above: usize,
    document: usize,
) -> Result<(), YamlError> {
    let refused = || value.error(document, YamlErrorKind::MergeNotMapping);
    let sources: Vec<&Node> = match &value.content {
        Content::Mapping { .. } => vec![value],
        Content::Sequence { items, .. } => items.iter().map(AsRef::as_ref).collect(),
        Content::Scalar { .. } => return Err(refused()),
    };
    for source in sources {
        let Content::Mapping { pairs, .. } = &source.content else {
            return Err(refused());
        };
        for (key, value) in mapping(pairs, document)? {
            if map.keys().take(above).any(|own| *own == key) {
                return Err(key_node.error(document, YamlErrorKind::MergeConflict { key }));
            }
            map.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Returns the text of a key as sigs.k8s.io/yaml makes it, or nothing for a merge key.
fn key_name(node: &Node, document: usize) -> Result<Option<String>, YamlError> {
    let refused = || node.error(document, YamlErrorKind::KeyNotText);
    match resolve(node, Rules::V2).ok_or_else(refused)? {
        Scalar::Merge => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Bool(value) => Ok(Some(value.to_string())),
        Scalar::Int(value) => Ok(Some(value.to_string())),
        Scalar::Float(value) if value.is_finite() => Ok(Some(go_number::shortest_f32(value))),
        _ => Err(refused()),
    }
}
