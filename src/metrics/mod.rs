//! What the controller counts and measures, for Prometheus.
//!
//! Every label is a word of a closed list, fixed when the controller was compiled, apart from the namespaces and names of
//! our own resources: so neither a secret, a key path nor an address can become one, and there are only so many series.
//! `docs/metrics.md` describes each metric, and a test holds the page to what is served. The text is OpenMetrics 1.0.
//!
//! What this is not: it knows no other room, reads no clock of its own accord, and decides nothing.

mod process;
mod sealed_objects;
mod standing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

pub use sealed_objects::SealedObjects;
pub use standing::{Kind, LeaseAges, Name, Settings, Standings, Verdict};

/// The type of the text that [`Metrics::text`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels of which both names and values stand in the source code.
type Closed<const N: usize> = [(&'static str, &'static str); N];

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectResult {
    /// It was created.
    Created,
    /// It was changed.
    Configured,
    /// It was as it should be.
    Unchanged,
    /// It was deleted.
    Deleted,
    /// It was left alone.
    Skipped,
    /// It could not be applied or deleted.
    Failed,
}

impl ObjectResult {
    const ALL: [Self; 6] =
        [Self::Created, Self::Configured, Self::Unchanged, Self::Deleted, Self::Skipped, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What happened to an object that somebody wrote over or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftAction {
    /// It was put back.
    Reverted,
    /// It was told and left, as the Sync wants it.
    Alerted,
    /// It was left for a while, since somebody writes over it again and again.
    Contested,
}

impl DriftAction {
    const ALL: [Self; 3] = [Self::Reverted, Self::Alerted, Self::Contested];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Alerted => "alerted",
            Self::Contested => "contested",
        }
    }
}

/// Labels of a request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    code: Code,
}

/// The status code of an answer; none where there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Code(Option<u16>);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.0 {
            Some(code) => EncodeLabelValue::encode(&code, encoder),
            None => EncodeLabelValue::encode(&"none", encoder),
        }
    }
}

/// Everything that is counted and measured. Not `Debug`: it would be long.
pub struct Metrics {
    registry: Registry,
    /// How each Sync and GitSource is, and which of them wait for their turn.
    pub standings: Arc<Standings>,
    syncs: Family<Closed<2>, Counter>,
    sync_duration: Family<Closed<1>, Histogram>,
    step_duration: Family<Closed<1>, Histogram>,
    objects: Family<Closed<1>, Counter>,
    drift: Family<Closed<1>, Counter>,
    commit_to_healthy: Histogram,
    fetches: Family<Closed<2>, Counter>,
    fetch_duration: Family<Closed<1>, Histogram>,
    renders: Family<Closed<2>, Counter>,
    render_duration: Family<Closed<1>, Histogram>,
    values: Family<Closed<1>, Counter>,
    unseal_duration: Family<Closed<1>, Histogram>,
    services: Family<Closed<2>, Counter>,
    service_duration: Family<Closed<1>, Histogram>,
    stores: Family<Closed<2>, Counter>,
    store_duration: Family<Closed<1>, Histogram>,
    logins: Family<Closed<2>, Counter>,
    login_duration: Family<Closed<1>, Histogram>,
    cache_hits: Family<Closed<1>, Counter>,
    requests: Family<Answered, Counter>,
    request_duration: Family<Closed<1>, Histogram>,
    queue_wait: Family<Closed<1>, Histogram>,
    key_operations: Counter,
    leader: Gauge,
    http_refused: Family<Closed<1>, Counter>,
    /// SealedSecrets in the cluster; served only where they are reconciled.
    pub sealed_objects: SealedObjects,
}

/// Where logins are counted: those that are shared and kept.
const LOGGED_IN_AT: [&str; 1] = ["Vault"];

/// What backends are not asked for again.
const KEPT: [&str; 3] = ["data-key", "token", "version"];

/// Why the HTTP interface doesn't go on with somebody.
const HTTP_REFUSALS: [&str; 4] = ["crowded", "slow-headers", "unread", "busy"];

