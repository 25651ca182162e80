//! `Sync`: which folder of a source belongs into the cluster, as whom, and under which rules.
//!
//! Only fields that work are here. The list of applied objects is not: that is the `Inventory`, since ten thousand
//! entries do not fit into one status.

use std::fmt::Display;
use std::num::NonZeroU8;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waxwing_plan::IgnoreRule;

use super::{
    BackendRef, FieldPointer, ForeignReferences, KeySource, KindName, LEASES_LIMIT, LeaseStatus, LocalRef, Period,
    Reason,
};

/// The most failures that a status lists.
pub const FAILURES_LIMIT: usize = 50;

/// What to do with the files of a source.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "Sync",
    doc = "A folder of a source that the cluster is kept equal to.",
    namespaced,
    status = "SyncStatus",
    derive = "PartialEq",
    shortname = "wxs",
    category = "waxwing",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the cluster is what the revision says",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        description = "How long Ready has been what it is",
        json_path = ".status.conditions[?(@.type==\"Ready\")].lastTransitionTime"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        description = "The last revision that was applied as a whole",
        json_path = ".status.lastAppliedRevision"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        description = "What happened, and what to do about it",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Source", type_ = "string", priority = 1, json_path = ".spec.sourceRef.name"),
    printcolumn(name = "Path", type_ = "string", priority = 1, json_path = ".spec.path"),
    printcolumn(name = "Objects", type_ = "integer", priority = 1, json_path = ".status.counts.objects"),
    printcolumn(name = "Suspended", type_ = "boolean", priority = 1, json_path = ".spec.suspend")
)]
#[serde(rename_all = "camelCase")]
pub struct SyncSpec {
    /// The GitSource in the same namespace that the files come from. Example: `{name: fleet}`.
    pub source_ref: LocalRef,

    /// The folder in the repository: with a kustomization it is built by Kustomize, without one all YAML and JSON files in it
    /// and below are taken. It can't leave the repository. Default: `.`, the whole repository. Example: `./clusters/prod`.
    #[serde(default = "whole_repository")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(part, part == '..')")
        .message("the path is relative to the repository and may not leave it"))]
    pub path: String,

    /// How often to compare the cluster with the revision even where nothing is known to have changed.
    /// Default: `10m`. Example: `1h`.
    #[serde(default = "ten_minutes")]
    pub interval: Period,

    /// How long to wait after a failure before trying again. Default: `1m`. Example: `15s`.
    #[serde(default = "one_minute")]
    pub retry_interval: Period,

    /// How long one sync may take: rendering, opening and applying, then waiting for health, then pruning; and how long a
    /// deleted Sync may prune. Default: `5m`. Example: `15m`.
    #[serde(default = "five_minutes")]
    pub timeout: Period,

    /// What happens to objects that leave the revision. Namespaces, CustomResourceDefinitions and PersistentVolumeClaims are
    /// deleted only where they carry the annotation `waxwing.dev/prune: Confirmed`; an object that carries
    /// `waxwing.dev/prune: Disabled` never is.
    #[serde(default)]
    pub prune: Prune,

    /// What happens to objects that somebody wrote over or deleted while Git did not change: `Revert` applies them again,
    /// `Alert` only says so in the condition `Drifted`, `Ignore` leaves what others wrote and makes deleted objects again.
    /// An object with the annotation `waxwing.dev/drift: Ignore` is treated as under `Ignore`. Default: `Revert`.
    #[serde(default)]
    pub drift: Drift,

    /// Fields that are sent when their object is created, and left to others from then on: what others write there is no
    /// drift, and a change in Git is not sent. Default: none.
    /// Example: `[{target: {kind: apps/Deployment}, paths: [/spec/replicas]}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ignore: Vec<Ignore>,

    /// Whether Ready, and pruning, wait for all objects to be healthy. Default: `true`.
    #[serde(default = "yes")]
    pub wait: bool,

    /// The ServiceAccount in the same namespace that everything is read, dry run and applied as. Default: `default`.
    /// Example: `deployer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,

    /// How secrets are opened and where they may go.
    #[serde(default)]
    #[x_kube(validation = Rule::new(FOREIGN_RULE)
        .message("foreignReferences names a backend that backends does not"))]
    pub secrets: Secrets,

    /// Whether to leave the cluster as it is. Default: `false`.
    #[serde(default)]
    pub suspend: bool,
}

