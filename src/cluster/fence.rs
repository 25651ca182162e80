//! Lets writes through to the API server only while this process may write: while it holds the lease of the controller.
//!
//! Who decides that is `runtime/lease`; here it is held, at three places. A request that writes is not begun without it; one that is
//! on its way is given up when the right ends; and the connections that writes go over are not worked on once the time is over, so that a process
//! that was stopped for a while in the middle of a request (SIGSTOP, a frozen machine) doesn't send what it had begun. Reading is let through always.
//!
//! What this is not: a promise of the API server. What it has received it may still carry out.

use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{BoxError, Service};

/// More than are ever on their way at the same time.
const PLACES: u32 = 1 << 20;

/// How long the API server may still carry out a request whose answer nobody has seen (`--request-timeout` of kube-apiserver, its default).
const STILL_CARRIED_OUT: Duration = Duration::from_secs(60);

/// What a request that writes ends with where this process may not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this controller does not lead, so it writes nothing")]
pub struct NotLeading;

/// A point in time on a clock that nobody sets and that goes on while the machine sleeps (`CLOCK_BOOTTIME`, clock_gettime(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Returns what the clock says.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap_or_default()))
    }

    /// Returns the moment that comes so much later.
    pub fn after(self, pause: Duration) -> Self {
        Self(self.0.saturating_add(pause))
    }

    /// Returns how long it is from `earlier` until this moment, zero where it is before that.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Whether this process may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may, whatever happens.
    Open,
    /// It may, until then.
    OpenUntil(Moment),
    /// What is on its way may end, until then if there is a time; nothing else is begun.
    Draining(Option<Moment>),
    /// It may not.
    Closed,
}

/// Lets writes through, or not.
pub struct Fence {
    state: watch::Sender<State>,
    places: Arc<Semaphore>,
    /// When a write was given up last whose answer nobody has seen.
    unanswered: Mutex<Option<Moment>>,
}

impl Fence {
    /// Makes one that lets everything through for ever, where there is no lease to hold.
    pub fn open() -> Arc<Self> {
        Self::new(State::Open)
    }

    /// Makes one that lets nothing through yet.
    pub fn closed() -> Arc<Self> {
        Self::new(State::Closed)
    }

    fn new(state: State) -> Arc<Self> {
        let (state, places) = (watch::Sender::new(state), Arc::new(Semaphore::new(PLACES as usize)));
        Arc::new(Self { state, places, unanswered: Mutex::default() })
    }

    /// Lets writes through until then, whether or not anybody says that the time is over.
    pub fn open_until(&self, until: Moment) {
        self.state.send_replace(State::OpenUntil(until));
    }

    /// Lets nothing through any more, and gives up what is on its way.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Lets nothing further through, and waits for what is on its way; then, or when `patience` is over, it is closed. Tells whether
    /// every write has been answered that the API server may still be at. One that is closed stays so.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.state.send_modify(|state| {
            *state = match *state {
                State::Open => State::Draining(None),
                State::OpenUntil(until) => State::Draining(Some(until)),
                State::Draining(until) => State::Draining(until),
                State::Closed => State::Closed,
            }
        });
        let is_drained = tokio::time::timeout(patience, self.places.acquire_many(PLACES)).await.is_ok();
        self.close();
        let unanswered = *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        is_drained && unanswered.is_none_or(|then| Moment::now().since(then) > STILL_CARRIED_OUT)
    }

    /// Tells whether this process may write now.
    pub fn lets_through(&self) -> bool {
        match *self.state.borrow() {
            State::Open => true,
            State::OpenUntil(until) => Moment::now() < until,
            State::Draining(_) | State::Closed => false,
        }
    }

    /// Tells whether what is on its way may go on.
    fn lets_end(&self) -> bool {
        match *self.state.borrow() {
            State::Open | State::Draining(None) => true,
            State::OpenUntil(until) | State::Draining(Some(until)) => Moment::now() < until,
            State::Closed => false,
        }
    }

    /// Tells a connection that broke since nothing may go over it any more from others.
    fn told(&self, error: kube::Error) -> BoxError {
        if self.lets_end() { error.into() } else { NotLeading.into() }
    }

    /// Lets a write in; it is on its way until what is returned is dropped.
    fn enter(self: &Arc<Self>) -> Option<OnItsWay> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        self.lets_through().then(|| OnItsWay { fence: self.clone(), is_answered: false, _place: place })
    }

    /// Waits until it is closed.
    async fn is_closed(&self) {
        // It has a sender for as long as it is there.
        let _ = self.state.subscribe().wait_for(|state| *state == State::Closed).await;
    }
}

/// A write that was let in.
struct OnItsWay {
    fence: Arc<Fence>,
    is_answered: bool,
    _place: OwnedSemaphorePermit,
}

impl OnItsWay {
    /// Ends it with an answer: the API server is not at it any more.
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if !self.is_answered {
            *self.fence.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Moment::now());
        }
    }
}

