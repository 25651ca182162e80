//! Azure: an application logs in by a token of the Sync's ServiceAccount or by its secret, and one vault is called.

use std::sync::Arc;

use tokio::sync::OnceCell;
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::{AZURE_KEY_VAULT, ENTRA};
use waxwing_keys::{
    AzureAccess, AzureKey, AzureKeyVault, AzureLogin, AzureProof, AzureSecrets, Origin, ServiceError, Tokens,
};

use super::reader::Reader;
use super::{Tenant, Trouble, connections};
use crate::api::{AzureAuth, AzureBackend, AzureWorkloadIdentity};

/// The entry of a Secret that has the secret of an application.
const SECRET: &str = "clientSecret";

/// A vault of Azure. Not `Debug`.
pub(super) struct Azure {
    origin: Origin,
    auth: AzureAuth,
    login: Login,
    vault: OnceCell<Result<LoggedIn, ServiceError>>,
}

/// The vault, with one login.
struct LoggedIn {
    keys: AzureKeyVault,
    secrets: AzureSecrets,
}

enum Login {
    Secret(SecretBytes),
    WorkloadIdentity(AzureWorkloadIdentity),
}

impl Azure {
    pub(super) async fn read(reader: &Reader<'_>, spec: &AzureBackend) -> Result<(Self, String), Trouble> {
        const AUTH: &str = "spec.azure.auth";
        let origin = reader.origin(&spec.vault_url)?;
        let (login, version) = match &spec.auth {
            AzureAuth { workload_identity: Some(auth), secret_ref: None, .. } => {
                (Login::WorkloadIdentity(auth.clone()), String::new())
            }
            AzureAuth { workload_identity: None, secret_ref: Some(secret), .. } => {
                let mut secret = reader.secret(&secret.name, &[SECRET]).await?;
                let entry = secret.data.remove(SECRET).ok_or_else(|| reader.incomplete(AUTH))?;
                (Login::Secret(entry), secret.version)
            }
            _ => return Err(reader.incomplete(AUTH)),
        };
        Ok((Self { origin, auth: spec.auth.clone(), login, vault: OnceCell::new() }, version))
    }

    /// Tells whether a key is one of this vault.
    pub(super) fn has(&self, key: &AzureKey) -> bool {
        key.vault().is_some() && key.vault_url.parse().as_ref() == Ok(&self.origin)
    }

    /// Says which vault that is.
    pub(super) fn place(&self) -> String {
        self.origin.to_string()
    }

    pub(super) async fn unwrap(&self, tenant: &Tenant<'_>, key: &AzureKey, enc: &str) -> Result<DataKey, ServiceError> {
        self.logged_in(tenant).await?.keys.unwrap(key, enc).await
    }

    /// Returns what reads secrets.
    pub(super) async fn secrets(&self, tenant: &Tenant<'_>) -> Result<&AzureSecrets, ServiceError> {
        Ok(&self.logged_in(tenant).await?.secrets)
    }

    async fn logged_in(&self, tenant: &Tenant<'_>) -> Result<&LoggedIn, ServiceError> {
        self.vault.get_or_init(|| self.log_in(tenant)).await.as_ref().map_err(Clone::clone)
    }

    /// Gets ready to log in; which token is wanted, the vault says.
    async fn log_in(&self, tenant: &Tenant<'_>) -> Result<LoggedIn, ServiceError> {
        let proof = match &self.login {
            Login::Secret(secret) => AzureProof::Secret(SecretBytes::concat(&[secret.expose_secret()])),
            Login::WorkloadIdentity(AzureWorkloadIdentity { audience }) => {
                AzureProof::Federated(tenant.token(audience, ENTRA).await?)
            }
        };
        let (tenant_id, client_id) = (self.auth.tenant_id.clone(), self.auth.client_id.clone());
        let access = AzureAccess { tenant: tenant_id, client: client_id, proof };
        let client = connections(AZURE_KEY_VAULT)?;
        let login = AzureLogin::new(client.clone(), tenant.key_services().azure_login.as_deref(), access)?;
        let tokens: Arc<dyn Tokens> = Arc::new(login);
        let secrets = AzureSecrets::new(client.clone(), &self.origin.to_string(), Arc::clone(&tokens))?;
        Ok(LoggedIn { keys: AzureKeyVault::new(client, tokens), secrets })
    }
}
