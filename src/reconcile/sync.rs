//! A Sync's reconcile: walk the line, say what came of it, and come back when there is a reason to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tracing::Instrument;
use waxwing_plan::OwnerMark;

use super::context::Context;
use super::hold::hold;
use super::job::Job;
use super::measure::Turn;
use super::span::Step;
use super::sync_status::{self, Progress};
use super::trouble::Trouble;
use super::{deletion, report, span, walk};
use crate::api::{FINALIZER, GitSource, Reason, Sync};
use crate::cluster::{self, Finalizers};

/// How soon a Sync is looked at again whose objects are on their way out, in namespaces that nothing tells of.
const WHILE_TERMINATING: Duration = Duration::from_secs(2);

/// How soon a Sync is looked at again whose objects are on their way, if none of them tells how it is.
const WHILE_PROGRESSING: Duration = Duration::from_secs(30);

/// How long a Sync may be silent about objects that were changed just now and are on their way.
const WHILE_FRESH: Duration = Duration::from_secs(1);

/// How long a Sync rests at least before it is looked at again for versions of secrets.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// How long a sync that is out of time may take to write down what came of it.
const TO_WRITE_DOWN: Duration = Duration::from_secs(30);

/// Reconciles one Sync, if it is still there, and returns when to come back, or nothing to wait for a change. What goes wrong
/// stands in its status.
pub(super) async fn reconcile(sync: ObjectRef<Sync>, context: Arc<Context>) -> Option<Duration> {
    let sync = context.syncs.get(&sync)?;
    let owner = OwnerMark::new(sync.namespace().unwrap_or_default(), sync.name_any());
    let span = span::of_sync(&owner.namespace, &owner.name);
    let turn = Turn::of_sync(&sync, &context);
    context.alarms.begin(&owner);
    let pause = run(&sync, &context, &turn).instrument(span).await;
    context.alarms.end(&owner, &context.marks);
    turn.end(pause, context.syncs.get(&ObjectRef::from_obj(&*sync)).is_some());
    pause
}

/// Returns when to come back, or none to wait for a change.
async fn run(sync: &Sync, context: &Context, turn: &Turn<'_>) -> Option<Duration> {
    let job = match Job::new(context, sync) {
        Ok(job) => job,
        Err(trouble) => {
            let progress = Progress::default();
            let reason = sync_status::write(sync, context, &progress, Some(&trouble)).await;
            turn.synced(&progress, reason);
            return None;
        }
    };
    if sync.meta().deletion_timestamp.is_some() {
        return deletion::run(&job).await;
    }
    if sync.spec.suspend {
        context.let_others_go_on(&job.id);
        return None;
    }
    if is_source_pending(&job).await {
        return None; // it tells us when it was tried
    }
    let mut progress = context.untold.resume(&job.id.uid);
    let trouble = match add_finalizer(&job).await {
        Ok(()) => limited(&job, &mut progress).await.err(),
        Err(trouble) => Some(trouble),
    };
    if progress.is_too_fresh_to_tell(trouble.as_ref()) {
        turn.synced(&progress, Some(Reason::Progressing));
        context.untold.hold(&job.id.uid, progress);
        return Some(WHILE_FRESH);
    }
    let reason = sync_status::write(sync, context, &progress, trouble.as_ref()).await;
    turn.synced(&progress, reason);
    reason.into_iter().for_each(|reason| span::failed(&job.span, reason));
    Some(pause(&job, reason, trouble.as_ref()))
}

/// Tells whether the source is there and was not tried since the start, so that it is too early to say anything.
async fn is_source_pending(job: &Job<'_>) -> bool {
    tokio::select! {
        () = job.context.sources_filled.cancelled() => {}
        () = job.context.stop.cancelled() => return true,
    }
    let reference = ObjectRef::<GitSource>::new(&job.sync.spec.source_ref.name).within(job.namespace());
    job.context.sources.get(&reference).is_some_and(|source| !job.context.revisions.is_tried(&source))
}

/// Walks the line, and where that fails, holds the last good revision. Why that fails is only told where it is not for the same
/// reason.
async fn walk_or_hold(job: &Job<'_>, progress: &mut Progress) -> Result<(), Trouble> {
    let walked = walk_until_clear(job, progress).await;
    if let (Err(Trouble { stalled: true, .. }), Some((revision, _))) = (&walked, progress.revision()) {
        job.note_tried(revision);
    }
    let Err(trouble) = walked else { return Ok(()) };
    match job.step(Step::Hold, hold(job, progress, &trouble)).await {
        Err(more) if more.reason != trouble.reason => {
            let message = format!("{}; what others changed was not put back: {}", trouble.message, more.message);
            Err(Trouble { message, ..trouble })
        }
        _ => Err(trouble),
    }
}

