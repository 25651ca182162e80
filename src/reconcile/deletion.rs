//! The end of a Sync: what it applied is pruned, what can't be is reported, and then the Sync is let go.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::events::EventType;
use waxwing_plan::inventory::Inventory;
use waxwing_plan::{KeptBecause, ObjectId, Retirement};

use super::job::Job;
use super::report;
use super::steps::{public_session, record, retirement, undeleted};
use super::sync::remove_finalizer;
use super::sync_status::{self, Progress};
use super::tries::Untried;
use super::trouble::Trouble;
use crate::api::{FINALIZER, Failure, Reason};
use crate::cluster::inventory::Stored;
use crate::cluster::{Cause, Deleted};
use crate::metrics::ObjectResult;

/// How soon to look again for objects that are on their way out.
const WHILE_DELETING: Duration = Duration::from_secs(1);

/// Since when this process has been trying to end each Sync, by uid: what a Sync may take to end counts from there, so that
/// a controller that was away doesn't let go of everything at its first try.
#[derive(Default)]
pub struct Endings(Mutex<HashMap<String, Instant>>);

impl Endings {
    fn begun(&self, uid: &str) -> Instant {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *begun.entry(uid.to_owned()).or_insert_with(Instant::now)
    }

    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Takes one more step towards the end; returns when to come back, none when there is nothing left to do.
pub(super) async fn run(job: &Job<'_>) -> Option<Duration> {
    if !job.sync.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return None;
    }
    let since = job.context.endings.begun(&job.id.uid);
    let left = match is_pruned(job) {
        true => prune(job).await,
        false => Ok(Vec::new()),
    };
    match left {
        Ok(left) if left.is_empty() => end(job).await,
        Ok(left) if since.elapsed() > job.sync.spec.timeout.get() => {
            let note = format!("Let go of what could not be pruned: {}", named(&left));
            report::event(job.context, job.sync, EventType::Warning, Reason::PruneFailed, &note).await;
            end(job).await
        }
        Ok(left) => Some(wait(job, Trouble::of_failures(left, false)).await),
        // What is there is not known, so nothing is let go.
        Err(trouble) => {
            let message = format!("{}, or set spec.prune.enabled to false to let go of everything", trouble.message);
            Some(wait(job, Trouble { message, ..trouble }).await)
        }
    }
}

fn is_pruned(job: &Job<'_>) -> bool {
    job.sync.spec.prune.enabled && !job.sync.spec.suspend
}

/// Says what the end waits for; returns when to look again.
async fn wait(job: &Job<'_>, trouble: Trouble) -> Duration {
    let message = format!("being deleted: {}", trouble.message);
    let trouble = Trouble { message, ..trouble };
    sync_status::write(job.sync, job.context, &Progress::default(), Some(&trouble)).await;
    pause(job, trouble.soon)
}

/// Returns when to look again: while the API server is away, ever later.
fn pause(job: &Job<'_>, soon: Option<Duration>) -> Duration {
    match soon {
        Some(asked) => job.context.retries.pause(&job.id.uid, asked, job.sync.spec.retry_interval.get()),
        None => {
            job.context.retries.forget(&job.id.uid);
            WHILE_DELETING
        }
    }
}

async fn end(job: &Job<'_>) -> Option<Duration> {
    job.context.leases.revoke_at_the_end(&job.id.uid, is_pruned(job));
    match let_go(job).await {
        Ok(()) => {
            job.context.forget(&job.id);
            None
        }
        Err(trouble) => Some(pause(job, trouble.soon)),
    }
}

/// Deletes what may be deleted, and returns what is still there and should not be. It fails while the API server is away: what
/// could not be tried then is not let go.
async fn prune(job: &Job<'_>) -> Result<Vec<Failure>, Trouble> {
    let untried = job.untried();
    let known = record::load(job).await?;
    let Some(retirement) = retirement(job, &known).await? else { return Ok(Vec::new()) };
    if let Some(Untried { name, .. }) = untried.filter(|_| !retirement.deletions.is_empty()) {
        let message = format!("it waits for Sync {name} to try the revision, since that may render the objects by now");
        return Ok(vec![Failure::new(&job.id.mark, Reason::Progressing, message)]);
    }
    let session = public_session(job);
    let mut left: Vec<Failure> = on_their_way(&retirement).map(on_its_way).collect();
    let mut outage = None;
    for deletion in &retirement.deletions {
        match session.delete(deletion).await {
            Ok(Deleted::Absent) => {}
            Ok(Deleted::Left) => left.push(on_its_way(deletion.id())),
            Ok(Deleted::Deleted) => {
                job.context.metrics.objects(ObjectResult::Deleted, 1);
                left.push(on_its_way(deletion.id()));
            }
            Err(cause) => {
                outage = outage.max(during_outage(&cause));
                left.push(undeleted(deletion.id(), &cause, job));
            }
        }
    }
    match outage {
        Some(_) => Err(Trouble { soon: outage, ..Trouble::of_failures(left, false) }),
        None => Ok(left),
    }
}

fn during_outage(cause: &Cause) -> Option<Duration> {
    match cause {
        Cause::Call(error) if error.is_outage() => error.passes(),
        _ => None,
    }
}

fn on_their_way(retirement: &Retirement) -> impl Iterator<Item = &ObjectId> {
    retirement.kept.iter().filter(|kept| kept.why == KeptBecause::Terminating).map(|kept| &kept.id)
}

fn on_its_way(id: &ObjectId) -> Failure {
    Failure::new(id, Reason::Terminating, "it is being deleted".to_owned())
}

fn named(left: &[Failure]) -> String {
    left.iter().map(|failure| format!("{}: {}", failure.object, failure.message)).collect::<Vec<_>>().join(", ")
}

/// Removes the inventory and then the finalizer.
async fn let_go(job: &Job<'_>) -> Result<(), Trouble> {
    let known: Stored = record::load(job).await?;
    record::write(job, known, Inventory::default()).await?;
    remove_finalizer(job).await
}
