//! Compares the readers with tables that the real Go libraries made (`tests/fixtures/yaml/made-by`).

use serde_json::Value;

use super::load;
use super::manifests;
use super::node::Content;
use super::resolve::{Rules, Scalar, resolve};
use crate::go_number;

const SCALARS: &str = include_str!("../../tests/fixtures/yaml/scalars.json");
const DOCUMENTS: &str = include_str!("../../tests/fixtures/yaml/documents.json");

fn rows(table: &str) -> Vec<Value> {
    serde_json::from_str(table).unwrap()
}

fn refused() -> Value {
    serde_json::json!({"refused": "yes"})
}

/// Reads a text as one manifest, in the form of the tables.
fn as_manifest(text: &str) -> Value {
    match manifests(text.as_bytes()) {
        Ok(documents) => documents.into_iter().next().map_or(Value::Null, |document| document.value),
        Err(_) => refused(),
    }
}

/// Reads the only item of a list as sops would.
fn as_sops(text: &str) -> String {
    let Ok(stream) = load::load(text.as_bytes()) else {
        return "refused".to_owned();
    };
    let Content::Sequence { items, .. } = &stream.documents[0].root.content else {
        return "refused".to_owned();
    };
    match resolve(&items[0], Rules::V3) {
        None => "refused".to_owned(),
        Some(Scalar::Null) => "null".to_owned(),
        Some(Scalar::Bool(value)) => format!("bool {value}"),
        Some(Scalar::Int(value)) => format!("int {value}"),
        Some(Scalar::Uint(value)) => format!("uint {value}"),
        Some(Scalar::Float(value)) => format!("float {}", go_number::plain(value)),
        Some(Scalar::Time(time)) => format!("time {}", time.to_nanos()),
        Some(Scalar::Text(text)) => format!("str {text}"),
        Some(Scalar::Bytes(bytes)) => format!("str {}", String::from_utf8_lossy(&bytes)),
        Some(Scalar::Merge) => "str <<".to_owned(),
    }
}

#[test]
fn scalars_of_sops_files_are_what_go_yaml_v3_makes_of_them() {
    let different: Vec<String> = rows(SCALARS)
        .iter()
        .filter_map(|row| {
            let (text, expected) = (row["text"].as_str()?, row["v3"].as_str()?);
            let found = as_sops(&format!("- {text}\n"));
            (found != expected).then(|| format!("{text:?}: {found:?}, Go {expected:?}"))
        })
        .collect();
    insta::assert_snapshot!(different.join("\n"));
}

#[test]
fn scalars_of_manifests_are_what_go_yaml_v2_makes_of_them() {
    let different: Vec<String> = rows(SCALARS)
        .iter()
        .filter_map(|row| {
            let text = row["text"].as_str()?;
            let found = as_manifest(&format!("- {text}\n"));
            (!same(&found, &row["v2"])).then(|| format!("{text:?}: {found}, Go {}", row["v2"]))
        })
        .collect();
    insta::assert_snapshot!(different.join("\n"));
}

#[test]
fn documents_are_what_sigs_yaml_makes_of_them() {
    let different: Vec<String> = rows(DOCUMENTS)
        .iter()
        .filter_map(|row| {
            let text = row["text"].as_str()?;
            let found = as_manifest(text);
            (!same(&found, &row["v2"])).then(|| format!("{text:?}: {found}, Go {}", row["v2"]))
        })
        .collect();
    insta::assert_snapshot!(different.join("\n"));
}

/// Compares regardless of whether a number is held as an integer or a float: JSON text has no such types.
fn same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => one == two || one.as_f64() == two.as_f64(),
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(a, b)| same(a, b))
        }
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len() && one.iter().all(|(key, a)| two.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == two,
    }
}
