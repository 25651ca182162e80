//! References into secret stores: which secrets are needed, what stores answered, and why a reference stays unresolved.
//!
//! Nobody is asked here. Stores are asked once for each secret, whatever refers to it, and what they answered is only read, never looked at
//! for references or handles. Every reference that fails is told, in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use waxwing_formats::SecretBytes;
use waxwing_formats::reference::{Reference, Stored, StoredSecret, ValueError};
use waxwing_plan::{GroupKind, Manifest, ObjectId, SecretMark};

use super::error::{OpenError, Place};
use crate::render::{Expansion, PlacedReference, Rendered, bindings};

/// The most bytes that the secrets of one sync's references may have together, and the most that may be taken out of them: as much as 40
/// of the largest Secrets.
pub const MOST_OF_A_SYNC: usize = 64 << 20;

/// What stores answered, by the secret that they were asked for. Not `Debug`.
#[derive(Default)]
pub struct Stores {
    /// The answers.
    pub answers: BTreeMap<Stored, Result<Answered, StoreRefusal>>,
    /// What was made for single objects, in place of an answer for all.
    made: BTreeMap<(ObjectId, Stored), Result<Answered, StoreRefusal>>,
    /// Whether nothing was made, since not all answers are of use.
    is_cut_short: bool,
    /// How long it took to get them.
    pub took: Duration,
    /// How many bytes were taken out of them.
    pub(super) taken: AtomicUsize,
}

impl Stores {
    /// Takes what stores answered.
    pub fn new(answers: BTreeMap<Stored, Result<Answered, StoreRefusal>>, took: Duration) -> Self {
        Self { answers, made: BTreeMap::new(), is_cut_short: false, took, taken: AtomicUsize::default() }
    }

    /// Takes also what was made for single objects; none where it was not, since some of the answers are of no use.
    #[must_use]
    pub fn with_made(self, made: Option<BTreeMap<(ObjectId, Stored), Result<Answered, StoreRefusal>>>) -> Self {
        Self { is_cut_short: made.is_none(), made: made.unwrap_or_default(), ..self }
    }

    /// Returns what an object's reference leads to, or why it leads nowhere.
    pub fn answer(&self, object: &ObjectId, reference: &Reference) -> Option<&Result<Answered, StoreRefusal>> {
        let stored = reference.stored();
        self.answers.get(&stored).or_else(|| self.made.get(&(object.clone(), stored)))
    }

    /// Tells whether nobody was asked.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.made.is_empty()
    }

    /// Counts what is taken out of an answer, and refuses what is too much with the rest: a short text may refer to much, many times.
    pub(super) fn take(&self, mark: &SecretMark, reference: &Reference, bytes: usize) -> Result<(), OpenError> {
        match self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > MOST_OF_A_SYNC {
            true => Err(OpenError::Reference {
                place: place(mark),
                reference: reference.to_string(),
                refusal: Box::new(StoreRefusal::too_much()),
            }),
            false => Ok(()),
        }
    }
}

/// A secret that a store gave.
pub struct Answered {
    /// The secret.
    pub secret: StoredSecret,
    /// Which version of it; empty where the store has none.
    pub version: String,
    /// Who gave it, such as `SecretBackend shop/vault`.
    pub backend: String,
}

/// Why a store gave no secret, in public words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRefusal {
    /// Of which kind the reason is.
    pub kind: RefusalKind,
    /// What happened.
    pub fact: String,
    /// What can be done about it.
    pub hint: String,
}

impl StoreRefusal {
    /// Refuses what goes beyond [`MOST_OF_A_SYNC`].
    pub fn too_much() -> Self {
        Self {
            kind: RefusalKind::NotAllowed,
            fact: format!("what the references of this Sync lead to has more than {} MiB", MOST_OF_A_SYNC >> 20),
            hint: "refer to single values with #/KEY instead of whole secrets, or make several Syncs of it".to_owned(),
        }
    }
}

/// Of which kind the reason is that there is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// It may not be asked for, or is nothing that can be.
    NotAllowed,
    /// The store does not let the Sync in, or read it.
    Denied,
    /// There is no such secret, version or value.
    NotFound,
    /// The store is away, or wants not to be asked.
    Unavailable,
}

/// Returns the secrets that some objects need from stores.
pub fn secrets_needed<'a>(rendered: &'a Rendered, objects: impl Iterator<Item = &'a ObjectId>) -> BTreeSet<Stored> {
    let references = objects.filter_map(|id| rendered.references().get(id)).flatten();
    references.map(|placed| placed.reference.stored()).collect()
}

