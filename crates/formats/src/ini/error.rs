//! Why an INI file was refused. Names of sections and keys are public; values never are.

use std::fmt;

/// What is wrong with an INI file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the INI file {fault}")]
pub struct IniError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: IniFault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IniFault {
    /// It is not UTF-8.
    NotUtf8,
    /// A section has no `]`.
    UnclosedSection,
    /// A section has no name.
    UnnamedSection,
    /// It has neither `=` nor `:`.
    NoDelimiter,
    /// A key has no name.
    UnnamedKey,
    /// A key is `-`, for which sops would make up a name that it can't read again.
    NumberedKey,
    /// A quoted key or value does not end.
    UnclosedQuote,
    /// A section stands twice.
    DuplicateSection(String),
    /// A key stands twice in its section.
    DuplicateKey(String),
}

impl fmt::Display for IniFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::UnclosedSection => f.write_str("begins a section without `]`"),
            Self::UnnamedSection => f.write_str("begins a section without a name"),
            Self::NoDelimiter => f.write_str("has neither `=` nor `:`"),
            Self::UnnamedKey => f.write_str("has a key without a name"),
            Self::NumberedKey => f.write_str("has the key `-`"),
            Self::UnclosedQuote => f.write_str("begins a quote that does not end"),
            Self::DuplicateSection(name) => write!(f, "begins the section {name:?} a second time"),
            Self::DuplicateKey(name) => write!(f, "has the key {name:?}, which stands in its section already"),
        }
    }
}

impl IniError {
    /// Returns what the author of the file can do about it.
    pub fn hint(&self) -> &'static str {
        match self.fault {
            IniFault::NotUtf8 => "save the file as UTF-8",
            IniFault::UnclosedSection | IniFault::UnnamedSection => "write each section as [name]",
            IniFault::NoDelimiter | IniFault::UnnamedKey => "write each line as key = value, or begin it with `#`",
            IniFault::NumberedKey => "give the key a name",
            IniFault::UnclosedQuote => "end the quote",
            IniFault::DuplicateSection(_) => "put the keys of both sections into one",
            IniFault::DuplicateKey(_) => "keep one of the two keys",
        }
    }
}
