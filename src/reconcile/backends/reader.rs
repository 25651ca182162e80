//! Reads a backend, and what it names as the tenant, and says why that can't be used.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;
use waxwing_formats::reference::PathPattern;
use waxwing_keys::{KeyPattern, Origin};

use super::{FIELD, Tenant};
use crate::api::{AllowedNamespaces, BackendKind, ClusterSecretBackend, Reason, SecretBackend, SecretBackendSpec};
use crate::cluster::secrets::{self, Secret};
use crate::cluster::{CallError, labels_of_namespace, read_backend, read_cluster_backend};
use crate::reconcile::trouble::{Trouble, of_secret};

/// What helps against a pattern of keys that is none.
pub(super) const NO_KEY_PATTERN: &str =
    "write an ARN of AWS, a resource id of Google Cloud, keys/NAME of Azure, or ENGINE/keys/NAME of Vault";

/// What helps against a pattern of paths that is none.
pub(super) const NO_PATH_PATTERN: &str =
    "write a path with * or {namespace} for whole segments, such as secret/data/{namespace}/*";

/// What helps against a server that is not listed.
pub(super) const NO_ORIGIN: &str = "ask whoever runs the controller to add --backend-origin";

/// Reads one backend.
pub(super) struct Reader<'a> {
    pub(super) tenant: &'a Tenant<'a>,
    /// Which kind of backend it is.
    pub(super) kind: BackendKind,
    /// The backend's name.
    pub(super) name: &'a str,
}

/// A backend that a Sync names and may use.
pub(super) struct Named {
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) spec: SecretBackendSpec,
}

