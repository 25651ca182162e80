//! Replacements of a kustomization, as far as they could cut a handle.
//!
//! A replacement with a delimiter takes a piece of a value, or puts something in place of a piece. Of a handle that
//! leaves public text where a secret is expected, and not always enough of it to be recognized afterwards. So such
//! a replacement is refused before Kustomize starts when it could touch a sealed value (Kustomize 5.8,
//! `api/types/replacement.go`). Copying a value whole is fine.

use serde_json::Value;
use waxwing_formats::{KeyPath, yaml};

use super::error::{Fault, Place};
use super::handles::{Origin, mentions_handle};
use super::kustomization::Kustomization;
use super::reader::Reader;

/// A replacement that cuts values of a kind.
pub(super) struct Cut {
    place: Place,
    /// The kind; none where it isn't named, or named by a pattern.
    kind: Option<String>,
}

impl Kustomization<'_, '_> {
    /// Reads one entry of `replacements`: a path, or the replacement itself.
    pub(super) fn replacement(&mut self, item: &mut Value, at: &KeyPath) {
        let place = Place { line: None, document: None, ..Place::from(&self.location) };
        self.reader.cuts.extend(cuts(item, &place, at));
        self.path_of(item, at, |this, entry, at| {
            let file = this.plain_file(entry, at);
            this.reader.cuts.extend(file.map(|(path, bytes)| cuts_in_file(&bytes, path.as_str())).unwrap_or_default());
        });
    }
}

/// A file has one replacement or a list of them. What can't be parsed, Kustomize refuses.
fn cuts_in_file(bytes: &[u8], path: &str) -> Vec<Cut> {
    let documents = yaml::manifests(bytes).unwrap_or_default();
    let of_document = |value: &Value| match value {
        Value::Array(items) => {
            let of_item = |(index, item)| cuts(item, &Place::file(path), &KeyPath::root().index(index));
            items.iter().enumerate().flat_map(of_item).collect()
        }
        _ => cuts(value, &Place::file(path), &KeyPath::root()),
    };
    documents.iter().flat_map(|document| of_document(&document.value)).collect()
}

fn cuts(replacement: &Value, place: &Place, at: &KeyPath) -> Vec<Cut> {
    let mut cuts = Vec::new();
    if let Some(source) = replacement.get("source").filter(|source| has_delimiter(source)) {
        let place = place.at(at.key("source").key("options").key("delimiter").to_string());
        cuts.push(Cut { place, kind: kind_of(source) });
    }
    let targets = replacement.get("targets").and_then(Value::as_array);
    for (index, target) in targets.into_iter().flatten().enumerate().filter(|(_, target)| has_delimiter(target)) {
        let at = at.key("targets").index(index).key("options").key("delimiter");
        let kind = target.get("select").and_then(kind_of);
        cuts.push(Cut { place: place.at(at.to_string()), kind });
    }
    cuts
}

fn has_delimiter(side: &Value) -> bool {
    side.pointer("/options/delimiter").is_some_and(|delimiter| !matches!(delimiter.as_str(), Some("")))
}

fn kind_of(selector: &Value) -> Option<String> {
    let kind = selector.get("kind").and_then(Value::as_str)?;
    let is_plain = !kind.is_empty() && kind.chars().all(|letter| letter.is_ascii_alphanumeric());
    is_plain.then(|| kind.to_owned())
}

impl Reader<'_> {
    /// Refuses the replacements that could cut a sealed value of this render.
    pub(super) fn refuse_cuts(&mut self) {
        for cut in std::mem::take(&mut self.cuts) {
            if self.may_be_sealed(cut.kind.as_deref()) {
                self.refuse(cut.place, Fault::CutsSealedValues);
            }
        }
    }

    fn may_be_sealed(&self, kind: Option<&str>) -> bool {
        let whole = |origin: &Origin| matches!(origin, Origin::SopsWhole { .. } | Origin::SopsEnv { .. });
        match kind {
            None | Some("Secret" | "SealedSecret") => self.handles.iter().next().is_some(),
            Some("ConfigMap") if self.handles.iter().any(|(_, origin)| whole(origin)) => true,
            Some(kind) => self.read_documents_so_far().any(|value| {
                let of_kind = value.get("kind").is_none_or(|found| found == kind);
                of_kind && has_handle(value)
            }),
        }
    }
}

fn has_handle(value: &Value) -> bool {
    match value {
        Value::String(text) => mentions_handle(text),
        Value::Array(items) => items.iter().any(has_handle),
        Value::Object(map) => map.values().any(has_handle),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
