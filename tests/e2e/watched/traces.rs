//! Everything that a controller left behind: files, output, what it wrote to the API server, and what stands there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waxwing_harness::{Cluster, Controller};

use crate::stage::{SYSTEM, is_of_the_test};

/// An object that may hold secrets, below one field.
pub(crate) struct Target {
    kind: &'static str,
    namespace: String,
    name: String,
}

impl Target {
    pub(crate) fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn is(&self, namespace: &Value, name: &Value) -> bool {
        self.namespace == *namespace && self.name == *name
    }

    fn resource(&self) -> String {
        format!("{}s", self.kind.to_lowercase())
    }

    /// Returns the field below which secrets may stand.
    fn field(&self) -> &'static str {
        if matches!(self.kind, "Secret" | "ConfigMap") { "data" } else { "spec" }
    }
}

/// Some bytes, and where they were found.
pub(super) struct Trace {
    pub(super) place: String,
    pub(super) bytes: Vec<u8>,
}

fn trace(place: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Trace {
    Trace { place: place.into(), bytes: bytes.into() }
}

/// Returns every file in `folder` and below, its path included, since a name may hold a secret too.
pub(super) fn files(folder: &Path) -> Vec<Trace> {
    let mut traces = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        traces.push(trace(format!("the name of {}", path.display()), path.to_string_lossy().as_bytes()));
        match fs::symlink_metadata(&path).unwrap().file_type() {
            kind if kind.is_dir() => traces.extend(files(&path)),
            kind if kind.is_file() => traces.push(trace(path.display().to_string(), fs::read(&path).unwrap())),
            _ => {}
        }
    }
    traces
}

/// Returns the bodies that a collector got.
pub(super) fn spans(bodies: Vec<Vec<u8>>) -> Vec<Trace> {
    bodies.into_iter().map(|body| trace("spans", body)).collect()
}

/// Returns what the controller's server says.
pub(super) fn answers(controller: &Controller) -> Vec<Trace> {
    let paths = ["/", "/healthz", "/readyz", "/v1/cert.pem", "/metrics", "/debug", "/v1/verify"];
    paths.map(|path| trace(format!("the answer to {path}"), controller.get(path).unwrap().1)).into()
}

/// Returns every object of the cluster, but not the fields that may hold secrets, and not what the test made itself.
pub(super) fn objects(cluster: &Cluster, targets: &[Target]) -> Vec<Trace> {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name"]).unwrap();
    let kinds = kinds.split_whitespace().collect::<Vec<_>>().join(",");
    let get = ["get", &kinds, "--all-namespaces", "--show-managed-fields", "--output=json"];
    let list: Value = serde_json::from_str(&cluster.kubectl(&get).unwrap()).unwrap();
    list["items"].as_array().unwrap().iter().map(|object| without_secrets(object.clone(), targets)).collect()
}

fn without_secrets(mut object: Value, targets: &[Target]) -> Trace {
    let [namespace, name] = ["namespace", "name"].map(|field| object["metadata"][field].clone());
    let kind = object["kind"].clone();
    if let Some(target) = targets.iter().find(|target| target.kind == kind && target.is(&namespace, &name)) {
        object.as_object_mut().unwrap().remove(target.field());
    }
    trace(format!("{kind} {namespace}/{name}"), object.to_string())
}

/// Returns every request that changed something and was not the test's own, without what may hold secrets: the one
/// field in the body of an apply or a dry run of a target. What the API server answered is not the controller's doing.
pub(super) fn requests(cluster: &Cluster, targets: &[Target]) -> Vec<Trace> {
    let events = cluster.audit_log().unwrap().into_iter();
    let events = events.filter(|event| !is_of_the_test(event) && !is_review(event));
    events
        .map(|mut event| {
            let place = format!("the request {} {}", event["verb"], event["requestURI"]);
            if let Some(field) = secret_field(&event, targets) {
                event["requestObject"].as_object_mut().unwrap().remove(field);
            }
            event.as_object_mut().unwrap().retain(|key, _| key != "responseStatus" && key != "annotations");
            trace(place, event.to_string())
        })
        .collect()
}

fn secret_field(event: &Value, targets: &[Target]) -> Option<&'static str> {
    let object = &event["objectRef"];
    if stores_sealing_key(event) {
        return Some("data");
    }
    if !is_apply(event) || !event["requestObject"].is_object() {
        return None;
    }
    let mut targets = targets.iter().filter(|target| target.resource() == object["resource"]);
    targets.find(|target| target.is(&object["namespace"], &object["name"])).map(|target| target.field())
}

/// Tells whether this is OpenBao, which asks whose token it was shown.
fn is_review(event: &Value) -> bool {
    let is_reviewer = event["user"]["username"].as_str().is_some_and(|user| user.ends_with(":reviewer"));
    is_reviewer && event["objectRef"]["resource"] == "tokenreviews"
}

/// Tells whether this is the request that stores a new sealing key: the one other body that holds a secret.
fn stores_sealing_key(event: &Value) -> bool {
    event["requestURI"] == format!("/api/v1/namespaces/{SYSTEM}/secrets") && event["verb"] == "create"
}

/// Tells whether this is an apply or a dry run, as a tenant.
pub(crate) fn is_apply(event: &Value) -> bool {
    let uri = event["requestURI"].as_str().unwrap_or_default();
    event["verb"] == "patch" && uri.contains("fieldManager=waxwing&") && event["impersonatedUser"].is_object()
}
