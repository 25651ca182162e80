//! YAML as Kubernetes and SOPS read it: go-yaml's scalar rules over granit-parser's grammar.
//!
//! [`manifests`] is the door for manifests. Not here: any schema, and anything that writes a file.

mod breaks;
pub(crate) mod comments;
pub(crate) mod emit;
mod emit_scalar;
pub(crate) mod error;
mod lines;
pub(crate) mod load;
mod manifest;
pub(crate) mod node;
pub(crate) mod resolve;
mod scalar_style;
#[cfg(test)]
mod table;
pub(crate) mod time;

pub use error::{YamlError, YamlErrorKind};
pub use lines::Lines;

use node::Content;

/// The longest text of manifests that is read, in bytes: 5 MiB.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;
/// The deepest nesting of collections, aliases counted where they stand.
pub const MAX_DEPTH: usize = 200;
/// The most bytes and nodes together that a document may have once aliases are expanded.
pub(crate) const MAX_WEIGHT: usize = 24 * 1024 * 1024;

/// One document of a manifest stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestDocument {
    /// The position in the stream, from 0, empty documents counted.
    pub index: usize,
    /// The line on which the document's content begins, from 1.
    pub line: usize,
    /// The document as JSON.
    pub value: serde_json::Value,
}

/// Reads a stream of manifests as kubectl would; a text that begins with `{` and is JSON is read as JSON.
/// Empty documents are left out, and those after them keep their index.
///
/// # Errors
///
/// Refuses what is not well-formed, duplicate keys, and what is beyond the limits; see [`YamlErrorKind`].
pub fn manifests(text: &[u8]) -> Result<Vec<ManifestDocument>, YamlError> {
    check_length(text)?;
    if text.trim_ascii_start().starts_with(b"{")
        && let Ok(documents) = crate::json::manifests(text)
    {
        return Ok(documents);
    }
    let mut found = Vec::new();
    for (index, document) in load::load(text)?.documents.iter().enumerate() {
        let value = manifest::to_json(&document.root, index)?;
        if !value.is_null() {
            found.push(ManifestDocument { index, line: document.line, value });
        }
    }
    Ok(found)
}

/// Refuses a text of manifests that is too long.
pub(crate) fn check_length(text: &[u8]) -> Result<(), YamlError> {
    let too_long = YamlError { line: 1, column: 1, document: 0, kind: YamlErrorKind::TooLong };
    if text.len() > MAX_BYTES { Err(too_long) } else { Ok(()) }
}

/// Tells whether a tree is an empty document.
pub(crate) fn is_empty(root: &node::Node) -> bool {
    matches!(&root.content, Content::Scalar { .. })
        && resolve::resolve(root, resolve::Rules::V3) == Some(resolve::Scalar::Null)
}