/// Works on the connections that writes go over, for as long as the fence lets them through.
#[derive(Clone)]
pub(super) struct FencedConnections(pub(super) Arc<Fence>);

impl hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for FencedConnections {
    fn execute(&self, connection: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(FencedConnection { fence: self.0.clone(), connection });
    }
}

/// A connection that is dropped, with what it has not sent yet, instead of being worked on when the fence doesn't let writes through.
struct FencedConnection {
    fence: Arc<Fence>,
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for FencedConnection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.fence.lets_end() {
            true => self.connection.as_mut().poll(context),
            false => Poll::Ready(()),
        }
    }
}

/// Sends what reads over one connection, and what writes over another, if the fence lets it through.
pub(super) struct Fenced {
    /// None where reading ends with the right to write.
    pub(super) reading: Option<Client>,
    pub(super) writing: Client,
    pub(super) fence: Arc<Fence>,
}

impl Service<Request<Body>> for Fenced {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !writes(request.method(), request.uri().path()) {
            let Some(client) = self.reading.clone() else { return self.read_while_writing(request) };
            return async move { Ok(client.send(request).await?) }.boxed();
        }
        let Some(on_its_way) = self.fence.enter() else { return ready(Err(NotLeading.into())).boxed() };
        let (client, fence) = (self.writing.clone(), self.fence.clone());
        let sent = async move {
            let answer = tokio::select! {
                biased;
                () = fence.is_closed() => return Err(NotLeading.into()),
                answer = client.send(request) => answer.map_err(|error| fence.told(error))?,
            };
            on_its_way.answered();
            Ok(answer)
        };
        sent.boxed()
    }
}

impl Fenced {
    /// Reads over the connection of what writes.
    fn read_while_writing(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
        let (client, fence) = (self.writing.clone(), self.fence.clone());
        let read = async move {
            if !fence.lets_end() {
                return Err(NotLeading.into());
            }
            client.send(request).await.map_err(|error| fence.told(error))
        };
        read.boxed()
    }
}

