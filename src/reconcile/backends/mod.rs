//! The services that a Sync may ask, to open its SOPS files or for what its references lead to: its backends, what each of them allows, and
//! what they answer.
//!
//! What a committed file names is looked up here; where no backend allows it, nobody is called. A backend may itself come from Git,
//! so a server that it names must be on the controller's list. All is read and done as the Sync's ServiceAccount. Each service has a
//! file, which knows how a Sync logs in there.

mod aws;
mod azure;
mod backend;
mod carrier;
mod check;
mod data_keys;
mod ends;
mod gcp;
mod hint;
mod kubernetes;
mod leased;
mod logins;
mod pace;
mod reader;
mod store;
mod store_hint;
mod stores;
mod vault;
mod vault_leases;
mod vault_login;
mod vault_server;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use waxwing_formats::SecretBytes;
use waxwing_keys::{Origin, Patience, Proxies, ServiceClient, ServiceError};

use super::backend_status::WhichBackend;
use super::job::Job;
use super::trouble::Trouble;
use crate::cluster::{self, Session, TokenError, token_for};
use backend::Backend;
pub(super) use check::check;
pub use kubernetes::ClusterSecrets;
pub(super) use leased::key as lease_key;
pub use logins::Logins;
pub use pace::Paces;
use pace::Place;
use reader::Reader;
pub(super) use stores::{About, Found};
pub(super) use vault_leases::Lease;

/// The field that names backends.
const FIELD: &str = "spec.secrets.backends";

/// How long a service is waited for within a sync, which is tried again as a whole anyway.
const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(30),
    tries: 2,
    pause: Duration::from_millis(400),
    longest_pause: Duration::from_secs(2),
};

/// Where key services are, as whoever runs the controller says.
#[derive(Clone, Debug, Default)]
pub struct KeyServices {
    /// Where backends that tenants write may lead to.
    pub origins: Vec<Origin>,
    /// Where AWS is, if not where it usually is.
    pub aws: Option<String>,
    /// Where Google Cloud is, if not where it usually is.
    pub gcp: Option<String>,
    /// Where tokens for Azure are issued, if not where they usually are.
    pub azure_login: Option<String>,
}

/// What is said of a service that takes longer than the sync may.
const LATE: &str = "it does not answer in time";

/// How long a service is given a rest that was asked too often, and does not say for how long.
const AT_ONCE_AGAIN: Duration = Duration::from_secs(1);

/// The backends of one Sync. Not `Debug`.
pub(super) struct Backends<'a> {
    tenant: Tenant<'a>,
    all: Vec<Backend>,
    outage: Mutex<Option<Duration>>,
}

/// Who reads backends and logs in: the Sync's ServiceAccount, over connections of its own.
struct Tenant<'a> {
    job: &'a Job<'a>,
    session: Session<'a>,
    /// The ServiceAccount's uid; empty where there is none.
    uid: String,
}

impl<'a> Backends<'a> {
    /// Reads the backends that the Sync names, and the Secrets that they name.
    pub(super) async fn read(job: &'a Job<'a>, session: Session<'a>) -> Result<Self, Trouble> {
        let uid = cluster::service_account_uid(&job.context.client, &job.account).await?.unwrap_or_default();
        let tenant = Tenant { job, session, uid };
        let mut all = Vec::new();
        for reference in &job.sync.spec.secrets.backends {
            let reader = Reader { tenant: &tenant, kind: reference.kind, name: &reference.name };
            all.push(Backend::read(&reader).await?);
        }
        Ok(Self { tenant, all, outage: Mutex::default() })
    }

    /// Waits until the backend may be asked, or says why it is not.
    async fn place<'b>(&self, backend: &'b Backend) -> Result<Place<'b>, &'static str> {
        let left = self.tenant.job.deadline.saturating_duration_since(Instant::now());
        let place = tokio::time::timeout(left, backend.pace.place()).await.map_err(|_| LATE)?;
        place.map_err(|left| {
            self.is_away_for(left);
            "it was away a moment ago, and is given a rest"
        })
    }

    /// Notes whether the service lets the tenant in, which the backend's status says.
    async fn note_login(&self, backend: &Backend, problem: Option<&String>) {
        if !backend.has_logins() {
            return;
        }
        let job = self.tenant.job;
        let which = WhichBackend {
            kind: backend.kind,
            namespace: job.namespace(),
            name: &backend.name,
            uid: &backend.holder.backend,
        };
        let expires = if problem.is_none() { backend.token_expires_at().await } else { None };
        job.context.backends.note(&which, job.account.to_string(), problem.cloned(), expires);
    }

    fn is_away_for(&self, soon: Duration) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        *outage = (*outage).max(Some(soon));
    }

    /// Returns how soon it may help to ask again, if a service was down or asked too often.
    pub(super) fn outage(&self) -> Option<Duration> {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant<'_> {
    fn key_services(&self) -> &KeyServices {
        &self.job.context.key_services
    }

    /// Has the ServiceAccount make a token of itself, for somebody else than the API server.
    async fn token(&self, audience: &str, service: &'static str) -> Result<SecretBytes, ServiceError> {
        let token = token_for(&self.session.client, &self.job.account, audience).await;
        token.map_err(|error| {
            match &error {
                TokenError::OwnAudience { .. } => ServiceError::NoCredentials { service, why: error.to_string() },
                TokenError::Call { source, .. } => {
                    let why = format!("{error}: {source}");
                    // That says nothing of the tenant: neither what he holds nor his standing suffers.
                    match source.passes() {
                        Some(_) => ServiceError::Unavailable { service, why },
                        None => ServiceError::NoCredentials { service, why },
                    }
                }
            }
        })
    }
}

/// Opens connections to a service of a public cloud, of this backend and this sync alone.
fn connections(service: &'static str) -> Result<ServiceClient, ServiceError> {
    let client = ServiceClient::new(None, Proxies::OfTheEnvironment, PATIENCE);
    client.map_err(|error| ServiceError::Unavailable { service, why: error.to_string() })
}
