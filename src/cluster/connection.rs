//! Connections to the API server on which every request is counted: by what it asks for, what came of it, and how long
//! that took. Of a request's path, names or body nothing is counted. Watches are begun with some time between them (`pace.rs`),
//! and writes are let through while this process may write (`fence.rs`).

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, Uri};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tower::{Layer, Service};

use super::call::APPLY_PATCH;
use super::fence::{Fence, Fenced, FencedConnections};
use super::pace::Pace;
use crate::metrics::Metrics;

/// No connection can be made from a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to make a connection from the cluster's configuration")]
pub struct ConnectError;

/// How to reach the API server. Not `Debug`: the configuration holds credentials.
#[derive(Clone)]
pub struct ApiServer {
    config: kube::Config,
    metrics: Arc<Metrics>,
    fence: Arc<Fence>,
}

impl ApiServer {
    /// Reaches it as `config` says; writes go through `fence`, and every request is counted.
    pub fn new(config: kube::Config, metrics: Arc<Metrics>, fence: Arc<Fence>) -> Self {
        Self { config, metrics, fence }
    }

    /// Makes connections of their own, which are closed when nobody has what is returned any more.
    ///
    /// # Errors
    ///
    /// Fails when the configuration can't be used, such as for a damaged certificate.
    pub fn connect(&self) -> Result<Client, ConnectError> {
        let reading = ClientBuilder::try_from(self.config.clone()).map_err(|_| ConnectError)?.build();
        Ok(self.counted(Fenced { reading: Some(reading), writing: self.writing()?, fence: self.fence.clone() }))
    }

    /// Makes connections of their own for what writes: what it reads goes over them too, so that there is none to set up for that, and so ends
    /// with the right to write.
    ///
    /// # Errors
    ///
    /// Fails as [`ApiServer::connect`] does.
    pub fn connect_to_write(&self) -> Result<Client, ConnectError> {
        Ok(self.counted(Fenced { reading: None, writing: self.writing()?, fence: self.fence.clone() }))
    }

    /// Tells whether writes are let through now.
    pub fn may_write(&self) -> bool {
        self.fence.lets_through()
    }

    fn writing(&self) -> Result<Client, ConnectError> {
        let executor = FencedConnections(self.fence.clone());
        Ok(ClientBuilder::try_from((self.config.clone(), executor)).map_err(|_| ConnectError)?.build())
    }

    fn counted(&self, fenced: Fenced) -> Client {
        let counting = Counting { metrics: self.metrics.clone(), pace: Arc::default() };
        ClientBuilder::new(fenced, &self.config.default_namespace).with_layer(&counting).build()
    }

    /// Makes a connection over which writes go whoever leads: that of the lease itself.
    ///
    /// # Errors
    ///
    /// Fails as [`ApiServer::connect`] does.
    pub fn connect_unfenced(&self) -> Result<Client, ConnectError> {
        let builder = ClientBuilder::try_from(self.config.clone()).map_err(|_| ConnectError)?;
        Ok(builder.with_layer(&Counting { metrics: self.metrics.clone(), pace: Arc::default() }).build())
    }
}

/// Puts [`Counted`] around what sends requests.
struct Counting {
    metrics: Arc<Metrics>,
    pace: Arc<Pace>,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.metrics.clone(), pace: self.pace.clone() }
    }
}

/// Counts the requests that `inner` sends.
struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
    pace: Arc<Pace>,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let verb = verb(request.method(), request.uri(), request.headers());
        let (metrics, begun) = (self.metrics.clone(), Instant::now());
        let pause =
            if verb == WATCH { self.pace.pause(request.uri().path(), begun) } else { std::time::Duration::ZERO };
        let answer = self.inner.call(request);
        let counted = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let begun = begun + pause;
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|response| response.status().as_u16());
            metrics.request(verb, code, begun.elapsed());
            answer
        };
        counted.boxed()
    }
}

/// What a watch is counted as.
const WATCH: &str = "watch";

/// Returns what a request asks for, in a word of a closed list.
fn verb(method: &Method, uri: &Uri, headers: &HeaderMap) -> &'static str {
    let has = |parameter: &str| uri.query().unwrap_or_default().split('&').any(|given| given == parameter);
    let is_apply = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == APPLY_PATCH);
    match *method {
        Method::GET if has("watch=true") || has("watch=1") => WATCH,
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH if has("dryRun=All") => "dry-run",
        Method::PATCH if is_apply => "apply",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_a_word_of_a_closed_list() {
        let table = [
            (Method::GET, "/api/v1/secrets?limit=1", "", "get"),
            (Method::GET, "/api/v1/secrets?watch=true&resourceVersion=1", "", "watch"),
            (Method::POST, "/apis/authorization.k8s.io/v1/subjectaccessreviews", "application/json", "create"),
            (Method::PATCH, "/api/v1/x?fieldManager=waxwing&dryRun=All", APPLY_PATCH, "dry-run"),
            (Method::PATCH, "/api/v1/x?fieldManager=waxwing&force=true", APPLY_PATCH, "apply"),
            (Method::PATCH, "/api/v1/x", "application/merge-patch+json", "patch"),
            (Method::PUT, "/api/v1/x", "application/json", "update"),
            (Method::DELETE, "/api/v1/x", "application/json", "delete"),
            (Method::from_bytes(b"hunter2").unwrap(), "/", "", "other"),
        ];
        for (method, uri, content_type, expected) in table {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(verb(&method, &uri.parse().unwrap(), &headers), expected, "{method} {uri}");
        }
    }

    /// Gives one answer, again and again.
    struct Answer(Option<u16>);

    impl Service<Request<Body>> for Answer {
        type Response = Response<()>;
        type Error = ();
        type Future = std::future::Ready<Result<Response<()>, ()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let answer = self.0.map(|code| Response::builder().status(code).body(()).unwrap());
            std::future::ready(answer.ok_or(()))
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_the_code_of_their_answer_and_nothing_of_their_path_is_kept() {
        let metrics = Arc::new(Metrics::new("0", &[], &[]));
        for code in [Some(200), Some(403), Some(403), None] {
            let mut service = Counting { metrics: metrics.clone(), pace: Arc::default() }.layer(Answer(code));
            let request = Request::get("/api/v1/namespaces/shop/secrets/hunter2").body(Body::empty()).unwrap();
            assert_eq!(service.call(request).await.ok().map(|answer| answer.status().as_u16()), code);
        }
        let text = metrics.text().unwrap();
        let counted = |code: &str, count: u64| {
            text.contains(&format!("waxwing_api_requests_total{{verb=\"get\",code=\"{code}\"}} {count}\n"))
        };
        assert!(counted("200", 1) && counted("403", 2) && counted("none", 1), "{text}");
        assert!(text.contains("waxwing_api_request_duration_seconds_count{verb=\"get\"} 4\n"), "{text}");
        assert!(!text.contains("hunter2"));
    }
}
