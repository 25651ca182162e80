//! Bodies of answers: those that the proxy makes up, and those of the API server, which may break off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};
use serde_json::json;
use tokio_util::sync::WaitForCancellationFutureOwned;

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Returns a `Status` with this code, as the API server writes one.
pub(super) fn refusal(status: StatusCode) -> Answer {
    let reason = match status.as_u16() {
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let message = "the proxy of this test says so";
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": status.as_u16()});
    with_body(status, body.to_string())
}

/// Returns a 429 that says when to come back.
pub(super) fn come_back(seconds: u64) -> Answer {
    let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// Returns a watch that has expired.
pub(super) fn expired_watch() -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410});
    with_body(StatusCode::OK, json!({"type": "ERROR", "object": status}).to_string() + "\n")
}

/// Returns a watch that ends without an event.
pub(super) fn ended_watch() -> Answer {
    with_body(StatusCode::OK, String::new())
}

fn with_body(status: StatusCode, body: String) -> Answer {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Is a body that breaks off after some bytes, or when it is told to.
pub(super) struct Breakable<B> {
    pub(super) inner: B,
    pub(super) left: usize,
    pub(super) broken: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Breakable<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 || self.broken.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else { return Poll::Ready(None) };
        let frame = frame.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
        Poll::Ready(Some(frame.map(|frame| frame.map_data(|bytes| self.cut(bytes)))))
    }
}

impl<B> Breakable<B> {
    fn cut(&mut self, mut bytes: Bytes) -> Bytes {
        bytes.truncate(self.left);
        self.left -= bytes.len();
        bytes
    }
}
