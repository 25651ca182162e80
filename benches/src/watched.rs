//! The Syncs as a watch tells of them, to know the moment at which all are as they should be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use waxwing::api::{ConditionType, Sync, SyncStatus, condition};

use crate::error::Error;
use crate::stage::PATIENCE;

const PAUSE: Duration = Duration::from_millis(20);

/// The status of every Sync, by namespace and name, with the moment at which it was last heard of.
#[derive(Clone, Default)]
pub(crate) struct Fleet(Arc<Mutex<HashMap<String, (SyncStatus, Instant)>>>);

impl Fleet {
    /// Begins to watch, in the runtime in which this is called.
    pub(crate) fn watch(client: Client) -> Self {
        let fleet = Self::default();
        let kept = fleet.0.clone();
        tokio::spawn(async move {
            let events = watcher(Api::<Sync>::all(client), watcher::Config::default()).default_backoff();
            let mut changes = std::pin::pin!(events.applied_objects());
            while let Some(change) = changes.next().await {
                let Ok(sync) = change else { continue };
                let name = format!("{}/{}", sync.namespace().unwrap_or_default(), sync.name_any());
                let heard = (sync.status.unwrap_or_default(), Instant::now());
                kept.lock().unwrap_or_else(PoisonError::into_inner).insert(name, heard);
            }
        });
        fleet
    }

    /// Waits until `count` Syncs are as `wanted` says, and returns when the last of them became so.
    pub(crate) fn wait(
        &self,
        count: usize,
        what: &str,
        wanted: impl Fn(&SyncStatus) -> bool,
    ) -> Result<Instant, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let as_wanted = self.heard_of(&wanted);
            if let (true, Some(last)) = (as_wanted.len() >= count, as_wanted.iter().max()) {
                return Ok(*last);
            }
            if Instant::now() > deadline {
                let one = self.one_that_is_not(&wanted);
                return Err(Error::Other(format!("{} of {count} Syncs are {what}; one is {one}", as_wanted.len())));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until `count` Syncs are Ready at `commit`, and returns when the last became so.
    pub(crate) fn ready(&self, count: usize, commit: &str) -> Result<Instant, Error> {
        let revision = format!("main@sha1:{commit}");
        self.wait(count, "Ready", |status| is_ready(status) && status.last_applied_revision.as_ref() == Some(&revision))
    }

    fn heard_of(&self, wanted: impl Fn(&SyncStatus) -> bool) -> Vec<Instant> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|(status, _)| wanted(status)).map(|(_, heard)| *heard).collect()
    }

    fn one_that_is_not(&self, wanted: impl Fn(&SyncStatus) -> bool) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = all.iter().find(|(_, (status, _))| !wanted(status));
        one.map_or_else(|| "none".to_owned(), |(name, (status, _))| format!("{name}: {:?}", status.conditions))
    }

    /// Returns the status of one Sync.
    pub(crate) fn status(&self, name: &str) -> Option<(SyncStatus, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// Tells whether a Sync is Ready.
pub(crate) fn is_ready(status: &SyncStatus) -> bool {
    condition(&status.conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True")
}
