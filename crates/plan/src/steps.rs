//! A plan: the ordered steps that lead from what is to what should be.

use std::fmt;

use serde::Serialize;

use crate::gone::{Deletion, Gone};
use crate::health::is_worth_reading;
use crate::live::{LiveOwner, ManagerMark};
use crate::marks::OwnerMark;
use crate::proof::{AllApplied, AllHealthy};
use crate::{Digest, FieldPath, Manifest, ObjectId, Stage};

/// How a rendered object differs from the live one. What is no longer rendered is in [`Gone`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It does not exist; it will be created.
    New,
    /// Git, or what its secrets depend on, has changed since it was applied.
    Changed,
    /// Somebody wrote over it since it was applied.
    Drifted {
        /// Who wrote at or after that, last one first; empty when the cluster doesn't say.
        by: Vec<ManagerMark>,
    },
    /// It was applied as Git has it, and somebody deleted it since; it will be created again.
    Missing,
    /// Somebody wrote over it or deleted it, and that is told but not reverted.
    Left {
        /// Who wrote since it was applied, last one first; empty when the cluster doesn't say or it was deleted.
        by: Vec<ManagerMark>,
        /// Why it is not reverted.
        why: LeftBecause,
    },
    /// It exists and is taken over.
    Adopted {
        /// The Sync that no longer renders it; none when it had no owner.
        from: Option<LiveOwner>,
    },
    /// It is as it should be; nothing is opened or sent.
    Unchanged,
    /// `waxwing.dev/reconcile: Disabled` stands on it; it is left alone.
    Skipped,
    /// It, or its namespace, is being deleted; it is awaited.
    Terminating,
}

impl Change {
    /// Tells whether the object is sent.
    pub fn is_sent(&self) -> bool {
        matches!(self, Self::New | Self::Missing | Self::Changed | Self::Drifted { .. } | Self::Adopted { .. })
    }
}

/// Why drift is not reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBecause {
    /// The Sync only wants to be told.
    Alert,
    /// Somebody writes over it again and again.
    Contested,
}

/// One rendered object and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The object with our marks and with handles in place of secrets; where it exists, without what is left to others.
    pub manifest: Manifest,
    /// The fields that Git has and the Sync leaves to others: they are sent on creation only.
    pub left_to_others: Vec<FieldPath>,
    /// What happens to it.
    pub change: Change,
    /// The stage in which it happens.
    pub stage: Stage,
    /// The digest of the object as it should be.
    pub digest: Digest,
    /// The uid of the live object, where it exists.
    pub uid: Option<String>,
}

/// How many objects get what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Objects that will be created.
    pub create: usize,
    /// Objects that will be changed, reverted or taken over.
    pub change: usize,
    /// Objects that will be deleted.
    pub delete: usize,
    /// Objects that are as they should be.
    pub unchanged: usize,
    /// Objects that are left alone or awaited.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Summary {
    /// Tells whether nothing will be created, changed or deleted.
    pub fn is_empty(&self) -> bool {
        self.create + self.change + self.delete == 0
    }
}

impl fmt::Display for Summary {
    /// Writes `3 to create, 1 to change, 1 to delete, 12 unchanged`, and the skipped ones where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { create, change, delete, unchanged, skipped } = self;
        write!(f, "{create} to create, {change} to change, {delete} to delete, {unchanged} unchanged")?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

/// What to do, in order. Made by [`plan`](crate::plan) alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) gone: Gone,
    pub(crate) wait: bool,
    pub(crate) owner: OwnerMark,
    pub(crate) fingerprint: Digest,
}

/// A proof of another plan, or no proof that the objects are healthy where the Sync asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof is about another plan.
    #[error("the proof belongs to another plan")]
    OtherPlan,
    /// The Sync waits for health, and health was not proven.
    #[error("the objects are not proven to be healthy")]
    HealthNotProven,
}

impl Plan {
    /// Returns one step for each rendered object, in the order of application.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the steps that send something.
    pub fn to_send(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.change.is_sent())
    }

    /// Returns what is no longer rendered.
    pub fn gone(&self) -> &Gone {
        &self.gone
    }

    /// Tells what the proofs of this plan are about.
    pub(crate) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Returns what to delete, in order: the only way to it while the Sync exists.
    ///
    /// # Errors
    ///
    /// When a proof is about another plan, or when the Sync waits for health and that is not proven.
    pub fn deletions(&self, applied: &AllApplied, healthy: Option<&AllHealthy>) -> Result<&[Deletion], ProofError> {
        let same_plan =
            applied.plan() == self.fingerprint && healthy.is_none_or(|proof| proof.plan() == self.fingerprint);
        match () {
            () if !same_plan => Err(ProofError::OtherPlan),
            () if self.wait && healthy.is_none() => Err(ProofError::HealthNotProven),
            () => Ok(self.gone.deletions()),
        }
    }

    /// Counts what happens.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { delete: self.gone.deletions().len(), ..Summary::default() };
        for step in &self.steps {
            match step.change {
                Change::New | Change::Missing => summary.create += 1,
                Change::Changed | Change::Drifted { .. } | Change::Adopted { .. } => summary.change += 1,
                Change::Unchanged => summary.unchanged += 1,
                Change::Skipped | Change::Terminating | Change::Left { .. } => summary.skipped += 1,
            }
        }
        summary
    }

    /// Returns the steps whose objects have a health that matters: not of what is left alone, of kinds that are well as soon as
    /// they exist, or of the Sync that this plan is for, which would wait for itself.
    pub fn with_health(&self) -> impl Iterator<Item = &Step> {
        let matters = |step: &&Step| {
            let id = &step.manifest.id;
            step.change != Change::Skipped && is_worth_reading(&step.manifest) && !self.owner.is_sync(id)
        };
        self.steps.iter().filter(matters)
    }

    /// Returns the objects that are not as they were applied and are left so.
    pub fn left(&self) -> impl Iterator<Item = (&ObjectId, &[ManagerMark], LeftBecause)> {
        self.steps.iter().filter_map(|step| match &step.change {
            Change::Left { by, why } => Some((&step.manifest.id, by.as_slice(), *why)),
            _ => None,
        })
    }
}
