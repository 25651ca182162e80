//! Git's smart HTTP transport over `reqwest`, as gix's `Http` trait wants it.
//!
//! Every wait ends at the deadline, the answers together have a size limit, redirects are not followed, and proxies,
//! environment variables and Git configuration are NOT read. What went wrong is kept as a closed [`Fault`], since gix's
//! errors are texts. gix never learns the credentials: the header is added here, to requests of the one origin only.
//! Follows gitprotocol-http.

use std::any::Any;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Buf, Bytes};
use gix::protocol::transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, Response};
use tokio::runtime::Handle;
use tokio::time::timeout_at;

/// The largest request body that is sent, in bytes: wants and haves, never a pack.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Says what went wrong on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server answered with this status, which is not a success.
    Status(u16),
    /// No encrypted connection came about.
    Tls(TlsFault),
    /// The name of the host has no address.
    HostNotFound,
    /// No connection came about.
    Unreachable,
    /// The connection ended early.
    Broken,
    /// The deadline passed.
    TimedOut,
    /// The answers together are larger than the limit.
    TooLarge,
}

/// Says what is wrong with the server's certificate or with TLS as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted authority signed the certificate.
    UnknownAuthority,
    /// The certificate is for other names.
    WrongName,
    /// The certificate is expired or not valid yet.
    OutOfDate,
    /// Anything else: no common version, a bad signature, a server that does not speak TLS.
    Other,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => "no trusted authority signed the server's certificate",
            Self::WrongName => "the server's certificate is for another host",
            Self::OutOfDate => "the server's certificate is expired or not valid yet",
            Self::Other => "no encrypted connection could be established",
        })
    }
}

impl TlsFault {
    /// Returns what the user can do about it.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "put the server's authority under ca.crt of the Secret in secretRef",
            Self::WrongName => "use a host name that the certificate has",
            Self::OutOfDate => "renew the server's certificate, and check the clocks",
            Self::Other => "check that the port speaks TLS 1.2 or 1.3",
        }
    }
}

/// Builds the client for one fetch.
///
/// # Errors
///
/// Fails when `ca_pem` holds no certificate in PEM form.
pub(super) fn client(ca_pem: Option<&[u8]>) -> Result<Client, CaMalformed> {
    use_one_provider();
    let mut builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = ca_pem {
        let authorities = Certificate::from_pem_bundle(pem).map_err(|_| CaMalformed)?;
        if authorities.is_empty() {
            return Err(CaMalformed);
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|_| CaMalformed)
}

/// Makes aws-lc-rs the cryptography of this process, unless it is chosen already: reqwest asks for it there.
fn use_one_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails when another thread was faster, with the same provider.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

/// Says that an authority is not a certificate in PEM form.
#[derive(Debug)]
pub(super) struct CaMalformed;

/// What the requests of one fetch have in common.
pub(super) struct Session {
    pub(super) base: String,
    pub(super) client: Client,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) runtime: Handle,
    pub(super) deadline: Instant,
    pub(super) budget: Mutex<u64>,
    pub(super) fault: Mutex<Option<Fault>>,
}

impl Session {
    /// Returns what went wrong first, if anything did.
    pub(super) fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, fault: Fault) -> io::Error {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        io::Error::other("the request failed")
    }

    fn send(&self, request: Request) -> io::Result<Response> {
        let Request { method, url, headers, body } = request;
        let future = self.client.request(method, url).headers(headers).body(body).send();
        let response = self.wait(future)?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(self.fail(Fault::Status(status))),
        }
    }

    fn next_chunk(&self, response: &mut Response) -> io::Result<Bytes> {
        let chunk = self.wait(next_filled_chunk(response))?;
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        match budget.checked_sub(chunk.len() as u64) {
            Some(rest) => *budget = rest,
            None => return Err(self.fail(Fault::TooLarge)),
        }
        Ok(chunk)
    }

    fn wait<T>(&self, future: impl Future<Output = reqwest::Result<T>>) -> io::Result<T> {
        let timed = async { timeout_at(self.deadline.into(), future).await };
        match self.runtime.block_on(timed) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fail(fault_of(&error))),
            Err(_elapsed) => Err(self.fail(Fault::TimedOut)),
        }
    }
}

/// Returns empty bytes at the end of the body only.
async fn next_filled_chunk(response: &mut Response) -> reqwest::Result<Bytes> {
    while let Some(chunk) = response.chunk().await? {
        if !chunk.is_empty() {
            return Ok(chunk);
        }
    }
    Ok(Bytes::new())
}

fn fault_of(error: &reqwest::Error) -> Fault {
    if let Some(fault) = tls_fault(error) {
        return Fault::Tls(fault);
    }
    match error {
        error if error.is_dns() => Fault::HostNotFound,
        error if error.is_timeout() => Fault::TimedOut,
        error if error.is_connect() => Fault::Unreachable,
        _ => Fault::Broken,
    }
}

