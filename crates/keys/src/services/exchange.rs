//! One request to a key service over HTTPS, and the part of its answer that is kept.
//!
//! No redirect is followed, since a token goes to the address it was asked for and to no other; an answer is read up to a limit into
//! memory that is wiped. What is not here: what is asked, and what an answer means; each service's file knows that.
//! Source: RFC 9110 (statuses, `Retry-After` in seconds), RFC 6750 (bearer tokens).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Identity, Method, Proxy, Response, Url};
use waxwing_formats::SecretBytes;
use zeroize::Zeroizing;

use super::ServiceError;

/// The most bytes that are read of an answer; those with a key in them have less than one thousand.
const MAX_ANSWER: usize = 64 * 1024;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest code of a service that is passed on.
const MAX_CODE: usize = 40;

/// Gives the tokens that requests are sent with.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Returns an access token for what `scope` names; it may be one that was given before and is still good.
    ///
    /// # Errors
    /// [`ServiceError::NoCredentials`] where there are none, or [`ServiceError::Denied`] and [`ServiceError::Unavailable`] as
    /// whoever issues tokens says; no error quotes a credential.
    async fn token(&self, scope: &str) -> Result<SecretBytes, ServiceError>;
}

/// Says how long a service may take, and how often one is asked again that is overloaded or away for a moment.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one request may take, from the first byte of it to the last of its answer.
    pub timeout: Duration,
    /// How many times a request is sent, from 1.
    pub tries: u32,
    /// How long to wait before the second try if the service does not say that; twice as long before each that follows.
    pub pause: Duration,
    /// The longest time that a service is waited for; one that wants more is not asked again.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            tries: 4,
            pause: Duration::from_millis(400),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// Says through which proxies services are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxies<'a> {
    /// Through those that `HTTPS_PROXY` and its like name.
    OfTheEnvironment,
    /// Through none.
    None,
    /// All through the one with this address.
    Only(&'a str),
}

/// Sends requests to key services.
#[derive(Clone)]
pub struct ServiceClient {
    http: Client,
    patience: Patience,
    longest_answer: usize,
}

/// No connections can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no connections can be made: the certificate authorities, the client's certificate or the proxy can't be read")]
pub struct NoConnections;

impl ServiceClient {
    /// Makes a client that trusts these authorities (PEM) alone, or those of the system if none are given.
    ///
    /// # Errors
    /// Fails when the authorities can't be read or there are none, or when the proxy is no address.
    pub fn new(
        authorities_pem: Option<&[u8]>,
        proxies: Proxies<'_>,
        patience: Patience,
    ) -> Result<Self, NoConnections> {
        Self::identified(authorities_pem, None, proxies, patience)
    }

    /// Makes a client that shows a certificate to the service, given with its private key (PEM, PKCS #1, #8 or SEC 1).
    ///
    /// # Errors
    /// Fails as [`ServiceClient::new`], and when the certificate or its key can't be read.
    pub fn identified(
        authorities_pem: Option<&[u8]>,
        identity_pem: Option<&SecretBytes>,
        proxies: Proxies<'_>,
        patience: Patience,
    ) -> Result<Self, NoConnections> {
        use_one_provider();
        let mut builder = Client::builder();
        if let Some(pem) = identity_pem {
            let identity = Identity::from_pem(pem.expose_secret()).map_err(|_| NoConnections)?;
            builder = builder.identity(identity);
        }
        builder = match proxies {
            Proxies::OfTheEnvironment => builder,
            Proxies::None => builder.no_proxy(),
            Proxies::Only(address) => builder.no_proxy().proxy(Proxy::all(address).map_err(|_| NoConnections)?),
        };
        if let Some(pem) = authorities_pem {
            let authorities = Certificate::from_pem_bundle(pem).map_err(|_| NoConnections)?;
            if authorities.is_empty() {
                return Err(NoConnections);
            }
            builder = builder.tls_certs_only(authorities);
        }
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let http = builder.connect_timeout(CONNECT).timeout(patience.timeout).build();
        Ok(Self { http: http.map_err(|_| NoConnections)?, patience, longest_answer: MAX_ANSWER })
    }

    /// Reads answers of up to so many bytes.
    pub(super) fn for_answers_up_to(self, longest_answer: usize) -> Self {
        Self { longest_answer, ..self }
    }

    /// Sends each request once, however it ends.
    pub(super) fn once(self) -> Self {
        Self { patience: Patience { tries: 1, ..self.patience }, ..self }
    }

