//! From rendered documents to manifests: lists unfolded, identities read, namespaces filled in, `stringData` folded,
//! and every string in which a handle stands marked.
//!
//! Not here: what the cluster thinks of a kind (the caller says whether it has namespaces), and where a sealed value
//! may end (`bindings`).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use waxwing_plan::{GroupKind, Location, Manifest, ObjectId, SecretMark, split_api_version};

use super::error::{Fault, Place, RenderError};
use super::handles::{Damage, Embedding, HandleTable, locate};

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They belong to the cluster.
    Cluster,
}

/// One document on its way to a manifest.
#[derive(Clone, Debug)]
pub(super) struct SourceDocument {
    /// Where errors say that it stands.
    pub(super) place: Place,
    /// The document in the repository, where that is known.
    pub(super) location: Option<Location>,
    /// The document, with handles.
    pub(super) value: Value,
}

/// Replaces a `List` of any kind by its items, to any depth.
pub(super) fn unfold(document: SourceDocument) -> Vec<SourceDocument> {
    let SourceDocument { place, location, mut value } = document;
    match items_of_list(&mut value) {
        Some(items) => items
            .into_iter()
            .enumerate()
            .flat_map(|(index, value)| {
                let place = place.at(format!("{}/items/{index}", place.key_path.as_deref().unwrap_or_default()));
                unfold(SourceDocument { place, location: location.clone(), value })
            })
            .collect(),
        None => vec![SourceDocument { place, location, value }],
    }
}

fn items_of_list(value: &mut Value) -> Option<Vec<Value>> {
    let is_list = value.get("kind")?.as_str()?.ends_with("List");
    match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => Some(std::mem::take(items)),
        _ => None,
    }
}

/// Tells whether a document is input of Kustomize and not meant for a cluster.
pub(super) fn is_kustomize_input(value: &Value) -> bool {
    let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    api_version.starts_with("kustomize.config.k8s.io/")
}

/// Makes the manifest of one object.
pub(super) fn manifest(
    document: SourceDocument,
    scope_of: &dyn Fn(&GroupKind) -> Option<Scope>,
    default_namespace: &str,
) -> Result<Manifest, RenderError> {
    let SourceDocument { place, location, mut value } = document;
    let refuse = |fault: Fault| RenderError::new(place.clone(), fault);
    let (kind, version) = kind_and_version(&value).map_err(refuse)?;
    let name = name(&value).map_err(refuse)?;
    drop_server_fields(&mut value, &kind);
    let scope = scope_of(&kind).unwrap_or(Scope::Namespaced);
    let namespace = settle_namespace(&mut value, scope, default_namespace);
    readable("metadata.namespace", namespace.as_deref().unwrap_or_default()).map_err(refuse)?;
    let id = ObjectId { kind, namespace, name };
    if is_secret(&value) {
        fold_string_data(&mut value, &id, &place)?;
    }
    Ok(Manifest { id, version, body: value, secrets: BTreeMap::new(), location })
}

/// Tells whether a value is a core `Secret`. The API server would take `/v1` for `v1`, so what claims that is looked at before it is refused.
pub(super) fn is_secret(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str) == Some("Secret")
        && value.get("apiVersion").and_then(Value::as_str).is_some_and(|version| matches!(version, "v1" | "/v1"))
}

