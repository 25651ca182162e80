//! Where the certificate to seal with comes from: a file, an `https://` address, or the cluster.
//!
//! Whoever can put another certificate in its place can read what is sealed with it. So nothing is fetched over a
//! connection that others can change, and a redirect to one is not followed.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use reqwest::Url;
use reqwest::redirect::Policy;
use waxwing_formats::sealed_secret::{CertificateError, pem};

use crate::cluster::{ClusterArgs, ClusterError};

/// The most bytes that are read of an answer that should be a certificate.
const MAX_BYTES: u64 = 256 * 1024;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which certificate to seal with.
#[derive(Args)]
#[command(next_help_heading = "Certificate")]
pub(crate) struct CertificateArgs {
    /// Seal with this certificate, from a file or an https:// address; without it, it is fetched from the cluster
    ///
    /// An http:// address is taken only on this machine, as with `kubectl port-forward`.
    #[arg(long, value_name = "FILE|URL", env = "SEALED_SECRETS_CERT", hide_env_values = true)]
    cert: Option<String>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// The certificate could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// A file could not be read.
    #[error("failed to read the certificate {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address is malformed, or of a kind that is not fetched.
    #[error("{url} is not an address that a certificate is fetched from")]
    Address {
        /// The address, without credentials and query.
        url: String,
    },
    /// The address is fetched over a connection that others can change.
    #[error("{url} would be fetched without TLS, so anyone on the way could put in a certificate of their own")]
    Plain {
        /// The address, without credentials and query.
        url: String,
    },
    /// The server could not be asked.
    #[error("failed to fetch the certificate from {url}")]
    Request {
        /// The address, without credentials and query.
        url: String,
        /// What the connection said, which does not repeat the address.
        source: reqwest::Error,
    },
    /// The answer broke off.
    #[error("failed to read the certificate from {url}")]
    Answer {
        /// The address, without credentials and query.
        url: String,
        /// What the connection said.
        source: std::io::Error,
    },
    /// The server answered something else.
    #[error("failed to fetch the certificate from {url}: the server answered {status}")]
    Status {
        /// The address, without credentials and query.
        url: String,
        /// The status.
        status: reqwest::StatusCode,
    },
    /// The cluster did not give it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl FetchError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::File { .. } => "pass the file that `seal cert` prints",
            Self::Address { .. } => "pass a file, or an address that begins with https://",
            Self::Plain { .. } => {
                "use https://, or copy the certificate from a machine that can reach the cluster safely"
            }
            Self::Request { .. } | Self::Answer { .. } => {
                "check the address; a certificate authority of your own is read from the file in SSL_CERT_FILE"
            }
            Self::Status { .. } => "check the address; the controller serves its certificate under /v1/cert.pem",
            Self::Cluster(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}

impl CertificateArgs {
    /// Returns the certificate as PEM, not checked yet.
    pub(crate) fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        match self.cert.as_deref().filter(|cert| !cert.is_empty()) {
            None => Ok(self.cluster.certificate()?),
            Some(cert) => from_place(cert),
        }
    }
}

/// Returns the certificate of a file or an address as PEM, not checked yet.
pub(crate) fn from_place(cert: &str) -> Result<Vec<u8>, FetchError> {
    match cert.split_once("://") {
        Some(("file", path)) => read_file(PathBuf::from(path)),
        Some(_) => download(cert),
        None => read_file(PathBuf::from(cert)),
    }
}

/// Returns the first certificate of `pem` and nothing else, since what a server sent does not go to a terminal as it is.
pub(crate) fn printable(pem: &[u8]) -> Result<String, CertificateError> {
    let block = pem::first_block(pem, &["CERTIFICATE"]).ok_or(CertificateError::Missing)?;
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (index, digit) in STANDARD.encode(&*block.der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    Ok(text)
}

fn read_file(path: PathBuf) -> Result<Vec<u8>, FetchError> {
    std::fs::read(&path).map_err(|source| FetchError::File { path, source })
}

fn download(address: &str) -> Result<Vec<u8>, FetchError> {
    let url = Url::parse(address).map_err(|_| FetchError::Address { url: "what --cert names".to_owned() })?;
    let shown = shown(&url);
    check(&url)?;
    crate::cluster::install_tls();
    let failed = |source: reqwest::Error| FetchError::Request { url: shown.clone(), source: source.without_url() };
    let client = reqwest::blocking::Client::builder().timeout(TIMEOUT).redirect(redirects()).build().map_err(failed)?;
    let answer = client.get(url).send().map_err(failed)?;
    if !answer.status().is_success() {
        return Err(FetchError::Status { url: shown, status: answer.status() });
    }
    let mut pem = Vec::new();
    answer.take(MAX_BYTES).read_to_end(&mut pem).map_err(|source| FetchError::Answer { url: shown, source })?;
    Ok(pem)
}

/// Refuses what is not fetched at all, and what others could change on the way.
fn check(url: &Url) -> Result<(), FetchError> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_this_machine(url) => Ok(()),
        "http" => Err(FetchError::Plain { url: shown(url) }),
        _ => Err(FetchError::Address { url: shown(url) }),
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// Follows a few redirects, and only to where TLS protects the answer.
fn redirects() -> Policy {
    Policy::custom(|attempt| match attempt.url().scheme() {
        "https" if attempt.previous().len() <= 5 => attempt.follow(),
        _ => attempt.stop(),
    })
}

/// Returns an address without what may be secret in it.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_trusted_to_give_a_certificate() {
        for (address, good) in [
            ("https://seal.example.com/v1/cert.pem", true),
            ("http://localhost:8080/v1/cert.pem", true),
            ("http://127.0.0.1/v1/cert.pem", true),
            ("http://[::1]:8080/v1/cert.pem", true),
            ("http://seal.example.com/v1/cert.pem", false),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://127.0.0.1@seal.example.com/", false),
            ("ftp://localhost/cert.pem", false),
        ] {
            let url = Url::parse(address).expect("an address");
            assert_eq!(check(&url).is_ok(), good, "{address}");
        }
    }

    #[test]
    fn shown_addresses_have_no_credentials_and_no_query() {
        let url = Url::parse("https://user:hunter2@seal.example.com:8443/cert.pem?token=hunter2#hunter2")
            .expect("an address");
        assert_eq!(shown(&url), "https://seal.example.com:8443/cert.pem");
    }
}
