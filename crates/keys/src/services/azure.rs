//! Calls Azure Key Vault: one request wraps a data key, one unwraps it, and one asks for the newest version of a key.
//!
//! A vault says itself what a token for it must be good for. It is believed only where that is its own domain, so that a vault that
//! a file names can't draw a token for something else. What is not here: where tokens come from.
//! Source: the REST reference of Key Vault 7.4 (`keys/encrypt`, `keys/decrypt`, `keys/get key`), its page on authentication, requests
//! and responses, and `azkv/keysource.go` of sops 3.13.3: RSA-OAEP-256, and base64url without padding.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;
use waxwing_formats::{DataKey, SecretBytes};

use super::exchange::{Answer, Body, Request, ServiceClient, Tokens};
use super::secret_text::{self, SecretText};
use super::service_name::AZURE_KEY_VAULT as SERVICE;
use super::{AzureKey, ServiceError};

/// The API that is spoken.
pub(super) const VERSION: (&str, &str) = ("api-version", "7.4");

/// Calls vaults.
#[derive(Clone)]
pub struct AzureKeyVault {
    client: ServiceClient,
    tokens: Arc<dyn Tokens>,
    /// What a token must be good for, by host of the vault.
    scopes: Arc<Mutex<BTreeMap<String, String>>>,
}

impl AzureKeyVault {
    /// Makes a caller of vaults, whichever a key names.
    pub fn new(client: ServiceClient, tokens: Arc<dyn Tokens>) -> Self {
        Self { client, tokens, scopes: Arc::default() }
    }

    /// Wraps a data key, or a share of one; returns the key with the version that was used, and the ciphertext in base64url. For a
    /// key without a version the newest is asked for.
    ///
    /// # Errors
    /// As [`ServiceError`] has them.
    pub async fn wrap(&self, key: &AzureKey, data_key: &DataKey) -> Result<(AzureKey, String), ServiceError> {
        let key = self.versioned(key).await?;
        let text = secret_text::encode(&URL_SAFE_NO_PAD, data_key.expose_secret());
        let answer = self.operate(&key, "encrypt", &text).await.map_err(not_allowed)?;
        let unreadable = || ServiceError::Answer { service: SERVICE };
        let wrapped: Wrapped = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        let is_one = URL_SAFE_NO_PAD.decode(&wrapped.value).is_ok_and(|ciphertext| !ciphertext.is_empty());
        if !is_one || version_of(&wrapped.kid, &key) != Some(&key.version) {
            return Err(unreadable());
        }
        Ok((key, wrapped.value))
    }

    /// Unwraps a ciphertext in base64url. A key without a version is asked as the newest.
    ///
    /// # Errors
    /// As [`ServiceError`] has them.
    pub async fn unwrap(&self, key: &AzureKey, enc: &str) -> Result<DataKey, ServiceError> {
        // As the decoder of Go does, line breaks are passed over.
        let text: Vec<u8> = enc.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
        if text.is_empty() || URL_SAFE_NO_PAD.decode(&text).is_err() {
            return Err(ServiceError::Malformed { what: "the ciphertext" });
        }
        let answer = self.operate(key, "decrypt", &text).await?;
        let unreadable = || ServiceError::Answer { service: SERVICE };
        let opened: Opened<'_> = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        opened.value.decode(&URL_SAFE_NO_PAD).map(DataKey::new).ok_or_else(unreadable)
    }

    /// Returns the key with its version; one without is asked for the newest.
    ///
    /// # Errors
    /// As [`ServiceError`] has them.
    pub async fn versioned(&self, key: &AzureKey) -> Result<AzureKey, ServiceError> {
        if !key.version.is_empty() {
            return Ok(key.clone());
        }
        let url = address(key, &[])?;
        let answer = self.call(Method::GET, url, None).await?;
        let unreadable = || ServiceError::Answer { service: SERVICE };
        let described: Described = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        let version = version_of(&described.key.kid, key).ok_or_else(unreadable)?;
        Ok(AzureKey { version: version.to_owned(), ..key.clone() })
    }

