//! The chart's generated parts: the definitions that it installs, and the table of values in its README. And its values: each
//! has a comment, a place in the schema and a use.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::{file_of, root, write_or_compare, yaml_of};

const BEGIN: &str = "<!-- The table is generated from values.yaml by `make generate`. -->\n";
/// Longer defaults are for values.yaml to show.
const LONGEST_DEFAULT: usize = 60;

fn folder() -> PathBuf {
    root().join("charts/waxwing")
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).expect("the chart has this file")
}

fn values(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("the values are YAML")
}

#[test]
fn the_chart_installs_the_definitions_of_the_types() {
    for crd in &waxwing::api::crds() {
        let name = file_of(crd).file_name().expect("a file has a name").to_owned();
        write_or_compare(&folder().join("files/crds").join(name), &yaml_of(crd));
    }
    let found = fs::read_dir(folder().join("files/crds")).expect("the folder can be listed").count();
    assert_eq!(found, waxwing::api::crds().len(), "a definition is no longer generated");
}

#[test]
fn the_readme_of_the_chart_has_a_table_of_its_values() {
    let text = read("values.yaml");
    let all = values(&text);
    let mut table = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for (path, meaning) in documented(&text) {
        let pointer = path.replace('.', "/");
        let default = all.pointer(&pointer).expect("a comment is about a value").to_string();
        let default =
            if default.len() > LONGEST_DEFAULT { "see values.yaml".to_owned() } else { format!("`{default}`") };
        writeln!(table, "| `{}` | {default} | {} |", &path[1..], meaning.replace('|', "\\|")).expect("a string");
    }
    let readme = read("README.md");
    let (head, _) = readme.split_once(BEGIN).expect("the README has a place for the table");
    write_or_compare(&folder().join("README.md"), &format!("{head}{BEGIN}\n{table}"));
}

/// Returns the paths of all values below `value` that are not mappings, or are empty ones.
fn leaves(value: &Value, path: &str) -> BTreeSet<String> {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => fields.iter().flat_map(|(key, value)| leaves(value, &format!("{path}.{key}"))).collect(),
        None => BTreeSet::from([path.to_owned()]),
    }
}

/// Returns the paths of the lines of `values.yaml` that have a comment right above them, with that comment.
fn documented(text: &str) -> Vec<(String, String)> {
    let (mut path, mut found, mut comment) = (Vec::new(), Vec::new(), String::new());
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(words) = bare.strip_prefix('#') {
            comment.push_str(words);
            continue;
        }
        let key = bare.split_once(':').map(|(key, _)| key);
        if let Some(key) = key.filter(|key| key.chars().all(|c| c.is_ascii_alphanumeric())) {
            path.truncate((line.len() - bare.len()) / 2);
            path.push(key.to_owned());
            if !comment.is_empty() {
                found.push((format!(".{}", path.join(".")), comment.trim().to_owned()));
            }
        }
        comment.clear();
    }
    found
}

/// Tells whether `path` is `above`, or below it.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[test]
fn every_value_has_a_comment_a_schema_and_a_use() {
    let text = read("values.yaml");
    let all = leaves(&values(&text), "");
    let documented: BTreeSet<String> = documented(&text).into_iter().map(|(path, _)| path).collect();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).expect("the schema is JSON");
    let templates = fs::read_dir(folder().join("templates")).expect("the templates can be listed");
    let templates = templates.map(|file| file.expect("a template has a name").file_name());
    let templates: String = templates.map(|name| read(&format!("templates/{}", name.to_string_lossy()))).collect();
    for path in &all {
        assert!(documented.iter().any(|above| is_below(path, above)), "{path} has no comment");
    }
    for path in &documented {
        assert!(all.iter().any(|leaf| is_below(leaf, path)), "{path} is a comment about nothing");
        assert!(is_closed(&schema, path), "{path} is not in the schema");
        assert!(is_used(&templates, path), "{path} is used by no template");
    }
}

/// Tells whether the schema describes this value, in objects that have no other fields than those it lists.
fn is_closed(schema: &Value, path: &str) -> bool {
    let mut at = schema;
    for key in path.trim_start_matches('.').split('.') {
        if at["additionalProperties"] != false {
            return false;
        }
        at = &at["properties"][key];
    }
    at.is_object()
}

/// Tells whether a template names this value, as a whole or below a `with`.
fn is_used(templates: &str, path: &str) -> bool {
    let named = |text: &str, rest: &str| {
        let mut places = text.match_indices(rest).map(|(at, _)| text[at + rest.len()..].chars().next());
        places.any(|next| !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.'))
    };
    if named(templates, &format!(".Values{path}")) {
        return true;
    }
    path.rsplit_once('.').is_some_and(|(above, key)| {
        templates.contains(&format!("with .Values{above} }}")) && named(templates, &format!(" .{key}"))
    })
}

#[test]
fn the_test_of_every_value_sets_every_value() {
    let text = fs::read_to_string(root().join("tests/e2e/chart/values.yaml")).expect("the test has values");
    let set = leaves(&values(&text), "");
    for (path, _) in documented(&read("values.yaml")) {
        assert!(set.iter().any(|leaf| is_below(leaf, &path)), "{path} is not set");
    }
}
