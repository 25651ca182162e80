//! Keys of AWS KMS: wraps and unwraps data keys with them, as a role where the key wants that.
//!
//! The SDK signs, sends, waits and tries again; here is what is asked of it, and what is kept of its errors: the code alone, since a
//! message may quote. What is not here: where credentials and endpoints come from. They stand in the configuration that the caller
//! makes; of the environment, only the proxies count, and those only if that configuration has no HTTP client of its own.
//! Source: `Encrypt` and `Decrypt` of the KMS API, `AssumeRole` of the STS API, and `kms/keysource.go` of sops 3.13.3: the region is
//! that of the ARN, the key is always named, and the ciphertext is kept in standard base64.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing_formats::{DataKey, SecretBytes};

use super::error::innermost;
use super::exchange::is_code;
use super::service_name::{AWS_KMS as KMS, AWS_STS as STS};
use super::{AwsKey, ServiceError};

/// How long a connection may take to stand, one try to be answered, and all tries together.
const CONNECT: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Calls AWS KMS in one region.
pub struct AwsKms {
    client: aws_sdk_kms::Client,
    region: String,
}

impl AwsKms {
    /// Makes a client for a key and all others of its region and role. The configuration has credentials and, where they are not
    /// the usual ones, endpoints; its region does not count. The role is assumed now, under the name of the session, and for as
    /// long as AWS lets it (an hour if nobody said otherwise).
    ///
    /// # Errors
    /// Fails if the key's ARN is not one, or the role can't be assumed.
    pub async fn for_key(config: &SdkConfig, key: &AwsKey, session: &str) -> Result<Self, ServiceError> {
        let region = key.region().ok_or(ServiceError::Malformed { what: "the ARN" })?;
        if config.credentials_provider().is_none() {
            return Err(ServiceError::NoCredentials { service: KMS, why: "none were found".to_owned() });
        }
        let config = config.clone().into_builder().region(Region::new(region.to_owned()));
        let config = config.behavior_version(BehaviorVersion::latest()).timeout_config(timeouts()).build();
        let config = match &key.role {
            None => config,
            Some(role) => {
                let credentials = SharedCredentialsProvider::new(assume(&config, role, session).await?);
                config.into_builder().credentials_provider(credentials).build()
            }
        };
        Ok(Self { client: aws_sdk_kms::Client::new(&config), region: region.to_owned() })
    }

    /// Wraps a data key, or a share of one, and returns the ciphertext in standard base64.
    ///
    /// # Errors
    /// Fails if the key is not of this client's region, or AWS KMS does not do it.
    pub async fn wrap(&self, key: &AwsKey, data_key: &DataKey) -> Result<String, ServiceError> {
        self.check(key)?;
        let request = self
            .client
            .encrypt()
            .key_id(&key.arn)
            .plaintext(Blob::new(data_key.expose_secret()))
            .set_encryption_context(Some(key.context.clone().into_iter().collect()));
        let answer = request.send().await.map_err(|error| refusal(KMS, &error))?;
        let blob = answer.ciphertext_blob.ok_or(ServiceError::Answer { service: KMS })?;
        Ok(STANDARD.encode(blob))
    }

    /// Unwraps a data key, or a share of one.
    ///
    /// # Errors
    /// Fails if the key is not of this client's region, the ciphertext is not base64, or AWS KMS does not do it.
    pub async fn unwrap(&self, key: &AwsKey, enc: &str) -> Result<DataKey, ServiceError> {
        self.check(key)?;
        let blob = STANDARD.decode(enc).map_err(|_| ServiceError::Malformed { what: "the ciphertext" })?;
        let request = self
            .client
            .decrypt()
            .key_id(&key.arn)
            .ciphertext_blob(Blob::new(blob))
            .set_encryption_context(Some(key.context.clone().into_iter().collect()));
        let answer = request.send().await.map_err(|error| refusal(KMS, &error))?;
        let blob = answer.plaintext.ok_or(ServiceError::Answer { service: KMS })?;
        Ok(DataKey::new(SecretBytes::new(blob.into_inner())))
    }

    fn check(&self, key: &AwsKey) -> Result<(), ServiceError> {
        let is_ours = key.region() == Some(self.region.as_str());
        if is_ours { Ok(()) } else { Err(ServiceError::Malformed { what: "the ARN, which is of another region," }) }
    }
}

