//! The inventories of all Syncs as a watch tells of them, so that a sync does not read again what it wrote itself.
//!
//! Nobody else writes them, but anybody may, so what is kept is what the API server said last. A write of ours is kept at once.
//! While the watch is broken, and where the controller works in some namespaces only, inventories are read as they are needed
//! (`inventory.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures::StreamExt;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use waxwing_plan::inventory::Shard;
use waxwing_plan::{ObjectId, OwnerMark};

use super::call::CallError;
use super::follow::is_newer;
use super::inventory::{self, Record, Stored, SyncId};
use super::reach::Reach;
use super::watching::pauses;

/// How long a sync waits for the first answer before it reads for itself, and the longest pause between two watches.
const PATIENCE: Duration = Duration::from_secs(10);

/// The records of all Syncs.
pub struct Inventories {
    client: Client,
    reach: Reach,
    kept: RwLock<Kept>,
    state: watch::Sender<State>,
}

/// Whether what is kept can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first list is on its way.
    Starting,
    /// It is what the API server last said.
    Current,
    /// The watch is broken, or lists anew.
    Broken,
}

/// The shards of each Sync, by number.
type Kept = HashMap<OwnerMark, BTreeMap<u32, Known>>;

/// What is known of one shard.
struct Known {
    version: String,
    content: Content,
    /// We wrote or deleted it after the watch began to list, so that the list may not have it as it is.
    written: bool,
}

enum Content {
    /// It says this about the Sync with this uid.
    Record { uid: String, shard: Arc<Shard> },
    /// Somebody made something of it that can't be read.
    Malformed,
    /// We deleted it, and the watch has not told yet.
    Deleted,
}

impl State {
    /// Nobody waits for a list that isn't the first one.
    fn while_listing(self) -> Self {
        if self == Self::Starting { Self::Starting } else { Self::Broken }
    }
}

impl Inventories {
    /// Starts to follow all inventories, if they are within reach.
    pub fn follow(client: Client, reach: Reach) -> Arc<Self> {
        let (kept, state) = (RwLock::default(), watch::Sender::new(State::Starting));
        let followed = Arc::new(Self { client, reach, kept, state });
        match followed.reach {
            Reach::Cluster => drop(tokio::spawn(followed.clone().run())),
            Reach::Namespaces(_) => drop(followed.state.send_replace(State::Broken)),
        }
        followed
    }

    /// Returns the connection that inventories are read and written over.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the inventory of a Sync; an empty one where there is none.
    ///
    /// # Errors
    ///
    /// Fails when it can't be read.
    pub async fn load(&self, sync: &SyncId) -> Result<Stored, CallError> {
        match self.is_current().await {
            true => self.kept_of(sync),
            false => inventory::load(&self.client, sync).await,
        }
    }

    /// Returns which Syncs, other than `sync`, have one of `objects` in their inventories. What somebody wrote by hand and can't
    /// be read is passed over: a tenant must not be able to hold up the others.
    ///
    /// # Errors
    ///
    /// Fails when they can't be read.
    pub async fn claimed_by_others(
        &self,
        sync: &SyncId,
        objects: &BTreeSet<ObjectId>,
    ) -> Result<Vec<(ObjectId, OwnerMark)>, CallError> {
        if !self.is_current().await {
            return inventory::claimed_by_others(&self.client, &self.reach, sync, objects).await;
        }
        let kept = self.read();
        let others = kept.iter().filter(|(mark, _)| **mark != sync.mark);
        let shards = others.flat_map(|(mark, shards)| shards.values().map(move |known| (mark, known)));
        let entries = shards.flat_map(|(mark, known)| known.entries().map(move |entry| (&entry.id, mark)));
        let claimed = entries.filter(|(id, _)| objects.contains(id));
        Ok(claimed.map(|(id, mark)| (id.clone(), mark.clone())).collect())
    }

    /// Notes a write of ours.
    pub(super) fn note_written(&self, sync: &SyncId, shard: &Shard, version: &str) {
        let content = Content::Record { uid: sync.uid.clone(), shard: Arc::new(shard.clone()) };
        let known = Known { version: version.to_owned(), content, written: true };
        let mut kept = self.write();
        let shards = kept.entry(sync.mark.clone()).or_default();
        if shards.get(&shard.number).is_none_or(|before| !is_newer(&before.version, version)) {
            shards.insert(shard.number, known);
        }
    }

    /// Notes that a shard is being deleted by us.
    pub(super) fn note_deleted(&self, sync: &SyncId, number: u32) {
        if let Some(known) = self.write().get_mut(&sync.mark).and_then(|shards| shards.get_mut(&number)) {
            (known.content, known.written) = (Content::Deleted, true);
        }
    }

