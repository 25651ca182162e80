//! Azure Key Vault as the user: with which credentials vaults are called.
//!
//! Source: `azkv/keysource.go` of sops 3.13.3, and `DefaultAzureCredential` of azidentity 1.14 for the places and their order:
//! environment, workload identity, managed identity, `az`, `azd`. Microsoft's own library makes tokens of each, over connections of
//! ours. What it says of an error is not passed on, since it may quote an answer.

use std::env;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureDeveloperCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use jiff::Timestamp;
use tokio::sync::Mutex;
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::AZURE_KEY_VAULT as SERVICE;
use waxwing_keys::{AzureKey, AzureKeyVault, AzureSecrets, NoConnections, ServiceError, Tokens};

pub(super) const NO_CREDENTIALS: &str =
    "log in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET";

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const FEDERATED_TOKEN: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// Which of the places count.
const SELECTED: &str = "AZURE_TOKEN_CREDENTIALS";

/// Where a virtual machine of Azure asks who it is; elsewhere nobody answers.
const METADATA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);
/// How long it is waited for, as in azidentity.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// How long whoever issues tokens may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long before its end a token is not used any more.
const MARGIN_SECONDS: i64 = 300;

/// Whoever the user is at all vaults of this run.
static CREDENTIALS: LazyLock<Arc<Credentials>> = LazyLock::new(Arc::default);
static VAULTS: LazyLock<Result<AzureKeyVault, ServiceError>> = LazyLock::new(client);

pub(super) async fn wrap(key: &AzureKey, data_key: &DataKey) -> Result<(AzureKey, String), ServiceError> {
    VAULTS.as_ref().map_err(Clone::clone)?.wrap(key, data_key).await
}

/// Returns the key with its version, which is the newest if it has none.
pub(super) async fn versioned(key: &AzureKey) -> Result<AzureKey, ServiceError> {
    VAULTS.as_ref().map_err(Clone::clone)?.versioned(key).await
}

pub(super) async fn unwrap(key: &AzureKey, enc: &str) -> Result<DataKey, ServiceError> {
    VAULTS.as_ref().map_err(Clone::clone)?.unwrap(key, enc).await
}

fn client() -> Result<AzureKeyVault, ServiceError> {
    Ok(AzureKeyVault::new(super::connections(SERVICE)?, tokens()))
}

/// Makes a client for the secrets of a vault.
pub(super) fn secrets(vault_url: &str) -> Result<AzureSecrets, ServiceError> {
    AzureSecrets::new(super::connections(SERVICE)?, vault_url, tokens())
}

fn tokens() -> Arc<dyn Tokens> {
    Arc::<Credentials>::clone(&CREDENTIALS)
}

/// The places where credentials are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Environment,
    WorkloadIdentity,
    ManagedIdentity,
    Cli,
    DeveloperCli,
}