impl Reader<'_> {
    pub(super) async fn backend(&self) -> Result<Named, Trouble> {
        let Tenant { job, session, .. } = self.tenant;
        match self.kind {
            BackendKind::SecretBackend => {
                let backend = read_backend(&session.client, &job.account, self.name).await;
                let backend = backend.map_err(|error| self.unreadable(&error))?.ok_or_else(|| {
                    self.useless(&format!("{self} does not exist"), &format!("create it, or correct {FIELD}"))
                })?;
                let SecretBackend { metadata, spec, .. } = self.parsed(backend)?;
                Ok(named(&metadata, spec))
            }
            BackendKind::ClusterSecretBackend => {
                let backend = read_cluster_backend(&job.context.client, self.name).await;
                let backend = backend.map_err(|error| self.unreadable(&error))?.ok_or_else(|| self.not_for_us())?;
                let ClusterSecretBackend { metadata, spec, .. } = self.parsed(backend)?;
                self.check_namespace(&spec.allow.namespaces).await?;
                Ok(named(&metadata, spec.into()))
            }
        }
    }

    fn parsed<T: DeserializeOwned>(&self, backend: Value) -> Result<T, Trouble> {
        serde_json::from_value(backend).map_err(|_| {
            let hint = "install the definitions of this version, and write it anew";
            self.useless(&format!("{self} can't be read"), hint)
        })
    }

    async fn check_namespace(&self, allowed: &AllowedNamespaces) -> Result<(), Trouble> {
        let job = self.tenant.job;
        let labels = match allowed.match_labels.is_empty() {
            true => BTreeMap::new(),
            false => labels_of_namespace(&job.context.client, job.namespace())
                .await
                .map_err(|error| self.unreadable(&error))?,
        };
        if allowed.allow(job.namespace(), &labels) { Ok(()) } else { Err(self.not_for_us()) }
    }

    /// Does not say whether there is one that is for others.
    fn not_for_us(&self) -> Trouble {
        let fact = format!("there is no {self} that allows namespace {}", self.tenant.job.namespace());
        let hint = format!(
            "ask whoever runs the cluster to list the namespace in its spec.allow.namespaces, or correct {FIELD}"
        );
        Trouble::passing(Reason::KeyNotAllowed, fact, &hint)
    }

    /// Reads the patterns of the keys that it allows.
    pub(super) fn patterns(&self, spec: &SecretBackendSpec) -> Result<Vec<KeyPattern>, Trouble> {
        let patterns = spec.allow.keys.iter().map(|pattern| KeyPattern::parse(pattern));
        patterns
            .collect::<Result<_, _>>()
            .map_err(|error| self.useless(&format!("{self}, spec.allow.keys: {error}"), NO_KEY_PATTERN))
    }

    /// Reads the patterns of the secrets that it allows.
    pub(super) fn path_patterns(&self, spec: &SecretBackendSpec) -> Result<Vec<PathPattern>, Trouble> {
        let patterns = spec.allow.paths.iter().map(|pattern| pattern.parse::<PathPattern>());
        patterns
            .collect::<Result<_, _>>()
            .map_err(|error| self.useless(&format!("{self}, spec.allow.paths: {error}"), NO_PATH_PATTERN))
    }

    /// Reads where the backend leads to, which the controller's list must have.
    pub(super) fn origin(&self, address: &str) -> Result<Origin, Trouble> {
        let origin = address.parse::<Origin>().ok();
        origin.filter(|origin| self.tenant.key_services().origins.contains(origin)).ok_or_else(|| {
            let fact = format!("{self} leads to {address}, which is not among the controller's backend origins");
            Trouble::passing(Reason::KeyNotAllowed, fact, NO_ORIGIN)
        })
    }

    /// Reads a Secret that the backend names; it must have these entries.
    pub(super) async fn secret(&self, name: &str, entries: &[&str]) -> Result<Secret, Trouble> {
        let Tenant { job, session, .. } = self.tenant;
        let secret = secrets::read(&session.client, &session.identity, job.namespace(), name).await;
        let (field, reader) = (label(self.kind, self.name), format!("ServiceAccount {}", job.account));
        let secret = secret.map_err(|error| of_secret(error, &field, &reader))?;
        match entries.iter().find(|entry| !secret.data.contains_key(**entry)) {
            None => Ok(secret),
            Some(entry) => {
                let fact = format!("Secret {}/{name}, which {field} names, has no entry {entry}", job.namespace());
                Err(self.useless(&fact, "add the entry"))
            }
        }
    }

    /// Says that a field should have exactly one of what it can have; the API server holds that too.
    pub(super) fn incomplete(&self, field: &str) -> Trouble {
        self.useless(&format!("{self}: {field} does not say exactly one"), "set exactly one")
    }

    pub(super) fn useless(&self, fact: &str, hint: &str) -> Trouble {
        Trouble::passing(Reason::KeysUnavailable, fact, hint)
    }

    fn unreadable(&self, error: &CallError) -> Trouble {
        match error.is_forbidden() {
            true => {
                let hint = match self.kind {
                    BackendKind::SecretBackend => format!("let ServiceAccount {} get it", self.tenant.job.account),
                    BackendKind::ClusterSecretBackend => {
                        "ask whoever runs the controller to let it, by rbac.clusterSecretBackends of the chart"
                            .to_owned()
                    }
                };
                self.useless(&format!("failed to read {self}: {error}"), &hint)
            }
            false => Trouble::outage(Reason::ApiUnavailable, error, "it is tried again"),
        }
    }
}

impl std::fmt::Display for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&full_label(self.kind, self.tenant.job.namespace(), self.name))
    }
}

fn named(metadata: &ObjectMeta, spec: SecretBackendSpec) -> Named {
    Named { uid: metadata.uid.clone().unwrap_or_default(), generation: metadata.generation.unwrap_or_default(), spec }
}

/// Says which backend it is, to somebody who knows of which namespace.
pub(super) fn label(kind: BackendKind, name: &str) -> String {
    format!("{} {name}", word(kind))
}

/// Says which backend it is, to anybody.
pub(super) fn full_label(kind: BackendKind, namespace: &str, name: &str) -> String {
    match kind {
        BackendKind::SecretBackend => format!("{} {namespace}/{name}", word(kind)),
        BackendKind::ClusterSecretBackend => label(kind, name),
    }
}

/// Returns the name of a kind.
pub(super) const fn word(kind: BackendKind) -> &'static str {
    match kind {
        BackendKind::SecretBackend => "SecretBackend",
        BackendKind::ClusterSecretBackend => "ClusterSecretBackend",
    }
}
