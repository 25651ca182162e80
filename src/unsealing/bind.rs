//! Binds opened values to the places in which their handles stand.
//!
//! A string of a manifest may be one handle, hold several inside longer text, or be the base64 of either. What comes out
//! here is the manifest as it was, and for each such string the bytes that go in its place.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use waxwing_formats::reference::Reference;
use waxwing_formats::sealed_secret::DeprecatedSealedSecret;
use waxwing_formats::sops::{OpenedValue, ValueKind};
use waxwing_formats::{Handle, KeyPath, SecretBytes};
use waxwing_plan::{GroupKind, Manifest, ObjectId, SecretMark};

use super::collect;
use super::error::{OpenError, Place};
use super::references::{self, Answered, Stores, without_value};
use super::sealed_items::OpenItems;
use super::sops_files::OpenFiles;
use crate::cluster::{Binding, Encoding, Provenance, Request, StoredSource};
use crate::render::{Embedding, Expansion, Origin, PlacedReference, Rendered, locate};

/// Where the blob of a SealedSecret of the deprecated form stands in the Secret that it became (RFC 6901).
const BLOB_POINTER: &str = "/data/~1spec~1data";

/// Returns the SOPS files whose values `sent` needs.
pub(super) fn files_needed<'a>(rendered: &'a Rendered, sent: &[&Manifest]) -> BTreeSet<&'a str> {
    let mut files = BTreeSet::new();
    for manifest in sent {
        for pointer in manifest.secrets.keys() {
            let text = manifest.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let Ok(Some(embedding)) = locate(text) else { continue };
            files.extend(embedding.handles().filter_map(|handle| sops_file(rendered.origin(handle)?)));
        }
    }
    files
}

fn sops_file(origin: &Origin) -> Option<&str> {
    match origin {
        Origin::SopsLeaf { file, .. } | Origin::SopsEnv { file, .. } | Origin::SopsWhole { file } => Some(file),
        Origin::SealedItem { .. } | Origin::SealedTemplate { .. } | Origin::Reference { .. } | Origin::Plain { .. } => {
            None
        }
    }
}

/// Everything that was opened.
pub(super) struct Values<'a> {
    pub(super) rendered: &'a Rendered,
    pub(super) files: &'a OpenFiles,
    pub(super) items: &'a OpenItems,
    pub(super) stores: &'a Stores,
}

/// One value on its way into a string: borrowed where it is kept, or owned where it had to be written out.
enum Piece<'a> {
    Kept(&'a [u8]),
    Made(SecretBytes),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Kept(bytes) => bytes,
            Piece::Made(secret) => secret.expose_secret(),
        }
    }
}

