//! References into paths at which a store makes secrets: which of an object's have to be replaced, and having them made for what is sent.
//!
//! An object is planned to change when one of its secrets has to be replaced, and a secret is made only for an object that is sent. Who
//! only looks makes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use waxwing_formats::reference::Stored;
use waxwing_plan::{Manifest, ObjectId};

use super::change::session;
use super::probe::ASKED_AT_ONCE;
use crate::reconcile::Job;
use crate::reconcile::backends::{Backends, lease_key};
use crate::reconcile::leases::{Issued, LeaseKey};
use crate::reconcile::versions::{Pair, Versions};
use crate::render::Rendered;
use crate::unsealing::{Answered, StoreRefusal};

/// Returns what some objects refer to, each for itself.
pub(super) fn pairs<'a>(rendered: &Rendered, objects: impl Iterator<Item = &'a ObjectId>) -> BTreeSet<Pair> {
    let of_object = |id: &ObjectId| {
        let references = rendered.references().get(id).into_iter().flatten();
        references.map(|placed| (id.clone(), placed.reference.stored())).collect::<Vec<_>>()
    };
    objects.flat_map(of_object).collect()
}

/// Returns those secrets that objects have, or are to get, about which nobody has to be asked.
pub(super) fn fresh(job: &Job<'_>, pairs: &BTreeSet<Pair>, is_requested: bool) -> BTreeMap<Pair, String> {
    if job.context.leases.is_without(job) {
        return BTreeMap::new();
    }
    let fresh = pairs.iter().filter_map(|pair| {
        let stamp = job.context.leases.fresh(job, &lease_key(&pair.0, &pair.1), is_requested)?;
        Some((pair.clone(), stamp))
    });
    fresh.collect()
}

/// Finds out about secrets that objects have: renews what is due, and says which have to be replaced.
pub(super) async fn look(
    backends: &Backends<'_>,
    due: Vec<Pair>,
) -> (BTreeMap<Pair, String>, BTreeMap<Stored, StoreRefusal>) {
    let looked = futures::stream::iter(due).map(async |pair| {
        let stamp = backends.look(&pair.0, &pair.1).await;
        (pair, stamp)
    });
    let (mut stamps, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (pair, stamp) in looked.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<_>>().await {
        match stamp {
            Ok(stamp) => drop(stamps.insert(pair, stamp)),
            Err(refusal) => drop(refused.insert(pair.1, refusal)),
        }
    }
    (stamps, refused)
}

/// Returns versions with the secrets that objects have by now, which may have been replaced since these were applied.
pub(in crate::reconcile) fn leases_as_applied(
    job: &Job<'_>,
    rendered: &Rendered,
    versions: Arc<Versions>,
) -> Arc<Versions> {
    if job.context.leases.is_without(job) {
        return versions;
    }
    let applied = pairs(rendered, rendered.references().keys()).into_iter().filter_map(|pair| {
        let stamp = job.context.leases.applied(job, &lease_key(&pair.0, &pair.1))?;
        versions.stamp(&pair).is_some().then_some((pair, stamp))
    });
    let applied = applied.collect();
    Arc::new(versions.with_made(rendered, applied))
}

/// Holds what the objects of the last good revision have: renews what is due, and returns which of these objects are to get another, with the
/// versions that say so; nothing where none is. What can't be renewed now is tried again later.
pub(in crate::reconcile) async fn hold_leases(
    job: &Job<'_>,
    rendered: &Rendered,
    versions: &Versions,
    objects: &BTreeSet<ObjectId>,
    may_ask: bool,
) -> Option<(Versions, BTreeSet<ObjectId>)> {
    let made = pairs(rendered, objects.iter()).into_iter().filter(|pair| versions.stamp(pair).is_some()).collect();
    let mut stamps = fresh(job, &made, false);
    let due: Vec<Pair> = made.into_iter().filter(|pair| !stamps.contains_key(pair)).collect();
    if may_ask && !due.is_empty() {
        let session = session(job).ok()?;
        // Why that fails, the walk says.
        let backends = Backends::read(job, session).await.ok()?;
        let (looked, refused) = look(&backends, due).await;
        for refusal in refused.values() {
            tracing::warn!(hint = refusal.hint, "{}", refusal.fact);
        }
        stamps.extend(looked);
    }
    stamps.retain(|pair, stamp| versions.stamp(pair) != Some(stamp));
    let replaced: BTreeSet<ObjectId> = stamps.keys().map(|(object, _)| object.clone()).collect();
    (!replaced.is_empty()).then(|| (versions.with_made(rendered, stamps), replaced))
}

/// What was made for the objects that are sent. Not `Debug`.
#[derive(Default)]
pub(super) struct Made {
    pub(super) answers: BTreeMap<Pair, Result<Answered, StoreRefusal>>,
    pub(super) issued: Vec<Issued>,
}

/// Has secrets made for objects that are sent, of up to `room` bytes together.
pub(super) async fn issue(
    backends: &Backends<'_>,
    versions: &Versions,
    wanted: BTreeSet<Pair>,
    mut room: usize,
) -> Made {
    let asked = futures::stream::iter(wanted).map(async |pair| {
        let issued = backends.issue(&pair.0, &pair.1, versions.stamp(&pair).unwrap_or_default()).await;
        (pair, issued)
    });
    let mut made = Made::default();
    for (pair, issued) in asked.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<_>>().await {
        let answer = issued.and_then(|(answered, issued)| {
            room = room.checked_sub(answered.secret.len()).ok_or_else(StoreRefusal::too_much)?;
            made.issued.push(issued);
            Ok(answered)
        });
        made.answers.insert(pair, answer);
    }
    made
}

/// Ends what objects have that were deleted, or that refer to it no more.
pub(in crate::reconcile) fn end_unused(job: &Job<'_>, rendered: &Rendered, deleted: &BTreeSet<ObjectId>) {
    if job.context.leases.is_without(job) {
        return;
    }
    let ids = || rendered.manifests().iter().map(|manifest: &Manifest| &manifest.id);
    let used: BTreeSet<LeaseKey> = pairs(rendered, ids()).iter().map(|(id, stored)| lease_key(id, stored)).collect();
    let kept: BTreeSet<String> = ids().map(ObjectId::to_string).collect();
    job.context.leases.keep(job, &used, &kept, deleted);
}
