//! That nothing of what SealedSecrets of the cluster hold is told anywhere, and that it leaves memory with its work.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use waxwing_harness::{Controller, eventually};

use super::scene::{MANAGED, Scene, base64, start};
use crate::memory::scan;
use crate::stage::{Alone, PATIENCE};
use crate::watched::Needles;

/// What every value has in it.
const CORE: &str = "Wn5Hx8Qd2Rk7Yb3Ts9Lc4Fv6Mz1Gp0Jw";
/// What is public, and is found.
const MARK: &str = "anybody-may-read-this-annotation";
/// How long connections may take to close.
const CLOSING: Duration = Duration::from_secs(20);

#[test]
fn what_is_sealed_is_told_nowhere_and_is_nowhere_in_memory_once_the_work_is_done() {
    let alone = Alone::new();
    let controller = start(alone.cluster(), &["--log-level=trace", "--rate-limit=1000"]);
    let scene = Scene::on(alone.cluster(), "secrecy", &controller.get("/v1/cert.pem").unwrap().1);
    work(&scene, &controller);
    let mut public = Needles::default();
    public.add("what anybody may read", MARK.as_bytes());
    assert!(!scan(&controller, &public).is_empty(), "the scan doesn't find what has to be there, so it proves nothing");
    let mut needles = Needles::default();
    needles.add("a value", CORE.as_bytes());
    let clean = eventually(CLOSING, "no secret in the controller's memory", || match scan(&controller, &needles) {
        found if found.is_empty() => Ok(()),
        found => Err(format!("{} copies:\n{}", found.len(), found.join("\n"))),
    });
    clean.unwrap();

    let mut told = vec![("metrics".to_owned(), controller.get("/metrics").unwrap().1.into_bytes())];
    told.extend(files(controller.dir()));
    for (api, resources) in [("apis/bitnami.com/v1alpha1", "sealedsecrets"), ("api/v1", "events")] {
        let path = format!("/{api}/namespaces/{}/{resources}", scene.namespace);
        let list = scene.cluster.get(&path).unwrap();
        assert!(!list["items"].as_array().unwrap().is_empty(), "{path}");
        told.push((path, list.to_string().into_bytes()));
    }
    let read = |place: &str| {
        String::from_utf8_lossy(&told.iter().find(|(name, _)| name.contains(place)).unwrap().1).into_owned()
    };
    assert!(read("waxwing.log").contains("unsealed successfully") && read("sealedsecrets").contains(MARK));
    assert!(read("events").contains("ErrUpdateFailed"));
    for (place, bytes) in &told {
        let found: Vec<String> = needles.find(bytes).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{place}: {found:?}");
    }
    drop(controller);
    scene.cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}

/// Has values opened by every way, well and not.
fn work(scene: &Scene, controller: &Controller) {
    let big: String = (0..2500).map(|line| format!("{line:08}{CORE}")).collect();
    let annotations = json!({"annotations": {"mark": MARK}});
    let good = json!({"metadata": annotations, "stringData": {"password": CORE, "big": big}});
    let sealed = scene.seal("good", &good);
    scene.told("good", "True", str::is_empty);
    // The API server's answers quote what it refuses.
    for (name, secret, stands) in [
        (
            "registry",
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": format!("{{{CORE}")}}),
            None,
        ),
        ("no-key", json!({"stringData": {"a": CORE}}), None),
        ("other-type", json!({"stringData": {"a": CORE}}), Some("kubernetes.io/basic-auth")),
    ] {
        if let Some(kind) = stands {
            scene.apply(&json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "data": {"username": base64("x")},
                "metadata": {"name": name, "namespace": scene.namespace, "annotations": {MANAGED: "true"}}}));
        }
        let mut sealed = scene.sealed(name, &secret, &[]);
        if name == "no-key" {
            sealed["spec"]["encryptedData"]["a b"] = sealed["spec"]["encryptedData"]["a"].clone();
        }
        scene.apply(&sealed);
        scene.told(name, "False", |message| message.starts_with("failed update: "));
    }
    scene.cluster.merge(&scene.secret_path("good"), &json!({"data": {"password": "eA=="}})).unwrap();
    scene.secret_is("good", "put back", |secret| secret["data"]["password"] == base64(CORE));
    for (path, code) in [("/v1/verify", 200), ("/v1/rotate", 200)] {
        let answer = eventually(PATIENCE, path, || match controller.post(path, "", &sealed.to_string()).unwrap() {
            (429, _) => Err("it is not its turn"),
            answer => Ok(answer),
        });
        let (answered, body) = answer.unwrap();
        assert!(answered == code && !body.contains(CORE));
    }
    let is_done = |synced: Value| if synced["status"] == "True" { Ok(()) } else { Err(synced.to_string()) };
    eventually(PATIENCE, "done", || is_done(scene.synced("good"))).unwrap();
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let read = files.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
    read.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}
