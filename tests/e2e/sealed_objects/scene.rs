//! A cluster with the kind SealedSecret, a controller that reconciles it, and a namespace for each test.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use waxwing_harness::{Cluster, ClusterOptions, Controller, SealedSecretsController, Upstream, eventually};

use crate::stage::{Alone, PATIENCE, further_cluster, start_controller, workspace};

/// The namespace of the sealing keys, where the Sealed Secrets controller has them.
pub(super) const KEYS: &str = "kube-system";
pub(super) const KEY_LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
pub(super) const MANAGED: &str = "sealedsecrets.bitnami.com/managed";
pub(super) const PATCH: &str = "sealedsecrets.bitnami.com/patch";

/// A namespace of a test.
pub(super) struct Scene {
    pub(super) cluster: &'static Cluster,
    pub(super) namespace: String,
    pub(super) upstream: Upstream,
    certificate: PathBuf,
    pem: String,
}

/// Starts a controller that reconciles SealedSecrets.
pub(super) fn start(cluster: &'static Cluster, arguments: &[&str]) -> Controller {
    start_in(KEYS, cluster, arguments)
}

/// Starts one that has its keys in this namespace.
pub(super) fn start_in(namespace: &str, cluster: &'static Cluster, arguments: &[&str]) -> Controller {
    SealedSecretsController::install(cluster).unwrap();
    let all = [&["--namespace", namespace, "--sealed-secrets"], arguments].concat();
    start_controller(cluster, &all).unwrap()
}

/// Takes away what SealedSecrets tests before left in this cluster, and returns it: what counts key operations counts its own only.
pub(super) fn cleared(alone: &Alone) -> &'static Cluster {
    let cluster = alone.cluster();
    SealedSecretsController::install(cluster).unwrap();
    cluster.kubectl(&["delete", "sealedsecrets.bitnami.com", "--all", "--all-namespaces"]).unwrap();
    cluster
}

/// The cluster and controller that these tests share.
pub(super) fn shared() -> &'static (&'static Cluster, Controller) {
    static SHARED: OnceLock<(&'static Cluster, Controller)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let options = ClusterOptions { controller_manager: true, audit: true, ..ClusterOptions::default() };
        let cluster = further_cluster(options);
        (cluster, start(cluster, &[]))
    })
}

impl Scene {
    /// Makes a namespace in the shared cluster.
    pub(super) fn new(name: &str) -> Self {
        let (cluster, controller) = shared();
        Self::on(cluster, name, &controller.get("/v1/cert.pem").unwrap().1)
    }

    /// Makes a namespace in this cluster, whose sealing certificate is known.
    pub(super) fn on(cluster: &'static Cluster, name: &str, certificate: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster
            .apply_yaml(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string())
            .unwrap();
        let upstream = Upstream::new().unwrap();
        let path = upstream.home().join("cert.pem");
        std::fs::write(&path, certificate).unwrap();
        Self { cluster, namespace, upstream, certificate: path, pem: certificate.to_owned() }
    }

    /// Returns the certificate that is sealed with.
    pub(super) fn certificate(&self) -> &str {
        &self.pem
    }

