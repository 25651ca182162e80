//! `GitSource`: which repository to fetch, which revision of it, and how often.
//!
//! It says nothing about what is done with the files; that is a `Sync`. Credentials are referred to, never written here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalRef, Period};

/// What to fetch, and how often.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "GitSource",
    doc = "A Git repository and the revision of it that Syncs use.",
    namespaced,
    status = "GitSourceStatus",
    derive = "PartialEq",
    shortname = "wxg",
    category = "waxwing",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the revision could be fetched",
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
        description = "The revision that Syncs use",
        json_path = ".status.revision"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        description = "What happened, and what to do about it",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "URL", type_ = "string", priority = 1, json_path = ".spec.url"),
    printcolumn(name = "Suspended", type_ = "boolean", priority = 1, json_path = ".spec.suspend")
)]
#[serde(rename_all = "camelCase")]
pub struct GitSourceSpec {
    /// The address of the repository: `https://`, or `http://` and `file://` where the controller's flags allow them.
    /// It can't hold credentials: those go into `secretRef`. Example: `https://git.example.com/org/fleet.git`.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^(https|http|file)://[^\s]+$"))]
    #[x_kube(
        validation = Rule::new("!self.matches('^[a-z]+://[^/]*@')")
            .message("credentials may not stand in the address: put username and password into the Secret of secretRef"),
        validation = Rule::new("!self.contains('?') && !self.contains('#')")
            .message("the address of a repository has no query and no fragment")
    )]
    pub url: String,

    /// The revision to follow: exactly one of `branch`, `tag` and `commit`. Default: `{branch: main}`.
    #[serde(rename = "ref", default)]
    pub reference: GitReference,

    /// How often to ask the server for the tip. Nothing is fetched while the tip is known. Default: `1m`. Example: `90s`.
    #[serde(default = "one_minute")]
    pub interval: Period,

    /// A Secret in the same namespace with the credentials, read as the controller. Its keys: `username` and `password`, or
    /// `bearerToken`; and `ca.crt`, the certificates (PEM) that the server is trusted by instead of the system's.
    /// Default: none, so the repository is fetched without credentials. Example: `{name: fleet-auth}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,

    /// How long one fetch may take; more than ten minutes count as ten. Default: `1m`. Example: `5m`.
    #[serde(default = "one_minute")]
    pub timeout: Period,

    /// Whether to stop fetching. Syncs go on with the last revision. Default: `false`.
    #[serde(default)]
    pub suspend: bool,
}

fn one_minute() -> Period {
    Period::from_mins(1)
}

/// The revision to follow: exactly one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.branch), has(self.tag), has(self.commit)].filter(set, set).size() == 1")
        .message("exactly one of branch, tag and commit must be set")
)]
pub struct GitReference {
    /// A branch, whose tip is followed. Example: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$"))]
    #[x_kube(validation = Rule::new("!self.contains('..')").message("a branch has no two dots in a row"))]
    pub branch: Option<String>,

    /// A tag; where it is moved, the new commit is followed. Example: `v1.4.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$"))]
    #[x_kube(validation = Rule::new("!self.contains('..')").message("a tag has no two dots in a row"))]
    pub tag: Option<String>,

    /// One commit by its full id: 40 (SHA-1) or 64 (SHA-256) lowercase hexadecimal digits.
    /// Example: `1f3d0c1be4b0d0b2f7f7ab0e0d5a4f1d6b1f0a7c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 40, max = 64), regex(pattern = r"^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit: Option<String>,
}

impl Default for GitReference {
    /// Follows the branch `main`.
    fn default() -> Self {
        Self { branch: Some("main".to_owned()), tag: None, commit: None }
    }
}

/// The one field of a [`GitReference`] that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectedReference<'a> {
    /// A branch.
    Branch(&'a str),
    /// A tag.
    Tag(&'a str),
    /// A full commit id.
    Commit(&'a str),
}

impl GitReference {
    /// Returns the one field that is set, or nothing where none or several are, which the API server refuses.
    pub fn selected(&self) -> Option<SelectedReference<'_>> {
        match (&self.branch, &self.tag, &self.commit) {
            (Some(branch), None, None) => Some(SelectedReference::Branch(branch)),
            (None, Some(tag), None) => Some(SelectedReference::Tag(tag)),
            (None, None, Some(commit)) => Some(SelectedReference::Commit(commit)),
            _ => None,
        }
    }
}

/// What the controller last saw in the repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitSourceStatus {
    /// The generation of the spec that this status is about; older than `metadata.generation` while a change waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What is the matter now: Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The last revision that was fetched, and that Syncs use. Example: `main@sha1:1f3d0c1be4b0d0b2f7f7ab0e0d5a4f1d6b1f0a7c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,

    /// The commit id of `revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,

    /// When `revision` was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Time>,

    /// Since when fetching fails, so that `revision` may be out of date; absent while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Time>,

    /// The last value of the annotation `waxwing.dev/requestedAt` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_requested_at: Option<String>,
}
