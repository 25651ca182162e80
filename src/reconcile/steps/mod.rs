//! The steps of the straight line, each a function that turns one room's result into the next room's input.

mod change;
mod desired;
mod gathered;
mod healthy;
mod leased;
mod open;
mod other_references;
mod planned;
mod probe;
pub(super) mod record;

pub(super) use change::{apply, dry_run, prune, public_session, undeleted};
pub use desired::RenderCache;
pub(super) use desired::{fetch, read, render};
pub use healthy::HealthCache;
pub(super) use healthy::health;
pub(super) use leased::{end_unused, hold_leases, leases_as_applied};
pub(super) use open::unseal;
pub(super) use planned::{decide, live, plan, refused, retirement};
pub(super) use probe::{Probed, probe};
