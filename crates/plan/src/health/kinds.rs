//! The rules of the kinds that have rules of their own.

use super::fields::{Condition, Fields, is_reason};
use super::{Health, HealthStatus};

/// Judges a kind that has rules of its own; none for all others.
pub(super) fn health(group: &str, kind: &str, fields: Fields<'_>) -> Option<Health> {
    Some(match (group, kind) {
        ("apps", "Deployment") => deployment(fields),
        ("apps", "ReplicaSet") => replica_set(fields),
        ("apps", "StatefulSet") => stateful_set(fields),
        ("apps", "DaemonSet") => daemon_set(fields),
        ("batch", "Job") => job(fields),
        ("batch", "CronJob") => Health::current("it exists"),
        ("", "Pod") => pod(fields),
        ("", "Service") => service(fields),
        ("", "PersistentVolumeClaim") => claim(fields),
        ("", "Namespace") => namespace(fields),
        ("policy", "PodDisruptionBudget") => budget(fields),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(fields),
        ("apiregistration.k8s.io", "APIService") => needs_true(fields, "Available"),
        _ => return None,
    })
}

/// The first count that is behind, as `2 of 3 replicas are ready`.
fn behind(wanted: i64, noun: &str, counts: &[(i64, &str)]) -> Option<Health> {
    let (count, state) = counts.iter().find(|(count, _)| *count < wanted)?;
    Some(Health::in_progress(format!("{count} of {wanted} {noun} are {state}")))
}

/// Workload controllers always say which generation they have seen; before they do, counts mean nothing.
fn unseen(fields: Fields<'_>) -> Option<Health> {
    fields
        .number("/status/observedGeneration")
        .is_none()
        .then(|| Health::in_progress("its controller has not seen it yet"))
}

fn surplus(count: i64, wanted: i64) -> Option<Health> {
    (count > wanted).then(|| Health::in_progress(format!("{} old replicas still have to go", count - wanted)))
}

fn all(count: i64, noun: &str) -> Health {
    Health::current(format!("{count} of {count} {noun} are ready"))
}

fn deployment(fields: Fields<'_>) -> Health {
    let wanted = fields.number("/spec/replicas").unwrap_or(1);
    let (replicas, updated) = (fields.count("replicas"), fields.count("updatedReplicas"));
    let (ready, available) = (fields.count("readyReplicas"), fields.count("availableReplicas"));
    let progressing = fields.condition("Progressing");
    if let Some(condition) = progressing.filter(|c| c.is_false() && c.has_reason("ProgressDeadlineExceeded")) {
        return Health::failed(condition.describe());
    }
    unseen(fields)
        .or_else(|| behind(wanted, "replicas", &[(replicas, "created"), (updated, "updated")]))
        .or_else(|| surplus(replicas, updated))
        .or_else(|| behind(wanted, "replicas", &[(available, "available"), (ready, "ready")]))
        .or_else(|| progress_unfinished(fields, progressing))
        .or_else(|| fields.condition("Available").filter(|c| !c.is_true()).map(|c| Health::in_progress(c.describe())))
        .unwrap_or_else(|| all(wanted, "replicas"))
}

/// A Deployment with a deadline says when the new replica set has taken over.
fn progress_unfinished(fields: Fields<'_>, progressing: Option<Condition<'_>>) -> Option<Health> {
    let deadline = fields.number("/spec/progressDeadlineSeconds").filter(|seconds| *seconds != i64::from(i32::MAX));
    deadline?;
    match progressing {
        Some(condition) if condition.is_true() && condition.has_reason("NewReplicaSetAvailable") => None,
        Some(condition) => Some(Health::in_progress(condition.describe())),
        None => Some(Health::in_progress("its progress is not reported yet")),
    }
}

fn replica_set(fields: Fields<'_>) -> Health {
    let wanted = fields.number("/spec/replicas").unwrap_or(1);
    let counts = [
        (fields.count("fullyLabeledReplicas"), "labelled"),
        (fields.count("availableReplicas"), "available"),
        (fields.count("readyReplicas"), "ready"),
    ];
    let failure = fields.condition("ReplicaFailure").filter(Condition::is_true);
    unseen(fields)
        .or_else(|| failure.map(|condition| Health::in_progress(condition.describe())))
        .or_else(|| behind(wanted, "replicas", &counts))
        .or_else(|| surplus(fields.count("replicas"), wanted))
        .unwrap_or_else(|| all(wanted, "replicas"))
}

fn stateful_set(fields: Fields<'_>) -> Health {
    let wanted = fields.number("/spec/replicas").unwrap_or(1);
    let partition = fields.number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if fields.text("/spec/updateStrategy/type") == Some("OnDelete") {
        return Health::current("its pods are updated when they are deleted");
    }
    unseen(fields)
        .or_else(|| {
            behind(
                wanted,
                "replicas",
                &[(fields.count("replicas"), "created"), (fields.count("readyReplicas"), "ready")],
            )
        })
        .or_else(|| surplus(fields.count("replicas"), wanted))
        .or_else(|| stateful_update(fields, wanted, partition))
        .unwrap_or_else(|| all(wanted, "replicas"))
}

