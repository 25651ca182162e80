//! The connections of the HTTP interface: how many there are, how long each may take for what, and how much of an answer waits in one.
//!
//! Whoever reaches the port may open connections, and send or read as slowly as he likes. So where all places are taken, who has waited
//! longest with no request under way makes room for who comes; some places are never taken by requests under way, so that probes are
//! answered; and an answer is written piece by piece, and what it holds is held until its last piece is taken ([`UntilWritten`]).

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::wire::{Overdue, Phase, Standing, Wire};
use crate::metrics::Metrics;

/// How many connections there are at most.
const MOST_CONNECTIONS: usize = 256;
/// How many of them have a request under way that no probe sent.
const MOST_REQUESTS: usize = 192;
/// How many wait for the system until they are accepted.
const BACKLOG: u32 = 1024;
/// What the system keeps of an answer that is on its way, in bytes; Linux doubles it.
const SEND_BUFFER: u32 = 64 << 10;
/// What is kept of what a connection sends, and of what is to be written to it, in bytes.
const LONGEST_BUFFER: usize = 64 << 10;
/// How much of an answer is taken at once.
const PIECE: usize = 16 << 10;
/// How often it is looked whether a connection is overdue.
const LOOK: Duration = Duration::from_secs(1);
/// How long requests under way go on once the interface ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long nothing is accepted after the system refused, which it does while there are too many open files.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// What asks whether the controller works.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// What an answer holds until it is written or its connection ends: put it among the extensions of a response.
#[derive(Clone)]
pub(super) struct UntilWritten(#[expect(dead_code, reason = "is there to be dropped")] Arc<dyn Any + Send + Sync>);

impl UntilWritten {
    pub(super) fn new(held: impl Any + Send + Sync) -> Self {
        Self(Arc::new(held))
    }
}

/// Listens on an address.
pub(super) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Inherited by what is accepted. Else an answer that nobody reads would wait there, megabytes of it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `routes` until `stopped` completes, and then what is under way for a moment.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    metrics: Arc<Metrics>,
    stopped: impl Future<Output = ()>,
) {
    let connections = Connections::new(routes, metrics);
    let (mut tasks, mut stopped) = (JoinSet::new(), pin!(stopped));
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tasks.spawn(connections.clone().follow(stream))),
                // One that ended before it was accepted.
                Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused) => {}
                Err(error) => {
                    tracing::debug!(%error, "failed to accept a connection");
                    connections.make_room();
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
            },
        }
    }
    drop(listener);
    connections.stopping.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, ended).await.is_err() {
        tracing::debug!("some requests were still under way");
    }
}

/// All connections, and what they share.
struct Connections {
    routes: Router,
    metrics: Arc<Metrics>,
    requests: Arc<Semaphore>,
    stopping: CancellationToken,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u64,
    standings: HashMap<u64, Arc<Standing>>,
}

impl Connections {
    fn new(routes: Router, metrics: Arc<Metrics>) -> Arc<Self> {
        let requests = Arc::new(Semaphore::new(MOST_REQUESTS));
        Arc::new(Self { routes, metrics, requests, stopping: CancellationToken::new(), table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection that has waited longest with no request under way, if there is one.
    fn make_room(&self) -> bool {
        let mut table = self.table();
        let waiting =
            table.standings.iter().filter_map(|(number, standing)| Some((standing.waiting_since()?, *number)));
        let Some(closed) = waiting.min().and_then(|(_, number)| table.standings.remove(&number)) else { return false };
        closed.closed.cancel();
        self.metrics.http_refused("crowded");
        true
    }

    /// Serves one connection until it ends, if there is or can be made room for it.
    async fn follow(self: Arc<Self>, stream: TcpStream) {
        let Some(place) = Place::take(&self) else { return self.metrics.http_refused("crowded") };
        let standing = place.standing.clone();
        let service = service_fn(|request| self.clone().answer(request, standing.clone()));
        let mut connection = pin!(
            http1::Builder::new()
                .max_buf_size(LONGEST_BUFFER)
                // What is to be written is copied, so that a piece of an answer doesn't keep the rest of it.
                .writev(false)
                .serve_connection(Wire::new(stream, standing.clone()), service)
        );
        let (mut looks, mut is_stopping) = (tokio::time::interval(LOOK), false);
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = standing.closed.cancelled() => return,
                () = self.stopping.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = looks.tick() => if let Some(overdue) = standing.overdue(Instant::now()) {
                    return if overdue != Overdue::Idle { self.metrics.http_refused(overdue.as_str()) };
                }
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        standing: Arc<Standing>,
    ) -> Result<Response<Answer>, Infallible> {
        standing.enter(Phase::Working);
        let is_probe = PROBES.contains(&request.uri().path());
        let place = if is_probe { None } else { self.requests.clone().try_acquire_owned().ok() };
        let mut response = if is_probe || place.is_some() {
            self.routes.clone().call(request).await.unwrap_or_else(|never| match never {})
        } else {
            self.metrics.http_refused("busy");
            busy()
        };
        let held = response.extensions_mut().remove::<UntilWritten>();
        standing.enter(Phase::Writing);
        Ok(response.map(|whole| Answer { whole, rest: Bytes::new(), standing, _held: (place, held) }))
    }
}

fn busy() -> Response<Body> {
    let headers = [(CONNECTION, HeaderValue::from_static("close")), (RETRY_AFTER, HeaderValue::from_static("1"))];
    (StatusCode::SERVICE_UNAVAILABLE, headers, "too many requests are under way\n").into_response()
}

/// The place of a connection among all; free again when this is dropped.
struct Place {
    connections: Arc<Connections>,
    number: u64,
    standing: Arc<Standing>,
}

impl Place {
    fn take(connections: &Arc<Connections>) -> Option<Self> {
        while connections.table().standings.len() >= MOST_CONNECTIONS {
            if !connections.make_room() {
                return None;
            }
        }
        let standing = Arc::new(Standing::new(Instant::now()));
        let mut table = connections.table();
        table.last += 1;
        let number = table.last;
        table.standings.insert(number, standing.clone());
        Some(Self { connections: connections.clone(), number, standing })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().standings.remove(&self.number);
    }
}

/// The body of a response, in pieces, with what is held until the last is taken.
struct Answer {
    whole: Body,
    rest: Bytes,
    standing: Arc<Standing>,
    _held: (Option<OwnedSemaphorePermit>, Option<UntilWritten>),
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.whole).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let len = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.whole.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match self.whole.size_hint().exact() {
            Some(further) => SizeHint::with_exact(rest + further),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.standing.enter(Phase::Idle);
    }
}
