//! What only the controller can do: give its certificate, say whether it can open a SealedSecret, and seal it again.
//!
//! It is asked through the API server's service proxy, as by kubeseal (`pkg/kubeseal/kubeseal.go`). Of an answer that is no
//! success only the status and the reason are told, never the text.

use http::{Method, Request};
use kube::Client;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use waxwing_formats::go_object::{GoType, Reading};
use waxwing_formats::json;
use waxwing_formats::sealed_secret::{API_VERSION, KIND};

use super::args::Cluster;
use super::fault::Fault;
use super::objects::{Object, set_type};
use crate::cluster::{ClusterError, Patience, innermost, install_tls};

/// The controller behind its Service.
pub(super) struct Controller {
    runtime: Runtime,
    client: Client,
    /// The path of its interface.
    base: String,
}

/// Why it gave no good answer.
enum Refusal {
    /// The API server or the controller answered with another status than success.
    Status { code: u16, reason: String },
    /// There was no answer.
    Connection(String),
}

impl Controller {
    /// Finds the controller: the name of its port stands in its Service.
    pub(super) fn find(cluster: &Cluster) -> Result<Self, Fault> {
        install_tls();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ClusterError::Runtime)?;
        let client = runtime.block_on(async {
            let config = cluster.config().await?;
            Client::try_from(config).map_err(|error| Fault::from(ClusterError::Request(innermost(&error))))
        })?;
        let (namespace, name) = (&cluster.controller_namespace, &cluster.controller_name);
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
        let answer = runtime.block_on(ask(&client, Method::GET, &path, Vec::new()));
        let service = answer.map_err(|refusal| Fault::Service { why: refusal.about(&format!("services {name:?}")) })?;
        let service: Value = serde_json::from_str(&service).unwrap_or_default();
        let port = service.pointer("/spec/ports/0/name").and_then(Value::as_str).unwrap_or_default();
        let base = format!("/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy/v1");
        Ok(Self { runtime, client, base })
    }

    /// Returns the certificate to seal with, not checked yet.
    pub(super) fn certificate(&self) -> Result<Vec<u8>, Fault> {
        let answer = self.ask(Method::GET, "cert.pem", Vec::new());
        answer.map(String::into_bytes).map_err(|refusal| Fault::NoAnswer(refusal.about("the controller")))
    }

    /// Asks whether the controller can open each of the SealedSecrets.
    pub(super) fn validate(&self, objects: &[Object]) -> Result<(), Fault> {
        for object in objects {
            self.ask(Method::POST, "verify", object.value.to_string().into_bytes()).map_err(
                |refusal| match refusal {
                    Refusal::Status { code: CONFLICT, .. } => Fault::NotValid(name(&object.value)),
                    refusal => Fault::NotValidated(refusal.about("the controller")),
                },
            )?;
        }
        Ok(())
    }

    /// Has the controller seal each of the SealedSecrets again.
    pub(super) fn re_encrypt(&self, objects: &[Object]) -> Result<Vec<Value>, Fault> {
        objects.iter().map(|object| self.re_encrypt_one(&object.value)).collect()
    }

    fn re_encrypt_one(&self, object: &Value) -> Result<Value, Fault> {
        let answer = self.ask(Method::POST, "rotate", object.to_string().into_bytes());
        let text = answer.map_err(|refusal| match refusal {
            Refusal::Status { code: CONFLICT, .. } => Fault::NotRotated,
            refusal => Fault::NotReEncrypted(refusal.about("the controller")),
        })?;
        let strange =
            || Fault::NotReEncrypted("the controller answered with something else than a SealedSecret".to_owned());
        let answer =
            json::manifests(text.as_bytes()).ok().and_then(|found| found.into_iter().next()).ok_or_else(strange)?;
        let mut sealed = GoType::SealedSecret.read(answer.value, Reading::Json).map_err(|_| strange())?;
        // A file would be replaced by what belongs to another object.
        if name(&sealed) != name(object) {
            return Err(strange());
        }
        // The controller leaves out what it is.
        set_type(&mut sealed, KIND, API_VERSION);
        if let Some(Value::Object(metadata)) = sealed.get_mut("metadata") {
            metadata
                .retain(|field, _| !["creationTimestamp", "deletionTimestamp", "generation"].contains(&field.as_str()));
        }
        GoType::SealedSecret.read(sealed, Reading::Json).map_err(|_| strange())
    }

    fn ask(&self, method: Method, what: &str, body: Vec<u8>) -> Result<String, Refusal> {
        let path = format!("{}/{what}", self.base);
        self.runtime.block_on(async {
            let patience = Patience::new();
            loop {
                let answer = ask(&self.client, method.clone(), &path, body.clone()).await;
                let is_put_off = matches!(answer, Err(Refusal::Status { code: TOO_MANY, .. }));
                let Some(pause) = is_put_off.then(|| patience.pause(None)).flatten() else { return answer };
                tokio::time::sleep(pause).await;
            }
        })
    }
}

async fn ask(client: &Client, method: Method, path: &str, body: Vec<u8>) -> Result<String, Refusal> {
    let request = Request::builder().method(method).uri(path).body(body);
    let request = request.map_err(|error| Refusal::Connection(error.to_string()))?;
    client.request_text(request).await.map_err(|error| match error {
        kube::Error::Api(status) => Refusal::Status { code: status.code, reason: status.reason.clone() },
        kube::Error::Auth(_) => Refusal::Connection("the kubeconfig's way to log in failed".to_owned()),
        error => Refusal::Connection(innermost(&error)),
    })
}

impl Refusal {
    /// Says it of what was asked for.
    fn about(&self, what: &str) -> String {
        match self {
            Self::Status { code: 404, .. } => format!("{what} not found"),
            Self::Status { code: 403, .. } => format!("{what} is forbidden"),
            Self::Status { code, reason } => format!("{what}: the API server answered {code} {reason}"),
            Self::Connection(text) => text.clone(),
        }
    }
}

fn name(object: &Value) -> String {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

const CONFLICT: u16 = 409;
const TOO_MANY: u16 = 429;
