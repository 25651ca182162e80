//! One value of a file in the clear: looked up, set or taken out, by the keys and positions that lead to it.
//!
//! Source: sops 3.13.3, `Truncate`, `Set` and `Unset` in `sops.go`: only the first document is looked at, and the position in
//! a list counts comments of their own lines too. Where sops would panic, as for a key of a list, there is an error.

use thiserror::Error;

use super::error::SopsError;
use super::plain::Plain;
use super::raw::{self, Raw, RawEntry, RawItem};
use super::text::Text;
use super::tree::{self, Reading};
use super::{MAX_LOCAL_BYTES, Store};
use crate::yaml::resolve::Scalar;
use crate::{KeyPath, SecretBytes, Segment};

/// Why a path leads nowhere.
#[derive(Debug, Error)]
pub enum PathError {
    /// There is no such key.
    #[error("there is no key {path}")]
    NoKey {
        /// The path up to the key.
        path: KeyPath,
    },
    /// There is no such position.
    #[error("the list has no item {path}")]
    NoItem {
        /// The path up to the position.
        path: KeyPath,
    },
    /// The path goes on with a key where there is a list or a value, or with a position where there is a mapping or a value.
    #[error(
        "{path} leads nowhere: a list is entered by a position, a mapping by a key, and a value or comment not at all"
    )]
    OtherKind {
        /// The path up to the step that does not fit.
        path: KeyPath,
    },
    /// What should be set is not JSON.
    #[error("the value to set is not JSON")]
    NotJson,
    /// The value can't be written in the format.
    #[error(transparent)]
    File(#[from] SopsError),
}

impl PathError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoKey { .. } | Self::NoItem { .. } | Self::OtherKind { .. } => {
                r#"write the path as '["key"]["other key"][0]', and quote it for the shell"#
            }
            Self::NotJson => r#"write text in quotes, as in '"text"', and quote that for the shell"#,
            Self::File(error) => error.hint(),
        }
    }
}

/// A part of a file in the clear.
pub struct Part {
    raw: Raw,
    /// The key that leads to it, to say what can't be written.
    key: String,
    /// The documents after the first, which sops prints behind a mapping.
    others: Vec<Vec<RawEntry>>,
}

impl Part {
    /// Reads the JSON form of a value.
    ///
    /// # Errors
    ///
    /// Refuses what is not JSON, or has a key twice.
    pub fn from_json(text: &[u8]) -> Result<Self, PathError> {
        let wrapped = [br#"{"value":"#.as_slice(), text, b"}"].concat();
        let file = raw::read(&wrapped, Store::Json, MAX_LOCAL_BYTES).map_err(|_| PathError::NotJson)?;
        let entries = file.documents.into_iter().next().unwrap_or_default();
        match <[RawEntry; 1]>::try_from(entries) {
            Ok([RawEntry::Pair(key, raw)]) => Ok(Self { raw, key, others: Vec::new() }),
            _ => Err(PathError::NotJson),
        }
    }

    /// Returns a file that has what stands in the part, if that is a mapping.
    pub fn into_mapping(self) -> Option<Plain> {
        match self.raw {
            Raw::Map(entries) => Some(Plain { store: Store::Json, documents: vec![entries], by_columns: None }),
            Raw::Scalar(_) | Raw::List(_) => None,
        }
    }

    /// Prints the part as sops does: a text as it is, a mapping as a file, and anything else as a value of the format.
    ///
    /// # Errors
    ///
    /// Refuses what the format can't say.
    pub fn write(self, store: Store, indent: Option<u8>) -> Result<SecretBytes, SopsError> {
        let part = match self.raw {
            Raw::Scalar(Scalar::Text(text)) => return Ok(SecretBytes::new(text.into_bytes())),
            Raw::Scalar(Scalar::Bytes(bytes)) => return Ok(SecretBytes::new(bytes)),
            Raw::Map(entries) => {
                let documents = std::iter::once(entries).chain(self.others).collect();
                return Plain { store, documents, by_columns: None }.write(store, indent);
            }
            part @ (Raw::Scalar(_) | Raw::List(_)) => part,
        };
        let documents = vec![vec![RawEntry::Pair(self.key, part)]];
        let (trees, slots) = tree::grow(documents, None, Reading::Clear)?;
        let text = Text { trees: &trees, slots: &slots, shown: tree::shown(&slots), block: None, indent };
        text.value(store)
    }
}

impl Plain {
    /// Takes a part out of the first document; the whole of it for an empty path.
    ///
    /// # Errors
    ///
    /// Says where the path leads nowhere.
    pub fn into_part(self, path: &[Segment]) -> Result<Part, PathError> {
        let mut documents = self.documents.into_iter();
        let mut raw = Raw::Map(documents.next().unwrap_or_default());
        for (depth, step) in path.iter().enumerate() {
            let here = || walked(path, depth);
            raw = match (raw, step) {
                (Raw::Map(entries), Segment::Key(key)) => {
                    let found = entries.into_iter().find_map(|entry| match entry {
                        RawEntry::Pair(name, raw) if name == *key => Some(raw),
                        RawEntry::Pair(..) | RawEntry::Comment(_) => None,
                    });
                    found.ok_or_else(|| PathError::NoKey { path: here() })?
                }
                (Raw::List(items), Segment::Index(index)) => match items.into_iter().nth(*index) {
                    Some(RawItem::Value(raw)) => raw,
                    Some(RawItem::Comment(_)) => return Err(PathError::OtherKind { path: here() }),
                    None => return Err(PathError::NoItem { path: here() }),
                },
                _ => return Err(PathError::OtherKind { path: here() }),
            };
        }
        let key = path.iter().rev().find_map(Segment::as_key).unwrap_or_default().to_owned();
        Ok(Part { raw, key, others: documents.collect() })
    }

