//! Proves what pruning does and what holds it back, and how a deleted Sync ends.

use serde_json::Value;
use waxwing_harness::eventually;

use crate::act::{config_map, message};
use crate::stage::{Alone, PATIENCE, Stage, cluster, condition, start_controller};

/// A claim that nothing here fulfils: it is not healthy before a test says so.
const CLAIM: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME, annotations: {NOTE}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"#;

fn claim(name: &str, note: &str) -> String {
    CLAIM.replace("NAME", name).replace("NOTE", note)
}

fn noted(name: &str, note: &str) -> String {
    config_map(name, "value").replace("{name: ", &format!("{{annotations: {{{note}}}, name: "))
}

fn namespace(name: &str, note: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, annotations: {{{note}}}}}\n")
}

/// Writes `count` ConfigMaps, each into a file of its own.
fn write_many(stage: &Stage, count: usize) {
    for number in 0..count {
        stage.repo.write(&format!("app/{number}.yaml"), config_map(&format!("many-{number}"), "value")).unwrap();
    }
}

/// Makes a tenant whose Sync has applied `count` ConfigMaps; `spec` is YAML that goes into the Sync's spec.
fn stage_with(name: &str, count: usize, spec: &str) -> Stage {
    let stage = Stage::new(name);
    write_many(&stage, count);
    let commit = stage.commit(&[]);
    stage.sync("./app", spec);
    stage.applied(&commit);
    stage
}

fn count(stage: &Stage) -> usize {
    stage.kubectl(&["get", "configmaps", "--output=name"]).unwrap().matches("many-").count()
}

#[test]
fn what_leaves_git_leaves_the_cluster_unless_an_annotation_or_its_kind_keeps_it() {
    let stage = Stage::new("prune");
    stage.make_administrator();
    let (confirmed, unconfirmed) = (format!("{}-confirmed", stage.namespace), format!("{}-kept", stage.namespace));
    stage.commit(&[
        ("app/stays.yaml", &config_map("stays", "value")),
        ("app/more/plain.yaml", &config_map("plain", "value")),
        ("app/more/disabled.yaml", &noted("disabled", "waxwing.dev/prune: Disabled")),
        ("app/more/claim.yaml", &claim("unconfirmed", "")),
        ("app/more/confirmed-claim.yaml", &claim("confirmed", "waxwing.dev/prune: Confirmed")),
        ("app/more/namespace.yaml", &namespace(&unconfirmed, "")),
        ("app/more/confirmed-namespace.yaml", &namespace(&confirmed, "waxwing.dev/prune: Confirmed")),
    ]);
    stage.sync("./app", "wait: false");
    stage.applied(&stage.repo.head().unwrap());
    let sync = stage.applied(&stage.remove(&["app/more"]));
    assert_eq!(sync["status"]["counts"]["deleted"], 3);
    assert!(!stage.has("configmap/plain"));
    stage.gone("persistentvolumeclaim/confirmed");
    stage.gone(&format!("namespace/{confirmed}"));
    for kept in ["configmap/stays", "configmap/disabled", "persistentvolumeclaim/unconfirmed"] {
        assert!(stage.has(kept), "{kept}");
    }
    assert!(stage.has(&format!("namespace/{unconfirmed}")));
}

