//! What a SealedSecret makes, and keeps so.

use std::time::Duration;

use serde_json::{Value, json};
use waxwing_harness::{
    Cluster, Controller, ControllerOptions, Fault, FaultProxy, Rule, SealedSecretsController, eventually,
};

use super::scene::{KEYS, Scene, add_key, base64, cleared, fixture, key_operations, start};
use crate::outages;
use crate::stage::{Alone, PATIENCE};

#[test]
fn a_sealed_secret_makes_its_secret_and_every_change_of_it_is_followed() {
    let scene = Scene::new("follow");
    let first = scene.seal(
        "login",
        &json!({"metadata": {"labels": {"app": "shop"}, "annotations": {"note": "x"}},
            "type": "example.com/login", "stringData": {"user": "shop", "password": "hunter2"}}),
    );
    let secret = scene.values("login", &[("user", "shop"), ("password", "hunter2")]);
    let told = scene.told("login", "True", str::is_empty);
    let metadata = &secret["metadata"];
    assert_eq!(
        [&secret["type"], &metadata["labels"], &metadata["annotations"]],
        [&json!("example.com/login"), &json!({"app": "shop"}), &json!({"note": "x"})]
    );
    let owner = json!([{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": "login",
        "uid": told["metadata"]["uid"], "controller": true}]);
    assert_eq!(metadata["ownerReferences"], owner);
    let condition = &told["status"]["conditions"][0];
    assert_eq!(condition["lastTransitionTime"], condition["lastUpdateTime"]);
    scene.event("login", "Normal Unsealed SealedSecret unsealed successfully");

    // An item goes, one comes, one changes its name, and so do a label and the annotations.
    let second = scene.sealed(
        "login",
        &json!({"metadata": {"labels": {"app": "bank"}}, "type": "example.com/login", "stringData": {"token": "new"}}),
        &[],
    );
    let mut mixed = second.clone();
    mixed["spec"]["encryptedData"]["renamed"] = first["spec"]["encryptedData"]["password"].clone();
    scene.apply(&mixed);
    let secret = scene.values("login", &[("token", "new"), ("renamed", "hunter2")]);
    assert_eq!(secret["metadata"]["labels"], json!({"app": "bank"}));
    assert_eq!(secret["metadata"]["annotations"], json!(null));
    assert_eq!(scene.told("login", "True", str::is_empty)["status"]["observedGeneration"], 2);
}

#[test]
fn what_others_change_of_its_secret_is_put_back_and_what_they_add_is_theirs() {
    let scene = Scene::new("drift");
    scene.seal("login", &json!({"metadata": {"labels": {"app": "shop"}}, "stringData": {"a": "1", "b": "2"}}));
    let expected = [("a", "1"), ("b", "2")];
    scene.values("login", &expected);
    scene.told("login", "True", str::is_empty);
    let path = scene.secret_path("login");
    for patch in [
        json!({"data": {"a": "b3RoZXI="}}),
        json!({"data": {"b": null}}),
        json!({"metadata": {"labels": {"app": "other"}}}),
        json!({"metadata": {"labels": {"app": null}}}),
    ] {
        scene.cluster.merge(&path, &patch).unwrap();
        let what = format!("{patch} put back");
        scene.secret_is("login", &what, |secret| {
            secret["metadata"]["labels"]["app"] == "shop"
                && secret["data"] == json!({"a": base64("1"), "b": base64("2")})
        });
    }
    scene.cluster.merge(&path, &json!({"data": {"more": "eA=="}})).unwrap();
    scene.cluster.merge(&path, &json!({"data": {"a": "b3RoZXI="}})).unwrap();
    scene.values("login", &[("a", "1"), ("b", "2"), ("more", "x")]);

    scene.cluster.delete(&path).unwrap();
    scene.values("login", &expected);
}

#[test]
fn a_secret_that_somebody_writes_over_again_and_again_is_left_for_a_while_and_a_new_spec_is_done_at_once() {
    let scene = Scene::new("contested");
    scene.seal("login", &json!({"stringData": {"a": "1"}}));
    scene.values("login", &[("a", "1")]);
    scene.told("login", "True", str::is_empty);
    let path = scene.secret_path("login");
    for round in 0..10 {
        scene.cluster.merge(&path, &json!({"data": {"a": base64(&format!("theirs-{round}"))}})).unwrap();
        scene.values("login", &[("a", "1")]);
    }
    scene.cluster.merge(&path, &json!({"data": {"a": base64("theirs")}})).unwrap();
    let told = "failed update: the Secret is written over again and again, last by \"waxwing-harness\", and is left for a while; \
        hint: let only one of the two write it";
    assert_eq!(scene.refusal("login"), told);
    scene.event("login", &format!("Warning ErrUpdateFailed {told}"));
    assert_eq!(scene.secret("login").unwrap()["data"]["a"], base64("theirs"));
    scene.seal("login", &json!({"stringData": {"a": "2"}}));
    scene.values("login", &[("a", "2")]);
    scene.told("login", "True", str::is_empty);
}

