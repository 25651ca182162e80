//! What the inventory names and the render no longer has: what may be deleted, what stays, and why.
//!
//! Deleting is the one thing that can't be taken back, so everything here errs on the side of keeping: only an object
//! that is ours by its mark, the very one that we applied by its uid, and needed by nothing that is still rendered,
//! is a candidate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::decide::Live;
use crate::inventory::{Claims, Entry, EntryState, Inventory};
use crate::live::{LiveMark, LiveOwner};
use crate::marks::{OwnerMark, PruneMark, Steering};
use crate::stage::sort;
use crate::{GroupKind, ObjectId};

/// When a Sync prunes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunePolicy {
    /// Objects that left Git are deleted.
    pub enabled: bool,
    /// A render without any object may delete everything.
    pub allow_empty: bool,
    /// The most that one revision deletes of more than ten objects, in percent.
    pub max_percent: u8,
    /// Nothing is deleted before everything rendered is healthy.
    pub wait: bool,
}

/// Why a plan deletes nothing although objects left Git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneGuard {
    /// The Sync does not prune.
    Disabled {
        /// How many objects would be deleted.
        pruned: usize,
    },
    /// The render has no object at all.
    Empty {
        /// How many objects would be deleted.
        pruned: usize,
    },
    /// Too large a part of the inventory would be deleted.
    TooMany {
        /// How many objects would be deleted.
        pruned: usize,
        /// How many objects the inventory has.
        total: usize,
        /// The most that may be deleted, in percent.
        max_percent: u8,
    },
}

impl PruneGuard {
    /// Returns what to do to have the objects deleted.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Disabled { .. } => "set spec.prune.enabled to true, or delete them by hand",
            Self::Empty { .. } => "if that is meant, set spec.prune.allowEmpty to true; if not, check spec.path",
            Self::TooMany { .. } => "if that is meant, raise spec.prune.maxPercent for this revision",
        }
    }
}

impl fmt::Display for PruneGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled { pruned } => write!(f, "pruning is off: {pruned} objects that left Git stay"),
            Self::Empty { pruned } => write!(f, "the render is empty: {pruned} objects stay"),
            Self::TooMany { pruned, total, max_percent } => {
                write!(f, "{pruned} of {total} objects left Git, more than {max_percent} percent: they stay")
            }
        }
    }
}

/// Why an object that left Git is not deleted, and stays in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBecause {
    /// Its `waxwing.dev/prune` annotation says so.
    Disabled,
    /// Its kind takes too much with it to go without `waxwing.dev/prune: Confirmed`.
    NotConfirmed,
    /// It is being deleted already.
    Terminating,
    /// A controller has it.
    Controlled(ObjectId),
    /// It is not the object that was applied: it has another uid.
    Replaced,
    /// Something that is still rendered needs it.
    NeededBy(ObjectId),
    /// It is the Sync itself, or the namespace of the Sync.
    OwnSync,
    /// Its state in the cluster is not known.
    NotRead,
}

impl fmt::Display for KeptBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("an annotation of waxwing.dev keeps it"),
            Self::NotConfirmed => f.write_str("its kind is deleted only with waxwing.dev/prune: Confirmed"),
            Self::Terminating => f.write_str("it is being deleted"),
            Self::Controlled(controller) => write!(f, "it is controlled by {controller}"),
            Self::Replaced => f.write_str("it is not the object that was applied"),
            Self::NeededBy(id) => write!(f, "{id} is still rendered and needs it"),
            Self::OwnSync => f.write_str("this Sync lives in it"),
            Self::NotRead => f.write_str("its state in the cluster is not known"),
        }
    }
}

/// An object that left Git and is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The object.
    pub id: ObjectId,
    /// Why it stays.
    pub why: KeptBecause,
}

/// Why an object leaves the inventory without being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleasedBecause {
    /// It doesn't exist.
    Absent,
    /// It was never applied.
    NeverApplied,
    /// Somebody took our mark off.
    Unmarked,
    /// It carries the mark of another Sync.
    OwnedByOther(LiveOwner),
    /// Another Sync renders it and will take it over.
    HandedOver(OwnerMark),
    /// It is a rendered object under another name of its kind.
    Renamed(ObjectId),
}

/// An object that leaves the inventory without being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The object.
    pub id: ObjectId,
    /// Why it is no longer ours.
    pub why: ReleasedBecause,
}

