//! The fields of a kustomization, to any depth, and the copy of one that has nothing else.
//!
//! Kustomize decodes with Go's `encoding/json`, which takes `Files` and even `file\u{17f}` for `files`. A field counts
//! here only if it is spelt exactly as below; every other spelling is refused, so that nothing reaches Kustomize under a
//! name that nobody looked at. What the values mean is decided in `kustomization`, `generators` and `patches`.
//!
//! The fields are those of Kustomize 5.8 (`api/types`, `kyaml/resid`).

use serde_json::{Map, Value};
use waxwing_formats::KeyPath;

use super::error::Fault;

/// What may stand at a place.
pub(super) enum Shape {
    Text,
    Flag,
    Number,
    List(&'static Shape),
    /// A mapping of free keys, such as labels, to text.
    Texts,
    Mapping(&'static [(&'static str, Shape)]),
    /// What runs programs, expands charts or takes plugins.
    Refused,
}

use Shape::{Flag, List, Mapping, Number, Refused, Text, Texts};

const GENERATOR_OPTIONS: Shape =
    Mapping(&[("labels", Texts), ("annotations", Texts), ("disableNameSuffixHash", Flag), ("immutable", Flag)]);
const CONFIG_MAP: Shape = Mapping(&[
    ("name", Text),
    ("namespace", Text),
    ("behavior", Text),
    ("literals", List(&Text)),
    ("files", List(&Text)),
    ("envs", List(&Text)),
    ("env", Text),
    ("options", GENERATOR_OPTIONS),
]);
const SECRET: Shape = Mapping(&[
    ("name", Text),
    ("namespace", Text),
    ("behavior", Text),
    ("literals", List(&Text)),
    ("files", List(&Text)),
    ("envs", List(&Text)),
    ("env", Text),
    ("options", GENERATOR_OPTIONS),
    ("type", Text),
]);
const SELECTOR: Shape = Mapping(&[
    ("group", Text),
    ("version", Text),
    ("kind", Text),
    ("name", Text),
    ("namespace", Text),
    ("annotationSelector", Text),
    ("labelSelector", Text),
]);
const PATCH: Shape = Mapping(&[
    ("path", Text),
    ("patch", Text),
    ("target", SELECTOR),
    ("options", Mapping(&[("allowNameChange", Flag), ("allowKindChange", Flag)])),
]);
const FIELD_SPEC: Shape =
    Mapping(&[("group", Text), ("version", Text), ("kind", Text), ("path", Text), ("create", Flag)]);
const LABEL: Shape = Mapping(&[
    ("pairs", Texts),
    ("includeSelectors", Flag),
    ("includeTemplates", Flag),
    ("includeVolumeClaimTemplates", Flag),
    ("fields", List(&FIELD_SPEC)),
]);
const IMAGE: Shape =
    Mapping(&[("name", Text), ("newName", Text), ("tagSuffix", Text), ("newTag", Text), ("digest", Text)]);
const FIELD_OPTIONS: Shape = Mapping(&[("delimiter", Text), ("index", Number), ("encoding", Text), ("create", Flag)]);
const REPLACEMENT: Shape =
    Mapping(&[("path", Text), ("source", SOURCE), ("sourceValue", Text), ("targets", List(&REPLACEMENT_TARGET))]);
const SOURCE: Shape = Mapping(&[
    ("group", Text),
    ("version", Text),
    ("kind", Text),
    ("name", Text),
    ("namespace", Text),
    ("fieldPath", Text),
    ("options", FIELD_OPTIONS),
]);
const REPLACEMENT_TARGET: Shape = Mapping(&[
    ("select", SELECTOR),
    ("reject", List(&SELECTOR)),
    ("fieldPaths", List(&Text)),
    ("options", FIELD_OPTIONS),
]);
const VAR: Shape = Mapping(&[("name", Text), ("objref", VAR_TARGET), ("fieldref", Mapping(&[("fieldPath", Text)]))]);
const VAR_TARGET: Shape = Mapping(&[
    ("apiVersion", Text),
    ("group", Text),
    ("version", Text),
    ("kind", Text),
    ("name", Text),
    ("namespace", Text),
]);
const SORT_OPTIONS: Shape = Mapping(&[
    ("order", Text),
    ("legacySortOptions", Mapping(&[("orderFirst", List(&Text)), ("orderLast", List(&Text))])),
]);
const METADATA: Shape = Mapping(&[("name", Text), ("namespace", Text), ("labels", Texts), ("annotations", Texts)]);

