//! Runs the real Sealed Secrets controller against a test cluster.
//!
//! It takes nothing but the configuration of a pod: two variables, and files under `/var/run/secrets`. It gets them in
//! a mount namespace of its own, where `/run` is another, empty one; the machine's is not touched. Whoever is not root
//! needs a system that allows user namespaces.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::call::isolate;
use crate::cluster::{Cluster, free_port};
use crate::failure::Failure;
use crate::own_network::{listen_address, map_root_user};
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(60);

/// Copies the files `token`, `ca.crt` and `namespace` of the folder `$1` to where a pod has them, and becomes the
/// program that the other arguments name.
const BECOME: &str = r#"
set -e
mount -t tmpfs -o mode=0700 tmpfs /run
pod=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p "$pod"
cp "$1/token" "$1/ca.crt" "$1/namespace" "$pod"
shift
exec "$@"
"#;

/// Is a running Sealed Secrets controller; it ends when this value is dropped, or when the process ends in any way.
pub struct SealedSecretsController {
    process: Process,
    port: u16,
    _dir: RunDir,
}

impl SealedSecretsController {
    /// Installs what the controller needs in the cluster, starts it in `kube-system`, and waits until it has a sealing
    /// key. Where it finds labelled keys, it uses them. The cluster must run the controller manager.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not come up, as where no namespaces can be made.
    pub fn start(cluster: &Cluster) -> Result<Self, Failure> {
        let program = Tools::locate()?.path("sealed-secrets-controller")?;
        let dir = RunDir::new("sealed-secrets")?;
        Self::install(cluster)?;
        dir.write("token", cluster.service_account_token("kube-system", "sealed-secrets-controller")?)?;
        dir.write("ca.crt", cluster.ca_pem())?;
        dir.write("namespace", "kube-system")?;
        let (port, metrics_port) = (free_port()?, free_port()?);
        let mut command = Command::new("unshare");
        isolate(&mut command, dir.path());
        command
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", cluster.port().to_string())
            .args(map_root_user())
            .args(["--mount", "sh", "-c", BECOME, "sh"])
            .arg(dir.path())
            .arg(program)
            // It would send five requests a second.
            .args(["--kubeclient-qps=-1"])
            .arg(format!("--listen-addr={}:{port}", listen_address()))
            .arg(format!("--listen-metrics-addr=127.0.0.1:{metrics_port}"));
        let log = dir.join("sealed-secrets-controller.log");
        let mut process = Process::start("sealed-secrets-controller", command, log)?;
        process.wait_ready(PATIENCE, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(|error| error.to_string())
        })?;
        Ok(Self { process, port, _dir: dir })
    }

    /// Installs what the controller needs in the cluster, without starting it: the kind and a ServiceAccount.
    ///
    /// # Errors
    /// [`Failure`] when the API server refuses.
    pub fn install(cluster: &Cluster) -> Result<(), Failure> {
        cluster.apply_yaml(include_str!("../manifests/sealed-secrets.yaml"))?;
        let established = "--for=condition=Established";
        cluster.kubectl(&["wait", established, "--timeout=60s", "crd/sealedsecrets.bitnami.com"]).map(drop)
    }

    /// Returns the controller's process, to look at it from outside.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Returns the controller's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address of the certificate that kubeseal seals with (its `--cert` takes it).
    pub fn certificate_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/cert.pem", self.port)
    }
}
