//! Runs moto, which answers as AWS does, for KMS, STS, Secrets Manager and the Parameter Store.
//!
//! What it is not: as strict as AWS. It takes any credentials, and lets disabled keys decrypt; a wrong key is an error of another
//! name.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::ask;
use crate::call::isolate;
use crate::cluster::{free_port, start_with_free_ports};
use crate::failure::Failure;
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(60);

/// Is a running server; it ends when this value is dropped, or when the process ends in any way.
pub struct Moto {
    process: Process,
    port: u16,
    _dir: RunDir,
}

impl Moto {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not come up.
    pub fn start() -> Result<Self, Failure> {
        start_with_free_ports(Self::try_start)
    }

    fn try_start() -> Result<Self, Failure> {
        let program = Tools::locate()?.path("moto_server")?;
        let dir = RunDir::new("moto")?;
        let port = free_port()?;
        let mut command = Command::new(program);
        isolate(&mut command, dir.path());
        command.args(["-H", "127.0.0.1", "-p"]).arg(port.to_string());
        let mut process = Process::start("moto_server", command, dir.join("moto.log"))?;
        process.wait_ready(PATIENCE, || {
            ask(port, "POST", "/moto-api/reset", &[], &Value::Null).map(drop).map_err(|failure| failure.to_string())
        })?;
        Ok(Self { process, port, _dir: dir })
    }

    /// Returns the port at which it answers.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address that takes the place of all endpoints of AWS.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a key of KMS in a region, and returns its ARN.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn make_key(&self, region: &str) -> Result<String, Failure> {
        let made = self.kms(region, "CreateKey", &json!({}))?;
        let arn = made.pointer("/KeyMetadata/Arn").and_then(Value::as_str);
        arn.map(str::to_owned).ok_or_else(|| Failure::Answer {
            what: "make a key".to_owned(),
            status: "an answer without one".to_owned(),
            text: String::new(),
        })
    }

    /// Gives a key, named by its ARN, the alias `alias/NAME`, and returns the alias's ARN.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn make_alias(&self, region: &str, name: &str, arn: &str) -> Result<String, Failure> {
        let alias = format!("alias/{name}");
        self.kms(region, "CreateAlias", &json!({"AliasName": alias, "TargetKeyId": arn}))?;
        let account = arn.split(':').nth(4).unwrap_or_default();
        Ok(format!("arn:aws:kms:{region}:{account}:{alias}"))
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Asks Secrets Manager for something, such as `CreateSecret`.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn secrets(&self, region: &str, operation: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(region, "secretsmanager", &format!("secretsmanager.{operation}"), body)
    }

    /// Asks the Parameter Store for something, such as `PutParameter`.
    ///
    /// # Errors
    /// [`Failure::Answer`] when the server refuses.
    pub fn parameters(&self, region: &str, operation: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(region, "ssm", &format!("AmazonSSM.{operation}"), body)
    }

    fn kms(&self, region: &str, operation: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(region, "kms", &format!("TrentService.{operation}"), body)
    }

    /// Asks a service for something. Which one and which region are meant stands in the signature, which nobody checks.
    fn ask(&self, region: &str, service: &str, target: &str, body: &Value) -> Result<Value, Failure> {
        let scope = format!("AKIAOFATEST/20260101/{region}/{service}/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
        let headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", target),
            ("Authorization", signed.as_str()),
        ];
        ask(self.port, "POST", "/", &headers, body)
    }
}
