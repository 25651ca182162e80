//! PGP keys (RFC 9580, RFC 4880) that data keys are wrapped with, as in sops 3.13.3 (`pgp/keysource.go`).
//!
//! The packets are read and written by the crate `pgp`, in process; private RSA operations are aws-lc-rs, as everywhere in this crate.
//! Not here: where keys come from, passphrases, trust between people, and the program `gpg`.

use std::panic::{AssertUnwindSafe, catch_unwind};

mod identities;
mod key_file;
mod message;
mod name;
mod private;
mod recipient;

pub use identities::{PgpIdentities, PgpKeyError, Why};
pub use name::{PgpKeyName, PgpNameError};
pub use private::RsaSizes;
pub use recipient::{PgpRecipient, PgpRecipientError};

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Does what strangers' bytes may make the crate `pgp` panic in; nothing if they do. It has a few hundred places where it may, of which
/// one was found by our tests.
fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What was worked on is dropped.
    catch_unwind(AssertUnwindSafe(work)).ok()
}
