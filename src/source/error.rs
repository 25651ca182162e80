//! What can go wrong with a fetch, each with what to do about it.
//!
//! No variant holds a credential, a text that a server sent, or anything else of a foreign origin: a server could echo
//! what it was sent.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::http::{Fault, TlsFault};
use super::remote::{CredentialError, Reference};
use super::url::RemoteUrl;

/// Says why a revision could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The server wants credentials and none were given.
    #[error("failed to fetch {url}: the server asks for credentials, and none were given")]
    CredentialsMissing {
        /// The repository.
        url: RemoteUrl,
    },
    /// The server did not accept the credentials.
    #[error("failed to fetch {url}: the server refused the credentials")]
    CredentialsRefused {
        /// The repository.
        url: RemoteUrl,
    },
    /// The server knows who asks and denies access.
    #[error("failed to fetch {url}: the server denies access")]
    Forbidden {
        /// The repository.
        url: RemoteUrl,
    },
    /// The credentials cannot be written into a header.
    #[error("failed to fetch {url}: the credentials cannot be sent")]
    CredentialsMalformed {
        /// The repository.
        url: RemoteUrl,
        /// What is wrong with them.
        source: CredentialError,
    },
    /// Credentials were given for an address that they must not or cannot be sent to.
    #[error("failed to fetch {url}: credentials are sent over https:// only")]
    CredentialsNotUsable {
        /// The repository.
        url: RemoteUrl,
    },
    /// There is no repository at this address.
    #[error("failed to fetch {url}: there is no such repository")]
    RepositoryNotFound {
        /// The repository.
        url: RemoteUrl,
    },
    /// The repository has no commit yet.
    #[error("failed to fetch {url}: the repository is empty")]
    Empty {
        /// The repository.
        url: RemoteUrl,
    },
    /// The repository does not have what was asked for.
    #[error("failed to fetch {url}: there is no {reference}")]
    ReferenceNotFound {
        /// The repository.
        url: RemoteUrl,
        /// What was asked for.
        reference: Reference,
    },
    /// A tag or id names something other than a commit.
    #[error("failed to fetch {url}: the {reference} does not name a commit")]
    NotACommit {
        /// The repository.
        url: RemoteUrl,
        /// What was asked for.
        reference: Reference,
    },
    /// The server's certificate was not accepted, or no encrypted connection came about.
    #[error("failed to fetch {url}: {fault}")]
    Tls {
        /// The repository.
        url: RemoteUrl,
        /// What was wrong.
        fault: TlsFault,
    },
    /// The authorities that were given are not certificates in PEM form.
    #[error("failed to fetch {url}: the CA is not a certificate in PEM form")]
    CaMalformed {
        /// The repository.
        url: RemoteUrl,
    },
    /// The host name has no address.
    #[error("failed to fetch {url}: the host is not known")]
    HostNotFound {
        /// The repository.
        url: RemoteUrl,
    },
    /// Nobody answers at the address.
    #[error("failed to fetch {url}: the server cannot be reached")]
    Unreachable {
        /// The repository.
        url: RemoteUrl,
    },
    /// The server went away before it had answered in full.
    #[error("failed to fetch {url}: the server broke off the connection")]
    Broken {
        /// The repository.
        url: RemoteUrl,
    },
    /// The time ran out.
    #[error("failed to fetch {url} within {timeout:?}")]
    TimedOut {
        /// The repository.
        url: RemoteUrl,
        /// The time that was given.
        timeout: Duration,
    },
    /// The server sent us elsewhere.
    #[error("failed to fetch {url}: the server redirects, which is not followed")]
    Redirected {
        /// The repository.
        url: RemoteUrl,
    },
    /// The server answered with another failure.
    #[error("failed to fetch {url}: the server answered with HTTP status {status}")]
    Server {
        /// The repository.
        url: RemoteUrl,
        /// The HTTP status code.
        status: u16,
    },
    /// The server sent more than the controller accepts.
    #[error("failed to fetch {url}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The repository.
        url: RemoteUrl,
        /// The largest answer that is accepted, in bytes.
        limit: u64,
    },
    /// The repository has a file that is too large to be received at all.
    #[error("failed to fetch {url}: it has a file of more than {limit} bytes")]
    ObjectTooLarge {
        /// The repository.
        url: RemoteUrl,
        /// The largest file that is received, in bytes.
        limit: u64,
    },
    /// The server's answer is not what Git's protocol says, or what it sent does not add up.
    #[error("failed to fetch {url}: the server does not answer as a Git server")]
    Protocol {
        /// The repository.
        url: RemoteUrl,
    },
    /// A repository on this machine cannot be read.
    #[error("failed to read the repository {url}")]
    LocalUnreadable {
        /// The repository.
        url: RemoteUrl,
    },
    /// The disk or the quota of the store is full.
    #[error("failed to write to the source store {}: no space is left", path.display())]
    StoreFull {
        /// The place in the store.
        path: PathBuf,
    },
    /// Another process uses the store.
    #[error("failed to open the source store {}: another process uses it", path.display())]
    StoreInUse {
        /// The store.
        path: PathBuf,
    },
    /// The store cannot be read or written.
    #[error("failed to use the source store {}", path.display())]
    Store {
        /// The place in the store.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What was just fetched cannot be read back.
    #[error("failed to read what was fetched from {url}: the store {} is damaged", path.display())]
    StoreDamaged {
        /// The repository.
        url: RemoteUrl,
        /// The place in the store.
        path: PathBuf,
    },
    /// The task that fetched ended early, which is a defect of this program or its shutdown.
    #[error("failed to fetch {url}: the fetch was given up")]
    Abandoned {
        /// The repository.
        url: RemoteUrl,
    },
}

