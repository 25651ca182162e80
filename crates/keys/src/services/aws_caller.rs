//! One signed request to a service of AWS that speaks its JSON protocol, and what is kept of a refusal: the code alone.
//!
//! The SDK has a crate for each of these services, which keeps what it reads in memory that nobody wipes; two or three requests go over the
//! exchange of all other services instead, signed by the SDK's own signer. What is not here: what is asked, and where credentials come from.
//! Source: AWS JSON 1.1 protocol (`X-Amz-Target`, `__type` of an error), AWS Signature Version 4, and "Service endpoints" of the AWS
//! General Reference.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_types::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::aws::{by_code, why};
use super::exchange::{Answer, Body, Request, ServiceClient, base, secret_header};
use super::{AwsAccess, ServiceError, StoreError};

const TARGET: &str = "x-amz-target";

/// A service of AWS, and what it is called where.
pub(super) struct AwsService {
    /// In errors and metrics.
    pub(super) label: &'static str,
    /// In addresses and signatures.
    pub(super) name: &'static str,
    /// In front of what is asked for.
    pub(super) target: &'static str,
    /// In the configuration of the SDKs, which may say where it is.
    pub(super) id: &'static str,
}

/// Where services are.
enum Place {
    /// Where AWS has them.
    Usual,
    /// All at one address.
    At(Url),
    /// Where somebody's own configuration says.
    Configured(Box<SdkConfig>),
}

/// Calls services in one region, with one login.
pub(super) struct AwsCaller {
    client: ServiceClient,
    credentials: Credentials,
    place: Place,
    region: String,
}

impl AwsCaller {
    /// Logs in; at `endpoint`, if AWS is not where it usually is.
    pub(super) async fn log_in(
        client: ServiceClient,
        access: &AwsAccess,
        endpoint: Option<&str>,
        region: &str,
        session: &str,
    ) -> Result<Self, ServiceError> {
        let region = checked(Some(region))?;
        let malformed = ServiceError::Malformed { what: "the endpoint of AWS" };
        let place = endpoint.map_or(Ok(Place::Usual), |at| base(at).map(Place::At).ok_or(malformed))?;
        let credentials = access.credentials(endpoint, &region, session).await?;
        Ok(Self { client, credentials, place, region })
    }

    /// Logs in as a configuration says, which is of somebody's own machine: by its credentials, in its region, at its endpoints.
    pub(super) async fn configured(
        client: ServiceClient,
        service: &'static str,
        config: SdkConfig,
    ) -> Result<Self, ServiceError> {
        let region = checked(config.region().map(AsRef::as_ref))?;
        let none = |why: &str| ServiceError::NoCredentials { service, why: why.to_owned() };
        let provider = config.credentials_provider().ok_or_else(|| none("none were found"))?;
        let credentials = provider.provide_credentials().await.map_err(|error| none(why(&error)))?;
        Ok(Self { client, credentials, place: Place::Configured(Box::new(config)), region })
    }

    /// Asks for something; the answer is one of success.
    pub(super) async fn call(
        &self,
        service: &'static AwsService,
        operation: &str,
        body: &str,
    ) -> Result<Answer, StoreError> {
        let label = service.label;
        let url = self.address(service).ok_or(StoreError::Malformed { what: "the address of AWS" })?;
        let (target, body) = (format!("{}.{operation}", service.target), Body::aws_json(body.as_bytes()));
        let headers = self.signed(service, &url, &target, &body)?;
        let request = Request { service: label, method: Method::POST, url, token: None, headers, body: Some(body) };
        let answer = self.client.ask(&request).await.map_err(StoreError::of_asking)?;
        if answer.status == 200 { Ok(answer) } else { Err(refusal(label, &answer)) }
    }

    fn address(&self, service: &AwsService) -> Option<Url> {
        let domain = match self.region.split('-').next() {
            Some("cn") => "amazonaws.com.cn",
            Some("eusc") => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        let usual = || Url::parse(&format!("https://{}.{}.{domain}/", service.name, self.region)).ok();
        match &self.place {
            Place::Usual => usual(),
            Place::At(url) => Some(url.clone()),
            Place::Configured(config) => configured(config, service).map_or_else(usual, |at| base(&at)),
        }
    }

    fn signed(&self, service: &AwsService, url: &Url, target: &str, body: &Body) -> Result<HeaderMap, StoreError> {
        let unsigned = || StoreError::NoCredentials { service: service.label, why: "they do not sign".to_owned() };
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service.name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| unsigned())?;
        let named = [(TARGET, target), ("content-type", body.kind())];
        let request = SignableRequest::new("POST", url.as_str(), named.into_iter(), SignableBody::Bytes(body.bytes()));
        let signed = sign(request.map_err(|_| unsigned())?, &params.into()).map_err(|_| unsigned())?;
        let (instructions, _) = signed.into_parts();
        let mut headers = HeaderMap::new();
        for (name, value) in instructions.headers().chain([(TARGET, target)]) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsigned())?;
            headers.insert(name, secret_header(service.label, &[value.as_bytes()])?);
        }
        Ok(headers)
    }
}

/// Returns the region that somebody names; it becomes part of an address.
fn checked(region: Option<&str>) -> Result<String, ServiceError> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let region = region.filter(|region| !region.is_empty() && region.bytes().all(is_letter));
    region.map(str::to_owned).ok_or(ServiceError::Malformed { what: "the region of AWS" })
}

/// Returns where a configuration says that a service is, or that all are (the SDKs' "service-specific endpoints").
fn configured(config: &SdkConfig, service: &AwsService) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service.id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let own = config.service_config().zip(key.build().ok()).and_then(|(own, key)| own.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Maps an error by its code, which may stand behind the name of a protocol.
fn refusal(service: &'static str, answer: &Answer) -> StoreError {
    let failed = serde_json::from_slice::<Failed>(answer.body.expose_secret()).ok();
    let code = failed.as_ref().and_then(|failed| failed.kind.rsplit('#').next());
    match by_code(service, code, answer.status) {
        ServiceError::Refused { code, .. } => of_code(service, &code).unwrap_or(StoreError::Answer { service }),
        error => error.into(),
    }
}

/// Maps the codes that secrets and parameters have of their own.
fn of_code(service: &'static str, code: &str) -> Option<StoreError> {
    let denied = || StoreError::Denied { service, code: code.to_owned() };
    match code {
        // What is no id or name of one at all is none, too.
        "ResourceNotFoundException" | "ParameterNotFound" | "InvalidParameterException" | "ValidationException" => {
            Some(StoreError::Missing { service })
        }
        "ParameterVersionNotFound" => Some(StoreError::NoSuchVersion { service }),
        // What is asked for is well-formed, so the secret is marked for deletion.
        "InvalidRequestException" => Some(StoreError::Disabled { service }),
        // The key that the secret is sealed with is not to be had.
        "AccessDeniedException" | "DecryptionFailure" | "InvalidKeyId" => Some(denied()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Failed {
    #[serde(rename = "__type")]
    kind: String,
}
