//! Which events start which reconcile: the watches on GitSources and Syncs, and the news from one to the other.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::{fetch, forget, measure, sync};
use crate::api::{GitSource, REQUESTED_AT, Sync};
use crate::cluster::{Listings, News, is_newer, objects, watching};

/// A resource of ours as a stream of objects that ask for a reconcile, and a cache of all of them.
pub struct Watched<K: Resource + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone + Default,
{
    cache: Store<K>,
    /// Cancelled once the cache is filled. `Store::wait_until_ready` wakes only the last of several that wait.
    filled: CancellationToken,
    listings: Arc<Listings>,
    changed: Arc<Notify>,
    changes: futures::stream::BoxStream<'static, Result<K, watcher::Error>>,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + std::marker::Sync + 'static,
{
    /// Watches all objects of a kind in all namespaces.
    pub fn new(client: Client) -> Self {
        let (cache, writer) = store();
        let events = watching(Api::<K>::all(client), watcher::Config::default());
        let (filled, listings) = (CancellationToken::new(), Arc::new(Listings::default()));
        let changed = Arc::new(Notify::new());
        let (noted, gone, asked) = (filled.clone(), changed.clone(), changed.clone());
        let (listed, before, rewound) = (listings.clone(), cache.clone(), Arc::new(Rewound::default()));
        let noticed = rewound.clone();
        let kept = reflector(writer, events).inspect_ok(move |event| {
            listed.note(event);
            match event {
                watcher::Event::InitDone => {
                    noted.cancel();
                    gone.notify_one();
                }
                watcher::Event::Delete(_) => gone.notify_one(),
                watcher::Event::InitApply(object) => noticed.note(object, &before),
                watcher::Event::Apply(_) | watcher::Event::Init => {}
            }
        });
        let asks = move |object: &K| asks_for_work(object, rewound.take(object));
        let changes = objects(kept).predicate_filter(asks, Default::default());
        let changes = changes.inspect_ok(move |_| asked.notify_one());
        Self { cache, filled, listings, changed, changes: changes.boxed() }
    }

    /// Returns the cache.
    pub fn cache(&self) -> Store<K> {
        self.cache.clone()
    }

    /// Returns what is cancelled once the cache is filled.
    pub fn filled(&self) -> CancellationToken {
        self.filled.clone()
    }

    /// Returns what counts how often all were listed.
    pub fn listings(&self) -> Arc<Listings> {
        self.listings.clone()
    }

    /// Returns what is notified, for one listener, when the cache has other objects or other specs than before.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }
}

/// The objects that were listed as they had been before: the API server was restored from a backup.
struct Rewound<K: Resource<DynamicType = ()>>(Mutex<HashSet<ObjectRef<K>>>);

impl<K: Resource<DynamicType = ()>> Default for Rewound<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Rewound<K> {
    /// Notes an object that is listed, if `before` has it as it was later.
    fn note(&self, object: &K, before: &Store<K>) {
        let (name, version) = (ObjectRef::from_obj(object), object.resource_version().unwrap_or_default());
        let known = before.get(&name).and_then(|known| known.resource_version());
        if known.is_some_and(|known| is_newer(&known, &version)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        }
    }

    fn take(&self, object: &K) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ObjectRef::from_obj(object))
    }
}

/// Changes when there is something to do: a new spec, a request, a deletion, or a status that is an old one again. Our own writes
/// of status don't.
fn asks_for_work<K: Resource>(object: &K, is_rewound: bool) -> Option<u64> {
    let metadata = object.meta();
    let requested = metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT));
    let mut hasher = DefaultHasher::new();
    (metadata.generation, requested, metadata.deletion_timestamp.is_some(), is_rewound).hash(&mut hasher);
    Some(hasher.finish())
}

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
