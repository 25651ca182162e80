//! Replacements of a kustomization, as far as they could cut a handle.
//!
//! A replacement with a delimiter takes a piece of a value, or puts something in place of a piece. Of a handle that
//! leaves public text where a secret is expected, and not always enough of it to be recognized afterwards. Handles, and
//! what base64 makes of them (its padding aside), are letters and digits alone; so only a delimiter that has nothing
//! else can cut one, and such a delimiter is refused before Kustomize starts. Any other is fine (Kustomize 5.8,
//! `api/types/replacement.go`).

use serde_json::Value;
use waxwing_formats::{KeyPath, yaml};

use super::error::{Fault, Place};
use super::kustomization::Kustomization;
use super::reader::Reader;

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

impl Reader<'_> {
    /// Refuses the replacements that could cut a sealed value, where there is one.
    pub(super) fn refuse_cuts(&mut self) {
        let cuts = std::mem::take(&mut self.cuts);
        if self.handles.iter().next().is_some() {
            cuts.into_iter().for_each(|place| self.refuse(place, Fault::CutsSealedValues));
        }
    }
}

/// A file has one replacement or a list of them. What can't be parsed, Kustomize refuses.
fn cuts_in_file(bytes: &[u8], path: &str) -> Vec<Place> {
    let (place, root) = (Place::file(path), KeyPath::root());
    let of_document = |value: &Value| match value {
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| cuts(item, &place, &root.index(index))).collect()
        }
        _ => cuts(value, &place, &root),
    };
    yaml::manifests(bytes).unwrap_or_default().iter().flat_map(|document| of_document(&document.value)).collect()
}

/// Returns where a replacement has delimiters that could cut a handle.
fn cuts(replacement: &Value, place: &Place, at: &KeyPath) -> Vec<Place> {
    let source = replacement.get("source").map(|source| (source, at.key("source")));
    let targets = replacement.get("targets").and_then(Value::as_array);
    let targets = targets.into_iter().flatten().enumerate();
    let targets = targets.map(|(index, target)| (target, at.key("targets").index(index)));
    let cutting = source.into_iter().chain(targets).filter(|(side, _)| cuts_handles(side));
    cutting.map(|(_, at)| place.at(at.key("options").key("delimiter").to_string())).collect()
}

fn cuts_handles(side: &Value) -> bool {
    match side.pointer("/options/delimiter") {
        // Kustomize breaks long base64 into lines.
        Some(Value::String(text)) => {
            !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "\r\n".contains(letter))
        }
        Some(Value::Null) | None => false,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use serde_json::json;
    use waxwing_formats::{Handle, HandleInput};

    fn handle(token: u8) -> String {
        let path = KeyPath::root();
        Handle::of_ciphertext(HandleInput { domain: "sops", document: 0, path: &path, token: &[token] }).to_string()
    }

    #[test]
    fn a_delimiter_that_is_let_through_is_in_no_handle_and_in_no_base64_of_one() {
        let texts: Vec<String> = (0..=255)
            .map(handle)
            .flat_map(|text| {
                let encoded = ["", "x", "xy"].map(|before| format!("{before}{text}xyz"));
                [text]
                    .into_iter()
                    .chain(encoded.map(|text| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)))
            })
            .collect();
        for delimiter in (0_u8..=127).map(char::from) {
            if !cuts_handles(&json!({"options": {"delimiter": delimiter.to_string()}})) {
                assert!(!texts.iter().any(|text| text.contains(delimiter)), "{delimiter:?}");
            }
        }
    }

    #[test]
    fn usual_delimiters_are_let_through() {
        for delimiter in [":", "/", "-", ".", "=", "@", " ", "://", "a:"] {
            assert!(!cuts_handles(&json!({"options": {"delimiter": delimiter}})), "{delimiter}");
        }
    }
}
