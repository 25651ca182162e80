//! What an identity may do, asked of the API server before a sealing key is used or an object is handed over for it.

use kube::Client;
use serde_json::{Value, json};
use waxwing_plan::ObjectId;

use super::call::{Call, CallError};
use super::discovery::Kinds;
use super::identity::{Identity, ServiceAccount};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
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
        let review = review_of(account, attributes);
        let answer = Call::post(REVIEWS, review.to_string().into()).send(client, &Identity::Controller).await?;
        if !is_allowed(&answer) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_allowed(answer: &Value) -> bool {
    answer.pointer("/status/allowed") == Some(&Value::Bool(true))
}

fn review_of(account: &ServiceAccount, attributes: Value) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": account.user(),
            "groups": account.groups(),
            "resourceAttributes": attributes,
        },
    })
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
    let Some(attributes) = kinds.attributes(id, "patch") else { return Ok(false) };
    let answer = Call::post(REVIEWS, review_of(account, attributes).to_string().into());
    Ok(is_allowed(&answer.send(client, &Identity::Controller).await?))
}

/// Tells whether the ServiceAccount exists.
///
/// # Errors
///
/// Fails when the API server doesn't answer.
pub async fn exists(client: &Client, account: &ServiceAccount) -> Result<bool, CallError> {
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}", account.namespace(), account.name());
    match Call::get(&path).accept(super::call::METADATA_ONLY).send(client, &Identity::Controller).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
