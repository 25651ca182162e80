//! The controller's authenticated interface, asked by `seal` as a user would: through the API server's service proxy, with a token that
//! the API server makes. API server and controller are the real ones, and the real kubeseal seals and opens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::server::{serve_at, with_body};
use support::{Folder, Ran, run, waxwing};
use waxwing_formats::yaml;
use waxwing_harness::{Cluster, Controller, Failure, OWN_ADDRESS, Upstream, eventually, in_own_network};

const PATIENCE: Duration = Duration::from_secs(60);
const SYSTEM: &str = "waxwing-system";
/// Who may do what: alice makes tokens for two ServiceAccounts and reaches the controller, and only one of them may do something.
const RIGHTS: &str = include_str!("fixtures/interface/rights.yaml");

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/fixtures/sealed_secret/keys").join(name)
}

/// A cluster with two keys and a controller, and a folder with what is sealed for it.
struct Scene {
    cluster: &'static Cluster,
    folder: Folder,
    upstream: Upstream,
}

impl Scene {
    fn new() -> Result<Self, Failure> {
        let cluster = Cluster::shared()?;
        waxwing::prepare(cluster)?;
        cluster.apply_yaml(RIGHTS)?;
        for key in ["newer", "throw-away"] {
            let file = |ending| fs::read(fixture(&format!("{key}.{ending}"))).unwrap();
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": format!("key-{key}"), "namespace": SYSTEM, "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}},
                "data": {"tls.key": base64(&file("key")), "tls.crt": base64(&file("crt"))}});
            cluster.apply_yaml(&secret.to_string())?;
        }
        Ok(Self { cluster, folder: Folder::new(), upstream: Upstream::new()? })
    }

    fn controller(&self) -> Result<Controller, Failure> {
        // The keys are old enough to be renewed.
        let controller = waxwing::start(self.cluster, &["--namespace", SYSTEM, "--key-renew-period=0"])?;
        self.cluster.expose(SYSTEM, "waxwing", controller.port())?;
        Ok(controller)
    }

    /// Seals with the real kubeseal.
    fn sealed(&self, name: &str, certificate: &str, scope: &str) -> String {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}, "stringData": {"password": "hunter2", "user": "admin"}});
        let call =
            self.upstream.kubeseal(&["-o", "yaml", "--scope", scope, "--cert"]).unwrap().arg(fixture(certificate));
        call.stdin(secret.to_string()).text().unwrap()
    }

    fn opened(&self, name: &str) -> Value {
        let call =
            self.upstream.kubeseal(&["--recovery-unseal", "--recovery-private-key"]).unwrap().arg(fixture("newer.key"));
        serde_json::from_str::<Value>(&call.stdin(self.text(name)).text().unwrap()).unwrap()["data"].clone()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Runs `seal` as someone, and sees that neither a token nor a value is shown.
    fn seal(&self, kubeconfig: &Path, arguments: &[&str]) -> Ran {
        let ran = run(self.folder.call(arguments).env("KUBECONFIG", kubeconfig));
        for secret in ["eyJ", "hunter2", "PRIVATE KEY"] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
        }
        ran
    }
}

