//! Decides what happens to each rendered object, from what is known of the live one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::digest::{DigestContext, desired_digest};
use crate::gone::{Deletion, Gone, Kept, PrunePolicy, Search};
use crate::ignore::{IgnoreRule, left_to_others, without};
use crate::inventory::{Claims, Entry, EntryState, Inventory};
use crate::live::{LiveMark, LiveOwner};
use crate::manifest::{mark, steering};
use crate::marks::OwnerMark;
use crate::stage::sort;
use crate::steps::{Change, LeftBecause, Plan, Step};
use crate::{Digest, GroupKind, Location, Manifest, ObjectId, PlanError, Stage};

/// What is known of the live objects: none for what was looked up and does not exist.
///
/// It has to name each object of the render and of the inventory, whether it carries our mark or not.
pub type Live = BTreeMap<ObjectId, Option<LiveMark>>;

/// What happens to an object that somebody wrote over or deleted while Git did not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// It is applied again.
    #[default]
    Revert,
    /// It is told, and left.
    Alert,
    /// What others wrote is left; an object that was deleted is created again.
    Ignore,
}

/// All that a plan is made of.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What should be, without our marks.
    pub manifests: Vec<Manifest>,
    /// What was applied or about to be.
    pub inventory: &'a Inventory,
    /// What is; the namespaces of the manifests may be in it too, so that those that are being deleted are seen.
    pub live: &'a Live,
    /// Which other Syncs name an object, looked up after `live`: for each object that left the render, and for each
    /// rendered one that carries another Sync's mark, which is taken over only if it is looked up and nobody has it.
    pub claims: &'a Claims,
    /// The Sync.
    pub owner: &'a OwnerMark,
    /// What happens to drift, unless an annotation of an object says that its own is ignored.
    pub drift: DriftPolicy,
    /// The objects that others write over again and again: their drift is left for now.
    pub contested: &'a BTreeSet<ObjectId>,
    /// The fields that are sent on creation only.
    pub ignore: &'a [IgnoreRule],
    /// Which versions of secrets of stores an object needs, in a text of the caller's; nothing of objects that need none.
    pub versions: &'a BTreeMap<ObjectId, String>,
    /// What decides beside the manifests whether an object is sent again.
    pub digest: DigestContext<'a>,
    /// When objects are deleted.
    pub policy: PrunePolicy,
}

