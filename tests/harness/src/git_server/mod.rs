//! A Git server on loopback: the real `git http-backend` behind TLS, with passwords and tokens, and with the ways in
//! which a server fails.
//!
//! It runs in a thread of its own, so a test may wait for `git` without an async runtime, or within one. What this is
//! not: it takes no pushes; tests push to the repository's folder ([`crate::GitRepo`]).

mod backend;
mod request;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Identity};
use crate::cluster::free_port;
use crate::failure::Failure;
use crate::git_repo::GitRepo;
use crate::run_dir::RunDir;
use crate::waiting::eventually;

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
}

/// Is a running Git server; it ends when this value is dropped.
pub struct GitServer {
    desk: Arc<Desk>,
    tls: TlsAcceptor,
    authority_pem: String,
    port: u16,
    running: Mutex<Option<Running>>,
}

/// Is what the server's connections share with its owner.
struct Desk {
    repositories: Mutex<BTreeMap<String, PathBuf>>,
    access: Mutex<Access>,
    behaviour: Mutex<Behaviour>,
    log: Mutex<Vec<GitRequest>>,
    home: RunDir,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
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
        let server = Self {
            desk: Arc::new(desk),
            tls: acceptor(&identity)?,
            authority_pem: authority.pem(),
            port: free_port()?,
            running: Mutex::default(),
        };
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
        format!("https://127.0.0.1:{}/{name}.git", self.port)
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
        if let Some(running) = lock(&self.running).take() {
            running.stop.send(()).ok();
            running.thread.join().ok();
        }
    }

    /// Comes back after [`GitServer::stop`], at the same address.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when somebody else took the port.
    pub fn restart(&self) -> Result<(), Failure> {
        self.stop();
        let what = format!("listen on 127.0.0.1:{}", self.port);
        // A program that another thread starts has this one's sockets until it is itself, for a moment.
        let bind = || StdListener::bind((Ipv4Addr::LOCALHOST, self.port));
        let listener = eventually(Duration::from_secs(5), &what, bind)?;
        listener.set_nonblocking(true).map_err(Failure::io(what))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::io("start an async runtime"))?;
        let (stop, stopped) = oneshot::channel();
        let (desk, tls) = (self.desk.clone(), self.tls.clone());
        let thread = thread::spawn(move || runtime.block_on(serve(listener, desk, tls, stopped)));
        *lock(&self.running) = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop();
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
            (Behaviour::Serve, None) => plain(StatusCode::NOT_FOUND),
            (Behaviour::Serve, Some((folder, inner))) => {
                let called = backend::call(self.home.path(), &folder, &inner, &head, &body).await;
                called.unwrap_or_else(|_| plain(StatusCode::BAD_GATEWAY))
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

async fn serve(listener: StdListener, desk: Arc<Desk>, tls: TlsAcceptor, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let accept = async {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, desk.clone(), tls.clone()));
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
}

async fn connection(stream: TcpStream, desk: Arc<Desk>, tls: TlsAcceptor) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor, Failure> {
    let unreadable = |_| Failure::Tls(rustls::Error::General("its own certificate is not PEM".to_owned()));
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(unreadable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(Failure::Tls)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn unauthorized() -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED);
    let challenge = http::HeaderValue::from_static("Basic realm=\"test\"");
    answer.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
