//! Proves that the real Sealed Secrets controller runs against the test cluster and opens what kubeseal sealed.

use std::time::Duration;

use waxwing_harness::{Cluster, Failure, SealedSecretsController, Upstream, eventually, in_own_network};

const SECRET: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: default}
stringData: {password: hunter2}
"#;

#[test]
fn the_real_controller_opens_what_kubeseal_sealed() -> Result<(), Failure> {
    let (cluster, upstream) = (Cluster::shared()?, Upstream::new()?);
    let controller = SealedSecretsController::start(cluster)?;
    let certificate = controller.certificate_url();
    let seal = || upstream.kubeseal(&["--format=yaml", "--cert", &certificate])?.stdin(SECRET).text();
    let sealed =
        eventually(Duration::from_secs(60), "a certificate", || seal().map_err(|failure| failure.to_string()))?;
    assert!(!sealed.contains("hunter2"), "{sealed}");
    cluster.apply_yaml(&sealed)?;
    let opened = eventually(Duration::from_secs(30), "the opened Secret", || {
        let read = ["get", "secret", "login", "--output=jsonpath={.data.password}"];
        cluster.kubectl(&read).map_err(|failure| failure.to_string())
    })?;
    assert_eq!(opened, "aHVudGVyMg==");
    Ok(())
}

#[test]
fn kubeseal_fetches_the_certificate_through_the_api_server() -> Result<(), Failure> {
    in_own_network("sealed_secrets::kubeseal_fetches_the_certificate_through_the_api_server", || {
        let (cluster, upstream) = (Cluster::shared()?, Upstream::new()?);
        let controller = SealedSecretsController::start(cluster)?;
        cluster.expose("kube-system", "sealed-secrets-controller", controller.port())?;
        let fetch = || {
            let kubeconfig = cluster.kubeconfig();
            let call = upstream.kubeseal(&["--fetch-cert", "--kubeconfig"])?.arg(kubeconfig);
            call.text()
        };
        let certificate =
            eventually(Duration::from_secs(60), "a certificate", || fetch().map_err(|failure| failure.to_string()))?;
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
        Ok(())
    })
}