impl Metrics {
    /// Starts with nothing counted, for a controller of this version.
    pub fn new(version: &'static str, key_services: &[&'static str], secret_stores: &[&'static str]) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process::started_now()));
        let build = Info::new([("version", version)]);
        registry.register("waxwing_build", "The version of the controller that answers", build);
        let standings = Arc::new(Standings::default());
        registry.register_collector(Box::new(standings.clone()));
        let mut own = Registration(&mut registry);
        let syncs = own.count("syncs", "Syncs that came to an end, whatever end");
        let sync_duration = own.time("sync_duration", "How long a sync took, from its turn to its status");
        let step_duration = own.time("step_duration", "How long a step of a sync took");
        let objects = own.count("objects", "Objects of syncs, by what became of them");
        let drift = own.count("drift", "Objects that somebody wrote over or deleted, by what was done about it");
        let fetches = own.count("git_fetches", "Questions to Git servers for the tip, and what came of them");
        let fetch_duration = own.time("git_fetch_duration", "How long a fetch took");
        let renders = own.count("renders", "Renders, made or remembered");
        let render_duration = own.time("render_duration", "How long a render took that was not remembered");
        let values = own.count("unsealed_values", "Sealed values that were opened and put into the body of a request");
        let unseal_duration = own.time("unseal_duration", "How long opening took in a sync that opened something");
        let services =
            own.count("key_service_requests", "Requests to key services for data keys, and what came of them");
        let service_duration = own.time("key_service_request_duration", "How long a key service took, with logging in");
        let stores =
            own.count("store_requests", "Versions and secrets that stores were asked for, and what came of it");
        let store_duration = own.time("store_request_duration", "How long a store took, with logging in");
        let logins = own.count("logins", "Logins at services that keep secrets or keys, and what came of them");
        let login_duration = own.time("login_duration", "How long a login took, with the token that it was made with");
        let help =
            "Data keys, tokens and versions of secrets that were known from before, so that no backend was asked";
        let cache_hits = own.count("cache_hits", help);
        let requests = own.count("api_requests", "Requests to the API server, with the code of the answer");
        let request_duration = own.fast("api_request_duration", "How long the API server took to begin its answer");
        let queue_wait = own.time("queue_wait", "How long a resource waited for its turn");
        let commit_to_healthy = own.long(
            "commit_to_healthy",
            "How long a new commit took from when it was fetched until the Sync was Ready with it",
        );
        let key_operations = Counter::default();
        let help = "Private-key operations with the cluster's sealing keys";
        registry.register("waxwing_sealing_key_operations", help, key_operations.clone());
        let leader = Gauge::default();
        registry.register("waxwing_leader", "1 while this controller leads, and so may write", leader.clone());
        let help = "Connections to the HTTP interface that were closed, and requests that were turned away at once";
        let http_refused = Family::<Closed<1>, Counter>::default();
        registry.register("waxwing_http_refused", help, http_refused.clone());
        HTTP_REFUSALS.iter().for_each(|reason| start(&http_refused, [("reason", *reason)]));
        ObjectResult::ALL.iter().for_each(|result| start(&objects, [("result", result.as_str())]));
        for service in key_services {
            drop(services.get_or_create(&[("service", *service), ("outcome", "unwrapped")]));
            drop(service_duration.get_or_create(&[("service", *service)]));
        }
        for store in secret_stores {
            drop(stores.get_or_create(&[("store", *store), ("outcome", "read")]));
            drop(store_duration.get_or_create(&[("store", *store)]));
        }
        for service in LOGGED_IN_AT {
            drop(logins.get_or_create(&[("service", service), ("outcome", "logged-in")]));
            drop(login_duration.get_or_create(&[("service", service)]));
        }
        KEPT.iter().for_each(|kept| start(&cache_hits, [("kept", *kept)]));
        DriftAction::ALL.iter().for_each(|action| start(&drift, [("action", action.as_str())]));
        Self {
            registry,
            standings,
            syncs,
            sync_duration,
            step_duration,
            objects,
            drift,
            commit_to_healthy,
            fetches,
            fetch_duration,
            renders,
            render_duration,
            values,
            unseal_duration,
            services,
            service_duration,
            stores,
            store_duration,
            logins,
            login_duration,
            cache_hits,
            requests,
            request_duration,
            queue_wait,
            key_operations,
            leader,
            http_refused,
            sealed_objects: SealedObjects::default(),
        }
    }

    /// Has what is counted of SealedSecrets in the cluster served as well, each by its name or without naming any.
    pub fn with_sealed_objects(mut self, version: &'static str, names: bool) -> Self {
        self.sealed_objects.register(&mut self.registry, version, names);
        self
    }

    /// Notes how many private-key operations there were since the start.
    pub fn sealing_key_operations(&self, count: u64) {
        self.key_operations.inner().fetch_max(count, Ordering::Relaxed);
    }

    /// Notes whether this controller leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Measures how long a resource waited for its turn.
    pub fn waited(&self, kind: Kind, waited: Duration) {
        observe(&self.queue_wait, ("kind", kind.as_str()), waited);
    }

    /// Counts a sync that ended as `verdict` says.
    pub fn sync(&self, verdict: Verdict, took: Duration) {
        let outcome = verdict.outcome();
        self.syncs.get_or_create(&[("outcome", outcome), ("reason", verdict.reason)]).inc();
        observe(&self.sync_duration, ("outcome", outcome), took);
    }

    /// Measures one step of a sync.
    pub fn step(&self, step: &'static str, took: Duration) {
        observe(&self.step_duration, ("step", step), took);
    }

    /// Counts objects.
    pub fn objects(&self, result: ObjectResult, count: u64) {
        self.objects.get_or_create(&[("result", result.as_str())]).inc_by(count);
    }

    /// Counts objects that others wrote over or deleted.
    pub fn drift(&self, action: DriftAction, count: u64) {
        self.drift.get_or_create(&[("action", action.as_str())]).inc_by(count);
    }

