//! Starting and stopping: arguments, telemetry, hardening, shutdown.
//!
//! What this is not: anything that knows Git, a secret or a resource. `start` hands the assembled parts to
//! `reconcile` and `server` and waits.

mod args;
mod hardening;
mod sealing_args;
mod start;
mod telemetry;
mod traces;

pub use args::{Args, LogFormat};
pub use hardening::{HardeningError, harden};
pub use sealing_args::{Order, SealingArgs, Spell};
pub use start::{StartError, start};
pub use telemetry::{Telemetry, TelemetryError, speak};
pub use traces::TracesError;
