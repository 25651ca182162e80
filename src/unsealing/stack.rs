//! Wipes what opening leaves on the stack: a key or a value that was moved stays where it was until a deeper call writes over
//! it. The heap is the allocator's business (`main.rs`).

use std::hint::black_box;

use zeroize::Zeroize;

/// How deep opening goes at most, in words of eight bytes; what is deeper is not wiped.
const WORDS: usize = 8 << 10;

/// Does `work` and then wipes the stack below its own frame, where that was done.
pub fn with_stack_wiped<T>(work: impl FnOnce() -> T) -> T {
    let done = below(work);
    wipe();
    done
}

#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

#[inline(never)]
fn wipe() {
    let mut stack = [0_u64; WORDS];
    black_box(&mut stack).zeroize();
}
