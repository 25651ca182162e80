//! AWS: a Sync gets credentials there for each region and role that its files name, once, and once for the region of its secrets.

use tokio::sync::OnceCell;
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::{AWS_KMS, AWS_SECRETS, AWS_STS};
use waxwing_keys::{AwsAccess, AwsClients, AwsKey, AwsKms, AwsSecrets, ServiceError};

use super::reader::Reader;
use super::{Tenant, Trouble, connections};
use crate::api::{AwsAuth, AwsBackend, WebIdentityAuth};
use crate::cluster::secrets::Secret;

/// AWS, as a Sync has it. Not `Debug`.
pub(super) struct Aws {
    login: Login,
    clients: AwsClients,
    region: Option<String>,
    secrets: OnceCell<Result<AwsSecrets, ServiceError>>,
}

enum Login {
    Keys(Secret),
    WebIdentity(WebIdentityAuth),
}

impl Aws {
    pub(super) async fn read(reader: &Reader<'_>, spec: &AwsBackend) -> Result<(Self, String), Trouble> {
        let (login, version) = match &spec.auth {
            AwsAuth { web_identity: Some(auth), secret_ref: None } => (Login::WebIdentity(auth.clone()), String::new()),
            AwsAuth { web_identity: None, secret_ref: Some(secret) } => {
                let secret = reader.secret(&secret.name, &["accessKeyId", "secretAccessKey"]).await?;
                let version = secret.version.clone();
                (Login::Keys(secret), version)
            }
            _ => return Err(reader.incomplete("spec.aws.auth")),
        };
        let (clients, region) = (AwsClients::new(), spec.region.clone());
        Ok((Self { login, clients, region, secrets: OnceCell::new() }, version))
    }

    /// Says which region and which account that is, as far as it is known here: by who logs in.
    pub(super) fn place(&self) -> String {
        let who = match &self.login {
            Login::Keys(secret) => &secret.version,
            Login::WebIdentity(WebIdentityAuth { role_arn, .. }) => role_arn,
        };
        format!("{} {who}", self.region.as_deref().unwrap_or_default())
    }

    pub(super) async fn unwrap(&self, tenant: &Tenant<'_>, key: &AwsKey, enc: &str) -> Result<DataKey, ServiceError> {
        // A profile is of somebody's machine.
        let key = AwsKey { profile: String::new(), ..key.clone() };
        self.clients.of(&key, self.client(tenant, &key)).await?.unwrap(&key, enc).await
    }

    /// Returns what reads secrets and parameters.
    pub(super) async fn secrets(&self, tenant: &Tenant<'_>) -> Result<&AwsSecrets, ServiceError> {
        self.secrets.get_or_init(|| self.log_in(tenant)).await.as_ref().map_err(Clone::clone)
    }

    async fn log_in(&self, tenant: &Tenant<'_>) -> Result<AwsSecrets, ServiceError> {
        let region = self.region.as_deref().ok_or(ServiceError::Malformed { what: "spec.aws.region" })?;
        let (client, access) = (connections(AWS_SECRETS)?, self.access(tenant, AWS_SECRETS).await?);
        let endpoint = tenant.key_services().aws.as_deref();
        AwsSecrets::with_access(client, &access, endpoint, region, &session(tenant)).await
    }

    async fn client(&self, tenant: &Tenant<'_>, key: &AwsKey) -> Result<AwsKms, ServiceError> {
        let access = self.access(tenant, AWS_KMS).await?;
        AwsKms::with_access(&access, tenant.key_services().aws.as_deref(), key, &session(tenant)).await
    }

    async fn access(&self, tenant: &Tenant<'_>, service: &'static str) -> Result<AwsAccess, ServiceError> {
        match &self.login {
            Login::Keys(secret) => {
                let entry = |key: &str| secret.data.get(key).map(|value| SecretBytes::concat(&[value.expose_secret()]));
                let missing = || ServiceError::NoCredentials { service, why: "the Secret lacks an entry".to_owned() };
                Ok(AwsAccess::Keys {
                    id: entry("accessKeyId").ok_or_else(missing)?,
                    secret: entry("secretAccessKey").ok_or_else(missing)?,
                    token: entry("sessionToken"),
                })
            }
            Login::WebIdentity(WebIdentityAuth { role_arn, audience }) => {
                let token = tenant.token(audience, AWS_STS).await?;
                Ok(AwsAccess::WebIdentity { role: role_arn.clone(), token })
            }
        }
    }
}

/// Returns the name of the session, which stands in the logs of AWS.
fn session(tenant: &Tenant<'_>) -> String {
    format!("waxwing@{}", tenant.job.account.name())
}
