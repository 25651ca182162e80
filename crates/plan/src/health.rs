//! Whether an object does what it is there for: pure verdicts on what a watch reports.
//!
//! The rules are those of kstatus (`cli-utils/pkg/kstatus/status`), which Flux uses, with three of Flux's and our
//! own: a Job is current only when it is complete, a workload is in progress until its controller has seen it, and an
//! APIService has to be available. Nothing here knows time, so what kstatus calls failed after a while stays in
//! progress.
//!
//! Messages are made of counts and reasons. The `message` of a condition is never passed on, since it may quote values.

use std::fmt;

use serde_json::Value;

use crate::Manifest;
use crate::object::{GroupKind, split_api_version};

mod fields;
mod kinds;

use fields::{Condition, Fields};

/// The verdict on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Why, in words that hold nothing of the object but counts, names of conditions and reasons.
    pub message: String,
}

/// Whether an object is as its spec asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// It is as it should be.
    Current,
    /// It is on its way.
    InProgress,
    /// It will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
    /// What was read is not an object.
    Unknown,
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::Unknown => "Unknown",
        })
    }
}

impl Health {
    fn current(message: impl Into<String>) -> Self {
        Self { status: HealthStatus::Current, message: message.into() }
    }

    fn in_progress(message: impl Into<String>) -> Self {
        Self { status: HealthStatus::InProgress, message: message.into() }
    }

    fn failed(message: impl Into<String>) -> Self {
        Self { status: HealthStatus::Failed, message: message.into() }
    }
}

/// Judges a whole live object, or one without `data`.
pub fn health(object: &Value) -> Health {
    let fields = Fields(object);
    let (Some(api_version), Some(kind)) = (fields.text("/apiVersion"), fields.text("/kind")) else {
        return Health { status: HealthStatus::Unknown, message: "it has no apiVersion or kind".to_owned() };
    };
    if fields.text("/metadata/deletionTimestamp").is_some() {
        return Health { status: HealthStatus::Terminating, message: "it is being deleted".to_owned() };
    }
    let (group, _) = split_api_version(api_version);
    generic(fields).or_else(|| kinds::health(group, kind, fields)).unwrap_or_else(|| ready(fields))
}

/// What holds for every kind that reports conditions.
fn generic(fields: Fields<'_>) -> Option<Health> {
    if let (Some(seen), Some(now)) =
        (fields.number("/status/observedGeneration"), fields.number("/metadata/generation"))
        && seen != now
    {
        return Some(Health::in_progress("its controller has not seen the last change yet"));
    }
    if let Some(condition) = fields.condition("Reconciling").filter(Condition::is_true) {
        return Some(Health::in_progress(condition.describe()));
    }
    fields.condition("Stalled").filter(Condition::is_true).map(|condition| Health::failed(condition.describe()))
}

fn ready(fields: Fields<'_>) -> Health {
    match fields.condition("Ready") {
        Some(condition) if !condition.is_true() => Health::in_progress(condition.describe()),
        Some(_) => Health::current("it is ready"),
        None => Health::current("it exists"),
    }
}

/// Kinds that are current as soon as they exist.
#[rustfmt::skip]
const STATIC: &[(&str, &[&str])] = &[
    ("", &["ConfigMap", "Endpoints", "Event", "LimitRange", "PersistentVolume", "PodTemplate", "ResourceQuota",
           "Secret", "ServiceAccount"]),
    ("apps", &["ControllerRevision"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSIStorageCapacity", "StorageClass", "VolumeAttributesClass"]),
];
/// Groups of which every kind is current as soon as it exists.
const STATIC_GROUPS: [&str; 3] = ["admissionregistration.k8s.io", "coordination.k8s.io", "events.k8s.io"];

/// Tells whether the objects of a kind have to be read to know their health. A Secret never has to be.
pub fn needs_health(kind: &GroupKind) -> bool {
    let listed = STATIC.iter().any(|(group, kinds)| *group == kind.group && kinds.contains(&kind.kind.as_str()));
    !listed && !STATIC_GROUPS.contains(&kind.group.as_str())
}

/// Tells whether an object that is as `manifest` says has to be read to know its health. A Service is well as soon as it exists
/// unless it waits for a load balancer.
pub fn is_worth_reading(manifest: &Manifest) -> bool {
    let waits = || manifest.body.pointer("/spec/type").is_some_and(|kind| kind == "LoadBalancer");
    needs_health(&manifest.id.kind) && (manifest.id.kind != GroupKind::new("", "Service") || waits())
}

/// Returns the health of an object that was created just now, before anybody else could write of it, where `manifest` says all
/// that it depends on: the API server takes away whatever status the new object has (`PrepareForCreate` of the apps and batch
/// strategies of Kubernetes 1.36).
pub fn health_when_new(manifest: &Manifest) -> Option<Health> {
    let kind = &manifest.id.kind;
    let is_cleared = match kind.group.as_str() {
        "apps" => ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"].contains(&kind.kind.as_str()),
        "batch" => kind.kind == "Job",
        _ => false,
    };
    let is_cleared = is_cleared && manifest.body.get("status").is_none();
    is_cleared.then(|| health(&manifest.body))
}

#[cfg(test)]
mod tests;
