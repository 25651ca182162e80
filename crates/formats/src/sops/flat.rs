//! The flattened metadata of dotenv and INI files: `age__list_0__map_enc` and the like, from a tree and back into one.
//!
//! Source: sops 3.13.3, `stores/flatten.go`.

use serde_json::{Map, Value};

use super::error::SopsError;

/// Builds the `sops` block from its flattened fields (without the prefix `sops_`).
pub(crate) fn unflatten(fields: Vec<(String, String)>) -> Result<Map<String, Value>, SopsError> {
    let mut root = Value::Object(Map::new());
    for (name, value) in fields {
        let steps = steps(&name).ok_or_else(|| refuse(&name))?;
        place(&mut root, &steps, value).ok_or_else(|| refuse(&name))?;
    }
    match root {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// Returns the fields of the `sops` block by their flattened names, without the prefix `sops_`. Nothing is left of an empty
/// list or mapping.
pub(crate) fn flatten(block: &Map<String, Value>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (name, value) in block {
        push(&mut fields, name.clone(), value);
    }
    fields
}

fn push(fields: &mut Vec<(String, String)>, name: String, value: &Value) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| push(fields, format!("{name}{MAP}{key}"), value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| push(fields, format!("{name}{LIST}{at}"), item));
        }
        Value::String(text) => fields.push((name, text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => fields.push((name, value.to_string())),
    }
}

fn refuse(name: &str) -> SopsError {
    SopsError::Metadata { field: format!("sops_{name}"), fault: "does not fit the fields beside it" }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

const MAP: &str = "__map_";
const LIST: &str = "__list_";

fn steps(name: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let (first, mut rest) = split(name);
    steps.push(Step::Key(first));
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(MAP) {
            let (key, tail) = split(after);
            steps.push(Step::Key(key));
            rest = tail;
        } else {
            let (index, tail) = split(rest.strip_prefix(LIST)?);
            steps.push(Step::Index(index.parse().ok()?));
            rest = tail;
        }
    }
    Some(steps)
}

/// Splits before the next separator.
fn split(text: &str) -> (&str, &str) {
    let at = [text.find(MAP), text.find(LIST)].into_iter().flatten().min().unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Puts a value at its place; lists must grow one by one, in any order of their fields but without gaps.
fn place(node: &mut Value, steps: &[Step<'_>], value: String) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        return node.is_null().then(|| *node = Value::String(value));
    };
    let child = match step {
        Step::Key(key) => {
            if node.is_null() {
                *node = Value::Object(Map::new());
            }
            node.as_object_mut()?.entry(*key).or_insert(Value::Null)
        }
        Step::Index(index) => {
            if node.is_null() {
                *node = Value::Array(Vec::new());
            }
            let items = node.as_array_mut()?;
            if *index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(*index)?
        }
    };
    place(child, rest, value)
}
