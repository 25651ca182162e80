//! The verdicts, one table a kind.

use serde_json::json;

use super::*;
use HealthStatus::{Current, Failed, InProgress, Terminating, Unknown};

fn object(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 2}});
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn check(api_version: &str, kind: &str, table: &[(Value, HealthStatus, &str)]) {
    for (rest, status, message) in table {
        let verdict = health(&object(api_version, kind, rest.clone()));
        assert_eq!((verdict.status, verdict.message.as_str()), (*status, *message), "{kind} {rest}");
    }
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "the value hunter2 is wrong"})
}

#[test]
fn deployments() {
    let with = |spec: Value, status: Value| json!({"spec": spec, "status": status});
    let counts = |replicas, updated, available, ready| {
        json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
            "availableReplicas": available, "readyReplicas": ready,
            "conditions": [condition("Available", "True", "MinimumReplicasAvailable")]})
    };
    let three = json!({"replicas": 3});
    let deadline = json!({"replicas": 1, "progressDeadlineSeconds": 600});
    let progressing = |status: &str, reason: &str| {
        let mut all = counts(1, 1, 1, 1);
        all["conditions"] = json!([condition("Progressing", status, reason), condition("Available", "True", "X")]);
        all
    };
    check(
        "apps/v1",
        "Deployment",
        &[
            (json!({"spec": {}}), InProgress, "its controller has not seen it yet"),
            (
                json!({"status": {"observedGeneration": 1}}),
                InProgress,
                "its controller has not seen the last change yet",
            ),
            (with(three.clone(), counts(1, 1, 1, 1)), InProgress, "1 of 3 replicas are created"),
            (with(three.clone(), counts(3, 1, 1, 1)), InProgress, "1 of 3 replicas are updated"),
            (with(three.clone(), counts(4, 3, 3, 3)), InProgress, "1 old replicas still have to go"),
            (with(three.clone(), counts(3, 3, 2, 3)), InProgress, "2 of 3 replicas are available"),
            (with(three.clone(), counts(3, 3, 3, 2)), InProgress, "2 of 3 replicas are ready"),
            (with(three, counts(3, 3, 3, 3)), Current, "3 of 3 replicas are ready"),
            (with(json!({}), counts(1, 1, 1, 1)), Current, "1 of 1 replicas are ready"),
            (with(json!({"replicas": 0}), json!({"observedGeneration": 2})), Current, "0 of 0 replicas are ready"),
            (with(deadline.clone(), counts(1, 1, 1, 1)), InProgress, "its progress is not reported yet"),
            (
                with(deadline.clone(), progressing("True", "ReplicaSetUpdated")),
                InProgress,
                "Progressing is True (ReplicaSetUpdated)",
            ),
            (
                with(deadline.clone(), progressing("True", "NewReplicaSetAvailable")),
                Current,
                "1 of 1 replicas are ready",
            ),
            (
                with(deadline, progressing("False", "ProgressDeadlineExceeded")),
                Failed,
                "Progressing is False (ProgressDeadlineExceeded)",
            ),
        ],
    );
}

