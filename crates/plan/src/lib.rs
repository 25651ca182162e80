//! What to do to a cluster, decided as a pure function of what should be and what is.
//!
//! Manifests, the inventory and live marks go in; ordered steps come out. A manifest holds handles where secrets
//! belong, so everything here may be printed. This crate knows no secret, does no I/O and reads no clock.

mod object;

pub use object::{GroupKind, Location, Manifest, ObjectId, SecretMark};
