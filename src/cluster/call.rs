//! One request to the API server, and what is kept of its answer.
//!
//! Requests go through `Client::send`, not through `kube::Api`: the latter logs answers that it can't parse and
//! carries the server's message in its errors, and the API server's messages quote values. What is kept of a
//! refusal depends on [`Privacy`].
//!
//! What the API server puts off for a moment is asked again; any other refusal is the caller's, with how soon it may be
//! otherwise ([`CallError::passes`]).

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::fence::NotLeading;
use super::identity::Identity;

/// A whole object or list.
pub(super) const JSON: &str = "application/json";
/// Asks for an answer with metadata alone.
pub(super) const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// Asks for a list with metadata alone.
pub(super) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// The content type of a server-side apply; JSON is YAML.
pub(super) const APPLY_PATCH: &str = "application/apply-patch+yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

/// How often a request is sent that the API server puts off.
const ATTEMPTS: usize = 4;
/// The longest wait for the next attempt; who is put off for longer comes back with a reconcile of its own.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an answer may take: somewhat longer than the API server gives itself (60 s, its `--request-timeout`). A server that
/// vanished without a word would be waited for for ever.
pub const LONGEST_ANSWER: Duration = Duration::from_secs(75);

/// Whether an answer may quote a secret value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// The object has no secret value: the server's message is kept.
    Public,
    /// The object has secret values: code, reason and field paths are kept, never the message.
    Secret,
}

/// What the API server said no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRefusal {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason of the `Status` answer, such as `Forbidden`; empty where there is none.
    pub reason: String,
    /// The field paths that the answer names as causes.
    pub fields: Vec<String>,
    /// The server's message, kept only under [`Privacy::Public`].
    pub message: Option<String>,
    /// Whether the object's namespace is being deleted.
    pub terminating: bool,
    /// Whether it was the authorizer that refused: somebody lacks a right. Webhooks and quotas refuse with 403 as well.
    pub lacks_right: bool,
    /// How long the server asks to be left alone (`Retry-After`), where it does.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Display for ApiRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the API server answered {}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if !self.fields.is_empty() {
            write!(f, " at {}", self.fields.join(", "))?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// Why a request brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The API server refused the request.
    #[error("{0}")]
    Refused(Box<ApiRefusal>),
    /// The API server could not be reached, or the connection broke.
    #[error("failed to reach the API server at {path}")]
    Unreachable {
        /// The path of the request.
        path: String,
    },
    /// It was not sent, or not to its end: it writes, and this controller does not lead.
    #[error("{0}")]
    NotLeading(NotLeading),
    /// The answer is not the JSON that was asked for.
    #[error("failed to read the API server's answer for {path}")]
    Malformed {
        /// The path of the request.
        path: String,
    },
}

impl CallError {
    /// Says that the answer for `path` can't be read.
    pub(super) fn malformed(path: &str) -> Self {
        Self::Malformed { path: bare_path(path) }
    }

    /// Returns the HTTP status code of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// Tells whether whoever asked lacks a right.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Returns how long to wait at least before the same request may well succeed, none where somebody has to change something
    /// first: conflicts, and what is the API server's own trouble, pass (429, 5xx, no answer, one that broke off).
    pub fn passes(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => {
                let passes = matches!(refusal.code, 401 | 408..=410 | 429 | 500..=599);
                passes.then(|| refusal.retry_after.unwrap_or_default())
            }
            Self::Unreachable { .. } | Self::NotLeading(_) | Self::Malformed { .. } => Some(Duration::ZERO),
        }
    }

    /// Tells whether the API server, or what stands between, is overloaded or away, or may not be written to, whatever was asked for.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotLeading(_) | Self::Malformed { .. })
            || matches!(self.code(), Some(429 | 502..=504))
    }

    /// Tells whether the object, its kind or its namespace doesn't exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
}

/// One request that is about to be sent. Not `Debug`: its body may hold secret values.
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    accept: &'static str,
    content_type: Option<&'static str>,
    body: Bytes,
    privacy: Privacy,
}

impl<'a> Call<'a> {
    /// Reads `path`.
    pub(super) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Deletes at `path`, with delete options.
    pub(super) fn delete(path: &'a str, options: &Value) -> Self {
        Self::new(Method::DELETE, path).body(JSON, Bytes::from(options.to_string()))
    }

