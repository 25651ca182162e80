//! Fakes of the services that nobody can run: Google Cloud KMS and Secret Manager, and Azure Key Vault, on loopback, with real cryptography, and with
//! the paths, fields and errors that their documentation has.
//!
//! They are fakes: what they do was written from documentation and from what the clients of sops 3.13.3 send, and nobody has compared
//! them with the services. They share no code with our clients. What they are not: complete, or a place to keep a secret.

mod gcp_kms;
mod gcp_secrets;
mod gcp_tokens;
mod key_vault;
mod trust;
mod vault_key;
mod vault_secrets;
mod vault_tokens;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::Value;

use crate::failure::Failure;
use crate::tls_server::{TlsServer, lock};

pub use gcp_kms::FakeGcpKms;
pub use key_vault::FakeKeyVault;

type Answer = Response<Full<Bytes>>;

/// Says what a fake does with requests for its keys from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CloudMood {
    /// Answers them.
    #[default]
    Serve,
    /// Lets nobody use a key.
    Deny,
    /// Answers so many of them with 429 and how many seconds to wait, and the others as usual.
    Throttle {
        /// How many.
        times: usize,
        /// The seconds.
        retry_after: u64,
    },
    /// Answers them with this status, and a body that is no JSON.
    Fail(StatusCode),
    /// Answers them with what is damaged on its way: another byte stands in it.
    Damage,
    /// Answers them with success, and a body that is no JSON.
    Garble,
    /// Sends them elsewhere, at the same server.
    Redirect,
}

/// Is one request as a fake saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRequest {
    /// The method.
    pub method: Method,
    /// The host and port that the client meant.
    pub host: String,
    /// The path without the query.
    pub path: String,
    /// Whether it came with a token.
    pub has_token: bool,
    /// How it was answered.
    pub status: StatusCode,
}

/// What every fake keeps; its connections share it with its owner.
#[derive(Default)]
pub struct CloudRecord {
    mood: Mutex<CloudMood>,
    login_mood: Mutex<CloudMood>,
    log: Mutex<Vec<CloudRequest>>,
    plaintexts: Mutex<Vec<Vec<u8>>>,
}

impl CloudRecord {
    /// Says what is done with requests for keys from now on.
    pub fn behave(&self, mood: CloudMood) {
        *lock(&self.mood) = mood;
    }

    /// Says what is done with requests for tokens from now on.
    pub fn behave_at_login(&self, mood: CloudMood) {
        *lock(&self.login_mood) = mood;
    }

    /// Returns every request so far, oldest first.
    pub fn requests(&self) -> Vec<CloudRequest> {
        lock(&self.log).clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.log).clear();
    }

    /// Returns all that was encrypted or decrypted, so that a test can look for it elsewhere.
    pub fn plaintexts(&self) -> Vec<Vec<u8>> {
        lock(&self.plaintexts).clone()
    }

    fn is_damaging(&self) -> bool {
        *lock(&self.mood) == CloudMood::Damage
    }

    fn keep(&self, plaintext: &[u8]) {
        lock(&self.plaintexts).push(plaintext.to_vec());
    }
}

/// One service.
trait Cloud: Send + Sync + 'static {
    fn answer(&self, asked: &Asked) -> Answer;
    fn record(&self) -> &CloudRecord;
}

/// A request with its body.
struct Asked {
    method: Method,
    host: String,
    path: String,
    query: String,
    token: Option<String>,
    body: Bytes,
}

impl Asked {
    async fn read(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            host: text(HOST).unwrap_or_default().to_owned(),
            token: text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
        }
    }

    /// Returns the body, if it is JSON.
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Returns a field of a body that is a form.
    fn field(&self, name: &str) -> Option<String> {
        let body = std::str::from_utf8(&self.body).ok()?;
        let found = body.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.map(|(_, value)| unescaped(value))
    }
}

/// Undoes the encoding of forms (WHATWG URL Living Standard, application/x-www-form-urlencoded).
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).unwrap_or_default()
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Begins to answer.
fn start(server: &TlsServer, cloud: &Arc<impl Cloud>) -> Result<(), Failure> {
    let cloud = cloud.clone();
    server.start(service_fn(move |request| {
        let cloud = cloud.clone();
        async move {
            let asked = Asked::read(request).await;
            let answer = cloud.answer(&asked);
            lock(&cloud.record().log).push(CloudRequest {
                method: asked.method,
                host: asked.host,
                path: asked.path,
                has_token: asked.token.is_some(),
                status: answer.status(),
            });
            Ok::<_, Infallible>(answer)
        }
    }))
}

/// Returns what the mood makes of a request that would have been served, or nothing if it is served all the same. What is throttled
/// is counted down.
fn spoiled(
    mood: &Mutex<CloudMood>,
    throttled: impl FnOnce() -> Answer,
    denied: impl FnOnce() -> Answer,
) -> Option<Answer> {
    match &mut *lock(mood) {
        CloudMood::Serve | CloudMood::Damage | CloudMood::Throttle { times: 0, .. } => None,
        CloudMood::Deny => Some(denied()),
        CloudMood::Throttle { times, retry_after } => {
            *times -= 1;
            Some(with_header(throttled(), RETRY_AFTER, &retry_after.to_string()))
        }
        CloudMood::Fail(status) => Some(text(*status, "<html>an error page</html>")),
        CloudMood::Garble => Some(text(StatusCode::OK, "<html>not what you think</html>")),
        CloudMood::Redirect => Some(with_header(text(StatusCode::TEMPORARY_REDIRECT, ""), LOCATION, "/elsewhere")),
    }
}

fn json(status: StatusCode, body: &Value) -> Answer {
    let mut answer = text(status, &body.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    answer
}

fn text(status: StatusCode, body: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_owned())));
    *answer.status_mut() = status;
    answer
}

fn with_header(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Changes one byte.
fn damaged(bytes: &mut [u8]) {
    if let Some(byte) = bytes.last_mut() {
        *byte ^= 1;
    }
}

/// Returns random bytes as a text that can stand in a URL.
fn random_text(length: usize) -> Result<String, Failure> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes(length)?))
}

fn random_bytes(length: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(no_cryptography)?;
    Ok(bytes)
}

fn no_cryptography<E>(_error: E) -> Failure {
    Failure::Tls(rustls::Error::General("the library refuses to make a key".to_owned()))
}