    /// Sets a value of the first document, and makes what is missing on the way to it. Tells whether anything changed.
    ///
    /// # Errors
    ///
    /// Refuses a key of a list, a position in a mapping, and an empty path.
    pub fn set(&mut self, path: &[Segment], value: Part) -> Result<bool, PathError> {
        if path.first() == Some(&Segment::Key(raw::BLOCK.to_owned())) {
            return Err(PathError::File(SopsError::AlreadySealed));
        }
        if path.is_empty() {
            return Err(PathError::OtherKind { path: walked(path, 0) });
        }
        self.change_first(|root| set(root, path, 0, value.raw))
    }

    /// Takes a value out of the first document.
    ///
    /// # Errors
    ///
    /// Says where the path leads nowhere.
    pub fn unset(&mut self, path: &[Segment]) -> Result<(), PathError> {
        self.change_first(|root| unset(root, path, 0))
    }

    /// Changes the first document, whose root stays a mapping.
    fn change_first<T>(&mut self, change: impl FnOnce(&mut Raw) -> T) -> T {
        // With a change there is one reading left: that which seals no less than a reader would expect.
        self.documents = self.by_columns.take().unwrap_or_else(|| std::mem::take(&mut self.documents));
        let mut root = Raw::Map(self.documents.first_mut().map(std::mem::take).unwrap_or_default());
        let done = change(&mut root);
        if let (Raw::Map(entries), Some(first)) = (root, self.documents.first_mut()) {
            *first = entries;
        }
        done
    }
}

/// Returns the path up to and with a step.
fn walked(path: &[Segment], depth: usize) -> KeyPath {
    path.iter().take(depth + 1).cloned().collect()
}

fn set(at: &mut Raw, path: &[Segment], depth: usize, value: Raw) -> Result<bool, PathError> {
    let Some(step) = path.get(depth) else {
        let changed = !same(at, &value);
        *at = value;
        return Ok(changed);
    };
    match (at, step) {
        (Raw::Map(entries), Segment::Key(key)) => {
            let found = entries.iter_mut().find_map(|entry| match entry {
                RawEntry::Pair(name, raw) if name == key => Some(raw),
                RawEntry::Pair(..) | RawEntry::Comment(_) => None,
            });
            if let Some(raw) = found {
                return set(raw, path, depth + 1, value);
            }
            entries.push(RawEntry::Pair(key.clone(), grown(path, depth + 1, value)));
            Ok(true)
        }
        (Raw::List(items), Segment::Index(index)) => match items.get_mut(*index) {
            Some(RawItem::Value(raw)) => set(raw, path, depth + 1, value),
            Some(RawItem::Comment(_)) => Err(PathError::OtherKind { path: walked(path, depth) }),
            None => {
                items.push(RawItem::Value(grown(path, depth + 1, value)));
                Ok(true)
            }
        },
        (at @ Raw::Scalar(_), _) => {
            *at = grown(path, depth, value);
            Ok(true)
        }
        (Raw::Map(_) | Raw::List(_), _) => Err(PathError::OtherKind { path: walked(path, depth) }),
    }
}

/// Makes the mappings and lists that the rest of a path leads through.
fn grown(path: &[Segment], depth: usize, value: Raw) -> Raw {
    path.iter().skip(depth).rfold(value, |inner, step| match step {
        Segment::Key(key) => Raw::Map(vec![RawEntry::Pair(key.clone(), inner)]),
        Segment::Index(_) => Raw::List(vec![RawItem::Value(inner)]),
    })
}

fn unset(at: &mut Raw, path: &[Segment], depth: usize) -> Result<(), PathError> {
    let here = || walked(path, depth);
    let is_last = depth + 1 >= path.len();
    match (at, path.get(depth)) {
        (Raw::Map(entries), Some(Segment::Key(key))) => {
            let is_it = |entry: &RawEntry| matches!(entry, RawEntry::Pair(name, _) if name == key);
            let found = entries.iter().position(is_it).ok_or_else(|| PathError::NoKey { path: here() })?;
            match entries.get_mut(found) {
                Some(RawEntry::Pair(_, raw)) if !is_last => unset(raw, path, depth + 1),
                _ => {
                    entries.remove(found);
                    Ok(())
                }
            }
        }
        (Raw::List(items), Some(Segment::Index(index))) => match items.get_mut(*index) {
            None => Err(PathError::NoItem { path: here() }),
            Some(RawItem::Value(raw)) if !is_last => unset(raw, path, depth + 1),
            Some(_) if is_last => {
                items.remove(*index);
                Ok(())
            }
            Some(_) => Err(PathError::OtherKind { path: here() }),
        },
        _ => Err(PathError::OtherKind { path: here() }),
    }
}

/// Tells whether two values are equal, comments counted.
fn same(one: &Raw, other: &Raw) -> bool {
    match (one, other) {
        (Raw::Scalar(one), Raw::Scalar(other)) => one == other,
        (Raw::List(one), Raw::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|pair| match pair {
                    (RawItem::Value(one), RawItem::Value(other)) => same(one, other),
                    (RawItem::Comment(one), RawItem::Comment(other)) => one.text == other.text,
                    _ => false,
                })
        }
        (Raw::Map(one), Raw::Map(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|pair| match pair {
                    (RawEntry::Pair(key, one), RawEntry::Pair(other_key, other)) => {
                        key == other_key && same(one, other)
                    }
                    (RawEntry::Comment(one), RawEntry::Comment(other)) => one.text == other.text,
                    _ => false,
                })
        }
        _ => false,
    }
}
