//! Google Cloud: a Sync exchanges a token of its ServiceAccount there, or the key of a service account.

use std::sync::Arc;

use tokio::sync::OnceCell;
use waxwing_formats::DataKey;
use waxwing_keys::service_name::{GCP_KMS, GCP_TOKENS};
use waxwing_keys::{GcpAccess, GcpAccountKey, GcpKey, GcpKms, GcpLogin, GcpSecrets, ServiceError, Tokens};

use super::reader::Reader;
use super::{Tenant, Trouble, connections};
use crate::api::{GcpAuth, GcpBackend, GcpWorkloadIdentity};

/// The entry of a Secret that has the key of a service account.
const KEY_FILE: &str = "key.json";

/// Google Cloud, as a Sync has it. Not `Debug`.
pub(super) struct Gcp {
    login: Login,
    cloud: OnceCell<Result<LoggedIn, ServiceError>>,
}

/// Its services, with one login.
struct LoggedIn {
    kms: GcpKms,
    secrets: GcpSecrets,
}

enum Login {
    Key(Arc<GcpAccountKey>),
    WorkloadIdentity(GcpWorkloadIdentity),
}

impl Gcp {
    pub(super) async fn read(reader: &Reader<'_>, spec: &GcpBackend) -> Result<(Self, String), Trouble> {
        let (login, version) = match &spec.auth {
            GcpAuth { workload_identity: Some(auth), secret_ref: None } => {
                (Login::WorkloadIdentity(auth.clone()), String::new())
            }
            GcpAuth { workload_identity: None, secret_ref: Some(named) } => {
                let secret = reader.secret(&named.name, &[KEY_FILE]).await?;
                let file = secret.data.get(KEY_FILE).ok_or_else(|| reader.incomplete("spec.gcp.auth"))?;
                let key = GcpAccountKey::parse(file).map_err(|error| {
                    let fact =
                        format!("{KEY_FILE} of Secret {}, which {reader} names, can't be used: {error}", named.name);
                    reader
                        .useless(&fact, "put the JSON file of a key of a service account there, as Google gives it out")
                })?;
                (Login::Key(Arc::new(key)), secret.version)
            }
            _ => return Err(reader.incomplete("spec.gcp.auth")),
        };
        Ok((Self { login, cloud: OnceCell::new() }, version))
    }

    pub(super) async fn unwrap(&self, tenant: &Tenant<'_>, key: &GcpKey, enc: &str) -> Result<DataKey, ServiceError> {
        self.logged_in(tenant).await?.kms.unwrap(key, enc).await
    }

    /// Returns what reads secrets.
    pub(super) async fn secrets(&self, tenant: &Tenant<'_>) -> Result<&GcpSecrets, ServiceError> {
        Ok(&self.logged_in(tenant).await?.secrets)
    }

    async fn logged_in(&self, tenant: &Tenant<'_>) -> Result<&LoggedIn, ServiceError> {
        self.cloud.get_or_init(|| self.log_in(tenant)).await.as_ref().map_err(Clone::clone)
    }

    async fn log_in(&self, tenant: &Tenant<'_>) -> Result<LoggedIn, ServiceError> {
        let access = match &self.login {
            Login::Key(key) => GcpAccess::Key(Arc::clone(key)),
            Login::WorkloadIdentity(GcpWorkloadIdentity { provider, audience, service_account }) => {
                GcpAccess::WorkloadIdentity {
                    provider: provider.clone(),
                    token: tenant.token(audience, GCP_TOKENS).await?,
                    service_account: service_account.clone(),
                }
            }
        };
        let (client, endpoint) = (connections(GCP_KMS)?, tenant.key_services().gcp.as_deref());
        let tokens: Arc<dyn Tokens> = Arc::new(GcpLogin::new(client.clone(), endpoint, access)?);
        let secrets = GcpSecrets::new(client.clone(), endpoint.unwrap_or(GcpSecrets::ENDPOINT), Arc::clone(&tokens))?;
        Ok(LoggedIn { kms: GcpKms::new(client, endpoint.unwrap_or(GcpKms::ENDPOINT), tokens)?, secrets })
    }
}