/// Refuses every update of a Secret that has a key `a` with the value 1.
const NOT_BACK: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules: [{apiGroups: [""], apiVersions: ["*"], operations: [UPDATE], resources: [secrets]}]
  validations: [{expression: "!('a' in object.data) || string(object.data.a) != 'VALUE'", message: not now, reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE, validationActions: [Deny]}
"#;

/// Has the API server refuse that this value of `a` is put back, writes over it and beside it, and returns the path of the Secret once
/// its SealedSecret says so.
fn written_over_for_now(scene: &Scene, name: &str, value: &str) -> String {
    let value = base64(value).as_str().unwrap().to_owned();
    let policy = NOT_BACK.replace("NAMESPACE", &scene.namespace).replace("VALUE", &value);
    scene.cluster.apply_yaml(&policy).unwrap();
    let path = scene.secret_path(name);
    let in_force = || match scene.cluster.merge(&path, &json!({"metadata": {"annotations": {"probe": "x"}}})) {
        Err(refusal) if format!("{refusal:?}").contains("not now") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(PATIENCE, "the policy in force", in_force).unwrap();
    scene.cluster.merge(&path, &json!({"data": {"a": base64("theirs"), "more": base64("x")}})).unwrap();
    scene.told(name, "False", |message| message.starts_with("failed update: the API server answered 403"));
    path
}

#[test]
fn putting_back_what_failed_once_still_leaves_what_others_added_and_counts_only_what_was_put_back() {
    let scene = Scene::new("late");
    scene.seal("login", &json!({"stringData": {"a": "1"}}));
    scene.values("login", &[("a", "1")]);
    scene.told("login", "True", str::is_empty);
    let path = written_over_for_now(&scene, "login", "1");
    scene.cluster.kubectl(&["delete", "validatingadmissionpolicybinding", &scene.namespace]).unwrap();
    scene.values("login", &[("a", "1"), ("more", "x")]);
    scene.told("login", "True", str::is_empty);
    for round in 0..9 {
        scene.cluster.merge(&path, &json!({"data": {"a": base64(&format!("theirs-{round}"))}})).unwrap();
        scene.values("login", &[("a", "1"), ("more", "x")]);
    }
    scene.cluster.merge(&path, &json!({"data": {"a": base64("theirs")}})).unwrap();
    assert!(scene.refusal("login").contains("again and again"));
}

#[test]
fn what_was_done_and_not_touched_costs_no_key_after_a_start_and_what_was_touched_meanwhile_is_put_back() {
    let alone = Alone::new();
    let cluster = cleared(&alone);
    let mut controller = start(cluster, &[]);
    let scene = Scene::on(cluster, "restart", &controller.get("/v1/cert.pem").unwrap().1);
    let names = ["one", "two", "three"];
    for name in names {
        scene.seal(name, &json!({"metadata": {"labels": {"app": "shop"}}, "stringData": {"a": name, "b": name}}));
    }
    let before = names.map(|name| {
        scene.told(name, "True", str::is_empty);
        scene.secret(name).unwrap()["metadata"]["resourceVersion"].clone()
    });
    assert_eq!(key_operations(&controller), 6);

    controller.restart().unwrap();
    controller.wait_ready().unwrap();
    scene.seal("four", &json!({"stringData": {"a": "4"}}));
    scene.values("four", &[("a", "4")]);
    assert_eq!(key_operations(&controller), 1, "only what is new was opened");
    assert_eq!(names.map(|name| scene.secret(name).unwrap()["metadata"]["resourceVersion"].clone()), before);

    controller.kill();
    scene.cluster.merge(&scene.secret_path("two"), &json!({"data": {"a": "b3RoZXI="}})).unwrap();
    scene.cluster.delete(&scene.secret_path("three")).unwrap();
    controller.restart().unwrap();
    controller.wait_ready().unwrap();
    for name in ["two", "three"] {
        scene.values(name, &[("a", name), ("b", name)]);
    }
    assert_eq!(scene.secret("one").unwrap()["metadata"]["resourceVersion"], before[0]);
    assert_eq!(key_operations(&controller), 4);

    // Started anew while putting back fails, it still leaves what others added.
    written_over_for_now(&scene, "one", "one");
    assert_eq!(scene.synced("one")["reason"], "SyncedBefore");
    controller.restart().unwrap();
    controller.wait_ready().unwrap();
    scene.cluster.kubectl(&["delete", "validatingadmissionpolicybinding", &scene.namespace]).unwrap();
    scene.values("one", &[("a", "one"), ("b", "one"), ("more", "x")]);
    scene.told("one", "True", str::is_empty);
    assert_eq!(scene.synced("one")["reason"], Value::Null);

    // A scope that changed meanwhile was never done.
    controller.kill();
    let wide = json!({"metadata": {"annotations": {"sealedsecrets.bitnami.com/cluster-wide": "true"}}});
    scene.cluster.merge(&scene.sealed_path("two"), &wide).unwrap();
    controller.restart().unwrap();
    scene.told("two", "False", |message| message.contains("it was sealed with scope strict"));
    assert_eq!(scene.synced("two")["reason"], Value::Null);
    drop(controller);
    scene.cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

#[test]
fn one_that_fails_says_why_keeps_its_secret_and_stops_no_other() {
    let scene = Scene::new("failing");
    let good = scene.seal("login", &json!({"stringData": {"a": "1"}}));
    let before = scene.values("login", &[("a", "1")]);
    let elsewhere = Scene::new("elsewhere").sealed("login", &json!({"stringData": {"b": "2"}}), &[]);
    let mut bad = good.clone();
    bad["spec"]["encryptedData"]["b"] = elsewhere["spec"]["encryptedData"]["b"].clone();
    scene.apply(&bad);
    let namespace = &scene.namespace;
    let refusal = scene.refusal("login");
    let expected = format!(
        "no key could decrypt secret (b): it was sealed with the certificate of another cluster or a key that is gone, or for \
         another name or namespace than {namespace}/login; hint: seal it again"
    );
    assert_eq!(refusal, expected);
    scene.event("login", "Warning ErrUnsealFailed Failed to unseal: no key could decrypt secret (b)");
    assert_eq!(scene.secret("login").unwrap()["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);

    // The message is the current one, and the neighbour is done.
    bad["spec"]["encryptedData"]["c"] = "no base64".into();
    scene.apply(&bad);
    scene.told("login", "False", |message| message.contains("the sealed value is not base64 (c)"));
    scene.seal("neighbour", &json!({"stringData": {"a": "1"}}));
    scene.values("neighbour", &[("a", "1")]);
    scene.apply(&good);
    scene.told("login", "True", str::is_empty);
    assert_eq!(scene.secret("login").unwrap()["data"], json!({"a": base64("1")}));
}

#[test]
fn a_scope_that_does_not_fit_is_named_and_setting_its_annotation_is_enough() {
    let scene = Scene::new("scopes");
    for scope in ["namespace-wide", "cluster-wide"] {
        let mut sealed = scene.sealed(scope, &json!({"stringData": {"a": "1"}}), &["--scope", scope]);
        sealed["metadata"].as_object_mut().unwrap().remove("annotations");
        scene.apply(&sealed);
        let refusal = scene.refusal(scope);
        assert!(
            refusal.contains(&format!("it was sealed with scope {scope}, and the SealedSecret has scope strict")),
            "{refusal}"
        );
        let annotation = format!("sealedsecrets.bitnami.com/{scope}");
        scene
            .cluster
            .merge(&scene.sealed_path(scope), &json!({"metadata": {"annotations": {annotation: "true"}}}))
            .unwrap();
        scene.values(scope, &[("a", "1")]);
        scene.told(scope, "True", str::is_empty);
    }
}

/// Lets a user do all that the controller does, but create Secrets outside of the namespace of its keys.
fn limited(cluster: &Cluster, keys: &str) {
    let role = |kind: &str, name: &str, namespace: Option<&str>, rules: Value| {
        let metadata = json!({"name": name, "namespace": namespace});
        let role =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules});
        let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": reference, "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}]});
        cluster.apply_yaml(&format!("{role}\n---\n{binding}")).unwrap();
    };
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]}]);
    role("ClusterRole", "limited", None, all);
    let own = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "update"]}]);
    role("Role", "limited", Some(keys), own);
}

