//! `SecretBackend`: a service that Syncs of its namespace may use, how they log in there, and which of its keys and secrets they may use.
//!
//! A committed file never decides where credentials go: what it names is looked up here. The backend itself may come from Git, so
//! where it may lead to is decided by the controller's flags. Nothing here holds a credential, only the names of Secrets.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendLimits, BackendStatus, DynamicSecrets, LocalRef, Period, VaultAuth};

/// A key service or a store of secrets, and what of it may be used.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "SecretBackend",
    doc = "A service that opens SOPS files for the Syncs of its namespace or keeps secrets that they refer to, and what of it they may use.",
    namespaced,
    status = "BackendStatus",
    derive = "PartialEq",
    shortname = "wxb",
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
pub struct SecretBackendSpec {
    /// A Vault or OpenBao server, for keys of its transit engines, secrets of its key/value engines, and what other engines make. Example:
    /// `{address: "https://vault.example.com:8200", auth: {kubernetes: {role: shop, audience: vault}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultBackend>,

    /// AWS, for keys of its key management service, secrets of Secrets Manager and parameters of the Parameter Store. Example:
    /// `{region: eu-west-1, auth: {webIdentity: {roleArn: "arn:aws:iam::111122223333:role/shop", audience: sts.amazonaws.com}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsBackend>,

    /// Google Cloud, for keys of its key management service and secrets of Secret Manager. Example:
    /// `{auth: {secretRef: {name: google}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp: Option<GcpBackend>,

    /// A vault of Azure Key Vault, for its RSA keys and its secrets. Example:
    /// `{vaultUrl: "https://shop.vault.azure.net", auth: {tenantId: shop.example, clientId: c, secretRef: {name: azure}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureBackend>,

    /// Secrets of the cluster itself, read as the Sync's ServiceAccount: `NAMESPACE/NAME` is the path of one. Example: `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesBackend>,

    /// What may be used; all else is refused before anything is sent. Example:
    /// `{keys: ["transit/keys/{namespace}"], paths: ["secret/data/{namespace}/*"]}`.
    pub allow: Allow,

    /// How often the store is asked whether secrets that references lead to have other versions; what uses one that has is applied
    /// again, without a commit. References with a version of their own are not asked about. Between one second and a day. Default: `5m`.
    /// Example: `1m`.
    #[serde(default = "five_minutes")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("it is at most 24h"))]
    pub refresh_interval: Period,

    /// How much of the service all Syncs together may take. When it was away or asked too often three times in a row, nobody asks it
    /// for a while, whatever this says. Default: `{concurrentRequests: 32}`. Example: `{concurrentRequests: 8, requestsPerSecond: 50}`.
    #[serde(default, skip_serializing_if = "BackendLimits::is_default")]
    pub limits: BackendLimits,
}

const fn five_minutes() -> Period {
    Period::from_mins(5)
}

/// What may be used of a key service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.keys) && self.keys.size() > 0) || (has(self.paths) && self.paths.size() > 0)")
        .message("keys or paths must be listed")
)]
pub struct Allow {
    /// The keys: of AWS as ARNs, behind which the role that a file may want to be assumed may stand after a `+`; of Vault as
    /// `ENGINE/keys/NAME`; of Google Cloud as `projects/P/locations/L/keyRings/R/cryptoKeys/K`; of Azure as `keys/NAME`, whose
    /// versions may all be used. They are compared part by part: `*` stands for one whole part and `{namespace}` for the namespace of
    /// the Sync. Default: none. Examples: `arn:aws:kms:eu-west-1:111122223333:key/*`, `transit/keys/{namespace}`, `keys/{namespace}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    pub keys: Vec<String>,

    /// The secrets that references may lead to: paths as they stand in references, for Vault those of its API below `/v1`, for AWS
    /// `secretsmanager/NAME` and `ssm/NAME`, for Google Cloud `projects/P/secrets/S`, for Azure `secrets/NAME`, for Secrets of the cluster
    /// `NAMESPACE/NAME`. They are compared segment by segment, decoded: `*` stands for one whole segment and `{namespace}` for the
    /// namespace of the Sync; nothing stands for several. Default: none, so references through this backend are refused. Example:
    /// `secret/data/{namespace}/*`.
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
}

/// A Vault or OpenBao server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.auth.cert) || self.address.startsWith('https://')")
        .message("auth.cert needs an address that begins with https://"),
    validation = Rule::new("!has(self.dynamic) || self.dynamic.size() == 0 || !has(self.auth.tokenRef)")
        .message("dynamic needs a login of its own for each secret, which auth.tokenRef has not")
)]
pub struct VaultBackend {
    /// The server's address. A file must name exactly this one, and the controller's `--backend-origin` must list it.
    /// Example: `https://vault.example.com:8200`.
    #[schemars(length(min = 9, max = 2048), regex(pattern = r"^https?://[^\s/?#@]+$"))]
    pub address: String,

    /// The namespace on the server, which is sent in a header. Default: the root namespace. Example: `team-a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    #[x_kube(
        validation = Rule::new("self.matches('^[!-~]*$')").message("a namespace on the server is of printable ASCII without spaces")
    )]
    pub namespace: Option<String>,

    /// The certificates (PEM) that the server is trusted by, instead of the system's. Default: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca_bundle: Option<String>,

    /// How a Sync logs in. Example: `{kubernetes: {role: shop, audience: vault}}`.
    pub auth: VaultAuth,

    /// What the server makes when it is asked, and ends after a time: users of databases, certificates. The first entry with the path counts.
    /// Default: none, so that only what is kept in key/value engines is read. Example: `[{path: "database/creds/{namespace}"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub dynamic: Vec<DynamicSecrets>,
}

/// AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsBackend {
    /// The region of the secrets and parameters that references lead to; the region of a key is the one that its ARN names. It must be set
    /// where `allow.paths` is. Default: none. Example: `eu-west-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z]{2,4}(-[a-z]+)+-[0-9]+$"))]
    pub region: Option<String>,

    /// How a Sync logs in. Example:
    /// `{webIdentity: {roleArn: "arn:aws:iam::111122223333:role/shop", audience: sts.amazonaws.com}}`.
    pub auth: AwsAuth,
}

/// How a Sync logs in at AWS: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.webIdentity), has(self.secretRef)].filter(set, set).size() == 1")
        .message("exactly one of webIdentity and secretRef must be set")
)]
pub struct AwsAuth {
    /// By a token of the Sync's ServiceAccount, which must be allowed to create tokens of itself. Example:
    /// `{roleArn: "arn:aws:iam::111122223333:role/shop", audience: sts.amazonaws.com}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_identity: Option<WebIdentityAuth>,

    /// By the entries `accessKeyId`, `secretAccessKey` and, where it has one, `sessionToken` of a Secret of this namespace, read
    /// as the Sync's ServiceAccount. Example: `{name: aws}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// A role of AWS that a token of the Sync's ServiceAccount is exchanged for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebIdentityAuth {
    /// The role. Example: `arn:aws:iam::111122223333:role/shop`.
    #[schemars(length(min = 20, max = 2048), regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]+:role/[^\s]+$"))]
    pub role_arn: String,

    /// For whom the token is made. It must not be the API server's own audience. Example: `sts.amazonaws.com`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub audience: String,
}

/// Google Cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpBackend {
    /// How a Sync logs in. Example: `{secretRef: {name: google}}`.
    pub auth: GcpAuth,
}

/// How a Sync logs in at Google Cloud: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.workloadIdentity), has(self.secretRef)].filter(set, set).size() == 1")
        .message("exactly one of workloadIdentity and secretRef must be set")
)]
pub struct GcpAuth {
    /// By a token of the Sync's ServiceAccount, which must be allowed to create tokens of itself. Example:
    /// `{provider: projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod, audience: waxwing}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<GcpWorkloadIdentity>,

    /// By the entry `key.json` of a Secret of this namespace, the key file of a service account, read as the Sync's ServiceAccount.
    /// Addresses in that file don't count. Example: `{name: google}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// A pool of identities of Google Cloud, where a token of the Sync's ServiceAccount is exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpWorkloadIdentity {
    /// The provider of the pool, which trusts the issuer of the cluster's tokens. Example:
    /// `projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod`.
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^projects/[a-z0-9][a-z0-9.:-]*/locations/[a-z0-9-]+/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+$"
        )
    )]
    pub provider: String,

    /// For whom the token is made: one of the audiences that the provider allows. It must not be the API server's own audience.
    /// Example: `https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub audience: String,

    /// The service account that is acted as. Default: none; the identity of the pool itself may use the keys. Example:
    /// `shop@acme.iam.gserviceaccount.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 256), regex(pattern = r"^[a-z0-9-]+@[a-z0-9][a-z0-9.:-]*$"))]
    pub service_account: Option<String>,
}

/// Secrets of the cluster itself. It has no fields: who reads is the Sync's ServiceAccount, and `allow.paths` says what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesBackend {}

/// A vault of Azure Key Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackend {
    /// The vault's address. A file must name exactly this one, and the controller's `--backend-origin` must list it.
    /// Example: `https://shop.vault.azure.net`.
    #[schemars(length(min = 9, max = 2048), regex(pattern = r"^https://[^\s/?#@]+$"))]
    pub vault_url: String,

    /// How a Sync logs in. Example: `{tenantId: shop.example, clientId: 66666666-7777-8888-9999-000000000000, secretRef: {name: azure}}`.
    pub auth: AzureAuth,
}

/// How a Sync logs in at Azure: as an application, by exactly one of the two proofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.workloadIdentity), has(self.secretRef)].filter(set, set).size() == 1")
        .message("exactly one of workloadIdentity and secretRef must be set")
)]
pub struct AzureAuth {
    /// The tenant of Microsoft Entra ID, by its id or its domain. Example: `11111111-2222-3333-4444-555555555555`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"))]
    pub tenant_id: String,

    /// The id of the application, or of the managed identity. Example: `66666666-7777-8888-9999-000000000000`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9.-]+$"))]
    pub client_id: String,

    /// By a token of the Sync's ServiceAccount, which must be allowed to create tokens of itself, and which a federated credential of the
    /// application must name. Example: `{audience: "api://AzureADTokenExchange"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<AzureWorkloadIdentity>,

    /// By the entry `clientSecret` of a Secret of this namespace, read as the Sync's ServiceAccount. Example: `{name: azure}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// A token of the Sync's ServiceAccount in the place of an application's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureWorkloadIdentity {
    /// For whom the token is made: the audience of the federated credential. It must not be the API server's own audience.
    /// Example: `api://AzureADTokenExchange`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub audience: String,
}