/// Returns the objects in which references stand where no value may end, with one refusal for each; nobody is to be asked for them.
pub fn misplaced(rendered: &Rendered, bind_into: &[GroupKind]) -> BTreeMap<ObjectId, Vec<OpenError>> {
    let with_references =
        rendered.manifests().iter().filter(|manifest| rendered.references().contains_key(&manifest.id));
    let refused = with_references.filter_map(|manifest| {
        let errors = bindings::check(manifest, bind_into).err()?;
        let errors = errors.into_iter().map(|error| OpenError::Binding(Box::new(error))).collect();
        Some((manifest.id.clone(), errors))
    });
    refused.collect()
}

/// Returns every reference of some objects that has no answer, in its place.
pub fn refusals<'a>(
    rendered: &Rendered,
    objects: impl Iterator<Item = &'a ObjectId>,
    refusal_of: impl Fn(&ObjectId, &Reference) -> Option<StoreRefusal>,
) -> Vec<OpenError> {
    let references = objects.filter_map(|id| Some((id, rendered.references().get(id)?)));
    let references = references.flat_map(|(id, placed)| placed.iter().map(move |placed| (id, placed)));
    let refused = references.filter_map(|(id, PlacedReference { reference, mark, .. })| {
        let (place, reference, refusal) = (place(mark), reference.to_string(), Box::new(refusal_of(id, reference)?));
        Some(OpenError::Reference { place, reference, refusal })
    });
    refused.collect()
}

/// Returns every reference of what is sent that leads to nothing. Values are looked for in what was answered only if something is missing
/// anyway, so that all is told at once.
pub(super) fn unresolved(rendered: &Rendered, sent: &[&Manifest], stores: &Stores) -> Vec<OpenError> {
    let ids = || sent.iter().map(|manifest| &manifest.id);
    let missing = |id: &ObjectId, reference: &Reference| match stores.answer(id, reference) {
        Some(Ok(_)) => None,
        Some(Err(refusal)) => Some(refusal.clone()),
        None => (!stores.is_cut_short).then(not_asked),
    };
    let mut errors = refusals(rendered, ids(), missing);
    if !errors.is_empty() {
        errors.extend(without_values(rendered, ids(), |stored| stores.answers.get(stored)?.as_ref().ok()));
    }
    errors
}

/// Returns every reference of some objects to a secret that was given and has no such value.
pub fn without_values<'a>(
    rendered: &Rendered,
    objects: impl Iterator<Item = &'a ObjectId>,
    answered: impl Fn(&Stored) -> Option<&'a Answered>,
) -> Vec<OpenError> {
    let references = objects.filter_map(|id| rendered.references().get(id)).flatten();
    let lacking = references.filter_map(|PlacedReference { reference, mark, is_expanded }| {
        let secret = &answered(&reference.stored())?.secret;
        let error = match is_expanded {
            true => secret.entries(&reference.pointer).err(),
            false => secret.value(&reference.pointer, reference.decode).err(),
        };
        Some(without_value(mark, reference, error?))
    });
    lacking.collect()
}

fn not_asked() -> StoreRefusal {
    StoreRefusal {
        kind: RefusalKind::NotAllowed,
        fact: "nobody was asked for it".to_owned(),
        hint: "name its SecretBackend in spec.secrets.backends".to_owned(),
    }
}

/// Says that a secret has no value for a reference.
pub(super) fn without_value(mark: &SecretMark, reference: &Reference, error: ValueError) -> OpenError {
    let refusal = StoreRefusal { kind: RefusalKind::NotFound, fact: error.to_string(), hint: error.hint().to_owned() };
    OpenError::Reference { place: place(mark), reference: reference.to_string(), refusal: Box::new(refusal) }
}

fn place(mark: &SecretMark) -> Place {
    Place { file: mark.file.clone(), document: mark.document, key_path: mark.key_path.clone() }
}

/// Returns the entries that a Secret gets besides those that it has, which stay.
pub(super) fn expanded(
    expansion: &Expansion,
    answered: &Answered,
    data: Option<&Map<String, Value>>,
) -> Result<Vec<(String, SecretBytes)>, OpenError> {
    let PlacedReference { reference, mark, .. } = expansion.placed();
    let mut entries =
        answered.secret.entries(&reference.pointer).map_err(|error| without_value(&mark, &reference, error))?;
    entries.retain(|(key, _)| data.is_none_or(|data| !data.contains_key(key)));
    Ok(entries)
}
