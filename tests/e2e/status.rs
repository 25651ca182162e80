//! Proves what users see of a sync: conditions, events, columns, and what they can ask for.

use serde_json::Value;
use waxwing_harness::eventually;

use crate::act::{config_map, failing, message};
use crate::stage::{PATIENCE, Stage, cluster, condition};

/// A workload whose pods are ready at once.
const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"#;

/// A workload whose pods can't be made as long as their ServiceAccount doesn't exist.
const BROKEN: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: broken}
spec:
  progressDeadlineSeconds: SECONDS
  selector: {matchLabels: {app: broken}}
  template:
    metadata: {labels: {app: broken}}
    spec: {serviceAccountName: missing, containers: [{name: web, image: web}]}
"#;

fn status(sync: &Value, kind: &str) -> (String, String) {
    let condition = condition(sync, kind);
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_sync_progresses_while_a_deployment_rolls_out_and_is_ready_then() {
    let stage = Stage::new("rollout");
    let commit = stage.commit(&[("app/broken.yaml", &BROKEN.replace("SECONDS", "600"))]);
    stage.sync("./app", "");
    let progressing = stage.ready("Unknown", |message| message.contains("waiting for health: apps/Deployment/"));
    assert_eq!(status(&progressing, "Ready"), pair("Unknown", "Progressing"));
    assert_eq!(status(&progressing, "Reconciling"), pair("True", "Progressing"));
    assert_eq!(status(&progressing, "Healthy"), pair("False", "Progressing"));
    assert_eq!(progressing["status"]["lastAppliedRevision"], format!("main@sha1:{commit}"));
    stage.kubectl(&["create", "serviceaccount", "missing"]).unwrap();
    stage.kubectl(&["wait", "--for=condition=Ready", "sync/app", "--timeout=120s"]).unwrap();
    let sync = stage.applied(&commit);
    assert_eq!(status(&sync, "Ready"), pair("True", "Applied"));
    assert_eq!(status(&sync, "Healthy"), pair("True", "Healthy"));
    assert_eq!(status(&sync, "Unsealed"), pair("True", "Unsealed"));
    for absent in ["Reconciling", "Stalled"] {
        assert_eq!(condition(&sync, absent), Value::Null);
    }
    assert_eq!(sync["status"]["counts"]["ready"], 1);
    let (namespace, changes) = (&stage.namespace, stage.events());
    let changes: Vec<_> = changes.iter().filter(|event| !event.contains("fetched anything")).collect();
    let [rolling, rolled] = changes.as_slice() else { panic!("{changes:?}") };
    let begins =
        format!("Normal Applied Applied main@sha1:{commit}, waiting for health: apps/Deployment/{namespace}/broken: ");
    let ends = format!(": apps/Deployment/{namespace}/broken created");
    assert!(rolling.starts_with(&begins) && rolling.ends_with(&ends), "{rolling}");
    assert_eq!(**rolled, format!("Normal Applied Applied main@sha1:{commit}"));
    assert_eq!(sync["status"]["observedGeneration"], sync["metadata"]["generation"]);
    for condition in sync["status"]["conditions"].as_array().unwrap() {
        assert_eq!(condition["observedGeneration"], sync["metadata"]["generation"]);
    }
}

#[test]
fn a_deployment_that_starts_to_crash_after_its_sync_is_told_and_so_is_its_recovery() {
    let stage = Stage::new("crash");
    let commit = stage.commit(&[("app/web.yaml", DEPLOYMENT)]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let pod = stage.kubectl(&["get", "pods", "--output=name"]).unwrap();
    let pod_is = |ready: &str| {
        let status = format!(r#"{{"status": {{"conditions": [{{"type": "Ready", "status": "{ready}"}}]}}}}"#);
        stage.kubectl(&["patch", pod.trim(), "--subresource=status", "--patch", &status]).unwrap();
    };
    pod_is("False");
    let sync = stage.sync_is("crashing", |sync| status(sync, "Healthy") == pair("False", "Progressing"));
    let told = condition(&sync, "Healthy")["message"].to_string();
    assert!(told.contains("apps/Deployment/") && told.contains("0 of 1 replicas are available"), "{told}");
    pod_is("True");
    stage.sync_is("well", |sync| status(sync, "Healthy") == pair("True", "Healthy"));
}

#[test]
fn objects_that_are_late_are_named_and_a_new_revision_gets_its_own_time() {
    let stage = Stage::new("late");
    let commit = stage.commit(&[("app/broken.yaml", &BROKEN.replace("SECONDS", "600"))]);
    stage.sync("./app", "timeout: 6s");
    let sync = stage.refused(&commit, "HealthCheckTimeout");
    let expected = format!("not healthy within 6s: apps/Deployment/{}/broken: ", stage.namespace);
    assert!(message(&sync).starts_with(&expected), "{}", message(&sync));
    assert_eq!(failing(&sync), [format!("apps/Deployment/{}/broken", stage.namespace)]);
    assert_eq!(status(&sync, "Healthy"), pair("False", "Progressing"));
    let commit = stage.commit(&[("app/more.yaml", &config_map("more", "value"))]);
    stage.ready("Unknown", |message| message.starts_with(&format!("Applied main@sha1:{commit}, waiting for health")));
    stage.applied(&stage.remove(&["app/broken.yaml"]));
}

#[test]
fn an_object_that_failed_is_named_and_matters_only_to_those_who_wait() {
    let stage = Stage::new("failed");
    let commit = stage.commit(&[("app/broken.yaml", &BROKEN.replace("SECONDS", "1"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "HealthCheckFailed");
    assert!(message(&sync).contains("ProgressDeadlineExceeded"), "{}", message(&sync));
    assert_eq!(status(&sync, "Healthy"), pair("False", "HealthCheckFailed"));
    stage.patch_spec(r#"{"wait": false}"#);
    let sync = stage.applied(&commit);
    assert_eq!(status(&sync, "Healthy"), pair("False", "HealthCheckFailed"));
}

#[test]
fn each_sync_that_changes_something_has_one_event_that_lists_it() {
    let stage = Stage::new("events");
    let namespace = &stage.namespace;
    let first = stage.commit(&[("app/a.yaml", &config_map("a", "one")), ("app/b.yaml", &config_map("b", "one"))]);
    stage.source();
    let attempt = || {
        let source = stage.get("gitsource/fleet").map_err(|failure| failure.to_string())?;
        if condition(&source, "Ready")["status"] == "True" { Ok(()) } else { Err(message(&source)) }
    };
    eventually(PATIENCE, "the source", attempt).unwrap();
    stage.declare("app", "path: ./app\nserviceAccountName: deployer");
    stage.applied(&first);
    stage.request();
    stage.repo.remove("app/b.yaml").unwrap();
    let second = stage.commit(&[("app/a.yaml", &config_map("a", "two"))]);
    stage.applied(&second);
    let expected = [
        format!(
            "Normal Applied Applied main@sha1:{first}: ConfigMap/{namespace}/a created, ConfigMap/{namespace}/b created"
        ),
        format!(
            "Normal Applied Applied main@sha1:{second}: ConfigMap/{namespace}/a configured, ConfigMap/{namespace}/b deleted"
        ),
    ];
    assert_eq!(stage.events(), expected);
}

#[test]
fn an_event_lists_as_many_changes_as_it_holds_and_counts_the_others() {
    let stage = Stage::new("crowd");
    let name = |number: usize| format!("{}-{number:02}", "long".repeat(15));
    for number in 0..30 {
        stage.repo.write(&format!("app/{number}.yaml"), config_map(&name(number), "value")).unwrap();
    }
    let commit = stage.commit(&[]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let note = stage.event(&format!("Normal Applied Applied main@sha1:{commit}: "));
    let listed = note.matches(" created").count();
    assert!(note.ends_with(&format!(" created and {} more", 30 - listed)) && listed > 5, "{note}");
    assert!(note.trim_start_matches("Normal Applied ").len() <= 1024, "{note}");
}

#[test]
fn what_others_changed_is_reverted_at_the_interval() {
    let stage = Stage::new("interval");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    stage.patch_spec(r#"{"interval": "1s"}"#);
    stage.kubectl(&["patch", "configmap/a", "--type=merge", "--patch", r#"{"data": {"key": "two"}}"#]).unwrap();
    let attempt = || {
        let value = stage.get("configmap/a").map_err(|failure| failure.to_string())?["data"]["key"].clone();
        if value == "one" { Ok(()) } else { Err(value.to_string()) }
    };
    eventually(PATIENCE, "the value of Git", attempt).unwrap();
}

/// Refuses every write of an inventory in one namespace.
const NO_INVENTORIES: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules:
    - {apiGroups: [waxwing.dev], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [inventories]}
  validations: [{expression: "false", message: not now}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE, validationActions: [Deny]}
"#;

const INVENTORY: &str = "apiVersion: waxwing.dev/v1alpha1\nkind: Inventory\nmetadata: {name: probe, namespace: NAMESPACE}\nspec: {sync: {name: x, uid: u}, shard: 0}\n";

#[test]
fn nothing_is_applied_while_it_cannot_be_recorded() {
    let stage = Stage::new("recordless");
    cluster().apply_yaml(&NO_INVENTORIES.replace("NAMESPACE", &stage.namespace)).unwrap();
    let probe = INVENTORY.replace("NAMESPACE", &stage.namespace);
    let attempt = || match cluster().kubectl_call(&["create", "--dry-run=server", "-f-"]).stdin(probe.as_str()).text() {
        Err(refusal) if refusal.to_string().contains("not now") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(PATIENCE, "the policy in force", attempt).unwrap();
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "InventoryFailed");
    assert!(message(&sync).contains("not now; hint: it is tried again"), "{}", message(&sync));
    assert!(!stage.has("configmap/a"));
    cluster().kubectl(&["delete", "validatingadmissionpolicybinding", &stage.namespace]).unwrap();
    stage.applied(&commit);
}

#[test]
fn a_suspended_sync_leaves_the_cluster_as_it_is_until_it_is_resumed() {
    let stage = Stage::new("suspend");
    let first = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.sync("./app", "");
    stage.applied(&first);
    stage.patch_spec(r#"{"suspend": true}"#);
    let second = stage.commit(&[("app/a.yaml", &config_map("a", "two"))]);
    stage.fetched(&second);
    stage.kubectl(&["annotate", "sync/app", "waxwing.dev/requestedAt=now"]).unwrap();
    stage.kubectl(&["delete", "configmap/a"]).unwrap();
    stage.patch_spec(r#"{"suspend": false}"#);
    let sync = stage.applied(&second);
    assert_eq!(sync["status"]["lastHandledRequestedAt"], "now");
    let events = stage.events();
    assert_eq!(events.iter().filter(|event| event.contains(&second)).count(), 1, "{events:?}");
    assert!(events.iter().any(|event| event.ends_with("a created") && event.contains(&second)), "{events:?}");
}

#[test]
fn a_request_is_handled_and_noted() {
    let stage = Stage::new("request");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.sync("./app", "");
    assert_eq!(stage.applied(&commit)["status"]["lastHandledRequestedAt"], Value::Null);
    stage.kubectl(&["delete", "configmap/a"]).unwrap();
    let sync = stage.request();
    let annotation = &sync["metadata"]["annotations"]["waxwing.dev/requestedAt"];
    assert_eq!(&sync["status"]["lastHandledRequestedAt"], annotation);
    assert!(stage.has("configmap/a"));
}

#[test]
fn a_source_that_is_missing_or_has_nothing_yet_is_named() {
    let stage = Stage::new("sourceless");
    let namespace = &stage.namespace;
    stage.declare("app", "path: ./app\nserviceAccountName: deployer");
    let sync = stage.ready("False", |message| message.contains("does not exist"));
    assert_eq!(status(&sync, "Ready"), pair("False", "SourceNotFound"));
    let expected = format!("GitSource {namespace}/fleet does not exist; hint: create it, or correct spec.sourceRef");
    assert_eq!(message(&sync), expected);
    assert_eq!(status(&sync, "Reconciling"), pair("True", "ProgressingWithRetry"));
    stage.source();
    let sync = stage.ready("False", |message| message.contains("has not fetched anything yet; hint: "));
    assert_eq!(status(&sync, "Ready"), pair("False", "SourceNotReady"));
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.applied(&commit);
}

#[test]
fn the_columns_answer_whether_all_is_well_at_which_revision_since_when_and_why_not() {
    let stage = Stage::new("columns");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let table = |arguments: &[&str]| mask(&stage.kubectl(arguments).unwrap(), &commit);
    insta::assert_snapshot!(table(&["get", "syncs"]), @"
    NAME READY SINCE REVISION STATUS AGE
    app True AGO main@sha1:COMMIT Applied main@sha1:COMMIT AGO
    ");
    insta::assert_snapshot!(table(&["get", "wxs", "--output=wide"]), @"
    NAME READY SINCE REVISION STATUS AGE SOURCE PATH OBJECTS SUSPENDED
    app True AGO main@sha1:COMMIT Applied main@sha1:COMMIT AGO fleet ./app 1 false
    ");
    insta::assert_snapshot!(table(&["get", "waxwing"]), @"
    NAME READY SINCE REVISION STATUS AGE
    gitsource.waxwing.dev/fleet True AGO main@sha1:COMMIT Fetched main@sha1:COMMIT AGO

    NAME SYNC SHARD AGE
    inventory.waxwing.dev/app.0 app 0 AGO

    NAME READY SINCE REVISION STATUS AGE
    sync.waxwing.dev/app True AGO main@sha1:COMMIT Applied main@sha1:COMMIT AGO
    ");
}

/// Replaces what differs from run to run, and makes the space between columns independent of it.
fn mask(table: &str, commit: &str) -> String {
    let word = |word: &str| {
        let is_age = word.ends_with('s') && word.starts_with(|first: char| first.is_ascii_digit());
        if is_age { "AGO".to_owned() } else { word.replace(commit, "COMMIT") }
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}