#[test]
fn an_object_that_is_no_longer_the_one_that_was_applied_is_left() {
    let stage = Stage::new("other");
    let names = ["unmarked", "replaced", "plain"];
    let documents = names.map(|name| config_map(name, "value")).join("---\n");
    let commit = stage.commit(&[("app/stays.yaml", &config_map("stays", "value")), ("app/all.yaml", &documents)]);
    stage.sync("./app", "");
    stage.applied(&commit);
    stage.patch_spec(r#"{"suspend": true}"#);
    stage.kubectl(&["label", "configmap/unmarked", "waxwing.dev/sync-"]).unwrap();
    let copy = stage.kubectl(&["get", "configmap/replaced", "--output=yaml"]).unwrap();
    let copy: String = copy.lines().filter(|line| !line.contains("uid:")).map(|line| format!("{line}\n")).collect();
    let replace = ["replace", "--force", "--namespace", &stage.namespace, "--filename=-"];
    cluster().kubectl_call(&replace).stdin(copy).text().unwrap();
    let removal = stage.remove(&["app/all.yaml"]);
    stage.fetched(&removal);
    stage.patch_spec(r#"{"suspend": false}"#);
    let sync = stage.applied(&removal);
    assert_eq!(sync["status"]["counts"]["deleted"], 1);
    assert_eq!(names.map(|name| stage.has(&format!("configmap/{name}"))), [true, true, false]);
}

#[test]
fn a_revision_without_any_object_deletes_nothing_before_the_sync_says_so() {
    let stage = Stage::new("empty");
    let commit = stage.commit(&[("app/README.md", "nothing here"), ("app/a.yaml", &config_map("many-0", "value"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let commit = stage.remove(&["app/a.yaml"]);
    let sync = stage.refused(&commit, "PruneRefused");
    assert_eq!(
        message(&sync),
        "the render is empty: 1 objects stay; hint: if that is meant, set spec.prune.allowEmpty to true; if not, check \
         spec.path"
    );
    assert_eq!(condition(&sync, "Stalled")["status"], "True");
    assert_eq!(count(&stage), 1);
    stage.patch_spec(r#"{"prune": {"allowEmpty": true}}"#);
    stage.applied(&commit);
    assert_eq!(count(&stage), 0);
}

#[test]
fn more_than_half_of_over_ten_objects_go_only_when_the_sync_says_so() {
    let stage = stage_with("half", 12, "");
    let paths: Vec<String> = (0..7).map(|number| format!("app/{number}.yaml")).collect();
    let commit = stage.remove(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let sync = stage.refused(&commit, "PruneRefused");
    assert!(message(&sync).starts_with("7 of 12 objects left Git, more than 50 percent: they stay"), "{sync:#}");
    assert_eq!(count(&stage), 12);
    stage.patch_spec(r#"{"prune": {"maxPercent": 60}}"#);
    let sync = stage.applied(&commit);
    assert_eq!(sync["status"]["counts"]["deleted"], 7);
    assert_eq!(count(&stage), 5);
}

#[test]
fn a_sync_that_does_not_prune_leaves_what_left_git_until_it_does() {
    let stage = stage_with("off", 2, "prune: {enabled: false}");
    let commit = stage.remove(&["app/0.yaml"]);
    stage.applied(&commit);
    assert_eq!(count(&stage), 2);
    stage.patch_spec(r#"{"prune": {"enabled": true}}"#);
    stage.gone("configmap/many-0");
    assert_eq!(count(&stage), 1);
}

#[test]
fn nothing_is_pruned_while_an_object_fails() {
    let stage = stage_with("failing", 2, "");
    stage.repo.write("app/bad.yaml", config_map("bad", "value").replace("{key: value}", "{'a/b': value}")).unwrap();
    let commit = stage.remove(&["app/0.yaml"]);
    stage.refused(&commit, "DryRunFailed");
    assert_eq!(count(&stage), 2);
    stage.applied(&stage.remove(&["app/bad.yaml"]));
    assert_eq!(count(&stage), 1);
}

#[test]
fn nothing_is_pruned_before_everything_is_healthy() {
    let stage = stage_with("unhealthy", 2, "");
    stage.repo.write("app/claim.yaml", claim("claim", "")).unwrap();
    let commit = stage.remove(&["app/0.yaml"]);
    stage.ready("Unknown", |message| message.contains("claim: it is not bound yet"));
    assert_eq!(count(&stage), 2);
    let bound = ["--subresource=status", "--type=merge", "--patch", r#"{"status": {"phase": "Bound"}}"#];
    stage.kubectl(&[&["patch", "persistentvolumeclaim/claim"], &bound[..]].concat()).unwrap();
    stage.applied(&commit);
    assert_eq!(count(&stage), 1);
}

#[test]
fn an_object_that_may_not_be_deleted_is_named_and_tried_again() {
    let stage = Stage::new("forbidden");
    stage.account("writer", "get,create,patch", "configmaps");
    write_many(&stage, 2);
    let commit = stage.commit(&[]);
    stage.source();
    stage.declare("app", "path: ./app\nserviceAccountName: writer");
    stage.applied(&commit);
    let commit = stage.remove(&["app/0.yaml"]);
    let sync = stage.refused(&commit, "PruneFailed");
    let hint = format!("hint: let ServiceAccount {}/writer delete it", stage.namespace);
    assert!(message(&sync).contains(&hint), "{}", message(&sync));
    stage.kubectl(&["create", "role", "delete", "--verb=delete", "--resource=configmaps"]).unwrap();
    let subject = format!("--serviceaccount={}:writer", stage.namespace);
    stage.kubectl(&["create", "rolebinding", "delete", "--role=delete", &subject]).unwrap();
    stage.applied(&commit);
    assert_eq!(count(&stage), 1);
}

#[test]
fn a_deleted_sync_prunes_what_it_applied_and_ends_with_its_inventory() {
    let stage = Stage::new("end");
    write_many(&stage, 2);
    let commit = stage.commit(&[("app/kept.yaml", &noted("kept", "waxwing.dev/prune: Disabled"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    assert!(stage.has("inventories"));
    stage.kubectl(&["delete", "sync/app", "--timeout=120s"]).unwrap();
    assert_eq!(count(&stage), 0);
    assert!(stage.has("configmap/kept"));
    assert!(!stage.has("inventories"));
}

#[test]
fn a_deleted_sync_that_does_not_prune_or_is_suspended_leaves_its_objects() {
    for (name, spec) in [("no-prune", r#"{"prune": {"enabled": false}}"#), ("suspended", r#"{"suspend": true}"#)] {
        let stage = stage_with(name, 1, "");
        stage.patch_spec(spec);
        stage.kubectl(&["delete", "sync/app", "--timeout=120s"]).unwrap();
        assert_eq!(count(&stage), 1, "{name}");
        assert!(!stage.has("inventories"), "{name}");
    }
}

#[test]
fn a_deleted_sync_lets_go_of_an_object_that_does_not_end_and_says_so() {
    let stage = Stage::new("stuck");
    let held = config_map("held", "value").replace("{name: ", "{finalizers: [example.com/hold], name: ");
    let commit = stage.commit(&[("app/held.yaml", &held), ("app/plain.yaml", &config_map("plain", "value"))]);
    stage.sync("./app", "timeout: 5s");
    stage.applied(&commit);
    stage.kubectl(&["delete", "sync/app", "--timeout=120s"]).unwrap();
    assert!(!stage.has("configmap/plain"));
    assert!(stage.get("configmap/held").unwrap()["metadata"]["deletionTimestamp"].is_string());
    let event = stage.event("Warning PruneFailed");
    let expected =
        format!("Let go of what could not be pruned: ConfigMap/{}/held: it is being deleted", stage.namespace);
    assert!(event.ends_with(&expected), "{event}");
}

/// A Sync with one object in its own namespace and one in another, which is returned.
fn spread(stage: &Stage) -> String {
    let elsewhere = format!("{}-elsewhere", stage.namespace);
    cluster().kubectl(&["create", "namespace", &elsewhere]).unwrap();
    stage.make_administrator();
    let there = config_map("there", "value").replace("{name: ", &format!("{{namespace: {elsewhere}, name: "));
    let commit = stage.commit(&[("app/a.yaml", &config_map("many-0", "value")), ("app/b.yaml", &there)]);
    stage.sync("./app", "");
    stage.applied(&commit);
    elsewhere
}

fn is_there(elsewhere: &str) -> bool {
    !cluster()
        .kubectl(&["get", "configmap/there", "-n", elsewhere, "--ignore-not-found", "-o", "name"])
        .unwrap()
        .is_empty()
}

#[test]
fn a_namespace_ends_with_the_syncs_in_it_and_with_what_they_applied_elsewhere() {
    let stage = Stage::new("ending");
    let elsewhere = spread(&stage);
    cluster().kubectl(&["delete", "namespace", &stage.namespace, "--timeout=120s"]).unwrap();
    assert!(!is_there(&elsewhere));
}

#[test]
fn a_sync_that_is_deleted_in_the_foreground_prunes_before_its_inventory_goes() {
    let stage = Stage::new("foreground");
    let elsewhere = spread(&stage);
    stage.kubectl(&["delete", "sync/app", "--cascade=foreground", "--timeout=120s"]).unwrap();
    assert!(!is_there(&elsewhere) && !stage.has("configmap/many-0"));
    stage.gone("inventories");
}

#[test]
fn the_inventory_of_a_sync_that_was_torn_away_holds_up_nothing() {
    let stage = Stage::new("torn");
    let elsewhere = spread(&stage);
    stage.patch_spec(r#"{"suspend": true}"#);
    let finalizers = ["patch", "sync/app", "--type=merge", "--patch", r#"{"metadata": {"finalizers": null}}"#];
    stage.kubectl(&finalizers).unwrap();
    stage.kubectl(&["delete", "sync/app", "--timeout=120s"]).unwrap();
    stage.gone("inventories");
    assert!(is_there(&elsewhere) && stage.has("configmap/many-0"));
}

/// An API whose server is not there, so that the API server can't tell which kinds it has.
const ABSENT_API: &str = r#"
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.absent.example.com}
spec:
  group: absent.example.com
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 15
  insecureSkipTLSVerify: true
  service: {namespace: default, name: nobody}
"#;

#[test]
fn an_object_whose_api_is_away_is_not_taken_for_gone() {
    // While it is there no namespace of the cluster can end.
    let alone = Alone::new();
    let cluster = alone.cluster();
    let _controller = start_controller(cluster, &[]).unwrap();
    let stage = Stage::on(cluster, "absent");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "one"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let entry = r#"{"group": "absent.example.com", "version": "v1", "kind": "Thing", "namespace": "default", "name": "x", "uid": "u", "state": "Applied"}"#;
    let patch = format!(r#"[{{"op": "add", "path": "/spec/entries/-", "value": {entry}}}]"#);
    cluster.apply_yaml(ABSENT_API).unwrap();
    stage.kubectl(&["patch", "inventories/app.0", "--type=json", "--patch", &patch]).unwrap();
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "two"))]);
    let sync = stage.refused(&commit, "ApiUnavailable");
    let expected = "absent.example.com/Thing v1 was applied and its API does not answer: the API server answered 503";
    assert!(message(&sync).starts_with(expected), "{}", message(&sync));
    let kept = || stage.get("inventories/app.0").unwrap()["spec"]["entries"].to_string().contains("absent.example.com");
    assert!(kept());
    cluster.kubectl(&["delete", "apiservice", "v1.absent.example.com"]).unwrap();
    stage.applied(&commit);
    assert!(!kept());
}

#[test]
fn an_object_goes_to_a_sync_of_another_namespace_that_may_write_it_without_being_deleted() {
    let (stage, heir) = (Stage::new("giver"), Stage::new("taker"));
    heir.make_administrator();
    let shared = |value: &str| {
        config_map("shared", value).replace("{name: ", &format!("{{namespace: {}, name: ", stage.namespace))
    };
    let commit = stage.commit(&[("app/shared.yaml", &shared("one")), ("app/own.yaml", &config_map("own", "one"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let uid = stage.get("configmap/shared").unwrap()["metadata"]["uid"].clone();
    let taken = heir.commit(&[("app/shared.yaml", &shared("two"))]);
    heir.sync("./app", "");
    heir.refused(&taken, "PlanConflict");
    stage.applied(&stage.remove(&["app/shared.yaml"]));
    heir.applied(&taken);
    let shared = stage.get("configmap/shared").unwrap();
    assert_eq!((&shared["data"]["key"], &shared["metadata"]["uid"]), (&Value::from("two"), &uid));
}

#[test]
fn an_object_that_another_sync_renders_is_not_deleted_with_the_first() {
    let stage = Stage::new("heir");
    let commit =
        stage.commit(&[("one/a.yaml", &config_map("shared", "one")), ("two/a.yaml", &config_map("shared", "two"))]);
    stage.sync("./one", "");
    stage.applied(&commit);
    let uid = stage.get("configmap/shared").unwrap()["metadata"]["uid"].clone();
    stage.declare("heir", "path: ./two\nserviceAccountName: deployer");
    let heir = |wanted: &str| {
        let attempt = || {
            let sync = stage.get("sync/heir").map_err(|failure| failure.to_string())?;
            if condition(&sync, "Ready")["reason"] == wanted { Ok(()) } else { Err(message(&sync)) }
        };
        eventually(PATIENCE, wanted, attempt).unwrap();
    };
    heir("PlanConflict");
    stage.kubectl(&["delete", "sync/app", "--timeout=120s"]).unwrap();
    heir("Applied");
    let shared = stage.get("configmap/shared").unwrap();
    assert_eq!((&shared["data"]["key"], &shared["metadata"]["uid"]), (&Value::from("two"), &uid));
}

/// Waits until a Sync has applied a revision.
fn has_applied(stage: &Stage, name: &str, commit: &str) {
    let attempt = || {
        let sync = stage.get(&format!("sync/{name}")).map_err(|failure| failure.to_string())?;
        let told = message(&sync);
        if told == format!("Applied main@sha1:{commit}") { Ok(()) } else { Err(told) }
    };
    eventually(PATIENCE, name, attempt).unwrap();
}

#[test]
fn a_commit_that_moves_an_object_deletes_it_in_neither_sync_whichever_comes_first() {
    let stage = Stage::new("moves");
    let uid = || stage.get("configmap/moved").unwrap()["metadata"]["uid"].clone();
    stage.commit(&[
        ("one/stays.yaml", &config_map("one", "value")),
        ("one/moved.yaml", &config_map("moved", "value")),
        ("two/stays.yaml", &config_map("two", "value")),
    ]);
    stage.source();
    for name in ["one", "two"] {
        stage.declare(name, &format!("path: ./{name}\nserviceAccountName: deployer"));
        // Nothing here may depend on being tried again.
        stage
            .kubectl(&[
                "patch",
                &format!("sync/{name}"),
                "--type=merge",
                "--patch",
                r#"{"spec": {"retryInterval": "1h"}}"#,
            ])
            .unwrap();
    }
    let commit = stage.commit(&[("one/more.yaml", &config_map("more", "value"))]);
    ["one", "two"].iter().for_each(|name| has_applied(&stage, name, &commit));
    let first = uid();
    for (from, to) in [("one", "two"), ("two", "one"), ("one", "two")] {
        stage.repo.remove(&format!("{from}/moved.yaml")).unwrap();
        let commit = stage.commit(&[(&format!("{to}/moved.yaml"), &config_map("moved", "value"))]);
        [to, from].iter().for_each(|name| has_applied(&stage, name, &commit));
        assert_eq!(uid(), first, "from {from} to {to}");
    }
}

#[test]
fn an_object_that_moves_to_a_sync_that_fails_is_kept_for_it() {
    let stage = Stage::new("moves-badly");
    stage.commit(&[("one/moved.yaml", &config_map("moved", "value")), ("two/stays.yaml", &config_map("two", "value"))]);
    stage.source();
    for name in ["one", "two"] {
        stage.declare(name, &format!("path: ./{name}\nserviceAccountName: deployer\nprune: {{allowEmpty: true}}"));
    }
    let commit = stage.commit(&[("one/more.yaml", &config_map("more", "value"))]);
    ["one", "two"].iter().for_each(|name| has_applied(&stage, name, &commit));
    let uid = || stage.get("configmap/moved").unwrap()["metadata"]["uid"].clone();
    let first = uid();
    // For the API server what is wrong with this is an error of its own, which may pass.
    let refused = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\nspec: {replicas: many}\n";
    stage.repo.remove("one/moved.yaml").unwrap();
    let commit = stage.commit(&[("two/moved.yaml", &config_map("moved", "other")), ("two/bad.yaml", refused)]);
    has_applied(&stage, "one", &commit);
    assert_eq!(uid(), first);
    stage.repo.remove("two/bad.yaml").unwrap();
    let commit = stage.commit(&[]);
    has_applied(&stage, "two", &commit);
    assert_eq!((uid(), stage.get("configmap/moved").unwrap()["data"]["key"].clone()), (first, "other".into()));
}

#[test]
fn a_sync_that_gets_another_name_keeps_its_objects() {
    let stage = Stage::new("renamed");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "value"))]);
    stage.source();
    stage.declare("old", "path: ./app\nserviceAccountName: deployer");
    has_applied(&stage, "old", &commit);
    let uid = stage.get("configmap/a").unwrap()["metadata"]["uid"].clone();
    stage.declare("new", "path: ./app\nserviceAccountName: deployer");
    stage.kubectl(&["delete", "sync/old"]).unwrap();
    has_applied(&stage, "new", &commit);
    assert_eq!(stage.get("configmap/a").unwrap()["metadata"]["uid"], uid);
}