    /// Creates at `path`.
    pub(super) fn post(path: &'a str, body: Bytes) -> Self {
        Self::new(Method::POST, path).body(JSON, body)
    }

    /// Applies `body` at `path` (server-side apply).
    pub(super) fn apply(path: &'a str, body: Bytes) -> Self {
        Self::new(Method::PATCH, path).body(APPLY_PATCH, body)
    }

    /// Patches at `path` with a merge patch (RFC 7396).
    pub(super) fn merge_patch(path: &'a str, patch: &Value) -> Self {
        Self::new(Method::PATCH, path).body(MERGE_PATCH, Bytes::from(patch.to_string()))
    }

    /// Patches at `path` with a JSON patch (RFC 6902).
    pub(super) fn json_patch(path: &'a str, patch: &Value) -> Self {
        Self::new(Method::PATCH, path).body(JSON_PATCH, Bytes::from(patch.to_string()))
    }

    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, accept: JSON, content_type: None, body: Bytes::new(), privacy: Privacy::Public }
    }

    fn body(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.content_type = Some(content_type);
        self.body = body;
        self
    }

    /// Asks for another form of answer.
    pub(super) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Says whether the answer may quote secret values.
    pub(super) fn privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// Sends the request and returns the raw answer.
    ///
    /// # Errors
    ///
    /// [`CallError::Refused`] for any status but 2xx, [`CallError::Unreachable`] when there is no answer, [`CallError::NotLeading`] where
    /// it may not be sent.
    pub(super) async fn send_raw(self, client: &Client, identity: &Identity) -> Result<Bytes, CallError> {
        let mut answer = self.send_once(client, identity).await?;
        for _ in 1..ATTEMPTS {
            let Some(pause) = answer.retry_after.filter(|pause| *pause <= LONGEST_PAUSE) else { break };
            tokio::time::sleep(pause).await;
            answer = self.send_once(client, identity).await?;
        }
        if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(&answer, self.privacy)) }
    }

    async fn send_once(&self, client: &Client, identity: &Identity) -> Result<Answer, CallError> {
        let unreachable = || CallError::Unreachable { path: bare_path(self.path) };
        let exchange = tokio::time::timeout(LONGEST_ANSWER, self.exchange(client, identity));
        match exchange.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(NoAnswer::NotLeading)) => Err(CallError::NotLeading(NotLeading)),
            Ok(Err(NoAnswer::Broken)) | Err(_) => Err(unreachable()),
        }
    }

    async fn exchange(&self, client: &Client, identity: &Identity) -> Result<Answer, NoAnswer> {
        let mut builder = Request::builder().method(self.method.clone()).uri(self.path);
        builder = builder.header(http::header::ACCEPT, self.accept);
        if let Some(content_type) = self.content_type {
            builder = builder.header(http::header::CONTENT_TYPE, content_type);
        }
        let mut request = builder.body(Body::from(self.body.clone())).map_err(|_| NoAnswer::Broken)?;
        identity.add_headers(request.headers_mut()).map_err(|_| NoAnswer::Broken)?;
        let response = client.send(request).await.map_err(|error| NoAnswer::of(&error))?;
        let (status, retry_after) = (response.status(), put_off(&response));
        let body = response.into_body().collect_bytes().await.map_err(|_| NoAnswer::Broken)?;
        Ok(Answer { status, retry_after, body })
    }

    /// Sends the request and returns the answer as JSON.
    ///
    /// # Errors
    ///
    /// As [`Call::send_raw`], and [`CallError::Malformed`].
    pub(super) async fn send(self, client: &Client, identity: &Identity) -> Result<Value, CallError> {
        let path = bare_path(self.path);
        let bytes = self.send_raw(client, identity).await?;
        serde_json::from_slice(&bytes).map_err(|_| CallError::Malformed { path })
    }
}

/// Why nothing came back, or not all of it.
enum NoAnswer {
    /// The fence let it not through.
    NotLeading,
    /// Anything else.
    Broken,
}

impl NoAnswer {
    fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Service(error) if error.is::<NotLeading>() => Self::NotLeading,
            _ => Self::Broken,
        }
    }
}

/// What came back for one request.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