/// Plans how to get from what is to what should be.
///
/// # Errors
///
/// Returns everything that speaks against the render, in the order of the manifests: objects that are rendered twice,
/// that Git may not describe so, that belong to others, or that were not looked up. Nothing of such a render is
/// applied.
pub fn plan(mut inputs: Inputs<'_>) -> Result<Plan, Vec<PlanError>> {
    let manifests = std::mem::take(&mut inputs.manifests);
    let mut errors = duplicates(&manifests);
    let rendered: BTreeSet<_> = manifests.iter().map(|manifest| manifest.id.clone()).collect();
    errors.extend(not_read(&inputs, &rendered));
    let judge = Judge { inputs: &inputs };
    let mut steps = Vec::with_capacity(manifests.len());
    for manifest in manifests {
        match mark(manifest, inputs.owner).and_then(|marked| judge.step(marked)) {
            Ok(step) => steps.push(step),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    sort(&mut steps, |step| &step.manifest.id);
    let gone = search(&inputs, &rendered).run(inputs.policy);
    let fingerprint = fingerprint(&steps, inputs.owner);
    Ok(Plan { steps, gone, wait: inputs.policy.wait, owner: inputs.owner.clone(), fingerprint })
}

impl Plan {
    /// Returns what of this plan is about drift: what was applied as Git has it and is no longer so. Nothing is deleted by it.
    pub fn drift_alone(self) -> Self {
        self.drift_and(&BTreeSet::new())
    }

    /// Returns what of this plan is about drift or about these objects. Nothing is deleted by it.
    pub fn drift_and(mut self, objects: &BTreeSet<ObjectId>) -> Self {
        let is_drift =
            |change: &Change| matches!(change, Change::Drifted { .. } | Change::Missing | Change::Left { .. });
        self.steps.retain(|step| is_drift(&step.change) || objects.contains(&step.manifest.id));
        self.gone = Gone::default();
        self.fingerprint = fingerprint(&self.steps, &self.owner);
        self
    }

    /// Returns this plan without what it says of some objects. Nothing is deleted by it.
    pub fn without(mut self, objects: &BTreeSet<&ObjectId>) -> Self {
        self.steps.retain(|step| !objects.contains(&step.manifest.id));
        self.gone = Gone::default();
        self.fingerprint = fingerprint(&self.steps, &self.owner);
        self
    }
}

fn search<'a>(inputs: &Inputs<'a>, rendered: &'a BTreeSet<ObjectId>) -> Search<'a> {
    Search { inventory: inputs.inventory, live: inputs.live, claims: inputs.claims, owner: inputs.owner, rendered }
}

/// What a deleted Sync may delete of what it applied, and what it lets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// What to delete, in order.
    pub deletions: Vec<Deletion>,
    /// What stays.
    pub kept: Vec<Kept>,
}

/// Plans the end of a Sync that is being deleted and prunes: the only deletions that need no applied revision.
///
/// None when the Sync is not being deleted, that is, without a `metadata.deletionTimestamp` to show. What is deleted
/// is judged as in a plan, without the guards: that everything goes is what was asked for. An object that was not
/// looked up is kept.
pub fn retire(
    deletion_timestamp: Option<&str>,
    inventory: &Inventory,
    live: &Live,
    claims: &Claims,
    owner: &OwnerMark,
) -> Option<Retirement> {
    deletion_timestamp.filter(|time| !time.is_empty())?;
    let policy = PrunePolicy { enabled: true, allow_empty: true, max_percent: 100, wait: false };
    let gone = Search { inventory, live, claims, owner, rendered: &BTreeSet::new() }.run(policy);
    let kept = gone.kept.clone();
    Some(Retirement { deletions: gone.into_deletions(), kept })
}

/// Returns an error for each object that is rendered more than once, whatever its versions.
pub fn duplicates(manifests: &[Manifest]) -> Vec<PlanError> {
    let mut first: BTreeMap<&ObjectId, &Option<Location>> = BTreeMap::new();
    let mut errors = Vec::new();
    for Manifest { id, location, .. } in manifests {
        match first.get(id) {
            Some(earlier) => errors.push(PlanError::Duplicate {
                id: id.clone(),
                first: (*earlier).clone(),
                second: location.clone(),
            }),
            None => {
                first.insert(id, location);
            }
        }
    }
    errors
}

fn not_read(inputs: &Inputs<'_>, rendered: &BTreeSet<ObjectId>) -> Vec<PlanError> {
    let known = rendered.iter().chain(inputs.inventory.entries.keys().filter(|id| !rendered.contains(id)));
    known.filter(|id| !inputs.live.contains_key(id)).map(|id| PlanError::NotRead { id: id.clone() }).collect()
}

/// Says which plan a proof is about: the objects, what they should be, and what happens to them.
fn fingerprint(steps: &[Step], owner: &OwnerMark) -> Digest {
    let line = |step: &Step| json!([step.manifest.id.to_string(), step.digest, step.change.is_sent()]);
    Digest::of(&json!([owner.to_string(), steps.iter().map(line).collect::<Vec<_>>()]))
}

struct Judge<'a> {
    inputs: &'a Inputs<'a>,
}

