//! An installation of Sealed Secrets can be taken over and given back: both controllers use the same key Secrets.

use waxwing_harness::{SealedSecretsController, Upstream, eventually};

use crate::stage::{Alone, PATIENCE, start_controller};

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
