//! Changing the cluster: apply, and, with the proofs for it, prune.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use waxwing_plan::inventory::{Applied as AppliedObject, Outcome, Results};
use waxwing_plan::{AllApplied, AllHealthy, ObjectId, Plan};

use super::healthy::note_created;
use super::open::Unsealed;
use crate::api::{Failure, Reason};
use crate::cluster::{self, Deleted, Judged, Landed, Privacy, Request, Requests, Session, Verb};
use crate::reconcile::trouble::{of_apply, passes};
use crate::reconcile::{Job, Progress, Trouble};

/// What came of the apply step.
pub(in crate::reconcile) struct Applied {
    pub(in crate::reconcile) results: Results,
    pub(in crate::reconcile) failures: Vec<cluster::Failure>,
    pub(in crate::reconcile) verified: BTreeSet<String>,
}

/// What came of the prune step.
#[derive(Default)]
pub(in crate::reconcile) struct Pruned {
    pub(in crate::reconcile) results: Results,
    failures: Vec<Failure>,
    /// Whether the failures may be gone in a moment, as [`Trouble::soon`] has it.
    soon: Option<Duration>,
    guard: Option<Trouble>,
}

/// Requests that have passed their dry run, and the connection over which they are sent. Not `Debug`.
pub(in crate::reconcile) struct DryRun<'a> {
    unsealed: Unsealed,
    passed: Option<(Session<'a>, Judged)>,
}

/// Has everything that was opened judged by the API server, as the tenant, over connections that are closed after the apply
/// where they carry secret values.
pub(in crate::reconcile) async fn dry_run<'a>(
    job: &Job<'a>,
    unsealed: Unsealed,
    progress: &mut Progress,
) -> Result<DryRun<'a>, Trouble> {
    let requests = unsealed.recorded.requests();
    if requests.is_empty() {
        return Ok(DryRun { unsealed, passed: None });
    }
    job.check_account(progress.revision().map_or("", |(revision, _)| revision)).await?;
    let session = session_for(job, requests)?;
    match session.dry_run(requests).await {
        Ok(judged) => Ok(DryRun { unsealed, passed: Some((session, judged)) }),
        Err(failures) => {
            look_closely(job, &failures);
            progress.refused(&failures);
            Err(of_apply(&failures, &job.account.to_string()))
        }
    }
}

/// Has every object asked for next time, where one was there that was taken for absent.
fn look_closely(job: &Job<'_>, failures: &[cluster::Failure]) {
    if failures.iter().any(|failure| failure.cause == cluster::Cause::AlreadyThere) {
        job.look_closely.store(true, Ordering::Relaxed);
    }
}

/// Applies what passed its dry run.
pub(in crate::reconcile) async fn apply(
    job: &Job<'_>,
    plan: &Plan,
    dry_run: DryRun<'_>,
    progress: &mut Progress,
) -> Applied {
    let Unsealed { recorded, issued, verified } = dry_run.unsealed;
    let sending = job.context.leases.send(job, issued);
    let applied = match dry_run.passed {
        Some((session, judged)) => {
            let note = |request: &Request, landed: &Landed| recorded.landed(request, landed);
            session.apply(recorded.requests(), judged, &note).await
        }
        None => cluster::Applied::default(),
    };
    look_closely(job, &applied.failures);
    sending.arrived(&applied.landed.iter().map(|landed| landed.id.clone()).collect());
    applied.landed.iter().for_each(|landed| job.context.marks.note_applied(&landed.id, &landed.mark));
    note_created(job, plan, &applied.landed);
    job.context.contests.note(&job.id.uid, plan, job.sync.spec.interval.get(), Instant::now());
    progress.applied(&applied);
    let results = Results { applied: applied.landed.into_iter().map(landed).collect(), deleted: BTreeSet::new() };
    Applied { results, failures: applied.failures, verified }
}

fn session_for<'a>(job: &Job<'a>, requests: &Requests) -> Result<Session<'a>, Trouble> {
    let is_public = requests.iter().all(|request| request.privacy() == Privacy::Public);
    if is_public { Ok(public_session(job)) } else { session(job) }
}

/// Goes over the connections that all share, for what neither brings secret values nor is answered with some.
pub(in crate::reconcile) fn public_session<'a>(job: &Job<'a>) -> Session<'a> {
    session_over(job.context.client.clone(), job)
}

/// Opens connections of this sync's own: they carry secret values, and end with it.
pub(super) fn session<'a>(job: &Job<'a>) -> Result<Session<'a>, Trouble> {
    let client = job.context.server.connect_to_write().map_err(|_| {
        Trouble::passing(Reason::Internal, "failed to open a connection to the API server", "it is tried again")
    })?;
    Ok(session_over(client, job))
}