impl Judge<'_> {
    fn step(&self, manifest: Manifest) -> Result<Step, PlanError> {
        let left_to_others = left_to_others(&manifest, self.inputs.ignore)?;
        let kept = without(&manifest, &left_to_others);
        let versions = self.inputs.versions.get(&manifest.id).map(String::as_str);
        let digest = desired_digest(&kept, versions, &self.inputs.digest);
        let live = self.live(&manifest.id);
        let change = self.change(&kept, live, digest)?;
        let kept = match kept {
            Cow::Owned(kept) if live.is_some() => Some(kept),
            _ => None,
        };
        Ok(Step {
            stage: Stage::of(&manifest.id.kind),
            change,
            digest,
            uid: live.map(|live| live.uid.clone()),
            manifest: kept.unwrap_or(manifest),
            left_to_others,
        })
    }

    fn live(&self, id: &ObjectId) -> Option<&LiveMark> {
        self.inputs.live.get(id).and_then(Option::as_ref)
    }

    fn change(&self, manifest: &Manifest, live: Option<&LiveMark>, digest: Digest) -> Result<Change, PlanError> {
        let asked = steering(manifest);
        if asked.reconcile_disabled || live.is_some_and(|live| live.steering.reconcile_disabled) {
            return Ok(Change::Skipped);
        }
        let entry = self.inputs.inventory.entries.get(&manifest.id).filter(|e| e.state != EntryState::Wanted);
        let Some(live) = live else { return Ok(self.absent(&manifest.id, entry, digest)) };
        if live.terminating {
            return Ok(Change::Terminating);
        }
        let released = is_released(&manifest.id, live);
        if let Some(controller) = live.controlled_by.as_ref().filter(|_| !released) {
            let (id, location) = (manifest.id.clone(), manifest.location.clone());
            return Err(PlanError::Controlled { id, location, controller: controller.clone() });
        }
        let change = match &live.owner {
            Some(owner) if owner.is(self.inputs.owner) && released => Change::Adopted { from: None },
            Some(owner) if owner.is(self.inputs.owner) => {
                let ignored = self.inputs.drift == DriftPolicy::Ignore;
                compare(entry, live, digest, ignored || asked.drift_ignored || live.steering.drift_ignored)
            }
            Some(other) => self.take_over(manifest, other)?,
            None if entry.is_some_and(|entry| was_applied(entry, live)) && !released => drifted(entry, live),
            None => Change::Adopted { from: None },
        };
        Ok(self.settle(&manifest.id, change))
    }

    /// Decides about an object that doesn't exist: it is drift when it was applied as Git still has it.
    fn absent(&self, id: &ObjectId, entry: Option<&Entry>, digest: Digest) -> Change {
        let was_as_git_has_it = |entry: &Entry| entry.state == EntryState::Applied && entry.digest == Some(digest);
        match self.create(id) {
            Change::New if entry.is_some_and(was_as_git_has_it) => self.settle(id, Change::Missing),
            change => change,
        }
    }

    /// Leaves drift that is not to be reverted.
    fn settle(&self, id: &ObjectId, change: Change) -> Change {
        let why = match self.inputs.drift {
            DriftPolicy::Alert => LeftBecause::Alert,
            _ if self.inputs.contested.contains(id) => LeftBecause::Contested,
            _ => return change,
        };
        match change {
            Change::Drifted { by } => Change::Left { by, why },
            Change::Missing => Change::Left { by: Vec::new(), why },
            change => change,
        }
    }

    fn create(&self, id: &ObjectId) -> Change {
        let namespace =
            id.namespace.as_ref().map(|name| ObjectId::cluster_scoped(GroupKind::new("", "Namespace"), name));
        match namespace.and_then(|id| self.live(&id)) {
            Some(namespace) if namespace.terminating => Change::Terminating,
            _ => Change::New,
        }
    }

    /// An object of another Sync is taken over only when it was looked up that the inventory of that Sync no longer
    /// names it: an object is named there before it gets its mark, so a mark that no inventory explains was let go.
    fn take_over(&self, manifest: &Manifest, other: &LiveOwner) -> Result<Change, PlanError> {
        let claims = self.inputs.claims.get(&manifest.id);
        if claims.is_some_and(|claims| claims.iter().all(|claim| !other.is(&claim.by))) {
            return Ok(Change::Adopted { from: Some(other.clone()) });
        }
        Err(PlanError::OwnedByOther {
            id: manifest.id.clone(),
            location: manifest.location.clone(),
            version: manifest.version.clone(),
            owner: other.clone(),
        })
    }
}

/// Tells whether a Secret is taken from the SealedSecret of its name that controls it: that has no other purpose than to make this
/// Secret, which comes from Git now.
fn is_released(id: &ObjectId, live: &LiveMark) -> bool {
    let kinds = (GroupKind::new("", "Secret"), GroupKind::new("bitnami.com", "SealedSecret"));
    let of_it = |controller: &ObjectId| controller.kind == kinds.1 && controller.name == id.name;
    id.kind == kinds.0 && live.controlled_by.as_ref().is_some_and(of_it)
}

/// Compares an object of ours with what we know of our last apply.
fn compare(entry: Option<&Entry>, live: &LiveMark, digest: Digest, drift_ignored: bool) -> Change {
    let applied = entry.filter(|entry| {
        entry.state == EntryState::Applied && entry.digest == Some(digest) && entry.field_mark.is_some()
    });
    match applied {
        None => Change::Changed,
        Some(entry) if entry.uid.as_ref() != Some(&live.uid) => drifted(Some(entry), live),
        Some(entry) if (entry.field_mark != live.field_mark || live.rewritten) && !drift_ignored => {
            drifted(Some(entry), live)
        }
        Some(_) => Change::Unchanged,
    }
}

/// A planned object may be one that is just being adopted, which begins again.
fn was_applied(entry: &Entry, live: &LiveMark) -> bool {
    entry.state == EntryState::Applied && entry.uid.as_ref() == Some(&live.uid)
}

fn drifted(entry: Option<&Entry>, live: &LiveMark) -> Change {
    let applied_at = entry.and_then(|entry| entry.field_mark.as_ref()).map(|mark| mark.time.as_str());
    Change::Drifted { by: live.others_since(applied_at) }
}

#[cfg(test)]
mod tests;