#[test]
fn replica_sets_stateful_sets_and_daemon_sets() {
    let replica = |labelled, available, ready, replicas| {
        json!({"spec": {"replicas": 2}, "status": {"observedGeneration": 2,
        "fullyLabeledReplicas": labelled, "availableReplicas": available,
        "readyReplicas": ready, "replicas": replicas}})
    };
    check(
        "apps/v1",
        "ReplicaSet",
        &[
            (replica(1, 1, 1, 2), InProgress, "1 of 2 replicas are labelled"),
            (replica(2, 1, 2, 2), InProgress, "1 of 2 replicas are available"),
            (replica(2, 2, 2, 3), InProgress, "1 old replicas still have to go"),
            (replica(2, 2, 2, 2), Current, "2 of 2 replicas are ready"),
            (
                json!({"status": {"observedGeneration": 2,
                    "conditions": [condition("ReplicaFailure", "True", "FailedCreate")]}}),
                InProgress,
                "ReplicaFailure is True (FailedCreate)",
            ),
        ],
    );
    let stateful = |partition: i64, ready, current, updated, revision: &str| {
        json!({
        "spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": partition}}},
        "status": {"observedGeneration": 2, "replicas": 3, "readyReplicas": ready, "currentReplicas": current,
            "updatedReplicas": updated, "currentRevision": "r1", "updateRevision": revision}})
    };
    check(
        "apps/v1",
        "StatefulSet",
        &[
            (stateful(0, 2, 3, 3, "r1"), InProgress, "2 of 3 replicas are ready"),
            (stateful(0, 3, 1, 2, "r2"), InProgress, "1 of 3 replicas are of the current revision"),
            (stateful(0, 3, 3, 3, "r2"), InProgress, "the update to the new revision is not finished"),
            (stateful(0, 3, 3, 3, "r1"), Current, "3 of 3 replicas are ready"),
            (stateful(2, 3, 2, 0, "r2"), InProgress, "0 of 1 replicas above the partition are updated"),
            (stateful(2, 3, 2, 1, "r2"), Current, "3 of 3 replicas are ready"),
            (stateful(i64::MIN, 3, 3, 3, "r1"), Current, "3 of 3 replicas are ready"),
            (
                json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
                Current,
                "its pods are updated when they are deleted",
            ),
        ],
    );
    let daemon = |current, updated, available, ready| {
        json!({"status": {"observedGeneration": 2, "desiredNumberScheduled": 2,
        "currentNumberScheduled": current, "updatedNumberScheduled": updated,
        "numberAvailable": available, "numberReady": ready}})
    };
    check(
        "apps/v1",
        "DaemonSet",
        &[
            (json!({}), InProgress, "its controller has not seen it yet"),
            (daemon(1, 1, 1, 1), InProgress, "1 of 2 pods are scheduled"),
            (daemon(2, 1, 1, 1), InProgress, "1 of 2 pods are updated"),
            (daemon(2, 2, 1, 1), InProgress, "1 of 2 pods are available"),
            (daemon(2, 2, 2, 1), InProgress, "1 of 2 pods are ready"),
            (daemon(2, 2, 2, 2), Current, "2 of 2 pods are ready"),
        ],
    );
}

#[test]
fn jobs_and_cron_jobs() {
    let with = |kind: &str| json!({"status": {"conditions": [condition(kind, "True", "R")]}});
    check(
        "batch/v1",
        "Job",
        &[
            (
                json!({"spec": {"completions": 3}, "status": {"succeeded": 1}}),
                InProgress,
                "1 of 3 completions are done",
            ),
            (with("Complete"), Current, "it is complete"),
            (with("Failed"), Failed, "Failed is True (R)"),
            (with("Suspended"), Current, "it is suspended"),
            (json!({"spec": {"suspend": true}}), Current, "it is suspended"),
        ],
    );
    check("batch/v1", "CronJob", &[(json!({}), Current, "it exists")]);
}

#[test]
fn pods() {
    let waiting = |phase: &str, reason: &str| {
        let containers = json!([{"state": {"running": {}}}, {"state": {"waiting": {"reason": reason}}}]);
        json!({"status": {"phase": phase, "containerStatuses": containers}})
    };
    check(
        "v1",
        "Pod",
        &[
            (json!({}), InProgress, "it does not run yet"),
            (
                json!({"status": {"phase": "Pending",
                    "conditions": [condition("PodScheduled", "False", "Unschedulable")]}}),
                InProgress,
                "PodScheduled is False (Unschedulable)",
            ),
            (waiting("Pending", "ImagePullBackOff"), InProgress, "a container waits (ImagePullBackOff)"),
            (waiting("Running", "CrashLoopBackOff"), Failed, "a container waits (CrashLoopBackOff)"),
            (waiting("Running", "PodInitializing"), InProgress, "a container waits (PodInitializing)"),
            (json!({"status": {"phase": "Running"}}), InProgress, "it runs and is not ready yet"),
            (
                json!({"status": {"phase": "Running", "conditions": [condition("Ready", "True", "")]}}),
                Current,
                "it is ready",
            ),
            (json!({"status": {"phase": "Succeeded"}}), Current, "it is complete"),
            (json!({"status": {"phase": "Failed"}}), Failed, "its containers failed"),
        ],
    );
}

