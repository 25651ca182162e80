//! The formats that secrets are committed in, as pure functions: bytes and keys in, values out.
//!
//! Nothing here does I/O, reads the environment or a clock, or draws randomness of its own: time and
//! randomness are arguments. Opening is a conversation: a document asks for keys ([`KeyRequest`]) and the
//! caller, who may talk to a network, answers. What this crate never does is print a secret: a plaintext
//! leaves it only as [`SecretBytes`].

mod copies;
mod go_number;
pub mod go_object;
pub mod go_template;
mod handle;
pub mod ini;
pub mod json;
mod key_path;
mod key_request;
pub mod reference;
pub mod sealed_secret;
mod secret;
pub mod sops;
pub mod yaml;

pub use copies::is_copy_of_the_object;
pub use handle::{Handle, HandleInput, Salt};
pub use key_path::{KeyPath, Segment};
pub use key_request::{KEY_KINDS, KeyRequest, Refusal, RequestId, WrappedKey};
pub use secret::{DataKey, SecretBytes};
