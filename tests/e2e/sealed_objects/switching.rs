//! An installation of the real Sealed Secrets controller is switched over to Waxwing and back: what stands stays as it is, what comes is
//! done, and what comes of each object is what the other made of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use waxwing_harness::{Controller, SealedSecretsController, Upstream, eventually};

use super::deprecated;
use super::scene::{MANAGED, PATCH, Scene, base64, cleared, merge, start};
use crate::stage::{Alone, PATIENCE};

const SKIP: &str = "sealedsecrets.bitnami.com/skip-set-owner-references";

/// What is in the cluster under a name before its SealedSecret comes, if anything, and the SealedSecret.
type Row = (&'static str, Value, Value);

/// Returns a row of what kubeseal makes of `secret`, with the changes `edit`.
fn row(scene: &Scene, name: &'static str, stands: Value, secret: Value, edit: Value) -> Row {
    let mut sealed = scene.sealed(name, &secret, &[]);
    merge(&mut sealed, &edit);
    (name, stands, sealed)
}

/// Returns a row of the deprecated form.
fn blob(scene: &Scene, name: &'static str, stands: Value, secret: &Value) -> Row {
    (name, stands, deprecated::blob(scene.certificate(), &scene.namespace, name, secret))
}

fn stands(annotations: Value) -> Value {
    json!({"metadata": {"annotations": annotations, "labels": {"theirs": "x"}}, "data": {"a": base64("1"), "b": base64("2")}})
}

fn rows(scene: &Scene) -> Vec<Row> {
    let value = || json!({"metadata": {"labels": {"app": "shop"}}, "stringData": {"a": "ours"}});
    let all = json!({"metadata": {"labels": {"app": "shop"}, "annotations": {"note": "x"}}, "type": "example.com/x",
        "immutable": true, "data": {"bytes": "/wA=", "empty": ""}});
    let all_in_blob = all.clone();
    // What stands in stringData of a blob the real controller leaves out where it replaces a Secret.
    let in_data = json!({"metadata": {"labels": {"app": "shop"}}, "data": {"a": base64("ours")}});
    let with = |edit: Value| json!({"metadata": {"annotations": edit}});
    let (wide, namespaced) = ("sealedsecrets.bitnami.com/cluster-wide", "sealedsecrets.bitnami.com/namespace-wide");
    let nothing = Value::Null;
    let mut renamed = row(scene, "renamed-item", nothing.clone(), value(), json!({}));
    let items = renamed.2["spec"]["encryptedData"].as_object_mut().unwrap();
    let token = items.remove("a").unwrap();
    items.insert("other".to_owned(), token.clone());
    let folded = token.as_str().unwrap().as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let folded: String = folded.collect::<Vec<_>>().join("\n");
    vec![
        row(scene, "plain", nothing.clone(), value(), json!({})),
        row(scene, "everything", nothing.clone(), all, json!({})),
        row(scene, "unmanaged", stands(json!({})), value(), json!({})),
        row(scene, "managed", stands(json!({MANAGED: "true"})), value(), json!({})),
        row(scene, "managed-not-quite", stands(json!({MANAGED: "True"})), value(), json!({})),
        row(scene, "patched", stands(json!({PATCH: "true"})), value(), json!({})),
        row(scene, "patched-and-managed", stands(json!({PATCH: "true", MANAGED: "true"})), value(), json!({})),
        row(scene, "ownerless", nothing.clone(), value(), json!({"spec": {"template": with(json!({SKIP: "true"}))}})),
        row(scene, "wide-by-mistake", nothing.clone(), value(), with(json!({wide: "true"}))),
        row(scene, "wide-not-quite", nothing.clone(), value(), with(json!({wide: "TRUE"}))),
        row(scene, "namespaced-by-mistake", nothing.clone(), value(), with(json!({namespaced: "true"}))),
        row(
            scene,
            "both",
            nothing.clone(),
            json!({"metadata": {"annotations": {wide: "true"}}, "stringData": {"a": "x"}}),
            with(json!({namespaced: "true"})),
        ),
        row(
            scene,
            "other-name-in-template",
            nothing.clone(),
            value(),
            json!({"spec": {"template": {"metadata": {"name": "x", "namespace": "default", "uid": "x"}}}}),
        ),
        row(scene, "no-template", nothing.clone(), value(), json!({"spec": {"template": null}})),
        row(
            scene,
            "templates",
            nothing.clone(),
            json!({"stringData": {"a": "ours", "b": "other", "n": "41"}}),
            json!({"spec": {"template": {"data": {"url": "db://{{ .a | upper }}:{{ add1 .n }}/{{ .b }}", "a": "not {{ .a }}", "loop": "{{ range $key, $value := . }}{{ $key }};{{ end }}"}}}}),
        ),
        row(
            scene,
            "template-that-fails",
            nothing.clone(),
            value(),
            json!({"spec": {"template": {"data": {"url": "{{ .a.b }}"}}}}),
        ),
        row(scene, "no-items", nothing.clone(), value(), json!({"spec": {"encryptedData": {"a": null}}})),
        row(scene, "no-base64", nothing.clone(), value(), json!({"spec": {"encryptedData": {"b": "!"}}})),
        row(scene, "too-short", nothing.clone(), value(), json!({"spec": {"encryptedData": {"b": "AgA="}}})),
        row(
            scene,
            "bad-key",
            nothing.clone(),
            json!({"stringData": {"a": "x"}}),
            json!({"spec": {"encryptedData": {"a b": "x"}}}),
        ),
        row(
            scene,
            "bad-label",
            nothing,
            value(),
            json!({"spec": {"template": {"metadata": {"labels": {"app": "a b"}}}}}),
        ),
        renamed,
        blob(scene, "blob", Value::Null, &all_in_blob),
        blob(scene, "blob-over-managed", stands(json!({MANAGED: "true"})), &in_data),
        blob(scene, "blob-over-unmanaged", stands(json!({})), &value()),
        blob(scene, "blob-without-values", Value::Null, &json!({"metadata": {"labels": {"app": "shop"}}})),
        ("blob-of-text", Value::Null, deprecated::text(scene.certificate(), &scene.namespace, "blob-of-text", "text")),
        ("blob-of-another", Value::Null, {
            let mut sealed = deprecated::blob(scene.certificate(), &scene.namespace, "another", &value());
            sealed["metadata"]["name"] = "blob-of-another".into();
            sealed
        }),
        ("blob-and-items", Value::Null, {
            let mut sealed = deprecated::blob(scene.certificate(), &scene.namespace, "blob-and-items", &value());
            sealed["spec"]["encryptedData"] = json!({"a": "AgBb"});
            sealed
        }),
    ]
    .into_iter()
    .map(|(name, stands, mut sealed)| {
        if name == "renamed-item" {
            sealed["spec"]["encryptedData"]["other"] = folded.clone().into();
        }
        sealed["spec"].as_object_mut().unwrap().retain(|_, field| !field.is_null());
        let items = sealed["spec"]["encryptedData"].as_object_mut().unwrap();
        items.retain(|_, item| !item.is_null());
        (name, stands, sealed)
    })
    .collect()
}

/// Puts a row into the cluster.
fn put(scene: &Scene, (name, stands, sealed): &Row) {
    if !stands.is_null() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": scene.namespace}});
        merge(&mut secret, stands);
        scene.apply(&secret);
    }
    scene.apply(sealed);
}

