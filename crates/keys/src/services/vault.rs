//! Keys of transit engines of Vault and OpenBao: wraps and unwraps data keys with them.
//!
//! The token goes to the one address that a client is made for, and a redirect is an error. What is not here: where tokens and
//! certificates come from, and which addresses may be called; nothing is taken from the environment but proxies, and those only
//! if that is asked for. An answer that is an error is not read.
//! Source: <https://openbao.org/api-docs/secret/transit/> (`encrypt`, `decrypt`), and `hcvault/keysource.go` of sops 3.13.3: the
//! plaintext is the data key in standard base64, the ciphertext is kept as it is.

mod kv;

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use waxwing_formats::{DataKey, SecretBytes};
use zeroize::Zeroizing;

pub use kv::VaultKv;

use super::error::innermost;
use super::{ServiceError, VaultKey};

const SERVICE: &str = "Vault";
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Tells an agent that this is no request of a browser or of a server that was talked into one.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole call may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// As whom a server is called, and how it is reached. There is no `Debug`: the token stands in it.
pub struct VaultAccess {
    /// The token; without one the server decides what strangers may do, as an agent does that has a token of its own.
    pub token: Option<SecretBytes>,
    /// The namespace that everything is meant in.
    pub namespace: Option<String>,
    /// The only authorities that may certify the server, in PEM; those of the system if there are none here.
    pub authorities: Option<Vec<u8>>,
    /// Whether the proxies count that `HTTPS_PROXY` and its like name.
    pub proxies_of_environment: bool,
}

/// Calls the transit engines of one server.
pub struct VaultTransit {
    http: Client,
    address: Url,
    headers: HeaderMap,
}

impl VaultTransit {
    /// Makes a client for one server. Nothing is called yet.
    ///
    /// # Errors
    /// Fails if the address is not one of a server (`https://` or `http://`, without user, query and fragment), or if the token,
    /// the namespace or the certificates can't be used.
    pub fn new(address: &str, access: &VaultAccess) -> Result<Self, ServiceError> {
        let http = client(access)?;
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(namespace) = &access.namespace {
            let malformed = |_| ServiceError::Malformed { what: "the namespace" };
            headers.insert(NAMESPACE, HeaderValue::from_str(namespace).map_err(malformed)?);
        }
        if let Some(token) = &access.token {
            headers.insert(TOKEN, header(token)?);
        }
        Ok(Self { http, address: parse(address)?, headers })
    }

    /// Logs in by a token of a ServiceAccount, at a Kubernetes authentication method that is mounted at `mount`, and returns the token
    /// of the server (<https://openbao.org/api-docs/auth/kubernetes/>, `login`).
    ///
    /// # Errors
    /// Fails if the mount is no path, or the server does not let it in.
    pub async fn log_in_by_kubernetes(
        &self,
        mount: &str,
        role: &str,
        jwt: &SecretBytes,
    ) -> Result<SecretBytes, ServiceError> {
        let parts: Vec<&str> = mount.split('/').collect();
        if !parts.iter().all(|part| is_name(part)) {
            return Err(ServiceError::Malformed { what: "the mount of the login" });
        }
        let url = self.below(["auth"].into_iter().chain(parts).chain(["login"]))?;
        let answer = self.call(url, login_with(role, jwt)?).await.map_err(|error| match error {
            ServiceError::NoCredentials { service, .. } => {
                ServiceError::Denied { service, code: "at the login".to_owned() }
            }
            error => error,
        })?;
        let login: Login<'_> =
            serde_json::from_slice(&answer).map_err(|_| ServiceError::Answer { service: SERVICE })?;
        Ok(SecretBytes::concat(&[login.auth.client_token.as_bytes()]))
    }

    /// Wraps a data key, or a share of one, and returns the ciphertext as the server writes it (`vault:v1:...`).
    ///
    /// # Errors
    /// Fails if the key is not of this client's server, or the server does not do it.
    pub async fn wrap(&self, key: &VaultKey, data_key: &DataKey) -> Result<String, ServiceError> {
        let url = self.endpoint(key, "encrypt")?;
        let answer = self.call(url, body_with(data_key)).await?;
        let Answer { data: Wrapped { ciphertext } } = read(&answer)?;
        let is_text = ciphertext.starts_with("vault:") && ciphertext.bytes().all(|byte| byte.is_ascii_graphic());
        if is_text { Ok(ciphertext) } else { Err(ServiceError::Answer { service: SERVICE }) }
    }

