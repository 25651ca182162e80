//! Proves that of several controllers one writes, that another takes over when it ends, whichever way, and that one that stood still
//! meanwhile writes nothing more.
//!
//! These tests share a cluster, and each has a namespace of its own for the lease and the keys, so that they don't see each other. Every
//! controller is a user of its own, so that the audit log says who wrote.

mod fencing;
mod lease;
mod sharing;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use waxwing_harness::{Cluster, ClusterOptions, Controller, ControllerOptions, SealedSecretsController, eventually};

use crate::stage::{PATIENCE, Stage, further_cluster};

/// A lease that is not waited for long.
const QUICK: [&str; 3] = ["--lease-duration=6s", "--lease-renew-deadline=4s", "--lease-retry-period=1s"];
/// One that no test could wait for.
const LASTING: [&str; 3] = ["--lease-duration=60m", "--lease-renew-deadline=50m", "--lease-retry-period=1s"];

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<&'static Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = further_cluster(ClusterOptions { audit: true, ..ClusterOptions::default() });
        SealedSecretsController::install(cluster).unwrap();
        cluster
    })
}

/// Controllers that share the work on one tenant.
struct Scene {
    cluster: &'static Cluster,
    stage: Stage,
    /// The namespace of their lease and keys.
    system: String,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::on(cluster(), name)
    }

    fn on(cluster: &'static Cluster, name: &str) -> Self {
        let stage = Stage::on(cluster, name);
        let system = format!("{}-system", stage.namespace);
        cluster.kubectl(&["create", "namespace", &system]).unwrap();
        Self { cluster, stage, system }
    }

    /// Returns how to start a controller that is this user.
    fn options(&self, user: &str, arguments: &[&str]) -> ControllerOptions {
        let own = ["--allow-file-sources", "--sealed-secrets", "--rate-limit=1000", "--key-size=2048"];
        let namespaces =
            [&format!("--namespace={}", self.system), &format!("--watch-namespaces={}", self.stage.namespace)];
        let all: Vec<&str> =
            own.into_iter().chain(namespaces.map(String::as_str)).chain(arguments.iter().copied()).collect();
        let options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &all);
        ControllerOptions { kubeconfig: Some(self.user(user)), ..options }
    }

    /// Starts a controller as this user, and waits until it is ready, whether it leads or follows.
    fn start(&self, user: &str, arguments: &[&str]) -> Controller {
        Controller::start(self.cluster, self.options(user, arguments)).unwrap()
    }

    /// Lets a user do everything, and returns a kubeconfig for it.
    fn user(&self, user: &str) -> PathBuf {
        let name = self.name(user);
        let metadata = json!({"name": name});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
        let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": role, "subjects": [subject]});
        self.cluster.apply_yaml(&binding.to_string()).unwrap();
        self.cluster.kubeconfig_as(&name).unwrap()
    }

    fn name(&self, user: &str) -> String {
        format!("{}-{user}", self.stage.namespace)
    }

    fn lease_path(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/waxwing", self.system)
    }

    fn lease(&self) -> Value {
        self.cluster.get(&self.lease_path()).map_or(Value::Null, |lease| lease["spec"].clone())
    }

    fn holder(&self) -> String {
        self.lease()["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    /// Changes the lease by hand.
    fn edit(&self, spec: &Value) {
        self.cluster.merge(&self.lease_path(), &json!({"spec": spec})).unwrap();
    }

    /// Waits until the lease has another holder than this one, and returns who that is.
    fn holder_after(&self, before: &str) -> String {
        let attempt = || {
            let holder = self.holder();
            if holder.is_empty() || holder == before { Err(self.lease().to_string()) } else { Ok(holder) }
        };
        eventually(PATIENCE, "another holder of the lease", attempt).unwrap()
    }

    /// Commits a ConfigMap with this value, and waits until it is applied.
    fn commit(&self, value: &str) {
        let commit = self.stage.commit(&[("app/settings.yaml", &crate::act::config_map("settings", value))]);
        self.stage.applied(&commit);
    }

    /// Seals a Secret with what a controller has to seal with, and creates the SealedSecret.
    fn seal(&self, name: &str, controller: &Controller) -> Value {
        let certificate = crate::stage::certificate_of(controller, &self.stage);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.stage.namespace},
            "stringData": {"a": "1"}});
        let seal = self.stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap()]).unwrap();
        let mut sealed: Value = serde_json::from_str(&seal.stdin(secret.to_string()).text().unwrap()).unwrap();
        sealed["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        sealed["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        self.cluster.apply_yaml(&sealed.to_string()).unwrap();
        sealed
    }

    /// Waits until there is a Secret with the value that was sealed.
    fn opened(&self, name: &str) {
        let attempt = || match self.stage.secret_value(name, "a").as_deref() {
            Some("1") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually(PATIENCE, "what was sealed", attempt).unwrap();
    }

    /// Returns what a user wrote, but for the lease and what is told about it, in the order in which the API server was asked.
    fn writes(&self, user: &str) -> Vec<String> {
        let name = self.name(user);
        let log = self.cluster.audit_log().unwrap();
        let own = log.iter().filter(|event| event["user"]["username"] == *name);
        own.filter_map(written).collect()
    }
}

/// Describes a request that changes something other than a lease.
fn written(event: &Value) -> Option<String> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let [verb, resource, about] = ["/verb", "/objectRef/resource", "/objectRef/name"].map(text);
    let reads = ["get", "list", "watch"].contains(&verb) || resource.ends_with("reviews");
    let is_about_lease = resource == "leases" || (resource == "events" && about.starts_with("waxwing."));
    (!reads && !is_about_lease).then(|| format!("{verb} {resource}/{about}"))
}

/// Tells whether a controller says that it leads.
fn leads(controller: &Controller) -> bool {
    let (status, text) = controller.get("/metrics").unwrap();
    assert_eq!(status, 200);
    text.contains("\nwaxwing_leader 1\n")
}

/// Waits until a controller has logged this so often.
fn says(controller: &Controller, what: &str, times: usize) {
    let attempt = || match controller.log().matches(what).count() {
        count if count >= times => Ok(()),
        _ => Err(controller.log()),
    };
    eventually(PATIENCE, what, attempt).unwrap();
}

/// How long something is watched that is not to happen: twice as long as a quick lease is good for.
const LONG_ENOUGH: Duration = Duration::from_secs(12);
