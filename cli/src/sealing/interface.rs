//! The controller's authenticated interface, through the API server's service proxy: `POST /v1/waxwing/verify` and
//! `POST /v1/waxwing/rotate` with one SealedSecret as JSON, and a token in `X-Waxwing-Token`, since the proxy passes `Authorization`
//! on to nobody. docs/from-sealed-secrets.md describes both.
//!
//! Of an answer nothing is ever shown but names of items and words of closed lists.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::Value;
use waxwing_formats::sealed_secret::{Certificate, PublicKey};
use zeroize::Zeroizing;

use super::SealingError;
use super::opener::{Closed, Seen};
use super::token::Tokens;
use crate::cluster::{Answer, Ask, ClusterError, Connection};

const UNAUTHORIZED: u16 = 401;

/// The controller, and as whom it is asked.
pub(crate) struct Interface {
    connection: Connection,
    tokens: Tokens,
    token: RefCell<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct Verified {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    item: String,
    key: Option<String>,
    key_name: Option<String>,
    error: Option<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    sealed_secret: Value,
}

impl Interface {
    /// Gets a token.
    pub(super) fn new(connection: Connection, tokens: Tokens) -> Result<Self, SealingError> {
        let token = RefCell::new(tokens.next(&connection)?);
        Ok(Self { connection, tokens, token })
    }

    /// Returns the certificate of the key that items are sealed with again.
    pub(super) fn newest(&self) -> Result<PublicKey, SealingError> {
        let path = format!("{}/cert.pem", self.base());
        let answer = self.connection.must(&Ask::get(path), &self.asking())?;
        let certificate = Certificate::from_pem(&answer.body).map_err(|_| SealingError::Strange)?;
        Ok(certificate.public_key)
    }

    /// Asks which key opens each item of a SealedSecret.
    pub(super) fn verify(&self, object: &Value) -> Result<Vec<Seen>, SealingError> {
        let answer = self.ask("verify", "get", object)?;
        let Verified { items } = serde_json::from_slice(&answer.body).map_err(|_| SealingError::Strange)?;
        let seen = items.into_iter().map(|Item { item, key, key_name, error }| {
            let key = match (key.filter(|key| is_fingerprint(key)), error) {
                (Some(key), None) => Ok(key),
                (None, Some(error)) => Err(Closed::named(&error.reason)),
                _ => return Err(SealingError::Strange),
            };
            Ok(Seen { item, key, key_name: key_name.filter(|name| crate::input::dns_subdomain(name).is_ok()) })
        });
        seen.collect()
    }

    /// Has the items of a SealedSecret sealed again, and returns its `spec`; one of the deprecated form comes back with a blob.
    pub(super) fn rotate(&self, object: &Value) -> Result<Value, SealingError> {
        let answer = self.ask("rotate", "update", object)?;
        let Rotated { sealed_secret } = serde_json::from_slice(&answer.body).map_err(|_| SealingError::Strange)?;
        // What belongs to another object would never open.
        let is_same = ["/metadata/name", "/metadata/namespace"]
            .into_iter()
            .all(|field| sealed_secret.pointer(field) == object.pointer(field));
        sealed_secret.get("spec").filter(|_| is_same).cloned().ok_or(SealingError::Strange)
    }

    fn base(&self) -> String {
        let Connection { namespace, service, .. } = &self.connection;
        format!("/api/v1/namespaces/{namespace}/services/http:{service}:http/proxy/v1")
    }

    fn asking(&self) -> String {
        format!("failed to ask service {}/{}", self.connection.namespace, self.connection.service)
    }

    /// Asks with the token that there is, and once more with another one if that has run out.
    fn ask(&self, what: &str, verb: &'static str, object: &Value) -> Result<Answer, SealingError> {
        // The controller answers for a namespace, whatever the scope is.
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        if namespace.is_empty() {
            return Err(SealingError::NoNamespace);
        }
        let mut answer = self.ask_once(what, object)?;
        if answer.code == UNAUTHORIZED {
            *self.token.borrow_mut() = self.tokens.next(&self.connection)?;
            answer = self.ask_once(what, object)?;
        }
        if answer.is_good() { Ok(answer) } else { Err(self.refusal(&answer, verb, object)) }
    }

    fn ask_once(&self, what: &str, object: &Value) -> Result<Answer, SealingError> {
        let path = format!("{}/waxwing/{what}", self.base());
        let token = self.token.borrow();
        let ask = Ask::post(path, object.to_string().into_bytes()).header("X-Waxwing-Token", token.as_str());
        Ok(self.connection.ask(&ask)?)
    }

    /// Says what an answer means. One of the API server itself has a kind, those of the controller have none.
    fn refusal(&self, answer: &Answer, verb: &'static str, object: &Value) -> SealingError {
        let is_of_the_api_server = answer.json().get("kind").and_then(Value::as_str) == Some("Status");
        let Connection { namespace, service, .. } = &self.connection;
        match answer.code {
            404 | 405 => SealingError::NoInterface { service: format!("{namespace}/{service}") },
            code if is_of_the_api_server => {
                let (what, reason) = (self.asking(), answer.reason());
                SealingError::Cluster(ClusterError::Denied { what, code, reason })
            }
            400 => SealingError::NotRead,
            UNAUTHORIZED => SealingError::Unknown,
            403 => {
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
                SealingError::Forbidden { verb, namespace: namespace.to_owned() }
            }
            413 => SealingError::TooLarge,
            422 => SealingError::Closed,
            code => SealingError::Refused { code },
        }
    }
}

/// Tells whether a text can be the name of a key: `SHA256:` and 43 letters of base64.
fn is_fingerprint(text: &str) -> bool {
    let digest = text.strip_prefix("SHA256:").unwrap_or_default();
    digest.len() == 43 && digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}
