//! Secrets that stood before their SealedSecret came, and Secrets that don't belong to it.

use serde_json::{Value, json};
use waxwing_harness::eventually;

use super::scene::{MANAGED, PATCH, Scene, base64, shared};
use crate::stage::{PATIENCE, Stage};

const SKIP: &str = "sealedsecrets.bitnami.com/skip-set-owner-references";

/// Makes a Secret that somebody else made before.
fn stands(scene: &Scene, name: &str, annotations: &Value) {
    scene.apply(&json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": scene.namespace, "annotations": annotations, "labels": {"theirs": "x"}},
        "data": {"a": base64("theirs"), "b": base64("theirs")}}));
}

fn own() -> Value {
    json!({"metadata": {"labels": {"app": "shop"}}, "stringData": {"a": "ours"}})
}

#[test]
fn a_secret_of_somebody_else_is_left_until_it_says_that_it_may_be_replaced() {
    let scene = Scene::new("unmanaged");
    stands(&scene, "login", &json!({"note": "x"}));
    let before = scene.secret("login").unwrap();
    scene.seal("login", &own());
    let unmanaged = "Resource \"login\" already exists and is not managed by SealedSecret";
    assert_eq!(scene.refusal("login"), format!("failed update: {unmanaged}"));
    scene.event("login", &format!("Warning ErrUpdateFailed {unmanaged}"));
    assert_eq!(scene.secret("login").unwrap(), before);

    scene.cluster.merge(&scene.secret_path("login"), &json!({"metadata": {"annotations": {MANAGED: "true"}}})).unwrap();
    let replaced = scene.values("login", &[("a", "ours")]);
    assert_eq!(replaced["metadata"]["labels"], json!({"app": "shop"}));
    assert_eq!(replaced["metadata"]["annotations"], Value::Null);
    assert_eq!(replaced["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    assert_eq!(replaced["metadata"]["uid"], before["metadata"]["uid"]);
    scene.told("login", "True", str::is_empty);
}

#[test]
fn a_secret_of_somebody_else_that_goes_makes_room() {
    let scene = Scene::new("room");
    stands(&scene, "login", &json!({}));
    scene.seal("login", &own());
    scene.refusal("login");
    scene.cluster.delete(&scene.secret_path("login")).unwrap();
    scene.values("login", &[("a", "ours")]);
}

#[test]
fn a_secret_that_says_so_is_added_to() {
    let scene = Scene::new("patch");
    for (name, annotations, owners) in
        [("shared", json!({PATCH: "true"}), 0), ("taken", json!({PATCH: "true", MANAGED: "true"}), 1)]
    {
        stands(&scene, name, &annotations);
        scene.seal(name, &own());
        let secret = scene.values(name, &[("a", "ours"), ("b", "theirs")]);
        assert_eq!(secret["metadata"]["labels"], json!({"app": "shop", "theirs": "x"}));
        assert_eq!(secret["metadata"]["annotations"], annotations);
        assert_eq!(secret["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len), owners, "{name}");
        scene.told(name, "True", str::is_empty);
    }
    // Nobody promised that it would be there again.
    scene.cluster.delete(&scene.secret_path("shared")).unwrap();
    scene.cluster.delete(&scene.secret_path("taken")).unwrap();
    scene.values("taken", &[("a", "ours")]);
    assert!(scene.secret("shared").is_none());
}

#[test]
fn an_immutable_secret_is_made_and_a_change_of_it_is_refused_in_words() {
    let scene = Scene::new("immutable");
    let mut sealed = scene.seal("login", &json!({"immutable": true, "stringData": {"a": "1"}}));
    let secret = scene.values("login", &[("a", "1")]);
    assert_eq!(secret["immutable"], true);
    scene.told("login", "True", str::is_empty);
    sealed["spec"]["encryptedData"] =
        scene.sealed("login", &json!({"stringData": {"a": "2"}}), &[])["spec"]["encryptedData"].clone();
    scene.apply(&sealed);
    let told = scene.told("login", "False", |message| message.contains("the target Secret is immutable"));
    assert_eq!(told["status"]["observedGeneration"], 2);
    scene.event("login", "Warning ErrUpdateFailed the target Secret is immutable");
    scene.cluster.delete(&scene.secret_path("login")).unwrap();
    scene.values("login", &[("a", "2")]);
}

#[test]
fn a_secret_without_an_owner_is_made_once_and_left_from_then_on() {
    let scene = Scene::new("ownerless");
    let secret = json!({"metadata": {"annotations": {SKIP: "true"}}, "stringData": {"a": "1"}});
    let mut sealed = scene.seal("login", &secret);
    let made = scene.values("login", &[("a", "1")]);
    assert_eq!(made["metadata"]["ownerReferences"], Value::Null);
    scene.told("login", "True", str::is_empty);
    sealed["spec"]["template"]["metadata"]["labels"] = json!({"app": "shop"});
    scene.apply(&sealed);
    assert!(scene.refusal("login").ends_with("already exists and is not managed by SealedSecret"));

    let both = json!({"metadata": {"annotations": {SKIP: "true", MANAGED: "true"}}, "stringData": {"a": "1"}});
    let mut sealed = scene.seal("managed", &both);
    scene.values("managed", &[("a", "1")]);
    sealed["spec"]["template"]["metadata"]["labels"] = json!({"app": "shop"});
    scene.apply(&sealed);
    let secret = scene.secret_is("managed", "labelled", |secret| secret["metadata"]["labels"]["app"] == "shop");
    assert_eq!(secret["metadata"]["ownerReferences"], Value::Null);
}

#[test]
fn a_template_cannot_pass_its_secret_off_as_a_syncs() {
    let scene = Scene::new("marks");
    let mut sealed = scene.sealed("login", &own(), &[]);
    sealed["spec"]["template"]["metadata"]["labels"] = json!({"waxwing.dev/sync": "0123"});
    scene.apply(&sealed);
    assert!(scene.refusal("login").contains("waxwing.dev/sync, which only Waxwing sets"));
    assert!(scene.secret("login").is_none());
}

#[test]
fn a_secret_that_a_sync_takes_is_left_to_it_and_outlives_its_sealed_secret() {
    let (cluster, controller) = shared();
    let stage = Stage::on(cluster, "taken");
    let mut scene = Scene::on(cluster, "taken", &controller.get("/v1/cert.pem").unwrap().1);
    scene.namespace.clone_from(&stage.namespace);
    for name in ["token", "control"] {
        scene.seal(name, &json!({"stringData": {"a": "1", "b": "2"}}));
        scene.values(name, &[("a", "1"), ("b", "2")]);
    }
    let uid = scene.secret("token").unwrap()["metadata"]["uid"].clone();
    let sealed = scene.sealed("token", &json!({"stringData": {"a": "of-git"}}), &[]);
    let commit = stage.commit(&[("app/token.yaml", &sealed.to_string())]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let taken = scene.values("token", &[("a", "of-git")]);
    assert_eq!([&taken["metadata"]["uid"], &taken["metadata"]["ownerReferences"]], [&uid, &Value::Null]);
    let told = "failed update: Resource \"token\" already exists and is not managed by SealedSecret; a Sync applies it";
    scene.told("token", "False", |message| message == told);
    scene.values("token", &[("a", "of-git")]);

    // Once the garbage collector has taken the one, it would have taken the other.
    for name in ["token", "control"] {
        cluster.delete(&scene.sealed_path(name)).unwrap();
    }
    let gone = || if scene.secret("control").is_none() { Ok(()) } else { Err("it is still there") };
    eventually(PATIENCE, "the other Secret collected", gone).unwrap();
    assert_eq!(scene.secret("token").unwrap()["metadata"]["uid"], uid);
}