fn session_over<'a>(client: kube::Client, job: &Job<'a>) -> Session<'a> {
    Session { client, identity: job.identity(), kinds: &job.context.kinds, deadline: job.deadline }
}

fn landed(landed: Landed) -> (ObjectId, AppliedObject) {
    let outcome = match landed.verb {
        Verb::Created => Outcome::Created,
        Verb::Configured => Outcome::Configured,
        Verb::Unchanged => Outcome::Unchanged,
    };
    (landed.id, AppliedObject { uid: landed.mark.uid, field_mark: landed.mark.field_mark, outcome })
}

impl Applied {
    /// Returns the proof that everything was applied, which deleting needs.
    pub(in crate::reconcile) fn proof(
        &self,
        job: &Job<'_>,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<AllApplied, Trouble> {
        if !self.failures.is_empty() {
            return Err(of_apply(&self.failures, &job.account.to_string()));
        }
        let proof = AllApplied::check(plan, &self.results).map_err(|missing| awaited(&missing))?;
        progress.all_applied();
        Ok(proof)
    }
}

fn awaited(missing: &[ObjectId]) -> Trouble {
    let message = "it, or its namespace, is being deleted; hint: it is applied again once it is gone";
    let failure = |id: &ObjectId| Failure::new(id, Reason::Terminating, message.to_owned());
    Trouble::of_failures(missing.iter().map(failure).collect(), false)
}

/// Deletes what left the revision, if the plan's guards and the proofs allow it.
pub(in crate::reconcile) async fn prune(
    job: &Job<'_>,
    plan: &Plan,
    applied: &AllApplied,
    healthy: Option<&AllHealthy>,
    progress: &mut Progress,
) -> Result<Pruned, Trouble> {
    let guard = plan.gone().guard.as_ref().filter(|_| job.sync.spec.prune.enabled);
    let guard = guard.map(|guard| Trouble::lasting(Reason::PruneRefused, guard, guard.hint()));
    if plan.gone().to_delete().next().is_none() {
        return Ok(Pruned { guard, ..Pruned::default() });
    }
    if let Some(other) = progress.awaited() {
        job.wait_for(other);
        let name = &other.name;
        let fact =
            format!("what left Git goes once Sync {name} has tried this revision, since that may render it by now");
        return Err(Trouble::passing(Reason::Progressing, fact, ""));
    }
    let deletions = plan.deletions(applied, healthy).map_err(|error| {
        Trouble::passing(Reason::PruneFailed, error, "it is tried again once the objects are healthy")
    })?;
    let session = public_session(job);
    let mut pruned = Pruned { guard, ..Pruned::default() };
    for deletion in deletions {
        match session.delete(deletion).await {
            Ok(Deleted::Left) => {
                pruned.soon = pruned.soon.max(Some(Duration::ZERO));
                pruned.failures.push(touched(deletion.id()));
            }
            Ok(Deleted::Deleted | Deleted::Absent) => {
                job.context.marks.note_deleted(deletion.id());
                pruned.results.deleted.insert(deletion.id().clone());
            }
            Err(cause) => {
                pruned.soon = pruned.soon.max(passes(&cause));
                pruned.failures.push(undeleted(deletion.id(), &cause, job));
            }
        }
    }
    progress.pruned(&pruned.results.deleted, pruned.failures.len());
    Ok(pruned)
}

/// Describes an object that somebody wrote to while it was being pruned: what that means, the next plan says.
fn touched(id: &ObjectId) -> Failure {
    let message = "it was changed while it was to be deleted; hint: it is looked at again".to_owned();
    Failure::new(id, Reason::PruneFailed, message)
}

/// Describes an object that could not be deleted.
pub(in crate::reconcile) fn undeleted(id: &ObjectId, cause: &cluster::Cause, job: &Job<'_>) -> Failure {
    let code = match cause {
        cluster::Cause::Call(error) => error.code(),
        _ => None,
    };
    let hint = match code {
        Some(401 | 403) => format!("let ServiceAccount {} delete it", job.account),
        _ => "it is tried again".to_owned(),
    };
    let message = format!("failed to delete it: {cause}; hint: {hint}");
    Failure::new(id, Reason::PruneFailed, message)
}

impl Pruned {
    /// Says whether everything that should go is gone.
    pub(in crate::reconcile) fn verdict(self) -> Result<(), Trouble> {
        match (self.failures.is_empty(), self.guard) {
            (false, _) => Err(Trouble { soon: self.soon, ..Trouble::of_failures(self.failures, false) }),
            (true, Some(guard)) => Err(guard),
            (true, None) => Ok(()),
        }
    }
}
