//! How a Sync logs in at a Vault or OpenBao server. Nothing here holds a credential, only the names of Secrets.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;

/// How a Sync logs in at a Vault server: exactly one of these. The token that it gets is kept in memory for as long as it is good, an
/// hour at the most, and used by all Syncs of the same ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.kubernetes), has(self.jwt), has(self.appRole), has(self.cert), has(self.tokenRef)].filter(set, set).size() == 1")
        .message("exactly one of kubernetes, jwt, appRole, cert and tokenRef must be set")
)]
pub struct VaultAuth {
    /// By a token of the Sync's ServiceAccount, which must be allowed to create tokens of itself; the server asks the cluster about it.
    /// Example: `{role: shop, audience: vault}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,

    /// By a token of the Sync's ServiceAccount, which must be allowed to create tokens of itself; the server checks its signature, and
    /// need not reach the cluster. Example: `{role: shop, audience: vault}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtAuth>,

    /// By the two ids of an AppRole. Example: `{roleId: 8d1bd5dc-4bbf-4c0c-a3a7-0d4f1e1d2c3b, secretRef: {name: vault-approle}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<AppRoleAuth>,

    /// By a client certificate. The server's address must begin with `https://`. Example: `{role: shop, secretRef: {name: vault-client}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<CertificateAuth>,

    /// By the token in the entry `token` of a Secret of the Sync's namespace, read as the Sync's ServiceAccount. It is neither kept nor
    /// ended. Example: `{name: vault-token}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ref: Option<LocalRef>,
}

/// A login by a token of the Sync's ServiceAccount, which the server asks the cluster about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// Where the authentication method is mounted on the server. Default: `kubernetes`. Example: `clusters/prod`.
    #[serde(default = "kubernetes")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")
    )]
    pub mount: String,

    /// The role to log in with. Example: `shop`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s/]+$"))]
    pub role: String,

    /// For whom the token is made. It must not be the API server's own audience. Example: `vault`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub audience: String,
}

/// A login by a token of the Sync's ServiceAccount, whose signature the server checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtAuth {
    /// Where the authentication method is mounted on the server. Default: `jwt`. Example: `clusters/prod`.
    #[serde(default = "jwt")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")
    )]
    pub mount: String,

    /// The role to log in with. Example: `shop`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s/]+$"))]
    pub role: String,

    /// For whom the token is made: one of the role's `bound_audiences`. It must not be the API server's own audience. Example: `vault`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub audience: String,
}

/// A login by the two ids of an AppRole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppRoleAuth {
    /// Where the authentication method is mounted on the server. Default: `approle`. Example: `approle-prod`.
    #[serde(default = "approle")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")
    )]
    pub mount: String,

    /// The id of the role, which is no secret. Example: `8d1bd5dc-4bbf-4c0c-a3a7-0d4f1e1d2c3b`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s/]+$"))]
    pub role_id: String,

    /// The Secret of the Sync's namespace with the secret id in its entry `secretId`, read as the Sync's ServiceAccount.
    /// Example: `{name: vault-approle}`.
    pub secret_ref: LocalRef,

    /// Whether the entry `secretId` has the token of a wrapping instead, which the secret id is taken out of, once. It is kept in memory
    /// alone, so after each start of the controller the Secret needs a new one. Default: `false`. Example: `true`.
    #[serde(default)]
    pub wrapped: bool,
}

/// A login by a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuth {
    /// Where the authentication method is mounted on the server. Default: `cert`. Example: `cert-prod`.
    #[serde(default = "cert")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")
    )]
    pub mount: String,

    /// The role to log in with. Default: none; the server looks for one that takes the certificate. Example: `shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s/]+$"))]
    pub role: Option<String>,

    /// The Secret of the Sync's namespace with the certificate in its entry `tls.crt` and the private key in `tls.key`, as the type
    /// `kubernetes.io/tls` has them, read as the Sync's ServiceAccount. Example: `{name: vault-client}`.
    pub secret_ref: LocalRef,
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn jwt() -> String {
    "jwt".to_owned()
}

fn approle() -> String {
    "approle".to_owned()
}

fn cert() -> String {
    "cert".to_owned()
}
