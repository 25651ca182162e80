//! The status of each resource as it was last written, for when the watch has not caught up with that yet: one that is reconciled
//! again meanwhile would otherwise go on from what it said before, and say anew since when something is so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::context::Context;
use super::report;
use crate::cluster::{CallError, Listings, is_newer};

/// What was last written of the resources of one kind.
pub struct Statuses<K: HasStatus> {
    written: Mutex<HashMap<String, Written<K::Status>>>,
    listings: Arc<Listings>,
}

/// A status as it was written.
struct Written<S> {
    status: S,
    /// The resourceVersion of the resource with it.
    version: String,
    /// When it was written, as [`Listings::now`] counts.
    then: u64,
}

impl<K> Statuses<K>
where
    K: Resource<DynamicType = ()> + HasStatus<Status: Clone + Default + Serialize>,
{
    /// Starts with nothing written; `listings` are those of the kind.
    pub fn new(listings: Arc<Listings>) -> Self {
        Self { written: Mutex::default(), listings }
    }

    /// Returns what `seen` says, or what was written after that. What was listed since counts, whatever its resourceVersion: an API
    /// server that was restored from a backup has older ones.
    pub(super) fn latest(&self, seen: &K) -> K::Status {
        let version = seen.resource_version().unwrap_or_default();
        match self.all().get(&seen.uid().unwrap_or_default()) {
            Some(kept) if is_newer(&kept.version, &version) && !self.listings.include(kept.then) => kept.status.clone(),
            _ => seen.status().cloned().unwrap_or_default(),
        }
    }

    /// Writes a status as a whole.
    ///
    /// # Errors
    ///
    /// Fails when it doesn't stand; that is logged, and the next reconcile writes it again.
    pub(super) async fn write(&self, context: &Context, object: &K, status: K::Status) -> Result<(), CallError> {
        let version = report::write_status(context, object, &status).await?;
        let written = Written { status, version, then: self.listings.now() };
        self.all().insert(object.uid().unwrap_or_default(), written);
        Ok(())
    }

    /// Forgets what is gone.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.all().retain(|uid, _| is_there(uid));
    }

    /// Forgets one that is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.all().remove(uid);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Written<K::Status>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