/// Walks the line within `spec.timeout`. At that time nothing further is sent, and a little later the line is cut off, which is
/// like being killed: the next walk goes on from what was written down.
async fn limited(job: &Job<'_>, progress: &mut Progress) -> Result<(), Trouble> {
    let timeout = job.sync.spec.timeout.get() + TO_WRITE_DOWN;
    match tokio::time::timeout(timeout, walk_or_hold(job, progress)).await {
        Ok(result) => result,
        Err(_) => Err(Trouble::passing(
            Reason::TimedOut,
            format!("the sync did not end within {}", job.sync.spec.timeout),
            "it is tried again; raise spec.timeout if this revision needs longer",
        )),
    }
}

/// Walks the line, and once more where an object was there that was taken for new: nothing was done to it yet.
async fn walk_until_clear(job: &Job<'_>, progress: &mut Progress) -> Result<(), Trouble> {
    match walk(job, progress).await {
        Err(_) if job.look_closely.load(Ordering::Relaxed) => walk(job, progress).await,
        result => result,
    }
}

/// Returns when to come back. `reason` says why Ready isn't true, or why users can't see it.
fn pause(job: &Job<'_>, reason: Option<Reason>, trouble: Option<&Trouble>) -> Duration {
    let (spec, retries) = (&job.sync.spec, &job.context.retries);
    let unseen = (reason == Some(Reason::ApiUnavailable)).then_some(Duration::ZERO);
    if let Some(asked) = trouble.and_then(|trouble| trouble.soon).or(unseen) {
        return retries.pause(&job.id.uid, asked, spec.retry_interval.get());
    }
    retries.forget(&job.id.uid);
    match reason {
        None => due(job, spec.interval.get()),
        Some(Reason::Progressing) => {
            let soon = WHILE_PROGRESSING.min(spec.timeout.get());
            leases_due(job).map_or(soon, |due| due.min(soon))
        }
        Some(Reason::Terminating) if !sync_status::is_overdue(job.sync, job.context) => WHILE_TERMINATING,
        // What was good has secrets that are to be renewed in time.
        Some(_) => leases_due(job).map_or(spec.retry_interval.get(), |due| due.min(spec.retry_interval.get())),
    }
}

/// Returns how soon something that a store made has to be renewed or replaced; not before the Sync had some rest.
fn leases_due(job: &Job<'_>) -> Option<Duration> {
    let rest = job.began.elapsed().max(SHORTEST_REST);
    job.context.leases.due_in(&job.id.uid, Instant::now()).map(|due| due.max(rest))
}

/// Returns when the Sync is looked at again of itself: at its interval, or sooner where versions of secrets have to be asked for; but not
/// before it had rest for as long as it has worked, however short `refreshInterval` is.
fn due(job: &Job<'_>, interval: Duration) -> Duration {
    let rest = job.began.elapsed().max(SHORTEST_REST);
    let (uid, now) = (&job.id.uid, Instant::now());
    let due = job.context.versions.due_in(uid, now).map(|due| due.max(rest));
    due.into_iter().chain(leases_due(job)).min().map_or(interval, |due| due.min(interval))
}

/// Makes sure that the Sync can't vanish before what it applied was pruned.
async fn add_finalizer(job: &Job<'_>) -> Result<(), Trouble> {
    let with_ours = |names: &[String]| match names.iter().any(|name| name == FINALIZER) {
        true => names.to_vec(),
        false => [names, &[FINALIZER.to_owned()]].concat(),
    };
    change_finalizers(job, with_ours).await
}

/// Lets the Sync go.
pub(super) async fn remove_finalizer(job: &Job<'_>) -> Result<(), Trouble> {
    change_finalizers(job, |names| names.iter().filter(|name| *name != FINALIZER).cloned().collect()).await
}

async fn change_finalizers(job: &Job<'_>, change: impl Fn(&[String]) -> Vec<String>) -> Result<(), Trouble> {
    let known = Finalizers {
        uid: job.id.uid.clone(),
        version: job.sync.resource_version().unwrap_or_default(),
        names: job.sync.finalizers().to_vec(),
    };
    Ok(cluster::change_finalizers(&job.context.client, &report::path(job.sync), known, change).await?)
}
