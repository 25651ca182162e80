//! The key services that a Sync may ask to open its SOPS files: its backends, what each of them allows, and what they answer.
//!
//! What a committed file names is looked up here; where no backend allows it, nobody is called. A backend may itself come from Git,
//! so a server that it names must be on the controller's list. All is read and done as the Sync's ServiceAccount.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use tokio::sync::OnceCell;
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use waxwing_keys::{
    AwsAccess, AwsKey, AwsKms, Holder, KeyPattern, Origin, ServiceError, ServiceKey, VaultAccess, VaultTransit,
};

use super::job::Job;
use super::trouble::{Trouble, of_secret};
use crate::api::{
    AwsAuth, AwsBackend, KubernetesAuth, Reason, SecretBackend, SecretBackendSpec, VaultAuth, VaultBackend,
    WebIdentityAuth,
};
use crate::cluster::secrets::{self, Secret};
use crate::cluster::{CallError, Session, TokenError, read_backend, token_for};

/// The field that names backends.
const FIELD: &str = "spec.secrets.backends";

/// The backends of one Sync. Not `Debug`.
pub(super) struct Backends<'a> {
    job: &'a Job<'a>,
    session: Session<'a>,
    all: Vec<Backend>,
    outage: Mutex<Option<Duration>>,
}

/// One backend, with what it logs in with.
struct Backend {
    name: String,
    allowed: Vec<KeyPattern>,
    holder: Holder,
    service: Service,
    /// Why it is not asked again in this sync: it is away, or nobody is let in.
    closed: OnceLock<ServiceError>,
}

enum Service {
    Vault(Box<Server>),
    Aws(AwsLogin),
}

/// A Vault server. It is logged in to when the first key is asked for.
struct Server {
    origin: Origin,
    spec: VaultBackend,
    login: VaultLogin,
    client: OnceCell<VaultTransit>,
}

enum VaultLogin {
    Token(SecretBytes),
    Kubernetes(KubernetesAuth),
}

enum AwsLogin {
    Keys(Secret),
    WebIdentity(WebIdentityAuth),
}

impl<'a> Backends<'a> {
    /// Reads the backends that the Sync names, and the Secrets that they name.
    pub(super) async fn read(job: &'a Job<'a>, session: Session<'a>) -> Result<Self, Trouble> {
        let mut all = Vec::new();
        for reference in &job.sync.spec.secrets.backends {
            all.push(Backend::read(job, &session, &reference.name).await?);
        }
        Ok(Self { job, session, all, outage: Mutex::default() })
    }

    /// Unwraps a data key by the first backend that allows its key, or takes it from what was unwrapped before.
    pub(super) async fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        let allows =
            |(key, _): &(ServiceKey, &str)| self.all.iter().find(|backend| backend.allows(key, self.job.namespace()));
        let asked = ServiceKey::of(wrapped);
        let Some(((key, enc), backend)) = asked.and_then(|asked| Some((asked.clone(), allows(&asked)?))) else {
            return Err(Refusal(format!("no backend of {FIELD} allows it")));
        };
        let cache = &self.job.context.data_keys;
        if let Some(key) = cache.find(&backend.holder, wrapped, Instant::now()) {
            return Ok(key);
        }
        match self.ask(backend, &key, enc).await {
            Ok(key) => {
                cache.keep(&backend.holder, wrapped, &key, Instant::now());
                Ok(key)
            }
            Err(error) => {
                self.note(&error, backend);
                Err(Refusal(format!("SecretBackend {}: {error}", backend.name)))
            }
        }
    }

    async fn ask(&self, backend: &Backend, key: &ServiceKey, enc: &str) -> Result<DataKey, ServiceError> {
        if let Some(error) = backend.closed.get() {
            return Err(error.clone());
        }
        let begun = Instant::now();
        let left = self.job.deadline.saturating_duration_since(begun);
        let answer = tokio::time::timeout(left, backend.unwrap(self, key, enc)).await;
        let late =
            ServiceError::Unavailable { service: backend.service.name(), why: "it does not answer in time".to_owned() };
        let answer = answer.unwrap_or(Err(late));
        let outcome = answer.as_ref().map_or_else(ServiceError::word, |_| "unwrapped");
        self.job.context.metrics.asked_service(backend.service.name(), outcome, begun.elapsed());
        if let Err(error @ (ServiceError::Unavailable { .. } | ServiceError::NoCredentials { .. })) = &answer {
            backend.closed.get_or_init(|| error.clone());
        }
        answer
    }

    /// Forgets what was unwrapped for somebody who is not let in any more, and remembers that a service is down.
    fn note(&self, error: &ServiceError, backend: &Backend) {
        let soon = match error {
            ServiceError::Unavailable { .. } => Duration::ZERO,
            ServiceError::Throttled { retry_after, .. } => retry_after.unwrap_or_default(),
            ServiceError::Denied { .. } => {
                return self.job.context.data_keys.forget(|holder| *holder == backend.holder);
            }
            _ => return,
        };
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        *outage = (*outage).max(Some(soon));
    }

    /// Returns how soon it may help to ask again, if a service was down or asked too often.
    pub(super) fn outage(&self) -> Option<Duration> {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn token(&self, audience: &str, service: &'static str) -> Result<SecretBytes, ServiceError> {
        let token = token_for(&self.session.client, &self.job.account, audience).await;
        token.map_err(|error| {
            let why = match &error {
                TokenError::OwnAudience { .. } => error.to_string(),
                TokenError::Call { source, .. } => format!("{error}: {source}"),
            };
            ServiceError::NoCredentials { service, why }
        })
    }
}