#[test]
fn what_is_refused_for_want_of_a_right_is_told_and_done_soon_after_it_is_granted() {
    const KEYS: &str = "keys-of-limited";
    let alone = Alone::new();
    let cluster = alone.cluster();
    cluster.kubectl(&["create", "namespace", KEYS]).unwrap();
    SealedSecretsController::install(cluster).unwrap();
    add_key(cluster, KEYS, "brought", &fixture("throw-away.key"), &fixture("throw-away.crt"));
    limited(cluster, KEYS);
    let arguments = ["--namespace", KEYS, "--sealed-secrets"];
    let mut options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &arguments);
    options.kubeconfig = Some(cluster.kubeconfig_as("limited").unwrap());
    let controller = Controller::start(cluster, options).unwrap();
    let scene = Scene::on(cluster, "limited", &fixture("throw-away.crt"));
    scene.seal("login", &json!({"stringData": {"a": "1"}}));
    assert_eq!(scene.refusal("login"), "failed update: the API server answered 403 Forbidden");
    scene.event("login", "Warning ErrUpdateFailed the API server answered 403 Forbidden");
    let grant = ["create", "clusterrolebinding", "limited-no-more", "--clusterrole=cluster-admin", "--user=limited"];
    cluster.kubectl(&grant).unwrap();
    scene.values("login", &[("a", "1")]);
    scene.told("login", "True", str::is_empty);
    drop(controller);
    cluster.kubectl(&["delete", "clusterrolebinding", "limited-no-more"]).unwrap();
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

