//! Why a SOPS file was refused. Key paths are public and named; values and tokens never are.

use thiserror::Error;

use super::Store;
use super::token::TokenFault;
use crate::KeyPath;
use crate::ini::IniError;
use crate::yaml::YamlError;

/// Why a SOPS file can't be read. Documents count from 0.
#[derive(Debug, Error)]
pub enum SopsError {
    /// The text can't be read as its format.
    #[error("failed to read the text of the file")]
    Text(#[source] YamlError),
    /// The text can't be read as INI.
    #[error("{0}")]
    Ini(IniError),
    /// A line of a dotenv file has no `=`, or the text is not UTF-8.
    #[error("line {line} of the dotenv file has no `=` or is not UTF-8")]
    DotenvLine {
        /// The line, from 1.
        line: usize,
    },
    /// A key stands twice in a dotenv file.
    #[error("the key {key:?} stands twice in the dotenv file")]
    DotenvDuplicate {
        /// The key.
        key: String,
    },
    /// A list or mapping stands where the format has only text.
    #[error("the value of {key:?} is a list or a mapping, which the format {store} can't hold there")]
    Nested {
        /// The format.
        store: Store,
        /// The key.
        key: String,
    },
    /// A value stands outside of the sections of an INI file.
    #[error("{key:?} is no section: in an ini file every value stands in one")]
    NoSection {
        /// The key.
        key: String,
    },
    /// The file that is to be sealed has a `sops` block.
    #[error("the file has a `sops` block, so it is sealed already")]
    AlreadySealed,
    /// The file that is to be sealed is empty.
    #[error("the file is empty: there is nothing to seal")]
    NothingToSeal,
    /// There is no `sops` block.
    #[error("the file has no `sops` block, so it is not sealed")]
    NotSealed,
    /// The metadata are damaged.
    #[error("the sops metadata field `{field}` {fault}")]
    Metadata {
        /// The field.
        field: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A later document has another `sops` block than the first.
    #[error("document {document} was sealed by itself, not together with document 0")]
    SealedByItself {
        /// The document.
        document: usize,
    },
    /// A document is not a mapping.
    #[error("document {document} is not a mapping")]
    RootNotMapping {
        /// The document.
        document: usize,
    },
    /// A mapping key is not text.
    #[error("document {document}, in {path}: a mapping key is not text")]
    KeyNotText {
        /// The document.
        document: usize,
        /// The mapping.
        path: KeyPath,
    },
    /// A token is damaged.
    #[error("document {document}, {path}: the sealed value {fault}")]
    Token {
        /// The document.
        document: usize,
        /// Where the token stands.
        path: KeyPath,
        /// What is wrong with it.
        fault: TokenFault,
    },
    /// An encrypted comment is damaged.
    #[error("document {document}, comment in {path}: the sealed comment {fault}")]
    Comment {
        /// The document.
        document: usize,
        /// The collection that the comment stands in.
        path: KeyPath,
        /// What is wrong with it.
        fault: TokenFault,
    },
    /// The file's rules say that a value is sealed, and it is not.
    #[error("document {document}, {path}: the value must be sealed by this file's rules, and is not")]
    PlainValue {
        /// The document.
        document: usize,
        /// Where the value stands.
        path: KeyPath,
    },
    /// A plain value is one that sops can't hold: an integer beyond 64 bits, or a tag that does not fit.
    #[error("document {document}, {path}: the plain value is of a type that sops does not know")]
    PlainType {
        /// The document.
        document: usize,
        /// Where the value stands.
        path: KeyPath,
    },
    /// A value can't be said in a manifest: an infinite number, or a merge key over no mapping or in conflict.
    #[error(
        "document {document}, {path}: an infinite number, or a misplaced merge key `<<`, can't stand in a manifest"
    )]
    NotInManifest {
        /// The document.
        document: usize,
        /// Where the value stands.
        path: KeyPath,
    },
    /// The file is too long.
    #[error("the file is longer than {} MiB", limit >> 20)]
    TooLong {
        /// How many bytes it may have.
        limit: usize,
    },
    /// The file has more values than [`super::MAX_LEAVES`], or too many deep ones.
    #[error("the file has too many values, or too many with long key paths")]
    TooManyLeaves,
    /// A binary file is not `{"data": ..., "sops": ...}`.
    #[error("the sealed binary file does not hold exactly one text called `data`")]
    BinaryShape,
}

impl SopsError {
    /// Returns what the author of the file can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Text(error) => error.hint(),
            Self::Ini(error) => error.hint(),
            Self::DotenvLine { .. } => "write each line as KEY=value, or begin it with `#`",
            Self::DotenvDuplicate { .. } => "keep one of the two keys",
            Self::Nested { .. } | Self::NoSection { .. } => "choose another format, such as yaml",
            Self::AlreadySealed => {
                "to change it use `sops edit`; if it is not sealed, give its `sops` entry another name"
            }
            Self::NothingToSeal => "put in at least one key with a value",
            Self::NotSealed => "seal the file with `sops encrypt`",
            Self::SealedByItself { .. } => "keep each document in a file of its own, or seal all of them together",
            Self::RootNotMapping { .. } => "sops seals mappings only",
            Self::KeyNotText { .. } => "quote the key before sealing the file",
            Self::PlainValue { .. } => "seal the file again with `sops edit`, or check its rules",
            Self::PlainType { .. } => "quote the value if it is meant as text",
            Self::NotInManifest { .. } => "quote the number if it is meant as text, or put `<<` before the other keys",
            Self::TooLong { .. } | Self::TooManyLeaves => "split the file",
            Self::Metadata { .. } | Self::Token { .. } | Self::Comment { .. } | Self::BinaryShape => {
                "restore the file from its last good revision; hand edits and merges damage sealed files"
            }
        }
    }
}
