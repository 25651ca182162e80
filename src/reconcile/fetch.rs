//! A GitSource's reconcile: ask the server for the tip, fetch it when it is new, tell the Syncs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use super::credentials;
use super::source_status;
use super::trouble::Trouble;
use crate::api::{GitSource, SelectedReference};
use crate::source::{CommitId, Fetched, Reference, Remote, RemoteUrl, SourceError};

/// The longest pause between two tries while fetching fails.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Reconciles one GitSource; what goes wrong stands in its status, so there is no error to return.
///
/// # Errors
///
/// None.
pub async fn reconcile(source: Arc<GitSource>, context: Arc<Context>) -> Result<Action, Infallible> {
    let reference = ObjectRef::from_obj(&*source);
    if source.meta().deletion_timestamp.is_some() {
        context.revisions.remove(&reference);
        return Ok(Action::await_change());
    }
    let result = if source.spec.suspend { last_good(&source, &context).await } else { fetch(&source, &context).await };
    let pause = match &result {
        Ok(_) => source.spec.interval.get(),
        Err(_) => source.spec.interval.get().min(LONGEST_RETRY),
    };
    let kept = match &result {
        Ok(fetched) => Some(fetched.clone()),
        Err(_) => keep_last_good(&source, &reference, &context).await,
    };
    source_status::write(&source, &context, result.as_ref(), kept.is_some()).await;
    if let Some(fetched) = kept
        && context.revisions.put(reference.clone(), fetched)
    {
        // The receiver lives as long as the controllers do; when it is gone there is nobody left to tell.
        let _ = context.news.send(reference);
    }
    Ok(if source.spec.suspend { Action::await_change() } else { Action::requeue(pause) })
}

async fn fetch(source: &GitSource, context: &Context) -> Result<Fetched, Trouble> {
    let remote = remote(source, context).await?;
    let known = source.status.as_ref().and_then(|status| status.commit.as_deref()).and_then(|id| id.parse().ok());
    let fetched = context.store.fetch(&remote, known.as_ref()).await.map_err(Trouble::from)?;
    Ok(fetched)
}

async fn remote(source: &GitSource, context: &Context) -> Result<Remote, Trouble> {
    let url = RemoteUrl::parse(&source.spec.url, context.allowed).map_err(Trouble::from)?;
    let reference = match source.spec.reference.selected() {
        Some(SelectedReference::Branch(name)) => Reference::Branch(name.to_owned()),
        Some(SelectedReference::Tag(name)) => Reference::Tag(name.to_owned()),
        Some(SelectedReference::Commit(id)) => Reference::Commit(commit(id)?),
        None => Reference::Branch("main".to_owned()),
    };
    let credentials = credentials::read(source, context).await?;
    Ok(Remote { url, reference, credentials, timeout: source.spec.timeout.get() })
}

fn commit(id: &str) -> Result<CommitId, Trouble> {
    id.parse().map_err(|_| SourceError::ref_not_found(id)).map_err(Trouble::from)
}

/// Returns what is in use already, or, after a restart, what the status says and the store still has.
async fn keep_last_good(source: &GitSource, reference: &ObjectRef<GitSource>, context: &Context) -> Option<Fetched> {
    match context.revisions.get(reference) {
        Some(fetched) => Some(fetched),
        None => last_good(source, context).await.ok(),
    }
}
