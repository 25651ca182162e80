//! The values that a template computes with, by the Go types that they would have.
//!
//! Every text is wiped when it is dropped. Lists and maps live in a [`Heap`] that is dropped as a whole, so that a map may
//! contain itself, as in Go, and dropping a deep value needs no stack. Everything that is made or read through is paid for
//! from one allowance of work, which bounds memory and time together.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use zeroize::Zeroizing;

use super::error::Fault;
use super::expression::Expression;
use super::version::Version;

/// Bytes, as Go's strings are: not always UTF-8.
#[derive(Clone)]
pub(super) struct Text(Rc<Zeroizing<Vec<u8>>>);

impl Text {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Rc::new(Zeroizing::new(bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

/// A value with its Go type.
#[derive(Clone)]
pub(super) enum Value {
    /// No value at all: an untyped nil, or what a missing key gives.
    Nil,
    /// A nil that stands in a list or a map. Go refuses to look for fields in it, and takes it for [`Value::Nil`] else.
    NilItem,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `int64`, which Go does not take for an `int`.
    Int64(i64),
    /// `uint8`: a byte of a string.
    Byte(u8),
    /// `uint64`: a number of a version.
    Uint64(u64),
    /// `float64`.
    Float(f64),
    /// `string`.
    Text(Text),
    /// A version, `*semver.Version`.
    Version(Rc<Version>),
    /// A slice.
    List(List),
    /// A map with strings as keys.
    Map(Map),
}

/// The type of a list's items.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// `[]interface {}`.
    Any,
    /// `[]string`.
    Texts,
    /// `[]int`.
    Ints,
    /// `[][]interface {}`.
    Lists,
}

/// A list in the heap.
#[derive(Clone, Copy)]
pub(super) struct List {
    pub(super) kind: ListKind,
    /// Whether it is Go's nil slice, which JSON writes as `null`.
    pub(super) is_nil: bool,
    id: usize,
}

/// The type of a map's values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MapKind {
    /// `map[string]interface {}`.
    Any,
    /// `map[string]string`.
    Texts,
}

/// A map in the heap.
#[derive(Clone, Copy)]
pub(super) struct Map {
    pub(super) kind: MapKind,
    id: usize,
}

/// How deep a value may be nested to be printed, compared or copied.
pub(super) const MAX_DEPTH: usize = 64;
/// What the templates of one Secret may do together: a byte made or read costs 1, a step of the engine [`STEP`].
pub(super) const WORK: u64 = 64 << 20;
/// What a step of the engine costs.
pub(super) const STEP: u64 = 64;
/// What an item of a list or map costs beside what it holds.
pub(super) const ITEM: u64 = 64;
/// What a map costs beside its items: the least that a tree allocates.
const MAP: u64 = 512;
/// How many different regular expressions one run may have.
const MAX_EXPRESSIONS: usize = 64;

/// The lists and maps of one run, and what it may still do.
pub(super) struct Heap {
    lists: Vec<Rc<[Value]>>,
    maps: Vec<BTreeMap<Text, Value>>,
    expressions: BTreeMap<Text, Expression>,
    left: u64,
}

impl Heap {
    /// Makes an empty heap that may do `left` work.
    pub(super) fn new(left: u64) -> Self {
        Self { lists: Vec::new(), maps: Vec::new(), expressions: BTreeMap::new(), left }
    }

    /// Returns the work that may still be done.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes `work` from the allowance.
    pub(super) fn pay(&mut self, work: u64) -> Result<(), Fault> {
        self.left = self.left.checked_sub(work).ok_or(Fault::Limit("the work that one template may be"))?;
        Ok(())
    }

