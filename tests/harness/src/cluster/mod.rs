//! A Kubernetes control plane of the test's own: the real etcd and API server with RBAC, on request with the real
//! controller manager and with kwok.
//!
//! What this is not: a cluster that runs containers. Pods get a node and become Ready, and nothing more.

mod kubeconfig;
mod ports;
mod programs;
mod requests;
mod service;

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use kube::Client;

use crate::call::{Call, installed};
use crate::certificates::{Authority, Identity, new_key};
use crate::failure::Failure;
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tls_server::lock;
use crate::tools::Tools;
use crate::waiting::eventually;

use kubeconfig::Credential;
pub(crate) use ports::{free_port, start_with_free_ports};
pub use requests::HARNESS;
use requests::Requests;

/// The name of the node that every pod gets when kwok runs.
pub const NODE: &str = "test-node";

/// How long each part may take to become ready. On an idle machine all of it takes three seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// A pod that nobody makes: the API server only tells what it would do with it.
const TRIAL_POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial", "namespace": "default"},
    "spec": {"containers": [{"name": "trial", "image": "trial"}]}}"#;

/// Says which parts a cluster has beside etcd and the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// The controller manager: Deployments make pods, owners take their objects along, namespaces end.
    pub controller_manager: bool,
    /// kwok: pods become Ready at once. Needs the controller manager. A new pod without a node gets [`NODE`].
    pub kwok: bool,
    /// The API server writes every request that changes something into [`Cluster::audit_log`].
    pub audit: bool,
}

impl ClusterOptions {
    /// Returns the options with every part switched on.
    pub const fn full() -> Self {
        Self { controller_manager: true, kwok: true, audit: true }
    }
}

