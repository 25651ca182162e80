//! Calls Google Cloud KMS: one request wraps a data key, one unwraps it.
//!
//! What is sent and received has a checksum (CRC32C), which both sides check. What is not here: where tokens come from.
//! Source: the REST reference of Cloud KMS v1 (`projects.locations.keyRings.cryptoKeys.encrypt` and `.decrypt`), its guide to
//! data integrity, and `gcpkms/keysource.go` of sops 3.13.3, which sends no further authenticated data.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;
use waxwing_formats::DataKey;

use super::exchange::{Answer, Body, Request, ServiceClient, Tokens, base};
use super::secret_text::{self, SecretText};
use super::service_name::GCP_KMS as SERVICE;
use super::{GcpKey, ServiceError};

/// What a token must be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";

/// Calls Google Cloud KMS at one address.
#[derive(Clone)]
pub struct GcpKms {
    client: ServiceClient,
    endpoint: Url,
    tokens: Arc<dyn Tokens>,
}

impl GcpKms {
    /// Where the service is for everyone who has no cloud of his own.
    pub const ENDPOINT: &'static str = "https://cloudkms.googleapis.com";

    /// Makes a caller of the service at `endpoint`.
    ///
    /// # Errors
    /// [`ServiceError::Malformed`] when that is no `https://` address; `http://` is taken on this machine.
    pub fn new(client: ServiceClient, endpoint: &str, tokens: Arc<dyn Tokens>) -> Result<Self, ServiceError> {
        let endpoint = base(endpoint)
            .ok_or(ServiceError::Malformed { what: "the endpoint of Google Cloud KMS, an https:// address," })?;
        Ok(Self { client, endpoint, tokens })
    }

    /// Wraps a data key, or a share of one; returns the ciphertext in standard base64.
    ///
    /// # Errors
    /// As [`ServiceError`] has them.
    pub async fn wrap(&self, key: &GcpKey, data_key: &DataKey) -> Result<String, ServiceError> {
        let plain = data_key.expose_secret();
        let checksum = crc32c::crc32c(plain).to_string();
        let text = secret_text::encode(&STANDARD, plain);
        let parts: [&[u8]; 5] =
            [b"{\"plaintext\":\"", &text, b"\",\"plaintextCrc32c\":\"", checksum.as_bytes(), b"\"}"];
        let answer = self.call(key, "encrypt", Body::json(&parts)).await.map_err(not_allowed)?;
        let unreadable = || ServiceError::Answer { service: SERVICE };
        let wrapped: Wrapped = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        let ciphertext = STANDARD.decode(&wrapped.ciphertext).map_err(|_| unreadable())?;
        let is_whole = wrapped.verified_plaintext_crc32c && wrapped.ciphertext_crc32c.is_of(&ciphertext);
        if !is_whole || !is_version_of(&wrapped.name, key) {
            return Err(unreadable());
        }
        Ok(STANDARD.encode(ciphertext))
    }

    /// Unwraps a ciphertext in standard base64.
    ///
    /// # Errors
    /// As [`ServiceError`] has them.
    pub async fn unwrap(&self, key: &GcpKey, enc: &str) -> Result<DataKey, ServiceError> {
        // As the decoder of Go does, line breaks are passed over.
        let text: Vec<u8> = enc.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
        let ciphertext = STANDARD.decode(&text).map_err(|_| ServiceError::Malformed { what: "the ciphertext" })?;
        let checksum = crc32c::crc32c(&ciphertext).to_string();
        let parts: [&[u8]; 5] =
            [b"{\"ciphertext\":\"", &text, b"\",\"ciphertextCrc32c\":\"", checksum.as_bytes(), b"\"}"];
        let answer = self.call(key, "decrypt", Body::json(&parts)).await?;
        let unreadable = || ServiceError::Answer { service: SERVICE };
        let opened: Opened<'_> = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        let plaintext = opened.plaintext.decode(&STANDARD).ok_or_else(unreadable)?;
        if !opened.plaintext_crc32c.is_of(plaintext.expose_secret()) {
            return Err(unreadable());
        }
        Ok(DataKey::new(plaintext))
    }

    async fn call(&self, key: &GcpKey, verb: &str, body: Body) -> Result<Answer, ServiceError> {
        if !key.is_well_formed() {
            return Err(ServiceError::Malformed { what: "the resource id" });
        }
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}/v1/{}:{verb}", self.endpoint.path().trim_end_matches('/'), key.resource_id));
        let token = self.tokens.token(SCOPE).await?;
        let (method, headers) = (Method::POST, HeaderMap::new());
        let request = Request { service: SERVICE, method, url, token: Some(&token), headers, body: Some(body) };
        let answer = self.client.ask(&request).await?;
        if answer.status == 200 { Ok(answer) } else { Err(failure(&answer)) }
    }
}

fn failure(answer: &Answer) -> ServiceError {
    failure_of(SERVICE, answer)
}

/// Maps an error of `google.rpc` by its status (`google/rpc/code.proto`).
pub(super) fn failure_of(service: &'static str, answer: &Answer) -> ServiceError {
    let failed = serde_json::from_slice::<Failed>(answer.body.expose_secret()).ok();
    let code = failed.map(|failed| failed.error.status);
    answer.failure(service, code.as_deref().filter(|code| CODES.contains(code)))
}

/// A key that is disabled refuses to wrap, too.
fn not_allowed(error: ServiceError) -> ServiceError {
    match error {
        ServiceError::Refused { service, code } => ServiceError::Denied { service, code },
        other => other,
    }
}

/// The codes that can stand in an error (`google/rpc/code.proto`).
const CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// Tells whether a version is one of the key. Its project may be called by its number there.
fn is_version_of(version: &str, key: &GcpKey) -> bool {
    let behind_project = |name: &str| Some(name.split_once("/locations/")?.1.to_owned());
    let (version, key) = (behind_project(version), behind_project(&key.resource_id));
    let of_key = version.zip(key).and_then(|(version, key)| Some(version.strip_prefix(&key)?.to_owned()));
    of_key.is_some_and(|rest| rest.starts_with("/cryptoKeyVersions/"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped {
    name: String,
    ciphertext: String,
    ciphertext_crc32c: Checksum,
    verified_plaintext_crc32c: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened<'a> {
    #[serde(borrow)]
    plaintext: SecretText<'a>,
    plaintext_crc32c: Checksum,
}

#[derive(Deserialize)]
struct Failed {
    error: Status,
}

#[derive(Deserialize)]
struct Status {
    status: String,
}

/// A number of 64 bits, which JSON has as a text; a number is read too (the JSON mapping of Protocol Buffers).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Checksum {
    Text(String),
    Number(u32),
}

impl Checksum {
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        let said = match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(number) => Some(*number),
        };
        said == Some(crc32c::crc32c(bytes))
    }
}
