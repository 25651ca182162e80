//! Runs the real OpenBao, which speaks the API of Vault, with all that it keeps in memory.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::ask;
use crate::call::isolate;
use crate::certificates::Authority;
use crate::cluster::{free_port, start_with_free_ports};
use crate::failure::Failure;
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(60);
/// The token that may do everything.
const ROOT: &str = "root-of-a-test";

/// Is a running server; it ends when this value is dropped, or when the process ends in any way.
pub struct OpenBao {
    process: Process,
    port: u16,
    tls_port: u16,
    _dir: RunDir,
}

impl OpenBao {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not come up.
    pub fn start() -> Result<Self, Failure> {
        Self::start_certified_by(&Authority::new("nobody asks")?)
    }

    /// Starts a server that speaks TLS too, with a certificate of this authority for 127.0.0.1.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not come up.
    pub fn start_certified_by(authority: &Authority) -> Result<Self, Failure> {
        // It takes the port after each of the two as well, for other servers of its kind.
        start_with_free_ports(|| Self::try_start(authority))
    }

    fn try_start(authority: &Authority) -> Result<Self, Failure> {
        let program = Tools::locate()?.path("bao")?;
        let dir = RunDir::new("openbao")?;
        let identity = authority.server(&["127.0.0.1"])?;
        let certificate = dir.write("tls.crt", identity.certificate_pem)?;
        let key = dir.write("tls.key", identity.key_pem)?;
        let (port, tls_port) = (free_port()?, free_port()?);
        let listener = json!({"listener": {"tcp": {
            "address": format!("127.0.0.1:{tls_port}"),
            "tls_cert_file": certificate,
            "tls_key_file": key,
        }}});
        let config = dir.write("config.json", listener.to_string())?;
        let mut command = Command::new(program);
        isolate(&mut command, dir.path());
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg("-config")
            .arg(config);
        let mut process = Process::start("bao", command, dir.join("bao.log"))?;
        process.wait_ready(PATIENCE, || {
            ask(port, "GET", "/v1/sys/health", &[], &Value::Null).map(drop).map_err(|failure| failure.to_string())
        })?;
        Ok(Self { process, port, tls_port, _dir: dir })
    }

    /// Returns the port at which it speaks without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address at which it speaks without TLS.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the address at which it speaks TLS.
    pub fn tls_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// Returns the token that may do everything.
    pub fn root_token(&self) -> &'static str {
        ROOT
    }

    /// Mounts a transit engine at this path, in a namespace or in none.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn mount_transit(&self, namespace: Option<&str>, mount: &str) -> Result<(), Failure> {
        self.ask(namespace, &format!("sys/mounts/{mount}"), &json!({"type": "transit"})).map(drop)
    }

    /// Makes a key of a transit engine.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn make_key(&self, namespace: Option<&str>, mount: &str, name: &str) -> Result<(), Failure> {
        self.ask(namespace, &format!("{mount}/keys/{name}"), &json!({})).map(drop)
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn make_namespace(&self, name: &str) -> Result<(), Failure> {
        self.ask(None, &format!("sys/namespaces/{name}"), &json!({})).map(drop)
    }

    /// Makes a token that may do what this policy says, given as HCL; in a namespace or in none.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn make_token(&self, namespace: Option<&str>, policy: &str) -> Result<String, Failure> {
        self.ask(namespace, "sys/policies/acl/of-a-test", &json!({"policy": policy}))?;
        let made = self.ask(namespace, "auth/token/create", &json!({"policies": ["of-a-test"]}))?;
        let token = made.pointer("/auth/client_token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| Failure::Answer {
            what: "make a token".to_owned(),
            status: "an answer without one".to_owned(),
            text: String::new(),
        })
    }

    /// Asks something as the one who may do everything, with the answer wrapped for ten minutes; returns the token of the wrapping.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn ask_wrapped(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let headers = [("X-Vault-Token", ROOT), ("X-Vault-Wrap-TTL", "10m")];
        let wrapped = ask(self.port, "POST", &format!("/v1/{path}"), &headers, body)?;
        let token = wrapped.pointer("/wrap_info/token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| Failure::Answer {
            what: format!("wrap {path}"),
            status: "an answer that is not wrapped".to_owned(),
            text: String::new(),
        })
    }

    /// Returns what the server knows of each token that was logged in for.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn logged_in(&self) -> Result<Vec<Value>, Failure> {
        let listed = self.read("auth/token/accessors?list=true")?;
        let accessors = listed.pointer("/data/keys").and_then(Value::as_array).cloned().unwrap_or_default();
        // One that ended in between is none.
        let known = accessors.iter().filter_map(|accessor| {
            self.ask(None, "auth/token/lookup-accessor", &json!({"accessor": accessor})).ok()?.get("data").cloned()
        });
        let is_of_login = |token: &Value| token["path"].as_str().is_some_and(|path| path.ends_with("/login"));
        Ok(known.filter(is_of_login).collect())
    }

    /// Seals the server: from now on it knows nothing.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn seal(&self) -> Result<(), Failure> {
        self.ask(None, "sys/seal", &json!({})).map(drop)
    }

    /// Unseals the server, which has what it had.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses; fails also when its log says no key.
    pub fn unseal(&self) -> Result<(), Failure> {
        let log = std::fs::read_to_string(self.process.log()).unwrap_or_default();
        let key = log.lines().find_map(|line| line.strip_prefix("Unseal Key: ")).unwrap_or_default();
        self.ask(None, "sys/unseal", &json!({"key": key.trim()})).map(drop)
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Reads something as the one who may do everything.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses, or there is nothing.
    pub fn read(&self, path: &str) -> Result<Value, Failure> {
        ask(self.port, "GET", &format!("/v1/{path}"), &[("X-Vault-Token", ROOT)], &Value::Null)
    }

    /// Asks something as the one who may do everything.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn ask(&self, namespace: Option<&str>, path: &str, body: &Value) -> Result<Value, Failure> {
        let headers = [("X-Vault-Token", ROOT), ("X-Vault-Namespace", namespace.unwrap_or_default())];
        let count = if namespace.is_some() { 2 } else { 1 };
        let headers: Vec<(&str, &str)> = headers.into_iter().take(count).collect();
        ask(self.port, "POST", &format!("/v1/{path}"), &headers, body)
    }
}
