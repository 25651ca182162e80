//! Logins at Vault and OpenBao, and the end of what they gave.
//!
//! Each proof of who somebody is goes to the authentication method that is mounted where the caller says, in the body of one request; a
//! certificate goes with the connection. A secret id may come wrapped, to be taken out once. What is not here: where proofs come from,
//! and how long a token is kept. Of a refusal only the status is read.
//! Source: <https://openbao.org/api-docs/auth/> (`kubernetes`, `jwt`, `approle` and `cert`: `login`; `token`: `revoke-self`) and
//! <https://openbao.org/api-docs/system/wrapping-lookup/>, `wrapping-unwrap`.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use waxwing_formats::SecretBytes;

use super::{Answer, Body, Enveloped, SERVICE, VaultTransit, is_name, read, unreadable};
use crate::services::ServiceError;
use crate::services::secret_text::SecretText;

/// The longest that a token or secret id is taken to be good for: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What somebody proves with who he is.
pub enum VaultProof<'a> {
    /// A signed token of a ServiceAccount, for a role; of methods of the types `kubernetes` and `jwt`.
    Signed {
        /// The role.
        role: &'a str,
        /// The token.
        jwt: &'a SecretBytes,
    },
    /// The two ids of an AppRole.
    AppRole {
        /// Which role it is, which is no secret.
        role_id: &'a str,
        /// The secret one.
        secret_id: &'a SecretBytes,
    },
    /// The certificate that the connection is made with.
    Certificate {
        /// The role; without one the server looks for one that takes the certificate.
        role: Option<&'a str>,
    },
}

/// What a login gave. There is no `Debug`: the token stands in it.
pub struct VaultLogin {
    /// The token.
    pub token: SecretBytes,
    /// How long it is good for; none for one that ends only when it is told to.
    pub lifetime: Option<Duration>,
    /// Whether it may be used any number of times.
    pub is_for_many_uses: bool,
    /// Whether it can be ended before its time, as a batch token can't.
    pub is_revocable: bool,
}

impl VaultTransit {
    /// Logs in at the authentication method that is mounted at `mount`.
    ///
    /// # Errors
    /// [`ServiceError::Denied`] if the server does not let it in; fails also if the mount is no path, or the server does not answer.
    pub async fn log_in(&self, mount: &str, proof: &VaultProof<'_>) -> Result<VaultLogin, ServiceError> {
        let parts: Vec<&str> = mount.split('/').collect();
        if !parts.iter().all(|part| is_name(part)) {
            return Err(ServiceError::Malformed { what: "the mount of the login" });
        }
        let url = self.below(["auth"].into_iter().chain(parts).chain(["login"]))?;
        let answer = self.call(url, proof.body()?).await.map_err(refused)?;
        let login: Login<'_> = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        let LoggedIn { client_token, lease_duration, num_uses, token_type } = login.auth;
        Ok(VaultLogin {
            token: client_token.to_secret(),
            lifetime: lifetime(lease_duration),
            is_for_many_uses: num_uses == 0,
            is_revocable: token_type != "batch",
        })
    }

    /// Takes a secret id out of its wrapping, which can be done once, and returns how long it is good for, where it ends. The token of
    /// this client is the one of the wrapping. It is looked at first: what was not wrapped by the AppRole method that is mounted at
    /// `mount` may have been put there by somebody who read the secret id before.
    ///
    /// # Errors
    /// [`ServiceError::Denied`] if there is no such wrapping any more, [`ServiceError::Refused`] if something else is wrapped.
    pub async fn unwrap_secret_id(
        &self,
        mount: &str,
        wrapping: &SecretBytes,
    ) -> Result<(SecretBytes, Option<Duration>), ServiceError> {
        let looked =
            self.call(self.below(["sys", "wrapping", "lookup"])?, object(&[("token", secret(wrapping)?)])?).await;
        let looked = looked.map_err(refused)?;
        let Enveloped { data: Wrapping { creation_path } } = read(&looked)?;
        if !is_path_of_secret_ids(&creation_path, mount) {
            return Err(ServiceError::Refused { service: SERVICE, code: "another path".to_owned() });
        }
        let answer = self.call(self.below(["sys", "wrapping", "unwrap"])?, Body::json(&[b"{}"])).await;
        let answer = answer.map_err(refused)?;
        let Enveloped { data: Unwrapped { secret_id, secret_id_ttl } } = read(&answer)?;
        Ok((secret_id.to_secret(), lifetime(secret_id_ttl)))
    }

    /// Asks whether the server answers and is unsealed, be it the active one or a standby.
    ///
    /// # Errors
    /// Fails if it does not answer, or says that it can't work; not where whoever answers for it says nothing about that.
    pub async fn check_health(&self) -> Result<(), ServiceError> {
        let mut url = self.below(["sys", "health"])?;
        url.query_pairs_mut().append_pair("standbyok", "true").append_pair("perfstandbyok", "true");
        let answer = self.ask(Method::GET, url, None).await?;
        match self.refusal(&answer) {
            _ if answer.status < 500 => Ok(()),
            _ if answer.status == 501 => {
                Err(ServiceError::Unavailable { service: SERVICE, why: "it was never initialized (501)".to_owned() })
            }
            error => Err(error),
        }
    }

