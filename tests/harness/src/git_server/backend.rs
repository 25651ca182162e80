//! Calls `git http-backend` for one request (RFC 3875, and git-http-backend's own manual).

use std::io;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Answer;
use crate::call::{installed, isolate};

/// Asks git for what stands under `inner` in the repository `folder`, and returns its answer.
pub(super) async fn call(home: &Path, folder: &Path, inner: &str, head: &Parts, body: &Bytes) -> io::Result<Answer> {
    let text = |name: HeaderName| value(&head.headers, name);
    let mut command = std::process::Command::new(installed("git"));
    isolate(&mut command, home);
    command
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROJECT_ROOT", folder)
        .env("PATH_INFO", inner)
        .env("REQUEST_METHOD", head.method.as_str())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", text(HeaderName::from_static("git-protocol")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    let mut input = child.stdin.take();
    let write = async {
        if let Some(mut input) = input.take() {
            // A backend that refuses does not read on, which is its right.
            input.write_all(body).await.ok();
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    answer(Bytes::from(output?.stdout))
}

fn value(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Reads the answer of a CGI program: header lines, an empty line, the body; a `Status` line is not a header.
fn answer(output: Bytes) -> io::Result<Answer> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let head = String::from_utf8_lossy(output.get(..end).unwrap_or_default()).into_owned();
    let mut answer = Response::new(Full::new(output.slice(end + 4..)));
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("status") {
            *answer.status_mut() = status(value);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            answer.headers_mut().append(name, value);
        }
    }
    Ok(answer)
}

fn status(value: &str) -> StatusCode {
    let code = value.split(' ').next().and_then(|code| code.parse().ok());
    code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