    /// Unwraps a data key, or a share of one.
    ///
    /// # Errors
    /// Fails if the key is not of this client's server, or the server does not do it.
    pub async fn unwrap(&self, key: &VaultKey, enc: &str) -> Result<DataKey, ServiceError> {
        let url = self.endpoint(key, "decrypt")?;
        let body = serde_json::to_vec(&Wrapped { ciphertext: enc.to_owned() });
        let body = body.map_err(|_| ServiceError::Malformed { what: "the ciphertext" })?;
        let answer = self.call(url, body.into()).await?;
        let Answer { data: Unwrapped { plaintext } } = read(&answer)?;
        let key = STANDARD.decode(plaintext.as_bytes()).map_err(|_| ServiceError::Answer { service: SERVICE })?;
        Ok(DataKey::new(SecretBytes::new(key)))
    }

    /// Returns where an operation with a key is asked for: `ADDRESS/v1/ENGINE/OPERATION/NAME`.
    fn endpoint(&self, key: &VaultKey, operation: &str) -> Result<Url, ServiceError> {
        if parse(&key.address)? != self.address {
            return Err(ServiceError::Malformed { what: "the address, which is not this server's," });
        }
        let engine = key.engine_path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<&str> = engine.chain([operation, &key.key_name]).collect();
        if parts.len() < 3 || !parts.iter().all(|part| is_name(part)) {
            return Err(ServiceError::Malformed { what: "the path of the key" });
        }
        self.below(parts)
    }

    fn below<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Result<Url, ServiceError> {
        let mut url = self.address.clone();
        let mut path = url.path_segments_mut().map_err(|()| ServiceError::Malformed { what: "the address" })?;
        path.pop_if_empty().push("v1").extend(parts);
        drop(path);
        Ok(url)
    }

    async fn call(&self, url: Url, body: Bytes) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let request = self.http.post(url).headers(self.headers.clone()).body(body);
        let mut answer = request.send().await.map_err(|error| unavailable(&error))?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer.status(), answer.headers()));
        }
        // Allocated at its full size, so that growing leaves no copies.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
        while let Some(chunk) = answer.chunk().await.map_err(|error| unavailable(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(ServiceError::Answer { service: SERVICE });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> ServiceError {
        let code = status.as_u16().to_string();
        match status.as_u16() {
            401 | 403 if !self.headers.contains_key(TOKEN) => {
                ServiceError::NoCredentials { service: SERVICE, why: format!("it wants a token ({code})") }
            }
            300..=399 => {
                let why = format!("it sends elsewhere ({code}), and tokens don't follow");
                ServiceError::Unavailable { service: SERVICE, why }
            }
            401 | 403 => ServiceError::Denied { service: SERVICE, code },
            404 => ServiceError::NotFound { service: SERVICE, code },
            429 => ServiceError::Throttled { service: SERVICE, code, retry_after: retry_after(headers) },
            503 => ServiceError::Unavailable { service: SERVICE, why: format!("it is sealed or on standby ({code})") },
            408 | 412 | 500..=599 => ServiceError::Unavailable { service: SERVICE, why: format!("it answers {code}") },
            _ => ServiceError::Refused { service: SERVICE, code },
        }
    }
}

/// What every answer has around it.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize, Serialize)]
struct Wrapped {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Unwrapped<'a> {
    #[serde(borrow)]
    plaintext: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Login<'a> {
    #[serde(borrow)]
    auth: LoggedIn<'a>,
}

#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    client_token: Cow<'a, str>,
}

/// Writes `{"role":"ROLE","jwt":"TOKEN"}` into one buffer that is wiped; a token needs no escapes in JSON.
fn login_with(role: &str, jwt: &SecretBytes) -> Result<Bytes, ServiceError> {
    let is_fine = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
    let malformed = || ServiceError::Malformed { what: "the role or the token of the login" };
    let role = serde_json::to_string(role).map_err(|_| malformed())?;
    if !jwt.expose_secret().iter().all(is_fine) {
        return Err(malformed());
    }
    let parts = [b"{\"role\":", role.as_bytes(), b",\"jwt\":\"", jwt.expose_secret(), b"\"}"];
    let mut body = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| body.extend_from_slice(part));
    Ok(Bytes::from_owner(body))
}

fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<Answer<T>, ServiceError> {
    serde_json::from_slice(answer).map_err(|_| ServiceError::Answer { service: SERVICE })
}

