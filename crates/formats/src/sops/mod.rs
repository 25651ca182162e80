//! SOPS files: what can be said about them without a key, how they are opened, and how they are sealed.
//!
//! [`Document<Sealed>`] shows structure, tokens and recipients; values come out of [`Document<Verified>`] only,
//! after the message authentication code over the original text was checked. A user who has to mend a file of his own gets the
//! whole of it as [`Document<Unverified>`]. Follows sops 3.13.3 (github.com/getsops/sops), and is stricter where laxness is
//! dangerous; docs/formats.md lists where.
//!
//! Not here: anything that reads a key or talks to a key service (see [`crate::KeyRequest`]).

mod change;
mod cipher;
mod error;
mod flat;
mod metadata;
mod mixed_contexts;
mod open;
mod plain;
mod raw;
mod rules;
mod seal;
mod shamir;
mod skeleton;
mod state;
mod text;
mod token;
mod tree;
mod unlock;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

pub use change::{Part, PathError};
pub use error::SopsError;
pub use metadata::Recipient;
pub use open::OpenedValue;
pub use plain::Plain;
pub use rules::{Expression, Rule, RuleKind};
pub use seal::{SealError, Terms, VERSION, Vectors, new_data_key, parts};
pub use skeleton::Replace;
pub use state::{Sealed, Unverified, Verified};
pub use token::{TokenFault, ValueKind, is_token};
pub use unlock::{Attempt, USUAL_ORDER, Unlock, UnlockError};

use jiff::Timestamp;
use serde_json::{Map, Value};

use metadata::Metadata;
use state::Open;
use text::{Shown, Text};
use tree::{Reading, Slot, SlotContent, Tree};

use crate::yaml::resolve::Scalar;
use crate::{KeyPath, SecretBytes};

/// The most values and comments in one file.
pub const MAX_LEAVES: usize = 200_000;

/// The longest file that [`Document::parse`] reads, in bytes: 5 MiB.
pub const MAX_BYTES: usize = crate::yaml::MAX_BYTES;
/// The longest file of the user's own that is read and written, in bytes: 24 MiB.
pub const MAX_LOCAL_BYTES: usize = crate::yaml::MAX_WEIGHT;

/// The formats that sops writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Store {
    /// YAML, one document or several.
    Yaml,
    /// One JSON object.
    Json,
    /// `KEY=value` lines.
    Dotenv,
    /// INI: sections of `key = value` lines.
    Ini,
    /// Any bytes in a JSON envelope.
    Binary,
}

impl Store {
    const ALL: [Self; 5] = [Self::Yaml, Self::Json, Self::Dotenv, Self::Ini, Self::Binary];

    /// Returns the format that sops has this name for.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|store| store.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Dotenv => "dotenv",
            Self::Ini => "ini",
            Self::Binary => "binary",
        }
    }

    /// Returns the format that sops takes a file of this name for.
    pub fn from_path(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let suffixes = [
            (".yaml", Self::Yaml),
            (".yml", Self::Yaml),
            (".json", Self::Json),
            (".env", Self::Dotenv),
            (".ini", Self::Ini),
        ];
        suffixes.into_iter().find(|(suffix, _)| name.ends_with(suffix)).map_or(Self::Binary, |(_, store)| store)
    }
}

impl fmt::Display for Store {
    /// Writes the name that sops has for the format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tells whether a file holds sops metadata. A file without the word is never parsed.
///
/// A damaged file counts as sealed if it holds a sealed value, so that [`Document::parse`] can say what is wrong.
pub fn is_sealed(bytes: &[u8], store: Store) -> bool {
    if !contains(bytes, b"sops") {
        return false;
    }
    let block = match store {
        Store::Yaml | Store::Json | Store::Binary => raw::read(bytes, store, MAX_BYTES).map(|file| file.block),
        Store::Dotenv => return bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"sops_")),
        Store::Ini => return bytes.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"[sops]"),
    };
    match block {
        Ok(Some(raw::Block::Tree(serde_json::Value::Object(block)))) => {
            METADATA_FIELDS.iter().any(|field| block.contains_key(*field))
        }
        Ok(None | Some(raw::Block::Flat(_))) => false,
        Ok(Some(raw::Block::Tree(_))) | Err(_) => contains(bytes, b"ENC[AES256_GCM,"),
    }
}

