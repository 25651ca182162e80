//! What is sealed for a cluster, and the keys that it is sealed with: who can say which key opens which item, and seal it again with the
//! newest one.
//!
//! `opener` is either of the two who can: the controller, over its authenticated `interface`, or private keys that are at hand; `token`
//! is how the controller knows who asks. `finding` looks for SealedSecrets in files and in the cluster, `needs` puts both together.
//! `binding` is what items are bound to, `key_secrets` are the Secrets in which the controller has its keys, `backup` is a file of them,
//! and `editing` changes single items. Nothing here shows a value.

mod backup;
mod binding;
mod editing;
mod error;
mod finding;
mod interface;
mod key_secrets;
mod needs;
mod opener;
mod token;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use waxwing_formats::sealed_secret::{API_VERSION, KIND};

pub(crate) use backup::{Backup, BackupError};
pub(crate) use binding::Binding;
pub(crate) use editing::{EditError, NewValues, Sheets};
pub(crate) use error::SealingError;
pub(crate) use finding::{SealedSource, may_be_a_manifest, of_files, speaks_of_sealed_secrets};
pub(crate) use key_secrets::{KeySecret, KeySecrets, LEGACY};
pub(crate) use needs::{Need, Needs};
pub(crate) use opener::{BLOB, Closed, Opener};
pub(crate) use token::OpenerArgs;

/// Says in an object what it is.
fn set_type(object: &mut Value) {
    if let Value::Object(fields) = object {
        fields.insert("kind".to_owned(), KIND.into());
        fields.insert("apiVersion".to_owned(), API_VERSION.into());
    }
}

/// Gives an object that names no namespace this one.
pub(crate) fn fill_in_namespace(object: &mut Value, namespace: Option<&str>) {
    let is_missing = object.pointer("/metadata/namespace").and_then(Value::as_str).is_none_or(str::is_empty);
    if let (true, Some(namespace), Some(metadata)) =
        (is_missing, namespace, object.get_mut("metadata").and_then(Value::as_object_mut))
    {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
}

/// Writes a text so that it can stand in the query or the path of a URL (RFC 3986).
fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
