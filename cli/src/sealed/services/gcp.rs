//! Google Cloud KMS and Secret Manager as the user: where they are, and with which credentials they are called.
//!
//! Source: `gcpkms/keysource.go` of sops 3.13.3 and AIP-4110 (application default credentials); Google's own library makes tokens of
//! them, and "gcloud config" for where Secret Manager is. Requests are JSON over HTTPS, whatever `SOPS_GCP_KMS_CLIENT_TYPE` says. What that library says of an error is not passed on,
//! since it may quote an answer; which kind of error it is, is.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use std::{env, fs};

use async_trait::async_trait;
use google_cloud_auth::build_errors::Error as BuildError;
use google_cloud_auth::credentials::service_account::AccessSpecifier;
use google_cloud_auth::credentials::{
    AccessTokenCredentials, Builder, external_account, impersonated, service_account, user_account,
};
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::{GCP_KMS, GCP_SECRETS};
use waxwing_keys::{GcpKey, GcpKms, GcpSecrets, ServiceError, Tokens};
use zeroize::Zeroizing;

pub(super) const NO_CREDENTIALS: &str =
    "log in with `gcloud auth application-default login`, or set GOOGLE_CREDENTIALS or GOOGLE_OAUTH_ACCESS_TOKEN";

const CREDENTIALS: &str = "GOOGLE_CREDENTIALS";
const ACCESS_TOKEN: &str = "GOOGLE_OAUTH_ACCESS_TOKEN";
const ENDPOINT: &str = "SOPS_GCP_KMS_ENDPOINT";
/// gcloud's own variable for it (`api_endpoint_overrides/secretmanager`).
const SECRETS_ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER";
const UNIVERSE: &str = "SOPS_GCP_KMS_UNIVERSE_DOMAIN";

/// What tokens are good for; sops asks for the same.
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloudkms"];

/// How long whoever issues tokens may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long the metadata server may take; where there is none, nobody answers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

static KMS: LazyLock<Result<GcpKms, ServiceError>> = LazyLock::new(client);

pub(super) async fn wrap(key: &GcpKey, data_key: &DataKey) -> Result<String, ServiceError> {
    KMS.as_ref().map_err(Clone::clone)?.wrap(key, data_key).await
}

pub(super) async fn unwrap(key: &GcpKey, enc: &str) -> Result<DataKey, ServiceError> {
    KMS.as_ref().map_err(Clone::clone)?.unwrap(key, enc).await
}

fn client() -> Result<GcpKms, ServiceError> {
    GcpKms::new(super::connections(GCP_KMS)?, &endpoint()?, Arc::new(Credentials::at_hand(GCP_KMS)?))
}

/// Makes a client for secrets.
pub(super) fn secrets() -> Result<GcpSecrets, ServiceError> {
    let endpoint = said(SECRETS_ENDPOINT).unwrap_or_else(|| GcpSecrets::ENDPOINT.to_owned());
    let tokens = Arc::new(Credentials::at_hand(GCP_SECRETS)?);
    GcpSecrets::new(super::connections(GCP_SECRETS)?, &endpoint, tokens)
}