    /// Encrypts or decrypts a value in base64url.
    async fn operate(&self, key: &AzureKey, verb: &str, value: &[u8]) -> Result<Answer, ServiceError> {
        let url = address(key, &[&key.version, verb])?;
        let body = Body::json(&[b"{\"alg\":\"RSA-OAEP-256\",\"value\":\"", value, b"\"}"]);
        self.call(Method::POST, url, Some(body)).await
    }

    async fn call(&self, method: Method, url: Url, body: Option<Body>) -> Result<Answer, ServiceError> {
        let token = self.token(&method, &url).await?;
        let answer = self.send(method, url, &token, body).await?;
        if answer.status == 200 { Ok(answer) } else { Err(failure(&answer)) }
    }

    /// Returns a token for a vault. The first request to one goes without any, and without what it is about, to learn which it wants.
    pub(super) async fn token(&self, method: &Method, url: &Url) -> Result<SecretBytes, ServiceError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let known = self.scopes.lock().unwrap_or_else(PoisonError::into_inner).get(&host).cloned();
        let scope = match known {
            Some(scope) => scope,
            None => {
                let scope = self.scope(method.clone(), url.clone()).await?;
                self.scopes.lock().unwrap_or_else(PoisonError::into_inner).insert(host, scope.clone());
                scope
            }
        };
        self.tokens.token(&scope).await
    }

    /// Sends a request with a token, and returns its answer, whatever that is.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        token: &SecretBytes,
        body: Option<Body>,
    ) -> Result<Answer, ServiceError> {
        let headers = HeaderMap::new();
        self.client.ask(&Request { service: SERVICE, method, url, token: Some(token), headers, body }).await
    }

    async fn scope(&self, method: Method, url: Url) -> Result<String, ServiceError> {
        // A request without a body has to say so where one is usual.
        let body = (method == Method::POST).then(|| Body::json(&[]));
        let request =
            Request { service: SERVICE, method, url: url.clone(), token: None, headers: HeaderMap::new(), body };
        let answer = self.client.ask(&request).await?;
        if answer.status != 401 {
            return Err(if answer.status < 400 { ServiceError::Answer { service: SERVICE } } else { failure(&answer) });
        }
        let challenge = answer.challenge.as_deref().unwrap_or_default();
        scope_of(challenge, &url).ok_or(ServiceError::NotAllowed { service: SERVICE, why: FOREIGN.to_owned() })
    }
}

/// What is said of a vault that wants a token for something that is not its own domain, or that can't be understood.
const FOREIGN: &str = "it wants a token for something that is not its domain";

/// Returns what a token must be good for, if the challenge names the domain that the vault is in. What is asked for is made of
/// that domain alone.
fn scope_of(challenge: &str, vault: &Url) -> Option<String> {
    let resource = parameter(challenge, "scope").or_else(|| parameter(challenge, "resource"))?;
    let resource = Url::parse(resource).ok()?;
    let is_plain = resource.scheme() == "https"
        && resource.username().is_empty()
        && resource.password().is_none()
        && resource.port().is_none()
        && resource.query().is_none()
        && resource.fragment().is_none()
        && ["/", "/.default"].contains(&resource.path());
    let (domain, host) = (resource.domain()?, vault.domain()?);
    // One label alone, such as `net`, is nobody's own.
    let is_parent = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')) && domain.contains('.');
    (is_plain && is_parent && AzureKey::is_host(domain)).then(|| format!("https://{domain}/.default"))
}

/// Returns a parameter of a challenge (`Bearer authorization="...", resource="..."`; RFC 9110, section 11.6.1).
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let parameters = challenge.trim().strip_prefix("Bearer ")?;
    let parts = parameters.split([',', ' ']).filter_map(|part| part.split_once('='));
    parts.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}

/// Returns where something of a key is.
fn address(key: &AzureKey, rest: &[&str]) -> Result<Url, ServiceError> {
    let malformed = || ServiceError::Malformed { what: "the vault's URL, or the key's name or version" };
    let mut url = key.vault().ok_or_else(malformed)?;
    let segments = ["keys", &key.name].into_iter().chain(rest.iter().copied());
    url.path_segments_mut().map_err(|()| malformed())?.clear().extend(segments);
    url.query_pairs_mut().append_pair(VERSION.0, VERSION.1);
    Ok(url)
}

