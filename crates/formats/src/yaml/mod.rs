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

use node::{Content, Document, Room};

/// The longest text of manifests that is read, in bytes: 5 MiB.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;
/// The deepest nesting of collections, aliases counted where they stand.
pub const MAX_DEPTH: usize = 200;
/// The most bytes and nodes together that a document may have once aliases are expanded.
pub(crate) const MAX_WEIGHT: usize = 24 * 1024 * 1024;
/// The same of what aliases stand for, and of tags in their long form, where the reader's memory is bounded.
pub(crate) const MAX_BEYOND: usize = 256 * 1024;

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
    found(&load::load(text)?.documents)
}

fn found(documents: &[Document]) -> Result<Vec<ManifestDocument>, YamlError> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let value = manifest::to_json(&document.root, index)?;
        if !value.is_null() {
            found.push(ManifestDocument { index, line: document.line, value });
        }
    }
    Ok(found)
}

/// Reads as [`manifests`] does, for whoever sends texts that nobody vouches for: of all documents together at most so many nodes, keys counted
/// too, and nothing that aliases blow up. So it takes some four hundred bytes a node, and a few times the text.
///
/// # Errors
///
/// As [`manifests`]; [`YamlErrorKind::TooLarge`] for more nodes, before they are read.
pub fn manifests_within(text: &[u8], most_nodes: usize) -> Result<Vec<ManifestDocument>, YamlError> {
    check_length(text)?;
    let room = Room::of_nodes(most_nodes);
    if text.trim_ascii_start().starts_with(b"{") {
        match crate::json::manifests_within(text, room) {
            Err(YamlError { kind: YamlErrorKind::Syntax, .. }) => {}
            read => return read,
        }
    }
    found(&load::load_within(text, room)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: usize = 1_000;
    const LONG: usize = 4 << 20;

    /// Returns a text of 4 MiB that goes on in the same way.
    fn bomb(begins: &str, goes_on: &str, ends: &str) -> String {
        format!("{begins}{}{ends}", goes_on.repeat(LONG / goes_on.len()))
    }

    #[test]
    fn of_what_has_more_nodes_than_there_is_room_for_no_more_is_read_than_that() {
        let entries: String = (0..LONG / 12).map(|at| format!("\"{at:07}\":1,")).collect();
        let long_tags = format!("%TAG !e! tag:{}\n--- [{}]\n", "x".repeat(900), "!e!x a,".repeat(NODES - 2));
        for (what, text) in [
            ("items of a list in JSON", bomb(r#"{"a":["#, "1,", "1]}")),
            ("entries in JSON", format!("{{{entries}\"z\":1}}")),
            ("documents in JSON", bomb("{}", "1 ", "")),
            ("lists in JSON", bomb(r#"{"a":["#, "[],", "1]}")),
            ("items of a list in YAML", bomb("[", "1,", "1]")),
            ("lines of a list in YAML", bomb("", "-\n", "")),
            ("documents in YAML", bomb("", "---\n", "")),
            ("aliases", bomb("- &a x\n- [", "*a,", "1]")),
            ("what aliases stand for", format!("- &a [{}]\n- [{}1]", "1,".repeat(500), "*a,".repeat(400))),
            ("nodes that two aliases stand for", format!("- &a [{}1]\n- [*a, *a]", "1,".repeat(400))),
            ("long tags", long_tags),
        ] {
            let error = manifests_within(text.as_bytes(), NODES).unwrap_err();
            assert_eq!(error.kind, YamlErrorKind::TooLarge, "{what}");
            assert!(error.line <= NODES + 1 && error.column <= 20 * NODES, "{what}: {error}");
        }
        let comments = bomb("a: 1\n", "#\n", "b: 2\n");
        assert_eq!(manifests_within(comments.as_bytes(), 5).map(|found| found.len()), Ok(1), "comments are not kept");
    }

    #[test]
    fn what_there_is_room_for_is_read_as_ever() {
        for text in [r#"{"a": {"b": [1, "x"]}}"#, "a: &x [1, 2]\nb: *x\n---\n# text\nc: {<<: {d: 1}}\n", "{a: b}", "{"]
        {
            assert_eq!(manifests_within(text.as_bytes(), NODES), manifests(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn neither_tags_nor_aliases_of_a_whole_stream_make_many_times_its_length_of_any_file() {
        let tags = format!("%TAG !e! tag:{}\n--- [{}]\n", "x".repeat(900), "!e!x a,".repeat(100_000));
        let document = format!("---\n- &a {}\n- [{}1]\n", "x".repeat(10_000), "*a,".repeat(1_000));
        for text in [tags, document.repeat(20)] {
            assert_eq!(manifests(text.as_bytes()).unwrap_err().kind, YamlErrorKind::TooLarge);
        }
    }
}
