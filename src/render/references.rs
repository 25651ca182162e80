//! References into secret stores: found in what Git says, and each becomes a handle, so that it goes the way of any sealed value.
//!
//! Where a Secret, or what becomes one, has a text with references, that text is taken apart before a renderer sees it: what stands beside the
//! references becomes handles too, and is no clear text to report. Everywhere else references are found after the render. By then all
//! ciphertext is handles, so nothing that was sealed is looked at, and nobody asks a store before this is done. What begins as a reference
//! and is none is refused, wherever it stands. Which text is one decides `waxwing_formats::reference`; which references of other tools are read as
//! ours, the Sync.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waxwing_formats::reference::{
    Content, ForeignError, ForeignStores, Form, Piece, Reference, ReferenceError, decoded,
};
use waxwing_formats::{Handle, HandleInput, KeyPath, Salt, SecretBytes, Segment};
use waxwing_plan::{EXPAND_ANNOTATION, Location, Manifest, ObjectId, SecretMark};

use super::error::{Fault, Place, RenderError};
use super::handles::{Embedding, HandleTable, Origin, locate};
use super::manifests::{child_pointer, is_secret};
use super::plaintext;
use super::reader::Reader;

/// The annotation that has a Secret filled with all entries of the secret that it refers to.
pub const EXPAND: &str = EXPAND_ANNOTATION;

/// What every reference has in it.
const BEGIN: &str = "ref+";

/// What every placeholder of argocd-vault-plugin begins with.
const PLACEHOLDER: &str = "<path:";

/// What decides which references are taken, and what tells clear text apart without showing it.
#[derive(Clone, Copy)]
pub(super) struct Taking<'a> {
    pub(super) salt: &'a Salt,
    /// The stores that stand for those of other tools.
    pub(super) foreign: &'a ForeignStores,
}

impl Taking<'_> {
    /// Tells whether a text may have references, or begin as one; most have none, and are not taken apart.
    fn may_have_any(self, text: &str) -> bool {
        text.contains(BEGIN) || (self.foreign.reads(Form::ArgocdVaultPlugin) && text.contains(PLACEHOLDER))
    }

    /// Returns the reference that a piece of a text is, if it is one.
    fn reference(self, piece: &Piece<'_>) -> Result<Option<Reference>, Fault> {
        let reference = match &piece.content {
            Content::Text => return Ok(None),
            Content::Malformed(error) => return Err(Fault::Reference(*error)),
            Content::Reference(reference) => reference.clone(),
            Content::Foreign(foreign) => match self.foreign.read(foreign).transpose().map_err(Fault::Foreign)? {
                None => return Ok(None),
                Some(mapped) if mapped.is_encoded => return Err(Fault::Foreign(ForeignError::Encoded)),
                Some(mapped) => mapped.reference,
            },
        };
        match piece.raw.contains(Handle::PREFIX) {
            true => Err(Fault::SealedReference),
            false => Ok(Some(reference)),
        }
    }

    /// Returns the reference of a text that another tool replaces by the base64 of its value, as a value under `data` needs it.
    fn encoded(self, data: &str) -> Option<Reference> {
        let pieces = Reference::find(data);
        let [Piece { content: Content::Foreign(foreign), .. }] = pieces.as_slice() else { return None };
        let mapped = self.foreign.read(foreign)?.ok()?;
        mapped.is_encoded.then_some(mapped.reference)
    }
}

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
    taking: Taking<'_>,
    mut rest: impl FnMut(&mut HandleTable, &str, usize) -> String,
) -> Result<Option<String>, Fault> {
    if !taking.may_have_any(text) {
        return Ok(None);
    }
    let pieces = Reference::find(text);
    let references = pieces.iter().map(|piece| taking.reference(piece)).collect::<Result<Vec<_>, _>>()?;
    if references.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut taken = String::new();
    for (position, (piece, reference)) in pieces.into_iter().zip(references).enumerate() {
        taken.push_str(&match reference {
            Some(reference) => add(handles, location, path, reference),
            None => rest(handles, piece.raw, position),
        });
    }
    Ok(Some(taken))
}

/// Takes the references out of a text in a Secret, or that becomes one, and makes handles of what stands beside them.
pub(super) fn take_of_secret(
    text: &str,
    (location, path): (&Location, &KeyPath),
    handles: &mut HandleTable,
    taking: Taking<'_>,
) -> Result<Option<String>, Fault> {
    take(text, (location, path), handles, taking, |handles, beside, position| {
        // Two pieces of one text are two values.
        let path = path.index(position);
        plaintext::add(handles, taking.salt, location, path, SecretBytes::new(beside.as_bytes().to_vec()))
    })
}

