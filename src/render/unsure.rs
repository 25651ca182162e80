//! Values in clear text of patches that don't say for which kind they are.
//!
//! Kustomize takes regular expressions as the target of a patch, or a name or a label alone. Whether a value under
//! `data` then goes into a Secret is known only once Kustomize has built. To refuse such a patch would break
//! kustomizations that work elsewhere; to leave a handle until after the build would change what Kustomize makes of it:
//! the suffix of a generated name, a piece that a replacement takes, a variable in the text. So the build is made twice.
//! In the first all these values are handles. Those that came out in an object of another kind, and in no Secret, are
//! public, and the second build gets them as they stand in Git. Every other one stays a handle: in a Secret it is
//! reported as clear text, and one that came out nowhere was overwritten, maybe in a Secret.
//!
//! Where the first build fails on a handle, as a replacement that takes the second piece of a value does, the hint is to
//! name the kind.
//!
//! What comes into a Secret in the second build only is found there, as all clear text is (`output`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use waxwing_formats::{Handle, HandleInput, KeyPath, SecretBytes};
use waxwing_plan::Location;

use super::error::{Fault, Place, RenderError};
use super::handles::{HandleTable, Origin, locate};
use super::manifests::{self, SourceDocument};
use super::plaintext::PlaintextSecret;
use super::reader::Reader;
use super::staging;

/// The values of a render of which it is not known yet whether they are secret.
#[derive(Debug, Default)]
pub(super) struct UnsureValues(BTreeMap<Handle, Unsure>);

#[derive(Debug)]
struct Unsure {
    found: PlaintextSecret,
    is_text: bool,
    /// The value as JSON, as it is staged.
    json: SecretBytes,
}

impl Reader<'_> {
    /// Puts a handle in place of a scalar.
    pub(super) fn add_unsure(&mut self, location: &Location, path: KeyPath, value: &mut Value) {
        let json = staging::json_for_yaml(value);
        let bytes = match &*value {
            Value::String(text) => text.clone().into_bytes(),
            _ => json.clone().into_bytes(),
        };
        let document = location.document;
        // Equal text in an equal place of another file may be public.
        let token = [&(location.file.len() as u64).to_be_bytes(), location.file.as_bytes(), json.as_bytes()].concat();
        let input = HandleInput { domain: "patch", document, path: &path, token: &token };
        let handle = Handle::of_plaintext(input, self.salt);
        let found = PlaintextSecret { location: location.clone(), key_path: path.to_string(), object: None };
        let unsure = Unsure { found, is_text: value.is_string(), json: SecretBytes::new(json.into_bytes()) };
        let origin = Origin::Plain { file: location.file.clone(), document, path, value: SecretBytes::new(bytes) };
        *value = Value::String(self.add_handle(handle.clone(), origin));
        self.unsure.0.insert(handle, unsure);
    }
}

impl UnsureValues {
    /// Tells whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells of a first build that failed that it may be for the handles.
    pub(super) fn explain(&self, mut error: RenderError) -> RenderError {
        match (self.0.values().next(), &mut *error.fault) {
            (Some(unsure), Fault::Kustomize { message }) => {
                let message = std::mem::take(message);
                RenderError::new(unsure.place(), Fault::KustomizeUnsure { message })
            }
            _ => error,
        }
    }

    /// Judges by what was built with handles, and keeps the public values only. Returns the secrets in clear text.
    ///
    /// # Errors
    ///
    /// Refuses values of Secrets that are not text.
    pub(super) fn settle(&mut self, built: &[SourceDocument]) -> Result<Vec<PlaintextSecret>, Vec<RenderError>> {
        let (mut in_secrets, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for document in built.iter().cloned().flat_map(manifests::unfold) {
            let found = if manifests::is_secret(&document.value) { &mut in_secrets } else { &mut elsewhere };
            collect_handles(&document.value, found);
        }
        let (secret, public) = std::mem::take(&mut self.0)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(handle, _)| in_secrets.contains(handle));
        self.0 = public.into_iter().filter(|(handle, _)| elsewhere.contains(handle)).collect();
        let malformed: Vec<RenderError> = secret.values().filter(|value| !value.is_text).map(Unsure::refusal).collect();
        if malformed.is_empty() { Ok(secret.into_values().map(|value| value.found).collect()) } else { Err(malformed) }
    }

    /// Puts the values back into what is staged, and forgets their handles.
    pub(super) fn put_back(self, staged: &mut BTreeMap<String, Vec<u8>>, handles: &mut HandleTable) {
        for bytes in staged.values_mut() {
            if let Some(text) = std::str::from_utf8(bytes).ok().and_then(|text| self.in_clear_text(text)) {
                *bytes = text.into_bytes();
            }
        }
        self.0.keys().for_each(|handle| handles.remove(handle));
    }

    /// Returns the text with the values in it, or none when it has none of their handles. A patch is JSON in a string of
    /// JSON, and an unsure value is a whole scalar there: so its handle stands in escaped quotes.
    fn in_clear_text(&self, text: &str) -> Option<String> {
        const QUOTE: &str = "\\\"";
        let mut parts = Vec::new();
        let mut rest = text;
        let found = Handle::find_all(text).into_iter().filter_map(|(_, handle)| self.0.get_key_value(&handle));
        for (handle, unsure) in found {
            let (before, after) = rest.split_once(&format!("{QUOTE}{handle}{QUOTE}"))?;
            parts.extend([before.to_owned(), unsure.in_a_string_of_json()]);
            rest = after;
        }
        let any = !parts.is_empty();
        parts.push(rest.to_owned());
        any.then(|| parts.concat())
    }
}

impl Unsure {
    fn place(&self) -> Place {
        Place::from(&self.found.location).at(self.found.key_path.clone())
    }

    fn refusal(&self) -> RenderError {
        RenderError::new(self.place(), Fault::SecretValueNotText)
    }

    fn in_a_string_of_json(&self) -> String {
        let json = String::from_utf8_lossy(self.json.expose_secret()).into_owned();
        let quoted = staging::json_for_yaml(&Value::String(json));
        quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted).to_owned()
    }
}

fn collect_handles(value: &Value, found: &mut BTreeSet<Handle>) {
    match value {
        Value::String(text) => {
            if let Ok(Some(embedding)) = locate(text) {
                found.extend(embedding.handles().cloned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_handles(item, found)),
        Value::Object(map) => map.values().for_each(|child| collect_handles(child, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
