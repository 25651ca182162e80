//! Proves that key services open SOPS files only through backends that allow it, as the tenant, and that nothing is lost while they
//! are away. What all of these tests need is here; the services themselves are in the files below.

mod batches;
mod cloud_references;
mod clouds;
mod clusters;
mod freshness;
mod leases;
mod logins;
mod pages;
mod references;
mod services;
mod vault;

use serde_json::Value;
use waxwing_harness::{Controller, eventually};

use crate::act::message;
use crate::stage::{Alone, PATIENCE, Stage, condition};
use crate::watched::Needles;

const PASSWORD: &str = "kind: Secret\napiVersion: v1\nmetadata: {name: NAME}\nstringData: {password: VALUE}\n";

/// A tenant, and a controller that writes down all it can, on a cluster of their own.
struct World {
    stage: Stage,
    controller: Controller,
    _alone: Alone,
}

impl World {
    /// Writes a SecretBackend; `spec` is YAML in one line.
    fn backend(&self, name: &str, spec: &str) {
        let namespace = &self.stage.namespace;
        let head = format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        );
        self.stage.cluster.apply_yaml(&format!("{head}spec: {spec}\n")).unwrap();
    }

    /// Makes a ServiceAccount that may read the tenant's key and nothing else.
    fn admit_guest(&self) {
        self.stage.kubectl(&["create", "serviceaccount", "guest"]).unwrap();
        self.allow_guest("keys", &["--verb=get", "--resource=secrets"]);
    }

    fn allow_guest(&self, role: &str, rights: &[&str]) {
        let create = [["create", "role", role].as_slice(), rights].concat();
        self.stage.kubectl(&create).unwrap();
        let account = format!("--serviceaccount={}:guest", self.stage.namespace);
        self.stage.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), &account]).unwrap();
    }

    /// Returns how often a service was asked, with this outcome.
    fn asked(&self, service: &str, outcome: &str) -> u64 {
        self.counted(&format!("waxwing_key_service_requests_total{{service=\"{service}\",outcome=\"{outcome}\"}} "))
    }

    /// Returns how often a store was asked, with this outcome.
    fn asked_store(&self, store: &str, outcome: &str) -> u64 {
        self.counted(&format!("waxwing_store_requests_total{{store=\"{store}\",outcome=\"{outcome}\"}} "))
    }

    /// Returns how often something was known from before.
    fn kept(&self, what: &str) -> u64 {
        self.counted(&format!("waxwing_cache_hits_total{{kept=\"{what}\"}} "))
    }

    /// Returns the count that this line of the metrics begins with.
    fn counted(&self, start: &str) -> u64 {
        let (_, page) = self.controller.get("/metrics").unwrap();
        page.lines().find_map(|line| line.strip_prefix(start)?.parse().ok()).unwrap_or_default()
    }

    fn never_asked(&self) {
        let (_, page) = self.controller.get("/metrics").unwrap();
        let asked: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("waxwing_store_requests_total{") && !line.ends_with(" 0"))
            .collect();
        assert!(asked.is_empty(), "a store was asked: {asked:?}");
    }

    fn value_is(&self, secret: &str, key: &str, wanted: &str) {
        let found = || match self.stage.secret_value(secret, key) {
            Some(value) if value == wanted => Ok(()),
            other => Err(format!(
                "{key} of {secret} is {other:?}; {}",
                condition(&self.stage.get("sync/app").unwrap(), "Ready")
            )),
        };
        eventually(PATIENCE, "the value arrives", found).unwrap();
    }

    /// Waits until the Sync fails for a reason, and returns its failures as text.
    fn fails(&self, reason: &str) -> String {
        let sync = self.stage.sync_is(reason, |sync| condition(sync, "Ready")["reason"] == reason);
        let failures = sync["status"]["failures"].as_array().cloned().unwrap_or_default();
        let text = |failure: &Value, field: &str| failure[field].as_str().unwrap_or_default().to_owned();
        let mut lines: Vec<String> = failures
            .iter()
            .map(|failure| {
                format!("{} {}: {}", text(failure, "object"), text(failure, "reason"), text(failure, "message"))
            })
            .collect();
        lines.sort();
        lines.join("\n").replace(&self.stage.namespace, "NS")
    }

    /// Looks for what nobody may learn in all that the controller wrote, at the level TRACE.
    fn told_nothing(&self, needles: &[&str]) {
        let log = self.controller.log();
        assert!(log.contains("TRACE"), "the log has nothing of that level");
        let mut all_forms = Needles::default();
        for needle in needles {
            assert!(!log.contains(needle), "{needle} is in the log");
            // What is shorter is the beginning of something, as of a token.
            if needle.len() >= 16 {
                all_forms.add(needle, needle.as_bytes());
            }
        }
        assert_eq!(all_forms.find(log.as_bytes()), [], "something is in the log in another form");
    }

    /// Waits until the Sync refuses a commit for a reason and in these words.
    fn waits_for(&self, commit: &str, reason: &str, words: &[&str]) {
        let revision = format!("main@sha1:{commit}");
        let refused = self.stage.sync_is(&format!("{reason} with {words:?}"), |sync| {
            let ready = condition(sync, "Ready");
            sync["status"]["lastAttemptedRevision"] == revision.as_str()
                && ready["reason"] == reason
                && words.iter().all(|word| ready["message"].as_str().unwrap_or_default().contains(word))
        });
        let told = message(&refused);
        assert!(!told.contains("hunter"), "{told}");
    }
}
