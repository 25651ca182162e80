//! Whether the backends that stand in a tree allow what the references in it lead to. Nobody is asked: neither a cluster, which may have other
//! backends, nor a store, which may lack the secret.

use serde::Serialize;
use serde_json::Value;
use waxwing_formats::reference::{PathPattern, SecretPath, StoreKind};

use super::report::{Entry, Report, What};
use crate::verify::Place;

const OF_NAMESPACE: &str = "SecretBackend";
const OF_CLUSTER: &str = "ClusterSecretBackend";

/// A SecretBackend or ClusterSecretBackend in the tree.
pub(super) struct Backend {
    place: Place,
    kind: &'static str,
    name: String,
    namespace: Option<String>,
    /// The namespaces that may use it, where that is known here: labels of namespaces are not.
    users: Option<Vec<String>>,
    patterns: Result<Vec<PathPattern>, String>,
}

/// Why a reference would not be resolved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refused {
    pub(super) error: &'static str,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Backend {
    /// Reads a document if it is a backend.
    pub(super) fn of(document: &Value, place: Place) -> Option<Self> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let is_ours = text("/apiVersion")?.starts_with("waxwing.dev/");
        let kind = [OF_NAMESPACE, OF_CLUSTER].into_iter().find(|kind| is_ours && text("/kind") == Some(kind))?;
        let name = text("/metadata/name")?.to_owned();
        let paths = document.pointer("/spec/allow/paths").and_then(Value::as_array).cloned().unwrap_or_default();
        let pattern = |path: &Value| match path.as_str() {
            Some(path) => path.parse::<PathPattern>().map_err(|error| error.to_string()),
            None => Err("a pattern of paths is no text".to_owned()),
        };
        let patterns = paths.iter().map(pattern).collect();
        let namespace = text("/metadata/namespace").filter(|_| kind == OF_NAMESPACE).map(str::to_owned);
        let allowed = document.pointer("/spec/allow/namespaces").filter(|_| kind == OF_CLUSTER);
        let names = |allowed: &Value| -> Vec<String> {
            let names = allowed.get("names").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let users = allowed.filter(|allowed| allowed.get("matchLabels").is_none()).map(names);
        Some(Self { place, kind, name, namespace, users, patterns })
    }

    /// Tells whether it is of this namespace, or may be.
    fn may_be_in(&self, namespace: Option<&str>) -> bool {
        match (&self.namespace, namespace) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        }
    }

    fn allows(&self, path: &SecretPath, namespace: Option<&str>) -> bool {
        // No namespace has this name, so that without one only what does not depend on it is allowed.
        let namespace = self.namespace.as_deref().or(namespace).unwrap_or_default();
        self.patterns.as_ref().is_ok_and(|patterns| patterns.iter().any(|pattern| pattern.allows(path, namespace)))
    }

    /// Tells whether Syncs of this namespace may not use it, whatever the path.
    fn is_not_for(&self, namespace: Option<&str>) -> bool {
        match (&self.users, namespace) {
            (Some(users), Some(namespace)) => !users.iter().any(|user| user == namespace),
            _ => false,
        }
    }

    fn needs_namespace(&self) -> bool {
        self.namespace.is_none()
            && self.patterns.as_ref().is_ok_and(|all| all.iter().any(|one| one.to_string().contains("{namespace}")))
    }
}

impl Report {
    /// Holds each reference against the backends of the tree, for Syncs of a namespace.
    pub(crate) fn check(mut self, namespace: Option<&str>) -> Self {
        let backends = std::mem::take(&mut self.backends);
        for entry in &mut self.found {
            entry.refused = refused(entry, &backends, namespace);
        }
        for backend in &backends {
            if let Err(why) = &backend.patterns {
                let hint = "write a path with * or {namespace} for whole segments".to_owned();
                let message = format!("spec.allow.paths of {} {} can't be read: {why}", backend.kind, backend.name);
                self.not_usable(backend.place.clone(), Refused { error: "bad-pattern", message, hint });
            }
        }
        self
    }
}

fn refused(entry: &Entry, backends: &[Backend], namespace: Option<&str>) -> Option<Refused> {
    let What::Reference { scheme, store, path, .. } = &entry.what else { return None };
    let says = |error, message, hint: &str| Some(Refused { error, message, hint: hint.to_owned() });
    let kind = if *scheme == StoreKind::Cluster.scheme() { OF_CLUSTER } else { OF_NAMESPACE };
    let is_named = |backend: &&Backend| (backend.kind, &backend.name) == (kind, store);
    let named: Vec<&Backend> =
        backends.iter().filter(is_named).filter(|backend| backend.may_be_in(namespace)).collect();
    let path = SecretPath::new(path.clone()).ok()?;
    match () {
        () if named.is_empty() => says(
            "no-backend",
            format!("no {kind} {store} stands in these files"),
            "correct the name, or name the folder of the backend too",
        ),
        () if named.iter().all(|backend| backend.is_not_for(namespace)) => says(
            "not-allowed",
            format!("{kind} {store} does not allow namespace {}", namespace.unwrap_or_default()),
            "list the namespace in spec.allow.namespaces of the backend",
        ),
        () if named.iter().any(|backend| backend.allows(&path, namespace)) => None,
        () if namespace.is_none() && named.iter().any(|backend| backend.needs_namespace()) => says(
            "namespace-unknown",
            format!("{kind} {store} stands without a namespace, so {{namespace}} in its paths can't be compared"),
            "say for which namespace by --namespace",
        ),
        () => says(
            "not-allowed",
            format!("{kind} {store} does not allow the path {path}"),
            "list the path in spec.allow.paths, or refer to one that is listed",
        ),
    }
}