impl SourceError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::CredentialsMissing { .. } => "name a Secret with username and password, or bearerToken, in secretRef",
            Self::CredentialsRefused { .. } => {
                "check user name and password or token in the Secret of secretRef; it may have expired"
            }
            Self::Forbidden { .. } => "give this account read access to the repository",
            Self::CredentialsMalformed { .. } => {
                "remove line ends from the token and colons from the user name in the Secret of secretRef"
            }
            Self::CredentialsNotUsable { .. } => "use an https:// URL, or remove secretRef",
            Self::RepositoryNotFound { .. } => {
                "check the path of the URL; many servers answer so as well when an account may not read the repository"
            }
            Self::Empty { .. } => "push a first commit",
            Self::ReferenceNotFound { .. } => "check spec.ref; names are case sensitive",
            Self::NotACommit { .. } => "point spec.ref at a commit or at a tag of a commit",
            Self::Tls { fault, .. } => fault.hint(),
            Self::CaMalformed { .. } => "put the certificates in PEM form under ca.crt of the Secret",
            Self::HostNotFound { .. } => "check the host of the URL and the cluster's DNS",
            Self::Unreachable { .. } => "check host and port of the URL, network policies and the server",
            Self::Broken { .. } => "the fetch is tried again; look at the server's log if it stays so",
            Self::TimedOut { .. } => "raise spec.timeout, or look at the server and the network",
            Self::Redirected { .. } => "put the address that the server redirects to into spec.url",
            Self::Server { .. } => "look at the server's log",
            Self::TooLarge { .. } => "remove large files from the repository",
            Self::ObjectTooLarge { .. } => "remove the file from the repository",
            Self::Protocol { .. } => "check that the URL is that of a Git repository, as git clone takes it",
            Self::LocalUnreadable { .. } => "check that the path is a Git repository that the controller may read",
            Self::StoreFull { .. } => "enlarge the volume of the source store",
            Self::StoreInUse { .. } => "give each controller a source store of its own",
            Self::Store { .. } => "check the volume of the source store and its permissions",
            Self::StoreDamaged { .. } => "it is fetched anew next time; check the volume if it stays so",
            Self::Abandoned { .. } => "it is tried again",
        }
    }
}

/// Tells faults of the file system apart.
pub(super) fn store_error(path: impl Into<PathBuf>, source: io::Error) -> SourceError {
    let path = path.into();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SourceError::StoreFull { path },
        _ => SourceError::Store { path, source },
    }
}

/// Turns what went wrong on the wire into an error that names the repository.
pub(super) fn wire_error(fault: Fault, remote: &super::Remote, limit: u64, timeout: Duration) -> SourceError {
    let url = remote.url.clone();
    match fault {
        Fault::Status(401) if remote.credentials.login.is_anonymous() => SourceError::CredentialsMissing { url },
        Fault::Status(401) => SourceError::CredentialsRefused { url },
        Fault::Status(403) => SourceError::Forbidden { url },
        Fault::Status(404 | 410) => SourceError::RepositoryNotFound { url },
        Fault::Status(300..=399) => SourceError::Redirected { url },
        Fault::Status(status) => SourceError::Server { url, status },
        Fault::Tls(fault) => SourceError::Tls { url, fault },
        Fault::HostNotFound => SourceError::HostNotFound { url },
        Fault::Unreachable => SourceError::Unreachable { url },
        Fault::Broken => SourceError::Broken { url },
        Fault::TimedOut => SourceError::TimedOut { url, timeout },
        Fault::TooLarge => SourceError::TooLarge { url, limit },
    }
}
