//! The inventory: what a Sync has applied or is about to apply, so that nothing is lost and nothing else is pruned.
//!
//! The union of the old inventory and the plan is written before the first apply. It is a crash record, not a cache:
//! an entry that says `Planned` proves only that an object may exist.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::live::FieldMark;
use crate::{Change, Digest, ObjectId, OwnerMark, Plan, Step};

mod shards;

pub use shards::{SHARD_SIZE, Shard};

/// How far the object of an entry got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryState {
    /// Rendered here, but another Sync has it; never applied, so never pruned.
    Wanted,
    /// About to be applied; whether it was is not known.
    Planned,
    /// Applied, with the digest and the marks of the entry.
    Applied,
}

/// One object of an inventory. Serialized flat, without the fields that are not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The object.
    #[serde(flatten)]
    pub id: ObjectId,
    /// The API version without the group that it was last rendered in.
    pub version: String,
    /// The uid of the live object; none before it is known to exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The digest of the object as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What our last apply left in `managedFields`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_mark: Option<FieldMark>,
    /// How far the object got.
    pub state: EntryState,
}

/// What one Sync has applied or is about to apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The objects.
    pub entries: BTreeMap<ObjectId, Entry>,
    /// The Git blob ids of the SOPS files whose MAC was verified.
    pub verified: BTreeSet<String>,
}

/// What an apply did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not exist before.
    Created,
    /// It existed and was changed.
    Configured,
    /// It existed and was as it should be.
    Unchanged,
}

/// The answer to a successful apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The uid of the object.
    pub uid: String,
    /// What the apply left in `managedFields`.
    pub field_mark: Option<FieldMark>,
    /// What it did.
    pub outcome: Outcome,
}

/// What came of a plan. What failed is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The objects that were applied.
    pub applied: BTreeMap<ObjectId, Applied>,
    /// The objects that were deleted, or turned out to be gone.
    pub deleted: BTreeSet<ObjectId>,
}

impl Inventory {
    /// Returns the union with what `plan` is about to apply: what is written before the first apply.
    ///
    /// Nothing leaves the inventory here. It equals `self` when the plan sends nothing new, so that nothing is written: what is
    /// put back is recorded already, and would be seen as drift again after a crash.
    pub fn union(&self, plan: &Plan) -> Self {
        let planned = plan.to_send().filter(|step| !self.has(step)).map(|step| Entry {
            id: step.manifest.id.clone(),
            version: step.manifest.version.clone(),
            uid: step.uid.clone(),
            digest: Some(step.digest),
            field_mark: None,
            state: EntryState::Planned,
        });
        self.with(planned)
    }

    /// Returns the inventory with the objects that another Sync has, so that it hands them over when it drops them.
    ///
    /// An entry that says more about an object is left as it is.
    pub fn wanting<'a>(&self, objects: impl IntoIterator<Item = (&'a ObjectId, &'a str)>) -> Self {
        let wanted = objects.into_iter().filter(|(id, _)| !self.entries.contains_key(id)).map(|(id, version)| Entry {
            id: id.clone(),
            version: version.to_owned(),
            uid: None,
            digest: None,
            field_mark: None,
            state: EntryState::Wanted,
        });
        self.with(wanted)
    }

    /// Tells whether what a step puts back is recorded as it will be.
    fn has(&self, step: &Step) -> bool {
        let same = |entry: &Entry| {
            entry.state == EntryState::Applied && entry.digest == Some(step.digest) && entry.uid == step.uid
        };
        matches!(step.change, Change::Drifted { .. }) && self.entries.get(&step.manifest.id).is_some_and(same)
    }

    fn with(&self, entries: impl Iterator<Item = Entry>) -> Self {
        let mut merged = self.clone();
        merged.entries.extend(entries.map(|entry| (entry.id.clone(), entry)));
        merged
    }

    /// Returns what this inventory, the union with a plan, becomes by what was applied: that is marked so, and what failed
    /// stays as it is. Nothing leaves the inventory here.
    pub fn after_apply(&self, results: &Results) -> Self {
        let mut next = self.clone();
        for (id, applied) in &results.applied {
            if let Some(entry) = next.entries.get_mut(id) {
                entry.uid = Some(applied.uid.clone());
                entry.field_mark = applied.field_mark.clone();
                entry.state = EntryState::Applied;
            }
        }
        next
    }

    /// Returns the inventory without what `plan` found to be no longer there or no longer ours; for when everything that it
    /// sends was applied.
    pub fn without_released(mut self, plan: &Plan) -> Self {
        for released in &plan.gone().released {
            self.entries.remove(&released.id);
        }
        self
    }

    /// Returns the inventory without what was deleted.
    pub fn without_deleted(&self, deleted: &BTreeSet<ObjectId>) -> Self {
        let mut next = self.clone();
        next.entries.retain(|id, _| !deleted.contains(id));
        next
    }
}

/// Says that the inventory of another Sync names an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The other Sync.
    pub by: OwnerMark,
    /// The other Sync may write the object, so that it is handed over to it.
    ///
    /// A claim is enough to keep an object from being deleted, so this is true only after a check: the other Sync has
    /// the same namespace and ServiceAccount, or an access review says that its ServiceAccount may write the object.
    pub may_inherit: bool,
}

/// The objects that were looked up in the inventories of other Syncs, with those that name them; empty where nobody
/// does.
pub type Claims = BTreeMap<ObjectId, Vec<Claim>>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::id;

    #[test]
    fn entries_have_a_flat_and_stable_form() {
        let mut entry = Entry {
            id: id("Deployment", "web"),
            version: "v1".to_owned(),
            uid: None,
            digest: None,
            field_mark: None,
            state: EntryState::Planned,
        };
        let short = json!({"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web",
            "version": "v1", "state": "Planned"});
        assert_eq!(serde_json::to_value(&entry).unwrap(), short);
        assert_eq!(serde_json::from_value::<Entry>(short).unwrap(), entry);

        let digest = Digest::of(&json!(1));
        entry.uid = Some("u".to_owned());
        entry.digest = Some(digest);
        entry.field_mark = Some(FieldMark { digest, time: "2026-01-02T03:04:05Z".to_owned() });
        let text = serde_json::to_string(&entry).unwrap();
        assert!(text.contains(r#""fieldMark":{"digest":""#), "{text}");
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }

    #[test]
    fn a_wanted_object_does_not_hide_what_is_known() {
        let object = id("ConfigMap", "web");
        let inventory = Inventory::default().wanting([(&object, "v1")]);
        assert_eq!(inventory.entries[&object].state, EntryState::Wanted);
        let mut applied = inventory.clone();
        applied.entries.get_mut(&object).unwrap().state = EntryState::Applied;
        assert_eq!(applied.wanting([(&object, "v1")]), applied);
    }
}