/// Any of these tells the `sops` block from a mapping of a manifest that happens to have this name.
const METADATA_FIELDS: [&str; 10] =
    ["mac", "lastmodified", "age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms", "key_groups"];

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// A SOPS file. `S` says whether its values may be read: they may not while it is [`Sealed`].
///
/// ```compile_fail,E0599
/// use waxwing_formats::KeyPath;
/// use waxwing_formats::sops::{Document, Sealed};
///
/// fn peek(document: &Document<Sealed>) {
///     document.value(0, &KeyPath::root());
/// }
/// ```
#[derive(Clone)]
pub struct Document<S> {
    store: Store,
    trees: Vec<Tree>,
    slots: Vec<Slot>,
    metadata: Metadata,
    state: S,
}

/// A value of a sealed file, as it is seen without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The document in the file, from 0.
    pub document: usize,
    /// Where the value stands; list indices do not count comments.
    pub path: &'a KeyPath,
    /// Whether it is sealed.
    pub state: LeafState<'a>,
}

/// Whether a value is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafState<'a> {
    /// It is, and this is its ciphertext.
    Sealed {
        /// The token as it stands in the file.
        token: &'a str,
        /// The type that the token claims; it is not authenticated.
        kind: ValueKind,
    },
    /// It stands in the clear.
    Plain,
}

impl<S> fmt::Debug for Document<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (store, documents, slots) = (self.store, self.trees.len(), self.slots.len());
        write!(f, "Document({store:?}, {documents} documents, {slots} values)")
    }
}

impl Document<Sealed> {
    /// Parses a sealed file.
    ///
    /// # Errors
    ///
    /// Refuses what sops would refuse, and also: duplicate keys, anything after a token, rules that do not
    /// compile, plain values where the rules say sealed, and files beyond the limits.
    pub fn parse(bytes: &[u8], store: Store) -> Result<Self, SopsError> {
        Self::parse_within(bytes, store, MAX_BYTES)
    }

    /// Parses a sealed file of the user's own, which may be as long as [`MAX_LOCAL_BYTES`].
    ///
    /// # Errors
    ///
    /// As [`Document::parse`].
    pub fn parse_local(bytes: &[u8], store: Store) -> Result<Self, SopsError> {
        Self::parse_within(bytes, store, MAX_LOCAL_BYTES)
    }

    fn parse_within(bytes: &[u8], store: Store, limit: usize) -> Result<Self, SopsError> {
        let file = raw::read(bytes, store, limit)?;
        let metadata = Metadata::parse(&file.block.ok_or(SopsError::NotSealed)?.into_map()?)?;
        let (trees, slots) = tree::grow(file.documents, metadata.terms.rule.as_ref(), Reading::Sealed)?;
        let document = Self { store, trees, slots, metadata, state: Sealed };
        if store == Store::Binary && !document.is_binary() {
            return Err(SopsError::BinaryShape);
        }
        Ok(document)
    }

    fn is_binary(&self) -> bool {
        let [Tree::Map(entries)] = self.trees.as_slice() else {
            return false;
        };
        let [tree::Entry::Pair(key, Tree::Leaf(slot))] = entries.as_slice() else {
            return false;
        };
        key == "data" && self.slots.get(*slot).is_some_and(holds_text)
    }
}

fn holds_text(slot: &Slot) -> bool {
    match &slot.content {
        SlotContent::Sealed(token) => matches!(token.kind, Some(ValueKind::Str | ValueKind::Bytes)),
        SlotContent::Plain(scalar) => matches!(scalar, Scalar::Text(_)),
    }
}

impl<S> Document<S> {
    /// Returns the format of the file.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Returns how many documents the file has.
    pub fn documents(&self) -> usize {
        self.trees.len()
    }

    /// Returns all values in the order of the file; comments are left out.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        self.slots.iter().filter(|slot| !slot.is_comment).map(Slot::leaf)
    }

    /// Returns the values that stand in the clear, but for empty ones, in the order of the file.
    pub fn in_the_clear(&self) -> impl Iterator<Item = Leaf<'_>> {
        let plain = |slot: &&Slot| matches!(slot.content, SlotContent::Plain(_)) && !slot.content.is_empty();
        self.slots.iter().filter(|slot| !slot.is_comment).filter(plain).map(Slot::leaf)
    }

    /// Returns when the file says that its values were sealed last. The code of the file covers it, but for who only looks at it it
    /// is not proven. Nothing for a year that no calendar has.
    pub fn last_modified(&self) -> Option<Timestamp> {
        self.metadata.last_modified.to_nanos().parse().ok()
    }

    /// Tells whether the file names the version that wrote it and has a message authentication code, as every file of sops does.
    pub fn is_signed(&self) -> bool {
        self.metadata.terms.version.is_some() && self.metadata.mac.is_some()
    }

    /// Returns who can open the file, by group and in the order in which they are asked.
    pub fn recipients(&self) -> Vec<String> {
        self.metadata.terms.groups.iter().flatten().map(|recipient| recipient.wrapped.recipient()).collect()
    }
}

