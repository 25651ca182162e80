//! Calls key services and stores of secrets as the user: with the credentials that sops 3.13.3 would find, at the addresses that the key
//! names.
//!
//! Each service has a file that finds its credentials and makes its client, when the first key of it comes up: a file without such
//! keys costs nothing of it. How a service is called stands in `waxwing-keys`.

mod aws;
mod azure;
mod gcp;
mod vault;

use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};
use waxwing_keys::service_name::{
    AWS_KMS, AWS_PARAMETERS, AWS_SECRETS, AWS_STS, AZURE_KEY_VAULT, GCP_KMS, GCP_SECRETS, VAULT,
};
use waxwing_keys::{
    AwsSecrets, AzureSecrets, GcpSecrets, NoConnections, Patience, Proxies, ServiceClient, ServiceError, ServiceKey,
    VaultKv, VaultSecrets,
};

/// What calls are waited for on; one, since clients keep their connections in it.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| Builder::new_current_thread().enable_all().build());

/// The connections to clouds, one for all of them: to read the authorities of the system takes longer than a call.
static CONNECTIONS: LazyLock<Result<ServiceClient, NoConnections>> =
    LazyLock::new(|| ServiceClient::new(None, Proxies::OfTheEnvironment, Patience::default()));

fn connections(service: &'static str) -> Result<ServiceClient, ServiceError> {
    let unreachable = |error: &NoConnections| ServiceError::Unavailable { service, why: error.to_string() };
    CONNECTIONS.as_ref().map(Clone::clone).map_err(unreachable)
}

/// Wraps a data key, or a share of one.
pub(super) fn wrap(key: &ServiceKey, data_key: &DataKey) -> Result<WrappedKey, ServiceError> {
    let (key, enc) = match key {
        ServiceKey::Aws(own) => (key.clone(), wait(aws::wrap(own, data_key))?),
        ServiceKey::Vault(own) => (key.clone(), wait(vault::wrap(own, data_key))?),
        ServiceKey::Gcp(own) => (key.clone(), wait(gcp::wrap(own, data_key))?),
        ServiceKey::Azure(own) => {
            let (own, enc) = wait(azure::wrap(own, data_key))?;
            (ServiceKey::Azure(own), enc)
        }
    };
    Ok(key.wrapped(enc))
}

/// Returns the key as it stands in a file: one of Azure with its version, which is the newest if it has none.
pub(super) fn versioned(key: &ServiceKey) -> Result<ServiceKey, ServiceError> {
    match key {
        ServiceKey::Azure(own) if own.version.is_empty() => wait(azure::versioned(own)).map(ServiceKey::Azure),
        other => Ok(other.clone()),
    }
}

/// Unwraps a data key, or a share of one.
pub(super) fn unwrap(key: &ServiceKey, enc: &str) -> Result<DataKey, ServiceError> {
    match key {
        ServiceKey::Aws(key) => wait(aws::unwrap(key, enc)),
        ServiceKey::Vault(key) => wait(vault::unwrap(key, enc)),
        ServiceKey::Gcp(key) => wait(gcp::unwrap(key, enc)),
        ServiceKey::Azure(key) => wait(azure::unwrap(key, enc)),
    }
}

/// Secrets of a server of Vault or OpenBao that are not wrapped keys, but published there.
pub(crate) struct Secrets(VaultKv);

impl Secrets {
    /// Makes a client for a server, if it may be called.
    pub(crate) fn at(address: &str) -> Result<Self, ServiceError> {
        vault::kv(address).map(Self)
    }

    /// Reads what stands at a path below `/v1`, if anything does.
    pub(crate) fn read(&self, path: &str) -> Result<Option<SecretBytes>, ServiceError> {
        wait(self.0.read(path))
    }

    /// Writes JSON to a path below `/v1`.
    pub(crate) fn write(&self, path: &str, json: &SecretBytes) -> Result<(), ServiceError> {
        wait(self.0.write(path, json))
    }
}

/// Returns the variable that names the user's server of Vault or OpenBao, for what references lead to, and the address in it.
pub(crate) fn vault_address() -> (String, Option<String>) {
    let environment = vault::Environment::OpenBao;
    (environment.name("ADDR"), environment.text("ADDR"))
}

/// Makes a client for the secrets of a server of Vault or OpenBao, in a namespace or in that of the environment.
pub(crate) fn vault_secrets(address: &str, namespace: Option<&str>) -> Result<VaultSecrets, ServiceError> {
    vault::secrets(address, namespace)
}

/// Logs in at AWS for secrets and parameters, in a region or in that of the user.
pub(crate) async fn aws_secrets(region: Option<&str>) -> Result<AwsSecrets, ServiceError> {
    aws::secrets(region).await
}

/// Makes a client for Google Secret Manager.
pub(crate) fn gcp_secrets() -> Result<GcpSecrets, ServiceError> {
    gcp::secrets()
}

/// Makes a client for the secrets of a vault of Azure.
pub(crate) fn azure_secrets(vault_url: &str) -> Result<AzureSecrets, ServiceError> {
    azure::secrets(vault_url)
}

/// Says where credentials for a service are looked for.
pub(crate) fn credentials_hint(service: &str) -> Option<&'static str> {
    match service {
        VAULT => Some(vault::NO_CREDENTIALS),
        AWS_KMS | AWS_STS | AWS_SECRETS | AWS_PARAMETERS => Some(aws::NO_CREDENTIALS),
        GCP_KMS | GCP_SECRETS => Some(gcp::NO_CREDENTIALS),
        AZURE_KEY_VAULT => Some(azure::NO_CREDENTIALS),
        _ => None,
    }
}

/// Returns what the user can do about an error, where there is something.
pub(crate) fn hint(error: &ServiceError) -> Option<&'static str> {
    match error {
        ServiceError::NoCredentials { service, .. } => credentials_hint(service),
        ServiceError::Denied { .. } => Some("let whoever calls use the key, or call as somebody else"),
        ServiceError::NotFound { .. } => Some("check the name of the key, or make it"),
        ServiceError::Throttled { .. } | ServiceError::Unavailable { .. } => {
            Some("check the address, or try again later")
        }
        _ => None,
    }
}

fn wait<T>(call: impl Future<Output = Result<T, ServiceError>>) -> Result<T, ServiceError> {
    block_on(call).unwrap_or_else(|error| {
        let why = format!("nothing can be waited for on this machine: {error}");
        Err(ServiceError::Unavailable { service: "the key service", why })
    })
}

/// Waits for a call to end.
///
/// # Errors
/// Fails if nothing can be waited for on this machine.
pub(crate) fn block_on<T>(call: impl Future<Output = T>) -> Result<T, &'static io::Error> {
    RUNTIME.as_ref().map(|runtime| runtime.block_on(call))
}