/// A whole kustomization.
pub(super) const KUSTOMIZATION: Shape = Mapping(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", METADATA),
    ("openapi", Mapping(&[("path", Text), ("version", Text)])),
    ("namePrefix", Text),
    ("nameSuffix", Text),
    ("namespace", Text),
    ("commonLabels", Texts),
    ("labels", List(&LABEL)),
    ("commonAnnotations", Texts),
    ("patchesStrategicMerge", List(&Text)),
    ("patchesJson6902", List(&PATCH)),
    ("patches", List(&PATCH)),
    ("images", List(&IMAGE)),
    ("imageTags", List(&IMAGE)),
    ("replacements", List(&REPLACEMENT)),
    ("replicas", List(&Mapping(&[("name", Text), ("count", Number)]))),
    ("vars", List(&VAR)),
    ("sortOptions", SORT_OPTIONS),
    ("resources", List(&Text)),
    ("components", List(&Text)),
    ("crds", List(&Text)),
    ("bases", List(&Text)),
    ("configMapGenerator", List(&CONFIG_MAP)),
    ("secretGenerator", List(&SECRET)),
    ("generatorOptions", GENERATOR_OPTIONS),
    ("configurations", List(&Text)),
    ("buildMetadata", List(&Text)),
    ("helmGlobals", Refused),
    ("helmCharts", Refused),
    ("helmChartInflationGenerator", Refused),
    ("generators", Refused),
    ("transformers", Refused),
    ("validators", Refused),
]);

/// What is wrong with a value, and where.
pub(super) type Wrong = Vec<(KeyPath, Fault)>;

/// Copies what has the shape. The rest goes to `wrong`; in a list, nothing (`null`) takes its place.
pub(super) fn known(value: &Value, at: &KeyPath, shape: &Shape, wrong: &mut Wrong) -> Option<Value> {
    let expected = match (shape, value) {
        (Text, Value::String(_)) | (Flag, Value::Bool(_)) | (Number, Value::Number(_)) => return Some(value.clone()),
        (List(item), Value::Array(values)) => return Some(known_items(values, at, item, wrong)),
        (Texts, Value::Object(fields)) => return Some(known_texts(fields, at, wrong)),
        (Mapping(shapes), Value::Object(fields)) => return Some(known_fields(fields, at, shapes, wrong)),
        (Text, _) => "a string",
        (Flag, _) => "true or false",
        (Number, _) => "a number",
        (List(_), _) => "a list",
        (Texts | Mapping(_), _) => "a mapping",
        (Refused, _) => {
            wrong.push((at.clone(), Fault::FieldNotAllowed { field: at.to_string().trim_start_matches('/').into() }));
            return None;
        }
    };
    wrong.push((at.clone(), Fault::WrongType { expected }));
    None
}

fn known_items(values: &[Value], at: &KeyPath, shape: &Shape, wrong: &mut Wrong) -> Value {
    let items = values.iter().enumerate();
    items.map(|(index, value)| known(value, &at.index(index), shape, wrong).unwrap_or_default()).collect()
}

fn known_texts(fields: &Map<String, Value>, at: &KeyPath, wrong: &mut Wrong) -> Value {
    let copy = fields.iter().filter(|(_, value)| !value.is_null());
    let copy = copy.filter_map(|(key, value)| Some((key.clone(), known(value, &at.key(key), &Text, wrong)?)));
    Value::Object(copy.collect())
}

fn known_fields(fields: &Map<String, Value>, at: &KeyPath, shapes: &[(&str, Shape)], wrong: &mut Wrong) -> Value {
    let mut copy = Map::new();
    for (field, value) in fields {
        let at = at.key(field);
        match shapes.iter().find(|(name, _)| name == field) {
            None => wrong.push((at, Fault::UnknownField { field: field.clone() })),
            Some(_) if value.is_null() => {}
            Some((_, shape)) => {
                copy.extend(known(value, &at, shape, wrong).map(|value| (field.clone(), value)));
            }
        }
    }
    Value::Object(copy)
}