    fn kept_of(&self, sync: &SyncId) -> Result<Stored, CallError> {
        let kept = self.read();
        let mut shards = Vec::new();
        for known in kept.get(&sync.mark).into_iter().flat_map(BTreeMap::values) {
            match &known.content {
                Content::Record { uid, shard } if *uid == sync.uid => {
                    shards.push((known.version.clone(), Shard::clone(shard)));
                }
                Content::Malformed => return Err(CallError::malformed(&format!("inventories of {}", sync.mark))),
                Content::Record { .. } | Content::Deleted => {}
            }
        }
        Ok(Stored::of(shards))
    }

    /// Waits for the first answer, and tells whether what is kept can be relied on.
    async fn is_current(&self) -> bool {
        let mut state = self.state.subscribe();
        match tokio::time::timeout(PATIENCE, state.wait_for(|state| *state != State::Starting)).await {
            Ok(answered) => answered.is_ok_and(|state| *state == State::Current),
            Err(_) => false,
        }
    }

    async fn run(self: Arc<Self>) {
        let mut pauses = pauses();
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("waxwing.dev", "v1alpha1", "Inventory"),
            "inventories",
        );
        loop {
            self.watch(Api::all_with(self.client.clone(), &resource)).await;
            self.state.send_replace(State::Broken);
            tokio::time::sleep(pauses.next().unwrap_or(PATIENCE)).await;
        }
    }

    /// Watches until something is wrong.
    async fn watch(&self, api: Api<DynamicObject>) {
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default().streaming_lists()));
        let mut listed = BTreeSet::new();
        while let Some(Ok(event)) = events.next().await {
            match event {
                Event::Init => self.begin(&mut listed),
                // What a list says counts also where it is older than what was kept, as in a cluster that was set back.
                Event::InitApply(object) => listed.extend(self.put(&object, |before, _| !before.written)),
                Event::InitDone => self.end(&std::mem::take(&mut listed)),
                Event::Apply(object) => drop(self.put(&object, Known::is_outdated_by)),
                Event::Delete(object) => self.remove(&object),
            }
        }
    }

    fn begin(&self, listed: &mut BTreeSet<(OwnerMark, u32)>) {
        listed.clear();
        let state = self.state.borrow().while_listing();
        self.state.send_replace(state);
        self.write().values_mut().flat_map(BTreeMap::values_mut).for_each(|known| known.written = false);
    }

    fn end(&self, listed: &BTreeSet<(OwnerMark, u32)>) {
        self.write().retain(|mark, shards| {
            shards.retain(|number, known| known.written || listed.contains(&(mark.clone(), *number)));
            !shards.is_empty()
        });
        self.state.send_replace(State::Current);
    }

    /// Keeps a shard unless what is known of it should stay.
    fn put(&self, object: &DynamicObject, yields: impl Fn(&Known, &str) -> bool) -> Option<(OwnerMark, u32)> {
        let (mark, number) = place(object)?;
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let mut kept = self.write();
        let shards = kept.entry(mark.clone()).or_default();
        if shards.get(&number).is_none_or(|before| yields(before, &version)) {
            let content = content(object, &mark, number);
            shards.insert(number, Known { version, content, written: false });
        }
        Some((mark, number))
    }

    fn remove(&self, object: &DynamicObject) {
        let Some((mark, number)) = place(object) else { return };
        let version = object.metadata.resource_version.as_deref().unwrap_or_default();
        let mut kept = self.write();
        let Some(shards) = kept.get_mut(&mark) else { return };
        if shards.get(&number).is_some_and(|known| !is_newer(&known.version, version)) {
            shards.remove(&number);
        }
        if shards.is_empty() {
            kept.remove(&mark);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_outdated_by(&self, version: &str) -> bool {
        !matches!(self.content, Content::Deleted) && is_newer(version, &self.version)
    }

    fn entries(&self) -> impl Iterator<Item = &waxwing_plan::inventory::Entry> {
        let entries = match &self.content {
            Content::Record { shard, .. } => shard.entries.as_slice(),
            Content::Malformed | Content::Deleted => &[],
        };
        entries.iter()
    }
}

/// Reads whose shard it is, and which, from its name (`path_of` in `inventory.rs`).
fn place(object: &DynamicObject) -> Option<(OwnerMark, u32)> {
    let (name, number) = object.metadata.name.as_deref()?.rsplit_once('.')?;
    Some((OwnerMark::new(object.metadata.namespace.as_deref()?, name), number.parse().ok()?))
}

fn content(object: &DynamicObject, mark: &OwnerMark, number: u32) -> Content {
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    match serde_json::from_value::<Record>(spec) {
        Ok(record) if record.sync.name == mark.name && record.number == number => {
            Content::Record { uid: record.sync.uid.clone(), shard: Arc::new(record.into_shard()) }
        }
        _ => Content::Malformed,
    }
}
