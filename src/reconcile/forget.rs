//! Forgets what is left behind: by GitSources that are gone or have another address by now, in memory and in the store; and by
//! Syncs that are gone without having ended themselves, in memory and in the cluster.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use waxwing_plan::OwnerMark;

use super::context::Context;
use super::fetch::holder;
use super::measure;
use crate::api::{GitSource, Sync};
use crate::cluster::inventory::{self, SyncId};
use crate::source::RemoteUrl;

/// When to try again what could not be done: a mirror was still in use, or the API server was overloaded or away.
const AGAIN: Duration = Duration::from_secs(10);

/// Forgets once all resources are known, and then whenever they change; never returns.
pub(super) async fn run(context: &Context) {
    tokio::join!(mirrors(context), inventories(context));
}

async fn mirrors(context: &Context) {
    // Before that, sources would be missed that are there.
    context.sources_filled.cancelled().await;
    loop {
        context.revisions.forget_gone(&context.sources);
        let there: HashSet<_> = context.sources.state().iter().filter_map(|source| source.uid()).collect();
        context.source_statuses.retain(|uid| there.contains(uid));
        measure::keep_those_there(context);
        let changed = context.sources_changed.notified();
        if context.store.retain(|| named(context)).await {
            changed.await;
        } else {
            // Either is a reason to look again.
            let _ = tokio::time::timeout(AGAIN, changed).await;
        }
    }
}

/// Ends the inventories of Syncs whose finalizer somebody took off: those of earlier, and then of each that goes.
async fn inventories(context: &Context) {
    context.syncs_filled.cancelled().await;
    // Another controller does it as long as it leads.
    context.leading.cancelled().await;
    let mut known = alive(context);
    let mut is_done = release_all(context, &known).await;
    loop {
        match is_done {
            true => context.syncs_changed.notified().await,
            // Not at each change: it lists the inventories of all.
            false => tokio::time::sleep(AGAIN).await,
        }
        measure::keep_those_there(context);
        let now = alive(context);
        let gone: Vec<_> = known.into_iter().filter(|(uid, _)| !now.contains_key(uid)).collect();
        for (uid, mark) in &gone {
            context.forget(&SyncId { mark: mark.clone(), uid: uid.clone() });
        }
        is_done = match is_done {
            true => release_those(context, &now, gone.iter().map(|(_, mark)| mark)).await,
            false => release_all(context, &now).await,
        };
        known = now;
    }
}

/// Lets go of the inventories of all Syncs that are gone, and tells whether that is done.
async fn release_all(context: &Context, alive: &HashMap<String, OwnerMark>) -> bool {
    let mut is_done = true;
    for namespace in context.reach.namespaces() {
        is_done &= release(context, alive, namespace, None).await;
    }
    is_done
}

/// Lets go of the inventories of some Syncs that are gone, and tells whether that is done.
async fn release_those(
    context: &Context,
    alive: &HashMap<String, OwnerMark>,
    gone: impl Iterator<Item = &OwnerMark>,
) -> bool {
    let mut is_done = true;
    for sync in gone {
        is_done &= release(context, alive, Some(&sync.namespace), Some(sync)).await;
    }
    is_done
}

async fn release(
    context: &Context,
    alive: &HashMap<String, OwnerMark>,
    namespace: Option<&str>,
    sync: Option<&OwnerMark>,
) -> bool {
    let released = inventory::release_orphans(&context.client, namespace, sync, |uid| alive.contains_key(uid)).await;
    if let Err(error) = &released {
        tracing::warn!(%error, "failed to let go of the inventories of Syncs that are gone; it is tried again");
    }
    released.is_ok()
}

/// Returns the Syncs that there are, by uid.
fn alive(context: &Context) -> HashMap<String, OwnerMark> {
    let named = |sync: Arc<Sync>| Some((sync.uid()?, OwnerMark::new(sync.namespace()?, sync.name_any())));
    context.syncs.state().into_iter().filter_map(named).collect()
}

/// Returns the address of each source that may be fetched, with its holder.
fn named(context: &Context) -> Vec<(RemoteUrl, String)> {
    let address = |source: Arc<GitSource>| {
        let url = RemoteUrl::parse(&source.spec.url, context.allowed).ok()?;
        Some((url, holder(&source)))
    };
    context.sources.state().into_iter().filter_map(address).collect()
}
