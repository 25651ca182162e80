//! Which events start which reconcile: the watches on GitSources and Syncs, and the news from one to the other.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use waxwing_plan::OwnerMark;

use super::context::Context;
use super::{fetch, sync};
use crate::api::{GitSource, REQUESTED_AT, Sync};
use crate::cluster::inventory;

/// A resource of ours as a stream of objects that ask for a reconcile, and a cache of all of them.
pub struct Watched<K: Resource + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone + Default,
{
    cache: Store<K>,
    /// Cancelled once the cache is filled. `Store::wait_until_ready` wakes only the last of several that wait.
    filled: CancellationToken,
    changes: futures::stream::BoxStream<'static, Result<K, watcher::Error>>,
    /// The objects that are gone, as far as the watch sees them go.
    departed: mpsc::UnboundedReceiver<ObjectRef<K>>,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + std::marker::Sync + 'static,
{
    /// Watches all objects of a kind in all namespaces.
    pub fn new(client: Client) -> Self {
        let (cache, writer) = store();
        let events = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff();
        let filled = CancellationToken::new();
        let noted = filled.clone();
        let (departures, departed) = mpsc::unbounded_channel();
        let kept = reflector(writer, events).inspect_ok(move |event| match event {
            watcher::Event::InitDone => noted.cancel(),
            // Nobody may be listening.
            watcher::Event::Delete(object) => drop(departures.send(ObjectRef::from_obj(object))),
            _ => {}
        });
        let changes = kept.applied_objects().predicate_filter(asks_for_work, Default::default());
        Self { cache, filled, changes: changes.boxed(), departed }
    }

    /// Returns the cache.
    pub fn cache(&self) -> Store<K> {
        self.cache.clone()
    }

    /// Returns what is cancelled once the cache is filled.
    pub fn filled(&self) -> CancellationToken {
        self.filled.clone()
    }
}

/// Changes when a user asks for something: a new spec, a request, a deletion. Our own writes of status don't.
fn asks_for_work<K: Resource>(object: &K) -> Option<u64> {
    let metadata = object.meta();
    let requested = metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT));
    let mut hasher = DefaultHasher::new();
    (metadata.generation, requested, metadata.deletion_timestamp.is_some()).hash(&mut hasher);
    Some(hasher.finish())
}

/// Reconciles until `stop` is cancelled, and then until what runs has ended.
pub async fn run(
    context: Arc<Context>,
    sources: Watched<GitSource>,
    syncs: Watched<Sync>,
    news: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    concurrency: u16,
    stop: CancellationToken,
) {
    let config = Config::default().concurrency(concurrency);
    let (sources_filled, syncs_filled) = (sources.filled(), syncs.filled());
    let users = users_of(news, syncs.cache());
    let tidying = release_orphans(context.clone(), syncs.departed, syncs_filled.clone());
    let sources = Controller::for_stream(sources.changes, sources.cache)
        .with_config(config.clone())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            |source, context| fetch::reconcile(source, context).boxed(),
            |_, never, _| match *never {},
            context.clone(),
        );
    let syncs = Controller::for_stream(syncs.changes, syncs.cache)
        .with_config(config)
        .reconcile_on(users)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(|sync, context| sync::reconcile(sync, context).boxed(), |_, never, _| match *never {}, context);
    let tidying = async {
        tokio::select! {
            () = tidying => {}
            () = stop.cancelled() => {}
        }
    };
    tokio::join!(
        tidying,
        sources.for_each(|_| async {}).or_stopped_before(sources_filled, &stop),
        syncs.for_each(|_| async {}).or_stopped_before(syncs_filled, &stop),
    );
}

/// Ends the inventories of Syncs that are gone without having ended themselves: those of earlier, and then of each that goes.
async fn release_orphans(
    context: Arc<Context>,
    mut departed: mpsc::UnboundedReceiver<ObjectRef<Sync>>,
    filled: CancellationToken,
) {
    filled.cancelled().await;
    let mut gone = None;
    loop {
        let alive: HashSet<String> = context.syncs.state().iter().filter_map(|sync| sync.uid()).collect();
        let is_alive = |uid: &str| alive.contains(uid);
        if inventory::release_orphans(&context.client, gone.as_ref(), is_alive).await.is_err() {
            tracing::warn!("failed to look for inventories of Syncs that are gone");
        }
        let Some(sync) = departed.recv().await else { return };
        gone = Some(OwnerMark::new(sync.namespace.unwrap_or_default(), sync.name));
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

/// Turns news of a GitSource into the Syncs that use it.
fn users_of(
    news: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    syncs: Store<Sync>,
) -> impl Stream<Item = ObjectRef<Sync>> + Send + 'static {
    let news = futures::stream::unfold(news, |mut news| async { Some((news.recv().await?, news)) });
    news.flat_map(move |source| {
        let uses = |sync: &Arc<Sync>| sync.namespace() == source.namespace && sync.spec.source_ref.name == source.name;
        let users: Vec<_> = syncs.state().into_iter().filter(uses).map(|sync| ObjectRef::from_obj(&*sync)).collect();
        futures::stream::iter(users)
    })
}
