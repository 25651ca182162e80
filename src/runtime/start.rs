//! Puts the parts together, runs them, and stops them in order.

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::runtime::events::Reporter;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use waxwing_keys::service_name::{KEY_SERVICES, STORES};
use waxwing_keys::{DataKeyCache, Origin};

use super::args::Args;
use super::lease::{Election, LAST_ANSWERS, Leading, LeaseError, Place, TimingError};
use crate::api::{GitSource, Sync};
use crate::cluster::{ApiServer, Fence, Inventories, KindsCache, Marks, Reach};
use crate::metrics::Metrics;
use crate::reconcile::{
    self, Accounts, Alarms, BackendStandings, Contests, Context, Endings, HealthCache, Heard, KeyServices, LastGood,
    Leases, Logins, Paces, RenderCache, Retries, Revisions, Rivals, Statuses, Tries, Untold, VersionMemory, Waits,
    Watched, WatchedBackends,
};
use crate::render::find_program;
use crate::sealed_objects;
use crate::sealing::{Keys, SealingError, installation_salt};
use crate::server::{self, Front, Reviewer, ServeError, Shown};
use crate::source::{Allowed, Settings, SourceError, Store};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Somewhat longer than the API server lets a watch of ours live.
const LONGEST_SILENCE: Duration = Duration::from_secs(5 * 60);

/// The most data keys that are kept: some two megabytes.
const MOST_DATA_KEYS: usize = 10_000;

