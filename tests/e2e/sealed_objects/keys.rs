//! The sealing keys while SealedSecrets are reconciled: keys that come and go, keys that are none, and new ones in time.

use serde_json::json;
use waxwing_harness::{Cluster, Controller, eventually};

use super::scene::{KEY_LABEL, Scene, add_key, fixture, start_in};
use crate::stage::{Alone, PATIENCE};

fn namespace(cluster: &Cluster, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    cluster.apply_yaml(&namespace.to_string()).unwrap();
}

fn certificate(controller: &Controller) -> String {
    controller.get("/v1/cert.pem").unwrap().1
}

fn relabel(cluster: &Cluster, path: &str, value: &str) {
    cluster.merge(path, &json!({"metadata": {"labels": {KEY_LABEL: value}}})).unwrap();
}

#[test]
fn a_key_that_comes_opens_what_waited_for_it_and_after_it_is_revoked_nothing_more() {
    const KEYS: &str = "keys-that-come";
    let alone = Alone::new();
    let cluster = alone.cluster();
    namespace(cluster, KEYS);
    // None of these is a key that can be used, and none is in the way.
    for (name, key, certificate) in [
        ("elliptic", fixture("elliptic.key"), fixture("elliptic.crt")),
        ("small", fixture("small.key"), fixture("small.crt")),
        ("damaged", "no key".to_owned(), fixture("throw-away.crt")),
        ("mixed", fixture("throw-away.key"), fixture("newer.crt")),
    ] {
        add_key(cluster, KEYS, name, &key, &certificate);
    }
    let controller = start_in(KEYS, cluster, &[]);
    let log = controller.log();
    let skipped: Vec<&str> = log.lines().filter(|line| line.contains("skipped a malformed sealing key")).collect();
    for (name, why) in [
        ("elliptic", "is not an RSA key"),
        ("small", "1024 bits"),
        ("damaged", "private key"),
        ("mixed", "certificate"),
    ] {
        let is_named = |line: &&str| line.contains(&format!("\"{name}\"")) && line.contains(why);
        assert!(skipped.iter().any(is_named), "{name}: {skipped:#?}");
    }
    let own = certificate(&controller);
    let scene = Scene::on(cluster, "keys", &fixture("throw-away.crt"));
    scene.seal("login", &json!({"stringData": {"a": "1", "b": "2"}}));
    assert!(
        scene.refusal("login").starts_with("no key could decrypt secret (a, b): it was sealed with the certificate of")
    );

    add_key(cluster, KEYS, "brought", &fixture("throw-away.key"), &fixture("throw-away.crt"));
    let secret = scene.values("login", &[("a", "1"), ("b", "2")]);
    scene.told("login", "True", str::is_empty);
    assert_eq!(certificate(&controller), own, "an older certificate does not seal");

    let path = format!("/api/v1/namespaces/{KEYS}/secrets/brought");
    relabel(cluster, &path, "compromised");
    let refused = || {
        // Until the controller has heard of it.
        scene.seal("login", &json!({"stringData": {"a": "3"}}));
        let synced = scene.synced("login");
        if synced["status"] == "False" { Ok(()) } else { Err(synced.to_string()) }
    };
    eventually(PATIENCE, "what is sealed for a revoked key refused", refused).unwrap();
    let still = scene.secret("login").unwrap();
    assert_eq!(still["metadata"]["uid"], secret["metadata"]["uid"]);
    drop(controller);

    // By the Secrets' age the one that was brought is the newest.
    relabel(cluster, &path, "active");
    let controller = start_in(KEYS, cluster, &["--key-order-priority", "SecretCreationTimestamp"]);
    assert_eq!(certificate(&controller).trim(), fixture("throw-away.crt").trim());
    scene.told("login", "True", str::is_empty);
    drop(controller);
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

#[test]
fn keys_are_renewed_in_time_and_those_before_go_on_opening() {
    const KEYS: &str = "keys-in-time";
    let alone = Alone::new();
    let cluster = alone.cluster();
    namespace(cluster, KEYS);
    let made_so = [
        "--key-size=2048",
        "--key-prefix=own-key",
        "--my-cn=sealing.example.com",
        "--privatekey-labels=team=platform,kind=key",
        "--privatekey-annotations=note=x",
    ];
    let with = |more: &[&'static str]| [&made_so[..], more].concat();
    let controller = start_in(KEYS, cluster, &with(&["--key-renew-period=3s"]));
    let first = certificate(&controller);
    let scene = Scene::on(cluster, "renewed", &first);
    eventually(PATIENCE, "another certificate", || {
        let now = certificate(&controller);
        if now == first { Err(now) } else { Ok(()) }
    })
    .unwrap();
    scene.seal("login", &json!({"stringData": {"a": "1"}}));
    scene.values("login", &[("a", "1")]);
    drop(controller);

    let keys = || {
        let path = format!("/api/v1/namespaces/{KEYS}/secrets?labelSelector={KEY_LABEL}%3Dactive");
        cluster.get(&path).unwrap()["items"].as_array().unwrap().clone()
    };
    let before = keys();
    let labels = json!({KEY_LABEL: "active", "team": "platform", "kind": "key"});
    for key in &before {
        assert!(key["metadata"]["name"].as_str().unwrap().starts_with("own-key"));
        assert_eq!([&key["metadata"]["labels"], &key["metadata"]["annotations"]], [&labels, &json!({"note": "x"})]);
    }
    drop(start_in(KEYS, cluster, &with(&["--key-renew-period=0"])));
    assert_eq!(keys().len(), before.len(), "old enough, and not to be renewed");
    let cutoff = "--key-cutoff-time=Fri, 01 Jan 2100 00:00:00 +0000";
    drop(start_in(KEYS, cluster, &with(&["--key-renew-period=0", cutoff])));
    assert_eq!(keys().len(), before.len() + 1);
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}
