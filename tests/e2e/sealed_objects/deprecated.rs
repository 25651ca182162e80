//! The deprecated form of a SealedSecret, one sealed blob over the whole Secret: as an object of the cluster, from Git, and when it is asked
//! about. kubeseal 0.40 makes none any more, so they are sealed here; that the real controller makes the same of them is in `switching.rs`.

use rand_core::OsRng;
use serde_json::{Value, json};
use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::{Certificate, Scope, seal_item};

use super::authenticated::{ROTATE, VERIFY, account, ask, own_token, with};
use super::scene::{Scene, base64, cleared, key_operations, merge, shared, start};
use crate::act::message;
use crate::stage::{Alone, PATIENCE, Stage};

/// Seals a Secret as a whole, for this name in this namespace; `secret` has what it has beside these.
pub(super) fn blob(certificate: &str, namespace: &str, name: &str, secret: &Value) -> Value {
    let mut whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}});
    merge(&mut whole, secret);
    text(certificate, namespace, name, &whole.to_string())
}

/// Seals anything in place of the Secret.
pub(super) fn text(certificate: &str, namespace: &str, name: &str, text: &str) -> Value {
    let key = Certificate::from_pem(certificate.as_bytes()).unwrap().public_key;
    let text = SecretBytes::new(text.as_bytes().to_vec());
    let token = seal_item(&key, &Scope::Strict.label(namespace, name), &text, &mut OsRng).unwrap();
    json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": name, "namespace": namespace},
        "spec": {"data": token, "encryptedData": {}}})
}

fn certificate() -> String {
    shared().1.get("/v1/cert.pem").unwrap().1
}

fn own(a: &str) -> Value {
    json!({"metadata": {"labels": {"app": "shop"}, "annotations": {"note": "x"}}, "type": "example.com/login",
        "data": {"a": base64(a)}, "stringData": {"b": "2"}})
}

#[test]
fn a_blob_makes_its_secret_which_is_kept_so() {
    let scene = Scene::new("blob");
    let seal = |name: &str, secret: &Value| blob(&certificate(), &scene.namespace, name, secret);
    scene.apply(&seal("login", &own("1")));
    let expected = [("a", "1"), ("b", "2")];
    let secret = scene.values("login", &expected);
    let metadata = &secret["metadata"];
    assert_eq!([&metadata["labels"], &metadata["annotations"]], [&json!({"app": "shop"}), &json!({"note": "x"})]);
    assert_eq!([&secret["type"], &metadata["ownerReferences"][0]["kind"]], ["example.com/login", "SealedSecret"]);
    scene.told("login", "True", str::is_empty);
    let path = scene.secret_path("login");
    for patch in [
        json!({"data": {"a": "b3RoZXI="}}),
        json!({"data": {"b": null}}),
        json!({"metadata": {"labels": {"app": null}}}),
    ] {
        scene.cluster.merge(&path, &patch).unwrap();
        scene.secret_is("login", &format!("{patch} put back"), |secret| {
            secret["data"] == json!({"a": base64("1"), "b": base64("2")})
                && secret["metadata"]["labels"]["app"] == "shop"
        });
    }
    scene.apply(&seal("login", &json!({"type": "example.com/login", "stringData": {"c": "3"}})));
    let secret = scene.values("login", &[("c", "3")]);
    assert_eq!(secret["metadata"]["labels"], Value::Null);
    scene.told("login", "True", str::is_empty);

    let token = json!({"type": "kubernetes.io/service-account-token", "metadata": {"annotations": {"kubernetes.io/service-account.name": "default"}}});
    let elsewhere = blob(&certificate(), "elsewhere", "moved", &own("1"));
    let mut moved = elsewhere.clone();
    moved["metadata"]["namespace"] = scene.namespace.clone().into();
    let mut short = seal("short", &own("1"));
    short["spec"]["data"] = "AAAA".into();
    let mut both = seal("both", &own("1"));
    both["spec"]["encryptedData"] = json!({"a": "AgBb"});
    for (sealed, told) in [
        (seal("token", &token), "kubernetes.io/service-account-token"),
        (
            text(&certificate(), &scene.namespace, "text", "hunter2"),
            "what is sealed in /spec/data is not one Secret in JSON",
        ),
        (
            seal("marked", &json!({"metadata": {"labels": {"waxwing.dev/sync": "x"}}})),
            "the metadata in /spec/data sets waxwing.dev/sync",
        ),
        (moved, "no key could decrypt secret (/spec/data): it was sealed with the certificate of another cluster"),
        (short, "(/spec/data)"),
        (both, "/spec/data and /spec/encryptedData can't be used at the same time"),
    ] {
        let name = sealed["metadata"]["name"].as_str().unwrap();
        scene.apply(&sealed);
        let refusal = scene.refusal(name);
        assert!(refusal.contains(told) && !refusal.contains("hunter2"), "{name}: {refusal}");
        assert!(scene.secret(name).is_none());
    }
}

