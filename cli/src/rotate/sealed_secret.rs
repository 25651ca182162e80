//! What a rotation does to one file with SealedSecrets: items that an older key opens are sealed again with the newest one, where they
//! stand, bound to what they were bound to. All other bytes stay.
//!
//! Which key an item needs nothing in the file says, so the plan asks whoever can open it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waxwing_formats::sealed_secret::{ItemChange, PublicKey, SealedFile};
use waxwing_plan::diff::printable;

use super::report::{Action, Entry, State};
use super::task::TaskError;
use crate::sealed;
use crate::sealing::{BLOB, Closed, Opener, fill_in_namespace, may_be_a_manifest, speaks_of_sealed_secrets};

/// Who seals again, and with which key.
pub(crate) struct Resealing {
    pub(crate) opener: Opener,
    pub(crate) newest: PublicKey,
    /// Where SealedSecrets are that name no namespace.
    pub(crate) namespace: Option<String>,
}

/// A file with SealedSecrets.
pub(super) struct SealedTask {
    file: String,
    path: PathBuf,
    /// As it was when it was planned.
    bytes: Vec<u8>,
    /// Of each object the items that are to be sealed again; of one of the deprecated form its blob.
    old: Vec<Vec<String>>,
}

/// Tells whether a file may have SealedSecrets in it.
pub(super) fn may_be_one(path: &Path, bytes: &[u8]) -> bool {
    may_be_a_manifest(&path.to_string_lossy()) && speaks_of_sealed_secrets(bytes)
}

impl SealedTask {
    /// Returns what the file is called.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Says what there is to do with a file; nothing for one without SealedSecrets. One that speaks of them and can't be read may have some.
    pub(super) fn plan(
        file: &str,
        path: &Path,
        bytes: &[u8],
        resealing: &Resealing,
    ) -> Result<Option<(Self, Entry)>, TaskError> {
        let parsed = SealedFile::parse(bytes).map_err(TaskError::InPlace)?;
        if parsed.objects().is_empty() {
            return Ok(None);
        }
        let (mut old, mut all, mut closed) = (Vec::new(), 0, Vec::new());
        for object in parsed.objects() {
            let seen = resealing.opener.look(&resealing.object(&object.manifest))?;
            all += seen.len();
            let mut of_object = Vec::new();
            for seen in seen {
                match seen.key {
                    Err(why) => closed.push((seen.item, why)),
                    Ok(key) if key == resealing.newest.fingerprint().as_str() => {}
                    Ok(_) => of_object.push(seen.item),
                }
            }
            old.push(of_object);
        }
        if !closed.is_empty() {
            return Err(TaskError::Closed(listed(&closed)));
        }
        let count = old.iter().map(Vec::len).sum::<usize>();
        let entry = match count {
            0 => {
                let reason = "all is sealed with the newest key".to_owned();
                Entry::new(file, None, Vec::new(), State::Left).because(reason)
            }
            _ => Entry::new(file, Some(Action::NewestKey { items: count, of: all }), Vec::new(), State::Planned),
        };
        let task = Self { file: file.to_owned(), path: path.to_owned(), bytes: bytes.to_owned(), old };
        Ok(Some((task, entry)))
    }

    /// Seals again what was planned, and puts the result in the place of the file, unless that has changed since.
    pub(super) fn carry_out(&self, entry: Entry, resealing: &Resealing) -> Result<Entry, TaskError> {
        let parsed = SealedFile::parse(&self.bytes).map_err(TaskError::InPlace)?;
        let (mut changes, mut specs) = (Vec::new(), BTreeMap::new());
        for (index, (object, items)) in parsed.objects().iter().zip(&self.old).enumerate() {
            let object = resealing.object(&object.manifest);
            if is_blob(items) {
                specs.insert(index, resealing.opener.seal_blob_again(&object, &resealing.newest)?);
                continue;
            }
            if items.is_empty() {
                continue;
            }
            let sealed: BTreeMap<_, _> = resealing.opener.seal_again(&object, items, &resealing.newest)?;
            let change = |(item, token)| ItemChange { object: index, item, token: Some(token) };
            changes.extend(sealed.into_iter().map(change));
        }
        let text = parsed.with_specs(&specs).map_err(TaskError::InPlace)?;
        let parsed = SealedFile::parse(text.as_bytes()).map_err(TaskError::InPlace)?;
        let text = parsed.with(&changes).map_err(TaskError::InPlace)?;
        sealed::replace_whole(&self.path, &self.bytes, text.as_bytes()).map_err(TaskError::Write)?;
        Ok(entry.done())
    }
}

impl Resealing {
    fn object(&self, manifest: &Value) -> Value {
        let mut object = manifest.clone();
        fill_in_namespace(&mut object, self.namespace.as_deref());
        object
    }
}

/// Tells whether the one blob of the deprecated form is to be sealed again.
fn is_blob(items: &[String]) -> bool {
    items.iter().any(|item| item == BLOB)
}

/// Writes which items do not open, each reason once.
fn listed(closed: &[(String, Closed)]) -> String {
    let mut by_reason: BTreeMap<Closed, Vec<String>> = BTreeMap::new();
    for (item, why) in closed {
        by_reason.entry(*why).or_default().push(printable(item));
    }
    let texts = by_reason.iter().map(|(why, items)| format!("{}: {why}", items.join(", ")));
    texts.collect::<Vec<_>>().join("; ")
}
