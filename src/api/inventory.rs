//! `Inventory`: what a Sync has put into the cluster, so that what leaves Git can leave the cluster.
//!
//! Written by the controller, never by users. It has no status: it is itself a record. A Sync with more than
//! 1,000 objects has several, told apart by their shard number. Nothing in it is secret: digests are taken over manifests
//! that hold handles.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<InventoryEntry>,

    /// The Git blob ids of the SOPS files whose message authentication code was verified, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000), extend("x-kubernetes-list-type" = "atomic"))]
    pub verified: Vec<String>,
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

/// One object that was put into the cluster, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// The API group; absent for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,

    /// The API version without the group. Example: `v1`.
    pub version: String,

    /// The kind. Example: `Deployment`.
    pub kind: String,

    /// The namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The name.
    pub name: String,

    /// The object's `metadata.uid` when it was applied; a delete needs it to be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,

    /// The digest of what was applied, in hexadecimal, over the manifest with handles in place of secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,

    /// Our entry in `metadata.managedFields` after the last apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_mark: Option<FieldMark>,

    /// How far the object has come: `Wanted` (another Sync has it), `Planned` (about to be applied) or `Applied`.
    pub state: EntryState,
}

/// Recognises a field manager's entry in `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldMark {
    /// The digest of its `fieldsV1`, in hexadecimal.
    pub digest: String,

    /// Its `time`, as the API server writes it. Example: `2026-01-02T03:04:05Z`.
    pub time: String,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EntryState {
    /// The object is rendered here, but another Sync has it; it was never applied from here.
    Wanted,
    /// The object is about to be applied, and may or may not exist.
    Planned,
    /// The object has been applied.
    Applied,
}
