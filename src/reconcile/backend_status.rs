//! What is said of backends: whether they can be used as they are written, whether their servers answer, and who was let in.
//!
//! A server is asked as a stranger, without any credential, and only where the controller's list has it. What Syncs come to when they use a
//! backend is noted here, and told. Not here: what a Sync may do through a backend; that is decided where it is used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::object::HasStatus;
use kube::runtime::reflector::{Lookup, ObjectRef};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use tokio::sync::mpsc;

use super::backends::check;
use super::context::Context;
use super::controllers::WatchedBackends;
use super::report::{self, Verdict};
use super::statuses::Statuses;
use super::trouble::Trouble;
use crate::api::{
    BackendKind, BackendStatus, ClusterSecretBackend, LOGINS_LIMIT, LoginStatus, Reason, SecretBackend,
    SecretBackendSpec, Status,
};

/// How often a backend is looked at, at the most.
const SHORTEST: Duration = Duration::from_secs(60);

/// How long a ServiceAccount is listed that was not let in and does not try any more, and one that was and does not ask any more.
const LISTED: (Duration, Duration) = (Duration::from_secs(10 * 60), Duration::from_secs(2 * 60 * 60));

/// How Syncs fared with backends, by the uid of the backend and the ServiceAccount.
pub struct BackendStandings {
    logins: Mutex<HashMap<String, BTreeMap<String, Login>>>,
    /// What came of looking at each backend last, by its uid.
    looked: Mutex<HashMap<String, Looked>>,
    own_statuses: Statuses<SecretBackend>,
    of_cluster_statuses: Statuses<ClusterSecretBackend>,
    own: mpsc::UnboundedSender<ObjectRef<SecretBackend>>,
    of_cluster: mpsc::UnboundedSender<ObjectRef<ClusterSecretBackend>>,
}

/// The backends of which there is something to say.
pub struct BackendNews {
    pub(super) own: mpsc::UnboundedReceiver<ObjectRef<SecretBackend>>,
    pub(super) of_cluster: mpsc::UnboundedReceiver<ObjectRef<ClusterSecretBackend>>,
}

struct Looked {
    generation: Option<i64>,
    at: Instant,
    came_to: Result<(), Trouble>,
}

struct Login {
    problem: Option<String>,
    token_expires_at: Option<Timestamp>,
    seen: Instant,
}

/// Which backend it is.
pub(super) struct WhichBackend<'a> {
    pub(super) kind: BackendKind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
}

impl BackendStandings {
    /// Starts with nothing known of what `backends` watch; returns with it where it is heard that there is something to say.
    pub fn new(backends: &WatchedBackends) -> (Self, BackendNews) {
        let ((own, of_own), (of_cluster, of_others)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let news = BackendNews { own: of_own, of_cluster: of_others };
        let standings = Self {
            logins: Mutex::default(),
            looked: Mutex::default(),
            own_statuses: Statuses::new(backends.own.listings()),
            of_cluster_statuses: Statuses::new(backends.of_cluster.listings()),
            own,
            of_cluster,
        };
        (standings, news)
    }

    /// Notes whether a ServiceAccount was let in, and until when its token is good.
    pub(super) fn note(
        &self,
        backend: &WhichBackend<'_>,
        account: String,
        problem: Option<String>,
        token_expires_at: Option<Timestamp>,
    ) {
        let login = Login { problem, token_expires_at, seen: Instant::now() };
        let mut all = self.all();
        let logins = all.entry(backend.uid.to_owned()).or_default();
        let is_same = logins.get(&account).is_some_and(|before| before.says(&login));
        drop(logins.insert(account, login));
        drop(all);
        if is_same {
            return;
        }
        // Whoever listens ends with the controller.
        match backend.kind {
            BackendKind::SecretBackend => drop(self.own.send(ObjectRef::new(backend.name).within(backend.namespace))),
            BackendKind::ClusterSecretBackend => drop(self.of_cluster.send(ObjectRef::new(backend.name))),
        }
    }

    /// Forgets the backends that are gone.
    pub(super) fn forget(&self, gone: &HashSet<String>) {
        self.all().retain(|uid, _| !gone.contains(uid));
        self.looked().retain(|uid, _| !gone.contains(uid));
        self.own_statuses.retain(|uid| !gone.contains(uid));
        self.of_cluster_statuses.retain(|uid| !gone.contains(uid));
    }

    fn listed(&self, uid: &str) -> Vec<LoginStatus> {
        let mut all = self.all();
        let Some(logins) = all.get_mut(uid) else { return Vec::new() };
        logins.retain(|_, login| login.seen.elapsed() < if login.problem.is_some() { LISTED.0 } else { LISTED.1 });
        let status = |(account, login): (&String, &Login)| LoginStatus {
            service_account: account.clone(),
            problem: login.problem.clone(),
            token_expires_at: login.token_expires_at.map(|time| Time(report::whole_seconds(time))),
        };
        let mut listed: Vec<_> = logins.iter().map(status).collect();
        listed.sort_by_key(|login| login.problem.is_none());
        listed.truncate(LOGINS_LIMIT);
        listed
    }

    /// Returns what came of looking at this generation of a backend, if that was just now: there is news of logins more often.
    fn looked_at(&self, uid: &str, generation: Option<i64>) -> Option<Result<(), Trouble>> {
        let looked = self.looked();
        let last = looked.get(uid).filter(|last| last.generation == generation && last.at.elapsed() < SHORTEST)?;
        Some(last.came_to.clone())
    }

    fn looked(&self) -> MutexGuard<'_, HashMap<String, Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Login>>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    fn says(&self, other: &Self) -> bool {
        (&self.problem, self.token_expires_at) == (&other.problem, other.token_expires_at)
    }
}