/// Returns how long to wait where the API server did nothing yet and says when to come again: it has too much to do, or a
/// new kind's storage is being made ready (429 with `Retry-After` in seconds, RFC 9110 section 10.2.3).
fn put_off(response: &Response<Body>) -> Option<Duration> {
    let later = response.headers().get(RETRY_AFTER).filter(|_| response.status() == StatusCode::TOO_MANY_REQUESTS)?;
    Some(Duration::from_secs(later.to_str().ok()?.parse().ok()?))
}

fn bare_path(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

fn refusal(answer: &Answer, privacy: Privacy) -> CallError {
    let code = answer.status.as_u16();
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let causes = || causes.into_iter().flatten();
    let named = causes().filter_map(|cause| cause.get("field")?.as_str());
    // So a definition says that it left out further checks.
    let fields = named.filter(|field| *field != "<nil>");
    let may_quote = privacy == Privacy::Secret && text("/message").is_some_and(|message| is_of_webhook(&message));
    CallError::Refused(Box::new(ApiRefusal {
        code,
        reason: text("/reason").filter(|reason| !may_quote || is_reason(reason)).unwrap_or_default(),
        fields: fields.filter(|_| !may_quote).map(|field| public_field(field, privacy)).collect(),
        message: text("/message").filter(|_| privacy == Privacy::Public),
        lacks_right: code == 403 && text("/message").is_some_and(|message| is_about_rights(&message)),
        terminating: causes().any(|cause| cause.get("reason").is_some_and(|reason| reason == "NamespaceTerminating")),
        retry_after: answer.retry_after,
    }))
}

/// Recognises what a webhook said. Its reason and its causes are passed on as they are, whatever text stands in them, such as
/// what is wrong with a value; only the beginning of the message is the API server's (`ToStatusErr` of the webhook
/// admission of Kubernetes 1.36).
fn is_of_webhook(message: &str) -> bool {
    message.starts_with("admission webhook \"")
}

/// Tells whether a text is one of the API server's own reasons.
fn is_reason(text: &str) -> bool {
    STATUS_REASONS.contains(&text)
}

/// Every `StatusReason` of apimachinery's `meta/v1` 0.36.3.
const STATUS_REASONS: &[&str] = &[
    "AlreadyExists",
    "BadRequest",
    "Conflict",
    "Expired",
    "Forbidden",
    "Gone",
    "InternalError",
    "Invalid",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "RequestEntityTooLarge",
    "ServerTimeout",
    "ServiceUnavailable",
    "StorageReadError",
    "Timeout",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
];

/// Recognises the two texts of RBAC (`authorizer/rbac` and `validation/escalation` of Kubernetes 1.36).
fn is_about_rights(message: &str) -> bool {
    (message.contains(" cannot ") && message.contains(" resource "))
        || message.contains("attempting to grant RBAC permissions")
}

/// Cuts a field path at the first bracket with a quoted key, since the key of a keyed list is a value.
fn public_field(field: &str, privacy: Privacy) -> String {
    match (privacy, field.split_once("[\"").or_else(|| field.split_once("[{"))) {
        (Privacy::Secret, Some((path, _))) => format!("{path}[...]"),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const ANSWER: &str = r#"{"kind":"Status","code":422,"reason":"Invalid","message":"Secret \"x\" is invalid: data[a]: Invalid value: \"hunter2\"",
        "details":{"causes":[{"reason":"FieldValueInvalid","message":"Invalid value: \"hunter2\"","field":"data[a]"},{"field":"spec.list[\"hunter2\"].x"}]}}"#;

    fn refusal(code: u16, body: &[u8], privacy: Privacy) -> CallError {
        let body = Bytes::copy_from_slice(body);
        super::refusal(&Answer { status: StatusCode::from_u16(code).unwrap(), retry_after: None, body }, privacy)
    }

    #[test]
    fn of_a_refusal_about_secret_values_only_code_reason_and_field_paths_are_kept() {
        let CallError::Refused(refusal) = refusal(422, ANSWER.as_bytes(), Privacy::Secret) else { unreachable!() };
        assert_eq!(refusal.to_string(), "the API server answered 422 Invalid at data[a], spec.list[...]");
        assert!(!format!("{refusal:?}").contains("hunter2"));
    }

    #[test]
    fn of_what_a_webhook_says_about_secret_values_neither_its_reason_nor_its_fields_are_kept() {
        let told = |reason: &str| {
            let message = r#"admission webhook "check.example.com" denied the request: hunter2 is weak"#;
            let status = serde_json::json!({"code": 403, "reason": reason, "message": message,
                "details": {"causes": [{"field": "hunter2", "message": "hunter2"}]}});
            let secret = refusal(403, status.to_string().as_bytes(), Privacy::Secret);
            assert!(!format!("{secret:?}").contains("hunter2"));
            secret.to_string()
        };
        assert_eq!(told("hunter2 is weak"), "the API server answered 403");
        assert_eq!(told("Forbidden"), "the API server answered 403 Forbidden");
    }

    #[test]
    fn of_any_other_refusal_the_message_is_kept() {
        let CallError::Refused(refusal) = refusal(422, ANSWER.as_bytes(), Privacy::Public) else { unreachable!() };
        assert!(refusal.to_string().contains("hunter2"));
    }

    /// Answers each request with the next of these status lines and headers, and returns a client for that.
    async fn server(answers: Vec<&'static str>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                assert!(connection.read(&mut request).await.unwrap() > 0);
                let head = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
                connection.write_all(head.as_bytes()).await.unwrap();
            }
        });
        let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        Client::try_from(config).unwrap()
    }

    async fn code_of(answers: Vec<&'static str>) -> Option<u16> {
        let client = server(answers).await;
        Call::get("/api").send(&client, &Identity::Controller).await.err().map(|error| error.code().unwrap())
    }

    #[tokio::test]
    async fn a_request_that_the_api_server_puts_off_is_sent_again_and_any_other_refusal_is_not() {
        let later = "429 Too Many Requests\r\nRetry-After: 0";
        assert_eq!(code_of(vec![later, later, "200 OK"]).await, None);
        assert_eq!(code_of(vec![later, "403 Forbidden", "200 OK"]).await, Some(403));
        assert_eq!(code_of(vec!["429 Too Many Requests", "200 OK"]).await, Some(429));
        assert_eq!(code_of(vec!["503 Service Unavailable\r\nRetry-After: 0", "200 OK"]).await, Some(503));
        assert_eq!(code_of(vec![later; ATTEMPTS]).await, Some(429));
    }

    #[tokio::test]
    async fn who_is_put_off_for_long_is_told_so_instead_of_waiting() {
        let client = server(vec!["429 Too Many Requests\r\nRetry-After: 30", "200 OK"]).await;
        let error = Call::get("/api").send(&client, &Identity::Controller).await.unwrap_err();
        assert_eq!((error.code(), error.passes()), (Some(429), Some(Duration::from_secs(30))));
    }

    #[test]
    fn what_passes_is_told_from_what_somebody_has_to_change() {
        let passes = |code: u16| refusal(code, b"", Privacy::Public).passes().is_some();
        assert_eq!([409, 410, 429, 500, 503, 504].map(passes), [true; 6]);
        assert_eq!([400, 403, 404, 422].map(passes), [false; 4]);
        assert!(CallError::Unreachable { path: String::new() }.passes().is_some());
    }

    #[test]
    fn a_missing_right_is_told_from_a_quota_and_nothing_of_the_message_is_kept() {
        let lacks_right = |message: &str| {
            let body = serde_json::json!({"code": 403, "reason": "Forbidden", "message": message}).to_string();
            let CallError::Refused(refusal) = refusal(403, body.as_bytes(), Privacy::Secret) else { unreachable!() };
            assert_eq!(refusal.to_string(), "the API server answered 403 Forbidden");
            refusal.lacks_right
        };
        assert!(lacks_right(r#"secrets "a" is forbidden: User "b" cannot patch resource "secrets" in API group """#));
        assert!(lacks_right(
            r#"roles "a" is forbidden: user "b" is attempting to grant RBAC permissions not currently held:"#
        ));
        assert!(!lacks_right(r#"configmaps "a" is forbidden: exceeded quota: q, requested: count/configmaps=1"#));
    }

    #[test]
    fn an_answer_that_is_not_a_status_is_still_a_refusal() {
        assert_eq!(refusal(502, b"<html>", Privacy::Public).code(), Some(502));
    }
}
