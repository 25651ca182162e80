//! Which of several controllers writes: the one that holds a Lease (`coordination.k8s.io/v1`), whose fields mean what client-go's
//! `tools/leaderelection` 0.36 means by them, so that `kubectl get lease` tells who leads.
//!
//! Nobody trusts another's clock. Whoever follows takes the lease when it was given up, or when its record has not changed for as long as it
//! says, on the follower's own clock; whoever leads has stopped writing before that (`cluster/fence.rs`), also where its process stood
//! still. Every update names the resourceVersion that it changes. What is unlike client-go: the Lease is watched instead of polled, a
//! holder that is known to be dead is not waited for (`identity.rs`), and a leader that can't reach the API server goes on without writing, and
//! ends only when another has the lease.

mod election;
mod error;
mod following;
mod identity;
mod leading;
mod record;
mod sight;
mod timing;

pub(super) use election::{Election, LAST_ANSWERS, Leading, Place};
pub use error::LeaseError;
pub use timing::{Timing, TimingError};
