//! Follows the metadata of all objects that carry our label, and of all namespaces: one watch for each kind in use, for all
//! Syncs.
//!
//! A plan takes its live marks from here instead of listing them, and whoever wrote over an object is noticed at once.
//! Metadata only, as the controller; what an event means is decided by the plan that it leads to. While a kind can't be
//! followed, its marks are listed instead (`marks.rs`).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use waxwing_plan::health::needs_health;
use waxwing_plan::{GroupKind, LiveMark, ObjectId, OwnerMark, SYNC_LABEL, Touch};

use super::discovery::Kinds;
use super::watching::Listings;

/// How long a plan waits for the first answer about a kind before it lists for itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something happened to an object of a Sync that its next reconcile should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The Sync that the object is marked with, or was before.
    pub owner: OwnerMark,
    /// The object.
    pub id: ObjectId,
    /// The resourceVersion that it has now; none when it is gone.
    pub version: Option<String>,
    /// What of it was touched.
    pub touch: Touch,
}

/// The live marks of all objects that carry our label, kind by kind as they come into use.
pub struct Marks {
    client: Client,
    kinds: Mutex<HashMap<GroupKind, Arc<Followed>>>,
    news: mpsc::UnboundedSender<News>,
}

/// The objects of one kind.
struct Followed {
    kind: GroupKind,
    state: watch::Sender<State>,
    marks: RwLock<HashMap<ObjectId, Known>>,
    listings: Listings,
    news: mpsc::UnboundedSender<News>,
}

/// How well a kind is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first list is on its way.
    Starting,
    /// What is known is what the API server last said.
    Current,
    /// The watch is broken; it is begun anew after a pause.
    Broken,
    /// The API server doesn't have the kind as it was known; who asks for it again follows it anew.
    Gone,
}

struct Known {
    mark: LiveMark,
    /// When our own last apply left it as it is, as [`Listings::now`] counts; none when somebody else did.
    ours: Option<u64>,
}

impl Marks {
    /// Starts with nothing followed; tells of what happens through `news`.
    pub fn new(client: Client, news: mpsc::UnboundedSender<News>) -> Self {
        Self { client, kinds: Mutex::default(), news }
    }

    /// Returns the marks of those of `wanted` that are of `kind` and carry our label, none while the kind can't be followed.
    /// The first question about a kind begins to follow it.
    pub(super) async fn of_kind(
        &self,
        kinds: &Kinds,
        kind: &GroupKind,
        wanted: &BTreeSet<ObjectId>,
    ) -> Option<Vec<(ObjectId, LiveMark)>> {
        let followed = self.follow(kinds, kind)?;
        followed.is_current().await.then(|| followed.pick(wanted))
    }

    /// Notes how an apply of ours left an object, so that neither the event of it is news nor an older one counts.
    pub fn note_applied(&self, id: &ObjectId, mark: &LiveMark) {
        if let Some(followed) = self.known(&id.kind) {
            followed.note(id, mark);
        }
    }

    /// Notes that an object is being deleted by us, so that its end is no news.
    pub fn note_deleted(&self, id: &ObjectId) {
        if let Some(followed) = self.known(&id.kind) {
            followed.marks.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
    }

    /// Tells whether what `news` says of an object is still so, and is not our own doing.
    pub fn is_news(&self, news: &News) -> bool {
        let Some(followed) = self.known(&news.id.kind) else { return true };
        let marks = followed.marks.read().unwrap_or_else(PoisonError::into_inner);
        match (marks.get(&news.id), &news.version) {
            (Some(known), Some(version)) => known.ours.is_none() || is_newer(version, &known.mark.resource_version),
            _ => true,
        }
    }

    /// Returns the resourceVersion that an object is known to have.
    pub fn version_of(&self, id: &ObjectId) -> Option<String> {
        let followed = self.known(&id.kind).filter(|followed| *followed.state.borrow() == State::Current)?;
        let marks = followed.marks.read().unwrap_or_else(PoisonError::into_inner);
        marks.get(id).map(|known| known.mark.resource_version.clone())
    }

    fn known(&self, kind: &GroupKind) -> Option<Arc<Followed>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    fn follow(&self, kinds: &Kinds, kind: &GroupKind) -> Option<Arc<Followed>> {
        let resource = kinds.resource(kind)?;
        let mut all = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = all.get(kind).filter(|begun| *begun.state.borrow() != State::Gone) {
            return Some(begun.clone());
        }
        let followed = Arc::new(Followed::new(kind.clone(), self.news.clone()));
        tokio::spawn(followed.clone().run(Api::all_with(self.client.clone(), &resource)));
        all.insert(kind.clone(), followed.clone());
        Some(followed)
    }
}

impl Followed {
    fn new(kind: GroupKind, news: mpsc::UnboundedSender<News>) -> Self {
        Self {
            kind,
            state: watch::Sender::new(State::Starting),
            marks: RwLock::default(),
            listings: Listings::default(),
            news,
        }
    }

