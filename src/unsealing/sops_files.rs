//! Opens SOPS files: asks the identities for data keys, and keeps the verified documents by file.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_formats::sops::{Document, Sealed, Verified};
use waxwing_formats::{DataKey, KeyRequest, Refusal};

use super::all_cores::{self, Worth};
use super::error::OpenError;
use super::key_file::KeyFile;
use crate::render::SopsFile;

/// The opened files by path, each verified as a whole.
pub(super) type OpenFiles = BTreeMap<String, Document<Verified>>;

/// Opens the files that are `needed` or were never `verified`.
pub(super) fn open<'a>(
    files: impl Iterator<Item = &'a SopsFile>,
    needed: &BTreeSet<&str>,
    verified: &BTreeSet<String>,
    identities: &[(String, KeyFile)],
) -> (OpenFiles, Vec<OpenError>) {
    let (mut open, mut errors) = (OpenFiles::new(), Vec::new());
    let is_due = |file: &&SopsFile| needed.contains(file.path.as_str()) || !verified.contains(&file.blob.to_string());
    let files: Vec<&SopsFile> = files.filter(is_due).collect();
    let unlocked = all_cores::map(&files, Worth::FewItems, |file| unlock(&file.document, identities));
    for (file, result) in files.into_iter().zip(unlocked) {
        match result {
            Ok(document) => drop(open.insert(file.path.clone(), document)),
            Err(source) => errors.push(OpenError::Sops { file: file.path.clone(), source }),
        }
    }
    (open, errors)
}

fn unlock(
    document: &Document<Sealed>,
    identities: &[(String, KeyFile)],
) -> Result<Document<Verified>, waxwing_formats::sops::UnlockError> {
    let mut unlock = document.clone().unlock();
    while let Some(request) = unlock.next() {
        let answer = ask(&request, identities);
        unlock.answer(request.id, answer);
    }
    unlock.finish()
}

/// Asks every identity in turn; the refusal lists what each said.
fn ask(request: &KeyRequest, identities: &[(String, KeyFile)]) -> Result<DataKey, Refusal> {
    let mut refusals = Vec::new();
    for (origin, identity) in identities {
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