/// Why the controller can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no configuration of a cluster.
    #[error("failed to find out which cluster to work on: neither a service account nor a kubeconfig is usable")]
    Configuration,
    /// No connection can be made from the configuration.
    #[error("failed to set up the connection to the cluster")]
    Connection,
    /// The times of the lease don't make sense together.
    #[error("failed to make sense of the lease's times")]
    Timing(#[from] TimingError),
    /// The lease can't be had, or another controller has it now.
    #[error("failed to lead")]
    Lease(#[from] LeaseError),
    /// The sealing keys can't be had.
    #[error("failed to get the sealing keys")]
    Sealing(#[from] SealingError),
    /// The folder for repositories can't be used.
    #[error("failed to open the folder for Git repositories")]
    Store(#[source] SourceError),
    /// The HTTP interface can't be served.
    #[error("failed to serve HTTP")]
    Serve(#[from] ServeError),
    /// Signals can't be received.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

impl StartError {
    /// Tells whether the lease is lost, so that there is nothing wrong with starting anew.
    pub fn is_lost_lease(&self) -> bool {
        matches!(self, Self::Lease(LeaseError::Lost { .. }))
    }
}

/// Runs the controller until SIGTERM or SIGINT, then lets what runs end for a while.
///
/// Its parts stand boxed one in the other: as one value the whole controller would be moved over the stack of the first thread, which
/// keeps 1.2 MiB of it for good.
///
/// # Errors
///
/// See [`StartError`].
pub async fn start(args: Args) -> Result<(), StartError> {
    let stop = stop_on_signal()?;
    let cluster = Cluster::reach(&args).await?;
    let ended = match cluster.election.clone() {
        None => Box::pin(work(&args, &cluster, &stop)).await,
        Some(election) => {
            // In a task of its own, so that no work is in its way.
            let taking_part = tokio::spawn({
                let election = election.clone();
                async move { election.run().await }
            });
            let ended = tokio::select! {
                biased;
                ended = Box::pin(work(&args, &cluster, &stop)) => ended,
                lost = taking_part => match lost {
                    Ok(lost) => Err(lost.into()),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
            };
            election.end().await;
            ended
        }
    };
    ended.inspect(|()| tracing::info!("stopped"))
}

/// Works until `stop` is cancelled, from when it is known who leads.
async fn work(args: &Args, cluster: &Cluster, stop: &CancellationToken) -> Result<(), StartError> {
    let (front, ended) = (Front::new(cluster.metrics.clone()), CancellationToken::new());
    let mut serving = pin!(server::serve(args.listen, front.clone(), ended.clone().cancelled_owned()));
    let prepared = async {
        cluster.standing.settled.cancelled().await;
        Box::pin(Parts::prepare(args, cluster, stop)).await
    };
    let parts = tokio::select! {
        parts = prepared => parts?,
        served = &mut serving => return Ok(served?),
        () = stop.cancelled() => return Ok(()),
    };
    Box::pin(parts.run(args, cluster, stop.clone(), Serving { front, serving, ended })).await
}

/// The HTTP interface, which is there before what it shows.
struct Serving<'a, S> {
    front: Front,
    serving: Pin<&'a mut S>,
    /// Ends it when it is cancelled.
    ended: CancellationToken,
}

/// How the cluster is reached, and whether as the controller that leads.
struct Cluster {
    server: ApiServer,
    metrics: Arc<Metrics>,
    fence: Arc<Fence>,
    standing: Leading,
    /// None where this controller leads without asking.
    election: Option<Arc<Election>>,
}

impl Cluster {
    async fn reach(args: &Args) -> Result<Self, StartError> {
        let timing = args.lease.timing()?;
        let config = configuration().await?;
        let metrics = Metrics::new(VERSION, &KEY_SERVICES, &STORES);
        let metrics = Arc::new(if args.sealing.sealed_secrets {
            metrics.with_sealed_objects(VERSION, !args.sealing.metrics_omit_secret_labels)
        } else {
            metrics
        });
        let fence = if args.lease.leader_election { Fence::closed() } else { Fence::open() };
        let server = ApiServer::new(config, metrics.clone(), fence.clone());
        if !args.lease.leader_election {
            let standing = Leading::default();
            standing.settled.cancel();
            standing.leading.cancel();
            metrics.leads(true);
            return Ok(Self { server, metrics, fence, standing, election: None });
        }
        let place = Place { namespace: args.namespace.clone(), name: args.lease.lease_name.clone() };
        let election = Arc::new(Election::new(&server, place, timing, fence.clone(), metrics.clone())?);
        Ok(Self { server, metrics, fence, standing: election.standing(), election: Some(election) })
    }

    /// Gives up the lease, once nothing writes any more.
    async fn let_others_lead(&self) {
        if let Some(election) = &self.election {
            election.end().await;
        }
    }
}

/// What works together until the controller is stopped.
struct Parts {
    context: Arc<Context>,
    keys: Arc<Keys>,
    sources: Watched<GitSource>,
    syncs: Watched<Sync>,
    backends: WatchedBackends,
    heard: Heard,
    sealed_objects: Option<sealed_objects::Parts>,
}

impl Parts {
    async fn prepare(args: &Args, cluster: &Cluster, stop: &CancellationToken) -> Result<Self, StartError> {
        let Cluster { server, metrics, fence, standing, .. } = cluster;
        let (metrics, leading) = (metrics.clone(), standing.leading.clone());
        let client = server.connect().map_err(|_| StartError::Connection)?;
        let settings = args.sealing.settings(&args.namespace);
        let keys = Arc::new(Keys::load_or_create(client.clone(), settings, fence.clone()).await?);
        let salt = installation_salt(&client, &args.namespace, fence).await?;
        let reach = Reach::of(&args.watch_namespaces);
        let sealed_objects = args.sealing.sealed_secrets.then(|| sealed_objects::Parts {
            client: client.clone(),
            server: server.clone(),
            reach: reach.clone(),
            keys: keys.clone(),
            metrics: metrics.clone(),
            leading: leading.clone(),
        });
        let sources = Watched::<GitSource>::new(&client, &reach);
        let syncs = Watched::<Sync>::new(&client, &reach);
        let backends = WatchedBackends { own: Watched::new(&client, &reach), of_cluster: Watched::of_cluster(&client) };
        let (news, of_sources) = mpsc::unbounded_channel();
        let (standings, of_backends) = BackendStandings::new(&backends);
        let (touches, of_objects) = mpsc::unbounded_channel();
        let (wake, woken) = mpsc::unbounded_channel();
        let context = Arc::new(Context {
            client: client.clone(),
            server: server.clone(),
            kinds: KindsCache::new(client.clone()),
            inventories: Inventories::follow(client.clone(), reach.clone()),
            marks: Marks::new(client, reach.clone(), touches),
            reach,
            alarms: Alarms::new(wake),
            contests: Contests::default(),
            statuses: Statuses::new(syncs.listings()),
            untold: Untold::default(),
            source_statuses: Statuses::new(sources.listings()),
            health: HealthCache::default(),
            store: Store::open(Settings::new(&args.state_dir)).map_err(StartError::Store)?,
            allowed: Allowed { file: args.allow_file_sources, http: args.allow_http_sources },
            kustomize: kustomize(args),
            revisions: Revisions::default(),
            sources: sources.cache(),
            sources_filled: sources.filled(),
            sources_changed: sources.changed(),
            syncs: syncs.cache(),
            syncs_filled: syncs.filled(),
            syncs_changed: syncs.changed(),
            accounts: Accounts::default(),
            rendered: RenderCache::default(),
            retries: Retries::default(),
            last_good: LastGood::default(),
            rivals: Rivals::default(),
            tries: Tries::default(),
            waits: Waits::default(),
            endings: Endings::default(),
            keys: keys.clone(),
            key_services: key_services(args),
            data_keys: DataKeyCache::new(MOST_DATA_KEYS, Duration::from_secs(args.data_key_lifetime.into())),
            backends: standings,
            logins: Arc::new(Logins::default()),
            leases: Leases::default(),
            paces: Paces::default(),
            versions: VersionMemory::default(),
            salt,
            metrics,
            reporter: Reporter { controller: "waxwing".to_owned(), instance: None },
            news,
            leading,
            stop: stop.clone(),
        });
        let heard = Heard { sources: of_sources, objects: of_objects, woken, backends: of_backends };
        Ok(Self { context, keys, sources, syncs, backends, heard, sealed_objects })
    }

    /// Works until `stop` is cancelled and what runs has ended, or has had its time. Until then HTTP is served, so that a probe sees that
    /// the controller is stopping.
    async fn run(
        self,
        args: &Args,
        cluster: &Cluster,
        stop: CancellationToken,
        Serving { front, serving, ended }: Serving<'_, impl Future<Output = Result<(), ServeError>>>,
    ) -> Result<(), StartError> {
        let Self { context, keys, sources, syncs, backends, heard, sealed_objects } = self;
        let ready = Arc::new(AtomicBool::new(false));
        front.show(Shown {
            keys: keys.clone(),
            ready: ready.clone(),
            metrics: context.metrics.clone(),
            reviewer: reviewer(&context),
            resealing: args.sealing.rate(),
        });
        let readiness = show_readiness(ready, (sources.filled(), syncs.filled()), stop.clone());
        let logins = context.logins.clone();
        let working = async {
            let objects = async {
                if let Some(parts) = sealed_objects {
                    Box::pin(sealed_objects::run(parts, stop.clone())).await;
                }
            };
            let syncs =
                Box::pin(reconcile::run(context, sources, syncs, backends, heard, args.concurrency, stop.clone()));
            tokio::select! {
                _ = async { tokio::join!(syncs, objects) } => tracing::debug!("all reconciles have ended"),
                () = cut_off(&stop, args.lease.shutdown_grace, &cluster.fence) => {
                    tracing::info!("what still runs is cut off; it is done again by whoever leads next");
                }
                never = readiness => match never {},
            }
            cluster.let_others_lead().await;
            logins.end().await;
            ended.cancel();
            Ok(())
        };
        tokio::select! {
            both = async { tokio::try_join!(serving, working) } => both.map(|_| ()).map_err(StartError::Serve),
            () = keys.follow() => Ok(()),
            () = renew(&keys, &cluster.standing.leading) => Ok(()),
        }
    }
}

/// Returns what connects for questions about callers, which every controller asks, whichever leads.
fn reviewer(context: &Context) -> Reviewer {
    let server = context.server.clone();
    Arc::new(move || server.connect_unfenced())
}

/// Renews the sealing keys from when this controller leads.
async fn renew(keys: &Keys, leading: &CancellationToken) {
    leading.cancelled().await;
    keys.renew().await;
}

/// Waits until it is so long since the controller was told to stop, and then for the answers to what is on its way. Who works goes on
/// meanwhile, since it is he who hears them, but nothing further is written.
async fn cut_off(stop: &CancellationToken, grace: Duration, fence: &Fence) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
    fence.drain(LAST_ANSWERS).await;
}

/// Says that the controller is ready from when its caches are filled until it is to stop.
async fn show_readiness(
    ready: Arc<AtomicBool>,
    caches: (CancellationToken, CancellationToken),
    stop: CancellationToken,
) -> Infallible {
    let filled = async { tokio::join!(caches.0.cancelled(), caches.1.cancelled()) };
    tokio::select! {
        _ = filled => ready.store(true, Ordering::Relaxed),
        () = stop.cancelled() => {}
    }
    stop.cancelled().await;
    ready.store(false, Ordering::Relaxed);
    std::future::pending().await
}

/// Returns how to reach the cluster. What fails is tried again by the reconcile that it fails, and seen in its status;
/// the client's own retries would hold it for minutes. A connection on which nothing comes for longer than a watch may be
/// silent is dead: a server that vanished without a word would be waited for for ever.
async fn configuration() -> Result<kube::Config, StartError> {
    let mut config = kube::Config::infer().await.map_err(|_| StartError::Configuration)?;
    config.default_retry = false;
    config.read_timeout = Some(LONGEST_SILENCE);
    config.reset_reader_on_write = true;
    Ok(config)
}

fn key_services(args: &Args) -> KeyServices {
    let text = |origin: &Option<Origin>| origin.as_ref().map(Origin::to_string);
    KeyServices {
        origins: args.backend_origins.clone(),
        aws: text(&args.aws_endpoint),
        gcp: text(&args.gcp_endpoint),
        azure_login: text(&args.azure_login_endpoint),
    }
}

/// Returns the Kustomize program. Without one the controller still works for plain folders.
fn kustomize(args: &Args) -> PathBuf {
    let path = std::env::var_os("PATH");
    find_program(&args.kustomize, path.as_deref()).unwrap_or_else(|| {
        tracing::warn!(program = %args.kustomize.display(), "there is no such program: kustomizations can't be built");
        args.kustomize.clone()
    })
}

fn stop_on_signal() -> Result<CancellationToken, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; what runs may end");
        token.cancel();
    });
    Ok(stop)
}