/// Looks for rustls in the chain of causes; an `io::Error` hides what it wraps from `source()`.
fn tls_fault(error: &reqwest::Error) -> Option<TlsFault> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(certificate_fault(error));
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn certificate_fault(error: &rustls::Error) -> TlsFault {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(error) = error else {
        return TlsFault::Other;
    };
    match error {
        UnknownIssuer | BadSignature => TlsFault::UnknownAuthority,
        NotValidForName | NotValidForNameContext { .. } => TlsFault::WrongName,
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => TlsFault::OutOfDate,
        _ => TlsFault::Other,
    }
}

/// The implementation of gix's trait.
pub(super) struct Wire(pub(super) Arc<Session>);

impl Wire {
    /// Prepares a request for the same path as gix asks for, below our own address, so that it can't go elsewhere.
    fn exchange(
        &self,
        method: Method,
        (url, base): (&str, &str),
        lines: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Exchange {
        let tail = url.strip_prefix(base).unwrap_or_default().trim_start_matches('/');
        let url = format!("{}/{tail}", self.0.base.trim_end_matches('/'));
        let mut headers = HeaderMap::new();
        for line in lines {
            add_header(&mut headers, line.as_ref());
        }
        if let Some(value) = &self.0.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let request = Request { method, url, headers, body: Vec::new() };
        Exchange(Arc::new(Mutex::new(State { session: Arc::clone(&self.0), request: Some(request), response: None })))
    }
}

fn add_header(headers: &mut HeaderMap, line: &str) {
    let Some((name, value)) = line.split_once(':') else {
        return;
    };
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
        headers.append(name, value);
    }
}

impl Http for Wire {
    type Headers = HeaderLines;
    type ResponseBody = AnswerBody;
    type PostBody = RequestBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<HeaderLines, AnswerBody>> {
        let exchange = self.exchange(Method::GET, (url, base_url), headers);
        Ok(GetResponse { headers: HeaderLines::new(&exchange), body: AnswerBody::new(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<HeaderLines, AnswerBody, RequestBody>> {
        let exchange = self.exchange(Method::POST, (url, base_url), headers);
        Ok(PostResponse {
            headers: HeaderLines::new(&exchange),
            body: AnswerBody::new(&exchange),
            post_body: RequestBody(exchange),
        })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix::Result {
        Ok(())
    }
}

struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// One request and its answer. It is sent when the answer is first read, when gix has written the whole body.
#[derive(Clone)]
struct Exchange(Arc<Mutex<State>>);

struct State {
    session: Arc<Session>,
    request: Option<Request>,
    response: Option<Response>,
}

impl Exchange {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn answer(&mut self) -> io::Result<(&Session, &mut Response)> {
        if let Some(request) = self.request.take() {
            self.response = Some(self.session.send(request)?);
        }
        match &mut self.response {
            Some(response) => Ok((&self.session, response)),
            None => Err(io::Error::other("the request failed before")),
        }
    }
}

/// Collects the body of a request.
pub(super) struct RequestBody(Exchange);

impl Write for RequestBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.with(|state| match &mut state.request {
            Some(request) if request.body.len() + bytes.len() <= MAX_REQUEST_BYTES => {
                request.body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            _ => Err(io::Error::other("the request is too large or was sent already")),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands out the one header that gix reads, as a line.
pub(super) struct HeaderLines {
    exchange: Option<Exchange>,
    line: Bytes,
}

impl HeaderLines {
    fn new(exchange: &Exchange) -> Self {
        Self { exchange: Some(exchange.clone()), line: Bytes::new() }
    }
}

fn content_type_line(response: &Response) -> Bytes {
    let value = response.headers().get(reqwest::header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    [b"content-type: ", value, b"\n"].concat().into()
}

impl BufRead for HeaderLines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(exchange) = self.exchange.take() {
            self.line = exchange.with(|state| Ok(content_type_line(state.answer()?.1)))?;
        }
        Ok(&self.line)
    }

    fn consume(&mut self, amount: usize) {
        self.line.advance(amount.min(self.line.len()));
    }
}

impl Read for HeaderLines {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, target)
    }
}

/// Hands out the body of an answer as it arrives.
pub(super) struct AnswerBody {
    exchange: Exchange,
    chunk: Bytes,
}

impl AnswerBody {
    fn new(exchange: &Exchange) -> Self {
        Self { exchange: exchange.clone(), chunk: Bytes::new() }
    }
}

impl BufRead for AnswerBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            self.chunk = self.exchange.with(|state| {
                let (session, response) = state.answer()?;
                session.next_chunk(response)
            })?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount.min(self.chunk.len()));
    }
}

impl Read for AnswerBody {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, target)
    }
}

fn read_buffered(source: &mut impl BufRead, target: &mut [u8]) -> io::Result<usize> {
    let count = source.fill_buf()?.read(target)?;
    source.consume(count);
    Ok(count)
}
