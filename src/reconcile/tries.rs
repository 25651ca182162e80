//! Which revision each Sync has tried, so that nothing is deleted that another Sync of the same source renders by now.
//!
//! A commit that moves an object from one Sync to another reaches both at once, and the one that lost it may come first. So a
//! Sync deletes only when every other Sync of its GitSource has tried the revision, and nothing that one of them rendered last
//! ([`RenderCache`](super::RenderCache)), even if it can't apply it. One whose files are refused has tried too: what it would
//! render nobody knows, and it must not hold up the others. In memory alone; after a restart everything is tried again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use waxwing_plan::{ObjectId, OwnerMark};

use super::job::Job;
use crate::api::{GitSource, Sync};
use crate::cluster::ServiceAccount;

/// What was tried, and who waits for others to try.
#[derive(Default)]
pub struct Tries(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// The last revision that each Sync has tried, by the uid of the Sync.
    tried: HashMap<String, String>,
    /// Who waits for which Sync, by the uid of that.
    waiting: HashMap<OwnerMark, String>,
}

/// A Sync that has yet to try a revision.
#[derive(Clone, Debug)]
pub(super) struct Untried {
    pub(super) name: String,
    uid: String,
    revision: String,
}

impl Tries {
    fn has(&self, sync: &str, revision: &str) -> bool {
        self.noted().tried.get(sync).is_some_and(|tried| tried == revision)
    }

    /// Returns who waited for a Sync, which will not be told again.
    pub(super) fn end_waiting_for(&self, sync: &str) -> Vec<OwnerMark> {
        self.noted().waiting.extract_if(|_, awaited| awaited == sync).map(|(waiting, _)| waiting).collect()
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, sync: &str) {
        self.noted().tried.remove(sync);
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job<'_> {
    /// Notes that a revision was tried: it was rendered, or can't be before somebody changes something. Wakes who waited for that.
    pub(super) fn note_tried(&self, revision: &str) {
        let tries = &self.context.tries;
        let before = tries.noted().tried.insert(self.id.uid.clone(), revision.to_owned());
        if before.as_deref() != Some(revision) {
            self.context.wake(tries.end_waiting_for(&self.id.uid));
        }
    }

    /// Returns a Sync that has yet to try the revision that the source has.
    ///
    /// This has to be asked before the claims of others are read: what is claimed after that would be missed.
    pub(super) fn untried(&self) -> Option<Untried> {
        let source = ObjectRef::<GitSource>::new(&self.sync.spec.source_ref.name).within(self.namespace());
        let source = self.context.sources.get(&source)?;
        let revision = self.context.revisions.get(&source)?.revision.to_string();
        let tries = &self.context.tries;
        let others = self.context.syncs.state();
        let other =
            others.iter().find(|other| self.may_render_the_same(other) && !tries.has(&uid(other), &revision))?;
        Some(Untried { name: other.name_any(), uid: uid(other), revision })
    }

    /// Returns which other Syncs of the same source rendered one of `objects` last.
    pub(super) fn rendered_by_others(&self, objects: &BTreeSet<ObjectId>) -> Vec<(ObjectId, OwnerMark)> {
        let others = self.context.syncs.state().into_iter().filter(|other| self.may_render_the_same(other));
        let claimed = others.flat_map(|other| {
            let by = OwnerMark::new(self.namespace(), other.name_any());
            let rendered = self.context.rendered.latest(&ObjectRef::from_obj(&*other));
            let ids = rendered.iter().flat_map(|rendered| rendered.manifests()).map(|manifest| &manifest.id);
            ids.filter(|id| objects.contains(*id)).map(|id| (id.clone(), by.clone())).collect::<Vec<_>>()
        });
        claimed.collect()
    }

    /// Has this Sync woken once the other has tried the revision, which may be by now.
    pub(super) fn wait_for(&self, other: &Untried) {
        let tries = &self.context.tries;
        // Before it is looked up again, so that no try in between is missed.
        tries.noted().waiting.insert(self.id.mark.clone(), other.uid.clone());
        if tries.has(&other.uid, &other.revision) {
            self.context.alarms.wake(&self.id.mark);
        }
    }

    fn may_render_the_same(&self, other: &Sync) -> bool {
        let same_source = other.namespace().as_deref() == Some(self.namespace())
            && other.spec.source_ref == self.sync.spec.source_ref;
        let tries = !other.spec.suspend
            && other.metadata.deletion_timestamp.is_none()
            && ServiceAccount::new(self.namespace(), other.spec.service_account()).is_ok();
        same_source && tries && other.uid().as_deref() != Some(&self.id.uid)
    }
}

fn uid(sync: &Sync) -> String {
    sync.uid().unwrap_or_default()
}
