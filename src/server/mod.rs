//! The controller's own HTTP interface: probes, the sealing certificate and metrics, what `seal` asks about SealedSecrets, and, where
//! SealedSecrets of the cluster are reconciled, what kubeseal asks about them.
//!
//! `/healthz` and `/metrics` are served from the start, so that whoever waits for the lease or the API server is not taken for dead, and
//! shows what he waits for.
//!
//! Everything here is public and needs no credentials but what is under `/v1/waxwing`; nothing here shows what is sealed.

mod authenticated;
mod bodies;
mod connections;
mod limits;
mod refusal;
mod resealing;
mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use kube::Client;
use tokio::sync::Semaphore;
use tower::Service;

use crate::cluster::ConnectError;
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Metrics};
use crate::sealing::Keys;
use connections::UntilWritten;
pub use limits::Rate;

/// Makes a connection to the API server.
pub type Reviewer = Arc<dyn Fn() -> Result<Client, ConnectError> + Send + Sync>;

/// What the handlers see.
#[derive(Clone)]
pub struct Shown {
    /// The sealing keys, of which only certificates are shown.
    pub keys: Arc<Keys>,
    /// Turns true once the controller works, and false again when it stops.
    pub ready: Arc<AtomicBool>,
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Makes a connection over which the API server is asked who a caller is, since it carries a token: one for each request, which
    /// ends with it. Every replica asks.
    pub reviewer: Reviewer,
    /// How often SealedSecrets may be verified and re-encrypted by anybody; none where they may not.
    pub resealing: Option<Rate>,
}

/// The HTTP interface could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What is served: `/healthz` and `/metrics` from the start, everything else once it is there.
#[derive(Clone)]
pub struct Front {
    metrics: Arc<Metrics>,
    readers: Arc<Semaphore>,
    shown: Arc<OnceLock<(Router, Arc<Keys>)>>,
}

impl Front {
    /// Serves what is there from the start.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, readers: Arc::new(Semaphore::new(MOST_READERS)), shown: Arc::default() }
    }

    /// Serves everything from now on.
    pub fn show(&self, shown: Shown) {
        self.shown.get_or_init(|| (routes(shown.clone()), shown.keys));
    }

    async fn answer(self, request: Request) -> Response {
        match self.shown.get() {
            Some((routes, _)) => routes.clone().call(request).await.unwrap_or_else(|never| match never {}),
            None => NOT_READY.into_response(),
        }
    }
}

/// Serves until `stopped` completes.
///
/// # Errors
///
/// See [`ServeError`].
pub async fn serve(
    address: SocketAddr,
    front: Front,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let listener = connections::listen(address).map_err(|source| ServeError::Listen { address, source })?;
    tracing::info!(%address, "serving probes, metrics and the sealing certificate");
    let metrics = front.metrics.clone();
    let all = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(read_metrics).with_state(front.clone()))
        .fallback(move |request| front.clone().answer(request));
    connections::serve(listener, all, metrics, stopped).await;
    Ok(())
}

fn routes(shown: Shown) -> Router {
    let routes = Router::new()
        .route("/readyz", get(ready))
        .route("/v1/cert.pem", get(certificate))
        .with_state(shown.clone())
        .merge(authenticated::routes(shown.clone()));
    match shown.resealing {
        Some(rate) => resealing::counted(routes.merge(resealing::routes(shown.clone(), rate)), shown),
        None => routes,
    }
}

/// What `/readyz` answers before the controller works, and everything else before it can.
const NOT_READY: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n");

/// How many may read the metrics at the same time.
const MOST_READERS: usize = 8;
const TOO_MANY_READERS: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "others are reading the metrics\n");

async fn ready(State(shown): State<Shown>) -> (StatusCode, &'static str) {
    match shown.ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ok\n"),
        false => NOT_READY,
    }
}

/// Answers as the Sealed Secrets controller does, so that `kubeseal --fetch-cert` works.
async fn certificate(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.keys.certificate_pem() {
        Some(pem) => (StatusCode::OK, [(CONTENT_TYPE, "application/x-pem-file")], pem),
        None => (StatusCode::SERVICE_UNAVAILABLE, [(CONTENT_TYPE, "text/plain")], "no sealing key yet\n".to_owned()),
    }
}

/// Anybody may read the metrics, and not read them to their end.
async fn read_metrics(State(Front { metrics, readers, shown }): State<Front>) -> Response {
    let Ok(place) = readers.try_acquire_owned() else { return TOO_MANY_READERS.into_response() };
    if let Some((_, keys)) = shown.get() {
        metrics.sealing_key_operations(keys.operations());
    }
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], Extension(UntilWritten::new(place)), text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
