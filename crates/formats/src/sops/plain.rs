//! A file in the clear, as a tree: what is about to be sealed, and what was opened to be changed.
//!
//! It holds plaintext in ordinary strings, and is never printed: the programs that use it wipe all memory that they free.
//! Source: sops 3.13.3, `LoadPlainFile` of each store; `Set`, `Unset` and `Truncate` in `sops.go`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::error::SopsError;
use super::open::OpenedValue;
use super::raw::{self, Comment, Raw, RawEntry, RawItem};
use super::rules::Rule;
use super::seal::Terms;
use super::state::Open;
use super::text::{Shown, Text};
use super::token::ValueKind;
use super::tree::{self, Entry, Item, Reading, Tree};
use super::{Document, MAX_LOCAL_BYTES, Store};
use crate::yaml::resolve::Scalar;
use crate::{KeyPath, SecretBytes};

/// A file in the clear.
pub struct Plain {
    pub(crate) store: Store,
    /// With comments where sops finds them.
    pub(crate) documents: Vec<Vec<RawEntry>>,
    /// With comments where they stand: a text that nobody has sealed or changed yet.
    pub(crate) by_columns: Option<Vec<Vec<RawEntry>>>,
}

impl Plain {
    /// Reads a file that is to be sealed.
    ///
    /// # Errors
    ///
    /// Refuses a file over [`MAX_LOCAL_BYTES`], what can't be read as its format, a file without any document, and one that has
    /// sops metadata already.
    pub fn parse(bytes: &[u8], store: Store) -> Result<Self, SopsError> {
        if store == Store::Binary {
            raw::check_length(bytes, MAX_LOCAL_BYTES)?;
            return Ok(binary(bytes));
        }
        let file = raw::read(bytes, store, MAX_LOCAL_BYTES)?;
        match (file.block, file.documents.is_empty()) {
            (Some(_), _) => Err(SopsError::AlreadySealed),
            (None, true) => Err(SopsError::NothingToSeal),
            (None, false) => {
                let by_columns = if store == Store::Yaml { raw::yaml_by_columns(bytes)? } else { None };
                Ok(Self { store, documents: file.documents, by_columns })
            }
        }
    }

    /// Reads a draft: a file in the clear that has the metadata of a sealed one with it, in which a user may have changed anything.
    /// In the terms, a recipient that was added has an empty wrapped key or one that opens nothing; the code and the time are not
    /// looked at.
    ///
    /// # Errors
    ///
    /// Refuses a file over [`MAX_LOCAL_BYTES`], what can't be read as its format, and one whose metadata are missing or damaged.
    pub fn parse_draft(bytes: &[u8], store: Store) -> Result<(Self, Terms), SopsError> {
        let file = raw::read(bytes, store, MAX_LOCAL_BYTES)?;
        let terms = Terms::draft(&file.block.ok_or(SopsError::NotSealed)?.into_map()?)?;
        let by_columns = if store == Store::Yaml { raw::yaml_by_columns(bytes)? } else { None };
        Ok((Self { store, documents: file.documents, by_columns }, terms))
    }

    /// Returns the format of the file.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Returns where the values stand that would be sealed by a rule, in the order of the file: the document, from 0, and the
    /// path in it. Empty values never are.
    ///
    /// # Errors
    ///
    /// Refuses a file with more than [`MAX_LEAVES`](super::MAX_LEAVES) values.
    pub fn to_seal(self, rule: &Rule) -> Result<Vec<(usize, KeyPath)>, SopsError> {
        let (_, slots) = tree::grow(self.documents, Some(rule), Reading::Clear)?;
        let selected = slots.into_iter().filter(|slot| slot.selected && !slot.is_comment && !slot.content.is_empty());
        Ok(selected.map(|slot| (slot.document, slot.path)).collect())
    }

    /// Returns the same tree as a file of another format, which may not be able to hold it: then it is refused when it is
    /// written.
    pub fn into_store(self, store: Store) -> Self {
        Self { store, ..self }
    }

    /// Returns the values of the first document by their keys, as they would stand in a dotenv file.
    ///
    /// # Errors
    ///
    /// Refuses lists and mappings.
    pub fn into_values(self) -> Result<Vec<(String, SecretBytes)>, SopsError> {
        let (trees, slots) = tree::grow(self.documents, None, Reading::Clear)?;
        Text { trees: &trees, slots: &slots, shown: tree::shown(&slots), block: None, indent: None }.values()
    }

    /// Makes one mapping of all documents, sorted by its keys and without comments, as sops publishes a file (`EmitAsMap` in `sops.go`):
    /// of keys that stand in several documents the last one counts. Unlike there, mappings in lists stay mappings.
    pub fn into_one_mapping(self) -> Self {
        let entries = sorted(self.documents.into_iter().flatten().collect());
        Self { store: self.store, documents: vec![entries], by_columns: None }
    }

    /// Writes the file in a format, with a level indented by so many spaces; if that is not said, by 4 in YAML and by a tab in
    /// JSON.
    ///
    /// # Errors
    ///
    /// Refuses what the format can't say.
    pub fn write(self, store: Store, indent: Option<u8>) -> Result<SecretBytes, SopsError> {
        self.write_with(store, None, indent)
    }

