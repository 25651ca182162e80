//! Forgets what is left behind: by GitSources that are gone or have another address by now, in memory and in the store; and by
//! Syncs that are gone without having ended themselves, in memory and in the cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use waxwing_plan::OwnerMark;

use super::context::Context;
use super::fetch::holder;
use super::measure;
use crate::api::{GitSource, Sync};
use crate::cluster::inventory::{self, SyncId};
use crate::source::RemoteUrl;

/// When to try again to remove what was still in use.
const WHILE_IN_USE: Duration = Duration::from_secs(10);
/// When to try again what an API server did not do that was overloaded or away.
const AFTER_TROUBLE: Duration = Duration::from_secs(10);

/// Forgets once all resources are known, and then whenever they change; never returns.
pub(super) async fn run(context: &Context) {
    tokio::join!(mirrors(context), inventories(context));
}

async fn mirrors(context: &Context) {
    // Before that, sources would be missed that are there.
    context.sources_filled.cancelled().await;
    loop {
        context.revisions.forget_gone(&context.sources);
        measure::keep_those_there(context);
        let changed = context.sources_changed.notified();
        if context.store.retain(|| named(context)).await {
            changed.await;
        } else {
            // Either is a reason to look again.
            let _ = tokio::time::timeout(WHILE_IN_USE, changed).await;
        }
    }
}

/// Ends the inventories of Syncs whose finalizer somebody took off: those of earlier, and then of each that goes.
async fn inventories(context: &Context) {
    context.syncs_filled.cancelled().await;
    let mut known = alive(context);
    let mut all_released = release(context, &known, None).await;
    loop {
        match all_released {
            true => context.syncs_changed.notified().await,
            false => tokio::time::sleep(AFTER_TROUBLE).await,
        }
        measure::keep_those_there(context);
        let now = alive(context);
        let gone: Vec<_> = known.into_iter().filter(|(uid, _)| !now.contains_key(uid)).collect();
        for (uid, mark) in &gone {
            context.forget(&SyncId { mark: mark.clone(), uid: uid.clone() });
        }
        all_released = match all_released {
            true => all(gone.iter().map(|(_, mark)| release(context, &now, Some(mark)))).await,
            false => release(context, &now, None).await,
        };
        known = now;
    }
}

/// Does one after the other, and tells whether all did what they should.
async fn all(steps: impl Iterator<Item = impl Future<Output = bool>>) -> bool {
    futures::stream::iter(steps).fold(true, async |done, step| step.await && done).await
}

/// Lets go of the inventories of one Sync that is gone, or of all such, and tells whether none is left.
async fn release(context: &Context, alive: &HashMap<String, OwnerMark>, sync: Option<&OwnerMark>) -> bool {
    let is_alive = |uid: &str| alive.contains_key(uid);
    let touched =
        |namespace: &Option<&str>| namespace.is_none_or(|name| sync.is_none_or(|sync| sync.namespace == name));
    let release = async |namespace| {
        let released = inventory::release_orphans(&context.client, namespace, sync, is_alive).await;
        if let Err(error) = &released {
            tracing::warn!(%error, "failed to let go of the inventories of Syncs that are gone; it is tried again");
        }
        released.is_ok()
    };
    all(context.reach.namespaces().into_iter().filter(touched).map(release)).await
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