    pub(super) fn pay_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.pay(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// Keeps bytes as a text.
    pub(super) fn text(&mut self, bytes: Vec<u8>) -> Result<Value, Fault> {
        self.bare_text(bytes).map(Value::Text)
    }

    pub(super) fn bare_text(&mut self, bytes: Vec<u8>) -> Result<Text, Fault> {
        let text = Text::new(bytes);
        self.pay_bytes(text.bytes().len())?;
        Ok(text)
    }

    pub(super) fn list(&mut self, kind: ListKind, items: Vec<Value>) -> Result<Value, Fault> {
        self.pay_items(items.len())?;
        self.list_of_paid(kind, items)
    }

    /// Pays for items before there is memory for them.
    pub(super) fn pay_items(&mut self, items: usize) -> Result<(), Fault> {
        self.pay(ITEM.saturating_mul(items as u64))
    }

    /// Keeps a list whose items are paid for.
    pub(super) fn list_of_paid(&mut self, kind: ListKind, items: Vec<Value>) -> Result<Value, Fault> {
        self.pay(ITEM)?;
        self.lists.push(items.into());
        Ok(Value::List(List { kind, is_nil: false, id: self.lists.len() - 1 }))
    }

    pub(super) fn nil_list(&mut self, kind: ListKind) -> Result<Value, Fault> {
        match self.list(kind, Vec::new())? {
            Value::List(list) => Ok(Value::List(List { is_nil: true, ..list })),
            other => Ok(other),
        }
    }

    pub(super) fn texts(&mut self, parts: impl IntoIterator<Item = Vec<u8>>) -> Result<Value, Fault> {
        let part = |part| self.pay(ITEM).and_then(|()| self.text(part));
        let parts: Vec<Value> = parts.into_iter().map(part).collect::<Result<_, _>>()?;
        self.list_of_paid(ListKind::Texts, parts)
    }

    pub(super) fn items(&self, list: List) -> Rc<[Value]> {
        self.lists.get(list.id).cloned().unwrap_or_else(|| Rc::new([]))
    }

    pub(super) fn map(&mut self, kind: MapKind, entries: BTreeMap<Text, Value>) -> Result<Value, Fault> {
        self.pay_items(entries.len())?;
        self.map_of_paid(kind, entries)
    }

    /// Keeps a map whose entries are paid for.
    pub(super) fn map_of_paid(&mut self, kind: MapKind, entries: BTreeMap<Text, Value>) -> Result<Value, Fault> {
        self.pay(MAP)?;
        self.maps.push(entries);
        Ok(Value::Map(Map { kind, id: self.maps.len() - 1 }))
    }

    pub(super) fn entries(&self, map: Map) -> impl Iterator<Item = (&Text, &Value)> {
        self.maps.get(map.id).into_iter().flatten()
    }

    /// Returns the entries as they are now, in the order of their keys, which may be read or compared once.
    pub(super) fn snapshot(&mut self, map: Map) -> Result<Vec<(Text, Value)>, Fault> {
        self.pay_items(self.size(map))?;
        self.pay_bytes(self.entries(map).map(|(key, _)| key.bytes().len()).sum())?;
        Ok(self.entries(map).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    pub(super) fn size(&self, map: Map) -> usize {
        self.maps.get(map.id).map(BTreeMap::len).unwrap_or_default()
    }

    pub(super) fn get(&self, map: Map, key: &[u8]) -> Option<Value> {
        self.maps.get(map.id)?.get(key).cloned()
    }

    pub(super) fn set(&mut self, map: Map, key: Text, value: Value) -> Result<(), Fault> {
        self.pay(ITEM)?;
        if let Some(entries) = self.maps.get_mut(map.id) {
            entries.insert(key, value);
        }
        Ok(())
    }

    pub(super) fn unset(&mut self, map: Map, key: &Text) {
        if let Some(entries) = self.maps.get_mut(map.id) {
            entries.remove(key);
        }
    }

    /// Works with the expression that `pattern` compiles to, which is done once.
    pub(super) fn with_expression<T>(
        &mut self,
        pattern: &Text,
        work: impl FnOnce(&mut Self, &mut Expression) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut expression = match self.expressions.remove(pattern) {
            Some(known) => known,
            None if self.expressions.len() >= MAX_EXPRESSIONS => {
                return Err(Fault::Limit("64 regular expressions in one template"));
            }
            None => Expression::compile(self, pattern.bytes())?,
        };
        let done = work(self, &mut expression);
        self.expressions.insert(pattern.clone(), expression);
        done
    }
}

impl Value {
    /// Returns the Go type as `%T` prints it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil | Self::NilItem => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Byte(_) => "uint8",
            Self::Uint64(_) => "uint64",
            Self::Version(_) => "*semver.Version",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(list) => list.kind.type_name(),
            Self::Map(map) => match map.kind {
                MapKind::Any => "map[string]interface {}",
                MapKind::Texts => "map[string]string",
            },
        }
    }

    /// Returns the Go kind as `reflect` names it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil | Self::NilItem => "invalid",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Version(_) => "ptr",
            scalar => scalar.type_name(),
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::NilItem)
    }

    /// Takes a nil that stood in a list or map for no value at all.
    pub(super) fn or_nil(self) -> Self {
        if self.is_nil() { Self::Nil } else { self }
    }

    /// Returns what a list or map holds under this value.
    pub(super) fn into_item(self) -> Self {
        if self.is_nil() { Self::NilItem } else { self }
    }

    /// Tells whether `if` takes it for true: it is not the zero of its type.
    pub(super) fn is_true(&self, heap: &Heap) -> bool {
        match self {
            Self::Nil | Self::NilItem => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Uint64(value) => *value != 0,
            Self::Version(_) => true,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.bytes().is_empty(),
            Self::List(list) => !heap.items(*list).is_empty(),
            Self::Map(map) => heap.size(*map) != 0,
        }
    }
}

impl ListKind {
    fn type_name(self) -> &'static str {
        match self {
            Self::Any => "[]interface {}",
            Self::Texts => "[]string",
            Self::Ints => "[]int",
            Self::Lists => "[][]interface {}",
        }
    }
}
