//! New values for single items of a SealedSecret file, which keeps every other byte.
//!
//! What is sealed can't be shown without the private key, so the editor gets a sheet with the names of the items and a word in the place of
//! each value. New values are bound to what the file says: its name, namespace and scope.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rand_core::OsRng;
use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::{
    DeprecatedSealedSecret, InPlaceError, ItemChange, PublicKey, SealError, SealedFile, SealedObject, seal_item,
};
use waxwing_formats::yaml;
use zeroize::Zeroizing;

use super::Binding;
use crate::input::{self, ValueError};
use crate::sealed;

/// What stands in the place of a value that is sealed.
const SEALED: &str = "<sealed>";

/// Values from outside the editor.
pub(crate) struct NewValues {
    /// By item.
    pub(crate) values: Vec<(String, SecretBytes)>,
    /// Items that go.
    pub(crate) removed: Vec<String>,
}

/// Why a SealedSecret was not edited; the file is as it was. None of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// The file can't be read or written.
    #[error("failed to {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The items can't be changed.
    #[error("{}", path.display())]
    InPlace {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: InPlaceError,
    },
    /// There is nothing in it that could be edited so.
    #[error("there is no SealedSecret in {}", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// It is not said which object is meant.
    #[error("there are several SealedSecrets in {}", path.display())]
    Several {
        /// The file.
        path: PathBuf,
    },
    /// The deprecated form has no items.
    #[error("a SealedSecret in {} has the deprecated form with spec.data, which has no single items", path.display())]
    Deprecated {
        /// The file.
        path: PathBuf,
    },
    /// The items are bound to a namespace that is not named.
    #[error("a SealedSecret in {} names no namespace, and its items are bound to one", path.display())]
    NoNamespace {
        /// The file.
        path: PathBuf,
    },
    /// What was written in the editor can't be read. A key in it may be a piece of a value, so only the place is told.
    #[error("what was written is not well-formed YAML, or has a key twice: line {line}, column {column}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What to do about it.
        hint: &'static str,
    },
    /// The sheet has more or fewer parts than it had, or other ones.
    #[error("what was written has not one mapping for each SealedSecret, as it had")]
    Parts,
    /// A name is none. It may be part of a value, so it is not shown.
    #[error("a name in what was written can't be a key of a Secret")]
    BadName,
    /// A value is not text.
    #[error("the value of {item} is not text")]
    NotText {
        /// The item.
        item: String,
    },
    /// There is nothing sealed that could stay.
    #[error("{item} has no value")]
    Nothing {
        /// The item.
        item: String,
    },
    /// A name is none.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A value could not be sealed.
    #[error("failed to seal {item}")]
    Seal {
        /// The item.
        item: String,
        /// Why not.
        source: SealError,
    },
}

impl EditError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::File { .. } => return None,
            Self::InPlace { source, .. } => source.hint(),
            Self::None { .. } => "`seal new` makes one; files of sops are edited without these flags",
            Self::Several { .. } => "edit the file without these flags: the editor gets all of them",
            Self::Deprecated { .. } => "seal the Secret again with `seal`",
            Self::NoNamespace { .. } => "pass --namespace, or write it into metadata.namespace",
            Self::Malformed { hint, .. } => hint,
            Self::Parts => "keep the lines `---`, and write `name: value` between them",
            Self::BadName => "indent the lines of a value below a `|`; a name has letters, digits, `-`, `_` and `.`",
            Self::NotText { .. } => "put it in quotes, or write it below the name after a `|`",
            Self::Nothing { .. } => "write the value in the place of <sealed>",
            Self::Value(error) => return error.hint().map(str::to_owned),
            Self::Seal { source, .. } => return source.hint().map(str::to_owned),
        };
        Some(text.to_owned())
    }
}

impl From<yaml::YamlError> for EditError {
    fn from(error: yaml::YamlError) -> Self {
        Self::Malformed { line: error.line, column: error.column, hint: error.hint() }
    }
}

impl EditError {
    /// Names only items that the file has already: another name in a sheet may be a piece of a value.
    fn naming_only(self, known: &BTreeSet<&str>) -> Self {
        let shown = |item: String| if known.contains(item.as_str()) { item } else { "a new item".to_owned() };
        match self {
            Self::NotText { item } => Self::NotText { item: shown(item) },
            Self::Nothing { item } => Self::Nothing { item: shown(item) },
            Self::Seal { item, source } => Self::Seal { item: shown(item), source },
            Self::InPlace { path, source: InPlaceError::NotInPlace { item } } => {
                Self::InPlace { path, source: InPlaceError::NotInPlace { item: shown(item) } }
            }
            other => other,
        }
    }
}

/// A file that is being edited.
pub(crate) struct Sheets {
    path: PathBuf,
    old: Zeroizing<Vec<u8>>,
    file: SealedFile,
    /// What the values of each object are bound to.
    labels: Vec<Vec<u8>>,
}

impl Sheets {
    /// Reads a file. Objects that name no namespace are taken to be in `namespace`.
    pub(crate) fn read(path: &Path, namespace: Option<&str>) -> Result<Self, EditError> {
        let here = || path.to_owned();
        let old = sealed::read(Some(path)).map_err(|source| EditError::File { verb: "read", path: here(), source })?;
        let file = SealedFile::parse(&old).map_err(|source| EditError::InPlace { path: here(), source })?;
        if file.objects().is_empty() {
            return Err(EditError::None { path: here() });
        }
        let mut labels = Vec::new();
        for object in file.objects() {
            if DeprecatedSealedSecret::is_deprecated(&object.manifest) {
                return Err(EditError::Deprecated { path: here() });
            }
            let mut manifest = object.manifest.clone();
            super::fill_in_namespace(&mut manifest, namespace);
            let binding = Binding::known(&manifest).ok_or_else(|| EditError::NoNamespace { path: here() })?;
            labels.push(binding.own_label());
        }
        Ok(Self { path: here(), old, file, labels })
    }

