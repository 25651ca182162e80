//! SealedSecrets in the cluster, under the names and labels of the Sealed Secrets controller (`pkg/controller/metrics.go` of
//! sealed-secrets 0.40), so that its dashboards and alerts go on working.
//!
//! Beside words of closed lists these labels are namespaces, names and the label `app.kubernetes.io/instance` of SealedSecrets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Name;

/// What the names of all of them begin with.
const PREFIX: &str = "sealed_secrets_controller";
/// The buckets that clients of Prometheus have where nothing is said, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    reason: &'static str,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    path: &'static str,
    code: u16,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    path: &'static str,
    method: &'static str,
}

/// What Synced says of a SealedSecret, and of which application it is.
#[derive(Clone, Debug)]
struct Condition {
    instance: String,
    synced: bool,
}

#[derive(Clone, Debug, Default)]
struct Conditions(Arc<Mutex<BTreeMap<Name, Condition>>>);

/// What is counted of SealedSecrets in the cluster.
pub struct SealedObjects {
    requests: Counter,
    failures: Family<Failure, Counter>,
    conditions: Conditions,
    answers: Family<Request, Counter>,
    durations: Family<Timed, Histogram>,
}

impl Default for SealedObjects {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            failures: Family::default(),
            conditions: Conditions::default(),
            answers: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl SealedObjects {
    /// Has all of it served, for a controller of this version.
    pub(super) fn register(&self, registry: &mut Registry, version: &'static str, names: bool) {
        let build = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        build.get_or_create(&[("revision", version)]).set(1);
        registry.register(format!("{PREFIX}_build_info"), "Version of the controller", build);
        let help = "How often a SealedSecret was looked at";
        registry.register(format!("{PREFIX}_unseal_requests"), help, self.requests.clone());
        let help = "SealedSecrets that could not be done, by reason and namespace";
        registry.register(format!("{PREFIX}_unseal_errors"), help, self.failures.clone());
        if names {
            registry.register_collector(Box::new(self.conditions.clone()));
        }
        let help = "Answers to HTTP requests about SealedSecrets";
        registry.register(format!("{PREFIX}_http_requests"), help, self.answers.clone());
        let help = "How long such an answer took";
        registry.register(format!("{PREFIX}_http_request_duration_seconds"), help, self.durations.clone());
    }

    /// Counts a look at a SealedSecret.
    pub fn asked(&self) {
        self.requests.inc();
    }

    /// Counts a SealedSecret that could not be done; `reason` is a word of upstream's.
    pub fn failed(&self, reason: &'static str, namespace: &str) {
        self.failures.get_or_create(&Failure { reason, namespace: namespace.to_owned() }).inc();
    }

    /// Notes what Synced says.
    pub fn observe(&self, namespace: &str, name: &str, instance: &str, synced: bool) {
        let name = Name { namespace: namespace.to_owned(), name: name.to_owned() };
        self.conditions.all().insert(name, Condition { instance: instance.to_owned(), synced });
    }

    /// Forgets all but those that `is_there` knows.
    pub fn keep(&self, is_there: impl Fn(&Name) -> bool) {
        self.conditions.all().retain(|name, _| is_there(name));
    }

    /// Counts an answer; `path` and `method` are words of closed lists.
    pub fn answered(&self, path: &'static str, method: &'static str, code: u16, took: Duration) {
        self.answers.get_or_create(&Request { path, code, method }).inc();
        self.durations.get_or_create(&Timed { path, method }).observe(took.as_secs_f64());
    }
}

impl Conditions {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Condition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Conditions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "What Synced says of a SealedSecret: 1 true, -1 false.";
        let name = format!("{PREFIX}_condition_info");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (Name { namespace, name }, condition) in self.all().iter() {
            let labels = [
                ("namespace", namespace.as_str()),
                ("name", name.as_str()),
                ("condition", "Synced"),
                ("ss_app_kubernetes_io_instance", condition.instance.as_str()),
            ];
            let value = if condition.synced { 1_i64 } else { -1 };
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
