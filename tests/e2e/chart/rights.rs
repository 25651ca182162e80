//! The controller with a token of the chart's ServiceAccount and exactly the chart's roles: in the whole cluster, and in one
//! namespace. Whatever the API server refuses it is in the audit log.

use std::path::PathBuf;

use serde_json::{Value, json};
use waxwing_harness::{Cluster, Controller, ControllerOptions, eventually};

use super::render;
use crate::act::{config_map, message};
use crate::stage::{Alone, PATIENCE, SYSTEM, Stage, certificate_of};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME, namespace: NAMESPACE}\nstringData: {key: VALUE}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
const KUSTOMIZATION: &str = "resources: [database.yaml, settings.yaml, token.yaml, web.yaml]\n";
/// Of a kind that the chart's default values don't watch.
const TEMPLATE: &str = "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: unwatched}\n\
    template: {metadata: {labels: {key: own}}, spec: {containers: [{name: a, image: a}]}}\n";

/// Installs what the chart renders, as the administrator, and returns a kubeconfig of its ServiceAccount.
fn install(cluster: &Cluster, namespace: &str, values: &[&str]) -> PathBuf {
    cluster.apply_yaml(&render(namespace, values).unwrap()).unwrap();
    cluster.kubeconfig_of_service_account(namespace, "waxwing").unwrap()
}

fn start(cluster: &Cluster, kubeconfig: PathBuf, arguments: &[&str]) -> Controller {
    let mut options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &["--allow-file-sources"]);
    options.kubeconfig = Some(kubeconfig);
    options.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    Controller::start(cluster, options).unwrap()
}

/// Returns what the API server refused the controller of this namespace, and its tenants through it.
fn refusals(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let user = format!("system:serviceaccount:{namespace}:waxwing");
    let refused = |event: &Value| event["user"]["username"] == *user && event["responseStatus"]["code"] == 403;
    let log = cluster.audit_log().unwrap();
    let refused = log.iter().filter(|event| refused(event));
    refused.map(|event| format!("{} {}", event["verb"], event["requestURI"])).collect()
}

fn secret(name: &str, namespace: &str, value: &str) -> String {
    SECRET.replace("NAMESPACE", namespace).replace("NAME", name).replace("VALUE", value)
}

/// Commits a kustomization with a SealedSecret, a SOPS file, a ConfigMap and a Service.
fn commit(stage: &Stage, controller: &Controller) -> String {
    let database = secret("database", &stage.namespace, "opened-by-sops");
    let sops = stage.sops("database.yaml", &database, &["--encrypted-regex", "^(data|stringData)$"]);
    let certificate = certificate_of(controller, stage);
    let seal = stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap(), "--format", "yaml"]).unwrap();
    let sealed = seal.stdin(secret("token", &stage.namespace, "opened-by-seal")).text().unwrap();
    stage.commit(&[
        ("app/database.yaml", &sops),
        ("app/kustomization.yaml", KUSTOMIZATION),
        ("app/settings.yaml", &config_map("settings", "own")),
        ("app/token.yaml", &sealed),
        ("app/web.yaml", SERVICE),
    ])
}

/// Applies it, and makes sure that all of it arrived.
fn apply(stage: &Stage, controller: &Controller) {
    let commit = commit(stage, controller);
    stage.sync("./app", "");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "key").as_deref(), Some("opened-by-sops"));
    assert_eq!(stage.secret_value("token", "key").as_deref(), Some("opened-by-seal"));
    assert!(stage.has("configmap/settings") && stage.has("service/web"));
}

/// Names backends that lead to where the operator lets nobody, and waits until that is said: of them, and of who uses them.
fn backends(stage: &Stage) {
    let namespace = &stage.namespace;
    let head = |kind: &str| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {namespace}, namespace: {namespace}}}\n"
        )
    };
    let vault =
        "vault: {address: 'https://127.0.0.1:1', auth: {tokenRef: {name: a}}}, allow: {paths: ['a/{namespace}']";
    let labels = format!("namespaces: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}");
    let own = format!("{}spec: {{{vault}}}}}\n", head("SecretBackend"));
    let shared = head("ClusterSecretBackend").replace(&format!(", namespace: {namespace}"), "");
    stage.cluster.apply_yaml(&format!("{own}---\n{shared}spec: {{{vault}, {labels}}}}}\n")).unwrap();
    for backend in ["secretbackend", "clustersecretbackend"] {
        stage.kubectl(&["wait", "--for=condition=Ready=False", "--timeout=60s", backend, namespace]).unwrap();
    }
    let reference = format!("ref+clusterstore://{namespace}/a/{namespace}#/a");
    let commit = stage.commit(&[("refs/a.yaml", &secret("a", namespace, &reference))]);
    stage.sync("./refs", &format!("  backends: [{{kind: ClusterSecretBackend, name: {namespace}}}]"));
    let refused = stage.refused(&commit, "KeyNotAllowed");
    assert!(message(&refused).contains("not among the controller's backend origins"), "{}", message(&refused));
    stage.kubectl(&["delete", "clustersecretbackend", namespace]).unwrap();
}