fn client(access: &VaultAccess) -> Result<Client, ServiceError> {
    let malformed = |_| ServiceError::Malformed { what: "a certificate of the authorities" };
    // One provider everywhere; a second call changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = Client::builder().connect_timeout(CONNECT).timeout(TIMEOUT).redirect(Policy::none());
    if !access.proxies_of_environment {
        builder = builder.no_proxy();
    }
    if let Some(pem) = &access.authorities {
        let certificates = Certificate::from_pem_bundle(pem).map_err(malformed)?;
        if certificates.is_empty() {
            return Err(ServiceError::Malformed { what: "the list of authorities, which is empty," });
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(malformed)
}

/// Puts a token where it is sent from: marked so that it isn't shown, and wiped when the last client with it is dropped.
fn header(token: &SecretBytes) -> Result<HeaderValue, ServiceError> {
    let bytes = Bytes::from_owner(Zeroizing::new(token.expose_secret().to_vec()));
    let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| ServiceError::NoCredentials {
        service: SERVICE,
        why: "the token has characters that can't be in one".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Writes `{"plaintext":"BASE64"}` into one buffer that is wiped; base64 needs no escapes in JSON.
fn body_with(data_key: &DataKey) -> Bytes {
    const BEFORE: &[u8] = b"{\"plaintext\":\"";
    const BEHIND: &[u8] = b"\"}";
    let encoded = Zeroizing::new(STANDARD.encode(data_key.expose_secret()));
    let mut body = Zeroizing::new(Vec::with_capacity(BEFORE.len() + encoded.len() + BEHIND.len()));
    for part in [BEFORE, encoded.as_bytes(), BEHIND] {
        body.extend_from_slice(part);
    }
    Bytes::from_owner(body)
}

fn parse(address: &str) -> Result<Url, ServiceError> {
    let url = Url::parse(address).ok().filter(|url| {
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        let is_plain = url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "https" | "http") && url.has_host() && is_plain && !has_credentials
    });
    url.ok_or(ServiceError::Malformed { what: "the address" })
}

/// Tells whether a text is one segment of a path, and no way to another path.
fn is_name(part: &str) -> bool {
    ![".", ".."].contains(&part) && !part.is_empty() && !part.contains('/') && !part.contains(char::is_control)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Says what happened on the way; what reqwest says has the address in it.
fn unavailable(error: &reqwest::Error) -> ServiceError {
    let why = match error {
        late if late.is_timeout() => "it does not answer in time".to_owned(),
        unreached if unreached.is_connect() => innermost(unreached),
        _ => "the connection broke off".to_owned(),
    };
    ServiceError::Unavailable { service: SERVICE, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> VaultAccess {
        let token = Some(SecretBytes::new(b"hvs.hunter2".to_vec()));
        VaultAccess { token, namespace: None, authorities: None, proxies_of_environment: false }
    }

    fn url(address: &str, engine: &str, name: &str) -> Result<String, ServiceError> {
        let key = VaultKey { address: address.to_owned(), engine_path: engine.to_owned(), key_name: name.to_owned() };
        VaultTransit::new(address, &access())?.endpoint(&key, "decrypt").map(String::from)
    }

    #[test]
    fn an_operation_is_asked_for_below_its_engine() {
        for (address, engine, wanted) in [
            ("https://v:8200", "transit", "https://v:8200/v1/transit/decrypt/k"),
            ("https://v:8200/", "/a/b/", "https://v:8200/v1/a/b/decrypt/k"),
            ("http://v/base", "a b", "http://v/base/v1/a%20b/decrypt/k"),
        ] {
            assert_eq!(url(address, engine, "k").as_deref(), Ok(wanted));
        }
        assert_eq!(url("https://v", "transit", "50%?#").as_deref(), Ok("https://v/v1/transit/decrypt/50%25%3F%23"));
    }

    #[test]
    fn no_path_leads_out_of_its_engine_and_no_address_carries_credentials() {
        for (engine, name) in [("", "k"), ("transit", ""), ("../sys", "k"), ("a/./b", "k"), ("t", ".."), ("t", "a/b")] {
            assert!(url("https://v", engine, name).is_err(), "{engine} {name}");
        }
        for address in ["v:8200", "ftp://v", "https://", "https://me@v", "https://:pw@v", "https://v?a", "https://v#a"]
        {
            assert!(url(address, "transit", "k").is_err(), "{address}");
        }
    }

    #[test]
    fn a_key_of_another_server_is_refused() {
        let client = VaultTransit::new("https://v:8200", &access()).unwrap();
        for address in ["https://v:8201", "http://v:8200", "https://v.example:8200", "https://v:8200/elsewhere"] {
            let key = VaultKey { address: address.into(), engine_path: "transit".into(), key_name: "k".into() };
            assert!(client.endpoint(&key, "encrypt").is_err(), "{address}");
        }
    }

    #[test]
    fn tokens_and_certificates_that_can_not_be_used_are_refused_and_not_shown() {
        let bad = VaultAccess { token: Some(SecretBytes::new(b"hunter2\n".to_vec())), ..access() };
        let error = VaultTransit::new("https://v", &bad).err().unwrap();
        assert!(matches!(error, ServiceError::NoCredentials { .. }) && !error.to_string().contains("hunter2"));
        for pem in [&b""[..], b"nothing", b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"] {
            let bad = VaultAccess { authorities: Some(pem.to_vec()), ..access() };
            assert!(VaultTransit::new("https://v", &bad).is_err());
        }
        let shown = format!("{:?}", VaultTransit::new("https://v", &access()).unwrap().headers);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
