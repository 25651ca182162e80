//! AWS KMS, Secrets Manager and the Parameter Store as the user: credentials and endpoints from where the SDKs of AWS look for them.
//!
//! These are, in this order, the environment, the shared configuration (`AWS_PROFILE`), a web identity, a container and the metadata
//! service of a machine; a profile that the key names comes before all. Source: `createKMSConfig` in `kms/keysource.go` of sops 3.13.3.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use waxwing_formats::DataKey;
use waxwing_keys::service_name::AWS_SECRETS;
use waxwing_keys::{AwsClients, AwsKey, AwsKms, AwsSecrets, ServiceError};

pub(super) const NO_CREDENTIALS: &str =
    "log in and set AWS_PROFILE, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";

/// The longest name that AWS lets a session have.
const MAX_SESSION: usize = 64;

/// The clients of this run.
static CLIENTS: AwsClients = AwsClients::new();

pub(super) async fn wrap(key: &AwsKey, data_key: &DataKey) -> Result<String, ServiceError> {
    CLIENTS.of(key, client(key)).await?.wrap(key, data_key).await
}

pub(super) async fn unwrap(key: &AwsKey, enc: &str) -> Result<DataKey, ServiceError> {
    CLIENTS.of(key, client(key)).await?.unwrap(key, enc).await
}

/// Logs in for secrets of a region, or of the one that the configuration says.
pub(super) async fn secrets(region: Option<&str>) -> Result<AwsSecrets, ServiceError> {
    let config = match region {
        Some(region) => configuration(region, "").await,
        None => aws_config::defaults(BehaviorVersion::latest()).load().await,
    };
    if config.region().is_none() {
        let why = "neither the backend, nor AWS_REGION or a profile names a region".to_owned();
        return Err(ServiceError::NoCredentials { service: AWS_SECRETS, why });
    }
    AwsSecrets::configured(super::connections(AWS_SECRETS)?, config).await
}

async fn client(key: &AwsKey) -> Result<AwsKms, ServiceError> {
    let config = configuration(key.region().unwrap_or_default(), &key.profile).await;
    AwsKms::for_key(&config, key, &session()).await
}

async fn configuration(region: &str, profile: &str) -> SdkConfig {
    let region = Region::new(region.to_owned());
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(region.clone());
    if profile.is_empty() {
        return loader.load().await;
    }
    // The loader would ask the environment first, sops does not.
    let around = ProviderConfig::default().with_region(Some(region));
    let credentials = ProfileFileCredentialsProvider::builder().configure(&around).profile_name(profile).build();
    loader.profile_name(profile).credentials_provider(credentials).load().await
}

/// Names the session in which a role is assumed as sops does, `sops@HOST`, since policies may look at it.
fn session() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    session_on(&host)
}

/// sops's list of what stays has a range from `@` to `_`, so that a hyphen does not.
fn session_on(host: &str) -> String {
    let stays = |letter: &char| letter.is_ascii_alphanumeric() || "=,.@_".contains(*letter);
    "sops@".chars().chain(host.chars().filter(stays)).take(MAX_SESSION).collect()
}

#[cfg(test)]
mod tests {
    use super::session_on;

    #[test]
    fn a_session_has_the_name_of_the_machine_as_far_as_aws_takes_it() {
        assert_eq!(session_on("build-7.example.com"), "sops@build7.example.com");
        assert_eq!(session_on("m\u{fc}hle$"), "sops@mhle");
        assert_eq!(session_on(&"a".repeat(100)).len(), 64);
    }
}
