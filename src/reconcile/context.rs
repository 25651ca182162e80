//! What every reconcile needs, put together once at the start and passed along.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use kube::Client;
use kube::runtime::events::Reporter;
use kube::runtime::reflector::{ObjectRef, Store as Cache};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use waxwing_formats::Salt;
use waxwing_keys::DataKeyCache;
use waxwing_plan::OwnerMark;

use super::backend_status::BackendStandings;
use super::backends::{KeyServices, Logins, Paces};
use super::deletion::Endings;
use super::drift::{Alarms, Contests};
use super::hold::LastGood;
use super::job::Accounts;
use super::leases::Leases;
use super::retry::Retries;
use super::rivals::Rivals;
use super::statuses::Statuses;
use super::steps::{HealthCache, RenderCache};
use super::sync_status::Untold;
use super::tries::Tries;
use super::versions::VersionMemory;
use super::waits::Waits;
use crate::api::{GitSource, Sync};
use crate::cluster::inventory::SyncId;
use crate::cluster::{ApiServer, Inventories, KindsCache, Marks, Reach};
use crate::metrics::Metrics;
use crate::sealing::Keys;
use crate::source::{Allowed, Fetched, Revision, Store};

/// What every reconcile needs.
pub struct Context {
    /// The controller's own connection, for its resources and for metadata.
    pub client: Client,
    /// How to make a connection of a sync's own, which is closed after it.
    pub server: ApiServer,
    /// Where the controller works.
    pub reach: Reach,
    /// The kinds of the cluster.
    pub kinds: KindsCache,
    /// What the cluster has of everything that we applied.
    pub marks: Marks,
    /// The record of every Sync.
    pub inventories: Arc<Inventories>,
    /// What of that starts reconciles.
    pub alarms: Alarms,
    /// The objects that others write over again and again.
    pub contests: Contests,
    /// What Syncs claim that others have.
    pub rivals: Rivals,
    /// Which revision each Sync has tried.
    pub tries: Tries,
    /// How long Syncs have been waiting.
    pub waits: Waits,
    /// What was last said of each Sync.
    pub statuses: Statuses<Sync>,
    /// What Syncs did of which nothing was said yet.
    pub untold: Untold,
    /// What was last said of each GitSource.
    pub source_statuses: Statuses<GitSource>,
    /// How the objects were when they were last read.
    pub health: HealthCache,
    /// Fetched repositories.
    pub store: Store,
    /// Which addresses a GitSource may have.
    pub allowed: Allowed,
    /// The Kustomize program.
    pub kustomize: PathBuf,
    /// What each GitSource has fetched.
    pub revisions: Revisions,
    /// The GitSources as the watch reports them.
    pub sources: Cache<GitSource>,
    /// Cancelled once `sources` has all of them.
    pub sources_filled: CancellationToken,
    /// Notified when some of `sources` may have gone or got another address.
    pub sources_changed: Arc<Notify>,
    /// The Syncs as the watch reports them.
    pub syncs: Cache<Sync>,
    /// Cancelled once `syncs` has all of them.
    pub syncs_filled: CancellationToken,
    /// Notified when `syncs` has others than before.
    pub syncs_changed: Arc<Notify>,
    /// The ServiceAccounts that were seen of late.
    pub accounts: Accounts,
    /// What each Sync rendered last.
    pub rendered: RenderCache,
    /// How often in a row Syncs have failed in a way that passes.
    pub retries: Retries,
    /// What was good of each Sync.
    pub last_good: LastGood,
    /// Since when Syncs have been ending.
    pub endings: Endings,
    /// The cluster's sealing keys.
    pub keys: Arc<Keys>,
    /// Where key services are.
    pub key_services: KeyServices,
    /// What key services unwrapped of late.
    pub data_keys: DataKeyCache,
    /// How Syncs fared with backends.
    pub backends: BackendStandings,
    /// The tokens that logins gave.
    pub logins: Arc<Logins>,
    /// What stores made for objects.
    pub leases: Leases,
    /// How often backends are asked.
    pub paces: Paces,
    /// Which versions the secrets have that references lead to.
    pub versions: VersionMemory,
    /// The key of handles for values that aren't ciphertext.
    pub salt: Salt,
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Who events are from.
    pub reporter: Reporter,
    /// Tells the Syncs of a GitSource that it has news.
    pub news: mpsc::UnboundedSender<ObjectRef<GitSource>>,
    /// Cancelled once this controller leads; nothing is reconciled before.
    pub leading: CancellationToken,
    /// Cancelled when the controller is to stop.
    pub stop: CancellationToken,
}

impl Context {
    /// Has Syncs reconciled.
    pub(super) fn wake(&self, syncs: impl IntoIterator<Item = OwnerMark>) {
        syncs.into_iter().for_each(|sync| self.alarms.wake(&sync));
    }

