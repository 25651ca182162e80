//! What a SealedSecret may have wrong with it, and what it says then. Its neighbours are done, and what stands is kept.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use waxwing_harness::eventually;

use super::scene::{MANAGED, Scene, add_key, base64, fixture, merge, start_in};
use crate::stage::{Alone, PATIENCE};

/// Returns how a SealedSecret is changed so that something is wrong with it.
fn defects(scene: &Scene) -> Vec<(&'static str, Value)> {
    let items = |items: Value| json!({"spec": {"encryptedData": items}});
    let template = |template: Value| json!({"spec": {"template": template}});
    let elsewhere = |name: &str, certificate: &str| {
        let there = Scene::on(scene.cluster, "there", &fixture(certificate));
        there.sealed(name, &json!({"stringData": {"b": "2"}}), &[])["spec"]["encryptedData"]["b"].clone()
    };
    let own = |name: &str, more: &[&str]| {
        scene.sealed(name, &json!({"stringData": {"b": "2"}}), more)["spec"]["encryptedData"]["b"].clone()
    };
    vec![
        ("items-missing", items(Value::Null)),
        ("items-a-list", items(json!([]))),
        ("item-a-number", items(json!({"b": 7}))),
        ("item-empty", items(json!({"b": ""}))),
        ("item-no-base64", items(json!({"b": "not base64"}))),
        ("item-cut-short", items(json!({"b": base64("\u{1}\0abc")}))),
        ("item-of-no-key", items(json!({"b": base64(&format!("\0\u{1}{}", "a".repeat(40)))}))),
        ("item-without-a-block", items(json!({"b": base64("\0\0abcdefghijklmnopqrstuvwxyz")}))),
        ("item-changed", items(json!({"b": changed(&own("item-changed", &[]))}))),
        ("item-of-another-name", items(json!({"b": own("other", &[])}))),
        ("item-of-another-cluster", items(json!({"b": elsewhere("item-of-another-cluster", "throw-away.crt")}))),
        ("item-of-3072-bits", items(json!({"b": elsewhere("item-of-3072-bits", "big.crt")}))),
        ("item-namespace-wide", items(json!({"b": own("any", &["--scope", "namespace-wide"])}))),
        ("item-cluster-wide", items(json!({"b": own("any", &["--scope", "cluster-wide"])}))),
        ("two-wrong", items(json!({"b": "!", "c": own("other", &[])}))),
        ("key-no-name", items(json!({"a b": own("key-no-name", &[])}))),
        ("key-too-long", items(json!({"b".repeat(254): own("key-too-long", &[])}))),
        ("whole-blob", json!({"spec": {"data": "AAAA"}})),
        ("template-a-string", template(json!("x"))),
        ("type-a-number", template(json!({"type": 7}))),
        ("type-of-a-token", template(json!({"type": "kubernetes.io/service-account-token"}))),
        ("type-too-long", template(json!({"type": format!("example.com/{}", "x".repeat(300))}))),
        ("type-with-other-keys", template(json!({"type": "kubernetes.io/tls"}))),
        ("immutable-a-string", template(json!({"immutable": "true"}))),
        ("label-no-value", template(json!({"metadata": {"labels": {"app": "a b"}}}))),
        ("label-too-long", template(json!({"metadata": {"labels": {"app": "a".repeat(64)}}}))),
        ("label-of-a-sync", template(json!({"metadata": {"labels": {"waxwing.dev/sync": "x"}}}))),
        ("annotation-no-name", template(json!({"metadata": {"annotations": {"a b": "x"}}}))),
        ("annotations-too-long", template(json!({"metadata": {"annotations": {"a": "x".repeat(300 << 10)}}}))),
        ("template-malformed", template(json!({"data": {"x": "{{ .a"}}))),
        ("template-refused", template(json!({"data": {"x": "{{ genPrivateKey \"rsa\" }}"}}))),
        ("template-fails", template(json!({"data": {"x": "{{ .a.b }}", "y": "\n{{ index .a 7 }}"}}))),
        ("finalizer-no-name", template(json!({"metadata": {"finalizers": ["x"]}}))),
    ]
}

/// Changes the last digit but the padding: the code of the value no longer fits.
pub(super) fn changed(token: &Value) -> Value {
    let mut bytes = token.as_str().unwrap().as_bytes().to_vec();
    let at = bytes.len() - 8;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    Value::from(String::from_utf8(bytes).unwrap())
}