    /// Measures how long a commit took to become healthy.
    pub fn healthy(&self, took: Duration) {
        self.commit_to_healthy.observe(took.as_secs_f64());
    }

    /// Counts a fetch; `result` is `new`, `unchanged` or `failed`.
    pub fn fetch(&self, result: &'static str, reason: &'static str, took: Duration) {
        self.fetches.get_or_create(&[("result", result), ("reason", reason)]).inc();
        observe(&self.fetch_duration, ("result", result), took);
    }

    /// Counts a render that was made, or failed.
    pub fn render(&self, renderer: &'static str, rendered: bool, took: Duration) {
        let result = if rendered { "rendered" } else { "failed" };
        self.renders.get_or_create(&[("renderer", renderer), ("result", result)]).inc();
        observe(&self.render_duration, ("renderer", renderer), took);
    }

    /// Counts a render that did not have to be made.
    pub fn render_remembered(&self, renderer: &'static str) {
        self.renders.get_or_create(&[("renderer", renderer), ("result", "cached")]).inc();
    }

    /// Counts values that were opened, and how long that took.
    pub fn unsealed(&self, scheme: &'static str, values: u64, took: Duration) {
        self.values.get_or_create(&[("scheme", scheme)]).inc_by(values);
        observe(&self.unseal_duration, ("scheme", scheme), took);
    }

    /// Counts a request to a key service for one or more data keys; `outcome` is `unwrapped` or the word of a
    /// [`ServiceError`](waxwing_keys::ServiceError).
    pub fn asked_service(&self, service: &'static str, outcome: &'static str, took: Duration) {
        self.services.get_or_create(&[("service", service), ("outcome", outcome)]).inc();
        observe(&self.service_duration, ("service", service), took);
    }

    /// Counts what a secret store was asked for; `outcome` is `version`, `read`, or the word of a
    /// [`StoreError`](waxwing_keys::StoreError).
    pub fn asked_store(&self, store: &'static str, outcome: &'static str, took: Duration) {
        self.stores.get_or_create(&[("store", store), ("outcome", outcome)]).inc();
        observe(&self.store_duration, ("store", store), took);
    }

    /// Counts a login whose token is kept for a while; `outcome` is `logged-in` or the word of a
    /// [`ServiceError`](waxwing_keys::ServiceError).
    pub fn logged_in(&self, service: &'static str, outcome: &'static str, took: Duration) {
        self.logins.get_or_create(&[("service", service), ("outcome", outcome)]).inc();
        observe(&self.login_duration, ("service", service), took);
    }

    /// Counts what was known from before: a `data-key`, a `token`, or the `version` of a secret.
    pub fn was_kept(&self, kept: &'static str, count: usize) {
        self.cache_hits.get_or_create(&[("kept", kept)]).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts a request to the API server; `code` is none where there was no answer.
    pub fn request(&self, verb: &'static str, code: Option<u16>, took: Duration) {
        self.requests.get_or_create(&Answered { verb, code: Code(code) }).inc();
        observe(&self.request_duration, ("verb", verb), took);
    }

    /// Counts a connection to the HTTP interface that was closed, or a request that was turned away before anything of it was read.
    pub fn http_refused(&self, reason: &'static str) {
        self.http_refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Writes everything as OpenMetrics text.
    ///
    /// # Errors
    ///
    /// Fails when a metric can't be written, which a `String` never is the reason of.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn start(family: &Family<Closed<1>, Counter>, labels: Closed<1>) {
    drop(family.get_or_create(&labels));
}

fn observe(family: &Family<Closed<1>, Histogram>, label: (&'static str, &'static str), took: Duration) {
    family.get_or_create(&[label]).observe(took.as_secs_f64());
}

/// Gives metrics their names: all of them begin with `waxwing_`, and times end in `_seconds`.
struct Registration<'a>(&'a mut Registry);

impl Registration<'_> {
    fn count<L>(&mut self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + std::hash::Hash + Eq + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = Family::<L, Counter>::default();
        self.0.register(format!("waxwing_{name}"), help, family.clone());
        family
    }

    /// Measures what takes from milliseconds to minutes.
    fn time(&mut self, name: &str, help: &str) -> Family<Closed<1>, Histogram> {
        self.seconds(
            name,
            help,
            Family::new_with_constructor(|| Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])),
        )
    }

    /// Measures what takes from milliseconds to seconds.
    fn fast(&mut self, name: &str, help: &str) -> Family<Closed<1>, Histogram> {
        self.seconds(
            name,
            help,
            Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
            }),
        )
    }

    /// Measures what takes from seconds to an hour.
    fn long(&mut self, name: &str, help: &str) -> Histogram {
        self.seconds(
            name,
            help,
            Histogram::new([0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0]),
        )
    }

    fn seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(format!("waxwing_{name}"), help, Unit::Seconds, metric.clone());
        metric
    }
}