    /// Writes the file with the metadata that it would be sealed with, as a draft for [`Plain::parse_draft`].
    ///
    /// # Errors
    ///
    /// Refuses what the format can't say.
    pub fn write_draft(self, terms: Terms, now: Timestamp, indent: Option<u8>) -> Result<SecretBytes, SopsError> {
        let store = self.store;
        self.write_with(store, Some(&terms.metadata(now).block()), indent)
    }

    fn write_with(
        self,
        store: Store,
        block: Option<&Map<String, Value>>,
        indent: Option<u8>,
    ) -> Result<SecretBytes, SopsError> {
        let (trees, slots) = tree::grow(self.documents, None, Reading::Clear)?;
        Text { trees: &trees, slots: &slots, shown: tree::shown(&slots), block, indent }.write(store)
    }
}

fn sorted(entries: Vec<RawEntry>) -> Vec<RawEntry> {
    let pairs = entries.into_iter().filter_map(|entry| match entry {
        RawEntry::Pair(key, raw) => Some((key, without_order(raw))),
        RawEntry::Comment(_) => None,
    });
    let pairs: BTreeMap<String, Raw> = pairs.collect();
    pairs.into_iter().map(|(key, raw)| RawEntry::Pair(key, raw)).collect()
}

fn without_order(raw: Raw) -> Raw {
    match raw {
        Raw::Map(entries) => Raw::Map(sorted(entries)),
        Raw::List(items) => {
            let values = items.into_iter().filter_map(|item| match item {
                RawItem::Value(raw) => Some(RawItem::Value(without_order(raw))),
                RawItem::Comment(_) => None,
            });
            Raw::List(values.collect())
        }
        Raw::Scalar(scalar) => Raw::Scalar(scalar),
    }
}

/// Any bytes are one text under the key `data`.
fn binary(bytes: &[u8]) -> Plain {
    let data = RawEntry::Pair("data".to_owned(), Raw::Scalar(Scalar::of_bytes(bytes.to_owned())));
    Plain { store: Store::Binary, documents: vec![vec![data]], by_columns: None }
}

impl<S: Open> Document<S> {
    /// Returns the file as a tree that can be changed and sealed again.
    pub fn plain(&self) -> Plain {
        let documents = self.trees.iter().map(|tree| match tree {
            Tree::Map(entries) => self.entries(entries),
            Tree::Leaf(_) | Tree::List(_) => Vec::new(),
        });
        Plain { store: self.store, documents: documents.collect(), by_columns: None }
    }

    fn entries(&self, entries: &[Entry]) -> Vec<RawEntry> {
        let raw = entries.iter().map(|entry| match entry {
            Entry::Comment { slot, inline } => RawEntry::Comment(self.comment(*slot, *inline)),
            Entry::Pair(key, tree) => RawEntry::Pair(key.clone(), self.raw(tree)),
        });
        raw.collect()
    }

    fn raw(&self, tree: &Tree) -> Raw {
        match tree {
            Tree::Leaf(slot) => Raw::Scalar(self.scalar(*slot)),
            Tree::Map(entries) => Raw::Map(self.entries(entries)),
            Tree::List(items) => Raw::List(
                items
                    .iter()
                    .map(|item| match item {
                        Item::Comment { slot, inline } => RawItem::Comment(self.comment(*slot, *inline)),
                        Item::Value(tree) => RawItem::Value(self.raw(tree)),
                    })
                    .collect(),
            ),
        }
    }

    fn comment(&self, slot: usize, inline: bool) -> Comment {
        let shown = self.shown(slot);
        let text = String::from_utf8_lossy(shown.text().unwrap_or_default()).into_owned();
        Comment { text, inline: shown.stays_inline(inline) }
    }

    fn scalar(&self, slot: usize) -> Scalar {
        match self.shown(slot) {
            Shown::Opened(opened) => opened.scalar(),
            Shown::Plain(scalar) => scalar.clone(),
            Shown::Sealed(_) => Scalar::Null,
        }
    }

    fn shown(&self, slot: usize) -> Shown<'_> {
        let opened = self.state.contents().opened.get(slot).and_then(Option::as_ref);
        self.slots.get(slot).map_or(Shown::Plain(&Scalar::Null), |slot| Shown::of(&slot.content, opened))
    }
}

impl OpenedValue {
    /// Returns the value with its type.
    pub(crate) fn scalar(&self) -> Scalar {
        let text = self.text.expose_secret();
        let typed = match self.kind {
            ValueKind::Str | ValueKind::Bytes => None,
            ValueKind::Int => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).map(Scalar::Int),
            ValueKind::Float => self.float().map(Scalar::Float),
            ValueKind::Bool => Some(Scalar::Bool(text == b"true")),
            ValueKind::Time => self.time().map(Scalar::Time),
        };
        typed.unwrap_or_else(|| Scalar::of_bytes(text.to_owned()))
    }
}
