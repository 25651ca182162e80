//! Opens the items of SealedSecrets with the cluster's sealing keys.
//!
//! An item is opened under the name, namespace and scope that its SealedSecret has after rendering: what the cluster would
//! see. Only for an account that could write the Secret itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use waxwing_formats::sealed_secret::{Fingerprint, SealedItem};
use waxwing_formats::{RequestId, SecretBytes};
use waxwing_plan::{Manifest, ObjectId};

use super::SyncKeys;
use super::all_cores::{self, Worth};
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
    let opener = Opener { rendered, keys, hint: Mutex::default() };
    let bindings = |manifest: &Manifest| {
        let of_manifest = rendered.sealed_bindings(&manifest.id);
        of_manifest.map(|(item, binding)| (manifest.id.clone(), item, binding)).collect::<Vec<_>>()
    };
    let items: Vec<_> = sent.iter().flat_map(|manifest| bindings(manifest)).collect();
    let opened = all_cores::map(&items, Worth::FewItems, |(id, _, binding)| opener.open(id, binding));
    for ((id, item, _), result) in items.into_iter().zip(opened) {
        match result {
            Ok(value) => drop(open.insert((id, item.to_owned()), value)),
            Err(error) => errors.push(error),
        }
    }
    (open, errors)
}

struct Opener<'a> {
    rendered: &'a Rendered,
    keys: &'a SyncKeys<'a>,
    /// The key that opened an item last; the next one was probably sealed with it too.
    hint: Mutex<Option<Fingerprint>>,
}

impl Opener<'_> {
    fn open(&self, id: &ObjectId, binding: &SealedBinding) -> Result<OpenItem, OpenError> {
        let Some(Origin::SealedItem { file, document, path, token, .. }) = self.rendered.origin(&binding.handle) else {
            return Err(OpenError::Handle { object: id.to_string(), pointer: "/data".to_owned() });
        };
        let place = Place { file: file.clone(), document: *document, key_path: path.to_string() };
        let SealedBinding { scope, namespace, name, .. } = binding;
        if !self.keys.may_write_secrets_in.contains(namespace) {
            let account = self.keys.account.to_string();
            return Err(OpenError::AccessDenied { place, account, namespace: namespace.clone() });
        }
        let item = SealedItem::parse(token).map_err(|source| OpenError::Item { place: place.clone(), source })?;
        let request = item.request(RequestId(0), scope.label(namespace, name));
        let hint = self.hint().clone();
        let opened = self.keys.ring.open(&request.wrapped, hint.as_ref());
        let (key, fingerprint) = opened.map_err(|refusal| OpenError::SealedForAnother {
            place: place.clone(),
            claim: format!("{scope} item of {namespace}/{name}"),
            refusal: refusal.0,
        })?;
        let value = item.open(&key).map_err(|source| OpenError::Item { place, source })?;
        let key = fingerprint.to_string();
        *self.hint() = Some(fingerprint);
        Ok(OpenItem { value, key })
    }

    fn hint(&self) -> MutexGuard<'_, Option<Fingerprint>> {
        self.hint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
