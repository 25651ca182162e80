//! The Waxwing controller as a library: a GitOps controller that understands secrets.

pub mod api;
pub mod source;