    /// Sends a request, again and again while the service is overloaded or away for a moment, and returns what it answers, whatever
    /// that is.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when no answer comes, and [`ServiceError::Answer`] for one that is too large.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let mut tries = 1;
        loop {
            // In a box, since it is at the bottom of everything that asks a service, and all of that is as large as it.
            let answer = Box::pin(self.ask_once(request)).await?;
            let Some(pause) = self.patience.pause_after(tries, &answer) else { return Ok(answer) };
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    async fn ask_once(&self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let service = request.service;
        let call = self.http.request(request.method.clone(), request.url.clone());
        let mut call = call.headers(request.headers.clone());
        if let Some(token) = request.token {
            call = call.header(AUTHORIZATION, secret_header(service, &[b"Bearer ", token.expose_secret()])?);
        }
        if let Some(Body { kind, bytes }) = &request.body {
            call = call.header(CONTENT_TYPE, HeaderValue::from_static(kind)).body(bytes.clone());
        }
        let response = call.send().await.map_err(|error| unavailable(service, &error))?;
        Answer::read(service, response, self.longest_answer).await
    }
}

impl fmt::Debug for ServiceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClient").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Patience {
    /// Returns how long to wait before a request is sent again, or nothing if its answer stands.
    fn pause_after(&self, tries: u32, answer: &Answer) -> Option<Duration> {
        let may_pass = matches!(answer.status, 429 | 500 | 502 | 503 | 504);
        if !may_pass || tries >= self.tries {
            return None;
        }
        let own = self.pause.saturating_mul(1 << tries.saturating_sub(1).min(16));
        Some(answer.retry_after.unwrap_or(own)).filter(|pause| *pause <= self.longest_pause)
    }
}

/// What is sent.
pub(super) struct Request<'a> {
    pub(super) service: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) token: Option<&'a SecretBytes>,
    /// Further headers; those with a secret are made by [`secret_header`].
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
}

/// The body of a request, in one buffer that is wiped.
#[derive(Clone)]
pub(super) struct Body {
    kind: &'static str,
    bytes: Bytes,
}

impl Body {
    /// Makes a body in JSON of its parts.
    pub(super) fn json(parts: &[&[u8]]) -> Self {
        Self { kind: "application/json", bytes: joined(parts) }
    }

    /// Makes a body as the JSON protocol 1.1 of AWS wants it.
    pub(super) fn aws_json(text: &[u8]) -> Self {
        Self { kind: "application/x-amz-json-1.1", bytes: joined(&[text]) }
    }

    /// Returns what is sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the media type.
    pub(super) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Makes a form of its fields (WHATWG URL, `application/x-www-form-urlencoded`).
    pub(super) fn form(fields: &[(&str, &[u8])]) -> Self {
        // Three characters for each byte at the most, so that the buffer never grows.
        let most = fields.iter().map(|(name, value)| name.len() + 2 + 3 * value.len()).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(most));
        for (name, value) in fields {
            if !text.is_empty() {
                text.push(b'&');
            }
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            value.iter().for_each(|byte| escape(*byte, &mut text));
        }
        Self { kind: "application/x-www-form-urlencoded", bytes: Bytes::from_owner(text) }
    }
}

fn escape(byte: u8, text: &mut Vec<u8>) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => text.push(byte),
        _ => text.extend([b'%', digit(byte >> 4), digit(byte & 15)]),
    }
}

/// The longest time that a service is left alone because it asks for that.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// What is kept of an answer until its service's file has read it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// How to authenticate, as the service puts it.
    pub(super) challenge: Option<String>,
    pub(super) body: SecretBytes,
}

impl Answer {
    async fn read(service: &'static str, mut response: Response, longest: usize) -> Result<Self, ServiceError> {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let seconds = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_REST));
        let challenge = text(WWW_AUTHENTICATE).map(str::to_owned);
        let status = response.status().as_u16();
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = Zeroizing::new(Vec::with_capacity(announced.map_or(longest, |length| length.min(longest))));
        while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(service, &error))? {
            if body.len() + chunk.len() > longest {
                return Err(ServiceError::Answer { service });
            }
            body.extend_from_slice(&chunk);
        }
        // Kept in what it takes: some wait for others, and the room is for the largest.
        Ok(Self { status, retry_after, challenge, body: SecretBytes::concat(&[&body]) })
    }

    /// Says what an answer means that is no success, by its status alone; `code` is the service's own, if it is one.
    pub(super) fn failure(&self, service: &'static str, code: Option<&str>) -> ServiceError {
        let code = match code.filter(|code| is_code(code)) {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        };
        match self.status {
            400 | 409 | 412 | 422 => ServiceError::Refused { service, code },
            401 | 403 => ServiceError::Denied { service, code },
            404 | 410 => ServiceError::NotFound { service, code },
            429 => ServiceError::Throttled { service, code, retry_after: self.retry_after },
            408 | 500..=599 => ServiceError::Unavailable { service, why: format!("it answered {code}") },
            _ => ServiceError::Answer { service },
        }
    }
}

