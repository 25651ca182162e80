//! An installation of Sealed Secrets can be taken over and given back: both controllers use the same key Secrets.

use waxwing_harness::{Cluster, ClusterOptions, SealedSecretsController, Upstream, eventually};

use crate::stage::{PATIENCE, own_cluster, start_controller};

/// Where the Sealed Secrets controller has its keys.
const NAMESPACE: &str = "kube-system";
const KEYS: &str = "sealedsecrets.bitnami.com/sealed-secrets-key=active";

#[test]
fn sealing_keys_are_taken_over_from_the_sealed_secrets_controller_and_given_back() {
    let cluster = own_cluster(ClusterOptions { controller_manager: true, ..ClusterOptions::default() });
    let waxwing = start_controller(cluster, &["--namespace", NAMESPACE]).unwrap();
    let ours = waxwing.get("/v1/cert.pem").unwrap().1;
    assert_eq!(certificate_of_upstream(cluster).trim(), ours.trim(), "upstream seals with the key that Waxwing made");

    cluster.kubectl(&["delete", "secret", "--namespace", NAMESPACE, "--selector", KEYS]).unwrap();
    let theirs = certificate_of_upstream(cluster);
    assert_ne!(theirs.trim(), ours.trim());
    let taken_over = eventually(PATIENCE, "Waxwing seals with the key that upstream made", || {
        let certificate = waxwing.get("/v1/cert.pem").map_err(|failure| failure.to_string())?.1;
        if certificate.trim() == theirs.trim() { Ok(()) } else { Err(certificate) }
    });
    taken_over.unwrap();
}

/// Starts the real controller, asks for its certificate, and ends it.
fn certificate_of_upstream(cluster: &Cluster) -> String {
    let controller = SealedSecretsController::start(cluster).unwrap();
    let address = controller.certificate_url();
    let upstream = Upstream::new().unwrap();
    let fetch = || upstream.kubeseal(&["--fetch-cert", "--cert", &address])?.text();
    eventually(PATIENCE, "a certificate", || fetch().map_err(|failure| failure.to_string())).unwrap()
}
