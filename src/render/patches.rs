//! Patches of a kustomization: read from their files, given handles, and put inline.
//!
//! A patch for a Secret may hold values in clear text, and a patch file may be sealed; either way Kustomize gets
//! handles. Where the target doesn't tell the kind, its values are handles until it is known where they go (`unsure`).

use serde_json::Value;
use waxwing_formats::{KeyPath, yaml};
use waxwing_plan::Location;

use super::error::{Fault, Place};
use super::handles::locate;
use super::kustomization::Kustomization;
use super::reader::Reader;
use super::staging;

/// What a patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// Secrets alone.
    Secret,
    /// Maybe a Secret.
    Unsure,
    /// Surely no Secret.
    Other,
    /// The object that the patch itself names, as a strategic merge patch without a target does.
    Itself,
}

impl Aim {
    /// Reads the target of a patch. Kustomize takes its fields for regular expressions that match as a whole, and what
    /// is missing for anything (`api/types/selector.go`).
    fn of(target: Option<&Value>) -> Self {
        let Some(target) = target.filter(|target| !target.is_null()) else { return Self::Itself };
        let field = |name| target.get(name).and_then(Value::as_str).unwrap_or_default();
        match (field("group"), field("kind")) {
            ("", "Secret") => Self::Secret,
            (_, kind) if is_name(kind, "") && kind != "Secret" => Self::Other,
            // A group that is named is not the core one; a dot stands for one letter at least.
            (group, _) if is_name(group, ".-") => Self::Other,
            _ => Self::Unsure,
        }
    }
}

/// Tells whether a regular expression is a mere name, of letters, digits and `others`.
fn is_name(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}

impl Kustomization<'_, '_> {
    /// Reads one entry of `patches` or `patchesJson6902`.
    pub(super) fn patch(&mut self, item: &mut Value, at: &KeyPath) {
        let aim = Aim::of(item.get("target"));
        let Some(entry) = item.as_object_mut() else { return };
        let text = |entry: &serde_json::Map<String, Value>, field: &str| {
            entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let documents = match (text(entry, "path"), text(entry, "patch")) {
            (Some(path), None) => self.patch_file(&path, &at.key("path"), aim),
            (None, Some(patch)) => self.inline_patch(&patch, &at.key("patch"), aim),
            _ => return self.refuse(at, Fault::WrongType { expected: "a mapping with either `path` or `patch`" }),
        };
        let Some(documents) = documents else { return };
        entry.shift_remove("path");
        entry.insert("patch".to_owned(), Value::String(staging::as_yaml_text(&documents)));
    }

    /// Reads one entry of `patchesStrategicMerge`: a path, or the patch itself.
    pub(super) fn strategic_merge_patch(&mut self, entry: &mut String, at: &KeyPath) {
        let inline = entry.contains('\n') || entry.trim_start().starts_with('{');
        let documents = match inline {
            true => self.inline_patch(entry, at, Aim::Itself),
            false => self.patch_file(entry, at, Aim::Itself),
        };
        if let Some(documents) = documents {
            *entry = staging::as_yaml_text(&documents);
        }
    }

    fn patch_file(&mut self, entry: &str, at: &KeyPath, aim: Aim) -> Option<Vec<Value>> {
        let path = self.resolve_file(entry, at)?;
        let mut values = Vec::new();
        for mut document in self.reader.documents(&path) {
            if let Some(location) = &document.location {
                self.reader.take_patch_values(location, &KeyPath::root(), aim, &mut document.value);
            }
            values.push(document.value);
        }
        Some(values)
    }

    fn inline_patch(&mut self, text: &str, at: &KeyPath, aim: Aim) -> Option<Vec<Value>> {
        let documents = match yaml::manifests(text.as_bytes()) {
            Ok(documents) => documents,
            Err(error) => {
                self.refuse(at, error);
                return None;
            }
        };
        let mut values = Vec::new();
        for mut document in documents {
            self.reader.check_strings(&Place::from(&self.location), &at.to_string(), &document.value);
            self.reader.take_values(&self.location, at, &mut document.value);
            self.reader.take_patch_values(&self.location, at, aim, &mut document.value);
            values.push(document.value);
        }
        Some(values)
    }
}

/// What Kustomize takes no other patch for; what it can't take, its message quotes whole.
const MERGE_PATCH: &str = "a patch: a mapping with a `kind`, or a list of JSON patch operations";
const OPERATION: &str = "a JSON patch operation: a mapping with a `path` that is empty or begins with `/`";

impl Reader<'_> {
    /// Puts handles into a patch whose target is, or may be, a Secret: a merge patch of any kind, or a JSON patch (RFC
    /// 6902). A Secret that the patch itself names was found before, as in any manifest.
    fn take_patch_values(&mut self, location: &Location, at: &KeyPath, aim: Aim, patch: &mut Value) {
        match (patch, aim) {
            (_, Aim::Other) => {}
            (Value::Array(operations), _) => {
                for (index, operation) in operations.iter_mut().enumerate() {
                    self.take_operation(location, &at.index(index), aim, operation);
                }
            }
            (patch, _) if patch.get("kind").and_then(Value::as_str).is_none_or(str::is_empty) => {
                self.refuse(Place::from(location).at(at.to_string()), Fault::WrongType { expected: MERGE_PATCH });
            }
            (_, Aim::Itself) => {}
            (patch, _) => self.take_merge_patch(location, at, aim, patch),
        }
    }

