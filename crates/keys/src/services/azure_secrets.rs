//! Secrets of one vault of Azure Key Vault, as references name them: `secrets/NAME`.
//!
//! Which version is the newest is asked for by reading it: a list of versions has no order, and takes a right of its own. The id of a version
//! is never used twice, so that it alone tells one from another. Not here: where tokens come from, who may read what, and references.
//! Source: the REST reference of Key Vault 7.4 (`secrets/get secret`), and its page on authentication, requests and responses.

use std::sync::Arc;

use reqwest::{Method, Url};
use serde::Deserialize;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};

use super::azure::{AzureKeyVault, VERSION, failure};
use super::exchange::{ServiceClient, Tokens};
use super::secret_text::SecretText;
use super::service_name::AZURE_KEY_VAULT as SERVICE;
use super::{AzureKey, Newest, ServiceError, StoreError};

/// The most bytes that are read of an answer; a secret has 25 KiB at the most.
const MAX_ANSWER: usize = 1024 * 1024;

/// Reads secrets of one vault.
pub struct AzureSecrets {
    vault: AzureKeyVault,
    url: Url,
}

impl AzureSecrets {
    /// Makes a caller of a vault, such as `https://name.vault.azure.net`.
    ///
    /// # Errors
    /// [`ServiceError::Malformed`] if that is no vault's address.
    pub fn new(client: ServiceClient, url: &str, tokens: Arc<dyn Tokens>) -> Result<Self, ServiceError> {
        let any = AzureKey { vault_url: url.to_owned(), name: "any".to_owned(), version: String::new() };
        let url = any.vault().ok_or(ServiceError::Malformed { what: "the vault's URL" })?;
        Ok(Self { vault: AzureKeyVault::new(client.for_answers_up_to(MAX_ANSWER), tokens), url })
    }

    /// Returns the newest version of a secret.
    ///
    /// # Errors
    /// As [`AzureSecrets::read`].
    pub async fn newest(&self, path: &SecretPath) -> Result<Newest, StoreError> {
        let (version, _) = self.read_with_version(path, None).await?;
        Ok(Newest::Told { version: Some(version), mark: String::new() })
    }

    /// Reads a secret: this version of it, or the newest.
    ///
    /// # Errors
    /// Fails if there is no such secret, no such version, it is disabled, or the vault does not give it.
    pub async fn read(&self, path: &SecretPath, version: Option<&Version>) -> Result<StoredSecret, StoreError> {
        self.read_with_version(path, version).await.map(|(_, secret)| secret)
    }

    /// Reads a secret, and returns with it which version that is.
    ///
    /// # Errors
    /// As [`AzureSecrets::read`].
    pub async fn read_with_version(
        &self,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<(Version, StoredSecret), StoreError> {
        let name = name_in(path)?;
        if version.is_some_and(|version| !AzureKey::is_version(version.as_str())) {
            return Err(StoreError::NoSuchVersion { service: SERVICE });
        }
        let mut url = self.url.clone();
        let segments = ["secrets", name].into_iter().chain(version.map(Version::as_str));
        let malformed = |()| StoreError::Malformed { what: "the vault's URL" };
        url.path_segments_mut().map_err(malformed)?.clear().extend(segments);
        url.query_pairs_mut().append_pair(VERSION.0, VERSION.1);
        let token = self.vault.token(&Method::GET, &url).await?;
        let answer = self.vault.send(Method::GET, url, &token, None).await.map_err(StoreError::of_asking)?;
        if answer.status != 200 {
            let error = refusal(failure(&answer));
            return Err(if version.is_some() { error.of_version() } else { error });
        }
        let unreadable = || StoreError::Answer { service: SERVICE };
        let read: Bundle<'_> = serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())?;
        let found = version_of(read.id, name).and_then(|id| id.parse::<Version>().ok()).ok_or_else(unreadable)?;
        Ok((found, StoredSecret::of_bytes(read.value.to_secret())))
    }
}

fn refusal(error: ServiceError) -> StoreError {
    match error {
        ServiceError::Refused { service, code } if code.ends_with(" SecretDisabled") => {
            StoreError::Disabled { service }
        }
        // What can be no version of one is none.
        ServiceError::Refused { service, .. } => StoreError::Missing { service },
        error => error.into(),
    }
}

/// Returns the name in a path: up to 127 letters, digits and hyphens.
fn name_in(path: &SecretPath) -> Result<&str, StoreError> {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match path.segments() {
        [secrets, name] if secrets == "secrets" && is_name(name) => Ok(name),
        _ => Err(StoreError::NotASecret { service: SERVICE, why: "it is not of the form secrets/NAME" }),
    }
}

/// Returns the version of a secret's id, `https://VAULT/secrets/NAME/VERSION`, if it is one of this secret.
fn version_of<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let (found, version) = id.strip_prefix("https://")?.split_once("/secrets/")?.1.split_once('/')?;
    (found.eq_ignore_ascii_case(name) && AzureKey::is_version(version)).then_some(version)
}

#[derive(Deserialize)]
struct Bundle<'a> {
    id: &'a str,
    #[serde(borrow)]
    value: SecretText<'a>,
}