/// Is a copy of what etcd had stored.
#[derive(Debug)]
pub struct Backup(&'static str);

/// Is a running control plane; it ends when this value is dropped, or when the process ends in any way.
pub struct Cluster {
    api_server: Mutex<Option<Process>>,
    etcd: Mutex<Option<Process>>,
    others: Mutex<Vec<Process>>,
    tools: Tools,
    kubectl: PathBuf,
    options: ClusterOptions,
    port: u16,
    authority: Authority,
    administrator: Credential,
    requests: Requests,
    dir: RunDir,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready: with the controller manager, until namespaces have their
    /// ServiceAccount; with kwok, until the node is Ready.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when a program is not installed, [`Failure::Start`] with the end of its log when one
    /// does not come up.
    pub fn start(options: ClusterOptions) -> Result<Self, Failure> {
        start_with_free_ports(|| Self::try_start(options))
    }

    /// Returns the cluster that all tests of this process share, which has every part; the first call starts it.
    /// Tests that share it keep to namespaces of their own, and don't stop it.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn shared() -> Result<&'static Self, Failure> {
        static SHARED: Mutex<Option<&'static Cluster>> = Mutex::new(None);
        let mut shared = lock(&SHARED);
        match *shared {
            Some(cluster) => Ok(cluster),
            None => Ok(*shared.insert(Box::leak(Box::new(Self::start(ClusterOptions::full())?)))),
        }
    }

    fn try_start(options: ClusterOptions) -> Result<Self, Failure> {
        let tools = Tools::locate()?;
        let dir = RunDir::new("cluster")?;
        let port = free_port()?;
        let authority = Authority::new("test cluster")?;
        let administrator = Credential::Certificate(authority.client("administrator", Some("system:masters"))?);
        write_files(&dir, &authority, &administrator, port)?;
        let etcd = programs::etcd(&tools, &dir)?;
        let cluster = Self {
            api_server: Mutex::new(None),
            etcd: Mutex::new(Some(etcd)),
            others: Mutex::default(),
            kubectl: tools.path("kubectl")?,
            tools,
            options,
            port,
            authority,
            administrator,
            requests: Requests::default(),
            dir,
        };
        cluster.start_api_server()?;
        cluster.start_others()?;
        Ok(cluster)
    }

    fn start_others(&self) -> Result<(), Failure> {
        if self.options.controller_manager {
            lock(&self.others).push(programs::controller_manager(&self.tools, &self.dir)?);
        }
        if self.options.kwok {
            self.apply_yaml(include_str!("../../manifests/node.yaml"))?;
            lock(&self.others).push(programs::kwok(&self.tools, &self.dir)?);
            self.kubectl(&["wait", "--for=condition=Ready", "--timeout=90s", &format!("node/{NODE}")])?;
        }
        if self.options.controller_manager {
            eventually(PATIENCE, "the controllers at work", || self.try_pod())?;
        }
        Ok(())
    }

    /// Asks what would become of a pod: it needs the namespace's ServiceAccount and, with kwok, gets the node.
    fn try_pod(&self) -> Result<(), String> {
        let create = ["create", "--dry-run=server", "--filename=-", "--output=jsonpath={.spec.nodeName}"];
        let node = self.kubectl_call(&create).stdin(TRIAL_POD).text().map_err(|failure| failure.to_string())?;
        if self.options.kwok && node != NODE {
            return Err("a new pod gets no node".to_owned());
        }
        Ok(())
    }

    /// Starts the API server where it was stopped, on the same port with the same data, and waits until it is ready.
    ///
    /// # Errors
    /// [`Failure::Start`] when it does not come up.
    pub fn start_api_server(&self) -> Result<(), Failure> {
        let mut process = programs::api_server(&self.tools, &self.dir, &self.options, self.port)?;
        process.wait_ready(PATIENCE, || self.answers())?;
        *self.api_server() = Some(process);
        Ok(())
    }

    /// Kills the API server. What it stored stays.
    pub fn stop_api_server(&self) {
        *self.api_server() = None;
    }

    /// Stops the API server without ending it: connections stay open, and nothing is answered.
    pub fn freeze_api_server(&self) {
        self.api_server().as_mut().into_iter().for_each(Process::freeze);
    }

    /// Lets a frozen API server go on.
    pub fn thaw_api_server(&self) {
        self.api_server().as_mut().into_iter().for_each(Process::thaw);
    }

    /// Copies what etcd has stored, as it is now.
    ///
    /// # Errors
    /// [`Failure::Run`] when it can't be copied.
    pub fn back_up(&self) -> Result<Backup, Failure> {
        let backup = Backup("etcd-backup");
        let mut etcd = lock(&self.etcd);
        // A copy of what a stopped process has written is what a power failure would leave, which etcd recovers from.
        etcd.as_mut().into_iter().for_each(Process::freeze);
        let copied = self.replace_folder("etcd", backup.0);
        etcd.as_mut().into_iter().for_each(Process::thaw);
        copied.map(|()| backup)
    }

    /// Puts back what was stored when the backup was made, as an operator does: the API server and etcd are down meanwhile, and
    /// afterwards resourceVersions count on from where they were then.
    ///
    /// # Errors
    /// [`Failure`] when one of them does not come up again.
    pub fn restore(&self, backup: &Backup) -> Result<(), Failure> {
        self.stop_api_server();
        *lock(&self.etcd) = None;
        self.replace_folder(backup.0, "etcd")?;
        *lock(&self.etcd) = Some(programs::etcd(&self.tools, &self.dir)?);
        self.start_api_server()
    }

    fn replace_folder(&self, from: &str, to: &str) -> Result<(), Failure> {
        let run = |program: &str, arguments: &[&str]| {
            Call::new(&installed(program), self.dir.path()).args(arguments).text().map(drop)
        };
        run("rm", &["-rf", to])?;
        run("cp", &["-R", from, to])
    }

    fn api_server(&self) -> MutexGuard<'_, Option<Process>> {
        lock(&self.api_server)
    }

    fn answers(&self) -> Result<(), String> {
        // Asked first, since it costs nothing while the API server does not listen yet.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(|error| error.to_string())?;
        self.is_ready().map_err(|failure| format!("{failure:?}"))
    }

    /// Returns the API server's address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Returns the API server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the certificate (PEM) that signed the API server's.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Returns the administrator's kubeconfig file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Writes a kubeconfig file for a user, who may do what RBAC lets this name, and returns its path.
    ///
    /// # Errors
    /// [`Failure`] when the certificate or the file can't be made.
    pub fn kubeconfig_as(&self, user: &str) -> Result<PathBuf, Failure> {
        let credential = Credential::Certificate(self.authority.client(user, None)?);
        let content = kubeconfig::file(&self.url(), &self.authority.pem(), &credential);
        self.dir.write(&format!("kubeconfig-{}", user.replace(['/', ':'], "-")), content)
    }

    /// Writes a kubeconfig file for whoever has `token` at a server that has the API server's authority, and returns its path.
    ///
    /// # Errors
    /// [`Failure::Io`] when the file can't be written.
    pub(crate) fn kubeconfig_with_token(&self, name: &str, server: &str, token: &str) -> Result<PathBuf, Failure> {
        let credential = Credential::Token(token.to_owned());
        self.dir.write(name, kubeconfig::file(server, &self.authority.pem(), &credential))
    }

    /// Returns a certificate for a further server on loopback, signed by the API server's authority.
    ///
    /// # Errors
    /// [`Failure::Certificate`] when it can't be made.
    pub(crate) fn server_identity(&self) -> Result<Identity, Failure> {
        self.authority.server(&["127.0.0.1", "localhost"])
    }

    /// Returns a token of a ServiceAccount, good for an hour.
    ///
    /// # Errors
    /// [`Failure::Run`] when there is no such ServiceAccount.
    pub fn service_account_token(&self, namespace: &str, name: &str) -> Result<String, Failure> {
        Ok(self.kubectl(&["create", "token", "--namespace", namespace, name])?.trim().to_owned())
    }

    /// Writes a kubeconfig file for a ServiceAccount, with a real token of it, and returns its path.
    ///
    /// # Errors
    /// [`Failure`] when there is no such ServiceAccount, or the file can't be written.
    pub fn kubeconfig_of_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf, Failure> {
        let token = Credential::Token(self.service_account_token(namespace, name)?);
        let content = kubeconfig::file(&self.url(), &self.authority.pem(), &token);
        self.dir.write(&format!("kubeconfig-{namespace}-{name}"), content)
    }

    /// Returns kube's configuration for the administrator.
    pub fn config(&self) -> kube::Config {
        self.config_for(&self.administrator)
    }

    /// Returns a client for the administrator. It belongs to the async runtime in which this is called.
    ///
    /// # Errors
    /// [`Failure::Client`] when kube refuses.
    pub fn client(&self) -> Result<Client, Failure> {
        client("the administrator", self.config())
    }

    /// Returns a client for a user, who may do what RBAC lets this name.
    ///
    /// # Errors
    /// [`Failure`] when the certificate or the client can't be made.
    pub fn client_as(&self, user: &str) -> Result<Client, Failure> {
        let credential = Credential::Certificate(self.authority.client(user, None)?);
        client(user, self.config_for(&credential))
    }

    /// Returns a client for a ServiceAccount, with a real token of it.
    ///
    /// # Errors
    /// [`Failure`] when there is no such ServiceAccount, or the client can't be made.
    pub fn client_as_service_account(&self, namespace: &str, name: &str) -> Result<Client, Failure> {
        let token = Credential::Token(self.service_account_token(namespace, name)?);
        client(name, self.config_for(&token))
    }

    /// Returns kube's configuration for nobody: each request has to bring its own credentials.
    pub(crate) fn anonymous_config(&self) -> kube::Config {
        let mut config = self.config();
        config.auth_info = kube::config::AuthInfo::default();
        config.default_retry = false;
        config
    }

    fn config_for(&self, credential: &Credential) -> kube::Config {
        let server = http::Uri::builder()
            .scheme("https")
            .authority(format!("127.0.0.1:{}", self.port))
            .path_and_query("/")
            .build()
            .unwrap_or_default();
        kubeconfig::config(server, self.authority.der(), credential)
    }

    /// Runs kubectl as the administrator and returns what it printed.
    ///
    /// # Errors
    /// [`Failure::Run`] with what it complained about when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.kubectl_call(arguments).text()
    }

    /// Prepares a call of kubectl as the administrator, for a test that wants to feed it or expects it to fail.
    pub fn kubectl_call(&self, arguments: &[&str]) -> Call {
        Call::new(&self.kubectl, self.dir.path())
            .env("KUBECTL_KUBERC", "false")
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
    }

    /// Returns the requests that the API server wrote down, oldest first, as `audit.k8s.io/v1` events.
    ///
    /// # Errors
    /// [`Failure::Io`] when the cluster runs without [`ClusterOptions::audit`].
    pub fn audit_log(&self) -> Result<Vec<serde_json::Value>, Failure> {
        let path = self.dir.join("audit.log");
        let text = fs::read_to_string(&path).map_err(Failure::io(format!("read {}", path.display())))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Returns the folder with the programs' logs (`kube-apiserver.log` and so on).
    pub fn logs(&self) -> &Path {
        self.dir.path()
    }
}

fn client(user: &str, config: kube::Config) -> Result<Client, Failure> {
    Client::try_from(config).map_err(|source| Failure::Client { user: user.to_owned(), source: Box::new(source) })
}

fn write_files(dir: &RunDir, authority: &Authority, administrator: &Credential, port: u16) -> Result<(), Failure> {
    let server = authority.server(&["127.0.0.1", "localhost", "kubernetes.default.svc", "10.0.0.1"])?;
    let accounts = new_key("service accounts")?;
    let url = format!("https://127.0.0.1:{port}");
    dir.write("ca.crt", authority.pem())?;
    dir.write("server.crt", server.certificate_pem)?;
    dir.write("server.key", server.key_pem)?;
    dir.write("accounts.key", accounts.serialize_pem())?;
    dir.write("accounts.pub", accounts.public_key_pem())?;
    dir.write("audit.yaml", include_str!("../../manifests/audit.yaml"))?;
    dir.write("kwok.yaml", include_str!("../../manifests/kwok.yaml"))?;
    dir.write("kubeconfig", kubeconfig::file(&url, &authority.pem(), administrator))?;
    Ok(())
}