/// Tells whether a text can be one of the codes that services document, and can be nothing else, such as part of a key.
pub(super) fn is_code(text: &str) -> bool {
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Reads the address of a service: `https://`, or `http://` on this machine; without credentials, query and fragment.
pub(super) fn base(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_whole = url.query().is_none() && url.fragment().is_none() && url.host_str().is_some();
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    };
    (is_plain && is_whole && is_safe).then_some(url)
}

fn joined(parts: &[&[u8]]) -> Bytes {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        whole.extend_from_slice(part);
    }
    Bytes::from_owner(whole)
}

/// Makes a header with a secret: marked so that it isn't shown, and wiped when the last request with it is dropped.
pub(super) fn secret_header(service: &'static str, parts: &[&[u8]]) -> Result<HeaderValue, ServiceError> {
    let malformed =
        |_| ServiceError::NoCredentials { service, why: "the token has characters that can't be in one".to_owned() };
    let mut value = HeaderValue::from_maybe_shared(joined(parts)).map_err(malformed)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Says why no answer came, without the address.
fn unavailable(service: &'static str, error: &reqwest::Error) -> ServiceError {
    let why = match error {
        error if error.is_timeout() => "it took too long",
        error if error.is_dns() => "its host was not found",
        error if is_tls(error) => "no encrypted connection to it that can be trusted",
        error if error.is_connect() => "nobody listens there",
        _ => "the connection broke",
    };
    ServiceError::Unavailable { service, why: why.to_owned() }
}

/// Looks for rustls in the chain of causes; an `io::Error` hides what it wraps from `source()`.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// Makes aws-lc-rs the cryptography of this process, unless it is chosen already: reqwest asks for it there.
fn use_one_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails when another thread was faster, with the same provider.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Answer {
        let retry_after = retry_after.map(Duration::from_secs);
        Answer { status, retry_after, challenge: None, body: SecretBytes::new(Vec::new()) }
    }

    #[test]
    fn who_is_overloaded_is_asked_again_when_he_wants_unless_that_is_late() {
        let patience = Patience::default();
        assert_eq!(patience.pause_after(1, &answer(429, Some(2))), Some(Duration::from_secs(2)));
        assert_eq!(patience.pause_after(1, &answer(429, Some(60))), None);
        assert_eq!(patience.pause_after(3, &answer(503, None)), Some(Duration::from_millis(1600)));
        assert_eq!(patience.pause_after(4, &answer(503, None)), None);
        assert_eq!(patience.pause_after(1, &answer(403, None)), None);
    }

    #[test]
    fn certificates_that_can_not_be_read_are_not_passed_over() {
        for pem in [&b""[..], b"nothing", b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"] {
            assert!(ServiceClient::new(Some(pem), Proxies::None, Patience::default()).is_err());
        }
    }

    #[test]
    fn a_form_says_what_its_fields_say() {
        let form = Body::form(&[("scope", b"https://v/.default"), ("secret", "~a b&=\u{fc}".as_bytes())]);
        assert_eq!(form.bytes, "scope=https%3A%2F%2Fv%2F.default&secret=%7Ea%20b%26%3D%C3%BC");
    }

    #[test]
    fn a_code_is_letters_alone() {
        for text in ["", "a b", "PERMISSION_DENIED!", "x1", &"a".repeat(41)] {
            assert!(!is_code(text), "{text}");
        }
        assert!(is_code("PERMISSION_DENIED") && is_code("KeyNotFound"));
    }

    #[test]
    fn tokens_go_over_encrypted_connections_or_to_this_machine() {
        for text in [
            "http://kms.example.com",
            "ftp://x",
            "https://user@x",
            "https://x/?a=b",
            "x",
            "http://127.0.0.1.example.com",
        ] {
            assert!(base(text).is_none(), "{text}");
        }
        assert!(base("https://kms.example.com:8443/path").is_some() && base("http://127.0.0.1:1").is_some());
    }
}