/// A kind of backend.
pub(super) trait Backend:
    Resource<DynamicType = ()> + HasStatus<Status = BackendStatus> + Lookup<DynamicType = ()> + Clone + Serialize
{
    /// Returns what a Sync may use of it.
    fn spec(&self) -> SecretBackendSpec;

    /// Returns what was last said of those of this kind.
    fn statuses(standings: &BackendStandings) -> &Statuses<Self>;

    /// Tells whether one ServiceAccount that is not let in means that something is wrong with the backend.
    const IS_OF_ONE_TENANT: bool;
}

impl Backend for SecretBackend {
    fn spec(&self) -> SecretBackendSpec {
        self.spec.clone()
    }

    fn statuses(standings: &BackendStandings) -> &Statuses<Self> {
        &standings.own_statuses
    }

    const IS_OF_ONE_TENANT: bool = true;
}

impl Backend for ClusterSecretBackend {
    fn spec(&self) -> SecretBackendSpec {
        self.spec.clone().into()
    }

    fn statuses(standings: &BackendStandings) -> &Statuses<Self> {
        &standings.of_cluster_statuses
    }

    const IS_OF_ONE_TENANT: bool = false;
}

/// Looks at a backend, says what there is to say where it is something else than before, and returns when to look again.
pub(super) async fn reconcile<B: Backend>(backend: Option<Arc<B>>, context: Arc<Context>) -> Option<Duration> {
    let backend = backend.filter(|backend| backend.meta().deletion_timestamp.is_none())?;
    let (spec, generation) = (backend.spec(), backend.meta().generation);
    let uid = backend.meta().uid.as_deref().unwrap_or_default();
    let checked = match context.backends.looked_at(uid, generation) {
        Some(checked) => checked,
        None => {
            let came_to = check(&spec, &context.key_services).await;
            let looked = Looked { generation, at: Instant::now(), came_to: came_to.clone() };
            context.backends.looked().insert(uid.to_owned(), looked);
            came_to
        }
    };
    let logins = context.backends.listed(uid);
    let verdict = verdict(&spec, checked, &logins, B::IS_OF_ONE_TENANT);
    let now = Timestamp::now();
    let statuses = B::statuses(&context.backends);
    let before = statuses.latest(&backend);
    let mut status = BackendStatus { observed_generation: generation, logins, ..before.clone() };
    report::set_verdict(&mut status.conditions, &verdict, generation, now);
    if status != before {
        status.checked_at = Some(Time(report::whole_seconds(now)));
        match B::IS_OF_ONE_TENANT {
            true => report::publish(&context, &*backend, &before.conditions, &verdict).await,
            // An event about what is in no namespace would be one of the namespace `default`.
            false => tracing::info!(backend = backend.name_any(), reason = %verdict.reason, "{}", verdict.message),
        }
        // Where it doesn't stand, it is written when the backend is looked at again.
        drop(statuses.write(&context, &backend, status).await);
    }
    match verdict.ready {
        Status::True => Some(spec.refresh_interval.get().max(SHORTEST)),
        _ => Some(SHORTEST),
    }
}

fn verdict(
    spec: &SecretBackendSpec,
    checked: Result<(), Trouble>,
    logins: &[LoginStatus],
    is_of_one_tenant: bool,
) -> Verdict {
    let refused = logins.iter().filter(|_| is_of_one_tenant).find_map(|login| Some((login, login.problem.as_ref()?)));
    match (checked, refused) {
        (Err(trouble), _) => {
            let message = trouble.message.clone();
            Verdict::failed(&trouble, message)
        }
        (Ok(()), Some((LoginStatus { service_account, .. }, problem))) => {
            let fact = format!("ServiceAccount {service_account}: {problem}");
            let trouble = Trouble::passing(Reason::ReferenceDenied, fact, "see the status of the Syncs that use it");
            let message = trouble.message.clone();
            Verdict::failed(&trouble, message)
        }
        // One that wants a certificate is not asked without.
        (Ok(()), None) if spec.vault.as_ref().is_some_and(|vault| vault.auth.cert.is_none()) => {
            Verdict::ready(Reason::Usable, "The server answers".to_owned())
        }
        (Ok(()), None) => Verdict::ready(Reason::Usable, "The service is asked when a Sync needs it".to_owned()),
    }
}
