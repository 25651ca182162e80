//! Reading a backend that a Sync names, as the tenant.

use kube::Client;
use serde_json::Value;

use super::call::{Call, CallError};
use super::identity::{Identity, ServiceAccount};

/// Reads the SecretBackend `name` of the account's namespace as that account; none where there is none of that name.
///
/// # Errors
///
/// Fails as the request does: 403 where the account may not read it.
pub async fn read_backend(client: &Client, account: &ServiceAccount, name: &str) -> Result<Option<Value>, CallError> {
    // The rules for names of ServiceAccounts and of custom resources are the same (RFC 1123 subdomain).
    let Ok(checked) = ServiceAccount::new(account.namespace(), name) else { return Ok(None) };
    let path =
        format!("/apis/waxwing.dev/v1alpha1/namespaces/{}/secretbackends/{}", checked.namespace(), checked.name());
    match Call::get(&path).send(client, &Identity::Tenant(account.clone())).await {
        Ok(backend) => Ok(Some(backend)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