/// The same for a text that is base64 where it stands below `data` of a Secret, and may stand there.
pub(super) fn take_of_data(
    data: &str,
    at: (&Location, &KeyPath),
    handles: &mut HandleTable,
    taking: Taking<'_>,
) -> Result<Option<String>, Fault> {
    if let Some(reference) = taking.encoded(data) {
        return match data.contains(Handle::PREFIX) {
            true => Err(Fault::SealedReference),
            false => Ok(Some(STANDARD.encode(add(handles, at.0, at.1, reference)))),
        };
    }
    match decoded(data) {
        Some(text) => Ok(take_of_secret(&text, at, handles, taking)?.map(|taken| STANDARD.encode(taken))),
        None => take_of_secret(data, at, handles, taking),
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
        let taking = Taking { salt: self.salt, foreign: self.foreign };
        take(text, (location, path), &mut self.handles, taking).unwrap_or_else(|fault| {
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
    taking: Taking<'_>,
) -> Result<Option<Expansion>, Vec<RenderError>> {
    let location = manifest.location.clone().unwrap_or_else(|| Location {
        file: place.file.clone(),
        document: place.document.unwrap_or_default(),
        line: place.line.unwrap_or(1),
    });
    let mut search = Search {
        location: &location,
        place,
        handles,
        taking,
        is_secret: is_secret(&manifest.body),
        errors: Vec::new(),
    };
    let expansion = search.expansion(&manifest.body);
    // What a Secret has is base64; of the rest, most has nothing to look for.
    if search.is_secret || mentions_any(&manifest.body, taking) {
        search.value(&KeyPath::root(), &mut manifest.body);
    }
    if search.errors.is_empty() { Ok(expansion) } else { Err(search.errors) }
}

fn mentions_any(value: &Value, taking: Taking<'_>) -> bool {
    match value {
        Value::String(text) => taking.may_have_any(text),
        Value::Array(items) => items.iter().any(|item| mentions_any(item, taking)),
        Value::Object(map) => map.values().any(|value| mentions_any(value, taking)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

struct Search<'a> {
    location: &'a Location,
    place: &'a Place,
    handles: &'a mut HandleTable,
    taking: Taking<'a>,
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
        let beside = |_: &mut HandleTable, beside: &str, _| beside.to_owned();
        let taken = match locate(text) {
            Ok(None) if is_data => take_of_data(text, at, self.handles, self.taking),
            // What a renderer put together of handles and other text.
            Ok(Some(Embedding::Base64 { text, .. })) if is_data => {
                let taken = take(&text, at, self.handles, self.taking, beside);
                taken.map(|taken| taken.map(|taken| STANDARD.encode(taken)))
            }
            _ => take(text, at, self.handles, self.taking, beside),
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

/// Says what is wrong with the metadata of a SealedSecret, which nothing comes of: neither are references in it resolved, nor is the Secret
/// filled from it.
pub(super) fn refused_in_metadata(sealed: &Value, place: &Place) -> Option<RenderError> {
    let metadata = sealed.get("metadata")?;
    let annotation = metadata.get("annotations").and_then(|annotations| annotations.get(EXPAND));
    if annotation.is_some() {
        let at = place.at(child_pointer("/metadata/annotations", EXPAND));
        return Some(RenderError::new(at, Fault::ExpandsSealed));
    }
    in_metadata(&KeyPath::root().key("metadata"), metadata)
        .map(|(path, fault)| RenderError::new(place.at(path.to_string()), fault))
}

fn in_metadata(path: &KeyPath, value: &Value) -> Option<(KeyPath, Fault)> {
    match value {
        Value::String(text) if text.contains(BEGIN) => {
            let fault = Reference::find(text).into_iter().find_map(|piece| match piece.content {
                Content::Malformed(error) => Some(Fault::Reference(error)),
                Content::Reference(_) => Some(Fault::ReferenceBesideSealed),
                Content::Text | Content::Foreign(_) => None,
            });
            Some((path.clone(), fault?))
        }
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| in_metadata(&path.index(index), item)),
        Value::Object(map) => map.iter().find_map(|(key, value)| in_metadata(&path.key(key), value)),
        _ => None,
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
