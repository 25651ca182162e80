//! A small HTTP server, with TLS or without, that answers as a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use waxwing_harness::Identity;

/// Answers a path with a status line, headers and a body.
pub(crate) type Answer = fn(path: &str, here: SocketAddr) -> String;

/// Serves `answer` at 127.0.0.1 until the test ends, with TLS where there is an identity.
pub(crate) fn serve(answer: Answer, identity: Option<&Identity>) -> SocketAddr {
    serve_at(Ipv4Addr::LOCALHOST, answer, identity)
}

/// As [`serve`], at another address of this machine.
pub(crate) fn serve_at(address: Ipv4Addr, answer: Answer, identity: Option<&Identity>) -> SocketAddr {
    let listener = TcpListener::bind((IpAddr::V4(address), 0)).expect("a port is free");
    let here = listener.local_addr().expect("it has an address");
    let tls = identity.map(|identity| Arc::new(tls_of(identity)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let done = match &tls {
                None => reply(stream, answer, here),
                Some(tls) => ServerConnection::new(Arc::clone(tls))
                    .map_err(std::io::Error::other)
                    .and_then(|connection| reply(StreamOwned::new(connection, stream), answer, here)),
            };
            // A client that hangs up is one that a test lets refuse the server.
            drop(done);
        }
    });
    here
}

fn tls_of(identity: &Identity) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .expect("an identity that fits")
}

fn reply(stream: impl Read + Write, answer: Answer, here: SocketAddr) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request)?;
    let mut header = String::new();
    while stream.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    stream.get_mut().write_all(answer(path, here).as_bytes())?;
    stream.get_mut().flush()
}

/// Makes an answer with a body.
pub(crate) fn with_body(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Makes a redirect.
pub(crate) fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
