//! What a Vault or OpenBao server makes when it is asked, and which of it the controller may have made. Nothing here is secret.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;

/// The most leases that a status lists.
pub const LEASES_LIMIT: usize = 100;

/// Paths at which the server makes a secret each time that it is asked, such as a user of a database or a certificate, and lets go of it
/// after a time. Each object that refers to such a path gets a secret of its own, which is renewed, replaced before it ends, and revoked
/// when the object or the Sync goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicSecrets {
    /// The paths, written and compared like those of `allow.paths`, which must allow them too. Paths of the server itself (`sys`,
    /// `auth`, `identity`, `cubbyhole`) are refused. Example: `database/creds/{namespace}`.
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^(\*|\{namespace\}|[^*{}%/\\.][^*{}%/\\]*|\.[^*{}%/\\.][^*{}%/\\]*|\.\.[^*{}%/\\]+)(/(\*|\{namespace\}|[^*{}%/\\.][^*{}%/\\]*|\.[^*{}%/\\.][^*{}%/\\]*|\.\.[^*{}%/\\]+))*$"
        )
    )]
    pub path: String,

    /// What the server is told with the question, which is written to the path then instead of read from it; `{namespace}` stands for
    /// the namespace of the Sync. A reference can't say any of it. Default: none. Example: `{common_name: "db.{namespace}.svc", ttl: 24h}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 1024)))]
    pub parameters: BTreeMap<String, String>,

    /// For how long a secret stays good that was replaced by another, for consumers that take their time to read that; but no longer
    /// than the server lets it. Up to a day. Default: `5m`. Example: `1h`.
    #[serde(default = "five_minutes")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("it is at most 24h"))]
    pub revoke_after: Period,
}

const fn five_minutes() -> Period {
    Period::from_mins(5)
}

/// A secret that a store made for one object, and until when it is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// The object. Example: `Secret/shop/db`.
    pub object: String,

    /// The backend. Example: `SecretBackend vault`.
    pub backend: String,

    /// The path in it. Example: `database/creds/shop`.
    pub path: String,

    /// Tells it from the one before: another one whenever the secret is replaced. It means nothing at the server.
    pub id: String,

    /// When it was made.
    pub issued_at: Time,

    /// When it ends unless it is renewed. By then it is renewed or replaced, if the store answers.
    pub expires_at: Time,
}
