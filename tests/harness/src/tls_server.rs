//! An HTTPS server on loopback that can be stopped, so that the system refuses its clients, and comes back at the same port.
//!
//! It runs in a thread of its own, so a test may wait for its clients without an async runtime, or within one. What this is
//! not: it knows nothing of what is asked; its owners do.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Identity;
use crate::cluster::free_port;
use crate::failure::Failure;
use crate::waiting::eventually;

/// Is a server that ends when this value is dropped.
pub(crate) struct TlsServer {
    tls: TlsAcceptor,
    port: u16,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl TlsServer {
    /// Finds a port for a server with this certificate; nobody listens there yet.
    ///
    /// # Errors
    /// [`Failure`] when the certificate can't be used or no port is free.
    pub(crate) fn new(identity: &Identity) -> Result<Self, Failure> {
        Ok(Self { tls: acceptor(identity)?, port: free_port()?, running: Mutex::default() })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends what ran before, and listens: requests go to `service`. A connection ends with the first request that fails.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when somebody else took the port.
    pub(crate) fn start<S, B>(&self, service: S) -> Result<(), Failure>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
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
        let tls = self.tls.clone();
        let thread = thread::spawn(move || runtime.block_on(serve(listener, service, tls, stopped)));
        *lock(&self.running) = Some(Running { stop, thread });
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.running).is_some()
    }

    /// Ends every connection and takes no new ones: a client is refused by the system.
    pub(crate) fn stop(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.stop.send(()).ok();
            running.thread.join().ok();
        }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve<S, B>(listener: StdListener, service: S, tls: TlsAcceptor, stopped: oneshot::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let accept = async {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, service.clone(), tls.clone()));
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
}

async fn connection<S, B>(stream: TcpStream, service: S, tls: TlsAcceptor)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let Ok(stream) = tls.accept(stream).await else { return };
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

/// Locks; whoever panicked while holding the lock left nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