async fn assume(config: &SdkConfig, role: &str, session: &str) -> Result<Credentials, ServiceError> {
    let request = aws_sdk_sts::Client::new(config).assume_role().role_arn(role).role_session_name(session);
    let answer = request.send().await.map_err(|error| refusal(STS, &error))?;
    let credentials = answer.credentials.ok_or(ServiceError::Answer { service: STS })?;
    let token = Some(credentials.session_token);
    Ok(Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "AssumeRole"))
}

pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(TIMEOUT)
        .build()
}

pub(super) fn refusal<E>(service: &'static str, error: &SdkError<E, HttpResponse>) -> ServiceError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(error) = credentials_error(error) {
        return ServiceError::NoCredentials { service, why: why(error).to_owned() };
    }
    match error {
        SdkError::ServiceError(answer) => by_code(service, answer.err().code(), answer.raw().status().as_u16()),
        SdkError::TimeoutError(_) => {
            ServiceError::Unavailable { service, why: "it does not answer in time".to_owned() }
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            ServiceError::Unavailable { service, why: "it does not answer in time".to_owned() }
        }
        SdkError::DispatchFailure(_) => ServiceError::Unavailable { service, why: innermost(error) },
        SdkError::ConstructionFailure(_) => ServiceError::Malformed { what: "what should be asked for" },
        _ => ServiceError::Answer { service },
    }
}

/// Sorts by the code of the error, and where that is not known by the status.
pub(super) fn by_code(service: &'static str, code: Option<&str>, status: u16) -> ServiceError {
    let named = code.filter(|code| is_code(code));
    let code = named.map_or_else(|| status.to_string(), str::to_owned);
    match (named.unwrap_or_default(), status) {
        ("NotFoundException" | "NotFound" | "ResourceNotFoundException", _) => ServiceError::NotFound { service, code },
        ("ThrottlingException" | "Throttling" | "LimitExceededException" | "RequestLimitExceeded", _) => {
            ServiceError::Throttled { service, code, retry_after: None }
        }
        ("DependencyTimeoutException" | "KeyUnavailableException" | "KMSInternalException", _) => {
            ServiceError::Unavailable { service, why: format!("it answers {code}") }
        }
        (
            "AccessDeniedException"
            | "AccessDenied"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "OptInRequired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException",
            _,
        ) => ServiceError::Denied { service, code },
        (_, 200..=299) => ServiceError::Answer { service },
        (_, 401 | 403) => ServiceError::Denied { service, code },
        (_, 404) => ServiceError::NotFound { service, code },
        (_, 429) => ServiceError::Throttled { service, code, retry_after: None },
        (_, 300..=399) => ServiceError::Unavailable { service, why: format!("it sends elsewhere ({code})") },
        (_, 500..) => ServiceError::Unavailable { service, why: format!("it answers {code}") },
        _ => ServiceError::Refused { service, code },
    }
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Says why there are no credentials, without what whoever should give them says.
pub(super) fn why(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "none were found",
        CredentialsError::ProviderTimedOut(_) => "what should give them does not answer in time",
        CredentialsError::InvalidConfiguration(_) => "the configuration that says how to get them can't be used",
        CredentialsError::ProviderError(_) => "what should give them fails",
        _ => "they can't be got",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_sorted_by_its_code_and_else_by_its_status() {
        let unavailable = |why: &str| ServiceError::Unavailable { service: KMS, why: format!("it answers {why}") };
        let code = |code: &str| code.to_owned();
        for (name, status, wanted) in [
            (Some("NotFoundException"), 400, ServiceError::NotFound { service: KMS, code: code("NotFoundException") }),
            (
                Some("AccessDeniedException"),
                400,
                ServiceError::Denied { service: KMS, code: code("AccessDeniedException") },
            ),
            (
                Some("InvalidCiphertextException"),
                400,
                ServiceError::Refused { service: KMS, code: code("InvalidCiphertextException") },
            ),
            (Some("DisabledException"), 400, ServiceError::Refused { service: KMS, code: code("DisabledException") }),
            (Some("KMSInternalException"), 500, unavailable("KMSInternalException")),
            (Some("hunter2 is what you sent"), 400, ServiceError::Refused { service: KMS, code: code("400") }),
            (None, 502, unavailable("502")),
            (None, 200, ServiceError::Answer { service: KMS }),
            (None, 429, ServiceError::Throttled { service: KMS, code: code("429"), retry_after: None }),
        ] {
            assert_eq!(by_code(KMS, name, status), wanted);
        }
    }
}
