//! Secret values that stand in Git in clear text: they get keyed handles, and are reported so that a policy can judge.
//!
//! They are found in Secrets of manifest files and patches, in what `secretGenerator` reads, and, whatever way they
//! came, in the Secrets that were rendered. Empty values are no secrets.

use serde_json::Value;
use waxwing_formats::{Handle, HandleInput, KeyPath, Salt, SecretBytes, Segment};
use waxwing_plan::{Location, ObjectId};

use super::error::{Fault, Place, RenderError};
use super::handles::{HandleTable, Origin, locate};
use super::manifests::child_pointer;
use super::reader::Reader;

/// Where a Secret has a value in clear text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaintextSecret {
    /// The document.
    pub location: Location,
    /// The JSON pointer of the value in that document, or in the rendered object.
    pub key_path: String,
    /// The rendered object, where the value came into it otherwise than from a Secret in that document.
    pub object: Option<ObjectId>,
}

/// What a Sync says about Secret values in clear text (`spec.secrets.plaintext`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaintextPolicy {
    /// They are refused.
    #[default]
    Deny,
    /// They are applied and reported.
    Warn,
    /// They are applied.
    Allow,
}

/// Judges the Secret values in clear text that a render found, and returns those to warn about.
///
/// # Errors
///
/// Returns one error for each of them if the policy denies them.
pub fn judge(found: &[PlaintextSecret], policy: PlaintextPolicy) -> Result<&[PlaintextSecret], Vec<RenderError>> {
    match policy {
        PlaintextPolicy::Allow => Ok(&[]),
        PlaintextPolicy::Warn => Ok(found),
        PlaintextPolicy::Deny if found.is_empty() => Ok(&[]),
        PlaintextPolicy::Deny => Err(found.iter().map(denial).collect()),
    }
}

fn denial(found: &PlaintextSecret) -> RenderError {
    let place = Place::from(&found.location);
    let pointer = found.key_path.clone();
    match found.object.clone() {
        Some(object) => RenderError::new(place, Fault::PlaintextRendered { object, pointer }),
        None => RenderError::new(place.at(pointer), Fault::PlaintextSecret),
    }
}

/// Registers a value in clear text and returns its handle.
pub(super) fn add(
    handles: &mut HandleTable,
    salt: &Salt,
    location: &Location,
    path: KeyPath,
    value: SecretBytes,
) -> String {
    let document = location.document;
    let input = HandleInput { domain: "plain", document, path: &path, token: value.expose_secret() };
    let handle = Handle::of_plaintext(input, salt);
    handles.add(handle, Origin::Plain { file: location.file.clone(), document, path, value })
}

impl Reader<'_> {
    /// Registers a value in clear text and returns its handle; one with references in it is none, and has a handle for each of its parts.
    pub(super) fn add_plaintext(&mut self, location: &Location, path: KeyPath, value: SecretBytes) -> String {
        let text = std::str::from_utf8(value.expose_secret()).ok();
        if let Some(taken) = text.and_then(|text| self.references_in(location, &path, text, false)) {
            return taken;
        }
        let found = PlaintextSecret { location: location.clone(), key_path: path.to_string(), object: None };
        self.plaintext.push(found);
        add(&mut self.handles, self.salt, location, path, value)
    }

    /// Puts handles where a Secret, or a patch for one, has values in clear text.
    pub(super) fn take_secret_values(&mut self, location: &Location, path: &KeyPath, secret: &mut Value) {
        for field in ["data", "stringData"] {
            match secret.get_mut(field) {
                None | Some(Value::Null) => {}
                Some(Value::Object(map)) => {
                    for (key, value) in map {
                        let is_base64 = field == "data";
                        self.take_secret_value(location, path.key(field).key(key), is_base64, value);
                    }
                }
                Some(_) => {
                    let place = Place::from(location).at(path.key(field).to_string());
                    self.refuse(place, Fault::NotAMapping);
                }
            }
        }
    }

    /// Returns what stands in place of a value of a Secret, or of a patch that may be for one.
    pub(super) fn taken_from_secret(
        &mut self,
        location: &Location,
        path: KeyPath,
        text: &mut String,
        may_be_base64: bool,
    ) -> String {
        match self.references_in(location, &path, text, may_be_base64) {
            Some(taken) => taken,
            None => self.add_plaintext(location, path, SecretBytes::new(std::mem::take(text).into_bytes())),
        }
    }

    fn take_secret_value(&mut self, location: &Location, path: KeyPath, is_base64: bool, value: &mut Value) {
        let is_directive = matches!(path.segments().last(), Some(Segment::Key(key)) if key.starts_with('$'));
        match value {
            // In a patch: `null` removes a key, `$patch` says how to merge.
            Value::Null => {}
            Value::String(_) if is_directive => {}
            Value::String(text) if text.is_empty() || !matches!(locate(text), Ok(None)) => {}
            Value::String(text) => *text = self.taken_from_secret(location, path, text, is_base64),
            _ => self.refuse(Place::from(location).at(path.to_string()), Fault::SecretValueNotText),
        }
    }
}

/// Returns the pointer of a key under `data`.
pub(super) fn data_pointer(key: &str) -> String {
    child_pointer("/data", key)
}
