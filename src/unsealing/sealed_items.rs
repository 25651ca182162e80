//! Opens the items of SealedSecrets with the cluster's sealing keys.
//!
//! An item is opened under the name, namespace and scope that its SealedSecret has after rendering: what the cluster would
//! see. Only for an account that could write the Secret itself.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_formats::sealed_secret::{Fingerprint, SealedItem};
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

/// The opened items by Secret and JSON pointer.
pub(super) type OpenItems = BTreeMap<(ObjectId, String), OpenItem>;

/// Opens the items of all Secrets in `sent` that come from SealedSecrets.
pub(super) fn open(rendered: &Rendered, sent: &[&Manifest], keys: &SyncKeys<'_>) -> (OpenItems, Vec<OpenError>) {
    let (mut open, mut errors) = (OpenItems::new(), Vec::new());
    let sent: BTreeSet<&ObjectId> = sent.iter().map(|manifest| &manifest.id).collect();
    let mut opener = Opener { rendered, keys, hint: None };
    for (place, binding) in rendered.sealed.iter().filter(|((id, _), _)| sent.contains(id)) {
        match opener.open(place, binding) {
            Ok(value) => drop(open.insert(place.clone(), value)),
            Err(error) => errors.push(error),
        }
    }
    (open, errors)
}

struct Opener<'a> {
    rendered: &'a Rendered,
    keys: &'a SyncKeys<'a>,
    /// The key that opened the item before; the next one was probably sealed with it too.
    hint: Option<Fingerprint>,
}

impl Opener<'_> {
    fn open(&mut self, at: &(ObjectId, String), binding: &SealedBinding) -> Result<OpenItem, OpenError> {
        let (id, pointer) = at;
        let Some(Origin::SealedItem { file, document, path, token, .. }) = self.rendered.handles.get(&binding.handle) else {
            return Err(OpenError::Handle { object: id.to_string(), pointer: pointer.clone() });
        };
        let place = Place { file: file.clone(), document: *document, key_path: path.to_string() };
        let namespace = id.namespace.clone().unwrap_or_default();
        if !self.keys.may_write_secrets_in.contains(&namespace) {
            return Err(OpenError::AccessDenied { place, account: self.keys.account.to_string(), namespace });
        }
        let item = SealedItem::parse(token).map_err(|source| OpenError::Item { place: place.clone(), source })?;
        let request = item.request(RequestId(0), binding.label.clone());
        let opened = self.keys.ring.open(&request.wrapped, self.hint.as_ref());
        let (key, fingerprint) = opened.map_err(|refusal| OpenError::SealedForAnother {
            place: place.clone(),
            scope: binding.scope.to_string(),
            namespace,
            name: id.name.clone(),
            refusal: refusal.0,
        })?;
        let value = item.open(&key).map_err(|source| OpenError::Item { place, source })?;
        let key = fingerprint.to_string();
        self.hint = Some(fingerprint);
        Ok(OpenItem { value, key })
    }
}
