//! Proofs that a plan was carried out. Deleting needs them, and nothing but the checks here makes them.

use std::collections::BTreeMap;

use crate::health::{Health, HealthStatus};
use crate::inventory::Results;
use crate::steps::{Change, Step};
use crate::{Digest, ObjectId, Plan};

/// Proves that every object of one plan is applied. Nothing but [`check`](Self::check) makes one:
///
/// ```compile_fail,E0451
/// let forged = waxwing_plan::AllApplied { plan: "00".repeat(32).parse().unwrap() };
/// ```
#[derive(Debug)]
pub struct AllApplied {
    plan: Digest,
}

impl AllApplied {
    /// Checks that every object that `plan` sends was applied, and that none is awaited.
    ///
    /// # Errors
    ///
    /// Returns the objects that are not applied, in order.
    pub fn check(plan: &Plan, results: &Results) -> Result<Self, Vec<ObjectId>> {
        let missing = |step: &&Step| match step.change {
            Change::Terminating => true,
            Change::Unchanged | Change::Skipped | Change::Left { .. } => false,
            _ => !results.applied.contains_key(&step.manifest.id),
        };
        let missing: Vec<_> = plan.steps().iter().filter(missing).map(|step| step.manifest.id.clone()).collect();
        if missing.is_empty() { Ok(Self { plan: plan.fingerprint() }) } else { Err(missing) }
    }

    pub(crate) fn plan(&self) -> Digest {
        self.plan
    }
}

/// Proves that every object of one plan is applied and healthy. Nothing but [`check`](Self::check) makes one:
///
/// ```compile_fail,E0451
/// let forged = waxwing_plan::AllHealthy { plan: "00".repeat(32).parse().unwrap() };
/// ```
#[derive(Debug)]
pub struct AllHealthy {
    plan: Digest,
}

impl AllHealthy {
    /// Checks that every object of `plan` whose health matters is current.
    ///
    /// # Errors
    ///
    /// Returns the objects that are not, in order, with what is known of them; nothing where their health was not
    /// read. A proof of another plan makes every object unhealthy.
    pub fn check(
        plan: &Plan,
        applied: &AllApplied,
        health: &BTreeMap<ObjectId, Health>,
    ) -> Result<Self, Vec<(ObjectId, Option<Health>)>> {
        let current = |id| applied.plan == plan.fingerprint() && is_current(health.get(id));
        let sick: Vec<_> = plan
            .with_health()
            .map(|step| &step.manifest.id)
            .filter(|id| !current(id))
            .map(|id| (id.clone(), health.get(id).cloned()))
            .collect();
        match sick.is_empty() && applied.plan == plan.fingerprint() {
            true => Ok(Self { plan: plan.fingerprint() }),
            false => Err(sick),
        }
    }

    pub(crate) fn plan(&self) -> Digest {
        self.plan
    }
}

fn is_current(health: Option<&Health>) -> bool {
    health.is_some_and(|health| health.status == HealthStatus::Current)
}
