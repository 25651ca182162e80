//! Forgets what GitSources left behind that are gone or have another address by now: in memory, and in the store.

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::fetch::holder;
use crate::api::GitSource;
use crate::source::RemoteUrl;

/// When to try again to remove what was still in use.
const WHILE_IN_USE: Duration = Duration::from_secs(10);

/// Forgets once all sources are known, and then whenever they change; never returns.
pub(super) async fn run(context: &Context) {
    // Before that, sources would be missed that are there.
    context.sources_filled.cancelled().await;
    loop {
        context.revisions.forget_gone(&context.sources);
        let changed = context.sources_changed.notified();
        if context.store.retain(|| named(context)).await {
            changed.await;
        } else {
            // Either is a reason to look again.
            let _ = tokio::time::timeout(WHILE_IN_USE, changed).await;
        }
    }
}

/// Returns the address of each source that may be fetched, with its holder.
fn named(context: &Context) -> Vec<(RemoteUrl, String)> {
    let address = |source: Arc<GitSource>| {
        let url = RemoteUrl::parse(&source.spec.url, context.allowed).ok()?;
        Some((url, holder(&source)))
    };
    context.sources.state().into_iter().filter_map(address).collect()
}