fn stateful_update(fields: Fields<'_>, wanted: i64, partition: i64) -> Option<Health> {
    if partition > 0 {
        let due = wanted.saturating_sub(partition).max(0);
        return behind(due, "replicas above the partition", &[(fields.count("updatedReplicas"), "updated")]);
    }
    behind(wanted, "replicas", &[(fields.count("currentReplicas"), "of the current revision")]).or_else(|| {
        let revision = |field| fields.text(field);
        let updating = revision("/status/currentRevision") != revision("/status/updateRevision");
        updating.then(|| Health::in_progress("the update to the new revision is not finished"))
    })
}

fn daemon_set(fields: Fields<'_>) -> Health {
    let wanted = fields.count("desiredNumberScheduled");
    let counts = [
        (fields.count("currentNumberScheduled"), "scheduled"),
        (fields.count("updatedNumberScheduled"), "updated"),
        (fields.count("numberAvailable"), "available"),
        (fields.count("numberReady"), "ready"),
    ];
    if fields.text("/spec/updateStrategy/type") == Some("OnDelete") {
        return unseen(fields).unwrap_or_else(|| Health::current("its pods are updated when they are deleted"));
    }
    unseen(fields).or_else(|| behind(wanted, "pods", &counts)).unwrap_or_else(|| all(wanted, "pods"))
}

fn job(fields: Fields<'_>) -> Health {
    let has = |kind| fields.condition(kind).filter(Condition::is_true);
    if let Some(condition) = has("Failed") {
        return Health::failed(condition.describe());
    }
    if has("Complete").is_some() {
        return Health::current("it is complete");
    }
    if has("Suspended").is_some() || fields.flag("/spec/suspend") {
        return Health::current("it is suspended");
    }
    let wanted = fields.number("/spec/completions").unwrap_or(1);
    Health::in_progress(format!("{} of {wanted} completions are done", fields.count("succeeded")))
}

fn pod(fields: Fields<'_>) -> Health {
    let ready = fields.condition("Ready");
    match fields.text("/status/phase") {
        Some("Succeeded") => Health::current("it is complete"),
        Some("Failed") => Health::failed(waiting(fields).unwrap_or_else(|| "its containers failed".to_owned())),
        Some("Running") if ready.is_some_and(|condition| condition.is_true()) => Health::current("it is ready"),
        Some("Running") => running(fields),
        _ => Health::in_progress(not_running(fields)),
    }
}

fn running(fields: Fields<'_>) -> Health {
    match waiting(fields) {
        Some(reason) if reason.ends_with("(CrashLoopBackOff)") => Health::failed(reason),
        Some(reason) => Health::in_progress(reason),
        None => Health::in_progress("it runs and is not ready yet"),
    }
}

fn not_running(fields: Fields<'_>) -> String {
    let unscheduled =
        fields.condition("PodScheduled").filter(Condition::is_false).map(|condition| condition.describe());
    unscheduled.or_else(|| waiting(fields)).unwrap_or_else(|| "it does not run yet".to_owned())
}

/// Why the first container that waits, waits.
fn waiting(fields: Fields<'_>) -> Option<String> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let reason = lists
        .iter()
        .flat_map(|list| fields.list(list))
        .find_map(|container| container.text("/state/waiting/reason").filter(|reason| is_reason(reason)))?;
    Some(format!("a container waits ({reason})"))
}

fn service(fields: Fields<'_>) -> Health {
    let balanced = fields.text("/spec/type") == Some("LoadBalancer");
    match fields.text("/spec/clusterIP") {
        None if balanced => Health::in_progress("it has no cluster address yet"),
        _ => Health::current("it exists"),
    }
}

fn claim(fields: Fields<'_>) -> Health {
    match fields.text("/status/phase") {
        Some("Bound") => Health::current("it is bound"),
        Some("Lost") => Health::failed("its volume is lost"),
        _ => Health::in_progress("it is not bound yet"),
    }
}

fn namespace(fields: Fields<'_>) -> Health {
    match fields.text("/status/phase") {
        Some("Terminating") => Health { status: HealthStatus::Terminating, message: "it is being deleted".to_owned() },
        _ => Health::current("it exists"),
    }
}

fn budget(fields: Fields<'_>) -> Health {
    let wanted = fields.count("desiredHealthy");
    unseen(fields)
        .or_else(|| behind(wanted, "pods", &[(fields.count("currentHealthy"), "healthy")]))
        .unwrap_or_else(|| Health::current("the budget is met"))
}

fn definition(fields: Fields<'_>) -> Health {
    if let Some(condition) = fields.condition("NamesAccepted").filter(Condition::is_false) {
        return Health::failed(condition.describe());
    }
    match fields.condition("Established") {
        Some(condition) if condition.is_true() => Health::current("it is established"),
        Some(condition) if condition.is_false() && !condition.has_reason("Installing") => {
            Health::failed(condition.describe())
        }
        _ => Health::in_progress("it is not established yet"),
    }
}

fn needs_true(fields: Fields<'_>, kind: &str) -> Health {
    match fields.condition(kind) {
        Some(condition) if condition.is_true() => Health::current(condition.describe()),
        Some(condition) => Health::in_progress(condition.describe()),
        None => Health::in_progress(format!("{kind} is not reported yet")),
    }
}
