//! Proves how the controller's process behaves: it becomes ready, serves its certificate, comes back after a kill with
//! the same key and without doing anything twice, and ends when it is asked to.

use std::time::Duration;

use serde_json::Value;
use waxwing_harness::{Cluster, Controller, ControllerOptions, Failure, eventually};

use crate::stage::{Alone, Stage, certificate_of, is_of_the_test, slow_kustomize, start_controller};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_controller_becomes_ready_keeps_its_key_and_ends_on_sigterm() -> Result<(), Failure> {
    let alone = Alone::new();
    let mut controller = start_controller(alone.cluster(), &[])?;
    let certificate = controller.get("/v1/cert.pem")?;
    assert!(certificate.1.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate:?}");
    controller.kill();
    controller.restart()?;
    controller.wait_ready()?;
    assert_eq!(controller.get("/v1/cert.pem")?, certificate);
    let status = controller.terminate(SOON).map_err(|failure| panic!("{failure}\n{}", controller.log()))?;
    assert!(status.success(), "{status}\n{}", controller.log());
    Ok(())
}

#[test]
fn a_restart_with_nothing_changed_reads_no_key_opens_nothing_and_applies_nothing() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let mut controller = start_controller(cluster, &["--log-level", "off"])?;
    let stage = Stage::on(cluster, "restart");
    let commit = stage.commit(&[
        ("app/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"),
        ("app/database.yaml", &stage.sops("x.yaml", &secret("database"), &["--encrypted-regex", "^stringData$"])),
        ("app/token.yaml", &sealed(&controller, &stage, "token")?),
    ]);
    stage.sync("./app", "");
    stage.applied(&commit);
    assert_eq!(audited(&controller), ["database", "token"].map(|name| format!("Secret/{}/{name}", stage.namespace)));
    let before = work(cluster)?;
    for sign in ["patch configmaps/settings", "patch secrets/database", "get secrets/sops-age", "create "] {
        assert!(before.iter().any(|call| call.starts_with(sign)), "{sign} is not in {before:?}");
    }
    controller.kill();
    controller.restart()?;
    controller.wait_ready()?;
    stage.request();
    assert_eq!(work(cluster)?[before.len()..], [] as [String; 0]);
    controller.kill();
    stage.kubectl(&["delete", "configmap/settings"])?;
    controller.restart()?;
    eventually(SOON, "what was deleted meanwhile", || stage.get("configmap/settings").map(drop))?;
    Ok(())
}

#[test]
fn where_there_is_nothing_to_do_there_is_nothing_to_warn_of() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    cluster.kubectl(&["create", "namespace", "empty"])?;
    let mut controller = start_controller(cluster, &["--watch-namespaces", "empty"])?;
    eventually(SOON, "that it looked for inventories that nobody has", || {
        let listed = |event: &Value| {
            let address = event["requestURI"].as_str().unwrap_or_default();
            let is_such = address.contains("/namespaces/empty/inventories?labelSelector=");
            is_such && event["responseStatus"]["code"] == 200
        };
        cluster.audit_log()?.iter().find(|event| !is_of_the_test(event) && listed(event)).map(drop).ok_or_else(|| {
            Failure::Answer {
                what: "the audit log".to_owned(),
                status: "has no such list".to_owned(),
                text: String::new(),
            }
        })
    })?;
    assert!(controller.terminate(SOON)?.success());
    let log = controller.log();
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    Ok(())
}

#[test]
fn a_controller_that_is_asked_to_end_amid_a_sync_says_so_and_finishes_it() -> Result<(), Failure> {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let stage = Stage::on(cluster, "amid");
    let folder = stage.upstream.home().to_owned();
    let program = slow_kustomize(&folder)?;
    let arguments = ["--allow-file-sources", "--shutdown-grace", "1h"];
    let options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &arguments);
    let mut controller = Controller::start(cluster, ControllerOptions { kustomize: Some(program), ..options })?;
    let commit = stage.commit(&[
        ("app/kustomization.yaml", "resources: [config.yaml]\n"),
        ("app/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"),
    ]);
    stage.sync("./app", "");
    let started = || if folder.join("started").exists() { Ok(()) } else { Err("Kustomize was not started") };
    eventually(SOON, "a sync", started)?;
    controller.ask_to_end();
    let stopping = || match controller.get("/readyz") {
        Ok((503, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(SOON, "not ready any more", stopping)?;
    std::fs::write(folder.join("go"), "").unwrap();
    let status = controller.terminate(SOON).map_err(|failure| panic!("{failure}\n{}", controller.log()))?;
    assert!(status.success(), "{status}\n{}", controller.log());
    stage.applied(&commit);
    let states = stage.kubectl(&["get", "inventories", "--output=jsonpath={..state}"])?;
    assert_eq!(states, "Applied");
    Ok(())
}

/// Returns the objects in the audit log, which is all that a controller says whose log is off.
fn audited(controller: &Controller) -> Vec<String> {
    let log = controller.log();
    let objects = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["target"], "waxwing::audit");
        line["object"].as_str().unwrap().to_owned()
    });
    let mut objects: Vec<_> = objects.collect();
    objects.sort_unstable();
    objects
}

fn secret(name: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{value: something}}\n")
}

fn sealed(controller: &Controller, stage: &Stage, name: &str) -> Result<String, Failure> {
    let certificate = certificate_of(controller, stage);
    let arguments = ["--namespace", &stage.namespace, "--format", "yaml", "--cert"];
    stage.upstream.kubeseal(&arguments)?.arg(certificate).stdin(secret(name)).text()
}

/// Returns every request by which the controller reads a tenant's key, asks what a tenant may do, or applies.
fn work(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let log = cluster.audit_log()?;
    Ok(log.iter().filter(|event| !is_of_the_test(event)).filter_map(describe).collect())
}

fn describe(event: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let [verb, resource, name] =
        [&event["verb"], &event["objectRef"]["resource"], &event["objectRef"]["name"]].map(text);
    let works = match verb.as_str() {
        "get" => resource == "secrets" && name == "sops-age",
        "create" => resource.ends_with("accessreviews"),
        "patch" => !matches!(resource.as_str(), "syncs" | "gitsources" | "events"),
        _ => false,
    };
    works.then(|| format!("{verb} {resource}/{name}"))
}
