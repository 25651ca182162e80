//! One request in JSON to a server on loopback, over HTTP without TLS. What this is not: a client for anything else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a request with these headers and waits for its answer; an empty one is null.
///
/// # Errors
/// [`Failure::Io`] when nobody answers, [`Failure::Answer`] when the status is not one of success or the answer is not JSON.
pub(crate) fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Result<Value, Failure> {
    let what = || format!("{method} http://127.0.0.1:{port}{path}");
    let answer = exchange(port, method, path, headers, body).map_err(Failure::io(what()))?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let refused = || Failure::Answer {
        what: what(),
        status: head.lines().next().unwrap_or_default().to_owned(),
        text: text.to_owned(),
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    match (status.starts_with('2'), text.trim()) {
        (true, "") => Ok(Value::Null),
        (true, text) => serde_json::from_str(text).map_err(|_| refused()),
        (false, _) => Err(refused()),
    }
}

/// As HTTP/1.0, in which an answer ends with its connection.
fn exchange(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> std::io::Result<String> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