    /// Seals a Secret with the real kubeseal; `secret` has what it has beside its name.
    pub(super) fn sealed(&self, name: &str, secret: &Value, more: &[&str]) -> Value {
        let mut whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}});
        merge(&mut whole, secret);
        merge(&mut whole, &json!({"metadata": {"name": name, "namespace": self.namespace}}));
        let seal = self.upstream.kubeseal(&["--cert", self.certificate.to_str().unwrap()]).unwrap().args(more);
        let mut sealed: Value = serde_json::from_str(&seal.stdin(whole.to_string()).text().unwrap()).unwrap();
        // Server-side apply takes no time of creation.
        sealed["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        sealed["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        sealed
    }

    /// Seals a Secret and applies the SealedSecret.
    pub(super) fn seal(&self, name: &str, secret: &Value) -> Value {
        let sealed = self.sealed(name, secret, &[]);
        self.apply(&sealed);
        sealed
    }

    pub(super) fn apply(&self, object: &Value) {
        self.cluster.apply_yaml(&object.to_string()).unwrap();
    }

    pub(super) fn secret_path(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace)
    }

    pub(super) fn sealed_path(&self, name: &str) -> String {
        format!("/apis/bitnami.com/v1alpha1/namespaces/{}/sealedsecrets/{name}", self.namespace)
    }

    /// Returns a Secret, if there is one.
    pub(super) fn secret(&self, name: &str) -> Option<Value> {
        match self.cluster.get(&self.secret_path(name)) {
            Err(failure) if failure.is_not_found() => None,
            found => Some(found.unwrap()),
        }
    }

    /// Waits until a Secret is as wanted, and returns it.
    pub(super) fn secret_is(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let attempt = || {
            let secret = self.secret(name).ok_or_else(|| format!("it is not there; {}", self.synced(name)))?;
            if wanted(&secret) { Ok(secret) } else { Err(format!("{secret}; {}", self.synced(name))) }
        };
        eventually(PATIENCE, what, attempt).unwrap()
    }

    /// Waits until the values of a Secret are these, as text.
    pub(super) fn values(&self, name: &str, expected: &[(&str, &str)]) -> Value {
        let expected: serde_json::Map<_, _> =
            expected.iter().map(|(key, value)| ((*key).to_owned(), base64(value))).collect();
        let expected = Value::Object(expected);
        self.secret_is(name, &expected.to_string(), |secret| secret["data"] == expected)
    }

    /// Returns the condition Synced of a SealedSecret, or null.
    pub(super) fn synced(&self, name: &str) -> Value {
        let object = self.cluster.get(&self.sealed_path(name)).unwrap_or_default();
        object["status"]["conditions"][0].clone()
    }

    /// Waits until a SealedSecret says of its present spec what is wanted, and returns it.
    pub(super) fn told(&self, name: &str, status: &str, wanted: impl Fn(&str) -> bool) -> Value {
        let attempt = || {
            let object = self.cluster.get(&self.sealed_path(name)).map_err(|failure| failure.to_string())?;
            let (told, synced) = (&object["status"], &object["status"]["conditions"][0]);
            let is_current = told["observedGeneration"] == object["metadata"]["generation"];
            let message = synced["message"].as_str().unwrap_or_default();
            match is_current && synced["status"] == status && wanted(message) {
                true => Ok(object),
                false => Err(told.to_string()),
            }
        };
        eventually(PATIENCE, &format!("{name} {status}"), attempt).unwrap()
    }

    /// Returns the message of a SealedSecret that fails.
    pub(super) fn refusal(&self, name: &str) -> String {
        let object = self.told(name, "False", |_| true);
        object["status"]["conditions"][0]["message"].as_str().unwrap().to_owned()
    }

    /// Returns the events about a SealedSecret as `type reason message`, oldest first.
    pub(super) fn events(&self, name: &str) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{}/events", self.namespace);
        let events = self.cluster.get(&path).unwrap()["items"].as_array().unwrap().clone();
        let about = events.into_iter().filter(|event| event["involvedObject"]["name"] == name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut about: Vec<_> = about.collect();
        about.sort_by_key(|event| text(&event["metadata"]["resourceVersion"]).parse::<u64>().unwrap());
        about.iter().map(|event| ["type", "reason", "message"].map(|field| text(&event[field])).join(" ")).collect()
    }

    /// Waits for an event about a SealedSecret that begins so.
    pub(super) fn event(&self, name: &str, beginning: &str) {
        let attempt = || {
            let events = self.events(name);
            if events.iter().any(|event| event.starts_with(beginning)) { Ok(()) } else { Err(events.join("\n")) }
        };
        eventually(PATIENCE, beginning, attempt).unwrap();
    }
}

/// Returns a file of the throw-away keys.
pub(super) fn fixture(name: &str) -> String {
    let folder = workspace().join("crates/formats/tests/fixtures/sealed_secret/keys");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// Puts a key and a certificate where sealing keys are.
pub(super) fn add_key(cluster: &Cluster, namespace: &str, name: &str, key: &str, certificate: &str) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace, "labels": {KEY_LABEL: "active"}},
        "data": {"tls.key": base64(key), "tls.crt": base64(certificate)}});
    cluster.apply_yaml(&secret.to_string()).unwrap();
}

/// Returns how many private-key operations a controller has made since its start.
pub(super) fn key_operations(controller: &Controller) -> u64 {
    let text = controller.get("/metrics").unwrap().1;
    let line = text.lines().find_map(|line| line.strip_prefix("waxwing_sealing_key_operations_total "));
    line.unwrap().parse().unwrap()
}

pub(super) fn base64(text: &str) -> Value {
    use base64::Engine;
    Value::from(base64::engine::general_purpose::STANDARD.encode(text))
}

/// Adds fields to an object.
pub(super) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}
