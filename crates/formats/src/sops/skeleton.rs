//! A sealed file as the manifests it holds, with something else where each sealed value stands.
//!
//! Plain values are what `sops -d | kubectl apply` would send: a time as its RFC 3339 text, a float without a
//! point if it is integral, merge keys applied. Comments are gone.

use serde_json::{Map, Value};

use super::error::SopsError;
use super::tree::{Entry, Item, Slot, SlotContent, Tree};
use super::{Document, Store};
use crate::KeyPath;
use crate::go_number;
use crate::yaml::resolve::Scalar;

/// Gives the text that stands for a sealed value: document, key path and token come in.
pub type Replace<'a> = dyn FnMut(usize, &KeyPath, &str) -> String + 'a;

impl<S> Document<S> {
    /// Returns each document as JSON, without the `sops` block, sealed values replaced by what `replace` returns.
    ///
    /// # Errors
    ///
    /// Refuses an infinite number, binary data, a `<<` over something other than mappings, and one that brings a key which stands
    /// above it.
    pub fn skeletons(&self, replace: &mut Replace<'_>) -> Result<Vec<Value>, SopsError> {
        let merge = self.store == Store::Yaml;
        let mut builder = Builder { slots: &self.slots, replace, merge };
        self.trees.iter().map(|tree| builder.value(tree)).collect()
    }
}

struct Builder<'a, 'b> {
    slots: &'a [Slot],
    replace: &'a mut Replace<'b>,
    merge: bool,
}

impl Builder<'_, '_> {
    fn value(&mut self, tree: &Tree) -> Result<Value, SopsError> {
        match tree {
            Tree::Leaf(slot) => self.leaf(*slot),
            Tree::List(items) => {
                let values = items.iter().filter_map(|item| match item {
                    Item::Value(tree) => Some(tree),
                    Item::Comment { .. } => None,
                });
                values.map(|tree| self.value(tree)).collect()
            }
            Tree::Map(entries) => self.map(entries).map(Value::Object),
        }
    }

    fn map(&mut self, entries: &[Entry]) -> Result<Map<String, Value>, SopsError> {
        let mut map = Map::new();
        let mut merges = Vec::new();
        for entry in entries {
            match entry {
                Entry::Comment { .. } => {}
                Entry::Pair(key, tree) if self.merge && key == "<<" => merges.push((tree, map.len())),
                Entry::Pair(key, tree) => {
                    map.insert(key.clone(), self.value(tree)?);
                }
            }
        }
        for (tree, above) in merges {
            self.merge_into(&mut map, tree, above)?;
        }
        Ok(map)
    }

    /// Adds what a `<<` brings. A key that stands above the `<<` too is refused: readers differ on which one wins.
    fn merge_into(&mut self, map: &mut Map<String, Value>, tree: &Tree, above: usize) -> Result<(), SopsError> {
        match tree {
            Tree::Map(entries) => {
                let brought = self.map(entries)?;
                if map.keys().take(above).any(|key| brought.contains_key(key)) {
                    return Err(self.refuse_first(tree));
                }
                for (key, value) in brought {
                    map.entry(key).or_insert(value);
                }
                Ok(())
            }
            Tree::List(items) => {
                for item in items {
                    if let Item::Value(tree) = item {
                        self.merge_into(map, tree, above)?;
                    }
                }
                Ok(())
            }
            Tree::Leaf(_) => Err(self.refuse_first(tree)),
        }
    }

    /// Refuses a tree by naming its first leaf.
    fn refuse_first(&self, tree: &Tree) -> SopsError {
        let slot = first_leaf(tree).and_then(|slot| self.slots.get(slot));
        slot.map_or(SopsError::NotInManifest { document: 0, path: KeyPath::root() }, not_in_manifest)
    }

    fn leaf(&mut self, slot: usize) -> Result<Value, SopsError> {
        let Some(slot) = self.slots.get(slot) else {
            return Ok(Value::Null);
        };
        match &slot.content {
            SlotContent::Sealed(token) => Ok(Value::String((self.replace)(slot.document, &slot.path, &token.text))),
            SlotContent::Plain(scalar) => plain(scalar).ok_or_else(|| not_in_manifest(slot)),
        }
    }
}

fn first_leaf(tree: &Tree) -> Option<usize> {
    match tree {
        Tree::Leaf(slot) => Some(*slot),
        Tree::List(items) => items.iter().find_map(|item| match item {
            Item::Value(tree) => first_leaf(tree),
            Item::Comment { .. } => None,
        }),
        Tree::Map(entries) => entries.iter().find_map(|entry| match entry {
            Entry::Pair(_, tree) => first_leaf(tree),
            Entry::Comment { .. } => None,
        }),
    }
}

fn not_in_manifest(slot: &Slot) -> SopsError {
    SopsError::NotInManifest { document: slot.document, path: slot.path.clone() }
}

fn plain(scalar: &Scalar) -> Option<Value> {
    Some(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Int(value) => (*value).into(),
        Scalar::Uint(value) => (*value).into(),
        Scalar::Float(value) => Value::Number(go_number::to_json(*value)?),
        Scalar::Time(time) => Value::String(time.to_nanos()),
        Scalar::Text(text) => Value::String(text.clone()),
        Scalar::Bytes(_) => return None,
        Scalar::Merge => Value::String("<<".to_owned()),
    })
}