/// Returns what came of a row, none until something has.
fn outcome(scene: &Scene, name: &str) -> Option<Value> {
    let synced = scene.synced(name);
    let status = synced["status"].as_str()?;
    let secret = scene.secret(name).map(|secret| {
        let metadata = &secret["metadata"];
        let owners = metadata["ownerReferences"].as_array().cloned().unwrap_or_default();
        let owners: Vec<_> =
            owners.into_iter().map(|owner| json!([owner["kind"], owner["name"], owner["controller"]])).collect();
        json!({"data": secret["data"], "type": secret["type"], "immutable": secret["immutable"], "owners": owners,
            "labels": metadata["labels"], "annotations": metadata["annotations"]})
    });
    let mut reasons: Vec<_> =
        scene.events(name).iter().map(|event| event.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    reasons.sort();
    reasons.dedup();
    Some(json!({"synced": status, "secret": secret, "events": reasons}))
}

/// Returns what came of all rows under the real controller, once it has stayed so.
fn outcomes(scene: &Scene, rows: &[Row]) -> BTreeMap<&'static str, Value> {
    let told = |(name, _, _): &Row| {
        let found = || outcome(scene, name).filter(|found| found["events"] != json!([])).ok_or("nothing yet");
        (*name, eventually(PATIENCE, name, found).unwrap())
    };
    rows.iter().map(told).collect()
}

/// Returns uid and resourceVersion of every Secret of the namespace, and of the SealedSecrets that are done.
fn versions(scene: &Scene) -> BTreeMap<String, Value> {
    let list = |path: String| scene.cluster.get(&path).unwrap()["items"].as_array().unwrap().clone();
    let secrets = list(format!("/api/v1/namespaces/{}/secrets", scene.namespace));
    let sealed = list(format!("/apis/bitnami.com/v1alpha1/namespaces/{}/sealedsecrets", scene.namespace));
    let is_done = |object: &Value| object["status"]["conditions"][0]["status"] == "True";
    let version = |kind: &str, object: &Value| {
        let metadata = &object["metadata"];
        (format!("{kind} {}", metadata["name"]), json!([metadata["uid"], metadata["resourceVersion"]]))
    };
    let secrets = secrets.iter().map(|secret| version("Secret", secret));
    let sealed = sealed.iter().filter(|object| is_done(object)).map(|object| version("SealedSecret", object));
    secrets.chain(sealed).collect()
}

