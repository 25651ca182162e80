//! `ClusterSecretBackend`: a service that Syncs of several namespaces may use, each for what is its own.
//!
//! Whoever runs the cluster writes it, and says there which namespaces may; nobody else needs a right for it. All that it names, and as whom
//! a Sync logs in, is of the Sync's namespace, as it is with a `SecretBackend`: nobody gets a credential of somebody else through it.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    Allow, AwsBackend, AzureBackend, BackendLimits, BackendStatus, GcpBackend, KubernetesBackend, Period,
    SecretBackendSpec, VaultBackend,
};

/// A key service or a store of secrets, which namespaces may use it, and for what.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "ClusterSecretBackend",
    doc = "A service that opens SOPS files for the Syncs of some namespaces or keeps secrets that they refer to, and what of it they may use.",
    status = "BackendStatus",
    derive = "PartialEq",
    shortname = "wxcb",
    category = "waxwing",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether it can be used",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        description = "How long Ready has been what it is",
        json_path = ".status.conditions[?(@.type==\"Ready\")].lastTransitionTime"
    ),
    printcolumn(
        name = "Vault",
        type_ = "string",
        description = "The address of the Vault server",
        json_path = ".spec.vault.address"
    ),
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        description = "The namespaces that may use it",
        json_path = ".spec.allow.namespaces"
    ),
    printcolumn(
        name = "Keys",
        type_ = "string",
        description = "The keys that may be used",
        json_path = ".spec.allow.keys"
    ),
    printcolumn(
        name = "Paths",
        type_ = "string",
        description = "The secrets that references may lead to",
        json_path = ".spec.allow.paths"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        description = "What is the matter, and what to do about it",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.vault), has(self.aws), has(self.gcp), has(self.azure), has(self.kubernetes)].filter(set, set).size() == 1")
        .message("exactly one of vault, aws, gcp, azure and kubernetes must be set"),
    validation = Rule::new("!has(self.aws) || has(self.aws.region) || !has(self.allow.paths) || self.allow.paths.size() == 0")
        .message("aws.region must be set where allow.paths is: a path names none"),
    validation = Rule::new("!has(self.kubernetes) || !has(self.allow.keys) || self.allow.keys.size() == 0")
        .message("allow.keys is for key services, which kubernetes is not")
)]
pub struct ClusterSecretBackendSpec {
    /// A Vault or OpenBao server, as in a SecretBackend. Secrets that its login names are those of the Sync's namespace. Example:
    /// `{address: "https://vault.example.com:8200", auth: {kubernetes: {role: tenants, audience: vault}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultBackend>,

    /// AWS, as in a SecretBackend. Example:
    /// `{auth: {webIdentity: {roleArn: "arn:aws:iam::111122223333:role/tenants", audience: sts.amazonaws.com}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsBackend>,

    /// Google Cloud, as in a SecretBackend. Example: `{auth: {secretRef: {name: google}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp: Option<GcpBackend>,

    /// A vault of Azure Key Vault, as in a SecretBackend. Example:
    /// `{vaultUrl: "https://shop.vault.azure.net", auth: {tenantId: shop.example, clientId: c, secretRef: {name: azure}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureBackend>,

    /// Secrets of the cluster itself, as in a SecretBackend: read as the Sync's ServiceAccount, whatever namespace they are in. Example: `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesBackend>,

    /// Who may use what of it; all else is refused before anything is sent. Example:
    /// `{namespaces: {names: [shop, bank]}, paths: ["secret/data/{namespace}/*"]}`.
    pub allow: ClusterAllow,

    /// How often the store is asked whether secrets that references lead to have other versions, as in a SecretBackend. Between one second
    /// and a day. Default: `5m`. Example: `1m`.
    #[serde(default = "five_minutes")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("it is at most 24h"))]
    pub refresh_interval: Period,

    /// How much of the service all Syncs together may take. When it was away three times in a row, or asked to be left alone, nobody asks it
    /// for a while, whatever this says. Default: `{concurrentRequests: 32}`. Example: `{concurrentRequests: 8, requestsPerSecond: 50}`.
    #[serde(default, skip_serializing_if = "BackendLimits::is_default")]
    pub limits: BackendLimits,
}

const fn five_minutes() -> Period {
    Period::from_mins(5)
}

/// Which namespaces may use what of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.keys) && self.keys.size() > 0) || (has(self.paths) && self.paths.size() > 0)")
        .message("keys or paths must be listed"),
    validation = Rule::new("self.shared || !has(self.keys) || self.keys.all(key, key.split('+arn:')[0].contains('{namespace}'))")
        .message("each of keys needs {namespace}, or shared: true, by which all of the namespaces may use the same"),
    validation = Rule::new("self.shared || !has(self.paths) || self.paths.all(path, path.contains('{namespace}'))")
        .message("each of paths needs {namespace}, or shared: true, by which all of the namespaces may use the same")
)]
pub struct ClusterAllow {
    /// The namespaces whose Syncs may use it. Example: `{names: [shop, bank]}`.
    pub namespaces: AllowedNamespaces,

    /// The keys, as in a SecretBackend. `{namespace}`, the namespace of the Sync, must stand in each of them, of AWS in the
    /// ARN of the key itself, unless `shared` is set. Default: none. Example: `transit/keys/{namespace}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    pub keys: Vec<String>,

    /// The secrets that references may lead to, as in a SecretBackend. `{namespace}`, the namespace of the Sync, must stand in each of them,
    /// unless `shared` is set. Default: none. Example: `secret/data/{namespace}/*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(
            length(min = 1, max = 512),
            regex(
                pattern = r"^(\*|\{namespace\}|[^*{}%/\\.][^*{}%/\\]*|\.[^*{}%/\\.][^*{}%/\\]*|\.\.[^*{}%/\\]+)(/(\*|\{namespace\}|[^*{}%/\\.][^*{}%/\\]*|\.[^*{}%/\\.][^*{}%/\\]*|\.\.[^*{}%/\\]+))*$"
            )
        ),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub paths: Vec<String>,

    /// Whether keys and paths may be listed in which `{namespace}` doesn't stand, so that all of the namespaces may use the same.
    /// Default: `false`. Example: `true`.
    #[serde(default)]
    pub shared: bool,
}

/// Which namespaces may: those of a list, and those with all of some labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.names) && self.names.size() > 0) || (has(self.matchLabels) && self.matchLabels.size() > 0)")
        .message("names or matchLabels must be listed")
)]
pub struct AllowedNamespaces {
    /// These. Default: none. Example: `[shop, bank]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub names: Vec<String>,

    /// Those that have all of these labels. See that tenants can't label their namespaces themselves. Default: none.
    /// Example: `{example.com/stage: prod}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
}

impl AllowedNamespaces {
    /// Tells whether a namespace may, if it has these labels.
    pub fn allow(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let has = |(label, value): (&String, &String)| labels.get(label) == Some(value);
        let is_selected = !self.match_labels.is_empty() && self.match_labels.iter().all(has);
        is_selected || self.names.iter().any(|name| name == namespace)
    }
}

impl From<ClusterSecretBackendSpec> for SecretBackendSpec {
    /// Returns what a Sync of an allowed namespace may use of it.
    fn from(spec: ClusterSecretBackendSpec) -> Self {
        let ClusterSecretBackendSpec { vault, aws, gcp, azure, kubernetes, allow, refresh_interval, limits } = spec;
        let ClusterAllow { keys, paths, .. } = allow;
        Self { vault, aws, gcp, azure, kubernetes, allow: Allow { keys, paths }, refresh_interval, limits }
    }
}