/// Permission to delete one object. Only a plan with its proofs, or a Sync that is itself deleted, gives one; this does
/// not compile:
///
/// ```compile_fail,E0624
/// fn without_proof(plan: &waxwing_plan::Plan) -> &[waxwing_plan::Deletion] {
///     plan.gone().deletions()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    id: ObjectId,
    version: String,
    uid: String,
    owner: OwnerMark,
}

/// What the second look right before a delete says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Delete it, with the uid and this resourceVersion as preconditions.
    Delete {
        /// `metadata.resourceVersion` of what was looked at.
        resource_version: String,
    },
    /// It is no longer there.
    Absent,
    /// Its state has changed since the plan was made; the next plan sees to it.
    Leave,
}

impl Deletion {
    /// Returns the object.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Returns the API version, without the group, to delete it by.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the uid that is the precondition of the delete.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Judges the object as it was read right before the delete.
    pub fn recheck(&self, live: Option<&LiveMark>) -> Recheck {
        let Some(live) = live else { return Recheck::Absent };
        let ours = live.uid == self.uid && live.owner.as_ref().is_some_and(|owner| owner.is(&self.owner));
        match may_go(&self.id, live) {
            Ok(()) if ours => Recheck::Delete { resource_version: live.resource_version.clone() },
            _ => Recheck::Leave,
        }
    }
}

/// What the inventory names and the render no longer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    deletions: Vec<Deletion>,
    /// What is not deleted and stays in the inventory.
    pub kept: Vec<Kept>,
    /// What leaves the inventory without being deleted.
    pub released: Vec<Released>,
    /// Why nothing is deleted although objects left Git.
    pub guard: Option<PruneGuard>,
}

impl Gone {
    /// Returns the ids of what will be deleted, in order.
    pub fn to_delete(&self) -> impl Iterator<Item = &ObjectId> {
        self.deletions.iter().map(|deletion| &deletion.id)
    }

    pub(crate) fn deletions(&self) -> &[Deletion] {
        &self.deletions
    }

    /// Returns what a Sync that is itself deleted may delete.
    pub(crate) fn into_deletions(self) -> Vec<Deletion> {
        self.deletions
    }
}

/// What decides about the objects that are gone.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) live: &'a Live,
    pub(crate) claims: &'a Claims,
    pub(crate) owner: &'a OwnerMark,
    pub(crate) rendered: &'a BTreeSet<ObjectId>,
}

/// The rendered objects by the uid of the live one.
type Uids<'a> = BTreeMap<&'a str, &'a ObjectId>;

enum Verdict {
    Delete(Deletion),
    Keep(KeptBecause),
    Release(ReleasedBecause),
}

