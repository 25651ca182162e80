//! Git: fetches a revision and hands out an immutable [`Tree`].
//!
//! The way through: a [`Remote`] names a repository ([`RemoteUrl`]) and what of it ([`Reference`]); [`Store::fetch`]
//! asks the server which commit that is, receives it if it is new, and returns a [`Fetched`] with the [`Revision`] and
//! its [`Tree`], which is shared between all that want the same commit.
//!
//! For a command line on a developer's machine there are two more ways: [`WorkingFolder`] has the files as they lie on the
//! disk and knows which of them would be committed, and [`revision_in`] finds any revision of the repository around a folder.
//!
//! This room knows NO secret of a workload and no cluster: credentials for Git come in as its own types. It reads no
//! Git configuration, no environment variable and no proxy setting, starts no program, follows no redirect, and writes
//! only below the directory of its [`Store`]. gix is used here and nowhere else.

mod checkout;
mod committable;
mod confined;
mod error;
mod fetch;
mod files;
mod http;
mod job;
mod local;
mod mirror;
mod note;
mod path;
mod remote;
mod revision;
mod shelf;
mod staged;
mod store;
mod sweep;
mod tree;
mod url;
mod working_folder;

pub use checkout::{CheckoutError, revision_in};
pub use confined::Confined;
pub use error::SourceError;
pub use files::{Files, Found};
pub use http::TlsFault;
pub use path::{PathError, RepoPath};
pub use remote::{Credential, CredentialError, Credentials, Login, RefName, RefNameError, Reference, Remote};
pub use revision::{CommitId, CommitIdError, ObjectId, Revision};
pub use staged::Staged;
pub use store::{Fetched, Settings, Store};
pub use tree::{Blob, Entry, Kind, Tree, TreeError, Walk};
pub use url::{Allowed, RemoteUrl, UrlError};
pub use working_folder::WorkingFolder;
