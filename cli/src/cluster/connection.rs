//! Requests to the API server with the user's own rights, whose bodies may hold private keys.
//!
//! Of an answer that is no success the status and one word, its reason, are kept, and never the text.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use super::patience::{Patience, retry_after};
use super::{ClusterArgs, ClusterError, innermost};

/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const TOO_MANY: u16 = 429;

/// A way to the API server, and where the controller is.
pub(crate) struct Connection {
    runtime: Runtime,
    client: Client,
    /// The controller's namespace, in which its sealing keys are.
    pub(crate) namespace: String,
    /// The controller's Service.
    pub(crate) service: String,
}

/// What is asked for.
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    body: Zeroizing<Vec<u8>>,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) code: u16,
    retry_after: Option<Duration>,
    /// It may hold secrets.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Ask {
    /// Asks for what is at a path.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Vec::new())
    }

    /// Sends JSON to a path.
    pub(crate) fn post(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self::new(Method::POST, path, body).header("Content-Type", "application/json")
    }

    /// Changes a few fields of an object.
    pub(crate) fn merge(path: impl Into<String>, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self::new(Method::PATCH, path, body).header("Content-Type", "application/merge-patch+json")
    }

    /// Deletes an object, as long as it is the one that is meant.
    pub(crate) fn delete(path: impl Into<String>, options: &Value) -> Self {
        let body = options.to_string().into_bytes();
        Self::new(Method::DELETE, path, body).header("Content-Type", "application/json")
    }

    fn new(method: Method, path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Zeroizing::new(body) }
    }

    /// Adds a header, which may be secret.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Zeroizing::new(value.into())));
        self
    }

    fn request(&self) -> Result<Request<Body>, ClusterError> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        for (name, value) in &self.headers {
            let bad = |_| ClusterError::Request(format!("the header {name} can't be sent"));
            let mut value = http::HeaderValue::from_str(value).map_err(bad)?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(self.body.to_vec()));
        request.map_err(|error| ClusterError::Request(error.to_string()))
    }
}

impl Answer {
    /// Tells whether it is what was asked for.
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Reads the answer as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the one word that says why not, if it is one.
    pub(crate) fn reason(&self) -> String {
        let reason = self.json().get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_word = reason.len() <= 64 && reason.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_word { reason } else { String::new() }
    }
}

impl Connection {
    /// Reads the kubeconfig and makes ready to ask.
    pub(super) fn open(args: &ClusterArgs) -> Result<Self, ClusterError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ClusterError::Runtime)?;
        let client = runtime.block_on(args.context.client())?;
        let (namespace, service) = (args.controller_namespace.clone(), args.controller_name.clone());
        Ok(Self { runtime, client, namespace, service })
    }

    /// Asks, and asks again for a while where there is too much to do.
    ///
    /// # Errors
    /// Fails when there is no answer; one that says no is an answer.
    pub(crate) fn ask(&self, ask: &Ask) -> Result<Answer, ClusterError> {
        self.runtime.block_on(async {
            let patience = Patience::new();
            loop {
                let answer = self.ask_once(ask).await?;
                let again = (answer.code == TOO_MANY).then(|| patience.pause(answer.retry_after)).flatten();
                let Some(pause) = again else { return Ok(answer) };
                tokio::time::sleep(pause).await;
            }
        })
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Answer, ClusterError> {
        let response = self.client.send(ask.request()?).await.map_err(|error| fault(&error))?;
        let (code, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_| ClusterError::Request("the answer broke off, or is too long".to_owned()))?;
        Ok(Answer { code, retry_after, body: Zeroizing::new(body.to_bytes().into()) })
    }

    /// Asks for an object, or does something to it; an answer that says no is an error.
    ///
    /// # Errors
    /// Says what was refused with which status.
    pub(crate) fn must(&self, ask: &Ask, what: &str) -> Result<Answer, ClusterError> {
        let answer = self.ask(ask)?;
        match answer.is_good() {
            true => Ok(answer),
            false => Err(ClusterError::Denied { what: what.to_owned(), code: answer.code, reason: answer.reason() }),
        }
    }
}

pub(super) fn fault(error: &kube::Error) -> ClusterError {
    match error {
        kube::Error::Auth(_) => ClusterError::Request("the kubeconfig's way to log in failed".to_owned()),
        other => ClusterError::Request(innermost(other)),
    }
}
