//! The end of a Sync: what it applied is pruned, what can't be is reported, and then the Sync is let go.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use waxwing_plan::inventory::Inventory;
use waxwing_plan::{KeptBecause, ObjectId, Retirement};

use super::job::Job;
use super::report;
use super::steps::{record, retirement, session, undeleted};
use super::sync::set_finalizers;
use super::trouble::Trouble;
use crate::api::{FINALIZER, Failure, Reason};
use crate::cluster::Deleted;
use crate::cluster::inventory::Stored;

/// How soon to look again for objects that are on their way out.
const WHILE_DELETING: Duration = Duration::from_secs(1);

/// Takes one more step towards the end; returns when to come back, none when there is nothing left to do.
pub(super) async fn run(job: &Job<'_>) -> Option<Duration> {
    if !job.sync.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return None;
    }
    let spec = &job.sync.spec;
    let left = match spec.prune.enabled && !spec.suspend {
        true => prune(job).await,
        false => Ok(Vec::new()),
    };
    let left = left.unwrap_or_else(|trouble| vec![trouble.message]);
    if !left.is_empty() && !is_overdue(job) {
        tracing::info!(left = left.len(), "waiting for objects to go");
        return Some(WHILE_DELETING);
    }
    if !left.is_empty() {
        let note = format!("Let go of what could not be pruned: {}", left.join(", "));
        report::event(job.context, job.sync, EventType::Warning, Reason::PruneFailed, &note).await;
    }
    match let_go(job).await {
        Ok(()) => None,
        Err(_) => Some(WHILE_DELETING),
    }
}

/// Deletes what may be deleted, and returns what is still there and should not be.
async fn prune(job: &Job<'_>) -> Result<Vec<String>, Trouble> {
    let known = record::load(job).await?;
    let Some(retirement) = retirement(job, &known).await? else { return Ok(Vec::new()) };
    let session = session(job)?;
    let mut left: Vec<String> = on_their_way(&retirement).map(|id| format!("{id} is being deleted")).collect();
    for deletion in &retirement.deletions {
        match session.delete(deletion).await {
            Ok(Deleted::Absent) => {}
            Ok(Deleted::Deleted | Deleted::Left) => left.push(format!("{} is being deleted", deletion.id())),
            Err(cause) => left.push(describe(&undeleted(deletion.id(), &cause, job))),
        }
    }
    Ok(left)
}

fn on_their_way(retirement: &Retirement) -> impl Iterator<Item = &ObjectId> {
    retirement.kept.iter().filter(|kept| kept.why == KeptBecause::Terminating).map(|kept| &kept.id)
}

fn describe(failure: &Failure) -> String {
    format!("{}: {}", failure.object, failure.message)
}

fn is_overdue(job: &Job<'_>) -> bool {
    let Some(since) = &job.sync.metadata.deletion_timestamp else { return false };
    let waited = Timestamp::now().duration_since(since.0);
    Duration::try_from(waited).is_ok_and(|waited| waited > job.sync.spec.timeout.get())
}

/// Removes the inventory and then the finalizer.
async fn let_go(job: &Job<'_>) -> Result<(), Trouble> {
    let known: Stored = record::load(job).await?;
    record::write(job, known, Inventory::default()).await?;
    job.context.rendered.remove(&ObjectRef::from_obj(job.sync));
    let others = job.sync.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    set_finalizers(job, others).await
}
