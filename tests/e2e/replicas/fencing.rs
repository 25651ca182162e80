//! A leader that stood still, or lost the API server, writes nothing once its time is over.

use std::time::Instant;

use serde_json::{Value, json};
use waxwing_harness::{Controller, ControllerOptions, Fault, FaultProxy, Rule, eventually};

use super::{QUICK, Scene, leads, says};
use crate::stage::{Alone, PATIENCE, slow_kustomize};

/// The exit code of a controller whose lease another one has.
const LOST: i32 = 3;

#[test]
fn a_leader_that_stood_still_in_the_middle_of_its_work_writes_nothing_once_another_leads() {
    let scene = Scene::new("frozen");
    let proxy = FaultProxy::start(scene.cluster).unwrap();
    let folder = scene.stage.upstream.home().to_owned();
    // The first always has a key to make, the second never.
    let options = scene.options("one", &[&QUICK[..], &["--key-renew-period=2s"]].concat());
    let kustomize = Some(slow_kustomize(&folder).unwrap());
    let slow = ControllerOptions { kubeconfig: Some(proxy.kubeconfig()), kustomize, ..options };
    let mut one = Controller::start(scene.cluster, slow).unwrap();
    let two = scene.start("two", &[&QUICK[..], &["--key-renew-period=0"]].concat());
    scene.stage.commit(&[
        ("app/kustomization.yaml", "resources: [settings.yaml]\n"),
        ("app/settings.yaml", &crate::act::config_map("settings", "one")),
    ]);
    scene.stage.sync("./app", "");
    let started = || if folder.join("started").exists() { Ok(()) } else { Err("Kustomize was not started") };
    eventually(PATIENCE, "a sync", started).unwrap();

    let holder = scene.holder();
    one.freeze();
    scene.seal("login", &two);
    scene.holder_after(&holder);
    scene.commit("two");
    scene.opened("login");
    // It is not told that it lost the lease: its own clock has to do.
    proxy.inject(Rule::new(Fault::Hang).on("/leases"));
    std::fs::write(folder.join("go"), "").unwrap();
    let thawed = Instant::now();
    one.thaw();
    // Both are told of what there is to do.
    scene.stage.kubectl(&["delete", "configmap/settings", "secret/login"]).unwrap();
    let namespace = &scene.stage.namespace;
    for what in [format!("Sync/{namespace}/app"), format!("SealedSecret.v1alpha1.bitnami.com/login.{namespace}")] {
        says(&one, &format!("failed to write the status object={what}"), 1);
    }
    scene.opened("login");
    eventually(PATIENCE, "drift put back", || scene.stage.get("configmap/settings")).unwrap();
    assert_eq!(sent(&proxy, thawed), [] as [String; 0]);
    assert!(leads(&two) && !leads(&one));

    proxy.lift();
    let status = one.wait_end(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(LOST), "{}", one.log());
    one.restart().unwrap();
    one.wait_ready().unwrap();
    assert!(leads(&two) && !leads(&one));
    assert_eq!(sent(&proxy, thawed), [] as [String; 0]);
}

/// Returns what was asked for since then that changes something other than the lease.
fn sent(proxy: &FaultProxy, since: Instant) -> Vec<String> {
    let requests = proxy.requests_since(since).into_iter();
    let writes =
        requests.filter(|request| !["get", "watch"].contains(&request.verb) && !request.target.contains("/leases"));
    writes
        .filter(|request| !request.target.contains("reviews"))
        .map(|request| format!("{} {}", request.verb, request.target))
        .collect()
}

#[test]
fn a_leader_that_loses_the_api_server_goes_on_without_writing_and_leads_again_when_it_is_back() {
    let alone = Alone::new();
    let scene = Scene::on(alone.cluster(), "outage");
    let controller = scene.start("one", &QUICK);
    scene.stage.sync("./app", "");
    scene.commit("one");
    let (certificate, process) = (controller.get("/v1/cert.pem").unwrap(), controller.process().id());
    let holder = scene.holder();
    alone.cluster().stop_api_server();
    says(&controller, "nothing is written until it is", 1);
    assert!(!leads(&controller));
    assert_eq!(controller.get("/v1/cert.pem").unwrap(), certificate);
    alone.cluster().start_api_server().unwrap();
    says(&controller, "leads and writes again", 1);
    scene.commit("two");
    assert!(leads(&controller) && controller.process().id() == process && scene.holder() == holder);
    assert_eq!(scene.lease()["leaseTransitions"], 0);
}

#[test]
fn a_leader_that_may_not_renew_its_lease_any_more_stops_writing_says_why_and_goes_on_once_it_may() {
    let scene = Scene::new("unrenewed");
    let mut controller = scene.start("one", &QUICK);
    scene.stage.sync("./app", "");
    scene.commit("one");
    let policy = refuse_leases(&scene);
    says(&controller, "nothing is written until it is", 1);
    let before = scene.writes("one");
    scene.stage.commit(&[("app/settings.yaml", &crate::act::config_map("settings", "two"))]);
    let unwritten = format!("failed to write the status object=Sync/{}/app", scene.stage.namespace);
    says(&controller, &unwritten, 1);
    let log = controller.log();
    let line = log.lines().rfind(|line| line.contains(&unwritten)).unwrap();
    assert!(line.contains("this controller does not lead, so it writes nothing"), "{line}");
    assert_eq!(scene.writes("one")[before.len()..], [] as [String; 0]);
    for object in policy {
        scene.cluster.kubectl(&["delete", &object]).unwrap();
    }
    says(&controller, "leads and writes again", 1);
    scene.commit("three");
    assert!(controller.terminate(PATIENCE).unwrap().success());
}

/// Has the API server refuse every change of this lease; returns what that takes.
fn refuse_leases(scene: &Scene) -> [String; 2] {
    let name = &scene.system;
    let metadata = json!({"name": name});
    let rules = json!([{"apiGroups": ["coordination.k8s.io"], "apiVersions": ["v1"], "resources": ["leases"], "operations": ["*"]}]);
    let of_namespace =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}, "resourceRules": rules});
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
        "spec": {"matchConstraints": of_namespace, "validations": [{"expression": "false"}]}});
    let binding: Value = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    scene.cluster.apply_yaml(&format!("{policy}\n---\n{binding}")).unwrap();
    ["validatingadmissionpolicybinding", "validatingadmissionpolicy"].map(|kind| format!("{kind}/{name}"))
}
