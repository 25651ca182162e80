//! INI as sops reads and writes it: sections of keys with text values, and comments.
//!
//! Source of every rule: gopkg.in/ini.v1 1.67.3 (`parser.go`, `file.go`) with the options that sops 3.13.3 sets in
//! `stores/ini/store.go`. That library's dialect is its own, so there is no crate for it. Stricter than there: a section or key
//! that stands twice, a key `-` (which it numbers) and text that is not UTF-8 are refused.

mod error;
mod read;
mod write;

pub use error::{IniError, IniFault};
pub(crate) use read::read;
pub(crate) use write::{OutKey, OutSection, write};

/// The name of the section of the keys that stand before all sections.
pub(crate) const DEFAULT: &str = "DEFAULT";

/// A section. The first one of a file is [`DEFAULT`], also where it is empty.
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) comment: Option<String>,
    pub(crate) keys: Vec<Key>,
}

/// A key with its value.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) comment: Option<String>,
}