impl Backend {
    async fn read(job: &Job<'_>, session: &Session<'_>, name: &str) -> Result<Self, Trouble> {
        let backend = read_backend(&session.client, &job.account, name).await;
        let backend = backend.map_err(|error| unreadable(job, name, &error))?.ok_or_else(|| {
            let fact = format!("SecretBackend {}/{name} does not exist", job.namespace());
            Trouble::passing(Reason::KeysUnavailable, fact, &format!("create it, or correct {FIELD}"))
        })?;
        let backend: SecretBackend = serde_json::from_value(backend).map_err(|_| {
            let fact = format!("SecretBackend {}/{name} can't be read", job.namespace());
            Trouble::passing(
                Reason::KeysUnavailable,
                fact,
                "install the definitions of this version, and write it anew",
            )
        })?;
        let patterns = backend.spec.allow.keys.iter().map(|pattern| KeyPattern::parse(pattern));
        let allowed = patterns.collect::<Result<_, _>>().map_err(|error| {
            let fact = format!("SecretBackend {}/{name}, spec.allow.keys: {error}", job.namespace());
            Trouble::passing(Reason::KeysUnavailable, fact, "write each key as its service names it")
        })?;
        let (service, secret) = Service::read(job, session, name, &backend.spec).await?;
        let holder = Holder {
            account: job.account.to_string(),
            backend: backend.uid().unwrap_or_default(),
            version: [backend.resource_version().unwrap_or_default(), secret].join(" "),
        };
        Ok(Self { name: name.to_owned(), allowed, holder, service, closed: OnceLock::new() })
    }

    fn allows(&self, key: &ServiceKey, namespace: &str) -> bool {
        let is_here = match (&self.service, key) {
            (Service::Vault(server), ServiceKey::Vault(key)) => key.address.parse().as_ref() == Ok(&server.origin),
            (Service::Aws(_), ServiceKey::Aws(_)) => true,
            _ => false,
        };
        is_here && self.allowed.iter().any(|pattern| pattern.allows(key, namespace))
    }

    async fn unwrap(&self, backends: &Backends<'_>, key: &ServiceKey, enc: &str) -> Result<DataKey, ServiceError> {
        match (&self.service, key) {
            (Service::Vault(server), ServiceKey::Vault(key)) => {
                let client = server.client.get_or_try_init(|| vault(backends, &server.spec, &server.login)).await?;
                client.unwrap(key, enc).await
            }
            (Service::Aws(login), ServiceKey::Aws(key)) => aws(backends, login, key).await?.unwrap(key, enc).await,
            _ => Err(ServiceError::Malformed { what: "the key, which is of another service," }),
        }
    }
}

impl Service {
    /// Makes the service of a spec, with the version of the Secret that it logs in with, empty where there is none.
    async fn read(
        job: &Job<'_>,
        session: &Session<'_>,
        name: &str,
        spec: &SecretBackendSpec,
    ) -> Result<(Self, String), Trouble> {
        match (&spec.vault, &spec.aws) {
            (Some(vault), None) => Self::read_vault(job, session, name, vault).await,
            (None, Some(aws)) => Self::read_aws(job, session, name, aws).await,
            _ => Err(incomplete(job, name, "spec")),
        }
    }

    async fn read_vault(
        job: &Job<'_>,
        session: &Session<'_>,
        name: &str,
        spec: &VaultBackend,
    ) -> Result<(Self, String), Trouble> {
        let origin = spec.address.parse::<Origin>().ok();
        let Some(origin) = origin.filter(|origin| job.context.backend_origins.contains(origin)) else {
            let fact = format!(
                "SecretBackend {}/{name} leads to {}, which is not among the controller's backend origins",
                job.namespace(),
                spec.address
            );
            return Err(Trouble::passing(
                Reason::KeyNotAllowed,
                fact,
                "ask whoever runs the controller to add --backend-origin",
            ));
        };
        let (login, version) = match &spec.auth {
            VaultAuth { kubernetes: Some(auth), token_ref: None } => {
                (VaultLogin::Kubernetes(auth.clone()), String::new())
            }
            VaultAuth { kubernetes: None, token_ref: Some(secret) } => {
                let mut secret = read_secret(job, session, name, &secret.name, &["token"]).await?;
                let token = secret.data.remove("token").ok_or_else(|| incomplete(job, name, "spec.vault.auth"))?;
                (VaultLogin::Token(token), secret.version)
            }
            _ => return Err(incomplete(job, name, "spec.vault.auth")),
        };
        let server = Server { origin, spec: spec.clone(), login, client: OnceCell::new() };
        Ok((Self::Vault(Box::new(server)), version))
    }