    /// Notes that a Sync claims nothing for now, and tells those who waited for it to.
    pub(super) fn let_others_go_on(&self, sync: &SyncId) {
        self.wake(self.rivals.note(&sync.mark, &[]));
        self.wake(self.tries.end_waiting_for(&sync.uid));
    }

    /// Forgets a Sync that is gone. What is kept by name stays where another Sync has the name by now.
    pub(super) fn forget(&self, sync: &SyncId) {
        let SyncId { mark, uid } = sync;
        self.endings.forget(uid);
        self.contests.forget(uid);
        self.health.forget(uid);
        self.statuses.forget(uid);
        self.untold.forget(uid);
        self.retries.forget(uid);
        self.last_good.forget(uid);
        self.tries.forget(uid);
        self.waits.forget(uid);
        self.versions.forget(uid);
        self.leases.forget(uid);
        self.wake(self.tries.end_waiting_for(uid));
        let name = ObjectRef::<Sync>::new(&mark.name).within(&mark.namespace);
        if self.syncs.get(&name).is_none_or(|known| known.metadata.uid.as_ref() == Some(uid)) {
            self.rendered.remove(&name);
            self.alarms.forget(mark);
            self.wake(self.rivals.note(mark, &[]));
        }
        self.wake(self.rivals.claimants(mark));
    }
}

/// The last good revision of each GitSource, with its tree.
#[derive(Default)]
pub struct Revisions {
    kept: RwLock<HashMap<ObjectRef<GitSource>, Kept>>,
    /// The uids of the sources that this process has tried to fetch.
    tried: RwLock<HashSet<String>>,
}

/// What one object fetched from one address. Another object of the same name, or another address, is another source.
struct Kept {
    uid: Option<String>,
    url: String,
    fetched: Fetched,
    /// When it was fetched, if it was new then.
    new_since: Option<Instant>,
}

impl Kept {
    fn is_of(&self, source: &GitSource) -> bool {
        self.uid == source.metadata.uid && self.url == source.spec.url
    }
}

impl Revisions {
    /// Notes that `source` was tried, with whatever result, and tells whether that was the first time since the start.
    pub(super) fn note_tried(&self, source: &GitSource) -> bool {
        let uid = source.metadata.uid.clone().unwrap_or_default();
        self.tried.write().unwrap_or_else(PoisonError::into_inner).insert(uid)
    }

    /// Tells whether `source` was tried since the start. Before that nothing can be said of it, so nothing is.
    pub(super) fn is_tried(&self, source: &GitSource) -> bool {
        let uid = source.metadata.uid.as_deref().unwrap_or_default();
        self.tried.read().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// Returns what `source` has fetched from the address that it has now.
    pub fn get(&self, source: &GitSource) -> Option<Fetched> {
        let all = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get(&ObjectRef::from_obj(source)).filter(|kept| kept.is_of(source))?;
        Some(kept.fetched.clone())
    }

    /// Returns when `source` fetched what it has, if it was new then: not just found again after a restart.
    pub(super) fn new_since(&self, source: &GitSource) -> Option<Instant> {
        let all = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&ObjectRef::from_obj(source)).filter(|kept| kept.is_of(source))?.new_since
    }

    /// Keeps what `source` has fetched, and tells whether that is another revision than before. Whatever is not in `live`
    /// as it was when it fetched is forgotten.
    pub fn put(&self, source: &GitSource, fetched: Fetched, live: &Cache<GitSource>) -> bool {
        let revision = fetched.revision.clone();
        let mut all = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&ObjectRef::from_obj(source)).filter(|kept| kept.fetched.revision == revision);
        let new_since = match known {
            Some(known) => known.new_since,
            None => (!is_known(source, &revision)).then(Instant::now),
        };
        let kept = Kept { uid: source.metadata.uid.clone(), url: source.spec.url.clone(), fetched, new_since };
        let before = all.insert(ObjectRef::from_obj(source), kept);
        retain_live(&mut all, live);
        before.is_none_or(|before| !before.is_of(source) || before.fetched.revision != revision)
    }

    /// Forgets whatever is not in `live` as it was when it fetched.
    pub fn forget_gone(&self, live: &Cache<GitSource>) {
        retain_live(&mut self.kept.write().unwrap_or_else(PoisonError::into_inner), live);
    }
}

/// Tells whether the status has this revision already.
fn is_known(source: &GitSource, revision: &Revision) -> bool {
    source.status.as_ref().and_then(|status| status.revision.as_ref()) == Some(&revision.to_string())
}

fn retain_live(all: &mut HashMap<ObjectRef<GitSource>, Kept>, live: &Cache<GitSource>) {
    all.retain(|name, kept| live.get(name).is_some_and(|source| kept.is_of(&source)));
}