    /// Returns what the editor gets: a document for each object.
    pub(crate) fn text(&self) -> SecretBytes {
        let parts: Vec<_> = self.file.objects().iter().map(part).collect();
        SecretBytes::new((HELP.to_owned() + &parts.join("---\n")).into_bytes())
    }

    /// Seals what became of the text, and returns the new file.
    pub(crate) fn seal(&self, edited: &SecretBytes, key: &PublicKey) -> Result<String, EditError> {
        let known = self.file.objects().iter().flat_map(names).collect();
        self.seal_parts(edited, key).map_err(|error| error.naming_only(&known))
    }

    fn seal_parts(&self, edited: &SecretBytes, key: &PublicKey) -> Result<String, EditError> {
        let parts = yaml::manifests(edited.expose_secret())?;
        if parts.iter().any(|part| part.index >= self.labels.len()) {
            return Err(EditError::Parts);
        }
        let mut changes = Vec::new();
        for (index, object) in self.file.objects().iter().enumerate() {
            let part = parts.iter().find(|part| part.index == index);
            let Some(part) = part.map_or(Some(&serde_json::Map::new()), |part| part.value.as_object()).cloned() else {
                return Err(EditError::Parts);
            };
            let old: Vec<_> = names(object).collect();
            for (item, value) in &part {
                if value.as_str() == Some(SEALED) && old.contains(&item.as_str()) {
                    continue;
                }
                changes.push(self.change(index, item, value, key)?);
            }
            let gone = old.into_iter().filter(|item| !part.contains_key(*item));
            changes.extend(gone.map(|item| ItemChange { object: index, item: item.to_owned(), token: None }));
        }
        self.with(&changes)
    }

    /// Seals values from outside the editor, and returns the new file.
    pub(crate) fn seal_values(&self, values: &NewValues, key: &PublicKey) -> Result<String, EditError> {
        if self.labels.len() > 1 {
            return Err(EditError::Several { path: self.path.clone() });
        }
        let mut changes = Vec::new();
        for (item, value) in &values.values {
            changes.push(self.sealed(0, item, value, key)?);
        }
        let gone = values.removed.iter().map(|item| ItemChange { object: 0, item: item.clone(), token: None });
        changes.extend(gone);
        self.with(&changes)
    }

    fn change(&self, object: usize, item: &str, value: &Value, key: &PublicKey) -> Result<ItemChange, EditError> {
        let name = || item.to_owned();
        if !input::is_data_key(item) {
            return Err(EditError::BadName);
        }
        match value {
            Value::String(text) if text == SEALED => Err(EditError::Nothing { item: name() }),
            Value::String(text) => self.sealed(object, item, &SecretBytes::concat(&[text.as_bytes()]), key),
            _ => Err(EditError::NotText { item: name() }),
        }
    }

    fn sealed(&self, object: usize, item: &str, value: &SecretBytes, key: &PublicKey) -> Result<ItemChange, EditError> {
        let item = input::data_key(item)?;
        let label = self.labels.get(object).map(Vec::as_slice).unwrap_or_default();
        match seal_item(key, label, value, &mut OsRng) {
            Ok(token) => Ok(ItemChange { object, item, token: Some(token) }),
            Err(source) => Err(EditError::Seal { item, source }),
        }
    }

    fn with(&self, changes: &[ItemChange]) -> Result<String, EditError> {
        self.file.with(changes).map_err(|source| EditError::InPlace { path: self.path.clone(), source })
    }

    /// Puts the new text in the place of the old one, unless somebody else has changed it.
    pub(crate) fn replace(&self, text: &str) -> Result<(), EditError> {
        sealed::replace_whole(&self.path, &self.old, text.as_bytes()).map_err(|source| EditError::File {
            verb: "write",
            path: self.path.clone(),
            source,
        })
    }
}

/// Returns the names of all items, also of those that are none.
fn names(object: &SealedObject) -> impl Iterator<Item = &str> {
    let items = object.manifest.pointer("/spec/encryptedData").and_then(Value::as_object).into_iter().flatten();
    items.map(|(name, _)| name.as_str())
}

fn part(object: &SealedObject) -> String {
    let Binding { namespace, name, scope } = Binding::of(&object.manifest);
    // Any text may stand there, and it may not end the comment.
    let title = format!("{namespace}/{name}, {scope}").replace(|c: char| c.is_control(), " ");
    let lines: String = names(object).map(|item| format!("{}: {SEALED}\n", key(item))).collect();
    format!("# {title}\n{lines}")
}

/// Writes a name as YAML reads it back: most are fine as they are.
fn key(item: &str) -> String {
    let is_plain = yaml::manifests(format!("{item}: x").as_bytes()).is_ok_and(|documents| {
        documents.iter().any(|document| document.value.as_object().is_some_and(|fields| fields.contains_key(item)))
    });
    let is_word = item.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_plain && is_word { item.to_owned() } else { Value::from(item).to_string() }
}

const HELP: &str = "\
# What is sealed can't be shown. Write a new value in the place of <sealed>, take a line out, or add one.
# A value is text: put numbers, true and false in quotes.
";
