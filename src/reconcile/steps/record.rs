//! The inventory around the changes: what is about to be applied is written down first.

use waxwing_plan::inventory::Inventory;
use waxwing_plan::{ObjectId, Plan};

use super::change::{Applied, Pruned};
use crate::api::Reason;
use crate::cluster::CallError;
use crate::cluster::inventory::Stored;
use crate::reconcile::{Job, Trouble};

/// Loads what earlier syncs have applied.
pub(in crate::reconcile) async fn load(job: &Job<'_>) -> Result<Stored, Trouble> {
    job.context.inventories.load(&job.id).await.map_err(trouble)
}

/// Writes the union of what was applied and what is about to be.
pub(in crate::reconcile) async fn before_apply(job: &Job<'_>, plan: &Plan, known: Stored) -> Result<Stored, Trouble> {
    let union = known.inventory.union(plan);
    write(job, known, union).await
}

/// Writes down the objects that another Sync has, so that it hands them over when it drops them.
pub(in crate::reconcile) async fn wanted(
    job: &Job<'_>,
    known: &Stored,
    objects: &[(ObjectId, String)],
) -> Result<(), Trouble> {
    let wanting = known.inventory.wanting(objects.iter().map(|(id, version)| (id, version.as_str())));
    write(job, known.clone(), wanting).await.map(|_| ())
}

/// Writes what was applied, also when something failed.
pub(in crate::reconcile) async fn after_apply(
    job: &Job<'_>,
    plan: &Plan,
    known: Stored,
    applied: &Applied,
) -> Result<Stored, Trouble> {
    let mut next = known.inventory.after_apply(&applied.results);
    if applied.failures.is_empty() {
        next = next.without_released(plan);
        next.verified = applied.verified.clone();
    }
    let stored = write(job, known, next).await?;
    if !plan.gone().released.is_empty() {
        job.context.wake(job.context.rivals.claimants(&job.id.mark));
    }
    Ok(stored)
}

/// Writes what was deleted.
pub(in crate::reconcile) async fn after_prune(job: &Job<'_>, known: Stored, pruned: &Pruned) -> Result<(), Trouble> {
    let next = known.inventory.without_deleted(&pruned.results.deleted);
    write(job, known, next).await.map(|_| ())
}

/// Writes the inventory.
pub(in crate::reconcile) async fn write(job: &Job<'_>, known: Stored, next: Inventory) -> Result<Stored, Trouble> {
    known.replace(&job.context.inventories, &job.id, next).await.map_err(trouble)
}

fn trouble(error: CallError) -> Trouble {
    Trouble::outage(Reason::InventoryFailed, &error, "it is tried again; nothing is applied until it works")
}
