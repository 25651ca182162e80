//! Writes the field reference of the custom resources as Markdown, out of their schemas.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use waxwing::api::Reason;

const INTRODUCTION: &str = "\
<!-- Generated from src/api by `make generate`. Do not edit. -->
# Custom resources

The kinds of the API group `waxwing.dev/v1alpha1`, field by field. `kubectl explain sync.spec.prune` prints the same texts.
All kinds but ClusterSecretBackend are namespaced, and all are in the category `waxwing`: `kubectl get waxwing` lists them. Fields without
a default and not marked as required may be left out.

The annotation `waxwing.dev/requestedAt` on a GitSource or a Sync asks for a reconcile now; any new value does:

```sh
kubectl annotate sync shop waxwing.dev/requestedAt=\"$(date -Is)\" --overwrite
```
";

/// Returns the whole page.
pub(crate) fn markdown(crds: &[CustomResourceDefinition]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for crd in crds {
        page.push_str(&kind(crd));
    }
    page.push_str(&reasons());
    page
}

fn kind(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let version = crd.spec.versions.first().expect("a definition has a version");
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).expect("has a schema");
    let mut text = format!("\n## {}\n\n{}\n\n", names.kind, schema.description.as_deref().unwrap_or_default());
    let short = names.short_names.as_ref().map(|names| names.join("`, `")).unwrap_or_default();
    writeln!(text, "Plural `{}`, short name `{short}`. Columns: {}.", names.plural, columns(version))
        .expect("a string");
    for part in ["spec", "status"] {
        if let Some(schema) = schema.properties.as_ref().and_then(|properties| properties.get(part)) {
            text.push_str(&section(&format!("{}.{part}", names.kind), schema));
        }
    }
    text
}

fn columns(version: &CustomResourceDefinitionVersion) -> String {
    let columns = version.additional_printer_columns.iter().flatten();
    let named = columns.map(|column| match column.priority {
        Some(1..) => format!("{} (with `-o wide`)", column.name),
        _ => column.name.clone(),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// Writes one table of fields, and below it one for each field that has fields of its own.
fn section(path: &str, schema: &JSONSchemaProps) -> String {
    let mut text = format!("\n### {path}\n\n");
    for line in schema.description.iter().map(|description| unwrapped(description)) {
        writeln!(text, "{line}\n").expect("a string");
    }
    for rule in rules(schema) {
        writeln!(text, "Rule: {rule}.\n").expect("a string");
    }
    text.push_str("| field | type | default | validation | meaning |\n| --- | --- | --- | --- | --- |\n");
    for (name, field) in schema.properties.iter().flatten() {
        let required = schema.required.iter().flatten().any(|required| required == name);
        text.push_str(&row(name, field, required));
    }
    for (name, field) in schema.properties.iter().flatten() {
        let (nested, suffix) = items(field).map_or((field, ""), |items| (items, "[]"));
        if nested.properties.is_some() {
            text.push_str(&section(&format!("{path}.{name}{suffix}"), nested));
        }
    }
    text
}

fn row(name: &str, field: &JSONSchemaProps, required: bool) -> String {
    let default = match (&field.default, required) {
        (_, true) => "required".to_owned(),
        (Some(value), false) => format!("`{}`", value.0),
        (None, false) => String::new(),
    };
    let meaning = field.description.as_deref().map(unwrapped).unwrap_or_default();
    let cells = [format!("`{name}`"), type_of(field), default, validation(field), meaning];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn type_of(field: &JSONSchemaProps) -> String {
    let plain = field.type_.as_deref().unwrap_or("any");
    match (items(field), field.format.as_deref()) {
        (Some(items), _) => format!("list of {}", type_of(items)),
        (None, Some("date-time")) => "time".to_owned(),
        (None, _) => plain.to_owned(),
    }
}

fn items(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

fn validation(field: &JSONSchemaProps) -> String {
    let mut checks = Vec::new();
    if let Some(values) = &field.enum_ {
        let words: Vec<_> =
            values.iter().filter_map(|value| value.0.as_str()).map(|word| format!("`{word}`")).collect();
        let listed = if words.len() > 5 { "a [reason](#reasons)".to_owned() } else { words.join(", ") };
        checks.push(format!("one of: {listed}"));
    }
    checks.extend(field.pattern.as_ref().map(|pattern| format!("`{pattern}`")));
    checks.extend(bounds("", field.minimum.map(|n| n as i64), field.maximum.map(|n| n as i64)));
    checks.extend(bounds(" characters", field.min_length, field.max_length));
    checks.extend(bounds(" items", field.min_items, field.max_items));
    checks.extend(rules(field));
    if let Some(items) = items(field).filter(|items| items.properties.is_none()) {
        checks.extend(Some(validation(items)).filter(|text| !text.is_empty()).map(|text| format!("each: {text}")));
    }
    checks.join("; ")
}

fn bounds(unit: &str, least: Option<i64>, most: Option<i64>) -> Option<String> {
    match (least, most) {
        (None, None) => None,
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
    }
}

fn rules(schema: &JSONSchemaProps) -> Vec<String> {
    let rules = schema.x_kubernetes_validations.iter().flatten();
    rules.map(|rule| rule.message.clone().unwrap_or_else(|| format!("`{}`", rule.rule))).collect()
}

fn reasons() -> String {
    let mut text = "\n## Reasons\n\nThe reasons of conditions, events and failures. The list is closed: scripts may rely on it.\n\n\
        | reason | meaning and remedy |\n| --- | --- |\n"
        .to_owned();
    for reason in Reason::ALL {
        writeln!(text, "| `{reason}` | {} |", reason.meaning()).expect("a string");
    }
    text
}

/// Joins the lines of a description, since a table has one line a row.
fn unwrapped(description: &str) -> String {
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}