/// Writes over the ConfigMap and a Secret, and waits until that is put back.
fn drift(stage: &Stage) {
    let data = |key: &str| json!({"data": {"key": key}});
    stage.cluster.merge(&stage.path("configmap/settings").unwrap(), &data("theirs")).unwrap();
    stage.cluster.merge(&stage.path("secret/database").unwrap(), &data("dGhlaXJz")).unwrap();
    let is_own = || {
        let settings = stage.get("configmap/settings").unwrap()["data"]["key"] == "own";
        let database = stage.secret_value("database", "key").as_deref() == Some("opened-by-sops");
        if settings && database { Ok(()) } else { Err("it is still theirs") }
    };
    eventually(PATIENCE, "drift put back", is_own).unwrap();
}

/// Removes the SealedSecret from Git, and then the Sync, and waits until what they made is gone.
fn end(stage: &Stage) {
    let kept = KUSTOMIZATION.replace("token.yaml, ", "");
    let commit = stage.commit(&[("app/kustomization.yaml", &kept)]);
    stage.applied(&commit);
    stage.gone("secret/token");
    stage.kubectl(&["delete", "sync/app", "--timeout=60s"]).unwrap();
    assert!(!stage.has("secret/database") && !stage.has("configmap/settings"));
}

/// Applies an object of a kind that isn't watched: what others write over it is put back when its Sync is next at work.
fn unwatched(stage: &Stage, controller: &Controller) {
    let commit = stage.commit(&[("more/template.yaml", TEMPLATE)]);
    stage.sync("./more", "");
    stage.applied(&commit);
    let path = format!("/api/v1/namespaces/{}/podtemplates/unwatched", stage.namespace);
    let label = || stage.cluster.get(&path).unwrap()["template"]["metadata"]["labels"]["key"].clone();
    stage.cluster.merge(&path, &json!({"template": {"metadata": {"labels": {"key": "theirs"}}}})).unwrap();
    stage.request();
    assert_eq!(label(), "own");
    let said = controller.log().matches("the controller may not watch this kind").count();
    assert_eq!(said, 1, "{}", controller.log());
    stage.kubectl(&["delete", "sync/app", "--timeout=60s"]).unwrap();
}

#[test]
fn the_controller_does_its_work_with_exactly_the_rights_of_the_chart() {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let mut controller = in_the_whole_cluster(cluster);
    controller.kill();
    in_one_namespace(cluster);
    sealed_objects(cluster);
}

/// Reconciles a SealedSecret of the cluster: makes its Secret, puts it back, makes it again, takes one over that stands.
fn sealed_objects(cluster: &'static Cluster) {
    const SEALED: &str = "sealed-system";
    cluster.kubectl(&["create", "namespace", SEALED]).unwrap();
    let stage = Stage::on(cluster, "sealed");
    let watch = format!("controller.watchNamespaces={{{}}}", stage.namespace);
    let on = ["--set", &watch, "--set", "crds.install=false", "--set", "sealedSecrets.enabled=true"];
    let values = [&on[..], &["--set", "sealedSecrets.installDefinition=true"]].concat();
    let kubeconfig = install(cluster, SEALED, &values);
    let arguments = ["--namespace", SEALED, "--sealed-secrets", "--watch-namespaces", &stage.namespace];
    let controller = start(cluster, kubeconfig, &arguments);
    cluster.apply_yaml(&secret("token", &stage.namespace, "theirs")).unwrap();
    stage.kubectl(&["annotate", "secret", "token", "sealedsecrets.bitnami.com/managed=true"]).unwrap();
    let certificate = certificate_of(&controller, &stage);
    let seal = stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap(), "--format", "yaml"]).unwrap();
    let sealed = seal.stdin(secret("token", &stage.namespace, "opened")).text().unwrap();
    cluster.apply_yaml(&sealed.replace("creationTimestamp: null", "")).unwrap();
    let is_opened = || match stage.secret_value("token", "key").as_deref() {
        Some("opened") => Ok(()),
        other => Err(format!("it is {other:?}")),
    };
    let path = stage.path("secret/token").unwrap();
    eventually(PATIENCE, "the Secret replaced", is_opened).unwrap();
    cluster.merge(&path, &json!({"data": {"key": "dGhlaXJz"}})).unwrap();
    eventually(PATIENCE, "the Secret put back", is_opened).unwrap();
    cluster.delete(&path).unwrap();
    eventually(PATIENCE, "the Secret made again", is_opened).unwrap();
    let synced = || {
        let object = stage.get("sealedsecret.bitnami.com/token").unwrap();
        if object["status"]["conditions"][0]["status"] == "True" { Ok(()) } else { Err(object["status"].to_string()) }
    };
    eventually(PATIENCE, "a status", synced).unwrap();
    assert_eq!(refusals(cluster, SEALED), [""; 0]);
    let _ = stage.kubectl(&["delete", "sealedsecret.bitnami.com/token"]);
}

