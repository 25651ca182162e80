//! Tokens of a tenant's ServiceAccount for somebody else than the API server, as a key service wants them.
//!
//! The ServiceAccount asks for a token of itself, by impersonation, so it needs the right to (`create` on
//! `serviceaccounts/token`); the controller has no such right. The audience is always said, and where it is the issuer's own name,
//! which is what the API server takes unless it is told otherwise (`--api-audiences`), there is no token: whom it is shown to could
//! turn to the cluster with it. Source: TokenRequest of `authentication.k8s.io/v1`, and RFC 7519 for the claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::Client;
use serde::Deserialize;
use serde_json::json;
use waxwing_formats::SecretBytes;

use super::call::{Call, CallError, Privacy};
use super::identity::{Identity, ServiceAccount};

/// How long a token is good for; the API server makes none for less.
const LIFETIME_SECONDS: u32 = 600;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    token: std::borrow::Cow<'a, str>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The API server refused or didn't answer.
    #[error("failed to make a token of ServiceAccount {account}")]
    Call {
        /// The account.
        account: ServiceAccount,
        /// What the API server said.
        source: CallError,
    },
    /// The API server would take the token itself.
    #[error("the audience {audience:?} is that of the API server, which would take the token itself")]
    OwnAudience {
        /// The audience.
        audience: String,
    },
}

/// Makes a token of `account` for `audience`, good for ten minutes.
///
/// # Errors
///
/// See [`TokenError`]; a refusal with code 403 where the account may not create tokens of itself.
pub async fn token_for(client: &Client, account: &ServiceAccount, audience: &str) -> Result<SecretBytes, TokenError> {
    let failed = |source| TokenError::Call { account: account.clone(), source };
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", account.namespace(), account.name());
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": LIFETIME_SECONDS},
    });
    let call = Call::post(&path, request.to_string().into()).privacy(Privacy::Secret);
    let bytes = call.send_raw(client, &Identity::Tenant(account.clone())).await.map_err(failed)?;
    let wire: Wire<'_> = serde_json::from_slice(&bytes).map_err(|_| failed(CallError::malformed(&path)))?;
    match issuer(&wire.status.token) {
        None => Err(failed(CallError::malformed(&path))),
        Some(issuer) if issuer == audience => Err(TokenError::OwnAudience { audience: audience.to_owned() }),
        Some(_) => Ok(SecretBytes::concat(&[wire.status.token.as_bytes()])),
    }
}

/// Returns who made a token, which is not checked: it came from the API server.
fn issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.iss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_of_a_token_stands_in_its_second_part() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"aud":["vault"],"iss":"https://kubernetes.default.svc"}"#);
        assert_eq!(issuer(&format!("e30.{payload}.x")).as_deref(), Some("https://kubernetes.default.svc"));
        for damaged in ["", "a.b", "a.!.c", "a.e30.c"] {
            assert_eq!(issuer(damaged), None, "{damaged}");
        }
    }
}
