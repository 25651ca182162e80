//! What the controller says of a `SecretBackend` or `ClusterSecretBackend`. Nothing here is secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most logins that a status lists.
pub const LOGINS_LIMIT: usize = 32;

/// How a backend was when it was last looked at. It is written only where something else is to be said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendStatus {
    /// The generation of the spec that this status is about; older than `metadata.generation` while a change waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What is the matter now: Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// When that was found. It is looked at again at each `refreshInterval`, though not more often than once a minute, and stays as
    /// it is while there is nothing else to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,

    /// As whom Syncs log in, up to 32, those first that are not let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["serviceAccount"])
    )]
    pub logins: Vec<LoginStatus>,
}

/// How one ServiceAccount fared that logs in through a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginStatus {
    /// The ServiceAccount of the Syncs, as `namespace/name`. Example: `shop/deployer`.
    pub service_account: String,

    /// Why it is not let in; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,

    /// When its token ends by itself; absent where it has none that is known to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Time>,
}
