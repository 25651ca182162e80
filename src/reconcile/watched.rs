//! The watches on GitSources and Syncs: a cache of each, and a stream of those that ask for work.
//!
//! In the whole cluster that is one watch; in some namespaces it is one for each, joined so that they look like one.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, BoxStream, select_all};
use futures::{Stream, StreamExt, TryStreamExt};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::runtime::reflector::{ObjectRef, ObjectRefExtra, Store, store};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watcher::Event;

use crate::api::REQUESTED_AT;
use crate::cluster::{Listings, Reach, code_of_watch, is_newer, objects, pages, watching};

type Events<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

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
    changes: BoxStream<'static, Result<K, watcher::Error>>,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + std::marker::Sync
        + 'static,
{
    /// Watches all objects of a kind within `reach`.
    pub fn new(client: &Client, reach: &Reach) -> Self {
        Self::of(events(client, reach), asks_for_work, None)
    }

    /// Watches all objects of a kind within `reach`; one asks for work when what `asks` makes of it, and of whether it was listed as it
    /// had been before, changes. A new version of one may `keep` from the one before what is the same in both, so that it is in memory once.
    pub fn asking_when(
        client: &Client,
        reach: &Reach,
        asks: fn(&K, bool) -> Option<u64>,
        keep: fn(&mut K, &K),
    ) -> Self {
        Self::of(events(client, reach), asks, Some(keep))
    }
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + std::marker::Sync
        + 'static,
{
    /// Watches all objects of a kind that is in no namespace.
    pub fn of_cluster(client: &Client) -> Self {
        Self::of(watching(Api::all(client.clone()), watcher::Config::default()).boxed(), asks_for_work, None)
    }
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + std::marker::Sync + 'static,
{
    fn of(events: Events<K>, asks: fn(&K, bool) -> Option<u64>, keep: Option<fn(&mut K, &K)>) -> Self {
        let (cache, writer) = store();
        let last = cache.clone();
        let events = events.map_ok(move |mut event| {
            if let (Some(keep), Event::Apply(object) | Event::InitApply(object)) = (keep, &mut event)
                && let Some(last) = last.get(&ObjectRef::from_obj(object))
            {
                keep(object, &last);
            }
            event
        });
        let (filled, listings) = (CancellationToken::new(), Arc::new(Listings::default()));
        let changed = Arc::new(Notify::new());
        let (noted, gone, asked) = (filled.clone(), changed.clone(), changed.clone());
        let (listed, before, rewound) = (listings.clone(), cache.clone(), Arc::new(Rewound::default()));
        let noticed = rewound.clone();
        let kept = reflector(writer, events).inspect_ok(move |event| {
            listed.note(event);
            match event {
                Event::InitDone => {
                    noted.cancel();
                    gone.notify_one();
                }
                Event::Delete(_) => gone.notify_one(),
                Event::InitApply(object) => noticed.note(object, &before),
                Event::Apply(_) | Event::Init => {}
            }
        });
        let asks = move |object: &K| asks(object, rewound.take(object));
        let changes = objects(kept).predicate_filter(asks, Default::default());
        let changes = changes.inspect_ok(move |_| asked.notify_one());
        Self { cache, filled, listings, changed, changes: changes.boxed() }
    }

    /// Returns those that ask for work. A watch that fails is begun again by itself.
    pub(crate) fn asking(self) -> impl Stream<Item = ObjectRef<K>> + Send {
        let name = |object: &K| {
            let mut name = ObjectRef::from_obj(object);
            // Of each that waits there are several, and nobody looks at this.
            name.extra = ObjectRefExtra::default();
            name
        };
        self.changes.filter_map(move |object| std::future::ready(object.ok().as_ref().map(name)))
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

fn events<K>(client: &Client, reach: &Reach) -> Events<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let watched = |api| watching(api, pages()).boxed();
    match reach {
        Reach::Cluster => watched(Api::all(client.clone())),
        Reach::Namespaces(names) => {
            let one = |name: &String| (name.clone(), watched(Api::namespaced(client.clone(), name)));
            joined(names.iter().map(one).collect())
        }
    }
}

/// Joins the events of several namespaces into those of one watch: the first list is whole once each namespace has answered, and
/// what a later list no longer has is deleted.
///
/// A namespace in which the controller may not look counts as one without objects, so that one that is gone, with its Role,
/// doesn't hold up the others.
fn joined<K: Resource<DynamicType = ()> + Clone + Send + 'static>(namespaces: Vec<(String, Events<K>)>) -> Events<K> {
    let mut join = Join::new(namespaces.iter().map(|(name, _)| name.clone()));
    let tagged = namespaces.into_iter().map(|(name, events)| events.map(move |event| (name.clone(), event)).boxed());
    let events = select_all(tagged).map(move |(namespace, event)| {
        let told: Vec<Result<Event<K>, watcher::Error>> = match event {
            Ok(event) => join.take(&namespace, event).into_iter().map(Ok).collect(),
            Err(error) if code_of_watch(&error) == Some(403) => {
                join.forbidden(&namespace, K::plural(&()).as_ref()).into_iter().map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(told)
    });
    events.flatten().boxed()
}

/// What is known of the namespaces whose watches are joined.
struct Join<K> {
    places: HashMap<String, Known<K>>,
    /// Every namespace has answered once.
    whole: bool,
}

struct Known<K> {
    objects: HashMap<String, K>,
    /// The list that is on its way.
    listing: HashMap<String, K>,
    answered: bool,
    forbidden: bool,
}

impl<K: Resource + Clone> Join<K> {
    fn new(names: impl Iterator<Item = String>) -> Self {
        let nothing = || Known { objects: HashMap::new(), listing: HashMap::new(), answered: false, forbidden: false };
        Self { places: names.map(|name| (name, nothing())).collect(), whole: false }
    }

    /// Takes an event of one namespace, and returns those of the whole that follow from it.
    fn take(&mut self, namespace: &str, event: Event<K>) -> Vec<Event<K>> {
        let Some(known) = self.places.get_mut(namespace) else { return Vec::new() };
        let told = match event {
            Event::Init => {
                known.listing.clear();
                return Vec::new();
            }
            Event::InitApply(object) => {
                known.listing.insert(object.name_any(), object);
                return Vec::new();
            }
            Event::InitDone => {
                (known.answered, known.forbidden) = (true, false);
                known.replace()
            }
            Event::Apply(object) => {
                known.objects.insert(object.name_any(), object.clone());
                vec![Event::Apply(object)]
            }
            Event::Delete(object) => {
                known.objects.remove(&object.name_any());
                vec![Event::Delete(object)]
            }
        };
        self.tell(told)
    }

    /// Notes that the controller may not look at a namespace.
    fn forbidden(&mut self, namespace: &str, what: &str) -> Vec<Event<K>> {
        let Some(known) = self.places.get_mut(namespace) else { return Vec::new() };
        if !known.forbidden {
            let hint = "grant the controller the Role of the chart there, or leave the namespace out";
            tracing::warn!(namespace, "the controller may not watch {what} in this namespace; hint: {hint}");
        }
        (known.answered, known.forbidden) = (true, true);
        self.tell(Vec::new())
    }

    /// Holds events back until the whole is known, which is told at once then.
    fn tell(&mut self, events: Vec<Event<K>>) -> Vec<Event<K>> {
        if self.whole {
            return events;
        }
        self.whole = self.places.values().all(|known| known.answered);
        if !self.whole {
            return Vec::new();
        }
        let all = self.places.values().flat_map(|known| known.objects.values().cloned());
        let all = std::iter::once(Event::Init).chain(all.map(Event::InitApply));
        all.chain(std::iter::once(Event::InitDone)).collect()
    }
}

impl<K: Clone> Known<K> {
    /// Takes over a whole list, and returns what is different by it.
    fn replace(&mut self) -> Vec<Event<K>> {
        let before = std::mem::replace(&mut self.objects, std::mem::take(&mut self.listing));
        let gone = before.into_iter().filter(|(name, _)| !self.objects.contains_key(name));
        let gone = gone.map(|(_, object)| Event::Delete(object)).collect::<Vec<_>>();
        gone.into_iter().chain(self.objects.values().cloned().map(Event::Apply)).collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn join() -> Join<ConfigMap> {
        Join::new(["shop", "bank"].map(str::to_owned).into_iter())
    }

    /// Lists a namespace, and returns what follows as `event name`, sorted.
    fn list(join: &mut Join<ConfigMap>, namespace: &str, names: &[&str]) -> Vec<String> {
        let objects = names.iter().map(|name| Event::InitApply(object(name)));
        let events = [Event::Init].into_iter().chain(objects).chain([Event::InitDone]);
        words(events.flat_map(|event| join.take(namespace, event)).collect())
    }

    fn words(events: Vec<Event<ConfigMap>>) -> Vec<String> {
        let mut words: Vec<String> = events.iter().map(ToString::to_string).collect();
        words.sort();
        words
    }

    #[test]
    fn the_first_list_is_whole_once_every_namespace_has_answered() {
        let mut join = join();
        assert!(list(&mut join, "shop", &["a"]).is_empty());
        assert!(join.take("shop", Event::Apply(object("b"))).is_empty());
        assert_eq!(
            list(&mut join, "bank", &["c"]),
            ["Init", "InitApply(a)", "InitApply(b)", "InitApply(c)", "InitDone"]
        );
    }

    #[test]
    fn a_later_list_of_one_namespace_deletes_what_it_no_longer_has_and_leaves_the_others() {
        let mut join = join();
        list(&mut join, "shop", &["a", "b"]);
        list(&mut join, "bank", &["c"]);
        assert_eq!(list(&mut join, "shop", &["b"]), ["Apply(b)", "Delete(a)"]);
        assert_eq!(words(join.take("bank", Event::Delete(object("c")))), ["Delete(c)"]);
    }

    #[test]
    fn a_namespace_that_is_forbidden_does_not_hold_up_the_others() {
        let mut join = join();
        list(&mut join, "shop", &["a"]);
        assert_eq!(words(join.forbidden("bank", "syncs")), ["Init", "InitApply(a)", "InitDone"]);
        assert!(join.forbidden("bank", "syncs").is_empty());
        assert_eq!(list(&mut join, "bank", &["c"]), ["Apply(c)"]);
    }
}
