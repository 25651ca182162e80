//! Opens the items of SealedSecrets with the cluster's sealing keys.
//!
//! An item is opened under the name, namespace and scope that its SealedSecret has after rendering: what the cluster would
//! see. Only for an account that could write the Secret itself.

use std::collections::BTreeMap;

use waxwing_formats::sealed_secret::SealedItem;
use waxwing_formats::{RequestId, SecretBytes};
use waxwing_plan::{Manifest, ObjectId};

use super::SyncKeys;
use super::error::{OpenError, Place};
use crate::render::{Origin, Rendered, SealedBinding};

/// An opened item, with the fingerprint of the key that opened it.
pub(super) struct OpenItem {
    pub(super) value: SecretBytes,
    pub(super) key: String,
}

/// The opened items by Secret and key.
pub(super) type OpenItems = BTreeMap<(ObjectId, String), OpenItem>;

/// Opens the items of all Secrets in `sent` that come from SealedSecrets.
pub(super) fn open(rendered: &Rendered, sent: &[&Manifest], keys: &SyncKeys<'_>) -> (OpenItems, Vec<OpenError>) {
    let (mut open, mut errors) = (OpenItems::new(), Vec::new());
    let mut hint = None;
    for manifest in sent {
        for (item, binding) in rendered.sealed_bindings(&manifest.id) {
            match open_item(rendered, binding, keys, &mut hint) {
                Ok(value) => drop(open.insert((manifest.id.clone(), item.to_owned()), value)),
                Err(error) => errors.push(error),
            }
        }
    }
    (open, errors)
}

fn open_item(
    rendered: &Rendered,
    binding: &SealedBinding,
    keys: &SyncKeys<'_>,
    hint: &mut Option<waxwing_formats::sealed_secret::Fingerprint>,
) -> Result<OpenItem, OpenError> {
    let Some(Origin::SealedItem { file, document, path, token, .. }) = rendered.origin(&binding.handle) else {
        let object = format!("Secret/{}/{}", binding.namespace, binding.name);
        return Err(OpenError::Handle { object, pointer: "/data".to_owned() });
    };
    let place = Place { file: file.clone(), document: *document, key_path: path.to_string() };
    if !keys.may_write_secrets_in.contains(&binding.namespace) {
        let account = keys.account.to_string();
        return Err(OpenError::AccessDenied { place, account, namespace: binding.namespace.clone() });
    }
    let item = SealedItem::parse(token).map_err(|source| OpenError::Item { place: place.clone(), source })?;
    let label = binding.scope.label(&binding.namespace, &binding.name);
    let request = item.request(RequestId(0), label);
    let (key, fingerprint) = keys.ring.open(&request.wrapped, hint.as_ref()).map_err(|refusal| {
        OpenError::SealedForAnother {
            place: place.clone(),
            scope: binding.scope.to_string(),
            namespace: binding.namespace.clone(),
            name: binding.name.clone(),
            refusal: refusal.0,
        }
    })?;
    let value = item.open(&key).map_err(|source| OpenError::Item { place, source })?;
    let key = fingerprint.to_string();
    *hint = Some(fingerprint);
    Ok(OpenItem { value, key })
}
