//! The straight line: from a commit to a cluster that is equal to it.
//!
//! [`walk`] is the whole of a reconcile, one line a step; each step consumes what the one before it made. Plaintext exists
//! between `unseal` and `apply`, and nowhere else: before that there are handles, after that there is metadata.
//! What this room adds to the others is order, retry, and the mapping of every error to a reason that users see.

mod audit;
mod backend_status;
mod backends;
mod context;
mod controllers;
mod credentials;
mod deletion;
mod drift;
mod fetch;
mod foreign;
mod forget;
mod hold;
mod job;
mod leases;
mod measure;
mod queue;
mod report;
mod retry;
mod rivals;
mod source_status;
mod span;
mod statuses;
mod steps;
mod sync;
mod sync_status;
mod tries;
mod trouble;
mod versions;
mod waits;
mod watched;

pub use audit::TARGET as AUDIT_TARGET;
pub use backend_status::{BackendNews, BackendStandings};
pub use backends::{ClusterSecrets, KeyServices, Logins, Paces};
pub use context::{Context, Revisions};
pub use controllers::{Heard, WatchedBackends, run};
pub use deletion::Endings;
pub use drift::{Alarms, Contests};
pub use foreign::foreign_stores;
pub use hold::LastGood;
pub use job::{Accounts, Job};
pub use leases::Leases;
pub(crate) use queue::{Place, Times, give_turns_with_places, received};
pub use retry::Retries;
pub use rivals::Rivals;
pub use statuses::Statuses;
pub use steps::{HealthCache, RenderCache};
pub use sync_status::{Progress, Untold};
pub use tries::Tries;
pub use trouble::Trouble;
pub use versions::VersionMemory;
pub use waits::Waits;
pub use watched::Watched;

use span::Step;
use steps::{apply, dry_run, end_unused, fetch, health, live, plan, probe, prune, read, record, render, unseal};

/// Makes the cluster equal to the revision that the Sync's source has, as far as that is allowed.
///
/// What was reached is left in `progress`, also when a step fails. Every step can be repeated, so a reconcile that was cut
/// off anywhere is simply walked again.
///
/// # Errors
///
/// Returns what stopped the line; the steps after that were not taken.
pub async fn walk(job: &Job<'_>, progress: &mut Progress) -> Result<(), Trouble> {
    let fetched = job.step(Step::Fetch, async { fetch(job, progress) }).await?;
    let sources = job.step(Step::Read, read(job, &fetched)).await?;
    let rendered = job.step(Step::Render, render(job, sources, progress)).await?;

    let known = job.step(Step::Load, record::load(job)).await?;
    let live = job.step(Step::Live, live(job, &rendered, &known, progress)).await?;
    let mut probed = job.step(Step::Probe, probe(job, &rendered, &live, progress)).await?;
    let plan = job.step(Step::Plan, plan(job, &rendered, &probed, &known, &live, progress)).await?;

    let opened = job.step(Step::Unseal, unseal(job, &plan, &rendered, &mut probed, &known, &live, progress)).await?;
    let passed = job.step(Step::DryRun, dry_run(job, opened, progress)).await?;
    let known = job.step(Step::BeforeApply, record::before_apply(job, &plan, known)).await?;
    let applied = job.step(Step::Apply, async { Ok(apply(job, &plan, passed, progress).await) }).await?;
    let known = job.step(Step::AfterApply, record::after_apply(job, &plan, known, &applied)).await?;
    let all_applied = applied.proof(job, &plan, progress)?;
    job.context.last_good.keep(job, fetched.revision.to_string(), rendered.clone(), probed.versions);

    let healthy = job.step(Step::Health, health(job, &plan, &all_applied, progress)).await?;
    let pruned = job.step(Step::Prune, prune(job, &plan, &all_applied, healthy.as_ref(), progress)).await?;
    job.step(Step::AfterPrune, record::after_prune(job, known, &pruned)).await?;
    end_unused(job, &rendered, &pruned.results.deleted);
    pruned.verdict()
}
