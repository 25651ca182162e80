//! Proves that the test cluster is a real one: it comes up, RBAC guards it, its controllers work, and it never
//! outlives its owner.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use waxwing_harness::{Cluster, ClusterOptions, Failure, NODE, eventually};

const SOON: Duration = Duration::from_secs(30);

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"#;

#[test]
fn the_pinned_version_answers_and_kubectl_is_of_the_same() -> Result<(), Failure> {
    let version = Cluster::shared()?.kubectl(&["version"])?;
    assert!(version.contains("Client Version: v1.36.3"), "{version}");
    assert!(version.contains("Server Version: v1.36.3"), "{version}");
    Ok(())
}

#[tokio::test]
async fn a_user_without_rights_is_denied_and_the_administrator_is_not() -> Result<(), Failure> {
    let cluster = Cluster::shared()?;
    let maps = |client| Api::<ConfigMap>::namespaced(client, "kube-system");
    let everything = ListParams::default();
    assert!(maps(cluster.client()?).list(&everything).await.is_ok());
    match maps(cluster.client_as("nobody")?).list(&everything).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{status:?}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
    let output = cluster.kubectl_call(&["auth", "can-i", "get", "secrets", "--as=nobody"]).run()?;
    assert_eq!(output.stdout, b"no\n");
    Ok(())
}

#[tokio::test]
async fn a_service_account_acts_with_its_own_token() -> Result<(), Failure> {
    let cluster = Cluster::shared()?;
    cluster.apply_yaml("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant, namespace: default}}")?;
    let client = cluster.client_as_service_account("default", "tenant")?;
    match Api::<ConfigMap>::namespaced(client, "default").list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) => {
            assert!(status.message.contains("system:serviceaccount:default:tenant"), "{status:?}");
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    Ok(())
}

#[test]
fn a_deployment_becomes_available_on_the_one_node() -> Result<(), Failure> {
    let cluster = Cluster::shared()?;
    cluster.apply_yaml(DEPLOYMENT)?;
    cluster.kubectl(&["rollout", "status", "--timeout=60s", "deployment/web"])?;
    let sets = cluster.kubectl(&["get", "replicasets", "--selector=app=web", "--output=name"])?;
    assert_eq!(sets.lines().count(), 1, "{sets}");
    let nodes = "--output=jsonpath={.items[*].spec.nodeName}";
    assert_eq!(cluster.kubectl(&["get", "pods", "--selector=app=web", nodes])?, format!("{NODE} {NODE}"));
    cluster.kubectl(&["delete", "--wait", "--timeout=60s", "deployment/web"])?;
    eventually(SOON, "no pod", || match cluster.kubectl(&["get", "pods", "--selector=app=web", "--output=name"]) {
        Ok(pods) if pods.is_empty() => Ok(()),
        Ok(pods) => Err(pods),
        Err(failure) => Err(failure.to_string()),
    })
}

#[test]
fn a_deleted_namespace_goes_away_with_all_that_is_in_it() -> Result<(), Failure> {
    let cluster = Cluster::shared()?;
    cluster.kubectl(&["create", "namespace", "short-lived"])?;
    cluster.kubectl(&["create", "configmap", "--namespace=short-lived", "content"])?;
    cluster.kubectl(&["delete", "--wait", "--timeout=60s", "namespace/short-lived"]).map(drop)
}

#[test]
fn the_audit_log_has_the_bodies_of_requests_that_change_something() -> Result<(), Failure> {
    let cluster = Cluster::shared()?;
    cluster
        .apply_yaml("{apiVersion: v1, kind: Secret, metadata: {name: audited, namespace: default}, data: {a: Yg==}}")?;
    let found = |event: &serde_json::Value| {
        event["verb"] == "patch"
            && event["objectRef"]["name"] == "audited"
            && event["requestObject"]["data"]["a"] == "Yg=="
    };
    eventually(SOON, "the audit record", || {
        let log = cluster.audit_log().map_err(|failure| failure.to_string())?;
        log.iter().any(found).then_some(()).ok_or_else(|| format!("{} other records", log.len()))
    })
}

#[test]
fn a_cluster_can_be_stopped_comes_back_with_its_data_or_older_data_and_leaves_no_folder() -> Result<(), Failure> {
    let cluster = Cluster::start(ClusterOptions::default())?;
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=a=b"])?;
    let backup = cluster.back_up()?;
    cluster.kubectl(&["create", "configmap", "later"])?;
    cluster.stop_api_server();
    assert!(cluster.kubectl(&["get", "configmap", "kept"]).is_err());
    cluster.start_api_server()?;
    cluster.kubectl(&["get", "configmap", "later"])?;
    cluster.restore(&backup)?;
    let later = cluster.get("/api/v1/namespaces/default/configmaps/later");
    assert!(later.is_err_and(|failure| failure.is_not_found()));
    assert_eq!(cluster.kubectl(&["get", "configmap", "kept", "--output=jsonpath={.data.a}"])?, "b");
    cluster.freeze_api_server();
    assert!(cluster.kubectl(&["get", "configmap", "kept", "--request-timeout=1s"]).is_err());
    cluster.thaw_api_server();
    cluster.kubectl(&["get", "configmap", "kept"])?;
    let folder = cluster.logs().to_owned();
    assert!(folder.join("kube-apiserver.log").is_file());
    drop(cluster);
    assert!(!folder.exists());
    Ok(())
}
