//! Proves what applying does: stages, all or nothing, adoption, conflicts, drift, and what is left alone.

use serde_json::Value;
use waxwing_harness::eventually;

use crate::act::{config_map, failing, message};
use crate::stage::{PATIENCE, Stage, cluster, condition};

/// The tenant may define kinds, make namespaces and grant rights, and nothing else outside its own namespace.
const DEFINER: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAMESPACE}
rules:
  - {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, create, patch]}
  - {apiGroups: [""], resources: [namespaces], verbs: [get, create, patch]}
  - apiGroups: [rbac.authorization.k8s.io]
    resources: [roles, rolebindings, clusterroles, clusterrolebindings]
    verbs: [get, create, patch, bind, escalate]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NAMESPACE}]
"#;

/// Two kinds, one of them without namespaces, a namespace, the rights on all that, and objects that need it all.
const WORLD: &str = r#"
apiVersion: NAMESPACE.example.com/v1
kind: Planet
metadata: {name: earth}
spec: {size: 3}
---
apiVersion: NAMESPACE.example.com/v1
kind: Moon
metadata: {name: luna, namespace: NAMESPACE-world}
spec: {size: 1}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: NAMESPACE-world}
data: {key: value}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: NAMESPACE-world}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NAMESPACE}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: NAMESPACE-world}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch]}
  - {apiGroups: [NAMESPACE.example.com], resources: [moons], verbs: [get, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAMESPACE-planets}
rules: [{apiGroups: [NAMESPACE.example.com], resources: [planets], verbs: [get, create, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAMESPACE-planets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE-planets}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NAMESPACE}]
---
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE-world}
---
DEFINITION of Planet, planets, Cluster
---
DEFINITION of Moon, moons, Namespaced
"#;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.NAMESPACE.example.com}
spec:
  group: NAMESPACE.example.com
  names: {kind: KIND, plural: PLURAL}
  scope: SCOPE
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
"#;

fn definition(kind: &str, plural: &str, scope: &str) -> String {
    DEFINITION.trim().replace("KIND", kind).replace("PLURAL", plural).replace("SCOPE", scope)
}

#[test]
fn one_sync_applies_kinds_namespaces_and_rights_together_with_what_needs_them() {
    let stage = Stage::new("world");
    cluster().apply_yaml(&DEFINER.replace("NAMESPACE", &stage.namespace)).unwrap();
    let world = WORLD
        .replace("DEFINITION of Planet, planets, Cluster", &definition("Planet", "planets", "Cluster"))
        .replace("DEFINITION of Moon, moons, Namespaced", &definition("Moon", "moons", "Namespaced"))
        .replace("NAMESPACE", &stage.namespace);
    let commit = stage.commit(&[("app/world.yaml", &world)]);
    stage.sync("./app", "");
    let sync = stage.applied(&commit);
    assert_eq!(sync["status"]["counts"]["created"], 10, "{:?}", stage.events());
    assert_eq!(stage.events().iter().filter(|event| event.contains("created")).count(), 1, "{:?}", stage.events());
    assert_eq!(stage.get(&format!("planets.{}.example.com/earth", stage.namespace)).unwrap()["spec"]["size"], 3);
    let settled = stage.request();
    assert_eq!(condition(&settled, "Ready")["status"], "True", "{settled:#}");
    assert_eq!(settled["status"]["counts"]["created"], 10, "a sync that changes nothing leaves the numbers");
}