    /// Waits for the first answer, and tells whether what is known can be relied on.
    async fn is_current(&self) -> bool {
        let mut state = self.state.subscribe();
        match tokio::time::timeout(PATIENCE, state.wait_for(|state| *state != State::Starting)).await {
            Ok(answered) => answered.is_ok_and(|state| *state == State::Current),
            // Whoever waited looks elsewhere now, so what comes after all is news.
            Err(_) => {
                self.state.send_if_modified(|state| {
                    let waiting = *state == State::Starting;
                    *state = if waiting { State::Broken } else { *state };
                    waiting
                });
                false
            }
        }
    }

    fn pick(&self, wanted: &BTreeSet<ObjectId>) -> Vec<(ObjectId, LiveMark)> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = wanted.iter().filter(|id| id.kind == self.kind);
        of_kind.filter_map(|id| Some((id.clone(), marks.get(id)?.mark.clone()))).collect()
    }

    /// Follows for as long as the API server has the kind. What is known is listed anew after every break.
    async fn run(self: Arc<Self>, api: Api<PartialObjectMeta<DynamicObject>>) {
        let mut pauses = DefaultBackoff::default();
        loop {
            if self.watch(api.clone()).await.is_some_and(|error| is_not_found(&error)) {
                self.state.send_replace(State::Gone);
                return;
            }
            self.state.send_replace(State::Broken);
            tracing::debug!(kind = %self.kind, "the watch broke off");
            tokio::time::sleep(pauses.next().unwrap_or(PATIENCE)).await;
        }
    }