impl SyncSpec {
    /// Returns the name of the ServiceAccount that this Sync acts as.
    pub fn service_account(&self) -> &str {
        self.service_account_name.as_deref().unwrap_or("default")
    }
}

fn whole_repository() -> String {
    ".".to_owned()
}

fn ten_minutes() -> Period {
    Period::from_mins(10)
}

fn five_minutes() -> Period {
    Period::from_mins(5)
}

fn one_minute() -> Period {
    Period::from_mins(1)
}

fn yes() -> bool {
    true
}

/// Says that a field is left out, or is the name of one of the backends.
macro_rules! is_backend {
    ($field:literal) => {
        concat!("(!has(", $field, ") || (has(self.backends) && self.backends.exists(b, b.name == ", $field, ")))")
    };
}

/// What stands for the store of another tool is one of the backends.
const FOREIGN_RULE: &str = concat!(
    "!has(self.foreignReferences) || (",
    is_backend!("self.foreignReferences.argocdVaultPlugin"),
    " && (!has(self.foreignReferences.vals) || (",
    is_backend!("self.foreignReferences.vals.vault"),
    " && ",
    is_backend!("self.foreignReferences.vals.openbao"),
    " && ",
    is_backend!("self.foreignReferences.vals.awssecrets"),
    " && ",
    is_backend!("self.foreignReferences.vals.awsssm"),
    " && ",
    is_backend!("self.foreignReferences.vals.gcpsecrets"),
    ")))"
);

/// What happens to objects that leave the revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// Whether objects that left the revision are deleted. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Whether a revision without any object may delete everything. Default: `false`, so that nothing is deleted.
    #[serde(default)]
    pub allow_empty: bool,

    /// The share of the applied objects that one sync may delete, in percent, from 1 to 100, where there are more than ten of
    /// them; a sync that would delete more deletes nothing. Default: `50`.
    #[serde(default = "half")]
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub max_percent: NonZeroU8,
}

impl Default for Prune {
    fn default() -> Self {
        Self { enabled: true, allow_empty: false, max_percent: half() }
    }
}

const fn half() -> NonZeroU8 {
    NonZeroU8::MIN.saturating_add(49)
}

/// What happens to drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Drift {
    /// It is reverted.
    #[default]
    Revert,
    /// It is told and left.
    Alert,
    /// It is left.
    Ignore,
}

/// Fields of some objects that are left to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ignore {
    /// Whose fields. Default: those of every object of the Sync. Example: `{kind: apps/Deployment, name: web}`.
    #[serde(default)]
    pub target: IgnoreTarget,

    /// Which fields, as JSON pointers (RFC 6901): no part of `apiVersion`, `kind` and `metadata` but single labels and
    /// annotations. A number means the item of a list that stands there in Git; the item itself can't be left to others.
    /// Example: `[/spec/replicas]`.
    #[schemars(length(min = 1, max = 32))]
    pub paths: Vec<FieldPointer>,
}

impl Ignore {
    /// Returns the rule as a plan takes it.
    pub fn rule(&self) -> IgnoreRule {
        IgnoreRule {
            kind: self.target.kind.as_ref().map(|kind| kind.get().clone()),
            namespace: self.target.namespace.clone(),
            name: self.target.name.clone(),
            paths: self.paths.iter().map(|path| path.get().clone()).collect(),
        }
    }
}

/// Which objects of a Sync; what is left out fits each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IgnoreTarget {
    /// Their kind, as `group/Kind`. Default: any. Example: `apps/Deployment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KindName>,

    /// Their namespace. Default: any. Example: `shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// Their name. Default: any. Example: `web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
}

