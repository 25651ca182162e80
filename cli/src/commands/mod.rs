//! The commands, one file each: what it takes, and right below what it does.

pub(crate) mod audit;
pub(crate) mod cert;
pub(crate) mod completion;
pub(crate) mod edit;
pub(crate) mod keys;
mod listed;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod refs;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod seal;
pub(crate) mod verify;
