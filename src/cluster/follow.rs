//! Follows the metadata of all objects that carry our label, and of all namespaces: one watch for each kind in use, for all
//! Syncs, or one for each kind and namespace where the controller works in some namespaces only.
//!
//! A plan takes its live marks from here instead of listing them, and whoever wrote over an object is noticed at once.
//! Metadata only, as the controller; what an event means is decided by the plan that it leads to. While a kind can't be
//! followed, its marks are listed instead, and where the controller may not follow it, each tenant looks (`marks.rs`).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use waxwing_plan::health::needs_health;
use waxwing_plan::{GroupKind, LiveMark, ObjectId, OwnerMark, SYNC_LABEL, Touch};

use super::copies::drop_copies;
use super::discovery::Kinds;
use super::reach::{Place, Reach};
use super::watching::{Listings, pauses};

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
    reach: Reach,
    places: Mutex<HashMap<Place, Arc<Followed>>>,
    news: mpsc::UnboundedSender<News>,
}

/// What is known of some objects.
pub(super) enum Answer {
    /// The marks of those that carry our label.
    All(Vec<(ObjectId, LiveMark)>),
    /// Nothing just now.
    Unsure,
    /// The controller may not follow them.
    Forbidden,
}

/// The objects of one kind, all of them or those of one namespace.
struct Followed {
    place: Place,
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
    /// The controller may not watch; it is tried again after a pause.
    Forbidden,
    /// The API server doesn't have the kind as it was known; who asks for it again follows it anew.
    Gone,
}

struct Known {
    mark: LiveMark,
    /// When our own last apply left it as it is, as [`Listings::now`] counts; none when somebody else did.
    ours: Option<u64>,
}

impl Marks {
    /// Starts with nothing followed; tells of what happens within `reach` through `news`.
    pub fn new(client: Client, reach: Reach, news: mpsc::UnboundedSender<News>) -> Self {
        Self { client, reach, places: Mutex::default(), news }
    }

    /// Returns where an object is followed, none when it is out of reach.
    pub(super) fn place(&self, id: &ObjectId) -> Option<Place> {
        self.reach.place(id)
    }

    /// Tells whether an object that isn't followed is worth asking for as the controller: its role has the namespaces that it
    /// works in.
    pub(super) fn is_of_controller(&self, id: &ObjectId) -> bool {
        is_followed_whole(&id.kind) && self.reach.covers(&id.name)
    }

    /// Returns the marks of those of `wanted`, which are all in `place`, that carry our label. The first question about a place
    /// begins to follow it.
    pub(super) async fn at(&self, kinds: &Kinds, place: &Place, wanted: &[&ObjectId]) -> Answer {
        let Some(followed) = self.follow(kinds, place) else { return Answer::Unsure };
        match followed.settled().await {
            State::Current => Answer::All(followed.pick(wanted)),
            State::Forbidden => Answer::Forbidden,
            State::Starting | State::Broken | State::Gone => Answer::Unsure,
        }
    }

    /// Notes how an apply of ours left an object, so that neither the event of it is news nor an older one counts.
    pub fn note_applied(&self, id: &ObjectId, mark: &LiveMark) {
        if let Some(followed) = self.known(id) {
            followed.note(id, mark);
        }
    }

    /// Notes that an object is being deleted by us, so that its end is no news.
    pub fn note_deleted(&self, id: &ObjectId) {
        if let Some(followed) = self.known(id) {
            followed.marks.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
    }

    /// Tells whether what `news` says of an object is still so, and is not our own doing.
    pub fn is_news(&self, news: &News) -> bool {
        let Some(followed) = self.known(&news.id) else { return true };
        let marks = followed.marks.read().unwrap_or_else(PoisonError::into_inner);
        match (marks.get(&news.id), &news.version) {
            (Some(known), Some(version)) => known.ours.is_none() || is_newer(version, &known.mark.resource_version),
            _ => true,
        }
    }

    /// Returns the resourceVersion that an object is known to have.
    pub fn version_of(&self, id: &ObjectId) -> Option<String> {
        let followed = self.known(id).filter(|followed| *followed.state.borrow() == State::Current)?;
        let marks = followed.marks.read().unwrap_or_else(PoisonError::into_inner);
        marks.get(id).map(|known| known.mark.resource_version.clone())
    }

    fn known(&self, id: &ObjectId) -> Option<Arc<Followed>> {
        let place = self.place(id)?;
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned()
    }

    fn follow(&self, kinds: &Kinds, place: &Place) -> Option<Arc<Followed>> {
        let resource = kinds.resource(&place.kind)?;
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = all.get(place).filter(|begun| *begun.state.borrow() != State::Gone) {
            return Some(begun.clone());
        }
        let api = match &place.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let followed = Arc::new(Followed::new(place.clone(), self.news.clone()));
        tokio::spawn(followed.clone().run(api));
        all.insert(place.clone(), followed.clone());
        Some(followed)
    }
}

impl Followed {
    fn new(place: Place, news: mpsc::UnboundedSender<News>) -> Self {
        let (state, marks) = (watch::Sender::new(State::Starting), RwLock::default());
        Self { place, state, marks, listings: Listings::default(), news }
    }

