//! SealedSecrets after a render: each becomes the Secret that it stands for, with a handle for each item.
//!
//! What a sealed value is bound to (its OAEP label) follows from the name, the namespace and the scope that the
//! SealedSecret has by then, as the cluster would see it. So these are kept for each key of each such Secret, and a
//! sealed item resolves there and nowhere else.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use waxwing_formats::sealed_secret::{DeprecatedSealedSecret, Scope, SealedSecretManifest};
use waxwing_formats::{Handle, KeyPath, Salt};
use waxwing_plan::{GroupKind, Location, Manifest, ObjectId};

use super::documents::add_sealed_item;
use super::error::{Fault, Place, RenderError};
use super::handles::{HandleTable, Origin, locate, mentions_handle};
use super::plaintext::data_pointer;
use super::references;
use super::secret_templates::{self, Templates};

/// What one item of a SealedSecret was sealed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBinding {
    /// The handle of the item.
    pub handle: Handle,
    /// How far it may be moved.
    pub scope: Scope,
    /// The namespace of the SealedSecret as rendered.
    pub namespace: String,
    /// The name of the SealedSecret as rendered.
    pub name: String,
}

/// The sealed items of a render, by the Secret and the key that they end in.
pub(super) type SealedBindings = BTreeMap<ObjectId, BTreeMap<String, SealedBinding>>;

/// Turns a SealedSecret into its Secret and returns what its items are bound to, and its templates; leaves any other
/// manifest alone.
pub(super) fn become_secret(
    manifest: &mut Manifest,
    place: &Place,
    handles: &mut HandleTable,
    salt: &Salt,
) -> Result<(SealedBindings, Templates), RenderError> {
    if !SealedSecretManifest::is_sealed_secret(&manifest.body) {
        return Ok(Default::default());
    }
    if let Some(error) = references::refused_in_metadata(&manifest.body, place) {
        return Err(error);
    }
    let refuse = |fault: Fault| RenderError::new(place.clone(), fault);
    let origin = manifest.location.clone().unwrap_or_else(|| location_of(place));
    if DeprecatedSealedSecret::is_deprecated(&manifest.body) {
        return become_secret_of_blob(manifest, place, handles, &origin);
    }
    let sealed = SealedSecretManifest::parse(&manifest.body).map_err(|error| refuse(error.into()))?;
    manifest.id.kind = GroupKind::new("", "Secret");
    manifest.version = "v1".to_owned();
    let (mut bindings, mut data) = (BTreeMap::new(), Map::new());
    for (key, text) in sealed.items() {
        let path = KeyPath::root().key("spec").key("encryptedData").key(key);
        let handle = item_handle(handles, &origin, (path, key), text)
            .map_err(|fault| RenderError::new(place.at(format!("/spec/encryptedData/{key}")), fault))?;
        data.insert(key.clone(), Value::String(STANDARD.encode(handle.as_str())));
        let (namespace, name) = (sealed.namespace().to_owned(), sealed.name().to_owned());
        bindings.insert(key.clone(), SealedBinding { handle, scope: sealed.scope(), namespace, name });
    }
    let templates = secret_templates::add(&sealed, (place, &origin), &mut data, handles, salt)?;
    manifest.body = sealed.secret_skeleton();
    if let Some(secret) = manifest.body.as_object_mut() {
        secret.insert("data".to_owned(), Value::Object(data));
    }
    let mut of_manifest = Templates::new();
    if !templates.data.is_empty() {
        of_manifest.insert(manifest.id.clone(), templates);
    }
    Ok((SealedBindings::from([(manifest.id.clone(), bindings)]), of_manifest))
}

/// Turns a SealedSecret of the deprecated form into its Secret, as far as that is known before its blob is opened: one item, whose name
/// is no key of any Secret, stands for all of its data. What else the blob says is added when it is opened.
fn become_secret_of_blob(
    manifest: &mut Manifest,
    place: &Place,
    handles: &mut HandleTable,
    origin: &Location,
) -> Result<(SealedBindings, Templates), RenderError> {
    let refuse = |fault: Fault| RenderError::new(place.clone(), fault);
    let sealed = DeprecatedSealedSecret::parse(&manifest.body).map_err(|error| refuse(error.into()))?;
    let (item, path) = (DeprecatedSealedSecret::ITEM, KeyPath::root().key("spec").key("data"));
    let handle = item_handle(handles, origin, (path, item), sealed.token())
        .map_err(|fault| RenderError::new(place.at(item.to_owned()), fault))?;
    let (namespace, name) = (sealed.namespace().to_owned(), sealed.name().to_owned());
    manifest.id.kind = GroupKind::new("", "Secret");
    manifest.version = "v1".to_owned();
    manifest.body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "data": {item: STANDARD.encode(handle.as_str())}});
    let binding = SealedBinding { handle, scope: sealed.scope(), namespace, name };
    let bindings = BTreeMap::from([(item.to_owned(), binding)]);
    Ok((SealedBindings::from([(manifest.id.clone(), bindings)]), Templates::new()))
}

/// Refuses items of SealedSecrets that a renderer copied elsewhere, where they could not be opened.
pub(super) fn stay_in_place(manifest: &Manifest, handles: &HandleTable, bindings: &SealedBindings) -> Vec<Fault> {
    let own = bindings.get(&manifest.id).into_iter().flatten();
    let in_place: BTreeMap<String, &Handle> = own.map(|(key, binding)| (data_pointer(key), &binding.handle)).collect();
    let is_elsewhere = |pointer: &&String| {
        let text = manifest.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let Ok(Some(embedding)) = locate(text) else { return false };
        let mut sealed = embedding.handles().filter(|handle| is_sealed_item(handles, handle));
        sealed.any(|handle| in_place.get(*pointer) != Some(&handle))
    };
    let moved = manifest.secrets.keys().filter(is_elsewhere);
    moved.map(|pointer| Fault::SealedItemMoved { object: manifest.id.clone(), pointer: pointer.clone() }).collect()
}

fn is_sealed_item(handles: &HandleTable, handle: &Handle) -> bool {
    matches!(handles.get(handle), Some(Origin::SealedItem { .. }))
}

/// Returns the handle that a rendered item is, or gives one to a token that came another way than in a manifest.
fn item_handle(
    handles: &mut HandleTable,
    location: &Location,
    (path, item): (KeyPath, &str),
    text: &str,
) -> Result<Handle, Fault> {
    let text = match mentions_handle(text) {
        true => text.to_owned(),
        false => add_sealed_item(handles, location, path, item, text),
    };
    match Handle::find_all(&text).as_slice() {
        [(0, handle)] if text.len() == Handle::LEN && is_sealed_item(handles, handle) => Ok(handle.clone()),
        _ => Err(Fault::NotASealedItem),
    }
}

fn location_of(place: &Place) -> Location {
    Location { file: place.file.clone(), document: place.document.unwrap_or_default(), line: place.line.unwrap_or(1) }
}
