//! Manifest files: plain YAML and JSON, and SOPS files, with handles where values are sealed or should have been.

use serde_json::Value;
use waxwing_formats::sealed_secret::{DeprecatedSealedSecret, SealedSecretManifest};
use waxwing_formats::yaml;
use waxwing_formats::{Handle, HandleInput, KeyPath};
use waxwing_plan::Location;

use super::error::{Fault, Place};
use super::handles::{HandleTable, Origin, mentions_handle};
use super::manifests::{SourceDocument, child_pointer};
use super::reader::{Reader, has_token, store_of};
use crate::source::RepoPath;

impl Reader<'_> {
    pub(super) fn read_documents(&mut self, path: &RepoPath) -> Vec<SourceDocument> {
        let store = store_of(path);
        match self.sealed(path, store) {
            None => Vec::new(),
            Some(None) => self.plain_documents(path),
            Some(Some(_)) => self.sealed_documents(path),
        }
    }

    fn plain_documents(&mut self, path: &RepoPath) -> Vec<SourceDocument> {
        let Some(contents) = self.file(path) else { return Vec::new() };
        let parsed = match yaml::manifests(&contents.bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                let place = Place { document: Some(error.document), ..Place::file(path.as_str()).line(error.line) };
                self.refuse(place, error);
                return Vec::new();
            }
        };
        let documents = parsed.into_iter().map(|document| {
            let location = location(path, document.index, document.line);
            self.plain_document(location, document.value)
        });
        documents.collect()
    }

    fn plain_document(&mut self, location: Location, mut value: Value) -> SourceDocument {
        let place = Place::from(&location);
        if value.get("sops").is_some_and(Value::is_object) {
            self.refuse(place.at("/sops"), Fault::StraySopsBlock);
        }
        self.check_strings(&place, "", &value);
        self.take_values(&location, &KeyPath::root(), &mut value);
        SourceDocument { place, location: Some(location), value }
    }

    /// Refuses strings that hold handles, however they were escaped in the file, or tokens of SOPS.
    pub(super) fn check_strings(&mut self, place: &Place, pointer: &str, value: &Value) {
        match value {
            Value::String(text) => self.check_string(place, pointer, text),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.check_strings(place, &format!("{pointer}/{index}"), item);
                }
            }
            Value::Object(map) => {
                for (key, child) in map {
                    self.check_string(place, pointer, key);
                    self.check_strings(place, &child_pointer(pointer, key), child);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn check_string(&mut self, place: &Place, pointer: &str, text: &str) {
        if mentions_handle(text) {
            self.refuse(place.at(pointer), Fault::HandleInGit);
        } else if has_token(text) {
            self.refuse(place.at(pointer), Fault::CiphertextOutside);
        }
    }

    fn sealed_documents(&mut self, path: &RepoPath) -> Vec<SourceDocument> {
        let Some(file) = self.sops.get(path) else { return Vec::new() };
        let handles = &mut self.handles;
        let skeletons =
            file.document.skeletons(&mut |document, leaf, token| add_leaf(handles, path, document, leaf, token));
        let skeletons = match skeletons {
            Ok(skeletons) => skeletons,
            Err(error) => {
                self.refuse(Place::file(path.as_str()), error);
                return Vec::new();
            }
        };
        let lines = self.document_lines(path);
        let documents = skeletons.into_iter().enumerate().filter(|(_, value)| !is_empty(value));
        let documents = documents.map(|(index, mut value)| {
            let location = location(path, index, lines.get(index).copied().unwrap_or(1));
            self.take_values(&location, &KeyPath::root(), &mut value);
            SourceDocument { place: Place::from(&location), location: Some(location), value }
        });
        documents.collect()
    }

    /// Returns the lines on which the documents of a YAML stream begin, as its `---` lines tell.
    fn document_lines(&mut self, path: &RepoPath) -> Vec<usize> {
        let Some(contents) = self.file(path) else { return Vec::new() };
        let text = String::from_utf8_lossy(&contents.bytes);
        let mut lines = vec![1];
        for (index, line) in text.lines().enumerate() {
            match line.starts_with("---") {
                true if index == 0 => lines = vec![2],
                true => lines.push(index + 2),
                false => {}
            }
        }
        lines
    }

    /// Puts handles where a SealedSecret has ciphertext, and where a Secret has values in clear text; in lists too.
    pub(super) fn take_values(&mut self, location: &Location, path: &KeyPath, value: &mut Value) {
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind.ends_with("List") {
            for (index, item) in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
            {
                self.take_values(location, &path.key("items").index(index), item);
            }
        } else if SealedSecretManifest::is_sealed_secret(value) {
            self.take_sealed_items(location, path, value);
        } else if kind == "Secret" && is_of_core_group(value) {
            self.take_secret_values(location, path, value);
        }
    }

    fn take_sealed_items(&mut self, location: &Location, path: &KeyPath, value: &mut Value) {
        let items = value.pointer_mut("/spec/encryptedData").and_then(Value::as_object_mut);
        for (key, token) in items.into_iter().flatten() {
            if let Value::String(text) = token {
                let path = path.key("spec").key("encryptedData").key(key);
                *text = self.add_sealed_item(location, path, key, text);
            }
        }
        if let Some(Value::String(blob)) = value.pointer_mut("/spec/data") {
            let path = path.key("spec").key("data");
            *blob = self.add_sealed_item(location, path, DeprecatedSealedSecret::ITEM, blob);
        }
    }

    /// Registers one item of a SealedSecret and returns its handle.
    fn add_sealed_item(&mut self, location: &Location, path: KeyPath, item: &str, token: &str) -> String {
        add_sealed_item(&mut self.handles, location, path, item, token)
    }
}

/// Tells whether an object is of the core group, in whatever version, or doesn't say: Kustomize quotes what it refuses.
fn is_of_core_group(value: &Value) -> bool {
    let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    version.split_once('/').is_none_or(|(group, _)| group.is_empty())
}

/// Registers one item of a SealedSecret and returns its handle.
pub(super) fn add_sealed_item(
    handles: &mut HandleTable,
    location: &Location,
    path: KeyPath,
    item: &str,
    token: &str,
) -> String {
    let document = location.document;
    let handle =
        Handle::of_ciphertext(HandleInput { domain: "sealed-secret", document, path: &path, token: token.as_bytes() });
    let (file, item, token) = (location.file.clone(), item.to_owned(), token.to_owned());
    handles.add(handle, Origin::SealedItem { file, document, path, item, token })
}

fn add_leaf(handles: &mut HandleTable, file: &RepoPath, document: usize, leaf: &KeyPath, token: &str) -> String {
    let handle = Handle::of_ciphertext(HandleInput { domain: "sops", document, path: leaf, token: token.as_bytes() });
    let (file, path) = (file.as_str().to_owned(), leaf.clone());
    handles.add(handle, Origin::SopsLeaf { file, document, path })
}

pub(super) fn location(path: &RepoPath, document: usize, line: usize) -> Location {
    Location { file: path.as_str().to_owned(), document, line }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_none_or(serde_json::Map::is_empty)
}