    /// Waits for the first answer, and returns the state then.
    async fn settled(&self) -> State {
        let mut state = self.state.subscribe();
        match tokio::time::timeout(PATIENCE, state.wait_for(|state| *state != State::Starting)).await {
            Ok(answered) => answered.map_or(State::Broken, |state| *state),
            // Whoever waited looks elsewhere now, so what comes after all is news.
            Err(_) => {
                self.state.send_if_modified(|state| {
                    let waiting = *state == State::Starting;
                    *state = if waiting { State::Broken } else { *state };
                    waiting
                });
                State::Broken
            }
        }
    }

    fn pick(&self, wanted: &[&ObjectId]) -> Vec<(ObjectId, LiveMark)> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        wanted.iter().filter_map(|id| Some(((*id).clone(), marks.get(*id)?.mark.clone()))).collect()
    }

    /// Follows for as long as the API server has the kind. What is known is listed anew after every break.
    async fn run(self: Arc<Self>, api: Api<PartialObjectMeta<DynamicObject>>) {
        let mut pauses = pauses();
        loop {
            let code = self.watch(api.clone()).await.and_then(|error| code_of_watch(&error));
            let state = match code {
                Some(404) => State::Gone,
                Some(403) => State::Forbidden,
                _ => State::Broken,
            };
            let before = self.state.send_replace(state);
            match state {
                State::Gone => return,
                State::Forbidden if before != State::Forbidden => self.say_that_it_is_forbidden(),
                _ => tracing::debug!(kind = %self.place, "the watch broke off"),
            }
            tokio::time::sleep(pauses.next().unwrap_or(PATIENCE)).await;
        }
    }

    fn say_that_it_is_forbidden(&self) {
        tracing::warn!(
            kind = %self.place,
            "the controller may not watch this kind, so drift of its objects is seen at spec.interval only; hint: let it get, list and watch the kind, which is rbac.extraFollow in the chart"
        );
    }

    /// Watches until something is wrong, and returns what.
    async fn watch(&self, api: Api<PartialObjectMeta<DynamicObject>>) -> Option<watcher::Error> {
        let config = watcher::Config::default().streaming_lists();
        let config = if is_followed_whole(&self.place.kind) { config } else { config.labels(SYNC_LABEL) };
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
            Event::InitApply(object) => listed.extend(self.read(object)),
            Event::InitDone => self.replace(std::mem::take(listed)),
            Event::Apply(object) => self.read(object).into_iter().for_each(|(id, mark)| self.put(id, mark)),
            Event::Delete(object) => self.read(object).into_iter().for_each(|(id, mark)| self.remove(&id, &mark)),
        }
    }

    fn read(
        &self,
        PartialObjectMeta { mut metadata, .. }: PartialObjectMeta<DynamicObject>,
    ) -> Option<(ObjectId, LiveMark)> {
        drop_copies(&mut metadata);
        let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone()?);
        let mark = LiveMark::from_metadata(&json!({"metadata": metadata})).ok()?;
        Some((ObjectId { kind: self.place.kind.clone(), namespace, name }, mark))
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
        let matters = touch == Touch::Marks || needs_health(&self.place.kind);
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

/// Returns the HTTP status that ended a watch.
pub fn code_of_watch(error: &watcher::Error) -> Option<u16> {
    use watcher::Error as E;
    match error {
        E::InitialListFailed(cause) | E::WatchStartFailed(cause) | E::WatchFailed(cause) => match cause {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        E::WatchError(status) => Some(status.code),
        E::NoResourceVersion => None,
    }
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