#[test]
fn while_the_api_server_is_away_nothing_is_lost_and_afterwards_all_is_done() {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let controller = start(cluster, &[]);
    let scene = Scene::on(cluster, "away", &controller.get("/v1/cert.pem").unwrap().1);
    scene.seal("before", &json!({"stringData": {"a": "1"}}));
    scene.told("before", "True", str::is_empty);
    cluster.stop_api_server();
    cluster.start_api_server().unwrap();
    scene.seal("after", &json!({"stringData": {"a": "2"}}));
    cluster.delete(&scene.secret_path("before")).unwrap();
    scene.values("after", &[("a", "2")]);
    scene.values("before", &[("a", "1")]);
    drop(controller);
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

/// So many of them are told at the same time.
const TOLD_AT_ONCE: usize = 4;

#[test]
fn no_secret_waits_for_what_is_told_of_others_and_in_the_end_all_are_told() {
    let alone = Alone::new();
    let (cluster, proxy) = (alone.cluster(), FaultProxy::start(alone.cluster()).unwrap());
    let controller = start_behind(&proxy, cluster);
    let scene = Scene::on(cluster, "told", &controller.get("/v1/cert.pem").unwrap().1);
    proxy.inject(Rule::new(Fault::Delay(Duration::from_secs(30))).verb("patch").on("/status"));
    let names: Vec<_> = (0..40).map(|number| format!("many-{number}")).collect();
    let sealed = names.iter().map(|name| scene.sealed(name, &json!({"stringData": {"a": "1"}}), &[]));
    scene.apply(&json!({"apiVersion": "v1", "kind": "List", "items": sealed.collect::<Vec<_>>()}));
    for name in &names {
        scene.values(name, &[("a", "1")]);
    }
    let requests = proxy.requests();
    let told = requests.iter().filter(|request| request.verb == "patch" && request.target.contains("/status"));
    assert!(told.count() <= TOLD_AT_ONCE);
    proxy.lift();
    for name in &names {
        scene.told(name, "True", str::is_empty);
        scene.event(name, "Normal Unsealed");
    }
    drop(controller);
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

/// Starts a controller that reconciles SealedSecrets and reaches the API server through a proxy.
fn start_behind(proxy: &FaultProxy, cluster: &Cluster) -> Controller {
    let mut options = outages::options(proxy);
    options.arguments.extend(["--namespace", KEYS, "--sealed-secrets"].map(str::to_owned));
    SealedSecretsController::install(cluster).unwrap();
    Controller::start(cluster, options).unwrap()
}

#[test]
fn without_the_flag_nothing_is_done_and_nothing_served() {
    let alone = Alone::new();
    SealedSecretsController::install(alone.cluster()).unwrap();
    let controller = crate::stage::start_controller(alone.cluster(), &["--namespace", KEYS]).unwrap();
    let scene = Scene::on(alone.cluster(), "off", &controller.get("/v1/cert.pem").unwrap().1);
    scene.seal("login", &json!({"stringData": {"a": "1"}}));
    assert!(!controller.get("/metrics").unwrap().1.contains("sealed_secrets_controller"));
    assert_eq!(controller.get("/v1/verify").unwrap().0, 404);
    drop(controller);
    // Whoever starts next has done it, so until then nobody had.
    assert!(scene.secret("login").is_none());
    let controller = start(alone.cluster(), &[]);
    scene.values("login", &[("a", "1")]);
    drop(controller);
    scene.cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}
