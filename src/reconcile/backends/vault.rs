//! A Vault or OpenBao server: a Sync logs in there when the first key is asked for.

use tokio::sync::OnceCell;
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::VAULT;
use waxwing_keys::{Origin, Proxies, ServiceClient, ServiceError, VaultAccess, VaultKey, VaultSecrets, VaultTransit};

use super::reader::Reader;
use super::{PATIENCE, Tenant, Trouble};
use crate::api::{KubernetesAuth, VaultAuth, VaultBackend};

/// The server. Not `Debug`.
pub(super) struct Vault {
    origin: Origin,
    spec: VaultBackend,
    login: Login,
    server: OnceCell<Result<LoggedIn, ServiceError>>,
}

/// The server, with the token of this sync.
struct LoggedIn {
    transit: VaultTransit,
    secrets: VaultSecrets,
}

enum Login {
    Token(SecretBytes),
    Kubernetes(KubernetesAuth),
}

impl Vault {
    pub(super) async fn read(reader: &Reader<'_>, spec: &VaultBackend) -> Result<(Self, String), Trouble> {
        const AUTH: &str = "spec.vault.auth";
        let origin = reader.origin(&spec.address)?;
        let (login, version) = match &spec.auth {
            VaultAuth { kubernetes: Some(auth), token_ref: None } => (Login::Kubernetes(auth.clone()), String::new()),
            VaultAuth { kubernetes: None, token_ref: Some(secret) } => {
                let mut secret = reader.secret(&secret.name, &["token"]).await?;
                let token = secret.data.remove("token").ok_or_else(|| reader.incomplete(AUTH))?;
                // Whoever writes a token with an editor leaves a line break behind it.
                (Login::Token(SecretBytes::concat(&[token.expose_secret().trim_ascii()])), secret.version)
            }
            _ => return Err(reader.incomplete(AUTH)),
        };
        Ok((Self { origin, spec: spec.clone(), login, server: OnceCell::new() }, version))
    }

    /// Tells whether a key is one of this server.
    pub(super) fn has(&self, key: &VaultKey) -> bool {
        key.address.parse().as_ref() == Ok(&self.origin)
    }

    pub(super) async fn unwrap(&self, tenant: &Tenant<'_>, key: &VaultKey, enc: &str) -> Result<DataKey, ServiceError> {
        self.logged_in(tenant).await?.transit.unwrap(key, enc).await
    }

    /// Returns what reads secrets of the server.
    pub(super) async fn secrets(&self, tenant: &Tenant<'_>) -> Result<&VaultSecrets, ServiceError> {
        Ok(&self.logged_in(tenant).await?.secrets)
    }

    async fn logged_in(&self, tenant: &Tenant<'_>) -> Result<&LoggedIn, ServiceError> {
        self.server.get_or_init(|| self.log_in(tenant)).await.as_ref().map_err(Clone::clone)
    }

    async fn log_in(&self, tenant: &Tenant<'_>) -> Result<LoggedIn, ServiceError> {
        let authorities = self.spec.ca_bundle.as_deref().map(str::as_bytes);
        // A token of this cluster goes to no proxy.
        let client = ServiceClient::new(authorities, Proxies::None, PATIENCE);
        let client = client.map_err(|_| ServiceError::Malformed { what: "spec.vault.caBundle" })?;
        let access = |token| VaultAccess { token, namespace: self.spec.namespace.clone() };
        let at = |access: &VaultAccess| VaultTransit::new(client.clone(), &self.spec.address, access);
        let token = match &self.login {
            Login::Token(token) => SecretBytes::concat(&[token.expose_secret()]),
            Login::Kubernetes(KubernetesAuth { mount, role, audience }) => {
                let jwt = tenant.token(audience, VAULT).await?;
                let login = at(&access(None))?.log_in_by_kubernetes(mount, role, &jwt).await;
                login.map_err(|error| match error {
                    ServiceError::Denied { service, code } => ServiceError::NoCredentials {
                        service,
                        why: format!("it does not let ServiceAccount {} in ({code})", tenant.job.account),
                    },
                    error => error,
                })?
            }
        };
        let access = access(Some(token));
        let secrets = VaultSecrets::new(client.clone(), &self.spec.address, &access)?;
        Ok(LoggedIn { transit: at(&access)?, secrets })
    }
}
