//! The command line of sops: the same calls of the real sops and of ours, in folders that are alike, end with the same exit code,
//! print the same and leave the same files, but for what is random in them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod age_kinds;
mod calls;
mod comments;
mod editing;
mod files;
mod flags;
mod mistakes;
mod recipients;
mod running;
mod stage;
mod tampering;

#[path = "../../../crates/formats/tests/support/masked.rs"]
#[allow(unreachable_pub, reason = "shared with the tests of the formats")]
mod masked;
