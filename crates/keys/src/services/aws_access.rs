//! Credentials of AWS that somebody holds in hand, and where AWS is reached with them: nothing from the environment, no files.
//!
//! Source: `AssumeRoleWithWebIdentity` of the STS API, which is not signed: the token is what counts.

use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use waxwing_formats::SecretBytes;

use super::aws::{refusal, timeouts};
use super::service_name::AWS_STS as STS;
use super::{AwsKey, AwsKms, ServiceError};

/// As whom AWS is called. There is no `Debug`: keys stand in it.
pub enum AwsAccess {
    /// As who has these keys.
    Keys {
        /// The access key id.
        id: SecretBytes,
        /// The secret access key.
        secret: SecretBytes,
        /// The session token, for keys that are good for a while only.
        token: Option<SecretBytes>,
    },
    /// In a role that a token of somebody whom AWS trusts is exchanged for (IRSA).
    WebIdentity {
        /// The ARN of the role.
        role: String,
        /// The token.
        token: SecretBytes,
    },
}

impl AwsKms {
    /// Makes a client for a key with these credentials; at `endpoint`, if AWS is not where it usually is. The role that the key
    /// wants is assumed with them.
    ///
    /// # Errors
    /// Fails if the key's ARN is not one, the credentials are not text, or a role can't be had.
    pub async fn with_access(
        access: &AwsAccess,
        endpoint: Option<&str>,
        key: &AwsKey,
        session: &str,
    ) -> Result<Self, ServiceError> {
        let region = key.region().ok_or(ServiceError::Malformed { what: "the ARN" })?;
        let credentials = SharedCredentialsProvider::new(access.credentials(endpoint, region, session).await?);
        let config = configuration(endpoint, region).into_builder().credentials_provider(credentials).build();
        Self::for_key(&config, key, session).await
    }
}

impl AwsAccess {
    /// Returns credentials to sign with in a region, for which a token is exchanged.
    pub(super) async fn credentials(
        &self,
        endpoint: Option<&str>,
        region: &str,
        session: &str,
    ) -> Result<Credentials, ServiceError> {
        match self {
            Self::Keys { id, secret, token } => {
                let token = token.as_ref().map(text).transpose()?;
                Ok(Credentials::new(text(id)?, text(secret)?, token, None, "SecretBackend"))
            }
            Self::WebIdentity { role, token } => {
                exchanged(&configuration(endpoint, region), role, token, session).await
            }
        }
    }
}

/// Says where AWS is, and nothing of who calls it.
fn configuration(endpoint: Option<&str>, region: &str) -> SdkConfig {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .timeout_config(timeouts());
    config.set_endpoint_url(endpoint.map(str::to_owned));
    config.build()
}

async fn exchanged(
    config: &SdkConfig,
    role: &str,
    token: &SecretBytes,
    session: &str,
) -> Result<Credentials, ServiceError> {
    let request = aws_sdk_sts::Client::new(config).assume_role_with_web_identity();
    let request = request.role_arn(role).role_session_name(session).web_identity_token(text(token)?);
    let answer = request.send().await.map_err(|error| refusal(STS, &error))?;
    let credentials = answer.credentials.ok_or(ServiceError::Answer { service: STS })?;
    let token = Some(credentials.session_token);
    Ok(Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "WebIdentity"))
}

/// Leaves our own memory for that of the SDK, which wipes credentials when they go.
fn text(secret: &SecretBytes) -> Result<String, ServiceError> {
    let text = std::str::from_utf8(secret.expose_secret().trim_ascii());
    let not_text = |_| ServiceError::NoCredentials { service: STS, why: "they are not text".to_owned() };
    text.map(str::to_owned).map_err(not_text)
}