    async fn read_aws(
        job: &Job<'_>,
        session: &Session<'_>,
        name: &str,
        spec: &AwsBackend,
    ) -> Result<(Self, String), Trouble> {
        let (login, version) = match &spec.auth {
            AwsAuth { web_identity: Some(auth), secret_ref: None } => {
                (AwsLogin::WebIdentity(auth.clone()), String::new())
            }
            AwsAuth { web_identity: None, secret_ref: Some(secret) } => {
                let keys = ["accessKeyId", "secretAccessKey"];
                let secret = read_secret(job, session, name, &secret.name, &keys).await?;
                let version = secret.version.clone();
                (AwsLogin::Keys(secret), version)
            }
            _ => return Err(incomplete(job, name, "spec.aws.auth")),
        };
        Ok((Self::Aws(login), version))
    }

    /// Returns the name of the service, which is a label of metrics too.
    fn name(&self) -> &'static str {
        match self {
            Self::Vault(_) => "Vault",
            Self::Aws(_) => "AWS KMS",
        }
    }
}

/// Logs in where that is needed, and makes the client.
async fn vault(backends: &Backends<'_>, spec: &VaultBackend, login: &VaultLogin) -> Result<VaultTransit, ServiceError> {
    let access = |token| VaultAccess {
        token,
        namespace: spec.namespace.clone(),
        authorities: spec.ca_bundle.as_ref().map(|pem| pem.clone().into_bytes()),
        proxies_of_environment: false,
    };
    let token = match login {
        VaultLogin::Token(token) => SecretBytes::concat(&[token.expose_secret()]),
        VaultLogin::Kubernetes(KubernetesAuth { mount, role, audience }) => {
            let jwt = backends.token(audience, "Vault").await?;
            let stranger = VaultTransit::new(&spec.address, &access(None))?;
            let login = stranger.log_in_by_kubernetes(mount, role, &jwt).await;
            login.map_err(|error| match error {
                ServiceError::Denied { service, code } => ServiceError::NoCredentials {
                    service,
                    why: format!("it does not let ServiceAccount {} in ({code})", backends.job.account),
                },
                error => error,
            })?
        }
    };
    VaultTransit::new(&spec.address, &access(Some(token)))
}

async fn aws(backends: &Backends<'_>, login: &AwsLogin, key: &AwsKey) -> Result<AwsKms, ServiceError> {
    let session = format!("waxwing@{}", backends.job.account.name());
    let endpoint = backends.job.context.aws_endpoint.as_deref();
    let access = match login {
        AwsLogin::Keys(secret) => {
            let entry = |key: &str| secret.data.get(key).map(|value| SecretBytes::concat(&[value.expose_secret()]));
            let missing =
                || ServiceError::NoCredentials { service: "AWS KMS", why: "the Secret lacks an entry".to_owned() };
            AwsAccess::Keys {
                id: entry("accessKeyId").ok_or_else(missing)?,
                secret: entry("secretAccessKey").ok_or_else(missing)?,
                token: entry("sessionToken"),
            }
        }
        AwsLogin::WebIdentity(WebIdentityAuth { role_arn, audience }) => {
            let token = backends.token(audience, "AWS STS").await?;
            AwsAccess::WebIdentity { role: role_arn.clone(), token }
        }
    };
    AwsKms::with_access(&access, endpoint, key, &session).await
}

/// Reads a Secret that a backend names; it must have these entries.
async fn read_secret(
    job: &Job<'_>,
    session: &Session<'_>,
    backend: &str,
    name: &str,
    keys: &[&str],
) -> Result<Secret, Trouble> {
    let secret = secrets::read(&session.client, &session.identity, job.namespace(), name).await;
    let (field, reader) = (format!("SecretBackend {backend}"), format!("ServiceAccount {}", job.account));
    let secret = secret.map_err(|error| of_secret(error, &field, &reader))?;
    match keys.iter().find(|key| !secret.data.contains_key(**key)) {
        None => Ok(secret),
        Some(key) => {
            let fact = format!("Secret {}/{name}, which {field} names, has no entry {key}", job.namespace());
            Err(Trouble::passing(Reason::KeysUnavailable, fact, "add the entry"))
        }
    }
}

fn unreadable(job: &Job<'_>, name: &str, error: &CallError) -> Trouble {
    let fact = format!("failed to read SecretBackend {}/{name}: {error}", job.namespace());
    match error.is_forbidden() {
        true => {
            let hint = format!("let ServiceAccount {} get it", job.account);
            Trouble::passing(Reason::KeysUnavailable, fact, &hint)
        }
        false => Trouble::outage(Reason::ApiUnavailable, error, "it is tried again"),
    }
}

fn incomplete(job: &Job<'_>, name: &str, field: &str) -> Trouble {
    let fact = format!("SecretBackend {}/{name}: {field} says neither or both", job.namespace());
    Trouble::passing(Reason::KeysUnavailable, fact, "set exactly one")
}
