//! While a revision can't be applied, the last good one is held: what others do to its objects is told and put back.
//!
//! Nothing else of it is applied, what the failing revision has changed already stays, and nothing is pruned. What was good
//! is kept in memory alone, so after a restart drift waits until a revision has been applied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::job::Job;
use super::steps::{apply, decide, dry_run, live, record, refused, unseal};
use super::sync_status::Progress;
use super::trouble::{Trouble, of_apply};
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
}

impl LastGood {
    /// Notes that every object of a revision was applied.
    pub(super) fn keep(&self, job: &Job<'_>, revision: String, rendered: Arc<Rendered>) {
        let good = Good { generation: job.sync.metadata.generation, revision, rendered };
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

/// Puts back what others did to the last good revision, unless that is the one that was just tried.
///
/// # Errors
///
/// Returns what stopped it; what was put back until then is in `progress`.
pub(super) async fn hold(job: &Job<'_>, progress: &mut Progress) -> Result<(), Trouble> {
    let good = job.context.last_good.get(job).filter(|good| !progress.has_tried(&good.revision));
    let Some(Good { revision, rendered, .. }) = good else { return Ok(()) };
    let mut held = Progress::default();
    held.attempt(revision, None);
    let result = revert(job, &rendered, &mut held).await;
    progress.holds(held);
    result
}

async fn revert(job: &Job<'_>, rendered: &Rendered, held: &mut Progress) -> Result<(), Trouble> {
    let known = record::load(job).await?;
    let live = live(job, rendered, &known, held).await?;
    let drift = decide(job, rendered, &known, &live).map_err(|errors| refused(&errors))?.drift_alone();
    held.planned(&drift);
    if drift.to_send().next().is_none() {
        return Ok(());
    }
    let opened = unseal(job, &drift, rendered, &known, &live, held).await?;
    let passed = dry_run(job, opened, held).await?;
    let known = record::before_apply(job, &drift, known).await?;
    let applied = apply(job, &drift, passed, held).await;
    record::after_apply(job, &drift, known, &applied).await?;
    match applied.failures.is_empty() {
        true => Ok(()),
        false => Err(of_apply(&applied.failures, &job.account.to_string())),
    }
}