    /// Watches until something is wrong, and returns what.
    async fn watch(&self, api: Api<PartialObjectMeta<DynamicObject>>) -> Option<watcher::Error> {
        let config = watcher::Config::default().streaming_lists();
        let config = if is_followed_whole(&self.kind) { config } else { config.labels(SYNC_LABEL) };
        let mut events = std::pin::pin!(watcher(api, config));
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Err(error) => return Some(error),
                Ok(event) => self.take(event, &mut listed),
            }
        }
        None
    }

    fn take(&self, event: Event<PartialObjectMeta<DynamicObject>>, listed: &mut HashMap<ObjectId, LiveMark>) {
        self.listings.note(&event);
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => listed.extend(self.read(&object)),
            Event::InitDone => self.replace(std::mem::take(listed)),
            Event::Apply(object) => self.read(&object).into_iter().for_each(|(id, mark)| self.put(id, mark)),
            Event::Delete(object) => self.read(&object).into_iter().for_each(|(id, mark)| self.remove(&id, &mark)),
        }
    }

    fn read(&self, object: &PartialObjectMeta<DynamicObject>) -> Option<(ObjectId, LiveMark)> {
        let (namespace, name) = (object.metadata.namespace.clone(), object.metadata.name.clone()?);
        let mark = LiveMark::from_metadata(&json!({"metadata": object.metadata})).ok()?;
        Some((ObjectId { kind: self.kind.clone(), namespace, name }, mark))
    }

    /// Takes over a whole list: what is in it was written perhaps, and what isn't is gone, but for what we applied since the
    /// list was begun. The first one is what plans wait for, and no news.
    fn replace(&self, listed: HashMap<ObjectId, LiveMark>) {
        if *self.state.borrow() == State::Starting {
            let known = listed.into_iter().map(|(id, mark)| (id, Known { mark, ours: None }));
            self.marks.write().unwrap_or_else(PoisonError::into_inner).extend(known);
            self.state.send_replace(State::Current);
            return;
        }
        let known = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let is_older = |known: &Known| known.ours.is_none_or(|then| self.listings.include(then));
        let gone = known.iter().filter(|(id, known)| is_older(known) && !listed.contains_key(id));
        let gone: Vec<_> = gone.map(|(id, known)| (id.clone(), known.mark.clone())).collect();
        let newer: BTreeSet<_> = known.iter().filter(|(_, known)| !is_older(known)).map(|(id, _)| id.clone()).collect();
        drop(known);
        gone.iter().for_each(|(id, mark)| self.remove(id, mark));
        for (id, mark) in listed {
            // Also what is older: then the API server went back in time.
            let counts = if newer.contains(&id) { is_newer } else { |listed: &str, known: &str| listed != known };
            self.put_if(counts, id, mark);
        }
        self.state.send_replace(State::Current);
    }

    /// Takes over what an event says of an object, unless something newer is known.
    fn put(&self, id: ObjectId, mark: LiveMark) {
        self.put_if(is_newer, id, mark);
    }

    /// Takes over how an object is if `counts` says so of its resourceVersion and the known one, and tells whom it matters to.
    fn put_if(&self, counts: fn(&str, &str) -> bool, id: ObjectId, mut mark: LiveMark) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let before = marks.get(&id);
        if before.is_some_and(|before| !counts(&mark.resource_version, &before.mark.resource_version)) {
            return;
        }
        let touch = before.map_or(Touch::Marks, |before| mark.follows(&before.mark));
        let matters = touch == Touch::Marks || needs_health(&self.kind);
        let owners = [Some(&mark), before.map(|before| &before.mark)].map(|mark| mark.and_then(owner));
        let version = Some(mark.resource_version.clone());
        for owner in owners.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().filter(|_| matters) {
            self.tell(News { owner, id: id.clone(), version: version.clone(), touch });
        }
        marks.insert(id, Known { mark, ours: None });
    }

    /// Forgets an object that is gone, or that lost our label.
    fn remove(&self, id: &ObjectId, last: &LiveMark) {
        let removed = self.marks.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        let owner = removed.and_then(|known| owner(&known.mark).or_else(|| owner(last)));
        if let Some(owner) = owner {
            self.tell(News { owner, id: id.clone(), version: None, touch: Touch::Marks });
        }
    }

    fn note(&self, id: &ObjectId, mark: &LiveMark) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let known = marks.get(id).map(|known| known.mark.resource_version.as_str());
        if known.is_none_or(|known| !is_newer(known, &mark.resource_version)) {
            marks.insert(id.clone(), Known { mark: mark.clone(), ours: Some(self.listings.now()) });
        }
    }

    fn tell(&self, news: News) {
        // The receiver lives as long as reconciles run; after that nobody needs to know.
        let _ = self.news.send(news);
    }
}

/// Of namespaces all are followed: every plan asks about those that it puts something into, and few of them are ours.
fn is_followed_whole(kind: &GroupKind) -> bool {
    *kind == GroupKind::new("", "Namespace")
}

fn is_not_found(error: &watcher::Error) -> bool {
    use watcher::Error as E;
    let (E::InitialListFailed(cause) | E::WatchStartFailed(cause) | E::WatchFailed(cause)) = error else {
        return false;
    };
    matches!(cause, kube::Error::Api(status) if status.code == 404)
}

fn owner(mark: &LiveMark) -> Option<OwnerMark> {
    mark.owner.as_ref()?.name.clone()
}

/// Compares two resourceVersions of one object. They are numbers that grow (Kubernetes KEP-5504); what isn't one counts as newer
/// when it differs, which costs a look more.
pub fn is_newer(version: &str, known: &str) -> bool {
    match (version.parse::<u64>(), known.parse::<u64>()) {
        (Ok(version), Ok(known)) => version > known,
        _ => version != known,
    }
}
