//! Whether the backends that stand in a tree allow what the references in it lead to. Nobody is asked: neither a cluster, which may have other
//! backends, nor a store, which may lack the secret.

use serde::Serialize;
use serde_json::Value;
use waxwing_formats::reference::{PathPattern, SecretPath, StoreKind};

use super::report::{Entry, Report, What};
use crate::verify::Place;

/// A SecretBackend in the tree.
pub(super) struct Backend {
    place: Place,
    name: String,
    namespace: Option<String>,
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
    /// Reads a document if it is a SecretBackend.
    pub(super) fn of(document: &Value, place: Place) -> Option<Self> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let is_one = text("/kind") == Some("SecretBackend") && text("/apiVersion")?.starts_with("waxwing.dev/");
        let name = text("/metadata/name").filter(|_| is_one)?.to_owned();
        let paths = document.pointer("/spec/allow/paths").and_then(Value::as_array).cloned().unwrap_or_default();
        let pattern = |path: &Value| match path.as_str() {
            Some(path) => path.parse::<PathPattern>().map_err(|error| error.to_string()),
            None => Err("a pattern of paths is no text".to_owned()),
        };
        let patterns = paths.iter().map(pattern).collect();
        Some(Self { place, name, namespace: text("/metadata/namespace").map(str::to_owned), patterns })
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
                let message = format!("spec.allow.paths of SecretBackend {} can't be read: {why}", backend.name);
                self.not_usable(backend.place.clone(), Refused { error: "bad-pattern", message, hint });
            }
        }
        self
    }
}

fn refused(entry: &Entry, backends: &[Backend], namespace: Option<&str>) -> Option<Refused> {
    let What::Reference { scheme, store, path, .. } = &entry.what else { return None };
    let says = |error, message, hint: &str| Some(Refused { error, message, hint: hint.to_owned() });
    if *scheme == StoreKind::Cluster.scheme() {
        let hint = "refer to a SecretBackend of the Sync's namespace by ref+store://";
        return says("no-cluster-stores", "there are no stores of the whole cluster yet".to_owned(), hint);
    }
    let named: Vec<&Backend> =
        backends.iter().filter(|backend| backend.name == *store && backend.may_be_in(namespace)).collect();
    let path = SecretPath::new(path.clone()).ok()?;
    match () {
        () if named.is_empty() => says(
            "no-backend",
            format!("no SecretBackend {store} stands in these files"),
            "correct the name, or name the folder of the backend too",
        ),
        () if named.iter().any(|backend| backend.allows(&path, namespace)) => None,
        () if namespace.is_none() && named.iter().any(|backend| backend.needs_namespace()) => says(
            "namespace-unknown",
            format!(
                "SecretBackend {store} stands without a namespace, so {{namespace}} in its paths can't be compared"
            ),
            "say for which namespace by --namespace",
        ),
        () => says(
            "not-allowed",
            format!("SecretBackend {store} does not allow the path {path}"),
            "list the path in spec.allow.paths, or refer to one that is listed",
        ),
    }
}
