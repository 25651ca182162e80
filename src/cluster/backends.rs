//! Reading a backend that a Sync names: of its namespace as the tenant, of the whole cluster as the controller, since such a one says itself
//! which namespaces may use it.

use std::collections::BTreeMap;

use kube::Client;
use serde_json::Value;

use super::call::{Call, CallError, METADATA_ONLY};
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
    found(Call::get(&path).send(client, &Identity::Tenant(account.clone())).await)
}

/// Reads the ClusterSecretBackend `name` as the controller; none where there is none of that name.
///
/// # Errors
///
/// Fails as the request does.
pub async fn read_cluster_backend(client: &Client, name: &str) -> Result<Option<Value>, CallError> {
    let Ok(checked) = ServiceAccount::new("any", name) else { return Ok(None) };
    let path = format!("/apis/waxwing.dev/v1alpha1/clustersecretbackends/{}", checked.name());
    found(Call::get(&path).send(client, &Identity::Controller).await)
}

/// Returns the labels of a namespace, as the controller reads them; none where there is no such namespace.
///
/// # Errors
///
/// Fails as the request does.
pub async fn labels_of_namespace(client: &Client, namespace: &str) -> Result<BTreeMap<String, String>, CallError> {
    let path = format!("/api/v1/namespaces/{namespace}");
    let read = found(Call::get(&path).accept(METADATA_ONLY).send(client, &Identity::Controller).await)?;
    let labels = read.as_ref().and_then(|read| read.pointer("/metadata/labels")?.as_object());
    let text = |(label, value): (&String, &Value)| Some((label.clone(), value.as_str()?.to_owned()));
    Ok(labels.into_iter().flatten().filter_map(text).collect())
}

fn found(answer: Result<Value, CallError>) -> Result<Option<Value>, CallError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
