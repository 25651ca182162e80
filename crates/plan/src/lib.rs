//! What to do to a cluster, decided as a pure function of what should be and what is.
//!
//! Manifests, the inventory and live marks go in; ordered steps come out. A manifest holds handles where secrets
//! belong, so everything here may be printed. This crate knows no secret, does no I/O and reads no clock.

mod decide;
pub mod diff;
mod digest;
mod error;
mod gone;
pub mod health;
mod ignore;
pub mod inventory;
mod live;
mod manifest;
mod marks;
mod object;
mod proof;
#[cfg(test)]
mod properties;
mod scope;
mod stage;
mod steps;
#[cfg(test)]
mod testing;

pub use decide::{DriftPolicy, Inputs, Live, Retirement, duplicates, plan, retire};
pub use digest::{Digest, DigestContext, DigestFormatError, desired_digest};
pub use error::PlanError;
pub use gone::{Deletion, Gone, Kept, KeptBecause, PruneGuard, PrunePolicy, Recheck, Released, ReleasedBecause};
pub use ignore::{FieldPath, IgnoreRule, ParseFieldPathError};
pub use inventory::Inventory;
pub use live::{FieldMark, LiveMark, LiveMarkError, LiveOwner, ManagerMark, Touch};
pub use manifest::mark;
pub use marks::{
    DRIFT_ANNOTATION, EXPAND_ANNOTATION, FIELD_MANAGER, OwnerMark, PRUNE_ANNOTATION, PruneMark, RECONCILE_ANNOTATION,
    SYNC_LABEL, SYNC_NAME_ANNOTATION, Steering,
};
pub use object::{GroupKind, Location, Manifest, ObjectId, SecretMark, split_api_version};
pub use proof::{AllApplied, AllHealthy};
pub use scope::{Scope, builtin_scope};
pub use stage::Stage;
pub use steps::{Change, LeftBecause, Plan, ProofError, Step, Summary};
