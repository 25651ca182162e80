//! A GitSource's reconcile: ask the server for the tip, fetch it when it is new, tell the Syncs.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tracing::Instrument;

use super::context::Context;
use super::credentials;
use super::measure::Turn;
use super::source_status;
use super::span;
use super::trouble::Trouble;
use crate::api::{GitSource, Reason, SelectedReference};
use crate::source::{Fetched, Reference, Remote, RemoteUrl};

/// The longest pause between two tries while fetching fails, or what came of it can't be told.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Reconciles one GitSource, unless it goes or is gone, and returns when to come back, or nothing to wait for a change. What
/// goes wrong stands in its status.
pub(super) async fn reconcile(source: ObjectRef<GitSource>, context: Arc<Context>) -> Option<Duration> {
    let source = context.sources.get(&source).filter(|source| source.meta().deletion_timestamp.is_none())?;
    let span = span::of_source(&source.namespace().unwrap_or_default(), &source.name_any());
    let turn = Turn::of_source(&source, &context);
    let result = match source.spec.suspend {
        true => last_good(&source, &context).await,
        false => fetch(&source, &context)
            .instrument(span.clone())
            .await
            .inspect(|new| turn.fetched(Ok(new)))
            .inspect_err(|why| turn.fetched(Err(why))),
    };
    result.as_ref().err().into_iter().for_each(|trouble| span::failed(&span, trouble.reason));
    let kept = match &result {
        Ok(fetched) => Some(fetched.clone()),
        Err(_) => keep_last_good(&source, &context).await,
    };
    let is_kept = kept.is_some();
    let is_new = kept.is_some_and(|fetched| context.revisions.put(&source, fetched, &context.sources));
    if context.revisions.note_tried(&source) || is_new {
        // The receiver lives as long as the controllers do; when it is gone there is nobody left to tell.
        let _ = context.news.send(ObjectRef::from_obj(&*source));
    }
    // Syncs don't wait for that.
    let told = source_status::write(&source, &context, result.as_ref(), is_kept).await;
    let pause = match result.is_ok() && told {
        true => source.spec.interval.get(),
        false => source.spec.interval.get().min(LONGEST_RETRY),
    };
    if is_gone(&source, &context) {
        context.sources_changed.notify_one(); // what it fetched meanwhile has no owner
    }
    let pause = Some(pause).filter(|_| !(source.spec.suspend && told));
    turn.end(pause, context.sources.get(&ObjectRef::from_obj(&*source)).is_some());
    pause
}

/// Tells whether the source was deleted or changed its address since this reconcile began.
fn is_gone(source: &GitSource, context: &Context) -> bool {
    let now = context.sources.get(&ObjectRef::from_obj(source));
    now.is_none_or(|now| now.uid() != source.uid() || now.spec.url != source.spec.url)
}

async fn fetch(source: &GitSource, context: &Context) -> Result<Fetched, Trouble> {
    let (url, reference) = address(source, context)?;
    let credentials = credentials::read(source, context).await?;
    let remote = Remote { holder: holder(source), url, reference, credentials, timeout: source.spec.timeout.get() };
    let held = context.revisions.get(source).map(|fetched| fetched.tree);
    Ok(context.store.fetch(Arc::new(remote), held.as_ref()).await?)
}

fn address(source: &GitSource, context: &Context) -> Result<(RemoteUrl, Reference), Trouble> {
    let url = RemoteUrl::parse(&source.spec.url, context.allowed)?;
    let reference = match source.spec.reference.selected() {
        Some(SelectedReference::Branch(name)) => Reference::Branch(name.parse()?),
        Some(SelectedReference::Tag(name)) => Reference::Tag(name.parse()?),
        Some(SelectedReference::Commit(id)) => Reference::Commit(id.parse()?),
        None => Reference::Branch("main".parse()?),
    };
    Ok((url, reference))
}

/// What this source fetched stays its own, also after a restart: nobody can choose an object's uid.
pub(super) fn holder(source: &GitSource) -> String {
    source.uid().unwrap_or_default()
}

/// Returns what this source fetched last, by the name that it had then, where the store still has it: after a restart,
/// without the server.
async fn last_good(source: &GitSource, context: &Context) -> Result<Fetched, Trouble> {
    let url = RemoteUrl::parse(&source.spec.url, context.allowed)?;
    let missing = || {
        let fact = "the last revision is not in the store any more";
        Trouble::passing(Reason::FetchFailed, fact, "it is fetched again unless spec.suspend is set")
    };
    context.store.stored(&url, &holder(source)).await.ok_or_else(missing)
}

/// Returns what is in use already, or, after a restart, what the status says and the store still has.
async fn keep_last_good(source: &GitSource, context: &Context) -> Option<Fetched> {
    match context.revisions.get(source) {
        Some(fetched) => Some(fetched),
        None => last_good(source, context).await.ok(),
    }
}