#[test]
fn a_blob_that_was_opened_is_not_opened_again_at_a_start_unless_its_secret_was_touched() {
    let alone = Alone::new();
    let cluster = cleared(&alone);
    let mut controller = start(cluster, &[]);
    let certificate = controller.get("/v1/cert.pem").unwrap().1;
    let scene = Scene::on(cluster, "blobs", &certificate);
    for name in ["one", "two", "three"] {
        scene.apply(&blob(&certificate, &scene.namespace, name, &own(name)));
    }
    let before = ["one", "two", "three"].map(|name| {
        scene.told(name, "True", str::is_empty);
        scene.secret(name).unwrap()["metadata"]["resourceVersion"].clone()
    });
    controller.kill();
    scene.cluster.merge(&scene.secret_path("two"), &json!({"data": {"b": null}})).unwrap();
    scene.cluster.merge(&scene.secret_path("three"), &json!({"data": {"a": "b3RoZXI="}})).unwrap();
    controller.restart().unwrap();
    controller.wait_ready().unwrap();
    for name in ["two", "three"] {
        scene.values(name, &[("a", name), ("b", "2")]);
    }
    assert_eq!(scene.secret("one").unwrap()["metadata"]["resourceVersion"], before[0]);
    assert_eq!(key_operations(&controller), 2);
    drop(controller);
    scene.cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

#[test]
fn a_blob_in_git_becomes_a_secret_of_the_sync() {
    let (cluster, controller) = shared();
    let (stage, certificate) = (Stage::on(cluster, "blob-in-git"), certificate());
    let seal = |name: &str, secret: &Value| blob(&certificate, &stage.namespace, name, secret).to_string();
    let commit = stage.commit(&[("app/login.yaml", &seal("login", &own("1")))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let value = |key: &str| stage.secret_value("login", key);
    assert_eq!([value("a"), value("b")], ["1", "2"].map(|value| Some(value.to_owned())));
    let secret = stage.get("secret/login").unwrap();
    let metadata = &secret["metadata"];
    assert_eq!([&secret["type"], &metadata["labels"]["app"]], ["example.com/login", "shop"]);
    assert!(metadata["labels"]["waxwing.dev/sync"].is_string() && metadata["annotations"]["note"] == "x");
    assert_eq!(secret["data"].as_object().unwrap().len(), 2);

    // What somebody changes comes back, and what was not changed is not opened.
    stage.cluster.merge(&stage.path("secret/login").unwrap(), &json!({"data": {"a": null}})).unwrap();
    let back = || if value("a").as_deref() == Some("1") { Ok(()) } else { Err("it is not there") };
    waxwing_harness::eventually(PATIENCE, "the value of Git", back).unwrap();
    let before = key_operations(controller);
    let commit = stage.commit(&[("app/other.yaml", &crate::act::config_map("other", "x"))]);
    stage.applied(&commit);
    assert_eq!(stage.get("secret/login").unwrap()["metadata"]["uid"], metadata["uid"]);
    assert!(before > 0);

    let commit = stage
        .commit(&[("app/login.yaml", &seal("login", &json!({"type": "example.com/login", "stringData": {"c": "3"}})))]);
    stage.applied(&commit);
    assert_eq!(stage.get("secret/login").unwrap()["data"], json!({"c": base64("3")}));

    let token = json!({"type": "kubernetes.io/service-account-token"});
    let commit = stage.commit(&[("app/token.yaml", &seal("token", &token))]);
    let sync = stage.refused(&commit, "UnsealFailed");
    assert!(
        message(&sync).contains("/spec/data: the Secret has type kubernetes.io/service-account-token"),
        "{}",
        message(&sync)
    );
    let nonsense = text(&certificate, &stage.namespace, "token", "hunter2").to_string();
    let commit = stage.commit(&[("app/token.yaml", &nonsense)]);
    let sync = stage.refused(&commit, "UnsealFailed");
    assert!(
        message(&sync).contains("is not one Secret in JSON") && !message(&sync).contains("hunter2"),
        "{}",
        message(&sync)
    );
}

#[test]
fn a_blob_is_verified_and_sealed_again_as_a_whole_so_that_nothing_of_it_is_readable() {
    let (controller, scene) = (&shared().1, Scene::new("blob-asked"));
    account(&scene, "reader", &["get", "update"], &[]);
    let headers = with(&own_token(&scene, "reader"));
    let sealed = blob(&certificate(), &scene.namespace, "login", &own("1"));
    let (code, told) = ask(controller, VERIFY, &headers, &sealed.to_string());
    assert_eq!(
        (code, &told["items"][0]["item"], &told["items"][0]["scope"]),
        (200, &json!("/spec/data"), &json!("strict"))
    );
    assert_eq!(ask(controller, "/v1/verify", "", &sealed.to_string()).0, 200);
    let (code, again) = ask(controller, "/v1/rotate", "", &sealed.to_string());
    assert_eq!((code, again["spec"].as_object().unwrap().len()), (200, 2), "{again}");
    assert_eq!(again["spec"]["encryptedData"], json!({}));
    assert!(again["spec"]["data"].is_string() && again["spec"]["data"] != sealed["spec"]["data"]);
    let (code, told) = ask(controller, ROTATE, &headers, &sealed.to_string());
    assert_eq!((code, &told["resealed"]), (200, &json!(1)));
    assert!(!told.to_string().contains("example.com/login") && !told.to_string().contains("shop"), "{told}");
    scene.apply(&again);
    let secret = scene.values("login", &[("a", "1"), ("b", "2")]);
    assert_eq!([&secret["type"], &secret["metadata"]["labels"]["app"]], ["example.com/login", "shop"]);
}
