//! The Waxwing controller as a library: a GitOps controller that understands secrets.
//!
//! The modules stand in the order in which data flows:
//!
//! ```text
//!  source  ->  render  ->  (plan)  ->  unsealing  ->  cluster
//!   Git      manifests     steps       requests     API server
//! ```
//!
//! `reconcile` walks this line; start reading there. A secret is a handle up to `unsealing`, and in the body of a request
//! after it.

pub mod api;
pub mod cluster;
pub mod metrics;
pub mod reconcile;
pub mod render;
pub mod runtime;
pub mod sealed_objects;
pub mod sealing;
pub mod server;
pub mod source;
pub mod unsealing;
