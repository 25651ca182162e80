//! References into secret stores: found in what Git says, and each becomes a handle, so that it goes the way of any sealed value.
//!
//! Where a Secret, or what becomes one, has a text with references, that text is taken apart before a renderer sees it: what stands beside the
//! references becomes handles too, and is no clear text to report. Everywhere else references are found after the render. By then all
//! ciphertext is handles, so nothing that was sealed is looked at, and nobody asks a store before this is done. What begins as a reference
//! and is none is refused, wherever it stands. Which text is one decides `waxwing_formats::reference`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waxwing_formats::reference::{Content, Reference, ReferenceError, decoded};
use waxwing_formats::{Handle, HandleInput, KeyPath, Salt, SecretBytes, Segment};
use waxwing_plan::{Location, Manifest, ObjectId, SecretMark};

use super::error::{Fault, Place, RenderError};
use super::handles::{Embedding, HandleTable, Origin, locate};
use super::manifests::{child_pointer, is_secret};
use super::plaintext;
use super::reader::Reader;

/// The annotation that has a Secret filled with all entries of the secret that it refers to.
pub const EXPAND: &str = "waxwing.dev/expand";

/// What every reference has in it.
const BEGIN: &str = "ref+";

/// A Secret that is filled with all entries of a secret in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The secret, or the object in it.
    pub reference: Reference,
    /// The file in the repository.
    pub file: String,
    /// The position of the document in the file, from 0.
    pub document: usize,
    /// Where the annotation stands in the object.
    pub key_path: String,
}

impl Expansion {
    /// Returns its reference and where that stands.
    pub fn placed(&self) -> PlacedReference {
        let Self { reference, file, document, key_path } = self.clone();
        let mark = SecretMark { file, document, key_path, scheme: "reference".to_owned() };
        PlacedReference { reference, mark, is_expanded: true }
    }
}

/// The expansions of a render, by Secret.
pub(super) type Expansions = BTreeMap<ObjectId, Expansion>;

/// A reference of a rendered object, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedReference {
    /// The reference.
    pub reference: Reference,
    /// Where it stands in Git, as far as that is known.
    pub mark: SecretMark,
    /// Whether the object is to have all entries of what it leads to.
    pub is_expanded: bool,
}

/// The references that each object needs, with that of its expansion.
pub(super) type References = BTreeMap<ObjectId, Vec<PlacedReference>>;

/// Takes the references of a text that is not base64 out of it; nothing where there are none. `rest` says what becomes of the text
/// beside them.
pub(super) fn take(
    text: &str,
    (location, path): (&Location, &KeyPath),
    handles: &mut HandleTable,
    mut rest: impl FnMut(&mut HandleTable, &str, usize) -> String,
) -> Result<Option<String>, Fault> {
    if !text.contains(BEGIN) {
        return Ok(None);
    }
    let pieces = Reference::find(text);
    let malformed = pieces.iter().find_map(|piece| match piece.content {
        Content::Malformed(error) => Some(error),
        _ => None,
    });
    if let Some(error) = malformed {
        return Err(Fault::Reference(error));
    }
    if !pieces.iter().any(|piece| matches!(piece.content, Content::Reference(_))) {
        return Ok(None);
    }
    let mut taken = String::new();
    for (position, piece) in pieces.into_iter().enumerate() {
        match piece.content {
            Content::Reference(reference) if piece.raw.contains(Handle::PREFIX) => {
                drop(reference);
                return Err(Fault::SealedReference);
            }
            Content::Reference(reference) => taken.push_str(&add(handles, location, path, reference)),
            _ => taken.push_str(&rest(handles, piece.raw, position)),
        }
    }
    Ok(Some(taken))
}

/// Takes the references out of a text in a Secret, or that becomes one, and makes handles of what stands beside them.
pub(super) fn take_of_secret(
    text: &str,
    (location, path): (&Location, &KeyPath),
    handles: &mut HandleTable,
    salt: &Salt,
) -> Result<Option<String>, Fault> {
    take(text, (location, path), handles, |handles, beside, position| {
        // Two pieces of one text are two values.
        let path = path.index(position);
        plaintext::add(handles, salt, location, path, SecretBytes::new(beside.as_bytes().to_vec()))
    })
}

/// The same for a text that is base64 where it stands below `data` of a Secret, and may stand there.
pub(super) fn take_of_data(
    data: &str,
    at: (&Location, &KeyPath),
    handles: &mut HandleTable,
    salt: &Salt,
) -> Result<Option<String>, Fault> {
    match decoded(data) {
        Some(text) => Ok(take_of_secret(&text, at, handles, salt)?.map(|taken| STANDARD.encode(taken))),
        None => take_of_secret(data, at, handles, salt),
    }
}

impl Reader<'_> {
    /// Takes the references out of a value of a Secret; nothing where it has none. What is refused is noted, and leaves nothing.
    pub(super) fn references_in(
        &mut self,
        location: &Location,
        path: &KeyPath,
        text: &str,
        may_be_base64: bool,
    ) -> Option<String> {
        let take = if may_be_base64 { take_of_data } else { take_of_secret };
        take(text, (location, path), &mut self.handles, self.salt).unwrap_or_else(|fault| {
            self.refuse(Place::from(location).at(path.to_string()), fault);
            Some(String::new())
        })
    }
}