/// Marks every string in which handles stand.
///
/// # Errors
///
/// Refuses handles that are damaged, unknown, encoded beyond recognition or in a map key.
pub(super) fn mark(manifest: &mut Manifest, table: &HandleTable) -> Result<(), Vec<Fault>> {
    let mut scan = Scan { id: &manifest.id, table, marks: BTreeMap::new(), faults: Vec::new() };
    scan.value("", &manifest.body);
    let Scan { marks, faults, .. } = scan;
    manifest.secrets = marks;
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Returns the JSON pointer (RFC 6901) of a child.
pub(super) fn child_pointer(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn kind_and_version(value: &Value) -> Result<(GroupKind, String), Fault> {
    let text = |field: &'static str| match value.get(field).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => readable(field, text),
        _ => Err(Fault::NotAnObject { field }),
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    let (group, version) = split_api_version(api_version);
    if version.is_empty() || version.contains('/') || api_version.starts_with('/') {
        return Err(Fault::BadApiVersion);
    }
    Ok((GroupKind::new(group, kind), version.to_owned()))
}

fn name(value: &Value) -> Result<String, Fault> {
    let metadata = value.get("metadata");
    let field = |key| metadata.and_then(|metadata| metadata.get(key)).and_then(Value::as_str);
    match (field("name"), field("generateName")) {
        (Some(name), _) if !name.is_empty() => readable("metadata.name", name).map(str::to_owned),
        (_, Some(_)) => Err(Fault::GenerateName),
        _ => Err(Fault::NotAnObject { field: "metadata.name" }),
    }
}

/// Refuses a sealed value where an object says what it is.
fn readable<'a>(field: &'static str, text: &'a str) -> Result<&'a str, Fault> {
    match locate(text) {
        Ok(None) => Ok(text),
        _ => Err(Fault::SealedIdentity { field }),
    }
}

/// Drops what only the API server writes and what tools leave behind, as Flux does.
fn drop_server_fields(value: &mut Value, kind: &GroupKind) {
    if let Some(object) = value.as_object_mut()
        && kind.kind != "CustomResourceDefinition"
    {
        object.shift_remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get("creationTimestamp").is_some_and(Value::is_null)
    {
        metadata.shift_remove("creationTimestamp");
    }
}

fn settle_namespace(value: &mut Value, scope: Scope, default: &str) -> Option<String> {
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut)?;
    if scope == Scope::Cluster {
        metadata.shift_remove("namespace");
        return None;
    }
    let given = metadata.get("namespace").and_then(Value::as_str).filter(|text| !text.is_empty());
    let namespace = given.unwrap_or(default).to_owned();
    metadata.insert("namespace".to_owned(), Value::String(namespace.clone()));
    Some(namespace)
}

/// Moves `stringData` into `data`, where it wins, as the API server would; and joins the lines of base64.
fn fold_string_data(value: &mut Value, id: &ObjectId, place: &Place) -> Result<(), RenderError> {
    let Some(object) = value.as_object_mut() else { return Ok(()) };
    let mut data = text_map(object.get("data"), "/data", place)?;
    let plain = text_map(object.get("stringData"), "/stringData", place)?;
    for text in data.values_mut() {
        text.retain(|c| !matches!(c, '\n' | '\r'));
    }
    for (key, text) in plain {
        let pointer = child_pointer("/stringData", &key);
        if matches!(locate(&text), Ok(Some(Embedding::Base64 { .. }))) {
            return Err(RenderError::new(place.clone(), Fault::EncodedHandle { object: id.clone(), pointer }));
        }
        data.insert(key, STANDARD.encode(text));
    }
    let had_data = object.contains_key("data");
    object.shift_remove("stringData");
    if had_data || !data.is_empty() {
        let data: Map<String, Value> = data.into_iter().map(|(key, text)| (key, Value::String(text))).collect();
        object.insert("data".to_owned(), Value::Object(data));
    }
    Ok(())
}

fn text_map(value: Option<&Value>, pointer: &str, place: &Place) -> Result<BTreeMap<String, String>, RenderError> {
    let map = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(RenderError::new(place.at(pointer), Fault::NotAMapping)),
    };
    map.iter()
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(RenderError::new(place.at(child_pointer(pointer, key)), Fault::SecretValueNotText)),
        })
        .collect()
}

struct Scan<'a> {
    id: &'a ObjectId,
    table: &'a HandleTable,
    marks: BTreeMap<String, Vec<SecretMark>>,
    faults: Vec<Fault>,
}

impl Scan<'_> {
    fn value(&mut self, pointer: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(pointer, text),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{pointer}/{index}"), item);
                }
            }
            Value::Object(map) => {
                for (key, child) in map {
                    if !matches!(locate(key), Ok(None)) {
                        let pointer = pointer.to_owned();
                        self.faults.push(Fault::HandleInKey { object: self.id.clone(), pointer });
                        continue;
                    }
                    self.value(&child_pointer(pointer, key), child);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, pointer: &str, text: &str) {
        let (object, at) = (self.id.clone(), pointer.to_owned());
        let embedding = match locate(text) {
            Ok(None) => return,
            Ok(Some(embedding)) => embedding,
            Err(Damage::Damaged) => return self.faults.push(Fault::DamagedHandle { object, pointer: at }),
            Err(Damage::Encoded) => return self.faults.push(Fault::EncodedHandle { object, pointer: at }),
        };
        let origins: Option<Vec<_>> = embedding.handles().map(|handle| self.table.get(handle)).collect();
        match origins {
            Some(origins) => {
                self.marks.insert(at, origins.into_iter().map(super::handles::Origin::mark).collect());
            }
            None => self.faults.push(Fault::UnknownHandle { object, pointer: at }),
        }
    }
}
