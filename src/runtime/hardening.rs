//! Keeps plaintext from leaving this process by ways that the kernel offers: core dumps and debuggers.
//!
//! Not here: wiping memory; that is the allocator's business (`zeroizing-alloc` in `main.rs`).

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The kernel refused to harden this process.
#[derive(Debug, thiserror::Error)]
#[error("failed to forbid core dumps and debuggers for this process")]
pub struct HardeningError(#[source] rustix::io::Errno);

/// Makes the process non-dumpable, so that no other user's debugger can attach, and forbids core files.
///
/// # Errors
///
/// Fails when the kernel refuses; the caller must not go on to handle secrets then.
pub fn harden() -> Result<(), HardeningError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardeningError)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(HardeningError)
}
