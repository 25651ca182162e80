//! The certificate from an address and from a cluster: what is trusted, what is refused, what the user is told, and that
//! the real Sealed Secrets controller opens what was sealed with its own.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use support::server::{redirect, serve, serve_at, with_body};
use support::{Folder, Ran, run};
use waxwing_harness::{Authority, Cluster, Failure, OWN_ADDRESS, SealedSecretsController, eventually, in_own_network};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: default, labels: {app: shop}}
type: example.com/login
data: {user: c2hvcA==, binary: AP8NCg==}
stringData: {password: hunter2}
";
const CERTIFICATE: &str = include_str!("../../crates/formats/tests/fixtures/sealed_secret/keys/throw-away.crt");

fn answers(path: &str, here: SocketAddr) -> String {
    match path {
        "/v1/cert.pem" => with_body("200 OK", CERTIFICATE),
        "/moved" => redirect("/v1/cert.pem"),
        "/to-plain" => redirect(&format!("http://{here}/v1/cert.pem")),
        "/forever" => redirect("/forever"),
        "/page" => with_body("200 OK", "<html>\u{1b}[31m</html>"),
        _ => with_body("404 Not Found", "nothing here"),
    }
}

fn fetch(folder: &Folder, url: &str) -> Ran {
    run(folder.call(&["cert", "--cert", url]).env("SSL_CERT_FILE", folder.path().join("ca.pem")))
}

#[test]
fn a_certificate_is_fetched_over_tls_from_a_server_that_is_trusted() -> Result<(), Failure> {
    let (folder, authority) = (Folder::new(), Authority::new("trusted")?);
    folder.write("ca.pem", authority.pem());
    let server = serve(answers, Some(&authority.server(&["127.0.0.1"])?));
    for path in ["v1/cert.pem", "moved"] {
        let ran = fetch(&folder, &format!("https://{server}/{path}"));
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), CERTIFICATE, ""), "{path}");
    }
    let plain = serve(answers, None);
    assert_eq!(fetch(&folder, &format!("http://{plain}/v1/cert.pem")).stdout, CERTIFICATE);
    Ok(())
}

#[test]
fn what_a_server_says_is_refused_when_it_is_no_certificate_or_not_trusted() -> Result<(), Failure> {
    let (folder, authority) = (Folder::new(), Authority::new("trusted")?);
    folder.write("ca.pem", authority.pem());
    let trusted = serve(answers, Some(&authority.server(&["127.0.0.1"])?));
    let other_name = serve(answers, Some(&authority.server(&["seal.example.com"])?));
    let stranger = serve(answers, Some(&Authority::new("stranger")?.server(&["127.0.0.1"])?));
    let mut told = String::new();
    for (name, server, path) in [
        ("trusted", trusted, "missing"),
        ("trusted", trusted, "page"),
        ("trusted", trusted, "to-plain"),
        ("trusted", trusted, "forever"),
        ("other-name", other_name, "v1/cert.pem"),
        ("stranger", stranger, "v1/cert.pem"),
    ] {
        let ran = fetch(&folder, &format!("https://{server}/{path}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}/{path}");
        told.push_str(&ran.stderr.replace(&server.to_string(), name));
    }
    insta::assert_snapshot!(told);
    Ok(())
}

#[test]
fn a_certificate_is_fetched_through_the_api_server() -> Result<(), Failure> {
    in_own_network("a_certificate_is_fetched_through_the_api_server", || {
        let (folder, cluster) = (Folder::new(), Cluster::shared()?);
        cluster.apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: waxwing-system}}")?;
        let server = serve_at(OWN_ADDRESS, answers, None);
        cluster.expose("waxwing-system", "waxwing", server.port())?;
        let kubeconfig = cluster.kubeconfig();
        let ask = |more: &[&str]| run(folder.call(&["cert"]).args(more).arg("--kubeconfig").arg(&kubeconfig));
        let fetched = eventually(PATIENCE, "the service proxy", || match ask(&[]) {
            ran if ran.code == Some(0) => Ok(ran),
            ran => Err(ran.stderr),
        })?;
        assert_eq!((fetched.stdout.as_str(), fetched.stderr.as_str()), (CERTIFICATE, ""));

        let upstream = SealedSecretsController::start(cluster)?;
        cluster.expose("kube-system", "sealed-secrets-controller", upstream.port())?;
        let flags = ["--controller-namespace", "kube-system", "--controller-name", "sealed-secrets-controller"];
        let fetched = eventually(PATIENCE, "the upstream controller", || match ask(&flags) {
            ran if ran.code == Some(0) => Ok(ran),
            ran => Err(ran.stderr),
        })?;
        assert!(fetched.stdout.starts_with("-----BEGIN CERTIFICATE-----\n") && fetched.stdout != CERTIFICATE);
        Ok(())
    })
}

/// A Secret in each scope, which stands in the cluster under another name, or in another namespace, where its scope lets it.
const SCOPES: [(&str, &str, &str); 3] =
    [("strict", "db", "default"), ("namespace-wide", "renamed", "default"), ("cluster-wide", "moved", "elsewhere")];

#[test]
fn the_real_controller_opens_what_seal_sealed_in_every_scope() -> Result<(), Failure> {
    let (folder, cluster) = (Folder::new(), Cluster::shared()?);
    let upstream = SealedSecretsController::start(cluster)?;
    cluster.apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: elsewhere}}")?;
    for (scope, name, namespace) in SCOPES {
        let arguments = ["--cert", &upstream.certificate_url(), "--scope", scope];
        let sealed = eventually(PATIENCE, "the certificate", || match folder.seal(&arguments, SECRET) {
            ran if ran.code == Some(0) => Ok(ran.stdout),
            ran => Err(ran.stderr),
        })?;
        assert!(!sealed.contains("hunter2"), "{sealed}");
        let place = format!("namespace: {namespace}");
        cluster
            .apply_yaml(&sealed.replace("name: db", &format!("name: {name}")).replace("namespace: default", &place))?;
    }
    for (scope, name, namespace) in SCOPES {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let opened = eventually(PATIENCE, scope, || cluster.get(&path))?;
        let found = [&opened["type"], &opened["metadata"]["labels"], &opened["data"]];
        let data = json!({"user": "c2hvcA==", "password": "aHVudGVyMg==", "binary": "AP8NCg=="});
        assert_eq!(found, [&json!("example.com/login"), &json!({"app": "shop"}), &data], "{scope}");
    }
    Ok(())
}

#[test]
fn what_the_api_server_refuses_is_told_with_a_way_out() -> Result<(), Failure> {
    let (folder, cluster) = (Folder::new(), Cluster::shared()?);
    let service = "{apiVersion: v1, kind: Service, metadata: {name: nobody-behind}, spec: {ports: [{name: http, port: 80}]}}\n---\n\
        {apiVersion: v1, kind: Endpoints, metadata: {name: nobody-behind}, subsets: []}";
    cluster.apply_yaml(service)?;
    let stranger = cluster.kubeconfig_as("stranger")?;
    let here = ["--controller-namespace", "default", "--controller-name"];
    let mut told = String::new();
    for (kubeconfig, name) in
        [(cluster.kubeconfig(), "missing"), (cluster.kubeconfig(), "nobody-behind"), (stranger, "nobody-behind")]
    {
        let ran = run(folder.call(&["cert"]).args(here).arg(name).arg("--kubeconfig").arg(kubeconfig));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}");
        told.push_str(&ran.stderr);
    }
    insta::assert_snapshot!(told);
    Ok(())
}