/// Returns the version of a key's id, `https://VAULT/keys/NAME/VERSION`, if it is one of this key.
fn version_of<'a>(id: &'a str, key: &AzureKey) -> Option<&'a str> {
    let path = id.strip_prefix("https://")?.split_once("/keys/")?.1;
    let (name, version) = path.split_once('/')?;
    (name.eq_ignore_ascii_case(&key.name) && AzureKey::is_version(version)).then_some(version)
}

/// Maps an error by its status. Of its codes the inner one says more.
pub(super) fn failure(answer: &Answer) -> ServiceError {
    let failed = serde_json::from_slice::<Failed>(answer.body.expose_secret()).ok().map(|failed| failed.error);
    let code = failed.map(|error| error.innererror.map_or(error.code, |inner| inner.code));
    match (answer.status, code.as_deref()) {
        // The caller may use the key, but nobody may now.
        (403, Some(code @ ("KeyDisabled" | "SecretDisabled"))) => {
            ServiceError::Refused { service: SERVICE, code: format!("403 {code}") }
        }
        (_, code) => answer.failure(SERVICE, code),
    }
}

/// A key that is disabled refuses to wrap, too.
fn not_allowed(error: ServiceError) -> ServiceError {
    match error {
        ServiceError::Refused { service, code } => ServiceError::Denied { service, code },
        other => other,
    }
}

#[derive(Deserialize)]
struct Wrapped {
    kid: String,
    value: String,
}

#[derive(Deserialize)]
struct Opened<'a> {
    #[serde(borrow)]
    value: SecretText<'a>,
}

#[derive(Deserialize)]
struct Described {
    key: Identified,
}

#[derive(Deserialize)]
struct Identified {
    kid: String,
}

#[derive(Deserialize)]
struct Failed {
    error: Code,
}

#[derive(Deserialize)]
struct Code {
    code: String,
    innererror: Option<InnerCode>,
}

#[derive(Deserialize)]
struct InnerCode {
    code: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(challenge: &str, vault: &str) -> Option<String> {
        scope_of(challenge, &Url::parse(vault).unwrap())
    }

    #[test]
    fn a_vault_gets_a_token_for_its_own_domain() {
        for challenge in [
            "Bearer authorization=\"https://login.microsoftonline.com/t\", resource=\"https://vault.azure.net\"",
            "Bearer authorization=\"https://login.microsoftonline.com/t\" resource=\"https://vault.azure.net\"",
            "Bearer authorization=\"https://login.microsoftonline.com/t\", scope=\"https://vault.azure.net/.default\"",
        ] {
            assert_eq!(
                scope(challenge, "https://v.vault.azure.net/keys/k").unwrap(),
                "https://vault.azure.net/.default"
            );
        }
    }

    #[test]
    fn whoever_is_no_vault_gets_none() {
        let wants =
            |resource: &str| format!("Bearer authorization=\"https://login.example/t\", resource=\"{resource}\"");
        for (resource, vault) in [
            ("https://vault.azure.net", "https://vault.evil.example"),
            ("https://vault.azure.net", "https://evilvault.azure.net"),
            ("https://vault.azure.net", "https://vault.azure.net"),
            ("https://management.azure.com", "https://v.vault.azure.net"),
            ("https://net", "https://v.vault.azure.net"),
            ("http://vault.azure.net", "https://v.vault.azure.net"),
            ("https://a$(id).example", "https://v.a$(id).example"),
            ("https://x@vault.azure.net", "https://v.vault.azure.net"),
            ("https://vault.azure.net/other", "https://v.vault.azure.net"),
            ("https://vault.azure.net:8443", "https://v.vault.azure.net"),
            ("https://0.0.1:8443", "https://127.0.0.1:8443"),
            ("vault.azure.net", "https://v.vault.azure.net"),
            ("", "https://v.vault.azure.net"),
        ] {
            assert_eq!(scope(&wants(resource), vault), None, "{resource} for {vault}");
        }
        assert_eq!(scope("Basic realm=\"x\"", "https://v.vault.azure.net"), None);
    }
}
