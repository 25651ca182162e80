//! What a change in Git means, field by field, without any secret: made from two renders, shown to anybody.
//!
//! A sealed value is only ever `(sealed)`. Handles are public, but tell a reader nothing, so they are not shown either.
//! This compares what Git says before and after; what a cluster makes of it, [`plan`](crate::plan) says.
//!
//! The JSON form is the serialized [`PlanDiff`], with `?` behind what can be absent:
//!
//! ```text
//! {"summary": {"create", "change", "delete", "unchanged", "skipped"?},
//!  "objects": [{"group"?, "kind", "namespace"?, "name", "change", "location"?, "renamedFrom"?, "notes"?,
//!               "fields": [{"pointer", "path", "change", "old"?, "new"?}]}]}
//! ```
//!
//! where `old` and `new` are `{"value": ...}` or `{"sealed": [{"file", "document", "keyPath", "scheme"}]}`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::gone::stays;
use crate::manifest::{clean, steering};
use crate::stage::sort;
use crate::{Location, Manifest, ObjectId, SecretMark, Summary};

mod lines;
mod redact;
mod renames;
mod text;
mod walk;

pub use text::{TextStyle, printable};

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectChange {
    /// It is new in Git.
    Created,
    /// It has other fields.
    Changed,
    /// It left Git and is deleted.
    Deleted,
    /// It left Git and stays in the cluster; a note says why.
    Kept,
    /// It has other fields, but an annotation keeps Waxwing from it.
    Skipped,
    /// It is the same.
    Unchanged,
}

/// What happens to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldChange {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
    /// It is a list whose items, known by their names, have another order.
    Moved,
}

/// A value as it may be shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// A scalar, or an empty list or map.
    Value(Value),
    /// A sealed value, and where it comes from, as far as that is known.
    Sealed(Vec<SecretMark>),
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldDiff {
    /// The JSON pointer (RFC 6901) of the field, in the new object unless the field is gone.
    pub pointer: String,
    /// The same for people: `spec.containers[web].image`.
    pub path: String,
    /// What happens to it.
    pub change: FieldChange,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Shown>,
    /// What it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Shown>,
}

/// One object and the fields that differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDiff {
    /// The object.
    #[serde(flatten)]
    pub id: ObjectId,
    /// What happens to it.
    pub change: ObjectChange,
    /// The document that it comes from, the new one where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The name of the object that it replaces, where a generator put a new suffix to its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The fields that differ; for an object that is created or deleted, all fields but its identity.
    pub fields: Vec<FieldDiff>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What differs between two renders.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanDiff {
    /// How many objects get what.
    pub summary: Summary,
    /// The objects that differ: first those to apply, in order, then those to delete, in order.
    pub objects: Vec<ObjectDiff>,
}

impl PlanDiff {
    /// Tells whether the renders lead to the same cluster.
    pub fn is_empty(&self) -> bool {
        self.summary.is_empty()
    }
}

/// Compares one object before and after; with nothing on either side, nothing differs.
pub fn diff(old: Option<&Manifest>, new: Option<&Manifest>) -> Option<ObjectDiff> {
    let id = new.or(old)?.id.clone();
    let location = new.or(old)?.location.as_ref().map(redact::location);
    let (before, after) = (old.cloned().map(clean), new.cloned().map(clean));
    let mut fields = walk::fields(before.as_ref(), after.as_ref());
    let (change, notes) = object_change(old, new, fields.is_empty());
    if old.is_none() || new.is_none() {
        fields.retain(|field| !is_identity(&field.pointer));
    }
    Some(ObjectDiff { id: redact::id(&id), change, location, renamed_from: None, fields, notes })
}

fn object_change(old: Option<&Manifest>, new: Option<&Manifest>, same: bool) -> (ObjectChange, Vec<String>) {
    match (old, new) {
        (_, Some(new)) if !same && steering(new).reconcile_disabled => {
            (ObjectChange::Skipped, vec!["waxwing.dev/reconcile: Disabled leaves it alone".to_owned()])
        }
        (None, Some(_)) => (ObjectChange::Created, vec![]),
        (Some(old), None) => match stays(&old.id, steering(old)) {
            Some(why) => (ObjectChange::Kept, vec![format!("it stays in the cluster: {why}")]),
            None => (ObjectChange::Deleted, vec![]),
        },
        _ if same => (ObjectChange::Unchanged, vec![]),
        _ => (ObjectChange::Changed, vec![]),
    }
}

fn is_identity(pointer: &str) -> bool {
    ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"].contains(&pointer)
}

/// Compares two renders. Of an object that a render has twice, the last one counts; [`duplicates`](crate::duplicates)
/// names it.
pub fn diff_sets(old: &[Manifest], new: &[Manifest]) -> PlanDiff {
    let (before, after) = (by_id(old), by_id(new));
    let replaced = renames::pairs(&before, &after);
    let mut applied: Vec<_> = after.keys().copied().collect();
    sort(&mut applied, |id| id);
    let mut gone: Vec<_> = before.keys().copied().filter(|id| !after.contains_key(id)).collect();
    sort(&mut gone, |id| id);
    gone.reverse();
    let all: Vec<_> = applied
        .into_iter()
        .chain(gone)
        .filter_map(|id| match replaced.get(id) {
            Some(from) => renames::replacement(before.get(from).copied(), after.get(id).copied()),
            None => diff(before.get(id).copied(), after.get(id).copied()),
        })
        .collect();
    let mut objects: Vec<_> = all.iter().filter(|object| object.change != ObjectChange::Unchanged).cloned().collect();
    renames::note(&mut objects, &replaced);
    PlanDiff { summary: summary(&all), objects }
}

fn by_id(manifests: &[Manifest]) -> BTreeMap<&ObjectId, &Manifest> {
    manifests.iter().map(|manifest| (&manifest.id, manifest)).collect()
}

fn summary(objects: &[ObjectDiff]) -> Summary {
    let mut summary = Summary::default();
    for object in objects {
        match object.change {
            ObjectChange::Created => summary.create += 1,
            ObjectChange::Changed => summary.change += 1,
            ObjectChange::Deleted => summary.delete += 1,
            ObjectChange::Unchanged => summary.unchanged += 1,
            ObjectChange::Kept | ObjectChange::Skipped => summary.skipped += 1,
        }
    }
    summary
}

#[cfg(test)]
mod tests;