fn add(handles: &mut HandleTable, location: &Location, path: &KeyPath, reference: Reference) -> String {
    // Equal references at equal places of two files are told apart, so that each is named where it stands.
    let file = location.file.as_bytes();
    let token = [&(file.len() as u64).to_be_bytes(), file, reference.to_string().as_bytes()].concat();
    let input = HandleInput { domain: "reference", document: location.document, path, token: &token };
    let (file, document, path) = (location.file.clone(), location.document, path.clone());
    handles.add(Handle::of_ciphertext(input), Origin::Reference { file, document, path, reference })
}

/// Puts handles where a rendered object has references, and returns the one that it is to be expanded from.
pub(super) fn take_rendered(
    manifest: &mut Manifest,
    place: &Place,
    handles: &mut HandleTable,
    salt: &Salt,
) -> Result<Option<Expansion>, Vec<RenderError>> {
    let location = manifest.location.clone().unwrap_or_else(|| Location {
        file: place.file.clone(),
        document: place.document.unwrap_or_default(),
        line: place.line.unwrap_or(1),
    });
    let mut search =
        Search { location: &location, place, handles, salt, is_secret: is_secret(&manifest.body), errors: Vec::new() };
    let expansion = search.expansion(&manifest.body);
    // What a Secret has is base64; of the rest, most has nothing to look for.
    if search.is_secret || mentions_any(&manifest.body) {
        search.value(&KeyPath::root(), &mut manifest.body);
    }
    if search.errors.is_empty() { Ok(expansion) } else { Err(search.errors) }
}

fn mentions_any(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(BEGIN),
        Value::Array(items) => items.iter().any(mentions_any),
        Value::Object(map) => map.values().any(mentions_any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

struct Search<'a> {
    location: &'a Location,
    place: &'a Place,
    handles: &'a mut HandleTable,
    salt: &'a Salt,
    is_secret: bool,
    errors: Vec<RenderError>,
}

impl Search<'_> {
    fn value(&mut self, path: &KeyPath, value: &mut Value) {
        match value {
            Value::String(text) => self.text(path, text),
            Value::Array(items) => {
                items.iter_mut().enumerate().for_each(|(index, item)| self.value(&path.index(index), item));
            }
            Value::Object(map) => map.iter_mut().for_each(|(key, child)| self.value(&path.key(key), child)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, path: &KeyPath, text: &mut String) {
        if is_annotation(path, EXPAND) {
            return;
        }
        let at = (self.location, path);
        let is_data = self.is_secret && is_data(path);
        let taken = match is_data && matches!(locate(text), Ok(None)) {
            true => take_of_data(text, at, self.handles, self.salt),
            false => take(text, at, self.handles, |_, beside, _| beside.to_owned()),
        };
        let taken = taken.and_then(|taken| match is_data && self.is_not_encoded(taken.as_deref().unwrap_or(text)) {
            true => Err(Fault::ReferenceNotEncoded),
            false => Ok(taken),
        });
        match taken {
            Ok(None) => {}
            Ok(Some(taken)) => *text = taken,
            Err(fault) => self.errors.push(RenderError::new(self.place.at(path.to_string()), fault)),
        }
    }

    /// Tells whether a value under `data` would be what a store has instead of the base64 of it.
    fn is_not_encoded(&self, text: &str) -> bool {
        let is_reference = |handle| matches!(self.handles.get(handle), Some(Origin::Reference { .. }));
        match locate(text) {
            Ok(Some(Embedding::Text(found))) => found.iter().any(|(_, handle)| is_reference(handle)),
            _ => false,
        }
    }

    fn expansion(&mut self, body: &Value) -> Option<Expansion> {
        let text = body.pointer("/metadata/annotations")?.get(EXPAND)?.as_str()?;
        let key_path = child_pointer("/metadata/annotations", EXPAND);
        let (file, document) = (self.location.file.clone(), self.location.document);
        let parsed: Result<Reference, ReferenceError> = text.parse();
        let fault = match parsed {
            _ if !self.is_secret => Fault::ExpandsOther,
            Err(error) => Fault::Reference(error),
            Ok(Reference { decode: Some(_), .. }) => Fault::ExpandsValue,
            Ok(reference) => return Some(Expansion { reference, file, document, key_path }),
        };
        self.errors.push(RenderError::new(self.place.at(key_path), fault));
        None
    }
}

fn is_data(path: &KeyPath) -> bool {
    matches!(path.segments(), [Segment::Key(field), Segment::Key(_)] if field == "data")
}

fn is_annotation(path: &KeyPath, name: &str) -> bool {
    matches!(path.segments(), [Segment::Key(one), Segment::Key(two), Segment::Key(three)]
        if one == "metadata" && two == "annotations" && three == name)
}

/// Collects which references each object needs.
pub(super) fn needed(manifests: &[Manifest], handles: &HandleTable, expansions: &Expansions) -> References {
    let mut needed = References::new();
    let has_any = handles.iter().any(|(_, origin)| matches!(origin, Origin::Reference { .. }));
    for manifest in manifests.iter().filter(|_| has_any) {
        let texts = manifest.secrets.keys().filter_map(|pointer| manifest.body.pointer(pointer)?.as_str());
        for embedding in texts.filter_map(|text| locate(text).ok().flatten()) {
            let references = embedding.handles().filter_map(|handle| match handles.get(handle) {
                Some(origin @ Origin::Reference { reference, .. }) => {
                    Some(PlacedReference { reference: reference.clone(), mark: origin.mark(), is_expanded: false })
                }
                _ => None,
            });
            needed.entry(manifest.id.clone()).or_default().extend(references);
        }
    }
    for (id, expansion) in expansions {
        needed.entry(id.clone()).or_default().push(expansion.placed());
    }
    needed.retain(|_, references| !references.is_empty());
    needed
}