#[test]
fn the_other_kinds_with_rules_of_their_own() {
    check(
        "v1",
        "Service",
        &[
            (json!({"spec": {"type": "ClusterIP"}}), Current, "it exists"),
            (json!({"spec": {"type": "LoadBalancer"}}), InProgress, "it has no cluster address yet"),
            (json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}), Current, "it exists"),
        ],
    );
    check(
        "v1",
        "PersistentVolumeClaim",
        &[
            (json!({"status": {"phase": "Pending"}}), InProgress, "it is not bound yet"),
            (json!({"status": {"phase": "Bound"}}), Current, "it is bound"),
            (json!({"status": {"phase": "Lost"}}), Failed, "its volume is lost"),
        ],
    );
    check(
        "v1",
        "Namespace",
        &[
            (json!({"status": {"phase": "Active"}}), Current, "it exists"),
            (json!({"status": {"phase": "Terminating"}}), Terminating, "it is being deleted"),
        ],
    );
    let budget = |current, wanted| {
        let status = json!({"observedGeneration": 2, "currentHealthy": current, "desiredHealthy": wanted});
        json!({"status": status})
    };
    check(
        "policy/v1",
        "PodDisruptionBudget",
        &[
            (json!({}), InProgress, "its controller has not seen it yet"),
            (budget(1, 2), InProgress, "1 of 2 pods are healthy"),
            (budget(2, 2), Current, "the budget is met"),
        ],
    );
    let with = |conditions: Value| json!({"status": {"conditions": conditions}});
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &[
            (json!({}), InProgress, "it is not established yet"),
            (
                with(json!([condition("NamesAccepted", "False", "ListKindConflict")])),
                Failed,
                "NamesAccepted is False (ListKindConflict)",
            ),
            (with(json!([condition("Established", "False", "Installing")])), InProgress, "it is not established yet"),
            (
                with(json!([condition("Established", "False", "NotAccepted")])),
                Failed,
                "Established is False (NotAccepted)",
            ),
            (
                with(json!([condition("NamesAccepted", "True", "X"), condition("Established", "True", "X")])),
                Current,
                "it is established",
            ),
        ],
    );
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        &[
            (json!({}), InProgress, "Available is not reported yet"),
            (
                with(json!([condition("Available", "False", "MissingEndpoints")])),
                InProgress,
                "Available is False (MissingEndpoints)",
            ),
            (with(json!([condition("Available", "True", "Passed")])), Current, "Available is True (Passed)"),
        ],
    );
}

#[test]
fn any_kind_with_conditions() {
    let with = |conditions: Value| json!({"status": {"observedGeneration": 2, "conditions": conditions}});
    check(
        "example.com/v1",
        "Widget",
        &[
            (json!({}), Current, "it exists"),
            (
                json!({"status": {"observedGeneration": 1}}),
                InProgress,
                "its controller has not seen the last change yet",
            ),
            (with(json!([condition("Ready", "True", "X")])), Current, "it is ready"),
            (with(json!([condition("Ready", "False", "Broken")])), InProgress, "Ready is False (Broken)"),
            (with(json!([condition("Ready", "Unknown", "Wait")])), InProgress, "Ready is Unknown (Wait)"),
            (
                with(json!([condition("Ready", "True", "X"), condition("Reconciling", "True", "Work")])),
                InProgress,
                "Reconciling is True (Work)",
            ),
            (
                with(json!([condition("Stalled", "True", "Stuck"), condition("Ready", "False", "X")])),
                Failed,
                "Stalled is True (Stuck)",
            ),
        ],
    );
}

