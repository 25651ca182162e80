//! Secrets of Google Secret Manager, as references name them.
//!
//! A path is the resource id, `projects/P/secrets/S`. Which version is the newest is asked for by reading it: what may be asked of the
//! metadata in a minute is less than a hundredth of that, and takes a right of its own. What comes has a checksum (CRC32C), which is
//! checked. Not here: where tokens come from, who may read what, and references.
//! Source: the REST reference of Secret Manager v1 (`projects.secrets.versions.access`), its page on quotas, and its guide to data integrity.

use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};

use super::exchange::{Answer, Request, ServiceClient, Tokens, base};
use super::gcp::{Checksum, failure_of};
use super::secret_text::SecretText;
use super::service_name::GCP_SECRETS as SERVICE;
use super::{Newest, ServiceError, StoreError};

/// What a token must be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The most bytes that are read of an answer; a secret has 64 KiB at the most.
const MAX_ANSWER: usize = 1024 * 1024;

/// Reads secrets at one address.
pub struct GcpSecrets {
    client: ServiceClient,
    endpoint: Url,
    tokens: Arc<dyn Tokens>,
}

impl GcpSecrets {
    /// Where the service is for everyone who has no cloud of his own.
    pub const ENDPOINT: &'static str = "https://secretmanager.googleapis.com";

    /// Makes a caller of the service at `endpoint`.
    ///
    /// # Errors
    /// [`ServiceError::Malformed`] when that is no `https://` address; `http://` is taken on this machine.
    pub fn new(client: ServiceClient, endpoint: &str, tokens: Arc<dyn Tokens>) -> Result<Self, ServiceError> {
        let endpoint = base(endpoint)
            .ok_or(ServiceError::Malformed { what: "the endpoint of Google Secret Manager, an https:// address," })?;
        Ok(Self { client: client.for_answers_up_to(MAX_ANSWER), endpoint, tokens })
    }

    /// Tells whether what a version names may become another: all but numbers are aliases.
    pub fn may_move(version: &Version) -> bool {
        !version.as_str().bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Returns the newest version of a secret, or the one that an alias stands for; with the secret.
    ///
    /// # Errors
    /// As [`GcpSecrets::read`].
    pub async fn newest(&self, path: &SecretPath, version: Option<&Version>) -> Result<Newest, StoreError> {
        let (version, secret) = self.read_with_version(path, version).await?;
        Ok(Newest::Read { version: Some(version), secret })
    }

    /// Reads a secret: this version of it, or the newest.
    ///
    /// # Errors
    /// Fails if there is no such secret, no such version, it is disabled, or the service does not give it.
    pub async fn read(&self, path: &SecretPath, version: Option<&Version>) -> Result<StoredSecret, StoreError> {
        self.read_with_version(path, version).await.map(|(_, secret)| secret)
    }

    /// Reads a secret, and returns with it which version that is.
    ///
    /// # Errors
    /// As [`GcpSecrets::read`].
    pub async fn read_with_version(
        &self,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<(Version, StoredSecret), StoreError> {
        let id = resource_id(path)?;
        let mut url = self.endpoint.clone();
        let wanted = version.map_or("latest", Version::as_str);
        url.set_path(&format!("{}/v1/{id}/versions/{wanted}:access", self.endpoint.path().trim_end_matches('/')));
        let token = self.tokens.token(SCOPE).await?;
        let headers = HeaderMap::new();
        let request = Request { service: SERVICE, method: Method::GET, url, token: Some(&token), headers, body: None };
        let answer = self.client.ask(&request).await.map_err(StoreError::of_asking)?;
        match answer.status {
            200 => accessed(&answer, path),
            // The version is there, and is disabled or destroyed.
            400 if has_state(&answer) => Err(StoreError::Disabled { service: SERVICE }),
            _ => {
                let error = match failure_of(SERVICE, &answer) {
                    // What can be no name of one is none.
                    ServiceError::Refused { service, .. } => StoreError::Missing { service },
                    error => error.into(),
                };
                Err(if version.is_some() { error.of_version() } else { error })
            }
        }
    }
}

/// Returns the resource id, of names that lead nowhere else.
fn resource_id(path: &SecretPath) -> Result<String, StoreError> {
    let is_name = |text: &str, further: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || further.as_bytes().contains(&byte))
    };
    match path.segments() {
        [projects, project, secrets, secret] if projects == "projects" && secrets == "secrets" => {
            match is_name(project, "-.:") && is_name(secret, "-_") {
                true => Ok(format!("projects/{project}/secrets/{secret}")),
                false => {
                    Err(StoreError::NotASecret { service: SERVICE, why: "a name in it has characters that none has" })
                }
            }
        }
        _ => Err(StoreError::NotASecret { service: SERVICE, why: "it is not of the form projects/P/secrets/S" }),
    }
}

fn has_state(answer: &Answer) -> bool {
    matches!(failure_of(SERVICE, answer), ServiceError::Refused { code, .. } if code.ends_with(" FAILED_PRECONDITION"))
}

fn accessed(answer: &Answer, path: &SecretPath) -> Result<(Version, StoredSecret), StoreError> {
    let unreadable = || StoreError::Answer { service: SERVICE };
    let read: Accessed<'_> = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
    // The project may be called by its number there.
    let behind = read.name.split_once("/secrets/").and_then(|(_, name)| name.split_once("/versions/"));
    let number = behind.filter(|(name, _)| path.segments().last().is_some_and(|secret| secret == name));
    let version = number.and_then(|(_, number)| number.parse::<Version>().ok()).ok_or_else(unreadable)?;
    let data = read.payload.data.decode(&STANDARD).ok_or_else(unreadable)?;
    match read.payload.data_crc32c.is_none_or(|checksum| checksum.is_of(data.expose_secret())) {
        true => Ok((version, StoredSecret::of_bytes(data))),
        false => Err(unreadable()),
    }
}

#[derive(Deserialize)]
struct Accessed<'a> {
    name: String,
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    data: SecretText<'a>,
    data_crc32c: Option<Checksum>,
}
