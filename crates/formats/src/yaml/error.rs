//! Why a YAML or JSON text was refused, and where; never with a byte of a value.

use std::fmt;

use thiserror::Error;

/// Says where and why a text was refused. Lines and columns count from 1, documents from 0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}, document {document}: {kind}")]
pub struct YamlError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The document in its stream, from 0.
    pub document: usize,
    /// What is wrong there.
    pub kind: YamlErrorKind,
}

/// What is wrong with a text. Keys are public and may be named; values are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum YamlErrorKind {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text breaks the grammar.
    Syntax,
    /// A line break of YAML 1.1 (U+0085, U+2028, U+2029) stands where readers differ on whether it is one.
    OldLineBreak,
    /// A mapping has the same key twice.
    DuplicateKey {
        /// The key.
        key: String,
        /// The line on which it stood first.
        first_line: usize,
    },
    /// A mapping key is a collection, null, or another type that has no name.
    KeyNotText,
    /// A `<<` key stands over something that is not a mapping or a list of mappings.
    MergeNotMapping,
    /// A `<<` key brings a key that the mapping itself has above it, where readers differ on which one wins.
    MergeConflict {
        /// The key.
        key: String,
    },
    /// An alias stands inside the node that it names.
    AliasInsideItself,
    /// A tag does not fit the scalar that it stands on.
    TagDoesNotFit,
    /// A number is infinite or not a number, which JSON can't say.
    NumberNotInJson,
    /// The text is longer than [`crate::yaml::MAX_BYTES`].
    TooLong,
    /// Collections are nested deeper than [`crate::yaml::MAX_DEPTH`].
    TooDeep,
    /// The text has too many nodes, or aliases that expand to too much.
    TooLarge,
}

impl fmt::Display for YamlErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the text is not UTF-8"),
            Self::Syntax => f.write_str("the text is not well-formed"),
            Self::OldLineBreak => f.write_str(
                "a line or paragraph separator (U+2028, U+2029, U+0085) stands outside of a quoted value, or in one with escapes",
            ),
            Self::DuplicateKey { key, first_line } => {
                write!(f, "the key {key:?} stands twice in one mapping, first on line {first_line}")
            }
            Self::KeyNotText => f.write_str("a mapping key is not text, a number or a boolean"),
            Self::MergeNotMapping => f.write_str("the value of a merge key `<<` is not a mapping"),
            Self::MergeConflict { key } => {
                write!(f, "the merge key `<<` brings the key {key:?}, which the mapping has above it")
            }
            Self::AliasInsideItself => f.write_str("an alias stands inside the node that it names"),
            Self::TagDoesNotFit => f.write_str("a tag does not fit its scalar"),
            Self::NumberNotInJson => f.write_str("a number is infinite or not a number"),
            Self::TooLong => f.write_str("the text is longer than 5 MiB"),
            Self::TooDeep => f.write_str("collections are nested too deeply"),
            Self::TooLarge => f.write_str("the text has too many nodes, or its aliases expand to too much"),
        }
    }
}

impl YamlError {
    /// Returns what the author of the file can do about it.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            YamlErrorKind::NotUtf8 => "save the file as UTF-8",
            YamlErrorKind::Syntax => "check indentation, quotes and brackets at this place",
            YamlErrorKind::OldLineBreak => "write it as an escape in double quotes: \\L, \\P or \\N",
            YamlErrorKind::DuplicateKey { .. } => "keep one of the two keys",
            YamlErrorKind::KeyNotText => "quote the key",
            YamlErrorKind::MergeNotMapping => "let `<<` name a mapping, or quote it if it is an ordinary key",
            YamlErrorKind::MergeConflict { .. } => "put `<<` before the keys that override it",
            YamlErrorKind::AliasInsideItself => "write the value out instead of an alias",
            YamlErrorKind::TagDoesNotFit => "remove the tag, or correct the scalar",
            YamlErrorKind::NumberNotInJson => "quote the value if it is meant as text",
            YamlErrorKind::TooLong | YamlErrorKind::TooLarge => "split the file",
            YamlErrorKind::TooDeep => "nest fewer collections",
        }
    }
}
