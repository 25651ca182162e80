//! Starting and stopping: arguments, telemetry, hardening, the leader's lease, shutdown.
//!
//! What this is not: anything that knows Git, a secret or a resource. `start` hands the assembled parts to
//! `reconcile` and `server` and waits.

mod args;
mod hardening;
mod lease;
mod lease_args;
mod sealing_args;
mod start;
mod telemetry;
mod traces;

pub use args::{Args, LogFormat};
pub use hardening::{HardeningError, harden};
pub use lease::{LeaseError, Timing, TimingError};
pub use lease_args::LeaseArgs;
pub use sealing_args::{Order, SealingArgs, Spell};
pub use start::{StartError, start};
pub use telemetry::{Telemetry, TelemetryError, speak};
pub use traces::TracesError;