    /// Kustomize unfolds lists in patches too.
    fn take_merge_patch(&mut self, location: &Location, at: &KeyPath, aim: Aim, patch: &mut Value) {
        let is_list = patch.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
        match patch.get_mut("items") {
            Some(Value::Array(items)) if is_list => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.take_merge_patch(location, &at.key("items").index(index), aim, item);
                }
            }
            _ if aim == Aim::Secret => self.take_secret_values(location, at, patch),
            _ => self.take_fields(location, at, aim, patch),
        }
    }

    fn take_operation(&mut self, location: &Location, at: &KeyPath, aim: Aim, operation: &mut Value) {
        let text = |field: &str| operation.get(field).and_then(Value::as_str).map(str::to_owned);
        let is_test = text("op").as_deref() == Some("test");
        let path = text("path").filter(|path| path.is_empty() || path.starts_with('/'));
        let Some(path) = path else {
            let place = Place::from(location).at(at.to_string());
            return self.refuse(place, Fault::WrongType { expected: OPERATION });
        };
        let at = at.key("value");
        let original = is_test.then(|| operation.clone());
        match (path.split('/').nth(1), operation.get_mut("value")) {
            (None, Some(document)) => self.take_fields(location, &at, aim, document),
            (Some("data" | "stringData"), Some(value)) => self.take_leaves(location, &at, aim, value),
            _ => {}
        }
        if original.is_some_and(|original| original != *operation) {
            self.refuse(Place::from(location).at(at.to_string()), Fault::TestsSecret);
        }
    }

    fn take_fields(&mut self, location: &Location, at: &KeyPath, aim: Aim, object: &mut Value) {
        for field in ["data", "stringData"] {
            if let Some(value) = object.get_mut(field) {
                self.take_leaves(location, &at.key(field), aim, value);
            }
        }
    }

    /// Puts handles in place of all scalars, apart from what says how to merge.
    fn take_leaves(&mut self, location: &Location, at: &KeyPath, aim: Aim, value: &mut Value) {
        match value {
            Value::Null => {}
            Value::Object(map) => {
                for (key, child) in map.iter_mut().filter(|(key, _)| !key.starts_with('$')) {
                    self.take_leaves(location, &at.key(key), aim, child);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.take_leaves(location, &at.index(index), aim, item);
                }
            }
            Value::String(text) if text.is_empty() || !matches!(locate(text), Ok(None)) => {}
            Value::String(text) if aim == Aim::Secret => {
                *text = self.taken_from_secret(location, at.clone(), text, true)
            }
            _ if aim == Aim::Secret => {
                self.refuse(Place::from(location).at(at.to_string()), Fault::SecretValueNotText);
            }
            value => match value.as_str().and_then(|text| self.references_in(location, at, text, true)) {
                Some(taken) => *value = Value::String(taken),
                None => self.add_unsure(location, at.clone(), value),
            },
        }
    }
}
