//! `Inventory`: what a Sync has put into the cluster, so that what leaves Git can leave the cluster.
//!
//! Written by the controller, never by users. It has no status: it is itself a record. A Sync with more than
//! 1,000 objects has several, told apart by their shard number. Nothing in it is secret: digests are taken over manifests
//! that hold handles. What the entries mean is decided in `waxwing-plan`; here stands only how they are stored.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waxwing_plan::inventory::{Entry, Shard};

/// One shard of the record of a Sync.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "Inventory",
    plural = "inventories",
    doc = "What a Sync has put into the cluster. Written by the controller; not for editing.",
    namespaced,
    derive = "PartialEq",
    shortname = "wxi",
    category = "waxwing",
    printcolumn(name = "Sync", type_ = "string", json_path = ".spec.sync.name"),
    printcolumn(name = "Shard", type_ = "integer", json_path = ".spec.shard"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.sync == oldSelf.sync && self.shard == oldSelf.shard")
    .message("an inventory never changes hands: sync and shard can't be changed"))]
pub struct InventorySpec {
    /// The Sync that this is the record of, which is also its owner.
    pub sync: SyncIdentity,

    /// The number of this shard, from 0.
    #[schemars(range(max = 9999), extend("format" = "int32"))]
    pub shard: u32,

    /// The objects, sorted by group, kind, namespace and name; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<EntrySchema>", length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<Entry>,

    /// The Git blob ids of the SOPS files whose message authentication code was verified, sorted; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub verified: Vec<String>,
}

impl InventorySpec {
    /// Makes the shard `shard` of the record of `sync`.
    pub fn new(sync: SyncIdentity, shard: Shard) -> Self {
        Self { sync, shard: shard.number, entries: shard.entries, verified: shard.verified }
    }
}

impl From<InventorySpec> for Shard {
    /// Drops whose record it is.
    fn from(spec: InventorySpec) -> Self {
        Self { number: spec.shard, entries: spec.entries, verified: spec.verified }
    }
}

/// Tells a Sync from another one that later has the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncIdentity {
    /// The name of the Sync, in the namespace of the inventory.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its `metadata.uid`.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// An object that the Sync has applied, is about to apply, or wants.
// Of the same shape as [`Entry`], whose crate knows nothing of schemas.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "its fields exist for their schema")]
struct EntrySchema {
    /// The API group; absent for the core group.
    group: Option<String>,

    /// The API version without the group. Example: `v1`.
    version: String,

    /// The kind. Example: `Deployment`.
    kind: String,

    /// The namespace; absent for cluster-scoped objects.
    namespace: Option<String>,

    /// The name.
    name: String,

    /// The object's `metadata.uid` when it was applied; a delete needs it to be the same.
    uid: Option<String>,

    /// The digest of what was applied, over the manifest with handles in place of secrets: 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    digest: Option<String>,

    /// Our entry in `metadata.managedFields` after the last apply.
    field_mark: Option<FieldMarkSchema>,

    /// How far the object has come: `Wanted` (another Sync has it), `Planned` (about to be applied) or `Applied`.
    #[schemars(extend("enum" = ["Wanted", "Planned", "Applied"]))]
    state: String,
}

/// The schema of a [`waxwing_plan::FieldMark`].
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "its fields exist for their schema")]
struct FieldMarkSchema {
    /// The digest of its `fieldsV1`: 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    digest: String,

    /// Its `time`, as the API server writes it. Example: `2026-01-02T03:04:05Z`.
    time: String,
}
