//! Opens SOPS files: asks the identities for data keys, takes what key services answered, and keeps the verified documents by file.
//!
//! Nobody is asked over the network here. A file that needs a key service is begun, tells what it wants to know
//! ([`Begun::unanswered`]), and goes on from there once that is answered: no file begins anew, and no identity is asked twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use waxwing_formats::sops::{Document, Sealed, Unlock, UnlockError, Verified};
use waxwing_formats::{DataKey, KeyRequest, Refusal, SecretBytes, WrappedKey};
use waxwing_keys::ServiceKey;

use super::SyncKeys;
use super::all_cores::{self, Worth};
use super::error::OpenError;
use crate::render::SopsFile;

/// The opened files by path, each verified as a whole.
pub(super) type OpenFiles = BTreeMap<String, Document<Verified>>;

/// What key services answered, by the wrapped key that they were asked for.
pub type ServiceAnswers = HashMap<WrappedKey, Result<DataKey, ServiceRefusal>>;

/// Why a key service gave no data key. Both texts are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRefusal {
    /// What happened.
    pub refusal: Refusal,
    /// What can be done about it.
    pub hint: String,
}

/// What can be done where a Sync has no backends.
const NO_BACKEND: &str = "name a SecretBackend that allows the key in spec.secrets.backends, or seal the file for a key that \
    spec.secrets.keysFrom has";

/// Opens the files that are `needed` or were never `verified`.
pub(super) fn open<'a>(
    files: impl Iterator<Item = &'a SopsFile>,
    needed: &BTreeSet<&str>,
    verified: &BTreeSet<String>,
    keys: &SyncKeys<'_>,
    begun: &Begun,
) -> (OpenFiles, Vec<OpenError>) {
    let (mut open, mut errors) = (OpenFiles::new(), Vec::new());
    let files: Vec<&SopsFile> = files.filter(|file| is_due(file, needed, verified)).collect();
    let unlocked = all_cores::map(&files, Worth::FewItems, |file| {
        let mut unlock = begun.take(&file.path).unwrap_or_else(|| file.document.clone().unlock());
        while let Some(request) = unlock.next() {
            unlock.answer(request.id, ask(&request, keys));
        }
        unlock.finish()
    });
    for (file, result) in files.into_iter().zip(unlocked) {
        match result {
            Ok(document) => drop(open.insert(file.path.clone(), document)),
            Err(source) => {
                let hint = hint(&file.document, keys, &source);
                errors.push(OpenError::Sops { file: file.path.clone(), source, hint });
            }
        }
    }
    (open, errors)
}

/// Returns what can be done about a file that needs a key service, and nothing where the error itself says it.
fn hint(document: &Document<Sealed>, keys: &SyncKeys<'_>, error: &UnlockError) -> Option<String> {
    let UnlockError::NoKey { .. } = error else { return None };
    let terms = document.terms();
    let mut hints = terms.groups.iter().flatten().filter_map(|recipient| {
        let wrapped = recipient.wrapped();
        ServiceKey::of(wrapped)?;
        match keys.services.get(wrapped) {
            Some(Ok(_)) => None,
            Some(Err(refused)) => Some(refused.hint.clone()),
            None => Some(NO_BACKEND.to_owned()),
        }
    });
    hints.next()
}

fn is_due(file: &SopsFile, needed: &BTreeSet<&str>, verified: &BTreeSet<String>) -> bool {
    needed.contains(file.path.as_str()) || !verified.contains(&file.blob.to_string())
}

/// The files that name a key service, each opened as far as the answers go. Not `Debug`.
#[derive(Default)]
pub struct Begun(BTreeMap<String, Mutex<Option<Unlock>>>);

impl Begun {
    /// Begins with the files that are `needed` or were never `verified`. Nothing is asked yet.
    pub(super) fn new<'a>(
        files: impl Iterator<Item = &'a SopsFile>,
        needed: &BTreeSet<&str>,
        verified: &BTreeSet<String>,
    ) -> Self {
        let due = files.filter(|file| is_due(file, needed, verified) && names_a_service(&file.document));
        Self(due.map(|file| (file.path.clone(), Mutex::new(Some(file.document.clone().unlock())))).collect())
    }

    /// Goes on with each file, and returns what key services have to be asked for next: of each the first wrapped key that nobody
    /// answered for. Nothing is returned of files that are open, or for which nobody is left to ask.
    pub fn unanswered(&self, keys: &SyncKeys<'_>) -> HashSet<WrappedKey> {
        let files: Vec<_> = self.0.values().collect();
        all_cores::map(&files, Worth::FewItems, |file| first_unanswered(lock(file).as_mut()?, keys))
            .into_iter()
            .flatten()
            .collect()
    }

    fn take(&self, path: &str) -> Option<Unlock> {
        self.0.get(path).and_then(|file| lock(file).take())
    }
}

fn lock(file: &Mutex<Option<Unlock>>) -> MutexGuard<'_, Option<Unlock>> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names_a_service(document: &Document<Sealed>) -> bool {
    document.terms().groups.iter().flatten().any(|recipient| ServiceKey::of(recipient.wrapped()).is_some())
}

fn first_unanswered(unlock: &mut Unlock, keys: &SyncKeys<'_>) -> Option<WrappedKey> {
    while let Some(request) = unlock.next() {
        if ServiceKey::of(&request.wrapped).is_some() && !keys.services.contains_key(&request.wrapped) {
            return Some(request.wrapped);
        }
        unlock.answer(request.id, ask(&request, keys));
    }
    None
}

/// Asks every identity in turn, or takes what a service answered; the refusal lists what each said.
fn ask(request: &KeyRequest, keys: &SyncKeys<'_>) -> Result<DataKey, Refusal> {
    if ServiceKey::of(&request.wrapped).is_some() {
        return match keys.services.get(&request.wrapped) {
            Some(Ok(key)) => Ok(DataKey::new(SecretBytes::concat(&[key.expose_secret()]))),
            Some(Err(refused)) => Err(refused.refusal.clone()),
            None => Err(Refusal("spec.secrets.backends names no backend".to_owned())),
        };
    }
    let mut refusals = Vec::new();
    for (origin, identity) in &keys.identities {
        match identity.answer(&request.wrapped) {
            Ok(key) => return Ok(key),
            Err(Refusal(refusal)) => refusals.push(format!("{origin}: {refusal}")),
        }
    }
    match refusals.is_empty() {
        true => Err(Refusal("spec.secrets.keysFrom names no key".to_owned())),
        false => Err(Refusal(refusals.join(", "))),
    }
}
