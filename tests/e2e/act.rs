//! What tests do to a tenant and its Sync once they are there: ask for a sync, change the spec, take rights, read events.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use waxwing_harness::eventually;

use crate::stage::{PATIENCE, Stage, condition};

/// Returns a ConfigMap with one entry.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {value}}}\n")
}

impl Stage {
    /// Asks for a sync now, waits until it was made, and returns the Sync.
    pub(crate) fn request(&self) -> Value {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let stamp = format!("request-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let request = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": stamp}}});
        self.cluster.merge(&self.path("sync/app").unwrap(), &request).unwrap();
        self.sync_is("the request handled", |sync| sync["status"]["lastHandledRequestedAt"] == stamp.as_str())
    }

    /// Waits until the source has `commit`.
    pub(crate) fn fetched(&self, commit: &str) {
        let attempt = || {
            let source = self.get("gitsource/fleet").map_err(|failure| failure.to_string())?;
            if source["status"]["commit"] == commit { Ok(()) } else { Err(source["status"].to_string()) }
        };
        eventually(PATIENCE, "the source has the commit", attempt).unwrap();
    }

    /// Waits until `commit` was tried and Ready is false for `reason`, and returns the Sync.
    pub(crate) fn refused(&self, commit: &str, reason: &str) -> Value {
        let revision = format!("main@sha1:{commit}");
        self.sync_is(reason, |sync| {
            let ready = condition(sync, "Ready");
            sync["status"]["lastAttemptedRevision"] == revision.as_str()
                && ready["status"] == "False"
                && ready["reason"] == reason
        })
    }

    /// Waits until the Sync is as `wanted` says, and returns it.
    pub(crate) fn sync_is(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let attempt = || {
            let sync = self.get("sync/app").map_err(|failure| failure.to_string())?;
            if wanted(&sync) { Ok(sync) } else { Err(format!("the status is {:#}", sync["status"])) }
        };
        eventually(PATIENCE, what, attempt).unwrap()
    }

    /// Changes the Sync's spec by a JSON merge patch.
    pub(crate) fn patch_spec(&self, spec: &str) {
        let spec: Value = serde_json::from_str(spec).unwrap();
        self.cluster.merge(&self.path("sync/app").unwrap(), &json!({"spec": spec})).unwrap();
    }

    /// Removes files from the repository and commits that; returns the commit.
    pub(crate) fn remove(&self, paths: &[&str]) -> String {
        paths.iter().for_each(|path| self.repo.remove(path).unwrap());
        let commit = self.repo.commit("removal").unwrap();
        self.announce(&commit);
        commit
    }

    /// Tells whether there is such an object, such as `configmap/settings`, or any of a kind, such as `inventories`.
    pub(crate) fn has(&self, object: &str) -> bool {
        let Some(path) = self.path(object) else {
            return !self.kubectl(&["get", object, "--ignore-not-found", "--output=name"]).unwrap().is_empty();
        };
        match self.cluster.get(&path) {
            Err(failure) if failure.is_not_found() => false,
            found => found.unwrap()["items"].as_array().is_none_or(|items| !items.is_empty()),
        }
    }

    /// Waits until there is no such object.
    pub(crate) fn gone(&self, object: &str) {
        let attempt = || if self.has(object) { Err("it is still there") } else { Ok(()) };
        eventually(PATIENCE, &format!("{object} gone"), attempt).unwrap();
    }

    /// Lets the tenant's ServiceAccount do everything in the whole cluster.
    pub(crate) fn make_administrator(&self) {
        let account = format!("--serviceaccount={}:deployer", self.namespace);
        let binding = ["create", "clusterrolebinding", &self.namespace, "--clusterrole=cluster-admin", &account];
        self.kubectl(&binding).unwrap();
    }

    /// Makes a ServiceAccount that may do `verbs` with `resources` of the tenant's namespace.
    pub(crate) fn account(&self, name: &str, verbs: &str, resources: &str) {
        self.kubectl(&["create", "serviceaccount", name]).unwrap();
        self.grant(name, verbs, resources);
    }

    /// Gives a ServiceAccount of the tenant's namespace a right there.
    pub(crate) fn grant(&self, account: &str, verbs: &str, resources: &str) {
        let role = format!("{account}-{}", resources.replace(',', "-"));
        let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
        self.kubectl(&["create", "role", &role, &verbs, &resources]).unwrap();
        let subject = format!("--serviceaccount={}:{account}", self.namespace);
        self.kubectl(&["create", "rolebinding", &role, &format!("--role={role}"), &subject]).unwrap();
    }

    /// Returns the events about the Sync, as `type reason note`, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        self.events_about("Sync", "app")
    }

    /// Returns the events about an object, oldest first, as `TYPE REASON MESSAGE`.
    pub(crate) fn events_about(&self, kind: &str, name: &str) -> Vec<String> {
        let about = format!("involvedObject.kind%3D{kind}%2CinvolvedObject.name%3D{name}");
        let path = format!("/api/v1/namespaces/{}/events?fieldSelector={about}", self.namespace);
        let mut events = self.cluster.get(&path).unwrap()["items"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events.sort_by_key(|event| text(&event["metadata"]["resourceVersion"]).parse::<u64>().unwrap());
        let told = events.iter().map(|event| ["type", "reason", "message"].map(|field| text(&event[field])).join(" "));
        told.collect()
    }

    /// Waits for an event about the Sync that begins so, and returns it.
    pub(crate) fn event(&self, beginning: &str) -> String {
        let attempt = || {
            let events = self.events();
            let found = events.iter().find(|event| event.starts_with(beginning)).cloned();
            found.ok_or_else(|| events.join("\n"))
        };
        eventually(PATIENCE, beginning, attempt).unwrap()
    }
}

/// Returns the message of a Sync's Ready.
pub(crate) fn message(sync: &Value) -> String {
    condition(sync, "Ready")["message"].as_str().unwrap_or_default().to_owned()
}

/// Returns the objects that a Sync's status lists as wrong.
pub(crate) fn failing(sync: &Value) -> Vec<String> {
    let failures = sync["status"]["failures"].as_array().into_iter().flatten();
    failures.map(|failure| failure["object"].as_str().unwrap_or_default().to_owned()).collect()
}
