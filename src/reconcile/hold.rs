//! While a revision can't be applied, the last good one is held: what others do to its objects is told and put back.
//!
//! So is what stores made for its objects: that is renewed, and replaced where it has to be. Nothing else of it is applied, what the failing revision has changed already stays, and nothing is pruned. What was good
//! is kept in memory alone, so after a restart drift waits until a revision has been applied.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxwing_plan::{Change, ObjectId, Plan, Step};

use super::job::Job;
use super::steps::{Probed, apply, decide, dry_run, hold_leases, leases_as_applied, live, record, refused, unseal};
use super::sync_status::Progress;
use super::trouble::{Trouble, of_apply};
use super::versions::Versions;
use crate::api::Reason;
use crate::render::Rendered;

/// The last revision of each Sync that was applied as a whole, by the uid of the Sync.
#[derive(Default)]
pub struct LastGood(Mutex<HashMap<String, Good>>);

/// A revision as it was rendered, and the generation of the Sync that it was applied for.
#[derive(Clone)]
struct Good {
    generation: Option<i64>,
    revision: String,
    rendered: Arc<Rendered>,
    /// Which versions of secrets of stores were applied with it.
    versions: Arc<Versions>,
}

impl LastGood {
    /// Notes that every object of a revision was applied.
    pub(super) fn keep(&self, job: &Job<'_>, revision: String, rendered: Arc<Rendered>, versions: Arc<Versions>) {
        let good = Good { generation: job.sync.metadata.generation, revision, rendered, versions };
        self.all().insert(job.id.uid.clone(), good);
    }

    /// Returns what was good under the spec that the Sync has now.
    fn get(&self, job: &Job<'_>) -> Option<Good> {
        self.all().get(&job.id.uid).filter(|good| good.generation == job.sync.metadata.generation).cloned()
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, sync: &str) {
        self.all().remove(sync);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Good>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts back what others did to the last good revision, unless that is the one that was just tried. Where that failed for a store, it is
/// held all the same: what needs no store is put back, and so is the rest as far as stores have what was applied.
///
/// # Errors
///
/// Returns what stopped it; what was put back until then is in `progress`.
pub(super) async fn hold(job: &Job<'_>, progress: &mut Progress, trouble: &Trouble) -> Result<(), Trouble> {
    let is_for_store = is_of_store(trouble);
    let good = job.context.last_good.get(job).filter(|good| is_for_store || !progress.has_tried(&good.revision));
    let Some(Good { revision, rendered, versions, .. }) = good else { return Ok(()) };
    let mut held = Progress::default();
    held.attempt(revision, None);
    let may_ask = trouble.reason != Reason::StoreUnavailable;
    let result = revert(job, &rendered, versions, may_ask, &mut held).await;
    progress.holds(held);
    result
}

/// Tells whether it was a secret store that had no answer, or not the right one, or the backend that leads there.
fn is_of_store(trouble: &Trouble) -> bool {
    use Reason::{KeyNotAllowed, KeysUnavailable};
    use Reason::{ReferenceDenied, ReferenceNotFound, ReferenceRefused, StoreUnavailable};
    let of_store = [ReferenceDenied, ReferenceNotFound, ReferenceRefused, StoreUnavailable];
    of_store.contains(&trouble.reason) || [KeysUnavailable, KeyNotAllowed].contains(&trouble.reason)
}

/// Returns the objects that are as the revision has them, or were. What another revision has changed already stays.
fn settled(plan: &Plan) -> BTreeSet<ObjectId> {
    let is_settled = |step: &&Step| matches!(step.change, Change::Unchanged | Change::Drifted { .. } | Change::Missing);
    plan.steps().iter().filter(is_settled).map(|step| step.manifest.id.clone()).collect()
}

async fn revert(
    job: &Job<'_>,
    rendered: &Rendered,
    versions: Arc<Versions>,
    may_ask: bool,
    held: &mut Progress,
) -> Result<(), Trouble> {
    let known = record::load(job).await?;
    let live = live(job, rendered, &known, held).await?;
    let versions = leases_as_applied(job, rendered, versions);
    let plan = decide(job, rendered, &versions, &known, &live).map_err(|errors| refused(&errors))?;
    let (drift, versions) = match hold_leases(job, rendered, &versions, &settled(&plan), may_ask).await {
        None => (plan.drift_alone(), versions),
        Some((versions, replaced)) => {
            let plan = decide(job, rendered, &versions, &known, &live).map_err(|errors| refused(&errors))?;
            (plan.drift_and(&replaced), Arc::new(versions))
        }
    };
    held.planned(&drift);
    if drift.to_send().next().is_none() {
        return Ok(());
    }
    let mut probed = Probed::before(job, rendered, versions, held);
    let (drift, opened) = match unseal(job, &drift, rendered, &mut probed, &known, &live, held).await {
        Err(trouble) if is_of_store(&trouble) => {
            let rest = drift.without(&rendered.references().keys().collect());
            let opened = unseal(job, &rest, rendered, &mut probed, &known, &live, held).await?;
            (rest, opened)
        }
        opened => (drift, opened?),
    };
    let passed = dry_run(job, opened, held).await?;
    let known = record::before_apply(job, &drift, known).await?;
    let applied = apply(job, &drift, passed, held).await;
    record::after_apply(job, &drift, known, &applied).await?;
    match applied.failures.is_empty() {
        true => Ok(()),
        false => Err(of_apply(&applied.failures, &job.account.to_string())),
    }
}
