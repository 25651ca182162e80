//! An installation of Sealed Secrets can be taken over and given back: both controllers use the same key Secrets.

use waxwing_harness::{SealedSecretsController, Upstream, eventually};

use crate::stage::{Alone, PATIENCE, Stage, start_controller};

/// Where the Sealed Secrets controller has its keys.
const NAMESPACE: &str = "kube-system";
const SECRET: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: default}
stringData: {password: hunter2}
"#;
const OPENED: &str = "/api/v1/namespaces/default/secrets/login";
const KEYS: &str = "sealedsecrets.bitnami.com/sealed-secrets-key=active";

#[test]
fn sealing_keys_are_taken_over_from_the_sealed_secrets_controller_and_given_back() {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let waxwing = start_controller(cluster, &["--namespace", NAMESPACE]).unwrap();
    let ours = waxwing.get("/v1/cert.pem").unwrap().1;
    let given_back = SealedSecretsController::start(cluster).unwrap();
    assert_eq!(certificate_of(&given_back).trim(), ours.trim(), "upstream seals with the key that Waxwing made");
    cluster.apply_yaml(&sealed(&ours)).unwrap();
    let opened = eventually(PATIENCE, "upstream opens what was sealed for Waxwing", || cluster.get(OPENED)).unwrap();
    assert_eq!(opened["data"]["password"], "aHVudGVyMg==");
    drop(given_back);

    cluster.kubectl(&["delete", "secret", "--namespace", NAMESPACE, "--selector", KEYS]).unwrap();
    let theirs = certificate_of(&SealedSecretsController::start(cluster).unwrap());
    assert_ne!(theirs.trim(), ours.trim());
    let taken_over = eventually(PATIENCE, "Waxwing seals with the key that upstream made", || {
        let certificate = waxwing.get("/v1/cert.pem").map_err(|failure| failure.to_string())?.1;
        if certificate.trim() == theirs.trim() { Ok(()) } else { Err(certificate) }
    });
    taken_over.unwrap();
}

/// Asks the real controller for its certificate.
fn certificate_of(controller: &SealedSecretsController) -> String {
    let address = controller.certificate_url();
    let upstream = Upstream::new().unwrap();
    let fetch = || upstream.kubeseal(&["--fetch-cert", "--cert", &address])?.text();
    eventually(PATIENCE, "a certificate", || fetch().map_err(|failure| failure.to_string())).unwrap()
}

/// Seals [`SECRET`] with the real kubeseal for whoever has the key of this certificate.
fn sealed(certificate: &str) -> String {
    let upstream = Upstream::new().unwrap();
    let path = upstream.home().join("cert.pem");
    std::fs::write(&path, certificate).unwrap();
    let seal = upstream.kubeseal(&["--format=yaml", "--cert", path.to_str().unwrap()]).unwrap();
    seal.stdin(SECRET).text().unwrap()
}

#[test]
fn a_secret_of_the_sealed_secrets_controller_is_taken_from_its_sealed_secret_by_a_sync() {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let theirs = SealedSecretsController::start(cluster).unwrap();
    let certificate = certificate_of(&theirs);
    let waxwing = start_controller(cluster, &["--namespace", NAMESPACE]).unwrap();
    let stage = Stage::on(cluster, "released");
    let seal = |name: &str, more: &str| {
        let path = stage.upstream.home().join("cert.pem");
        std::fs::write(&path, &certificate).unwrap();
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {}, labels: {{old: x}}}}\nstringData: {{a: '1'{more}}}",
            stage.namespace
        );
        let seal = stage.upstream.kubeseal(&["--format=yaml", "--cert", path.to_str().unwrap()]).unwrap();
        seal.stdin(secret).text().unwrap()
    };
    cluster.apply_yaml(&seal("token", ", b: '2'").replace("creationTimestamp: null", "")).unwrap();
    let made = || stage.secret_value("token", "b").ok_or("it is not there");
    assert_eq!(eventually(PATIENCE, "the Secret", made).unwrap(), "2");
    let before = stage.get("secret/token").unwrap()["metadata"].clone();
    assert_eq!(before["ownerReferences"][0]["kind"], "SealedSecret");

    let commit = stage.commit(&[("app/token.yaml", &seal("token", "").replace("old: x", "new: x"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    let taken = stage.get("secret/token").unwrap();
    assert_eq!(taken["metadata"]["uid"], before["uid"], "it was not made anew");
    assert!(taken["metadata"]["ownerReferences"].is_null(), "{taken}");
    assert_eq!(taken["data"], serde_json::json!({"a": "MQ=="}), "what left Git left the Secret");
    assert!(taken["metadata"]["labels"]["old"].is_null() && taken["metadata"]["labels"]["new"] == "x", "{taken}");

    stage.kubectl(&["delete", "sealedsecret.bitnami.com", "token"]).unwrap();
    assert_eq!(stage.get("secret/token").unwrap()["metadata"]["uid"], before["uid"]);
    stage.kubectl(&["delete", "sync/app", "--timeout=60s"]).unwrap();
    drop(waxwing);
}
