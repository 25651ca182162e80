//! Who shows a token, and what they may do: asked of the API server, as the controller. For callers of our own HTTP interface.
//!
//! A token counts only for the audience that it was made for, so that one which was shown to the controller can't be used at the API
//! server, nor the other way round. Source: TokenReview of `authentication.k8s.io/v1`, SubjectAccessReview of
//! `authorization.k8s.io/v1`.

use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use waxwing_formats::SecretBytes;
use zeroize::Zeroizing;

use super::call::{Call, CallError, Privacy};
use super::identity::Identity;

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Somebody whom the API server knows.
#[derive(Clone, Debug, Deserialize)]
pub struct Caller {
    /// The name of the user.
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    audiences: [&'a str; 1],
}

/// The answer, without the token that is repeated in it.
#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    user: Option<Caller>,
    #[serde(default)]
    audiences: Vec<String>,
}

/// Returns whose token it is; none where the API server doesn't know it, or not for this audience.
///
/// # Errors
///
/// Fails when the API server refuses the review or doesn't answer.
pub async fn caller(client: &Client, token: &SecretBytes, audience: &str) -> Result<Option<Caller>, CallError> {
    // What is no text is nobody's token.
    let Ok(token) = std::str::from_utf8(token.expose_secret()) else { return Ok(None) };
    let spec = Spec { token, audiences: [audience] };
    let review = Review { api_version: "authentication.k8s.io/v1", kind: "TokenReview", spec };
    let body = serde_json::to_vec(&review).map_err(|_| CallError::malformed(TOKENS))?;
    let call = Call::post(TOKENS, body.into()).privacy(Privacy::Secret);
    let answer = Zeroizing::new(Vec::from(call.send_raw(client, &Identity::Controller).await?));
    let Answer { status } = serde_json::from_slice(&answer).map_err(|_| CallError::malformed(TOKENS))?;
    // An API server that knows nothing of audiences names none.
    let is_for_us = status.audiences.iter().any(|of| of == audience);
    Ok(status.user.filter(|user| status.authenticated && is_for_us && !user.username.is_empty()))
}

/// Tells whether somebody may do `verb` to a SealedSecret.
///
/// # Errors
///
/// Fails when the API server refuses the review or doesn't answer.
pub async fn may_touch(
    client: &Client,
    caller: &Caller,
    verb: &str,
    (namespace, name): (&str, &str),
) -> Result<bool, CallError> {
    let resource = json!({"group": "bitnami.com", "version": "v1alpha1", "resource": "sealedsecrets", "verb": verb,
        "namespace": namespace, "name": name});
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": caller.username, "uid": caller.uid, "groups": caller.groups, "extra": caller.extra,
            "resourceAttributes": resource},
    });
    let call = Call::post(ACCESS, review.to_string().into());
    let answer = call.send(client, &Identity::Controller).await?;
    let says = |field: &str| answer.pointer("/status").and_then(|status| status.get(field)) == Some(&Value::Bool(true));
    Ok(says("allowed") && !says("denied"))
}
