//! Patches of a kustomization: read from their files, given handles, and put inline.
//!
//! A patch for a Secret may hold values in clear text, and a patch file may be sealed; either way Kustomize gets
//! handles.

use serde_json::Value;
use waxwing_formats::{KeyPath, SecretBytes, yaml};

use super::error::{Fault, Place};
use super::kustomization::Kustomization;
use super::staging;

impl Kustomization<'_, '_> {
    /// Reads one entry of `patches` or `patchesJson6902`.
    pub(super) fn patch(&mut self, item: &mut Value, at: &KeyPath) {
        let targets_secret = item.pointer("/target/kind").and_then(Value::as_str) == Some("Secret");
        let Some(entry) = item.as_object_mut() else { return };
        let text = |entry: &serde_json::Map<String, Value>, field: &str| {
            entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let documents = match (text(entry, "path"), text(entry, "patch")) {
            (Some(path), None) => self.patch_file(&path, &at.key("path"), targets_secret),
            (None, Some(patch)) => self.inline_patch(&patch, &at.key("patch"), targets_secret),
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
            true => self.inline_patch(entry, at, false),
            false => self.patch_file(entry, at, false),
        };
        if let Some(documents) = documents {
            *entry = staging::as_yaml_text(&documents);
        }
    }

    fn patch_file(&mut self, entry: &str, at: &KeyPath, targets_secret: bool) -> Option<Vec<Value>> {
        let path = self.resolve_file(entry, at)?;
        let mut values = Vec::new();
        for mut document in self.reader.documents(&path) {
            if let (true, Some(location)) = (targets_secret, &document.location) {
                self.reader.take_patch_values(location, &KeyPath::root(), &mut document.value);
            }
            values.push(document.value);
        }
        Some(values)
    }

    fn inline_patch(&mut self, text: &str, at: &KeyPath, targets_secret: bool) -> Option<Vec<Value>> {
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
            if targets_secret {
                self.reader.take_patch_values(&self.location, at, &mut document.value);
            }
            values.push(document.value);
        }
        Some(values)
    }
}

impl super::reader::Reader<'_> {
    /// Puts handles into a patch whose target is a Secret: a merge patch of any kind, or a JSON patch (RFC 6902).
    fn take_patch_values(&mut self, location: &waxwing_plan::Location, at: &KeyPath, patch: &mut Value) {
        let Value::Array(operations) = patch else {
            return self.take_secret_values(location, at, patch);
        };
        for (index, operation) in operations.iter_mut().enumerate() {
            let path = operation.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
            let at = at.index(index).key("value");
            match (path.trim_start_matches('/').split_once('/'), operation.get_mut("value")) {
                (Some(("data" | "stringData", _)), Some(Value::String(text))) => {
                    let secret = SecretBytes::new(std::mem::take(text).into_bytes());
                    *text = self.add_plaintext(location, at, secret);
                }
                (None, Some(Value::Object(values))) if matches!(path.as_str(), "/data" | "/stringData") => {
                    for (key, value) in values {
                        if let Value::String(text) = value {
                            let secret = SecretBytes::new(std::mem::take(text).into_bytes());
                            *text = self.add_plaintext(location, at.key(key), secret);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