/// Asks about a SealedSecret with a token of the tenant.
fn answers(stage: &Stage, controller: &Controller) {
    let token = stage.kubectl(&["create", "token", "deployer", "--audience", "waxwing"]).unwrap();
    let metadata = json!({"name": "asked", "namespace": stage.namespace});
    let sealed = json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": metadata,
        "spec": {"encryptedData": {}}});
    let header = format!("X-Waxwing-Token: {}\r\n", token.trim());
    let answer = controller.post("/v1/waxwing/verify", &header, &sealed.to_string()).unwrap();
    assert_eq!(answer, (200, r#"{"items":[]}"#.to_owned()));
}

fn in_the_whole_cluster(cluster: &'static Cluster) -> Controller {
    let controller = start(cluster, install(cluster, SYSTEM, &[]), &[]);
    let stage = Stage::on(cluster, "everywhere");
    backends(&stage);
    apply(&stage, &controller);
    drift(&stage);
    answers(&stage, &controller);
    end(&stage);
    assert_eq!(refusals(cluster, SYSTEM), [""; 0]);
    unwatched(&stage, &controller);
    let refused = refusals(cluster, SYSTEM);
    assert!(!refused.is_empty() && refused.iter().all(|request| request.contains("/podtemplates")), "{refused:?}");
    controller
}

fn in_one_namespace(cluster: &'static Cluster) {
    const TENANTS: &str = "tenants-system";
    cluster.kubectl(&["create", "namespace", TENANTS]).unwrap();
    let (stage, elsewhere) = (Stage::on(cluster, "watched"), Stage::on(cluster, "elsewhere"));
    let watch = format!("controller.watchNamespaces={{{}}}", stage.namespace);
    let values = ["--set", watch.as_str(), "--set", "crds.install=false"];
    let controller = start(
        cluster,
        install(cluster, TENANTS, &values),
        &["--namespace", TENANTS, "--watch-namespaces", &stage.namespace],
    );
    let unseen = elsewhere.commit(&[("app/a.yaml", &config_map("unseen", "own"))]);
    elsewhere.sync("./app", "");

    backends(&stage);
    apply(&stage, &controller);
    drift(&stage);
    answers(&stage, &controller);
    reach_elsewhere(&stage, &elsewhere);
    end(&stage);
    let refused = refusals(cluster, TENANTS);
    assert!(refused.iter().all(|request| request.contains(&format!("/{}/", elsewhere.namespace))), "{refused:?}");
    confined(&stage, &elsewhere, &controller, &values);
    for object in ["sync/app", "gitsource/fleet"] {
        let status = elsewhere.get(object).unwrap()["status"].clone();
        assert!(status.is_null(), "{object} of {unseen} has {status}");
    }
}

/// A tenant that may write elsewhere does so: nobody watches there, and its own rights decide.
fn reach_elsewhere(stage: &Stage, elsewhere: &Stage) {
    let subject = format!("--serviceaccount={}:deployer", stage.namespace);
    elsewhere.kubectl(&["create", "rolebinding", "neighbour", "--clusterrole=cluster-admin", &subject]).unwrap();
    let commit = add_far(stage, elsewhere);
    stage.applied(&commit);
    let path = elsewhere.path("configmap/far").unwrap();
    stage.cluster.merge(&path, &json!({"data": {"key": "theirs"}})).unwrap();
    stage.request();
    assert_eq!(stage.cluster.get(&path).unwrap()["data"]["key"], "own");
    let commit = remove_far(stage);
    stage.applied(&commit);
    elsewhere.gone("configmap/far");
}

fn add_far(stage: &Stage, elsewhere: &Stage) -> String {
    let far = config_map("far", "own").replace("name: far", &format!("name: far, namespace: {}", elsewhere.namespace));
    stage.commit(&[("app/far.yaml", &far), ("app/kustomization.yaml", &KUSTOMIZATION.replace("]", ", far.yaml]"))])
}

fn remove_far(stage: &Stage) -> String {
    stage.commit(&[("app/kustomization.yaml", KUSTOMIZATION)])
}

/// By constrained impersonation a tenant can't leave the namespaces that are watched, whatever its rights.
fn confined(stage: &Stage, elsewhere: &Stage, controller: &Controller, values: &[&str]) {
    let constrained = [values, &["--set", "rbac.constrainedImpersonation=true"]].concat();
    stage.cluster.apply_yaml(&render("tenants-system", &constrained).unwrap()).unwrap();
    let commit = add_far(stage, elsewhere);
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "Forbidden");
    assert!(message(&sync).contains("impersonate"), "{}", message(&sync));
    remove_far(stage);
    apply(stage, controller);
    assert!(!elsewhere.has("configmap/far"));
}