/// Tells whether a request changes something: reviews are posted, but nothing is kept of them.
fn writes(method: &Method, path: &str) -> bool {
    let is_review = path.starts_with("/apis/authorization.k8s.io/") || path.starts_with("/apis/authentication.k8s.io/");
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => false,
        Method::POST => !is_review,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::cluster::call::Call;
    use crate::cluster::{ApiServer, CallError, ConnectError, Identity};
    use crate::metrics::Metrics;

    const LONG: Duration = Duration::from_secs(60);

    /// Returns a client behind a fence, and the server's side of it.
    async fn scene(fence: &Arc<Fence>) -> (Client, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = kube::Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        config.default_retry = false;
        let server = ApiServer::new(config, Arc::new(Metrics::new("0", &[], &[])), fence.clone());
        (server.connect().unwrap(), listener)
    }

    async fn sent(client: Client, method: Method, path: &str) -> Result<u16, kube::Error> {
        let request = Request::builder().method(method).uri(path).body(Body::from(b"{}".to_vec())).unwrap();
        client.send(request).await.map(|answer| answer.status().as_u16())
    }

    async fn request(listener: &TcpListener) -> TcpStream {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(connection.read(&mut head).await.unwrap() > 0);
        connection
    }

    async fn answer(mut connection: TcpStream) {
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    }

    #[test]
    fn what_changes_something_is_told_from_what_asks() {
        let table = [
            (Method::GET, "/api/v1/secrets", false),
            (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false),
            (Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", false),
            (Method::POST, "/api/v1/namespaces/a/serviceaccounts/b/token", true),
            (Method::POST, "/api/v1/namespaces/a/secrets", true),
            (Method::PATCH, "/api/v1/namespaces/a/secrets/b", true),
            (Method::PUT, "/api/v1/namespaces/a/secrets/b", true),
            (Method::DELETE, "/api/v1/namespaces/a/secrets/b", true),
            (Method::DELETE, "/apis/authorization.k8s.io/v1/x", true),
        ];
        for (method, path, expected) in table {
            assert_eq!(writes(&method, path), expected, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn reading_is_let_through_and_writing_only_while_there_is_time() {
        let fence = Fence::closed();
        let (client, listener) = scene(&fence).await;
        let told = |error: kube::Error| error.to_string();
        let refused = sent(client.clone(), Method::PATCH, "/api/v1/x").await.map_err(told);
        assert_eq!(refused.unwrap_err(), format!("ServiceError: {NotLeading}"));
        let call = Call::merge_patch("/api/v1/x", &serde_json::Value::Null).send(&client, &Identity::Controller);
        assert_eq!(call.await, Err(CallError::NotLeading(NotLeading)));
        let (read, ()) = tokio::join!(sent(client.clone(), Method::GET, "/api/v1/x"), async {
            answer(request(&listener).await).await;
        });
        assert_eq!(read.unwrap(), 200);
        fence.open_until(Moment::now().after(LONG));
        let (written, ()) = tokio::join!(sent(client.clone(), Method::PATCH, "/api/v1/x"), async {
            answer(request(&listener).await).await;
        });
        assert_eq!(written.unwrap(), 200);
        fence.open_until(Moment::now());
        assert!(sent(client, Method::PATCH, "/api/v1/x").await.is_err());
    }

    #[tokio::test]
    async fn what_is_read_to_write_is_refused_in_its_own_words_once_the_time_is_over() {
        let fence = Fence::closed();
        let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
        let client =
            ApiServer::new(config, Arc::new(Metrics::new("0", &[], &[])), fence.clone()).connect_to_write().unwrap();
        for _ in 0..2 {
            let read = Call::get("/api/v1/x").send(&client, &Identity::Controller);
            assert_eq!(read.await, Err(CallError::NotLeading(NotLeading)));
            fence.open_until(Moment::now()); // is over at once
        }
    }

    /// Reads and writes, and returns how many connections that took.
    async fn connections(connect: fn(&ApiServer) -> Result<Client, ConnectError>) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = kube::Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let client = connect(&ApiServer::new(config, Arc::new(Metrics::new("0", &[], &[])), Fence::open())).unwrap();
        let count = AtomicUsize::new(0);
        let served = async {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    while connection.read(&mut head).await.is_ok_and(|length| length > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                        connection.write_all(answer).await.unwrap();
                    }
                });
            }
        };
        let both = async {
            for method in [Method::GET, Method::PATCH] {
                assert_eq!(sent(client.clone(), method, "/api/v1/x").await.unwrap(), 200);
            }
        };
        tokio::select! {
            () = both => count.load(Ordering::Relaxed),
            () = served => unreachable!(),
        }
    }

    #[tokio::test]
    async fn what_is_read_to_write_goes_over_the_same_connection_and_else_over_one_of_its_own() {
        assert_eq!(connections(ApiServer::connect_to_write).await, 1);
        assert_eq!(connections(ApiServer::connect).await, 2);
    }

    #[tokio::test]
    async fn a_write_on_its_way_is_given_up_when_the_fence_closes() {
        let fence = Fence::closed();
        fence.open_until(Moment::now().after(LONG));
        let (client, listener) = scene(&fence).await;
        let begun = tokio::spawn(sent(client, Method::PATCH, "/api/v1/x"));
        let mut connection = request(&listener).await;
        fence.close();
        assert!(begun.await.unwrap().is_err());
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest).await; // The end of the connection, however it ends.
        assert!(!fence.lets_through());
    }

    #[tokio::test]
    async fn a_connection_that_was_begun_sends_nothing_when_the_time_is_over_by_then() {
        let fence = Fence::closed();
        fence.open_until(Moment::now().after(LONG));
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let connection = Box::pin(async move {
            tokio::task::yield_now().await;
            let _ = sender.send(());
        });
        let mut connection = FencedConnection { fence: fence.clone(), connection };
        assert!(futures::poll!(&mut connection).is_pending());
        fence.open_until(Moment::now()); // is what a clock makes of it that went on meanwhile
        connection.await;
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn who_drains_it_hears_whether_every_write_was_answered() {
        let fence = Fence::closed();
        fence.open_until(Moment::now().after(LONG));
        let (client, listener) = scene(&fence).await;
        let begun = tokio::spawn(sent(client.clone(), Method::PATCH, "/api/v1/x"));
        let connection = request(&listener).await;
        let (is_drained, ()) = tokio::join!(fence.drain(LONG), async {
            tokio::task::yield_now().await;
            assert!(!fence.lets_through());
            answer(connection).await;
        });
        assert!(is_drained);
        assert_eq!(begun.await.unwrap().unwrap(), 200);

        fence.open_until(Moment::now().after(LONG));
        let begun = tokio::spawn(sent(client, Method::PATCH, "/api/v1/x"));
        let _unanswered = request(&listener).await;
        assert!(!fence.drain(Duration::ZERO).await);
        assert!(begun.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_any_more_is_not_answered() {
        let fence = Fence::closed();
        fence.open_until(Moment::now().after(LONG));
        let (client, listener) = scene(&fence).await;
        let begun = tokio::spawn(sent(client, Method::PATCH, "/api/v1/x"));
        let _unanswered = request(&listener).await;
        begun.abort();
        assert!(begun.await.unwrap_err().is_cancelled());
        assert!(!fence.drain(LONG).await);
    }

    #[tokio::test]
    async fn draining_opens_nothing_and_ends_with_the_time_that_there_was() {
        let fence = Fence::closed();
        assert!(fence.drain(LONG).await);
        assert_eq!(*fence.state.borrow(), State::Closed);

        fence.open_until(Moment::now());
        let place = fence.places.clone().try_acquire_owned().unwrap();
        let drained = fence.drain(LONG);
        tokio::pin!(drained);
        assert!(futures::poll!(&mut drained).is_pending());
        assert!(!fence.lets_end());
        drop(place);
        assert!(drained.await);
    }
}
