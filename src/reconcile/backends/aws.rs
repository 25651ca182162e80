//! AWS: a Sync gets credentials there for each region and role that its files name, once.

use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::{AWS_KMS, AWS_STS};
use waxwing_keys::{AwsAccess, AwsClients, AwsKey, AwsKms, ServiceError};

use super::reader::Reader;
use super::{Tenant, Trouble};
use crate::api::{AwsAuth, AwsBackend, WebIdentityAuth};
use crate::cluster::secrets::Secret;

/// AWS, as a Sync has it. Not `Debug`.
pub(super) struct Aws {
    login: Login,
    clients: AwsClients,
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
        Ok((Self { login, clients: AwsClients::new() }, version))
    }

    pub(super) async fn unwrap(&self, tenant: &Tenant<'_>, key: &AwsKey, enc: &str) -> Result<DataKey, ServiceError> {
        // A profile is of somebody's machine.
        let key = AwsKey { profile: String::new(), ..key.clone() };
        self.clients.of(&key, self.client(tenant, &key)).await?.unwrap(&key, enc).await
    }

    async fn client(&self, tenant: &Tenant<'_>, key: &AwsKey) -> Result<AwsKms, ServiceError> {
        let session = format!("waxwing@{}", tenant.job.account.name());
        let access = match &self.login {
            Login::Keys(secret) => {
                let entry = |key: &str| secret.data.get(key).map(|value| SecretBytes::concat(&[value.expose_secret()]));
                let missing =
                    || ServiceError::NoCredentials { service: AWS_KMS, why: "the Secret lacks an entry".to_owned() };
                AwsAccess::Keys {
                    id: entry("accessKeyId").ok_or_else(missing)?,
                    secret: entry("secretAccessKey").ok_or_else(missing)?,
                    token: entry("sessionToken"),
                }
            }
            Login::WebIdentity(WebIdentityAuth { role_arn, audience }) => {
                let token = tenant.token(audience, AWS_STS).await?;
                AwsAccess::WebIdentity { role: role_arn.clone(), token }
            }
        };
        AwsKms::with_access(&access, tenant.key_services().aws.as_deref(), key, &session).await
    }
}