impl Values<'_> {
    /// Makes the request of one manifest.
    pub(super) fn bind(&self, manifest: &Manifest) -> Result<Request, Vec<OpenError>> {
        let (mut bindings, mut body) = match self.is_blob(manifest) {
            true => self.blob(manifest).map_err(|error| vec![error])?,
            false => {
                let pointers = manifest.secrets.keys();
                let bindings = pointers.map(|pointer| self.binding(manifest, pointer).map_err(|error| vec![error]));
                (collect(bindings)?, manifest.body.clone())
            }
        };
        if let Some(expansion) = self.rendered.expansion(&manifest.id) {
            bindings.extend(self.expand(&manifest.id, expansion, &mut body).map_err(|error| vec![error])?);
        }
        Ok(Request::new(manifest.id.clone(), manifest.version.clone(), body, bindings))
    }

    /// Gives a Secret an entry for each of those that a secret in a store has, and it has not.
    fn expand(&self, id: &ObjectId, expansion: &Expansion, body: &mut Value) -> Result<Vec<Binding>, OpenError> {
        let PlacedReference { reference, mark, .. } = expansion.placed();
        let Some(Ok(answered)) = self.stores.answer(id, &reference) else {
            return Err(OpenError::Missing { place: place(mark) });
        };
        let entries = references::expanded(expansion, answered, body.get("data").and_then(Value::as_object))?;
        self.stores.take(&mark, &reference, entries.iter().map(|(key, value)| key.len() + value.len()).sum())?;
        let Some(body) = body.as_object_mut() else { return Ok(Vec::new()) };
        let data = body.entry("data").or_insert_with(|| Value::Object(Map::new()));
        let bindings = entries.into_iter().map(|(key, value)| {
            let provenance = vec![provenance(mark.clone(), &reference, answered)];
            if let Some(data) = data.as_object_mut() {
                data.insert(key.clone(), Value::String(String::new()));
            }
            // A key of a Secret has neither of the characters that a pointer escapes.
            Binding { pointer: format!("/data/{key}"), value, encoding: Encoding::Base64, provenance }
        });
        Ok(bindings.collect())
    }

    /// Tells whether a Secret was sealed as a whole: the blob itself has to stand there, and not just anything under its name.
    fn is_blob(&self, manifest: &Manifest) -> bool {
        let text = manifest.body.pointer(BLOB_POINTER).and_then(Value::as_str);
        let Some(Ok(Some(embedding))) = text.map(locate) else { return false };
        let is_blob = |handle| match self.rendered.origin(handle) {
            Some(Origin::SealedItem { item, .. }) => *item == DeprecatedSealedSecret::ITEM,
            _ => false,
        };
        embedding.handles().all(is_blob)
    }

    /// Binds a Secret that was sealed as a whole, and returns its body: what its blob says is added to what the plan says of it.
    fn blob(&self, manifest: &Manifest) -> Result<(Vec<Binding>, Value), OpenError> {
        let Binding { value, provenance, .. } = self.binding(manifest, BLOB_POINTER)?;
        let mut body = manifest.body.clone();
        body.as_object_mut().map(|fields| fields.shift_remove("data"));
        let mark = provenance.first().map(|provenance| provenance.mark.clone());
        let refused = |source| match mark {
            Some(mark) => OpenError::Blob { place: place(mark), source: Box::new(source) },
            None => Site { manifest, pointer: BLOB_POINTER }.damaged(),
        };
        let secret = DeprecatedSealedSecret::complete(&body, &value).map_err(refused)?;
        let mut body = secret.skeleton;
        let data = secret.values.keys().map(|key| (key.clone(), Value::from(""))).collect();
        body.as_object_mut().map(|fields| fields.insert("data".to_owned(), Value::Object(data)));
        let binding = |(key, value): (String, SecretBytes)| Binding {
            pointer: format!("/data/{}", key.replace('~', "~0").replace('/', "~1")),
            value,
            encoding: Encoding::Base64,
            provenance: provenance.clone(),
        };
        Ok((secret.values.into_iter().map(binding).collect(), body))
    }

    fn binding(&self, manifest: &Manifest, pointer: &str) -> Result<Binding, OpenError> {
        let damaged = || OpenError::Handle { object: manifest.id.to_string(), pointer: pointer.to_owned() };
        let text = manifest.body.pointer(pointer).and_then(Value::as_str).ok_or_else(damaged)?;
        let embedding = locate(text).ok().flatten().ok_or_else(damaged)?;
        let at = Site { manifest, pointer };
        let provenance = embedding.handles().map(|handle| self.provenance(&at, handle)).collect::<Result<_, _>>()?;
        let (value, encoding) = match &embedding {
            Embedding::Base64 { text, handles } => (self.splice(&at, text, handles)?, Encoding::Base64),
            Embedding::Text(handles) => self.text(&at, text, handles)?,
        };
        Ok(Binding { pointer: pointer.to_owned(), value, encoding, provenance })
    }

    /// Resolves handles that stand in a string as they are. A number or boolean that makes up the whole string comes back
    /// typed, but not in a Secret, whose values are strings.
    fn text(
        &self,
        at: &Site<'_>,
        text: &str,
        handles: &[(usize, Handle)],
    ) -> Result<(SecretBytes, Encoding), OpenError> {
        let value = self.splice(at, text, handles)?;
        if let [(0, handle)] = handles
            && text.len() == Handle::LEN
            && at.manifest.id.kind != GroupKind::new("", "Secret")
            && self.is_typed(handle)
        {
            return Ok((value, Encoding::Literal));
        }
        match std::str::from_utf8(value.expose_secret()) {
            Ok(_) => Ok((value, Encoding::Text)),
            Err(_) => Err(self.not_text(at, handles)),
        }
    }

    /// Puts the values in the places of their handles, in one buffer of the full size.
    fn splice(&self, at: &Site<'_>, text: &str, handles: &[(usize, Handle)]) -> Result<SecretBytes, OpenError> {
        let values = handles.iter().map(|(_, handle)| self.value(at, handle)).collect::<Result<Vec<_>, _>>()?;
        let mut parts: Vec<&[u8]> = Vec::with_capacity(values.len() * 2 + 1);
        let mut end = 0;
        for ((start, _), value) in handles.iter().zip(&values) {
            parts.push(text.as_bytes().get(end..*start).unwrap_or_default());
            parts.push(value.bytes());
            end = start + Handle::LEN;
        }
        parts.push(text.as_bytes().get(end..).unwrap_or_default());
        Ok(SecretBytes::concat(&parts))
    }

    fn value(&self, at: &Site<'_>, handle: &Handle) -> Result<Piece<'_>, OpenError> {
        let origin = self.origin(at, handle)?;
        match origin {
            Origin::Plain { value, .. } => Ok(Piece::Kept(value.expose_secret())),
            Origin::SealedItem { item, .. } | Origin::SealedTemplate { item, .. } => {
                self.item(at, item).map(Piece::Kept)
            }
            Origin::Reference { reference, .. } => match self.stores.answer(&at.manifest.id, reference) {
                Some(Ok(Answered { secret, .. })) => {
                    let value = secret.value(&reference.pointer, reference.decode);
                    let value = value.map_err(|error| without_value(&origin.mark(), reference, error))?;
                    self.stores.take(&origin.mark(), reference, value.len())?;
                    Ok(Piece::Made(value))
                }
                _ => Err(missing(origin)),
            },
            Origin::SopsWhole { file } => {
                let document = self.files.get(file).ok_or_else(|| missing(origin))?;
                document.whole().map(Piece::Made).map_err(|_| OpenError::Whole { file: file.clone() })
            }
            Origin::SopsLeaf { file, document, path } => self.leaf(file, *document, path, origin),
            Origin::SopsEnv { file, path } => {
                let value = self.opened(file, 0, path, origin)?;
                Ok(Piece::Made(env_line(value.text.expose_secret())))
            }
        }
    }

    fn leaf(&self, file: &str, document: usize, path: &KeyPath, origin: &Origin) -> Result<Piece<'_>, OpenError> {
        Ok(Piece::Kept(self.opened(file, document, path, origin)?.text.expose_secret()))
    }

    fn opened(&self, file: &str, document: usize, path: &KeyPath, origin: &Origin) -> Result<&OpenedValue, OpenError> {
        let value = self.files.get(file).and_then(|opened| opened.value(document, path));
        value.ok_or_else(|| missing(origin))
    }

    fn item(&self, at: &Site<'_>, item: &str) -> Result<&[u8], OpenError> {
        let item = self.items.get(&(at.manifest.id.clone(), item.to_owned()));
        item.map(|item| item.value.expose_secret()).ok_or_else(|| at.damaged())
    }

    fn is_typed(&self, handle: &Handle) -> bool {
        let Some(Origin::SopsLeaf { file, document, path }) = self.rendered.origin(handle) else { return false };
        let value = self.files.get(file).and_then(|opened| opened.value(*document, path));
        value.is_some_and(|value| match value.kind {
            ValueKind::Int | ValueKind::Bool => true,
            // JSON has no infinity and no NaN: these end in letters.
            ValueKind::Float => value.text.expose_secret().last().is_some_and(u8::is_ascii_digit),
            ValueKind::Str | ValueKind::Bytes | ValueKind::Time => false,
        })
    }

    fn provenance(&self, at: &Site<'_>, handle: &Handle) -> Result<Provenance, OpenError> {
        let origin = self.origin(at, handle)?;
        if let Origin::Reference { reference, .. } = origin
            && let Some(Ok(answered)) = self.stores.answer(&at.manifest.id, reference)
        {
            return Ok(provenance(origin.mark(), reference, answered));
        }
        let recipient = match (origin, sops_file(origin)) {
            (_, Some(file)) => self.files.get(file).map(|file| file.provenance().join(", ")).unwrap_or_default(),
            (Origin::SealedItem { item, .. } | Origin::SealedTemplate { item, .. }, _) => {
                let item = self.items.get(&(at.manifest.id.clone(), item.clone()));
                item.map(|item| item.key.clone()).unwrap_or_default()
            }
            _ => String::new(),
        };
        Ok(Provenance { mark: origin.mark(), recipient, stored: None })
    }

    fn origin(&self, at: &Site<'_>, handle: &Handle) -> Result<&Origin, OpenError> {
        self.rendered.origin(handle).ok_or_else(|| at.damaged())
    }

    fn not_text(&self, at: &Site<'_>, handles: &[(usize, Handle)]) -> OpenError {
        let origin = handles.first().and_then(|(_, handle)| self.rendered.origin(handle));
        match origin {
            Some(origin) => OpenError::NotText {
                place: place(origin.mark()),
                pointer: at.pointer.to_owned(),
                object: at.manifest.id.to_string(),
            },
            None => at.damaged(),
        }
    }
}

/// Writes a value as the dotenv store of sops prints it: a newline becomes the two characters `\\n` (`stores/dotenv/store.go`).
fn env_line(value: &[u8]) -> SecretBytes {
    let lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(lines.len() * 2);
    for line in lines {
        parts.extend([line, b"\\n"]);
    }
    parts.pop();
    SecretBytes::concat(&parts)
}

/// A string of a manifest.
struct Site<'a> {
    manifest: &'a Manifest,
    pointer: &'a str,
}

impl Site<'_> {
    fn damaged(&self) -> OpenError {
        OpenError::Handle { object: self.manifest.id.to_string(), pointer: self.pointer.to_owned() }
    }
}

/// Says where a value of a store came from.
pub fn provenance(mark: SecretMark, reference: &Reference, answered: &Answered) -> Provenance {
    let Answered { version, backend, .. } = answered;
    let stored = StoredSource { reference: reference.to_string(), version: version.clone() };
    Provenance { mark, recipient: backend.clone(), stored: Some(stored) }
}

fn missing(origin: &Origin) -> OpenError {
    OpenError::Missing { place: place(origin.mark()) }
}

fn place(mark: SecretMark) -> Place {
    Place { file: mark.file, document: mark.document, key_path: mark.key_path }
}
