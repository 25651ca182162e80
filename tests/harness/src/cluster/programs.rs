//! The command lines of the control plane: etcd, the API server, the controller manager, kwok.
//!
//! All of them run in the cluster's folder, so that its paths stay short: etcd listens on Unix sockets there (a name
//! like `client:1` is its way to write one), which no other user can reach and no other test can take.

use std::process::Command;

use crate::call::isolate;
use crate::failure::Failure;
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tools::Tools;

use super::ClusterOptions;

const ETCD_CLIENT: &str = "unix://client:1";
const ETCD_PEER: &str = "unix://peer:1";

/// The controllers that tests need. The others would want nodes, volumes or a cloud.
const CONTROLLERS: &str = "clusterrole-aggregation-controller,cronjob-controller,daemonset-controller,\
    deployment-controller,disruption-controller,endpoints-controller,endpointslice-controller,\
    garbage-collector-controller,job-controller,namespace-controller,persistentvolumeclaim-protection-controller,\
    replicaset-controller,root-ca-certificate-publisher-controller,serviceaccount-controller,\
    serviceaccount-token-controller,statefulset-controller,ttl-after-finished-controller";

/// Starts etcd. It never syncs to disk, and elects itself at once.
pub(super) fn etcd(tools: &Tools, dir: &RunDir) -> Result<Process, Failure> {
    let arguments = [
        "--name=test".to_owned(),
        "--data-dir=etcd".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        "--heartbeat-interval=20".to_owned(),
        "--election-timeout=100".to_owned(),
        format!("--listen-client-urls={ETCD_CLIENT}"),
        format!("--advertise-client-urls={ETCD_CLIENT}"),
        format!("--listen-peer-urls={ETCD_PEER}"),
        format!("--initial-advertise-peer-urls={ETCD_PEER}"),
        format!("--initial-cluster=test={ETCD_PEER}"),
    ];
    start(tools, dir, "etcd", &arguments)
}

/// Starts the API server on `port`. The files that it names were written by [`super::Cluster::start`].
pub(super) fn api_server(tools: &Tools, dir: &RunDir, options: &ClusterOptions, port: u16) -> Result<Process, Failure> {
    let mut arguments: Vec<String> = [
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC",
        "--client-ca-file=ca.crt",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-account-key-file=accounts.pub",
        "--service-account-signing-key-file=accounts.key",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--allow-privileged=true",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--etcd-servers={ETCD_CLIENT}"));
    arguments.push(format!("--secure-port={port}"));
    if !options.controller_manager {
        // Its check waits for the ServiceAccount that only the controller manager makes in each namespace.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    if options.audit {
        arguments.push("--audit-policy-file=audit.yaml".to_owned());
        arguments.push("--audit-log-path=audit.log".to_owned());
    }
    start(tools, dir, "kube-apiserver", &arguments)
}

/// Starts the controller manager, which makes Deployments work and empties deleted namespaces.
pub(super) fn controller_manager(tools: &Tools, dir: &RunDir) -> Result<Process, Failure> {
    let arguments = [
        "--kubeconfig=kubeconfig".to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--root-ca-file=ca.crt".to_owned(),
        "--service-account-private-key-file=accounts.key".to_owned(),
        format!("--controllers={CONTROLLERS}"),
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ];
    start(tools, dir, "kube-controller-manager", &arguments)
}

/// Starts kwok, which makes nodes and pods Ready without running anything.
pub(super) fn kwok(tools: &Tools, dir: &RunDir) -> Result<Process, Failure> {
    let arguments = ["--kubeconfig=kubeconfig", "--config=kwok.yaml", "--manage-all-nodes=true", "--node-port=0"];
    start(tools, dir, "kwok", &arguments.map(str::to_owned))
}

fn start(tools: &Tools, dir: &RunDir, name: &str, arguments: &[String]) -> Result<Process, Failure> {
    let mut command = Command::new(tools.path(name)?);
    isolate(&mut command, dir.path());
    // Memory is cheaper than the time that its collection takes from the tests.
    command.env("GOGC", "400").args(arguments);
    Process::start(name, command, log(dir, name))
}

fn log(dir: &RunDir, name: &str) -> std::path::PathBuf {
    dir.join(&format!("{name}.log"))
}