impl Slot {
    fn leaf(&self) -> Leaf<'_> {
        let state = match &self.content {
            SlotContent::Sealed(token) => {
                LeafState::Sealed { token: &token.text, kind: token.kind.unwrap_or(ValueKind::Str) }
            }
            SlotContent::Plain(_) => LeafState::Plain,
        };
        Leaf { document: self.document, path: &self.path, state }
    }
}

impl Document<Verified> {
    /// Returns a value that was sealed; nothing for one that stands in the clear, and for a place without a value.
    pub fn value(&self, document: usize, path: &KeyPath) -> Option<&OpenedValue> {
        let slot = self.state.places.get(document)?.get(path)?;
        self.state.contents.opened.get(*slot)?.as_ref()
    }

    /// Returns all values that were sealed, in the order of the file.
    pub fn values(&self) -> impl Iterator<Item = (Leaf<'_>, &OpenedValue)> {
        let slots = self.slots.iter().zip(&self.state.contents.opened).filter(|(slot, _)| !slot.is_comment);
        slots.filter_map(|(slot, opened)| opened.as_ref().map(|opened| (slot.leaf(), opened)))
    }

    /// Returns the recipients whose keys opened the file: one, or one for each Shamir share that was used.
    pub fn provenance(&self) -> &[String] {
        &self.state.contents.recipients
    }
}

impl<S: Open> Document<S> {
    /// Returns the file in the clear: exactly the bytes that `sops -d` prints for this format.
    ///
    /// # Errors
    ///
    /// Refuses an infinite number in JSON, and lists or mappings in dotenv, as sops does.
    pub fn whole(&self) -> Result<SecretBytes, SopsError> {
        self.whole_as(self.store, None)
    }

    /// Returns the file in the clear as sops prints it in a format, with a level indented by so many spaces; if that is not
    /// said, by 4 in YAML and by a tab in JSON.
    ///
    /// # Errors
    ///
    /// Refuses what the format can't say.
    pub fn whole_as(&self, store: Store, indent: Option<u8>) -> Result<SecretBytes, SopsError> {
        self.write(store, None, indent)
    }

    /// Returns the file in the clear as [`Document::whole_as`] does, with the metadata of its sealed form, as a draft for
    /// [`Plain::parse_draft`].
    ///
    /// # Errors
    ///
    /// Refuses what the format can't say.
    pub fn draft(&self, store: Store, indent: Option<u8>) -> Result<SecretBytes, SopsError> {
        self.write(store, Some(&self.metadata.block()), indent)
    }

    fn write(
        &self,
        store: Store,
        block: Option<&Map<String, Value>>,
        indent: Option<u8>,
    ) -> Result<SecretBytes, SopsError> {
        let shown = self.slots.iter().zip(&self.state.contents().opened);
        let shown = shown.map(|(slot, opened)| Shown::of(&slot.content, opened.as_ref()));
        Text { trees: &self.trees, slots: &self.slots, shown: shown.collect(), block, indent }.write(store)
    }
}

impl From<Document<Verified>> for Document<Unverified> {
    /// Forgets that the code was checked.
    fn from(document: Document<Verified>) -> Self {
        let Document { store, trees, slots, metadata, state } = document;
        Self { store, trees, slots, metadata, state: Unverified(state.contents) }
    }
}

/// Finds the slots of the sealed values of each document.
fn places(documents: usize, slots: &[Slot]) -> Vec<HashMap<KeyPath, usize>> {
    let mut places: Vec<HashMap<KeyPath, usize>> = Vec::new();
    places.resize_with(documents, HashMap::new);
    for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| !slot.is_comment) {
        if let (SlotContent::Sealed(_), Some(place)) = (&slot.content, places.get_mut(slot.document)) {
            place.insert(slot.path.clone(), at);
        }
    }
    places
}
