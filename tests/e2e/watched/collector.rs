//! A small OpenTelemetry collector on loopback: takes OTLP over HTTP, keeps every byte, and decodes the spans.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use prost::Message;

/// A running collector; its thread ends with the process.
pub(super) struct Collector {
    port: u16,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A span that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) failed: bool,
    id: Vec<u8>,
    parent: Vec<u8>,
}

/// The spans that arrived.
pub(crate) struct Spans(Vec<Span>);

impl Collector {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = bodies.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || serve(connection, &kept));
            }
        });
        Self { port, bodies }
    }

    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the bodies of all requests.
    pub(super) fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    pub(super) fn spans(&self) -> Spans {
        Spans(self.bodies().iter().flat_map(|body| decode(body)).collect())
    }
}

impl Spans {
    /// Returns the spans that stand right in a span of this name with these fields.
    pub(crate) fn within(&self, name: &str, fields: &[(&str, &str)]) -> Vec<&Span> {
        let has = |span: &&Span| {
            span.name == name && fields.iter().all(|(key, value)| span.fields.get(*key).is_some_and(|has| has == value))
        };
        let outer: BTreeSet<&[u8]> = self.0.iter().filter(has).map(|span| span.id.as_slice()).collect();
        self.0.iter().filter(|span| outer.contains(span.parent.as_slice())).collect()
    }

    /// Returns the names of the fields that any span has.
    pub(crate) fn fields(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|span| span.fields.keys().map(String::as_str)).collect()
    }
}

/// Answers requests until the other side hangs up.
fn serve(connection: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut connection = connection;
    while let Some(length) = read_head(&mut reader) {
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        kept.lock().unwrap().push(body);
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        // Who has hung up needs no answer.
        let _ = connection.write_all(answer.as_bytes());
    }
}

/// Reads up to the end of the head; returns the length of the body of a request with traces.
fn read_head(reader: &mut impl BufRead) -> Option<usize> {
    let mut lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    assert_eq!(lines.next()?, "POST /v1/traces HTTP/1.1");
    let headers: Vec<String> = lines.map(|line| line.to_lowercase()).collect();
    assert!(headers.contains(&"content-type: application/x-protobuf".to_owned()), "{headers:?}");
    headers.iter().find_map(|line| line.strip_prefix("content-length: ")).map(|length| length.parse().unwrap())
}

fn decode(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let spans = scopes.flat_map(|scope| scope.spans);
    spans
        .map(|span| Span {
            name: span.name,
            fields: span
                .attributes
                .into_iter()
                .map(|field| (field.key, text(field.value.and_then(|v| v.value))))
                .collect(),
            failed: span.status.is_some_and(|status| status.code == 2),
            id: span.span_id,
            parent: span.parent_span_id,
        })
        .collect()
}

fn text(value: Option<any_value::Value>) -> String {
    match value {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}
