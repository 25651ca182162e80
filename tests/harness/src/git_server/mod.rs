//! A Git server on loopback: the real `git http-backend` behind TLS, with passwords and tokens, and with the ways in
//! which a server fails.
//!
//! What this is not: it takes no pushes; tests push to the repository's folder ([`crate::GitRepo`]).

mod backend;
mod request;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;

use crate::certificates::Authority;
use crate::failure::Failure;
use crate::git_repo::GitRepo;
use crate::run_dir::RunDir;
use crate::tls_server::{TlsServer, lock};

pub use request::{Access, GitOperation, GitRequest};

type Answer = Response<Full<Bytes>>;

/// Says what the server does with a request that it lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Behaviour {
    /// Answers it.
    #[default]
    Serve,
    /// Answers with this status and nothing else.
    Fail(StatusCode),
    /// Takes it and never answers.
    Hang,
    /// Answers it, but of objects it sends so many bytes only.
    Cut(usize),
}

/// Is a running Git server; it ends when this value is dropped.
pub struct GitServer {
    desk: Arc<Desk>,
    authority_pem: String,
    server: TlsServer,
}

/// Is what the server's connections share with its owner.
struct Desk {
    repositories: Mutex<BTreeMap<String, PathBuf>>,
    access: Mutex<Access>,
    behaviour: Mutex<Behaviour>,
    log: Mutex<Vec<GitRequest>>,
    home: RunDir,
}

impl GitServer {
    /// Starts a server that lets in whom `access` names; it has no repositories yet.
    ///
    /// # Errors
    /// [`Failure`] when no certificate can be made or no port is free.
    pub fn start(access: Access) -> Result<Self, Failure> {
        let authority = Authority::new("test Git server")?;
        let identity = authority.server(&["127.0.0.1", "localhost"])?;
        let desk = Desk {
            repositories: Mutex::default(),
            access: Mutex::new(access),
            behaviour: Mutex::default(),
            log: Mutex::default(),
            home: RunDir::new("git-server")?,
        };
        let server = Self { desk: Arc::new(desk), authority_pem: authority.pem(), server: TlsServer::new(&identity)? };
        server.restart()?;
        Ok(server)
    }

    /// Serves `repository` under this name and returns its address, `https://127.0.0.1:PORT/NAME.git`.
    pub fn publish(&self, name: &str, repository: &GitRepo) -> String {
        lock(&self.desk.repositories).insert(name.to_owned(), repository.bare());
        self.url(name)
    }

    /// Returns the address of the repository that is served under this name, or would be.
    pub fn url(&self, name: &str) -> String {
        format!("https://127.0.0.1:{}/{name}.git", self.server.port())
    }

    /// Returns the certificate (PEM) that signed the server's.
    pub fn ca_pem(&self) -> String {
        self.authority_pem.clone()
    }

    /// Changes whom the server lets in.
    pub fn set_access(&self, access: Access) {
        *lock(&self.desk.access) = access;
    }

    /// Answers every request from now on with this status.
    pub fn fail_with(&self, status: StatusCode) {
        *lock(&self.desk.behaviour) = Behaviour::Fail(status);
    }

    /// Takes every request from now on and answers none.
    pub fn hang(&self) {
        *lock(&self.desk.behaviour) = Behaviour::Hang;
    }

    /// Ends every answer with objects from now on after so many bytes, as if that were all.
    pub fn cut_packs_after(&self, bytes: usize) {
        *lock(&self.desk.behaviour) = Behaviour::Cut(bytes);
    }

    /// Answers as it should again.
    pub fn serve(&self) {
        *lock(&self.desk.behaviour) = Behaviour::Serve;
    }

    /// Returns every request so far, oldest first, also those that were refused.
    pub fn requests(&self) -> Vec<GitRequest> {
        lock(&self.desk.log).clone()
    }

    /// Returns how many requests so far wanted this, also those that were refused.
    pub fn count(&self, operation: GitOperation) -> usize {
        lock(&self.desk.log).iter().filter(|request| request.operation == operation).count()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.desk.log).clear();
    }

    /// Ends every connection and takes no new ones: a client is refused by the system.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Comes back after [`GitServer::stop`], at the same address.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when somebody else took the port.
    pub fn restart(&self) -> Result<(), Failure> {
        let desk = self.desk.clone();
        self.server.start(service_fn(move |request| {
            let desk = desk.clone();
            async move { Ok::<_, Infallible>(desk.answer(request).await) }
        }))
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let admitted = lock(&self.access).admits(&head.headers);
        let behaviour = *lock(&self.behaviour);
        let operation = GitOperation::of(&head, &body);
        let answer = match (behaviour, self.repository(head.uri.path())) {
            (Behaviour::Fail(status), _) => plain(status),
            _ if !admitted => unauthorized(),
            (Behaviour::Hang, _) => {
                self.note(&head, operation, None);
                std::future::pending().await
            }
            (_, None) => plain(StatusCode::NOT_FOUND),
            (_, Some((folder, inner))) => {
                let called = backend::call(self.home.path(), &folder, &inner, &head, &body).await;
                let answer = called.unwrap_or_else(|_| plain(StatusCode::BAD_GATEWAY));
                match (behaviour, operation) {
                    (Behaviour::Cut(bytes), GitOperation::Fetch) => cut(answer, bytes).await,
                    _ => answer,
                }
            }
        };
        self.note(&head, operation, Some(answer.status()));
        answer
    }

    /// Splits `/NAME.git/info/refs` into the repository's folder and `/info/refs`.
    fn repository(&self, path: &str) -> Option<(PathBuf, String)> {
        let (name, inner) = path.strip_prefix('/')?.split_once(".git/")?;
        lock(&self.repositories).get(name).map(|folder| (folder.clone(), format!("/{inner}")))
    }

    fn note(&self, head: &http::request::Parts, operation: GitOperation, status: Option<StatusCode>) {
        let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        lock(&self.log).push(GitRequest { method: head.method.clone(), target, operation, status });
    }
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

async fn cut(answer: Answer, bytes: usize) -> Answer {
    let (mut head, body) = answer.into_parts();
    head.headers.remove(http::header::CONTENT_LENGTH);
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Response::from_parts(head, Full::new(whole.slice(..bytes.min(whole.len()))))
}

fn unauthorized() -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED);
    let challenge = http::HeaderValue::from_static("Basic realm=\"test\"");
    answer.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
    answer
}
