//! Keys of transit engines of Vault and OpenBao: wraps and unwraps data keys with them. Logins are in `login`.
//!
//! The token goes to the one address that a client is made for. What is not here: where tokens and certificates come from, and which
//! addresses may be called. An answer that is an error is not read.
//! Source: <https://openbao.org/api-docs/secret/transit/> (`encrypt`, `decrypt`), and `hcvault/keysource.go` of sops 3.13.3: the
//! plaintext is the data key in standard base64, the ciphertext is kept as it is.

mod batch;
mod kv;
mod leases;
mod login;
mod secrets;

use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use waxwing_formats::{DataKey, SecretBytes};

pub use kv::VaultKv;
pub use leases::{LeaseId, Lifetime, MadeSecret, VaultLeases};
pub use login::{VaultLogin, VaultProof};
pub use secrets::{StoredVersion, VaultSecrets};

use super::exchange::{Answer, Body, Request, ServiceClient, secret_header};
use super::secret_text::{self, SecretText};
use super::service_name::VAULT as SERVICE;
use super::{ServiceError, VaultKey};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Tells an agent that this is no request of a browser or of a server that was talked into one.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// As whom a server is called. There is no `Debug`: the token stands in it.
pub struct VaultAccess {
    /// The token; without one the server decides what strangers may do, as an agent does that has a token of its own.
    pub token: Option<SecretBytes>,
    /// The namespace that everything is meant in.
    pub namespace: Option<String>,
}

/// Calls the transit engines of one server.
pub struct VaultTransit {
    client: ServiceClient,
    address: Url,
    headers: HeaderMap,
}

impl VaultTransit {
    /// Makes a client for one server. Nothing is called yet.
    ///
    /// # Errors
    /// Fails if the address is not one of a server (`https://` or `http://`, without user, query and fragment), or if the token
    /// or the namespace can't be used.
    pub fn new(client: ServiceClient, address: &str, access: &VaultAccess) -> Result<Self, ServiceError> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &access.namespace {
            let malformed = |_| ServiceError::Malformed { what: "the namespace" };
            headers.insert(NAMESPACE, HeaderValue::from_str(namespace).map_err(malformed)?);
        }
        if let Some(token) = &access.token {
            headers.insert(TOKEN, secret_header(SERVICE, &[token.expose_secret()])?);
        }
        Ok(Self { client, address: parse(address)?, headers })
    }

    /// Wraps a data key, or a share of one, and returns the ciphertext as the server writes it (`vault:v1:...`).
    ///
    /// # Errors
    /// Fails if the key is not of this client's server, or the server does not do it.
    pub async fn wrap(&self, key: &VaultKey, data_key: &DataKey) -> Result<String, ServiceError> {
        let url = self.endpoint(key, "encrypt")?;
        let text = secret_text::encode(&STANDARD, data_key.expose_secret());
        let answer = self.call(url, Body::json(&[b"{\"plaintext\":\"", &text, b"\"}"])).await?;
        let Enveloped { data: Wrapped { ciphertext } } = read(&answer)?;
        let is_text = ciphertext.starts_with("vault:") && ciphertext.bytes().all(|byte| byte.is_ascii_graphic());
        if is_text { Ok(ciphertext) } else { Err(unreadable()) }
    }

    /// Unwraps a data key, or a share of one.
    ///
    /// # Errors
    /// Fails if the key is not of this client's server, or the server does not do it.
    pub async fn unwrap(&self, key: &VaultKey, enc: &str) -> Result<DataKey, ServiceError> {
        let url = self.endpoint(key, "decrypt")?;
        let body = serde_json::to_vec(&Wrapped { ciphertext: enc.to_owned() });
        let body = body.map_err(|_| ServiceError::Malformed { what: "the ciphertext" })?;
        let answer = self.call(url, Body::json(&[&body])).await?;
        let Enveloped { data: Unwrapped { plaintext } } = read(&answer)?;
        plaintext.decode(&STANDARD).map(DataKey::new).ok_or_else(unreadable)
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

    async fn call(&self, url: Url, body: Body) -> Result<Answer, ServiceError> {
        let answer = self.ask(Method::POST, url, Some(body)).await?;
        self.checked(answer)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<Body>) -> Result<Answer, ServiceError> {
        let headers = self.headers.clone();
        self.client.ask(&Request { service: SERVICE, method, url, token: None, headers, body }).await
    }

    fn checked(&self, answer: Answer) -> Result<Answer, ServiceError> {
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    fn refusal(&self, answer: &Answer) -> ServiceError {
        let code = answer.status.to_string();
        match answer.status {
            401 | 403 if !self.headers.contains_key(TOKEN) => {
                ServiceError::NoCredentials { service: SERVICE, why: format!("it wants a token ({code})") }
            }
            300..=399 => {
                let why = format!("it sends elsewhere ({code}), and tokens don't follow");
                ServiceError::Unavailable { service: SERVICE, why }
            }
            503 => ServiceError::Unavailable { service: SERVICE, why: format!("it is sealed or on standby ({code})") },
            412 => ServiceError::Unavailable { service: SERVICE, why: format!("it answered {code}") },
            401 | 403 | 404 | 408 | 429 | 500..=599 => answer.failure(SERVICE, None),
            _ => ServiceError::Refused { service: SERVICE, code },
        }
    }
}

/// What every answer has around it.
#[derive(Deserialize)]
struct Enveloped<T> {
    data: T,
}

#[derive(Deserialize, Serialize)]
struct Wrapped {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Unwrapped<'a> {
    #[serde(borrow)]
    plaintext: SecretText<'a>,
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<Enveloped<T>, ServiceError> {
    serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())
}

fn unreadable() -> ServiceError {
    ServiceError::Answer { service: SERVICE }
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

#[cfg(test)]
mod tests {
    use super::super::{Patience, Proxies};
    use super::*;

    fn access() -> VaultAccess {
        let token = Some(SecretBytes::new(b"hvs.hunter2".to_vec()));
        VaultAccess { token, namespace: None }
    }

    fn transit(address: &str, access: &VaultAccess) -> Result<VaultTransit, ServiceError> {
        let client = ServiceClient::new(None, Proxies::None, Patience::default()).unwrap();
        VaultTransit::new(client, address, access)
    }

    fn url(address: &str, engine: &str, name: &str) -> Result<String, ServiceError> {
        let key = VaultKey { address: address.to_owned(), engine_path: engine.to_owned(), key_name: name.to_owned() };
        transit(address, &access())?.endpoint(&key, "decrypt").map(String::from)
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
        let client = transit("https://v:8200", &access()).unwrap();
        for address in ["https://v:8201", "http://v:8200", "https://v.example:8200", "https://v:8200/elsewhere"] {
            let key = VaultKey { address: address.into(), engine_path: "transit".into(), key_name: "k".into() };
            assert!(client.endpoint(&key, "encrypt").is_err(), "{address}");
        }
    }

    #[test]
    fn a_token_that_can_not_be_used_is_refused_and_none_is_shown() {
        let bad = VaultAccess { token: Some(SecretBytes::new(b"hunter2\n".to_vec())), ..access() };
        let error = transit("https://v", &bad).err().unwrap();
        assert!(matches!(error, ServiceError::NoCredentials { .. }) && !error.to_string().contains("hunter2"));
        let shown = format!("{:?}", transit("https://v", &access()).unwrap().headers);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
