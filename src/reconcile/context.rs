//! What every reconcile needs, put together once at the start and passed along.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;
use kube::runtime::events::Reporter;
use kube::runtime::reflector::{ObjectRef, Store as Cache};
use tokio::sync::mpsc;
use waxwing_formats::Salt;

use super::steps::RenderCache;
use crate::api::{GitSource, Sync};
use crate::cluster::KindsCache;
use crate::sealing::Keys;
use crate::source::{Allowed, Fetched, Store};

/// What every reconcile needs.
pub struct Context {
    /// The controller's own connection, for its resources and for metadata.
    pub client: Client,
    /// How to make a connection of a sync's own, which is closed after it.
    pub config: kube::Config,
    /// The kinds of the cluster.
    pub kinds: KindsCache,
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
    /// The Syncs as the watch reports them.
    pub syncs: Cache<Sync>,
    /// What each Sync rendered last.
    pub rendered: RenderCache,
    /// The cluster's sealing keys.
    pub keys: Arc<Keys>,
    /// The key of handles for values that aren't ciphertext.
    pub salt: Salt,
    /// Who events are from.
    pub reporter: Reporter,
    /// Tells the Syncs of a GitSource that it has news.
    pub news: mpsc::UnboundedSender<ObjectRef<GitSource>>,
}

/// The last good revision of each GitSource, with its tree.
#[derive(Default)]
pub struct Revisions(RwLock<HashMap<ObjectRef<GitSource>, Fetched>>);

impl Revisions {
    /// Returns what `source` has fetched.
    pub fn get(&self, source: &ObjectRef<GitSource>) -> Option<Fetched> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }

    /// Keeps what `source` has fetched, and tells whether that is another revision than before.
    pub fn put(&self, source: ObjectRef<GitSource>, fetched: Fetched) -> bool {
        let revision = fetched.revision.clone();
        let before = self.0.write().unwrap_or_else(PoisonError::into_inner).insert(source, fetched);
        before.is_none_or(|before| before.revision != revision)
    }

    /// Forgets a deleted source.
    pub fn remove(&self, source: &ObjectRef<GitSource>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(source);
    }
}