impl Search<'_> {
    /// Judges each entry of the inventory that is not rendered. Every one of them has been looked up.
    pub(crate) fn run(&self, policy: PrunePolicy) -> Gone {
        let mut entries: Vec<_> = self.inventory.entries.values().filter(|e| !self.rendered.contains(&e.id)).collect();
        sort(&mut entries, |entry| &entry.id);
        entries.reverse();
        let uids = self.rendered.iter().filter_map(|id| Some((self.uid(id)?, id))).collect();
        let mut gone = Gone::default();
        for entry in entries {
            let id = entry.id.clone();
            match self.judge(entry, &uids) {
                Verdict::Delete(deletion) => gone.deletions.push(deletion),
                Verdict::Keep(why) => gone.kept.push(Kept { id, why }),
                Verdict::Release(why) => gone.released.push(Released { id, why }),
            }
        }
        gone.guard = self.guard(policy, gone.deletions.len());
        if gone.guard.is_some() {
            gone.deletions.clear();
        }
        gone
    }

    fn judge(&self, entry: &Entry, uids: &Uids<'_>) -> Verdict {
        let live = match self.live.get(&entry.id) {
            None => return Verdict::Keep(KeptBecause::NotRead),
            Some(None) => return Verdict::Release(ReleasedBecause::Absent),
            Some(Some(live)) => live,
        };
        if let Some(why) = self.released(entry, live, uids) {
            return Verdict::Release(why);
        }
        let replaced = entry.uid.as_ref().is_some_and(|uid| *uid != live.uid);
        match may_go(&entry.id, live) {
            Err(why) => Verdict::Keep(why),
            Ok(()) if replaced => Verdict::Keep(KeptBecause::Replaced),
            Ok(()) if self.is_own_sync(&entry.id) => Verdict::Keep(KeptBecause::OwnSync),
            Ok(()) => match self.needed_by(&entry.id) {
                Some(id) => Verdict::Keep(KeptBecause::NeededBy(id.clone())),
                None => Verdict::Delete(Deletion {
                    id: entry.id.clone(),
                    version: entry.version.clone(),
                    uid: live.uid.clone(),
                    owner: self.owner.clone(),
                }),
            },
        }
    }

    fn released(&self, entry: &Entry, live: &LiveMark, uids: &Uids<'_>) -> Option<ReleasedBecause> {
        match &live.owner {
            _ if entry.state == EntryState::Wanted => return Some(ReleasedBecause::NeverApplied),
            None => return Some(ReleasedBecause::Unmarked),
            Some(other) if !other.is(self.owner) => return Some(ReleasedBecause::OwnedByOther(other.clone())),
            Some(_) => {}
        }
        let heir = self.claims.get(&entry.id).into_iter().flatten().find(|claim| claim.may_inherit);
        if let Some(claim) = heir {
            return Some(ReleasedBecause::HandedOver(claim.by.clone()));
        }
        uids.get(live.uid.as_str()).map(|id| ReleasedBecause::Renamed((*id).clone()))
    }

    fn uid(&self, id: &ObjectId) -> Option<&str> {
        self.live.get(id).and_then(Option::as_ref).map(|live| live.uid.as_str())
    }

    /// Finds a rendered object that would go with `what`.
    fn needed_by(&self, what: &ObjectId) -> Option<&ObjectId> {
        let namespace = is(&what.kind, "", "Namespace");
        let definition = is(&what.kind, "apiextensions.k8s.io", "CustomResourceDefinition");
        self.rendered.iter().find(|id| {
            (namespace && id.namespace.as_deref() == Some(&what.name))
                || (definition && may_define(&what.name, &id.kind))
        })
    }

    fn is_own_sync(&self, id: &ObjectId) -> bool {
        self.owner.is_sync(id) || (is(&id.kind, "", "Namespace") && id.name == self.owner.namespace)
    }

    fn guard(&self, policy: PrunePolicy, pruned: usize) -> Option<PruneGuard> {
        let total = self.inventory.entries.values().filter(|entry| entry.state != EntryState::Wanted).count();
        let max_percent = policy.max_percent;
        match () {
            () if pruned == 0 => None,
            () if !policy.enabled => Some(PruneGuard::Disabled { pruned }),
            () if self.rendered.is_empty() && !policy.allow_empty => Some(PruneGuard::Empty { pruned }),
            () if total > 10 && !self.rendered.is_empty() && pruned * 100 > total * usize::from(max_percent) => {
                Some(PruneGuard::TooMany { pruned, total, max_percent })
            }
            () => None,
        }
    }
}

/// What a live object itself says against being deleted.
fn may_go(id: &ObjectId, live: &LiveMark) -> Result<(), KeptBecause> {
    match &live.controlled_by {
        _ if live.terminating => Err(KeptBecause::Terminating),
        Some(controller) => Err(KeptBecause::Controlled(controller.clone())),
        None => stays(id, live.steering).map_or(Ok(()), Err),
    }
}

/// Why an object stays in the cluster when it leaves Git, by its kind and its annotations.
pub(crate) fn stays(id: &ObjectId, steering: Steering) -> Option<KeptBecause> {
    match steering.prune {
        _ if steering.reconcile_disabled => Some(KeptBecause::Disabled),
        PruneMark::Disabled => Some(KeptBecause::Disabled),
        PruneMark::Unset if needs_confirmation(&id.kind) => Some(KeptBecause::NotConfirmed),
        PruneMark::Unset | PruneMark::Confirmed => None,
    }
}

fn is(kind: &GroupKind, group: &str, name: &str) -> bool {
    kind.group == group && kind.kind == name
}

fn needs_confirmation(kind: &GroupKind) -> bool {
    is(kind, "", "Namespace")
        || is(kind, "", "PersistentVolumeClaim")
        || is(kind, "apiextensions.k8s.io", "CustomResourceDefinition")
}

/// A definition is named `plural.group`. The plural isn't known here, but it begins as the kind does but for its last
/// letter.
fn may_define(definition: &str, kind: &GroupKind) -> bool {
    let Some((plural, group)) = definition.split_once('.') else { return false };
    let mut stem = kind.kind.to_lowercase();
    stem.pop();
    group == kind.group && plural.starts_with(&stem)
}

#[cfg(test)]
mod tests;