impl Place {
    /// All, in their order, with their names in `AZURE_TOKEN_CREDENTIALS`.
    const ALL: [(Self, &'static str); 5] = [
        (Self::Environment, "EnvironmentCredential"),
        (Self::WorkloadIdentity, "WorkloadIdentityCredential"),
        (Self::ManagedIdentity, "ManagedIdentityCredential"),
        (Self::Cli, "AzureCLICredential"),
        (Self::DeveloperCli, "AzureDeveloperCLICredential"),
    ];

    /// Returns those that the user wants to be looked at.
    fn selected() -> Result<Vec<Self>, ServiceError> {
        let said = env::var(SELECTED).unwrap_or_default();
        let is_tool = |place: Self| matches!(place, Self::Cli | Self::DeveloperCli);
        let wanted = |place: Self, name: &str| match said.as_str() {
            "" => true,
            "dev" => is_tool(place),
            "prod" => !is_tool(place),
            said => said.eq_ignore_ascii_case(name),
        };
        let places: Vec<Self> =
            Self::ALL.into_iter().filter(|(place, name)| wanted(*place, name)).map(|(place, _)| place).collect();
        if places.is_empty() { Err(none(&format!("{SELECTED} names none that is supported"))) } else { Ok(places) }
    }

    /// Returns the credentials of the place, or nothing if it has none. A virtual machine has an identity if somebody answers.
    async fn credentials(self) -> Result<Option<Arc<dyn TokenCredential>>, ServiceError> {
        match self {
            Self::Environment => of_the_environment(),
            Self::WorkloadIdentity => of_a_workload(),
            Self::ManagedIdentity => of_a_machine().await,
            Self::Cli => Ok(AzureCliCredential::new(None).ok().map(|credential| credential as _)),
            Self::DeveloperCli => Ok(AzureDeveloperCliCredential::new(None).ok().map(|credential| credential as _)),
        }
    }

    /// Tells whether the next place is asked when what is here doesn't serve: a machine may have no identity, and where azidentity asks
    /// for one, machines of other clouds answer too.
    fn may_fail(self) -> bool {
        matches!(self, Self::ManagedIdentity | Self::Cli | Self::DeveloperCli)
    }
}

fn said(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

fn of_the_environment() -> Result<Option<Arc<dyn TokenCredential>>, ServiceError> {
    let (Some(tenant), Some(client)) = (said(TENANT), said(CLIENT)) else { return Ok(None) };
    let Some(secret) = said(SECRET) else {
        return match ["AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_PASSWORD"].into_iter().find(|name| said(name).is_some()) {
            Some(name) => Err(none(&format!("{name} is not supported"))),
            None => Ok(None),
        };
    };
    let options = ClientSecretCredentialOptions { client_options: connections()? };
    let made = ClientSecretCredential::new(&tenant, client, Secret::new(secret), Some(options));
    made.map(|credential| Some(credential as _)).map_err(|_| none("what the environment has is malformed"))
}

fn of_a_workload() -> Result<Option<Arc<dyn TokenCredential>>, ServiceError> {
    if [TENANT, CLIENT, FEDERATED_TOKEN].into_iter().any(|variable| said(variable).is_none()) {
        return Ok(None);
    }
    let credential_options = ClientAssertionCredentialOptions { client_options: connections()? };
    let options = WorkloadIdentityCredentialOptions { credential_options, ..Default::default() };
    let made = WorkloadIdentityCredential::new(Some(options));
    made.map(|credential| Some(credential as _)).map_err(|_| none(&format!("{FEDERATED_TOKEN} can't be read")))
}

async fn of_a_machine() -> Result<Option<Arc<dyn TokenCredential>>, ServiceError> {
    let is_named = ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"].into_iter().any(|variable| said(variable).is_some());
    let connected = || tokio::time::timeout(METADATA_TIMEOUT, tokio::net::TcpStream::connect(METADATA));
    if !is_named && !matches!(connected().await, Ok(Ok(_))) {
        return Ok(None);
    }
    let user_assigned_id = said(CLIENT).map(UserAssignedId::ClientId);
    let client_options = connections()?;
    let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
    Ok(ManagedIdentityCredential::new(Some(options)).ok().map(|credential| credential as _))
}

/// Tokens from the first place that has some; whoever comes while one is asked for waits for the same.
#[derive(Default)]
struct Credentials(Mutex<Found>);

#[derive(Default)]
struct Found {
    /// What gave the last token.
    credential: Option<Arc<dyn TokenCredential>>,
    /// The last token, and what it is good for.
    last: Option<(String, AccessToken)>,
}

#[async_trait]
impl Tokens for Credentials {
    async fn token(&self, scope: &str) -> Result<SecretBytes, ServiceError> {
        let mut found = self.0.lock().await;
        if let Some(token) = found.kept(scope) {
            return Ok(token);
        }
        let (credential, token) = match found.credential.clone() {
            Some(credential) => {
                let token = ask(&credential, scope).await?;
                (credential, token)
            }
            None => first(scope).await?,
        };
        let secret = SecretBytes::concat(&[token.token.secret().as_bytes()]);
        *found = Found { credential: Some(credential), last: Some((scope.to_owned(), token)) };
        Ok(secret)
    }
}

impl Found {
    fn kept(&self, scope: &str) -> Option<SecretBytes> {
        let (_, token) = self.last.as_ref().filter(|(of, _)| of == scope)?;
        let is_good = token.expires_on.unix_timestamp() > Timestamp::now().as_second() + MARGIN_SECONDS;
        is_good.then(|| SecretBytes::concat(&[token.token.secret().as_bytes()]))
    }
}

/// Asks one place after the other.
async fn first(scope: &str) -> Result<(Arc<dyn TokenCredential>, AccessToken), ServiceError> {
    for place in Place::selected()? {
        let Some(credential) = place.credentials().await? else { continue };
        match ask(&credential, scope).await {
            Ok(token) => return Ok((credential, token)),
            Err(_) if place.may_fail() => {}
            Err(error) => return Err(error),
        }
    }
    Err(none("neither the environment, nor this machine, nor az or azd has any"))
}

async fn ask(credential: &Arc<dyn TokenCredential>, scope: &str) -> Result<AccessToken, ServiceError> {
    let unavailable = |why: &str| ServiceError::Unavailable { service: SERVICE, why: why.to_owned() };
    let asked = tokio::time::timeout(TIMEOUT, credential.get_token(&[scope], None)).await;
    match asked.map_err(|_| unavailable("nobody issued a token in time"))? {
        Ok(token) => Ok(token),
        Err(error) if matches!(error.kind(), ErrorKind::Connection | ErrorKind::Io) => {
            Err(unavailable("whoever issues tokens can't be reached"))
        }
        Err(_) => Err(none("no token is issued for those that were found")),
    }
}

fn none(why: &str) -> ServiceError {
    ServiceError::NoCredentials { service: SERVICE, why: why.to_owned() }
}

/// Has tokens asked for over connections as all others are, and once only.
fn connections() -> Result<ClientOptions, ServiceError> {
    crate::cluster::install_tls();
    let builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
    let broken = |_| ServiceError::Unavailable { service: SERVICE, why: NoConnections.to_string() };
    let transport = Transport::new(Arc::new(Connections(builder.build().map_err(broken)?)));
    Ok(ClientOptions { transport: Some(transport), retry: RetryOptions::none(), ..Default::default() })
}

/// What azure_core sends requests with.
struct Connections(reqwest::Client);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

#[async_trait]
impl HttpClient for Connections {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let lost = |_| azure_core::Error::with_message(ErrorKind::Io, "the connection failed");
        let method = request.method().as_ref().parse().unwrap_or(reqwest::Method::POST);
        let mut call = self.0.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            call = call.header(name.as_str(), value.as_str());
        }
        let Body::Bytes(body) = request.body() else {
            return Err(azure_core::Error::with_message(ErrorKind::Io, "the body is no text"));
        };
        let answer = call.body(body.clone()).send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                headers.insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
            }
        }
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, answer.bytes().await.map_err(lost)?))
    }
}
