//! Talking to the API server: kinds, live marks, apply, delete, the inventory, our own resources, access reviews.
//!
//! A secret value passes through here only inside a [`Request`], on its way into the body of an apply or dry-run
//! request. Objects are read as metadata, never as content; the API server's messages about objects with secret
//! values are dropped at the edge ([`Privacy`]). What this room doesn't do: decide. `waxwing-plan` does.

mod access;
mod adoption;
mod apply;
mod backends;
mod call;
mod connection;
mod copies;
mod delete;
mod discovery;
mod fence;
mod follow;
mod identity;
mod inventories;
pub mod inventory;
mod marks;
mod objects;
mod own;
mod pace;
mod prerequisites;
mod produced;
mod reach;
mod release;
mod requests;
mod reviews;
pub mod secrets;
mod tokens;
mod watching;

pub use access::{exists as service_account_exists, may_patch, may_write_secrets};
pub use apply::{Applied, Cause, Failure, Judged, Landed, Phase, Session, Verb, is_terminating};
pub use backends::read_backend;
pub use call::{ApiRefusal, CallError, LONGEST_ANSWER, Privacy};
pub use connection::{ApiServer, ConnectError};
pub use copies::drop_copies;
pub use delete::Deleted;
pub use discovery::{Kinds, KindsCache, Served, confirm_unserved};
pub use fence::{Fence, Moment, NotLeading};
pub use follow::{Marks, News, code_of_watch, is_newer};
pub use identity::{Identity, InvalidName, ServiceAccount};
pub use inventories::Inventories;
pub use marks::{Look, Seen, Wanted};
pub use objects::read;
pub use own::{Finalizers, change_finalizers, write_status};
pub use produced::{FieldElements, applied_field, apply_secret, create_secret, secret_metadata};
pub use reach::Reach;
pub use requests::{Binding, Encoding, Provenance, Request, Requests, StoredSource, UnboundPointer};
pub use reviews::{Caller, caller, may_touch};
pub use tokens::{TokenError, token_for};
pub(crate) use watching::pauses;
pub use watching::{Listings, objects, pages, watching};

/// The field manager of every apply.
pub const FIELD_MANAGER: &str = "waxwing";
