//! What an identity may do, asked of the API server before a sealing key is used or an object is handed over for it.
//!
//! Each ServiceAccount asks about itself, by impersonation: everybody may (`system:basic-user`), so the controller needs no
//! right to ask about others.

use kube::Client;
use serde_json::{Value, json};
use waxwing_plan::ObjectId;

use super::call::{Call, CallError};
use super::discovery::Kinds;
use super::identity::{Identity, ServiceAccount};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const VERBS: [&str; 2] = ["create", "patch"];

/// Tells whether `account` may create and patch Secrets in `namespace`.
///
/// The cluster's sealing keys open a SealedSecret only for those who could write the Secret themselves; otherwise
/// a tenant could have another tenant's secret opened into an object that only the controller may write.
///
/// # Errors
///
/// Fails when the API server doesn't answer the review.
pub async fn may_write_secrets(client: &Client, account: &ServiceAccount, namespace: &str) -> Result<bool, CallError> {
    for verb in VERBS {
        let attributes = json!({"namespace": namespace, "verb": verb, "version": "v1", "resource": "secrets"});
        if !review(client, account, attributes).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn review(client: &Client, account: &ServiceAccount, attributes: Value) -> Result<bool, CallError> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let call = Call::post(REVIEWS, review.to_string().into());
    let answer = call.send(client, &Identity::Tenant(account.clone())).await?;
    Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
}

/// Tells whether `account` may patch the object `id`, as applying it does.
///
/// # Errors
///
/// Fails when the API server doesn't answer the review; a kind that it doesn't have may not be patched.
pub async fn may_patch(
    client: &Client,
    kinds: &Kinds,
    account: &ServiceAccount,
    id: &ObjectId,
) -> Result<bool, CallError> {
    match kinds.attributes(id, "patch") {
        Some(attributes) => review(client, account, attributes).await,
        None => Ok(false),
    }
}

/// Returns the uid of the ServiceAccount, none where it doesn't exist.
///
/// # Errors
///
/// Fails when the API server doesn't answer.
pub async fn uid(client: &Client, account: &ServiceAccount) -> Result<Option<String>, CallError> {
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}", account.namespace(), account.name());
    match Call::get(&path).accept(super::call::METADATA_ONLY).send(client, &Identity::Controller).await {
        Ok(found) => Ok(found.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