fn base64(bytes: &[u8]) -> Value {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

/// Another server behind the service, which knows nothing of the interface.
fn another(path: &str, _: std::net::SocketAddr) -> String {
    match path {
        "/v1/cert.pem" => {
            with_body("200 OK", include_str!("../../crates/formats/tests/fixtures/sealed_secret/keys/newer.crt"))
        }
        _ => with_body("404 Not Found", "canary"),
    }
}

#[test]
fn the_controller_says_which_key_an_item_needs_and_seals_it_again_for_who_may() -> Result<(), Failure> {
    in_own_network("the_controller_says_which_key_an_item_needs_and_seals_it_again_for_who_may", || {
        let scene = Scene::new()?;
        let controller = scene.controller()?;
        let alice = scene.cluster.kubeconfig_as("alice")?;
        let (as_rotator, app) = (["--service-account", "shop/rotator"], "app");
        fs::create_dir(scene.folder.path().join(app)).unwrap();
        let new = scene.sealed("db", "newer.crt", "strict");
        let item = new.lines().find(|line| line.starts_with("    user: ")).unwrap();
        let old = scene.sealed("db", "throw-away.crt", "strict");
        let mixed = old.lines().map(|line| if line.starts_with("    user: ") { item } else { line });
        let mixed: String = mixed.map(|line| format!("{line}\n")).collect();
        let mixed = format!(
            "# of the shop\n{mixed}---\n# another one\n{}",
            scene.sealed("two", "throw-away.crt", "cluster-wide")
        );
        let whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "whole", "namespace": "shop"},
            "type": "example.com/login", "stringData": {"password": "hunter2", "user": "admin"}});
        let words = ["--raw", "--name", "whole", "--namespace", "shop", "--cert"];
        let call = scene.upstream.kubeseal(&words)?.arg(fixture("throw-away.crt"));
        let blob_before = call.stdin(whole.to_string()).text()?;
        let blob = format!(
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: whole, namespace: shop}}\nspec: {{data: {}}}\n",
            blob_before.trim()
        );
        for (name, text) in [("mixed.yaml", mixed.as_str()), ("new.yaml", &new), ("blob.yaml", &blob)] {
            scene.folder.write(&format!("app/{name}"), text);
        }
        let listed = ["keys", "list", "--needed-by", app];
        let listed = eventually(PATIENCE, "the service proxy", || {
            match scene.seal(&alice, &[&listed[..], &as_rotator].concat()) {
                ran if ran.code == Some(0) => Ok(ran),
                ran => Err(ran.stderr),
            }
        })?;
        let planned = scene.seal(&alice, &[&["rotate", "--dry-run", app][..], &as_rotator].concat());
        assert_eq!((planned.code, scene.text("app/mixed.yaml")), (Some(2), mixed.clone()), "{planned:?}");
        let done = scene.seal(&alice, &[&["rotate", app][..], &as_rotator].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        insta::assert_snapshot!(format!("{}{}\n{}\n{}", listed.stderr, listed.stdout, planned.stdout, done.stdout));

        let after = scene.text("app/mixed.yaml");
        let changed = mixed
            .lines()
            .zip(after.lines())
            .filter(|(old, new)| old != new)
            .map(|(_, new)| new.split(':').next().unwrap().trim());
        assert_eq!(changed.collect::<Vec<_>>(), ["password", "password", "user"]);
        for document in after.split("---\n").filter(|document| document.contains("SealedSecret")) {
            scene.folder.write("one.yaml", document);
            assert_eq!(scene.opened("one.yaml"), json!({"password": base64(b"hunter2"), "user": base64(b"admin")}));
        }
        // A blob is sealed like an item, and opens as one.
        let after = scene.text("app/blob.yaml");
        assert!(!after.contains(blob_before.trim()), "{after}");
        let mut object = yaml::manifests(after.as_bytes()).unwrap().remove(0).value;
        object["spec"] = json!({"encryptedData": {"whole": object["spec"]["data"]}});
        scene.folder.write("one.yaml", object.to_string());
        assert_eq!(scene.opened("one.yaml")["whole"], base64(whole.to_string().as_bytes()));
        // A ServiceAccount asks with a token that was put into its pod.
        let rotator = scene.cluster.kubeconfig_of_service_account("shop", "rotator")?;
        let own = scene.seal(&rotator, &["keys", "list", "--needed-by", app, "--token-file", "token"]);
        assert!(own.stderr.contains("failed to read the token token"), "{own:?}");
        let token = scene.cluster.kubectl(&["create", "token", "-n", "shop", "rotator", "--audience=waxwing"])?;
        scene.folder.write("token", token);
        let again = scene.seal(&rotator, &["rotate", "--dry-run", app, "--token-file", "token"]);
        assert_eq!((again.code, again.stdout.lines().last()), (Some(0), Some("3 left")), "{again:?}");
        refusals(&scene, &alice, &rotator)?;
        assert!(!controller.log().contains("eyJ") && !controller.log().contains("hunter2"));
        Ok(())
    })
}

/// Who is not answered, and what they are told.
fn refusals(scene: &Scene, alice: &Path, rotator: &Path) -> Result<(), Failure> {
    scene
        .folder
        .write("app/renamed.yaml", scene.sealed("db", "throw-away.crt", "strict").replace("name: db", "name: other"));
    scene.folder.write(
        "app/elsewhere.yaml",
        scene.sealed("db", "throw-away.crt", "strict").replace("namespace: shop", "namespace: elsewhere"),
    );
    scene
        .folder
        .write("app/homeless.yaml", scene.sealed("db", "throw-away.crt", "strict").replace("  namespace: shop\n", ""));
    scene.folder.write("other-token", scene.cluster.service_account_token("shop", "rotator")?);
    scene.folder.write("no-token", "eyJ.canary\n");
    let server = serve_at(OWN_ADDRESS, another, None);
    scene.cluster.expose("kube-system", "another", server.port())?;
    let other = ["--controller-namespace", "kube-system", "--controller-name", "another"];
    eventually(PATIENCE, "the other service", || match scene.seal(alice, &[&["cert"], &other[..]].concat()) {
        ran if ran.code == Some(0) => Ok(()),
        ran => Err(ran.stderr),
    })?;
    let as_rotator = ["--service-account", "shop/rotator"];
    let mut told = String::new();
    for (kubeconfig, arguments) in [
        (alice, [&["rotate", "app"][..], &as_rotator].concat()),
        (alice, vec!["keys", "list", "--needed-by", "app", "--service-account", "shop/nobody"]),
        (alice, vec!["rotate", "app", "--service-account", "shop/stranger"]),
        (alice, vec!["keys", "list", "--needed-by", "app"]),
        (alice, vec!["rotate", "app", "--token-file", "other-token"]),
        (alice, vec!["rotate", "app", "--token-file", "no-token"]),
        (alice, [&["rotate", "app"][..], &as_rotator, &other].concat()),
        (alice, [&["rotate", "app"][..], &as_rotator, &["--controller-name", "missing"]].concat()),
        (
            rotator,
            vec!["keys", "list", "--needed-by", "app/renamed.yaml", "--service-account", "shop/rotator", "-o", "json"],
        ),
    ] {
        let before = scene.text("app/renamed.yaml");
        let ran = scene.seal(kubeconfig, &arguments);
        assert_eq!(scene.text("app/renamed.yaml"), before);
        assert!(!ran.stderr.contains("canary"), "{ran:?}");
        told.push_str(&format!("{}: {:?}\n{}{}\n", arguments.join(" "), ran.code, ran.stdout, ran.stderr));
    }
    insta::assert_snapshot!("refusals", told);
    Ok(())
}
