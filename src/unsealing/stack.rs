//! Wipes the stack below the caller.
//!
//! Ciphers and hashes keep blocks of what passes through them on the stack, and moving such a state leaves the old one where it
//! was. The allocator wipes what is freed of the heap; of the stack nobody does.

/// More than opening ever takes.
const DEPTH: usize = 256 << 10;

/// Overwrites what calls that have returned left on the stack of this thread.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "that is what it is for")]
pub(super) fn wipe() {
    let mut below = [0_u8; DEPTH];
    std::hint::black_box(&mut below);
}
