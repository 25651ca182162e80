//! A Sync's reconcile: walk the line, say what came of it, and come back when there is a reason to.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tracing::Instrument;
use waxwing_plan::OwnerMark;

use super::context::Context;
use super::hold::hold;
use super::job::Job;
use super::measure::Turn;
use super::span::Step;
use super::sync_status::{self, Progress};
use super::trouble::Trouble;
use super::{deletion, span, walk};
use crate::api::{ConditionType, FINALIZER, GitSource, Reason, Sync};

/// How soon a Sync is looked at again whose objects are on their way out, in namespaces that nothing tells of.
const WHILE_TERMINATING: Duration = Duration::from_secs(2);

/// How soon a Sync is looked at again whose objects are on their way, if none of them tells how it is.
const WHILE_PROGRESSING: Duration = Duration::from_secs(30);

/// How long a Sync may be silent about objects that were changed just now and are on their way.
const WHILE_FRESH: Duration = Duration::from_secs(1);

/// How long a sync that is out of time may take to write down what came of it.
const TO_WRITE_DOWN: Duration = Duration::from_secs(30);

/// Reconciles one Sync; what goes wrong stands in its status, so there is no error to return.
///
/// # Errors
///
/// None.
pub(super) async fn reconcile(sync: Arc<Sync>, context: Arc<Context>) -> Result<Action, Infallible> {
    let owner = OwnerMark::new(sync.namespace().unwrap_or_default(), sync.name_any());
    let span = span::of_sync(&owner.namespace, &owner.name);
    let turn = Turn::of_sync(&sync, &context);
    context.alarms.begin(&owner);
    let pause = run(&sync, &context, &turn).instrument(span).await;
    context.alarms.end(&owner, &context.marks);
    turn.end(pause, context.syncs.get(&ObjectRef::from_obj(&*sync)).is_some());
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
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
        job.claims(&[]);
        job.wake_waiting();
        return None;
    }
    if is_source_pending(&job).await {
        return None; // it tells us when it was tried
    }
    let mut progress = context.statuses.resume(&job.id.uid);
    let trouble = match add_finalizer(&job).await {
        Ok(()) => limited(&job, &mut progress).await.err(),
        Err(trouble) => Some(trouble),
    };
    if progress.is_too_fresh_to_tell(trouble.as_ref()) {
        turn.synced(&progress, Some(Reason::Progressing));
        context.statuses.hold(&job.id.uid, progress);
        return Some(WHILE_FRESH);
    }
    let reason = sync_status::write(sync, context, &progress, trouble.as_ref()).await;
    turn.synced(&progress, reason);
    reason.into_iter().for_each(|reason| span::failed(&job.span, reason));
    Some(pause(sync, reason))
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
    progress.revision().inspect(|(revision, _)| job.note_tried(revision));
    let Err(trouble) = walked else { return Ok(()) };
    match job.step(Step::Hold, hold(job, progress)).await {
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

fn pause(sync: &Sync, result: Option<Reason>) -> Duration {
    match result {
        None => sync.spec.interval.get(),
        Some(Reason::Progressing) => WHILE_PROGRESSING.min(sync.spec.timeout.get()),
        Some(Reason::Terminating) if !is_overdue(sync) => WHILE_TERMINATING,
        Some(_) => sync.spec.retry_interval.get(),
    }
}

/// Tells whether Ready has been false for longer than a sync may take, by what is known from before.
fn is_overdue(sync: &Sync) -> bool {
    let conditions = sync.status.iter().flat_map(|status| &status.conditions);
    let mut unready =
        conditions.filter(|known| known.type_ == ConditionType::Ready.as_str() && known.status == "False");
    let since = unready.next().map(|ready| Timestamp::now().duration_since(ready.last_transition_time.0));
    since.and_then(|since| Duration::try_from(since).ok()).is_some_and(|since| since > sync.spec.timeout.get())
}

/// Makes sure that the Sync can't vanish before what it applied was pruned.
async fn add_finalizer(job: &Job<'_>) -> Result<(), Trouble> {
    if job.sync.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    let mut finalizers = job.sync.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    set_finalizers(job, finalizers).await
}

/// Replaces the finalizers, unless the Sync was written in between.
pub(super) async fn set_finalizers(job: &Job<'_>, finalizers: Vec<String>) -> Result<(), Trouble> {
    let api: Api<Sync> = Api::namespaced(job.context.client.clone(), job.namespace());
    let metadata = json!({"finalizers": finalizers, "resourceVersion": job.sync.resource_version()});
    let patch = Patch::Merge(json!({"metadata": metadata}));
    match api.patch_metadata(&job.sync.name_any(), &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.code == 403 => {
            let hint = "grant the controller what its ClusterRole lists";
            Err(Trouble::passing(Reason::Forbidden, "the controller may not write the finalizer", hint))
        }
        Err(_) => Err(Trouble::passing(Reason::ApiUnavailable, "failed to write the finalizer", "it is tried again")),
    }
}