#[test]
fn string_data_is_folded_and_a_key_that_leaves_git_leaves_the_secret() {
    let stage = Stage::new("fold");
    let seal = |entries: &str| {
        let plain = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {entries}\n");
        stage.sops("db.yaml", &plain, &["--encrypted-regex", "^(data|stringData)$"])
    };
    let commit = stage.commit(&[("app/db.yaml", &seal("{user: admin, password: first}"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("db", "password").as_deref(), Some("first"));
    let commit = stage.commit(&[("app/db.yaml", &seal("{user: root}"))]);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("db", "user").as_deref(), Some("root"));
    assert_eq!(stage.secret_value("db", "password"), None);
    let fields =
        stage.kubectl(&["get", "secret/db", "--show-managed-fields", "--output=jsonpath={.metadata.managedFields}"]);
    assert!(!fields.unwrap().contains("f:stringData"));
}

#[test]
fn a_second_sync_changes_nothing() {
    let stage = Stage::new("again");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hidden}\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    let commit = stage.commit(&[
        ("app/config.yaml", &config_map("settings", "value")),
        ("app/service.yaml", service),
        ("app/db.yaml", &stage.sops("db.yaml", secret, &["--encrypted-regex", "^stringData$"])),
    ]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let versions = || {
        let objects = ["configmap/settings", "service/web", "secret/db"].map(|name| stage.get(name).unwrap());
        let inventories = stage.get("inventories").unwrap()["items"].as_array().unwrap().clone();
        let versions = objects.iter().chain(&inventories).map(|object| object["metadata"]["resourceVersion"].clone());
        versions.collect::<Vec<_>>()
    };
    assert_eq!(versions().len(), 4);
    let (before, events) = (versions(), stage.events());
    let sync = stage.request();
    assert_eq!(condition(&sync, "Ready")["status"], "True");
    assert_eq!((versions(), stage.events()), (before.clone(), events.clone()));
    // Nor does a commit of what it doesn't read: its status alone says that it has seen it.
    stage.applied(&stage.commit(&[("README", "news")]));
    assert_eq!((versions(), stage.events()), (before, events));
}

#[test]
fn an_object_that_kubectl_made_is_adopted_with_all_its_fields() {
    let stage = Stage::new("adopt");
    let before = "metadata: {name: NAME, annotations: {left: behind}}\ndata: {key: old, dropped: value}\n";
    for (name, verb) in
        [("created", vec!["create"]), ("applied", vec!["apply"]), ("merged", vec!["apply", "--server-side"])]
    {
        let document = format!("apiVersion: v1\nkind: ConfigMap\n{}", before.replace("NAME", name));
        let namespace = ["--namespace", &stage.namespace, "--filename=-"];
        cluster().kubectl_call(&verb).args(namespace).stdin(document).text().unwrap();
    }
    let names = ["created", "applied", "merged"];
    let documents = names.map(|name| config_map(name, "new")).join("---\n");
    let commit = stage.commit(&[("app/all.yaml", &documents)]);
    stage.sync("./app", "");
    let sync = stage.applied(&commit);
    assert_eq!(sync["status"]["counts"]["configured"], 3);
    for name in names {
        let object = stage.get(&format!("configmap/{name}")).unwrap();
        assert_eq!(object["data"], serde_json::json!({"key": "new"}), "{name}");
        let annotations: Vec<_> = object["metadata"]["annotations"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(annotations, ["waxwing.dev/sync-name"], "{name}");
        let note = format!("ConfigMap/{}/{name} configured (adopted)", stage.namespace);
        assert!(stage.events().iter().any(|event| event.contains(&note)), "{:?}", stage.events());
    }
}

#[test]
fn an_object_that_a_controller_has_is_a_conflict() {
    let stage = Stage::new("controlled");
    stage.kubectl(&["create", "configmap", "owner"]).unwrap();
    stage.kubectl(&["create", "configmap", "owned", "--from-literal=key=old"]).unwrap();
    let uid = stage.get("configmap/owner").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let owner = format!(
        r#"{{"metadata": {{"ownerReferences": [{{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "{uid}", "controller": true}}]}}}}"#
    );
    stage.kubectl(&["patch", "configmap/owned", "--type=merge", "--patch", &owner]).unwrap();
    let commit =
        stage.commit(&[("app/a.yaml", &config_map("owned", "new")), ("app/b.yaml", &config_map("other", "new"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "PlanConflict");
    let expected = format!("is controlled by ConfigMap/{}/owner (app/a.yaml:1); hint: ", stage.namespace);
    assert!(message(&sync).contains(&expected), "{}", message(&sync));
    assert_eq!(stage.get("configmap/owned").unwrap()["data"]["key"], "old");
    assert!(!stage.has("configmap/other"));
}

#[test]
fn two_syncs_never_share_an_object_and_hand_it_over_when_one_drops_it() {
    let stage = Stage::new("handover");
    let first =
        stage.commit(&[("one/shared.yaml", &config_map("shared", "one")), ("one/own.yaml", &config_map("own", "one"))]);
    stage.source();
    stage.declare("first", "path: ./one\nserviceAccountName: deployer");
    let ready = |name: &str, wanted: &str| {
        let attempt = || {
            let sync = stage.get(&format!("sync/{name}")).map_err(|failure| failure.to_string())?;
            if message(&sync).contains(wanted) { Ok(sync) } else { Err(message(&sync)) }
        };
        eventually(PATIENCE, wanted, attempt).unwrap()
    };
    ready("first", &first);
    let uid = stage.get("configmap/shared").unwrap()["metadata"]["uid"].clone();
    stage.commit(&[("two/shared.yaml", &config_map("shared", "two"))]);
    stage.declare("second", "path: ./two\nserviceAccountName: deployer");
    let sync = ready("second", &format!("belongs to Sync {}/first (two/shared.yaml:1); hint: ", stage.namespace));
    assert_eq!(condition(&sync, "Ready")["reason"], "PlanConflict");
    assert_eq!(stage.get("configmap/shared").unwrap()["data"]["key"], "one");
    let sync = ready("first", "; claimed too: ");
    let expected = format!("claimed too: ConfigMap/{0}/shared by Sync {0}/second; hint: ", stage.namespace);
    assert!(message(&sync).contains(&expected), "{}", message(&sync));
    assert_eq!(condition(&sync, "Ready")["status"], "True");
    let last = stage.remove(&["one/shared.yaml"]);
    ready("second", &format!("Applied main@sha1:{last}"));
    let shared = stage.get("configmap/shared").unwrap();
    assert_eq!((&shared["data"]["key"], &shared["metadata"]["uid"]), (&Value::from("two"), &uid));
    let attempt = || {
        let told = message(&stage.get("sync/first").map_err(|failure| failure.to_string())?);
        if told.contains("claimed too") { Err(told) } else { Ok(()) }
    };
    eventually(PATIENCE, "no claim any more", attempt).unwrap();
}

#[test]
fn one_object_that_fails_its_dry_run_keeps_all_others_back_and_every_one_is_listed() {
    let stage = Stage::new("nothing");
    for number in 0..8 {
        stage.repo.write(&format!("app/{number}.yaml"), config_map(&format!("good-{number}"), "value")).unwrap();
    }
    let service = |name: &str, port: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n")
    };
    let commit = stage.commit(&[("app/x.yaml", &service("far", "99999")), ("app/y.yaml", &service("odd", "-1"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "DryRunFailed");
    let expected = ["far", "odd"].map(|name| format!("Service/{}/{name}", stage.namespace));
    assert_eq!(failing(&sync), expected);
    assert!(message(&sync).contains("spec.ports[0].port") && message(&sync).contains("hint: "), "{}", message(&sync));
    assert!(message(&sync).ends_with("(and 1 more in status.failures)"), "{}", message(&sync));
    assert!((0..8).all(|number| !stage.has(&format!("configmap/good-{number}"))));
    let commit = stage.commit(&[("app/x.yaml", &service("far", "9")), ("app/y.yaml", &service("odd", "1"))]);
    assert_eq!(stage.applied(&commit)["status"]["counts"]["created"], 10);
}

#[test]
fn a_failure_after_the_dry_run_is_reported_with_what_was_applied_and_prunes_nothing() {
    let stage = Stage::new("quota");
    let first = stage.commit(&[("app/a.yaml", &config_map("first", "value"))]);
    stage.sync("./app", "");
    stage.applied(&first);
    // The numbers of a quota are a controller's; without it the API server counts on from what stands there.
    stage.kubectl(&["create", "quota", "few", "--hard=count/configmaps=2"]).unwrap();
    let allow = |count: u8| {
        let status = format!(
            r#"{{"spec": {{"hard": {{"count/configmaps": "{count}"}}}},
                "status": {{"hard": {{"count/configmaps": "{count}"}}, "used": {{"count/configmaps": "1"}}}}}}"#
        );
        let patch = ["patch", "resourcequota/few", "--type=merge", "--patch", &status];
        stage.kubectl(&patch).unwrap();
        stage.kubectl(&[&patch[..], &["--subresource=status"]].concat()).unwrap();
    };
    allow(2);
    stage.repo.write("app/b.yaml", config_map("second", "value")).unwrap();
    stage.repo.write("app/c.yaml", config_map("third", "value")).unwrap();
    let commit = stage.remove(&["app/a.yaml"]);
    // The next attempt meets the full quota in its dry run already, so the event is what stays to be read.
    let event = stage.event("Warning ApplyFailed");
    assert!(event.contains("exceeded quota: few"), "{event}");
    assert!(event.contains("or see the quotas and policies of its namespace: ConfigMap/"), "{event}");
    assert!(event.ends_with(" created"), "{event}");
    let sync = stage.get("sync/app").unwrap();
    assert_eq!(sync["status"]["lastAppliedRevision"], format!("main@sha1:{first}"));
    let applied = ["second", "third"].iter().filter(|name| stage.has(&format!("configmap/{name}"))).count();
    assert_eq!((applied, stage.has("configmap/first")), (1, true));
    allow(9);
    stage.applied(&commit);
    assert_eq!(["first", "second", "third"].map(|name| stage.has(&format!("configmap/{name}"))), [false, true, true]);
}

#[test]
fn an_object_outside_the_rights_of_the_tenant_is_forbidden_and_nothing_else_is_applied() {
    let stage = Stage::new("rights");
    let elsewhere = config_map("intruder", "value").replace("{name: ", "{namespace: default, name: ");
    let commit = stage.commit(&[("app/a.yaml", &elsewhere), ("app/b.yaml", &config_map("own", "value"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "Forbidden");
    let hint = format!("hint: grant ServiceAccount {}/deployer the right by a Role", stage.namespace);
    assert!(message(&sync).contains(&hint), "{}", message(&sync));
    assert_eq!(failing(&sync), ["ConfigMap/default/intruder"]);
    assert!(!stage.has("configmap/own"));
}

#[test]
fn an_object_that_the_rights_of_its_revision_do_not_cover_is_forbidden_once_they_stand() {
    let stage = Stage::new("uncovered");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: \
                [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]\n";
    let elsewhere = config_map("intruder", "value").replace("{name: ", "{namespace: default, name: ");
    let commit = stage.commit(&[("app/a.yaml", &elsewhere), ("app/role.yaml", role)]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "Forbidden");
    assert_eq!(failing(&sync), ["ConfigMap/default/intruder"]);
    assert_eq!(sync["status"]["lastAppliedRevision"], Value::Null);
    assert!(stage.has("role/reader"));
}

#[test]
fn an_object_that_says_so_is_left_alone() {
    let stage = Stage::new("alone");
    let mine = "metadata: {name: mine, annotations: {waxwing.dev/reconcile: Disabled}}";
    let commit = stage.commit(&[
        ("app/live.yaml", &config_map("live", "git")),
        ("app/mine.yaml", &config_map("mine", "git").replace("metadata: {name: mine}", mine)),
    ]);
    stage.kubectl(&["create", "configmap", "live", "--from-literal=key=mine"]).unwrap();
    stage.kubectl(&["annotate", "configmap/live", "waxwing.dev/reconcile=Disabled"]).unwrap();
    stage.sync("./app", "");
    let sync = stage.applied(&commit);
    assert_eq!(sync["status"]["counts"]["skipped"], 2);
    assert_eq!(stage.get("configmap/live").unwrap()["data"]["key"], "mine");
    assert!(!stage.has("configmap/mine"));
}

#[test]
fn git_may_not_set_our_marks_nor_an_annotation_that_is_not_known() {
    let stage = Stage::new("marks");
    let table = [
        ("labels: {waxwing.dev/sync: x}", "hint: remove waxwing.dev/sync: Waxwing sets it itself"),
        ("annotations: {waxwing.dev/sync-name: a/b}", "hint: remove waxwing.dev/sync-name: Waxwing sets it itself"),
        ("annotations: {waxwing.dev/prune: 'no'}", "hint: set waxwing.dev/prune to Enabled, Disabled or Confirmed"),
    ];
    stage.sync("./app", "");
    for (metadata, hint) in table {
        let marked = config_map("marked", "value").replace("{name: marked}", &format!("{{name: marked, {metadata}}}"));
        let sync = stage.refused(&stage.commit(&[("app/a.yaml", &marked)]), "PlanConflict");
        assert!(message(&sync).contains(hint), "{}", message(&sync));
        assert!(message(&sync).contains("(app/a.yaml:1)"), "{}", message(&sync));
    }
    assert!(!stage.has("configmap/marked"));
}

#[test]
fn an_object_that_is_being_deleted_is_awaited_while_the_rest_proceeds() {
    let stage = Stage::new("going");
    stage.kubectl(&["create", "configmap", "going"]).unwrap();
    let hold = |finalizers: &str| {
        let patch = format!(r#"{{"metadata": {{"finalizers": {finalizers}}}}}"#);
        stage.kubectl(&["patch", "configmap/going", "--type=merge", "--patch", &patch]).unwrap();
    };
    hold(r#"["example.com/hold"]"#);
    stage.kubectl(&["delete", "configmap/going", "--wait=false"]).unwrap();
    let commit =
        stage.commit(&[("app/a.yaml", &config_map("going", "new")), ("app/b.yaml", &config_map("other", "new"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "Terminating");
    assert_eq!(failing(&sync), [format!("ConfigMap/{}/going", stage.namespace)]);
    assert!(stage.has("configmap/other"));
    hold("null");
    stage.applied(&commit);
    assert_eq!(stage.get("configmap/going").unwrap()["data"]["key"], "new");
}

#[test]
fn a_namespace_that_is_being_deleted_is_awaited_while_the_rest_proceeds() {
    let stage = Stage::new("leaving");
    stage.make_administrator();
    let leaving = format!("{}-leaving", stage.namespace);
    let held = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: held, namespace: {leaving}, finalizers: [example.com/hold]}}\n"
    );
    cluster().kubectl(&["create", "namespace", &leaving]).unwrap();
    cluster().apply_yaml(&held).unwrap();
    cluster().kubectl(&["delete", "namespace", &leaving, "--wait=false"]).unwrap();
    let inside = config_map("inside", "new").replace("{name: ", &format!("{{namespace: {leaving}, name: "));
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {leaving}}}\n---\n{inside}");
    let commit = stage.commit(&[("app/a.yaml", &namespace), ("app/b.yaml", &config_map("other", "new"))]);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "Terminating");
    assert_eq!(failing(&sync), [format!("Namespace/{leaving}"), format!("ConfigMap/{leaving}/inside")]);
    assert!(stage.has("configmap/other"));
    let release = ["patch", "configmap/held", "--type=merge", "--patch", r#"{"metadata": {"finalizers": null}}"#];
    cluster().kubectl(&[&["--namespace", &leaving], &release[..]].concat()).unwrap();
    stage.applied(&commit);
    assert_eq!(
        cluster().kubectl(&["get", "configmap/inside", "--namespace", &leaving, "--output=name"]).unwrap(),
        "configmap/inside\n"
    );
}
