//! Which events start which reconcile: the watches on GitSources and Syncs, and the news from one to the other.

use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::watched::Watched;
use super::{fetch, forget, measure, sync};
use crate::api::{GitSource, Sync};
use crate::cluster::News;

/// What starts reconciles beside the resources themselves.
pub struct Heard {
    /// GitSources that have news for their Syncs.
    pub sources: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    /// What happened to applied objects.
    pub objects: mpsc::UnboundedReceiver<News>,
    /// The Syncs that this wakes.
    pub woken: mpsc::UnboundedReceiver<ObjectRef<Sync>>,
}

/// Reconciles until `stop` is cancelled, and then until what runs has ended.
pub async fn run(
    context: Arc<Context>,
    sources: Watched<GitSource>,
    syncs: Watched<Sync>,
    heard: Heard,
    concurrency: u16,
    stop: CancellationToken,
) {
    let config = Config::default().concurrency(concurrency);
    let (sources_filled, syncs_filled) = (sources.filled(), syncs.filled());
    let metrics = context.metrics.clone();
    let ask = move |source: &GitSource| measure::source_asks(source, &metrics);
    let metrics = context.metrics.clone();
    let ask_too = move |sync: &Sync| measure::sync_asks(sync, &metrics);
    let metrics = context.metrics.clone();
    let others = futures::stream::select(users_of(heard.sources, syncs.cache()), received(heard.woken));
    let others = others.inspect(move |sync| measure::sync_is_woken(sync, &metrics));
    let sources = Controller::for_stream(sources.changes.inspect_ok(ask), sources.cache)
        .with_config(config.clone())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            |source, context| fetch::reconcile(source, context).boxed(),
            |_, never, _| match *never {},
            context.clone(),
        );
    let beside = context.clone();
    let syncs = Controller::for_stream(syncs.changes.inspect_ok(ask_too), syncs.cache)
        .with_config(config)
        .reconcile_on(others)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(|sync, context| sync::reconcile(sync, context).boxed(), |_, never, _| match *never {}, context);
    let reconciles = futures::future::join(
        sources.for_each(|_| async {}).or_stopped_before(sources_filled, &stop),
        syncs.for_each(|_| async {}).or_stopped_before(syncs_filled, &stop),
    );
    tokio::select! {
        _ = reconciles => {}
        () = forget::run(&beside) => {}
        () = beside.alarms.listen(heard.objects, &beside.marks) => {}
    }
}

/// Ends a controller that is stopped before its cache is filled: it would wait for that for ever, and nothing runs yet.
trait OrStoppedBefore: Future<Output = ()> + Sized {
    async fn or_stopped_before(self, filled: CancellationToken, stop: &CancellationToken) {
        let stopped_early = async {
            stop.cancelled().await;
            if filled.is_cancelled() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self => {}
            () = stopped_early => {}
        }
    }
}

impl<F: Future<Output = ()>> OrStoppedBefore for F {}

fn received<T: Send + 'static>(receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) })
}

/// Turns news of a GitSource into the Syncs that use it.
fn users_of(
    news: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    syncs: Store<Sync>,
) -> impl Stream<Item = ObjectRef<Sync>> + Send + 'static {
    received(news).flat_map(move |source| {
        let uses = |sync: &Arc<Sync>| sync.namespace() == source.namespace && sync.spec.source_ref.name == source.name;
        let users: Vec<_> = syncs.state().into_iter().filter(uses).map(|sync| ObjectRef::from_obj(&*sync)).collect();
        futures::stream::iter(users)
    })
}