fn said(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Returns where the service is. As with sops, an endpoint may lack its scheme, and counts before a universe.
fn endpoint() -> Result<String, ServiceError> {
    match (said(ENDPOINT), said(UNIVERSE)) {
        (Some(endpoint), _) if endpoint.contains("://") => Ok(endpoint),
        (Some(endpoint), _) => Ok(format!("https://{endpoint}")),
        (None, Some(universe)) if is_domain(&universe) => Ok(format!("https://cloudkms.{universe}")),
        (None, Some(_)) => Err(ServiceError::Malformed { what: UNIVERSE }),
        (None, None) => Ok(GcpKms::ENDPOINT.to_owned()),
    }
}

fn is_domain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// Where tokens for a service come from.
struct Credentials {
    service: &'static str,
    place: Place,
}

enum Place {
    /// The user has one already.
    Token(SecretBytes),
    /// They are made of these, when they are wanted.
    Made(AccessTokenCredentials),
    /// The metadata server has them, if there is one.
    Metadata(AccessTokenCredentials),
}

impl Credentials {
    /// Finds them where sops looks, in its order.
    fn at_hand(service: &'static str) -> Result<Self, ServiceError> {
        let none = |why| ServiceError::NoCredentials { service, why };
        Place::at_hand().map(|place| Self { service, place }).map_err(none)
    }
}

impl Place {
    fn at_hand() -> Result<Self, String> {
        if let Some(said) = said(CREDENTIALS).map(Zeroizing::new) {
            return of_text(&said).map(Self::Made);
        }
        match said(ACCESS_TOKEN).map(Zeroizing::new) {
            Some(token) => Ok(Self::Token(SecretBytes::concat(&[token.as_bytes()]))),
            None => {
                let found = Builder::default().with_scopes(SCOPES).build_access_token_credentials();
                let place = if has_file() { Self::Made } else { Self::Metadata };
                found.map(place).map_err(|error| refused("the application default credentials", &error))
            }
        }
    }
}

#[async_trait]
impl Tokens for Credentials {
    async fn token(&self, _scope: &str) -> Result<SecretBytes, ServiceError> {
        let service = self.service;
        let (credentials, timeout) = match &self.place {
            Place::Token(token) => return Ok(SecretBytes::concat(&[token.expose_secret()])),
            Place::Made(credentials) => (credentials, TIMEOUT),
            Place::Metadata(credentials) => (credentials, METADATA_TIMEOUT),
        };
        let none = |why: &str| ServiceError::NoCredentials { service, why: why.to_owned() };
        let away = |why: &str| ServiceError::Unavailable { service, why: why.to_owned() };
        match (tokio::time::timeout(timeout, credentials.access_token()).await, &self.place) {
            (Ok(Ok(token)), _) => Ok(SecretBytes::new(token.token.into_bytes())),
            (_, Place::Metadata(_)) => {
                Err(none("neither the environment nor gcloud has any, nor does a metadata server"))
            }
            (Err(_), _) => Err(away("nobody issued a token in time")),
            (Ok(Err(error)), _) if error.is_transient() => {
                Err(away("whoever issues tokens can't be reached, or is overloaded"))
            }
            (Ok(Err(_)), _) => Err(none("no token is issued for those that were found")),
        }
    }
}

/// Tells whether the application default credentials are in a file (AIP-4110).
fn has_file() -> bool {
    let own = || Some(Path::new(&env::var_os("HOME")?).join(".config/gcloud/application_default_credentials.json"));
    env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some() || own().is_some_and(|file| file.exists())
}

/// Reads credentials from the file that the text names, or else from the text itself.
fn of_text(said: &str) -> Result<AccessTokenCredentials, String> {
    let none = |why: &str| format!("{CREDENTIALS}: {why}");
    let text = match Path::new(said).exists() {
        true => Zeroizing::new(fs::read(said).map_err(|_| none("the file can't be read"))?),
        false => Zeroizing::new(said.as_bytes().to_vec()),
    };
    // The library wants it so. It is gone when the program ends, which wipes what it frees.
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|_| none("it is neither a file nor credentials in JSON"))?;
    let kind = json.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let made = match kind.as_str() {
        "authorized_user" => user_account::Builder::new(json).with_scopes(SCOPES).build_access_token_credentials(),
        "service_account" => service_account::Builder::new(json)
            .with_access_specifier(AccessSpecifier::from_scopes(SCOPES))
            .build_access_token_credentials(),
        "impersonated_service_account" => {
            impersonated::Builder::new(json).with_scopes(SCOPES).build_access_token_credentials()
        }
        "external_account" => external_account::Builder::new(json).with_scopes(SCOPES).build_access_token_credentials(),
        _ => return Err(none("credentials of this type are not supported")),
    };
    made.map_err(|error| refused(CREDENTIALS, &error))
}

fn refused(place: &str, error: &BuildError) -> String {
    let what = match error {
        error if error.is_loading() => "the file can't be read",
        error if error.is_unknown_type() || error.is_not_supported() => "credentials of this type are not supported",
        error if error.is_missing_field() => "a field is missing",
        _ => "they are malformed",
    };
    format!("{place}: {what}")
}
