//! `spec.template.data` of SealedSecrets after a render: each key that it makes has a handle in the Secret.
//!
//! What a template makes depends on every item and every text beside it, so the handle covers all of them: another text or
//! another ciphertext is another desired object. It is keyed, since the texts are not ciphertext. Not here: running them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use waxwing_formats::sealed_secret::{SealedSecretManifest, TemplateData};
use waxwing_formats::{Handle, HandleInput, KeyPath, Salt};
use waxwing_plan::{Location, ObjectId};

use super::error::{Fault, Place, RenderError};
use super::handles::{HandleTable, Origin, mentions_handle};

/// The templates of one Secret.
#[derive(Debug)]
pub struct SecretTemplates {
    /// The templates by the key that they make.
    pub data: TemplateData,
    /// The file of the SealedSecret.
    pub file: String,
    /// The position of its document in the file, from 0.
    pub document: usize,
}

/// The templates of a render, by the Secret that they belong to.
pub(super) type Templates = BTreeMap<ObjectId, SecretTemplates>;

/// Adds what the templates will make to the data of the Secret, as handles, and takes out what they leave out.
pub(super) fn add(
    sealed: &SealedSecretManifest,
    (place, location): (&Place, &Location),
    data: &mut Map<String, Value>,
    handles: &mut HandleTable,
    salt: &Salt,
) -> Result<SecretTemplates, RenderError> {
    let templates = sealed.template_data();
    let path = |key: &str| KeyPath::root().key("spec").key("template").key("data").key(key);
    if let Some((key, _)) = templates.texts().find(|(_, text)| mentions_handle(text)) {
        return Err(RenderError::new(place.at(path(key).to_string()), Fault::SealedTemplate));
    }
    let texts: BTreeMap<&str, &str> = templates.texts().collect();
    let token = json!({"items": sealed.items(), "texts": texts}).to_string();
    for key in texts.keys().filter(|key| !sealed.items().contains_key(**key)) {
        let (path, document) = (path(key), location.document);
        let input = HandleInput { domain: "sealed-template", document, path: &path, token: token.as_bytes() };
        let (file, item) = (location.file.clone(), (*key).to_owned());
        let handle = Handle::of_plaintext(input, salt);
        let handle = handles.add(handle, Origin::SealedTemplate { file, document, path, item });
        data.insert((*key).to_owned(), Value::String(STANDARD.encode(handle)));
    }
    data.retain(|key, _| !templates.removes(key));
    Ok(SecretTemplates { data: templates.clone(), file: location.file.clone(), document: location.document })
}