    /// Ends the token of this client.
    ///
    /// # Errors
    /// Fails if the server does not do it.
    pub async fn revoke_own_token(&self) -> Result<(), ServiceError> {
        let url = self.below(["auth", "token", "revoke-self"])?;
        let answer: Answer = self.ask(Method::POST, url, None).await?;
        self.checked(answer).map(drop)
    }
}

/// Reads how long something is good for; 0 is for ever. A number that no clock gets to is cut, so that it can be added to the time.
fn lifetime(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds).min(LONGEST))
}

/// The methods differ in the status by which they turn somebody away.
fn refused(error: ServiceError) -> ServiceError {
    match error {
        ServiceError::NoCredentials { service, .. } => ServiceError::Denied { service, code: "401 or 403".to_owned() },
        ServiceError::Refused { service, code } => ServiceError::Denied { service, code },
        ServiceError::NotFound { service, code } => ServiceError::Denied { service, code },
        error => error,
    }
}

/// Tells whether a path is `auth/MOUNT/role/NAME/secret-id`.
fn is_path_of_secret_ids(path: &str, mount: &str) -> bool {
    let role = path.strip_prefix("auth/").and_then(|path| path.strip_prefix(mount)?.strip_prefix("/role/"));
    let name = role.and_then(|role| role.strip_suffix("/secret-id"));
    name.is_some_and(is_name)
}

impl VaultProof<'_> {
    fn body(&self) -> Result<Body, ServiceError> {
        match self {
            Self::Signed { role, jwt } => object(&[("role", public(role)?), ("jwt", secret(jwt)?)]),
            Self::AppRole { role_id, secret_id } => {
                object(&[("role_id", public(role_id)?), ("secret_id", secret(secret_id)?)])
            }
            Self::Certificate { role: Some(role) } => object(&[("name", public(role)?)]),
            Self::Certificate { role: None } => object(&[]),
        }
    }
}

pub(super) fn object(fields: &[(&str, SecretBytes)]) -> Result<Body, ServiceError> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for (name, value) in fields {
        parts.extend([
            if parts.is_empty() { &b"{\""[..] } else { b",\"" },
            name.as_bytes(),
            b"\":",
            value.expose_secret(),
        ]);
    }
    parts.push(if parts.is_empty() { b"{}" } else { b"}" });
    Ok(Body::json(&parts))
}

pub(super) fn public(text: &str) -> Result<SecretBytes, ServiceError> {
    serde_json::to_vec(text).map(SecretBytes::new).map_err(|_| malformed())
}

/// Quotes what needs no escapes in JSON, and refuses all else.
fn secret(value: &SecretBytes) -> Result<SecretBytes, ServiceError> {
    let is_fine = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
    let value = value.expose_secret();
    match !value.is_empty() && value.iter().all(is_fine) {
        true => Ok(SecretBytes::concat(&[b"\"", value, b"\""])),
        false => Err(malformed()),
    }
}

fn malformed() -> ServiceError {
    ServiceError::Malformed { what: "what the login is made with" }
}

#[derive(Deserialize)]
struct Login<'a> {
    #[serde(borrow)]
    auth: LoggedIn<'a>,
}

#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    client_token: SecretText<'a>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    num_uses: u64,
    #[serde(borrow, default)]
    token_type: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Wrapping {
    creation_path: String,
}

#[derive(Deserialize)]
struct Unwrapped<'a> {
    #[serde(borrow)]
    secret_id: SecretText<'a>,
    #[serde(default)]
    secret_id_ttl: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_id_of_the_method_is_taken_out_of_a_wrapping() {
        assert!(is_path_of_secret_ids("auth/approle/role/shop/secret-id", "approle"));
        assert!(is_path_of_secret_ids("auth/clusters/prod/role/shop/secret-id", "clusters/prod"));
        for path in [
            "sys/wrapping/wrap",
            "auth/approle/role/shop/custom-secret-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/a/b/secret-id",
            "auth/other/role/shop/secret-id",
            "auth/approle2/role/shop/secret-id",
            "x/auth/approle/role/shop/secret-id",
        ] {
            assert!(!is_path_of_secret_ids(path, "approle"), "{path}");
        }
    }

    #[test]
    fn what_would_need_escapes_is_refused_and_not_quoted() {
        for text in ["", "a\"b", "a\\b", "a\nb", "a b", "\u{e4}"] {
            let secret = SecretBytes::new(text.as_bytes().to_vec());
            let error =
                VaultProof::AppRole { role_id: "r", secret_id: &secret }.body().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some("what the login is made with is malformed"), "{text:?}");
        }
    }
}