/// How secrets are opened and where they may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    /// What happens to a Secret that stands in Git unsealed: `Deny` refuses the revision, `Warn` applies it and says so in an
    /// event, `Allow` applies it. Default: `Deny`.
    #[serde(default)]
    pub plaintext: Plaintext,

    /// The further kinds, beside Secret, in which an opened value may end, as `group/Kind`. Whatever stands here, a value never
    /// ends in `apiVersion`, `kind`, `metadata`, a map key or a keyed list, nor below any list of a kind that is not built into
    /// Kubernetes. Default: none. Example: `[apps/Deployment]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "set"))]
    pub bind_into: Vec<KindName>,

    /// Where the keys for SOPS files are read from; all of them are tried. SealedSecrets need none: the cluster's sealing
    /// keys open them. Default: none. Example: `[{secretRef: {name: sops-age}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub keys_from: Vec<KeySource>,

    /// The backends through which key services may be asked to open SOPS files, in this order; the first that allows a key is
    /// used for it. References (`ref+store://NAME/...`, and `ref+clusterstore://NAME/...` for the kind ClusterSecretBackend) go through the one of their
    /// name. Those of the namespace are read as the Sync's ServiceAccount.
    /// Default: none, so files that only such services open are refused, and so are references. Example: `[{name: vault}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub backends: Vec<BackendRef>,

    /// The references of other tools that are read as if they were `ref+store://`, and through which of `backends`. What in them says where a
    /// store is or who logs in (`address`, `token_env`, `region`) is refused by name, and so is what has no counterpart. Default: none; they
    /// are text, which in a Secret is clear text. Example: `{argocdVaultPlugin: vault, vals: {vault: vault, versionedEngines: [secret]}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_references: Option<ForeignReferences>,
}

/// What happens to a Secret that stands in Git unsealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Plaintext {
    /// The revision is refused.
    #[default]
    Deny,
    /// The Secret is applied, and an event says so.
    Warn,
    /// The Secret is applied.
    Allow,
}

/// What the controller made of the last revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// The generation of the spec that this status is about; older than `metadata.generation` while a change waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What is the matter now: Ready, Reconciling, Stalled, Healthy, Unsealed and Drifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The last revision of which every object was applied. Example: `main@sha1:1f3d0c1be4b0d0b2f7f7ab0e0d5a4f1d6b1f0a7c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,

    /// The last revision that was tried, whatever came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,

    /// How many objects there are, and what the last sync that changed something did to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,

    /// What is wrong, object by object; at most 50, the message of Ready says how many more there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = FAILURES_LIMIT), extend("x-kubernetes-list-type" = "atomic"))]
    pub failures: Vec<Failure>,

    /// The last value of the annotation `waxwing.dev/requestedAt` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_requested_at: Option<String>,

    /// The secrets that stores made for objects, those first that end first; at most 100. Of one that is not listed, a controller that
    /// starts knows nothing, and has another made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LEASES_LIMIT), extend("x-kubernetes-list-type" = "atomic"))]
    pub leases: Vec<LeaseStatus>,
}

/// Numbers of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// The objects of the revision.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub objects: u32,

    /// Those of them that are healthy.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub ready: u32,

    /// Those that the last sync created.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub created: u32,

    /// Those that it changed.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub configured: u32,

    /// Those that were as they should be.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub unchanged: u32,

    /// The objects that it deleted.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub deleted: u32,

    /// Those that it left alone because an annotation says so.
    #[serde(default)]
    #[schemars(extend("format" = "int32"))]
    pub skipped: u32,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The object, as `group/Kind/namespace/name`; or the file, as `path:line`, where there is no object yet.
    /// Example: `apps/Deployment/shop/web`.
    pub object: String,

    /// Why, from the same list as the reasons of conditions.
    #[serde(deserialize_with = "Reason::deserialize_leniently")]
    pub reason: Reason,

    /// What happened, and what to do about it. It never holds a secret value.
    pub message: String,

    /// Since when it is wrong for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl Failure {
    /// Makes one of which nobody said yet since when it is so.
    pub fn new(object: &dyn Display, reason: Reason, message: String) -> Self {
        Self { object: object.to_string(), reason, message, since: None }
    }

    /// Tells whether `other` is the same thing wrong for the same reason, whatever else is said of it now. Of a reference, the message begins
    /// with which one it is and where.
    pub fn is_still(&self, other: &Self) -> bool {
        let place = |failure: &Self| failure.message.split_once(": ").map(|(place, _)| place.to_owned());
        (&self.object, self.reason, place(self)) == (&other.object, other.reason, place(other))
    }
}
