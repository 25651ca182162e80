//! Tokens for a login: asks whoever issues them once, keeps what came of it, and says why there are none.
//!
//! What is not here: what is asked of whom; `gcp_login` and `azure_login` know that. Of an error, the status and the codes are kept.
//! Source: RFC 6749, sections 5.1 and 5.2 (answers and errors of a token endpoint), and AIP-193 (errors of Google's services).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use tokio::sync::Mutex;
use waxwing_formats::SecretBytes;

use super::ServiceError;
use super::exchange::{Answer, Body, Request, ServiceClient, is_code};
use super::secret_text::SecretText;

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(60);
/// No token is used for longer, whatever its issuer says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A token that was issued, and for how long.
pub(super) struct Issued {
    pub(super) token: SecretBytes,
    pub(super) lives: Duration,
}

/// The tokens of one login, by what they are good for. What was refused once stays refused: a login is made for one sync.
#[derive(Default)]
pub(super) struct KeptTokens(Mutex<BTreeMap<String, Result<Kept, ServiceError>>>);

struct Kept {
    token: SecretBytes,
    until: Instant,
}

impl KeptTokens {
    /// Returns the token for `scope`, or else asks for one; whoever comes in between waits for the same.
    pub(super) async fn get(
        &self,
        scope: &str,
        ask: impl Future<Output = Result<Issued, ServiceError>> + Send,
    ) -> Result<SecretBytes, ServiceError> {
        let mut kept = self.0.lock().await;
        match kept.get(scope) {
            Some(Ok(Kept { token, until })) if Instant::now() < *until => return Ok(copy(token)),
            Some(Err(error)) => return Err(error.clone()),
            _ => {}
        }
        let issued = ask.await;
        let token = issued.as_ref().map(|issued| copy(&issued.token)).map_err(Clone::clone);
        let keep =
            |Issued { token, lives }| Kept { token, until: Instant::now() + lives.min(LONGEST).saturating_sub(MARGIN) };
        kept.insert(scope.to_owned(), issued.map(keep));
        token
    }
}

fn copy(token: &SecretBytes) -> SecretBytes {
    SecretBytes::concat(&[token.expose_secret()])
}

/// Sends a form to a token endpoint and reads the token of its answer.
///
/// # Errors
/// [`ServiceError::NoCredentials`] where nobody is let in, and otherwise as the answer says.
pub(super) async fn token_by_form(
    client: &ServiceClient,
    service: &'static str,
    url: Url,
    fields: &[(&str, &[u8])],
) -> Result<Issued, ServiceError> {
    let body = Some(Body::form(fields));
    let request = Request { service, method: reqwest::Method::POST, url, token: None, headers: HeaderMap::new(), body };
    let answer = client.ask(&request).await?;
    if answer.status != 200 {
        return Err(refusal(service, &answer));
    }
    let read = serde_json::from_slice::<Token<'_>>(answer.body.expose_secret());
    let Token { access_token, expires_in } = read.map_err(|_| ServiceError::Answer { service })?;
    Ok(Issued { token: access_token.to_secret(), lives: Duration::from_secs(expires_in) })
}

/// Says what an answer means that brought no token.
pub(super) fn refusal(service: &'static str, answer: &Answer) -> ServiceError {
    let failed = serde_json::from_slice::<Failed>(answer.body.expose_secret()).ok();
    let code = failed.as_ref().map(|failed| match &failed.error {
        Reason::Code(code) | Reason::Status { status: code } => code.as_str(),
    });
    match answer.status {
        400 | 401 | 403 | 404 => {
            let mut why = format!("it does not let the caller in ({}", answer.status);
            // Writing to a text can't fail.
            let _ = code.filter(|code| is_code(code)).map(|code| write!(why, " {code}"));
            let numbers = failed.as_ref().map(|failed| failed.error_codes.as_slice()).unwrap_or_default();
            let _ = numbers.first().map(|number| write!(why, " AADSTS{number}"));
            ServiceError::NoCredentials { service, why: why + ")" }
        }
        _ => answer.failure(service, code),
    }
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    access_token: SecretText<'a>,
    /// In seconds. Without it the token is used once.
    #[serde(default)]
    expires_in: u64,
}

#[derive(Deserialize)]
struct Failed {
    error: Reason,
    /// Those of Microsoft ("Microsoft Entra authentication and authorization error codes").
    #[serde(default)]
    error_codes: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reason {
    Code(String),
    Status { status: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> String {
        let body = SecretBytes::new(body.as_bytes().to_vec());
        refusal("X", &Answer { status, retry_after: None, challenge: None, body }).to_string()
    }

    #[test]
    fn of_a_refusal_the_codes_are_told_and_none_of_its_words() {
        let entra = r#"{"error":"invalid_client","error_description":"AADSTS700213: hunter2","error_codes":[700213]}"#;
        let google = r#"{"error":{"code":403,"message":"hunter2","status":"PERMISSION_DENIED"}}"#;
        let none = "there are no credentials for X: it does not let the caller in";
        for (status, body, wanted) in [
            (401, entra, format!("{none} (401 invalid_client AADSTS700213)")),
            (403, google, format!("{none} (403 PERMISSION_DENIED)")),
            (400, r#"{"error":"invalid_grant"}"#, format!("{none} (400 invalid_grant)")),
            (400, r#"{"error":"hunter2 is it"}"#, format!("{none} (400)")),
            (404, "<html>", format!("{none} (404)")),
            (429, r#"{"error":"slow_down"}"#, "X was asked too often (429 slow_down)".to_owned()),
            (503, "", "X can't be reached: it answered 503".to_owned()),
        ] {
            assert_eq!(refused(status, body), wanted);
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_while_it_is_good_and_a_refusal_is_not_asked_for_again() {
        let kept = KeptTokens::default();
        let issued = |text: &str, lives| Issued { token: SecretBytes::new(text.as_bytes().to_vec()), lives };
        let hour = Duration::from_secs(3600);
        let token = async |scope: &'static str, answer| {
            let got = kept.get(scope, async { answer }).await;
            got.map(|token| String::from_utf8(token.expose_secret().to_vec()).unwrap())
        };
        assert_eq!(token("a", Ok(issued("1", hour))).await.as_deref(), Ok("1"));
        assert_eq!(token("a", Ok(issued("2", hour))).await.as_deref(), Ok("1"));
        assert_eq!(token("b", Ok(issued("3", MARGIN))).await.as_deref(), Ok("3"));
        assert_eq!(token("b", Ok(issued("4", hour))).await.as_deref(), Ok("4"));
        let refused = ServiceError::Answer { service: "X" };
        assert_eq!(token("c", Err(refused.clone())).await, Err(refused.clone()));
        assert_eq!(token("c", Ok(issued("5", hour))).await, Err(refused));
    }
}