#[test]
fn an_object_that_is_being_deleted_is_terminating_whatever_its_status() {
    let mut object = object("apps/v1", "Deployment", json!({"status": {"observedGeneration": 1}}));
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(health(&object).status, Terminating);
}

#[test]
fn a_message_never_quotes_what_an_object_says_in_its_own_words() {
    let quoting = ["the password hunter2 is wrong", "hunter2!", "a b", "-x", &"x".repeat(65)];
    for reason in quoting {
        for kind in ["Ready", "Stalled", "Reconciling"] {
            let conditions = json!([{"type": kind, "status": "hunter2", "reason": reason, "message": "hunter2"},
                {"type": "Ready", "status": "False", "reason": reason, "message": "hunter2"}]);
            let verdict = health(&object("example.com/v1", "Widget", json!({"status": {"conditions": conditions}})));
            assert!(!verdict.message.contains(reason) && !verdict.message.contains("hunter2"), "{}", verdict.message);
        }
    }
}

#[test]
fn odd_objects_have_a_verdict_and_do_no_harm() {
    for odd in [json!(null), json!([]), json!("x"), json!({"kind": "Pod"}), json!({"apiVersion": 1, "kind": 2})] {
        assert_eq!(health(&odd).status, Unknown, "{odd}");
    }
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] {
        let odd = json!({"spec": {"replicas": "3", "updateStrategy": []},
            "status": {"conditions": {"a": 1}, "observedGeneration": 2,
            "replicas": i64::MAX, "updatedReplicas": i64::MIN, "readyReplicas": 1e300}});
        health(&object("apps/v1", kind, odd));
    }
}

#[test]
fn secrets_and_other_static_kinds_are_never_read_for_their_health() {
    let needs = |group, kind| needs_health(&GroupKind::new(group, kind));
    for (group, kind) in [
        ("", "Secret"),
        ("", "ConfigMap"),
        ("rbac.authorization.k8s.io", "Role"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("batch", "CronJob"),
    ] {
        assert!(!needs(group, kind), "{group}/{kind}");
    }
    for (group, kind) in [
        ("apps", "Deployment"),
        ("", "Pod"),
        ("", "Namespace"),
        ("example.com", "Secret"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "PersistentVolumeClaim"),
    ] {
        assert!(needs(group, kind), "{group}/{kind}");
    }
}

#[test]
fn a_workload_that_was_created_just_now_waits_for_its_controller_and_of_other_kinds_nothing_is_told() {
    let told = |group: &str, kind: &str, rest: Value| {
        let id = crate::ObjectId::namespaced(GroupKind::new(group, kind), "shop", "x");
        let api_version = id.kind.api_version("v1");
        let manifest = crate::testing::manifest(kind, "x", rest);
        let mut manifest = Manifest { id, ..manifest };
        manifest.body["apiVersion"] = api_version.into();
        health_when_new(&manifest).map(|health| (health.status, health.message))
    };
    let waits = Some((InProgress, "its controller has not seen it yet".to_owned()));
    for kind in ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"] {
        assert_eq!(told("apps", kind, json!({"spec": {"replicas": 0}})), waits, "{kind}");
    }
    assert_eq!(told("batch", "Job", json!({"spec": {}})).map(|(status, _)| status), Some(InProgress));
    assert_eq!(told("apps", "Deployment", json!({"status": {"observedGeneration": 1}})), None);
    for (group, kind) in [("", "Service"), ("batch", "CronJob"), ("apps", "ControllerRevision"), ("example.com", "Job")]
    {
        assert_eq!(told(group, kind, json!({"spec": {}})), None, "{kind}");
    }
}
