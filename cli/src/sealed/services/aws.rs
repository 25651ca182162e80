//! AWS KMS as the user: credentials and endpoints from where the SDKs of AWS look for them.
//!
//! These are, in this order, the environment, the shared configuration (`AWS_PROFILE`), a web identity, a container and the metadata
//! service of a machine; a profile that the key names comes before all. Source: `createKMSConfig` in `kms/keysource.go` of sops 3.13.3.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use waxwing_formats::DataKey;
use waxwing_keys::{AwsKey, AwsKms, ServiceError};

pub(super) const SERVICE: &str = "AWS KMS";
/// What gives out the credentials of roles.
pub(super) const STS: &str = "AWS STS";
pub(super) const NO_CREDENTIALS: &str =
    "log in and set AWS_PROFILE, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";

/// The longest name that AWS lets a session have.
const MAX_SESSION: usize = 64;

/// What a client is made for.
type Whose = (String, Option<String>, String);

/// The clients of this run: finding credentials and assuming a role takes calls of its own.
static CLIENTS: Mutex<BTreeMap<Whose, Arc<AwsKms>>> = Mutex::new(BTreeMap::new());

pub(super) async fn wrap(key: &AwsKey, data_key: &DataKey) -> Result<String, ServiceError> {
    client(key).await?.wrap(key, data_key).await
}

pub(super) async fn unwrap(key: &AwsKey, enc: &str) -> Result<DataKey, ServiceError> {
    client(key).await?.unwrap(key, enc).await
}

async fn client(key: &AwsKey) -> Result<Arc<AwsKms>, ServiceError> {
    let region = key.region().ok_or(ServiceError::Malformed { what: "the ARN" })?;
    let whose = (region.to_owned(), key.role.clone(), key.profile.clone());
    let made = clients().get(&whose).cloned();
    if let Some(client) = made {
        return Ok(client);
    }
    let config = configuration(region, &key.profile).await;
    let client = Arc::new(AwsKms::for_key(&config, key, &session()).await?);
    clients().insert(whose, Arc::clone(&client));
    Ok(client)
}

fn clients() -> MutexGuard<'static, BTreeMap<Whose, Arc<AwsKms>>> {
    CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)
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