#[test]
fn whatever_is_wrong_with_one_it_says_so_and_keeps_its_secret_and_the_next_good_spec_is_done() {
    let scene = Scene::new("wrong");
    let mut told = String::new();
    let mut stored = Vec::new();
    for (name, defect) in defects(&scene) {
        let good = scene.seal(name, &json!({"stringData": {"a": "1"}}));
        let mut bad = good.clone();
        merge(&mut bad, &defect);
        bad["spec"].as_object_mut().unwrap().retain(|_, field| !field.is_null());
        stored.push((name, good, bad));
    }
    for (name, _, bad) in &stored {
        let before = scene.values(name, &[("a", "1")]);
        scene.told(name, "True", str::is_empty);
        let said = match scene.cluster.apply_yaml(&bad.to_string()) {
            Err(_) => "(the API server does not take it)".to_owned(),
            Ok(()) => scene.refusal(name),
        };
        writeln!(told, "{name}: {}", said.replace(&scene.namespace, "NAMESPACE")).unwrap();
        let content = |mut secret: Value| {
            // Whose fields they are may have been written down anew.
            let metadata = secret["metadata"].as_object_mut().unwrap();
            metadata.retain(|field, _| field != "managedFields" && field != "resourceVersion");
            secret
        };
        assert_eq!(content(scene.secret(name).unwrap()), content(before), "{name}");
    }
    insta::assert_snapshot!(told);
    for (name, good, _) in &stored {
        scene.apply(good);
        scene.told(name, "True", str::is_empty);
        scene.values(name, &[("a", "1")]);
    }
}

#[test]
fn a_secret_of_another_type_is_not_changed() {
    let scene = Scene::new("types");
    let tls = json!({"tls.key": "", "tls.crt": ""});
    scene.apply(&json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": tls,
        "metadata": {"name": "login", "namespace": scene.namespace, "annotations": {MANAGED: "true"}}}));
    scene.seal("login", &json!({"stringData": {"a": "1"}}));
    assert_eq!(scene.refusal("login"), "failed update: the API server answered 422 Invalid at type");
    assert_eq!(scene.secret("login").unwrap()["data"], tls);
}

#[test]
fn as_many_items_as_fit_are_opened_and_of_as_many_foreign_ones_some_are_tried() {
    const ITEMS: usize = 1900;
    let scene = Scene::new("many");
    let data: Map<String, Value> = (0..ITEMS).map(|number| (format!("k{number}"), base64("v"))).collect();
    let sealed = scene.seal("login", &json!({"data": data}));
    let secret =
        scene.secret_is("login", "all items", |secret| secret["data"].as_object().map(Map::len) == Some(ITEMS));
    assert_eq!(secret["data"], Value::Object(data));
    let mut renamed = sealed;
    renamed["metadata"]["name"] = "renamed".into();
    scene.apply(&renamed);
    let refusal = scene.refusal("renamed");
    assert!(refusal.starts_with("no key could decrypt secret (k0, k1, k10, "), "{refusal}");
    assert!(
        refusal.contains(" and 236 more); 1644 more items were not tried after that: it was sealed with"),
        "{refusal}"
    );
    assert!(refusal.len() < 600);
}

#[test]
fn a_key_that_goes_amid_the_work_leaves_each_done_or_told_and_none_without_its_secret() {
    const KEYS: &str = "keys-that-go";
    let alone = Alone::new();
    let cluster = alone.cluster();
    cluster
        .apply_yaml(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KEYS}}).to_string())
        .unwrap();
    let key = || add_key(cluster, KEYS, "brought", &fixture("throw-away.key"), &fixture("throw-away.crt"));
    key();
    let controller = start_in(KEYS, cluster, &[]);
    let scene = Scene::on(cluster, "amid", &fixture("throw-away.crt"));
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let sealed: Vec<Value> =
        names.iter().map(|name| scene.sealed(name, &json!({"stringData": {"a": "1", "b": "2"}}), &[])).collect();
    for (number, sealed) in sealed.iter().enumerate() {
        if number == 20 {
            cluster.delete(&format!("/api/v1/namespaces/{KEYS}/secrets/brought")).unwrap();
        }
        scene.apply(sealed);
    }
    let settled = || {
        let unsettled = names.iter().filter(|name| {
            let is_there = scene.secret(name).is_some();
            match scene.synced(name)["status"].as_str() {
                Some("True") => !is_there,
                Some("False") => is_there,
                _ => true,
            }
        });
        let unsettled: Vec<_> = unsettled.collect();
        if unsettled.is_empty() { Ok(()) } else { Err(format!("{unsettled:?}")) }
    };
    eventually(PATIENCE, "each done or told", settled).unwrap();
    assert!(scene.refusal("s39").starts_with("no key could decrypt secret (a, b)"));
    key();
    for name in &names {
        scene.told(name, "True", str::is_empty);
        scene.values(name, &[("a", "1"), ("b", "2")]);
    }
    drop(controller);
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}