/// Changes one object, adds one, and has one made again, and waits until all of that is done.
fn work(scene: &Scene, name: &str, round: &str) {
    scene.seal(name, &json!({"metadata": {"labels": {"app": "shop"}}, "stringData": {"a": round, round: "x"}}));
    scene.values(name, &[("a", round), (round, "x")]);
    scene.seal(&format!("new-{round}"), &json!({"stringData": {"a": round}}));
    scene.values(&format!("new-{round}"), &[("a", round)]);
    scene.told(&format!("new-{round}"), "True", str::is_empty);
    scene.told(name, "True", str::is_empty);
    scene.cluster.delete(&scene.secret_path(name)).unwrap();
    scene.values(name, &[("a", round), (round, "x")]);
    scene.told(name, "True", str::is_empty);
}

/// Waits until a controller of ours has looked at so many objects.
fn has_looked_at(controller: &Controller, objects: usize) {
    let looked = || {
        let metrics = controller.get("/metrics").unwrap().1;
        let count =
            metrics.lines().find_map(|line| line.strip_prefix("sealed_secrets_controller_unseal_requests_total "));
        let count: usize = count.unwrap().parse().unwrap();
        if count >= objects { Ok(()) } else { Err(count.to_string()) }
    };
    eventually(PATIENCE, "a look at every object", looked).unwrap();
}

fn certificate(controller: &SealedSecretsController) -> String {
    let upstream = Upstream::new().unwrap();
    let fetch = || upstream.kubeseal(&["--fetch-cert", "--cert", &controller.certificate_url()])?.text();
    eventually(PATIENCE, "a certificate", || fetch().map_err(|failure| failure.to_string())).unwrap()
}

#[test]
fn an_installation_is_switched_over_and_back_and_what_comes_of_each_object_is_the_same() {
    let alone = Alone::new();
    let cluster = cleared(&alone);
    let theirs = SealedSecretsController::start(cluster).unwrap();
    let certificate = certificate(&theirs);
    let scene = Scene::on(cluster, "switched", &certificate);
    let first = rows(&scene);
    first.iter().for_each(|row| put(&scene, row));
    let expected = outcomes(&scene, &first);
    drop(theirs);

    let before = versions(&scene);
    let ours = start(cluster, &[]);
    has_looked_at(&ours, first.len());
    assert_eq!(ours.get("/v1/cert.pem").unwrap().1.trim(), certificate.trim(), "it seals with the key that was there");
    let again = Scene::on(cluster, "again", &certificate);
    let second = rows(&again);
    second.iter().for_each(|row| put(&again, row));
    // The real controller makes this Secret, and complains at once that it is not its own.
    let same = || {
        let other = |(name, expected): (&&str, &Value)| {
            let found = outcome(&again, name);
            let differs = found.as_ref() != Some(expected) && *name != "ownerless";
            differs.then(|| format!("{name}: {found:?} but {expected}; {}", again.synced(name)))
        };
        let others: Vec<_> = expected.iter().filter_map(other).collect();
        if others.is_empty() { Ok(()) } else { Err(others.join("\n")) }
    };
    eventually(PATIENCE, "the same from both", same).unwrap();
    let unchanged = |was: &BTreeMap<String, Value>| {
        let now = versions(&scene);
        was.iter().for_each(|(object, version)| assert_eq!(now.get(object), Some(version), "{object}"));
    };
    unchanged(&before);
    work(&scene, "plain", "ours");
    scene.cluster.merge(&scene.secret_path("managed"), &json!({"data": {"a": "eA=="}})).unwrap();
    scene.values("managed", &[("a", "ours")]);
    drop(ours);

    // What stands, but for those whose Secret is not theirs: the real controller complains of these at each start.
    let before: BTreeMap<_, _> =
        versions(&scene).into_iter().filter(|(object, _)| !object.contains("ownerless")).collect();
    let theirs = SealedSecretsController::start(cluster).unwrap();
    scene.seal("back", &json!({"stringData": {"a": "1"}}));
    scene.values("back", &[("a", "1")]);
    work(&again, "plain", "theirs");
    unchanged(&before);
    drop(theirs);

    let ours = start(cluster, &[]);
    work(&scene, "back", "forth");
    work(&again, "plain", "once-more");
    drop(ours);
    for scene in [scene, again] {
        cluster.kubectl(&["delete", "sealedsecrets.bitnami.com", "--all", "--namespace", &scene.namespace]).unwrap();
    }
}
