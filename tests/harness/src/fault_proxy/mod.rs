//! A proxy between the controller and the API server that writes down what passes, and breaks what it is told to.
//!
//! It speaks TLS with a certificate of the cluster's authority, so that the controller takes it for the API server, and
//! passes each request on with the credentials that it came with. Client certificates don't survive that, so the controller
//! gets the token of a ServiceAccount that may do everything. What this is not: it changes nothing in what it passes on.

mod answer;
mod rule;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use kube::Client;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::tls_server::{TlsServer, lock};

use answer::{Answer, Breakable};
pub use rule::{ApiRequest, Fault, Rule};

/// The ServiceAccount of whoever uses the proxy.
const ACCOUNT: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: behind-the-proxy, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: behind-the-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: behind-the-proxy, namespace: default}]
"#;

/// Is a running proxy; it ends when this value is dropped.
pub struct FaultProxy {
    desk: Arc<Desk>,
    server: TlsServer,
    config: kube::Config,
    kubeconfig: PathBuf,
}

/// Is what the proxy's connections share with its owner.
#[derive(Default)]
struct Desk {
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<ApiRequest>>,
    /// Cancelled to break the watches that are open.
    watches: Mutex<CancellationToken>,
}

impl FaultProxy {
    /// Starts a proxy in front of the API server of `cluster`; it breaks nothing yet.
    ///
    /// # Errors
    /// [`Failure`] when the ServiceAccount, a certificate or a port can't be had.
    pub fn start(cluster: &Cluster) -> Result<Self, Failure> {
        cluster.apply_yaml(ACCOUNT)?;
        let token =
            cluster.kubectl(&["create", "token", "behind-the-proxy", "--namespace=default", "--duration=24h"])?;
        let server = TlsServer::new(&cluster.server_identity()?)?;
        let url = format!("https://127.0.0.1:{}", server.port());
        let kubeconfig =
            cluster.kubeconfig_with_token(&format!("kubeconfig-of-the-proxy-{}", server.port()), &url, token.trim())?;
        let proxy = Self { desk: Arc::default(), server, config: cluster.anonymous_config(), kubeconfig };
        proxy.restart()?;
        Ok(proxy)
    }

    /// Returns the kubeconfig file that leads through the proxy.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Breaks what this rule says from now on. Of several rules the first that matches counts.
    pub fn inject(&self, rule: Rule) {
        lock(&self.desk.rules).push(rule);
    }

    /// Forgets all rules.
    pub fn lift(&self) {
        lock(&self.desk.rules).clear();
    }

    /// Forgets the rules that are narrowed to requests with this text in what they are [on](Rule::on).
    pub fn lift_on(&self, target: &str) {
        lock(&self.desk.rules).retain(|rule| !rule.is_on(target));
    }

    /// Breaks the connections of all watches that are open.
    pub fn break_watches(&self) {
        std::mem::take(&mut *lock(&self.desk.watches)).cancel();
    }

    /// Ends every connection and takes no new ones: a client is refused by the system.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Tells whether it takes connections.
    pub fn is_running(&self) -> bool {
        self.server.is_running()
    }

    /// Comes back after [`FaultProxy::stop`], at the same address.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when somebody else took the port.
    pub fn restart(&self) -> Result<(), Failure> {
        let passage =
            Arc::new(Passage { desk: self.desk.clone(), config: self.config.clone(), client: OnceCell::new() });
        self.server.start(service_fn(move |request| {
            let passage = passage.clone();
            async move { passage.answer(request).await }
        }))
    }

    /// Returns every request so far, oldest first.
    pub fn requests(&self) -> Vec<ApiRequest> {
        lock(&self.desk.log).clone()
    }

    /// Returns how many requests there were so far.
    pub fn count(&self) -> usize {
        lock(&self.desk.log).len()
    }

    /// Returns every request since `since`, oldest first.
    pub fn requests_since(&self, since: Instant) -> Vec<ApiRequest> {
        lock(&self.desk.log).iter().filter(|request| request.at >= since).cloned().collect()
    }
}

impl Desk {
    /// Writes a request down, and returns its number and the fault that it meets with.
    fn note(&self, mut request: ApiRequest) -> (usize, Option<Fault>) {
        let mut rules = lock(&self.rules);
        request.fault = rules.iter_mut().find_map(|rule| rule.meets(request.verb, &request.target));
        let (mut log, fault) = (lock(&self.log), request.fault);
        log.push(request);
        (log.len() - 1, fault)
    }

    fn note_status(&self, number: usize, status: StatusCode) {
        if let Some(request) = lock(&self.log).get_mut(number) {
            request.status = Some(status);
        }
    }
}

/// Is the way through the proxy since it was last started.
struct Passage {
    desk: Arc<Desk>,
    config: kube::Config,
    client: OnceCell<Client>,
}

impl Passage {
    /// Answers one request. An error breaks the connection.
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        let noted = ApiRequest::of(&head);
        let watches = noted.verb == "watch";
        let (number, fault) = self.desk.note(noted);
        let request = Request::from_parts(head, kube::client::Body::from(body.to_vec()));
        let answer = match fault {
            Some(Fault::Answer(status)) => answer::refusal(status),
            Some(Fault::ComeBackAfter(pause)) => answer::come_back(pause.as_secs()),
            Some(Fault::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                self.pass(request, usize::MAX, watches).await?
            }
            Some(Fault::LoseAnswer) => {
                self.pass(request, usize::MAX, watches).await?.into_body().collect().await?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Some(Fault::CutAfter(bytes)) => self.pass(request, bytes, watches).await?,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::ExpireWatch) => answer::expired_watch(),
            Some(Fault::EndWatch) => answer::ended_watch(),
            None => self.pass(request, usize::MAX, watches).await?,
        };
        self.desk.note_status(number, answer.status());
        Ok(answer)
    }

    /// Passes a request on, and as many bytes of the answer back.
    async fn pass(&self, request: Request<kube::client::Body>, left: usize, watches: bool) -> io::Result<Answer> {
        // Made here, since it belongs to the runtime that it is made in.
        let client =
            self.client.get_or_try_init(async || Client::try_from(self.config.clone())).await.map_err(broken)?;
        let answer = client.send(request).await.map_err(broken)?;
        let broken = if watches { lock(&self.desk.watches).clone() } else { CancellationToken::new() };
        let broken = Box::pin(broken.cancelled_owned());
        Ok(answer.map(|inner| Breakable { inner, left, broken }.boxed_unsync()))
    }
}

fn broken(error: impl std::error::Error) -> io::Error {
    io::Error::other(error.to_string())
}
