//! The text of a file: in the clear, byte for byte what `sops -d` prints, or sealed, with the `sops` block.
//!
//! Source: sops 3.13.3, `EmitPlainFile` and `EmitEncryptedFile` of each store; Go's `encoding/json` for strings and floats.
//! What is secret is borrowed, and copied once, into the result.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::error::SopsError;
use super::open::OpenedValue;
use super::raw::{BLOCK, FLAT_PREFIX};
use super::token::{Token, ValueKind};
use super::tree::{Entry, Item, Slot, SlotContent, Tree};
use super::{Store, flat};
use crate::ini::{self, OutKey, OutSection};
use crate::yaml::emit::{self, Out, OutEntry, OutItem};
use crate::yaml::resolve::Scalar;
use crate::yaml::time::Time;
use crate::{SecretBytes, go_number};

/// Documents, what stands in their slots, and how it is laid out.
pub(crate) struct Text<'a> {
    pub(crate) trees: &'a [Tree],
    /// To say where something can't be written.
    pub(crate) slots: &'a [Slot],
    /// For each slot what is written.
    pub(crate) shown: Vec<Shown<'a>>,
    /// The block of a sealed file.
    pub(crate) block: Option<&'a Map<String, Value>>,
    /// How many spaces a level is indented by; if not said, 4 in YAML and a tab in JSON.
    pub(crate) indent: Option<u8>,
}

/// What is written for a slot.
#[derive(Clone, Copy)]
pub(crate) enum Shown<'a> {
    /// Its token.
    Sealed(&'a Token),
    /// What was sealed.
    Opened(&'a OpenedValue),
    /// What stands in the clear.
    Plain(&'a Scalar),
}

impl<'a> Text<'a> {
    /// Writes the text in a format, which may be another one than it was read from.
    pub(crate) fn write(&self, store: Store) -> Result<SecretBytes, SopsError> {
        match store {
            Store::Yaml => Ok(self.yaml()),
            Store::Json => self.json(),
            Store::Dotenv => self.dotenv(),
            Store::Ini => self.ini(),
            Store::Binary if self.block.is_some() => self.json(),
            Store::Binary => self.binary(),
        }
    }

    /// Writes the first value of the first document as sops prints a value by itself.
    pub(crate) fn value(&self, store: Store) -> Result<SecretBytes, SopsError> {
        let (key, tree) = self.first().iter().find_map(pair).ok_or(SopsError::NothingToSeal)?;
        match (store, tree) {
            (Store::Yaml, Tree::Leaf(slot)) => Ok(SecretBytes::new((self.shown(*slot).in_yaml() + "\n").into_bytes())),
            (Store::Yaml, tree) => Ok(emit::write(&[self.out(tree)], emit::USUAL_INDENT)),
            (Store::Json, tree) => self.json_of(&|writer| writer.node(Node::Tree(tree), 0)),
            (Store::Ini, Tree::Leaf(slot)) => self.json_of(&|writer| writer.leaf(*slot)),
            (Store::Dotenv, Tree::Leaf(slot)) => Ok(SecretBytes::concat(&[&self.shown(*slot).printed()])),
            (Store::Ini | Store::Dotenv | Store::Binary, _) => Err(SopsError::Nested { store, key: key.to_owned() }),
        }
    }

    /// Returns the values of the first document by their keys, as formats print them that know only text.
    pub(crate) fn values(&self) -> Result<Vec<(String, SecretBytes)>, SopsError> {
        let values = self.first().iter().filter_map(pair).map(|(key, tree)| match tree {
            Tree::Leaf(slot) => Ok((key.to_owned(), SecretBytes::concat(&[&self.shown(*slot).printed()]))),
            Tree::List(_) | Tree::Map(_) => Err(SopsError::Nested { store: Store::Dotenv, key: key.to_owned() }),
        });
        values.collect()
    }

    fn shown(&self, slot: usize) -> Shown<'a> {
        self.shown.get(slot).copied().unwrap_or(Shown::Plain(&Scalar::Null))
    }

    fn first(&self) -> &'a [Entry] {
        match self.trees.first() {
            Some(Tree::Map(entries)) => entries,
            _ => &[],
        }
    }

    fn binary(&self) -> Result<SecretBytes, SopsError> {
        match self.first() {
            [Entry::Pair(key, Tree::Leaf(slot))] if key == "data" => {
                self.shown(*slot).text().map(|text| SecretBytes::concat(&[text])).ok_or(SopsError::BinaryShape)
            }
            _ => Err(SopsError::BinaryShape),
        }
    }

    fn dotenv(&self) -> Result<SecretBytes, SopsError> {
        let mut parts: Vec<Cow<'_, [u8]>> = Vec::new();
        for entry in self.first() {
            match entry {
                Entry::Comment { slot, .. } => {
                    parts.extend([Cow::Borrowed(b"#".as_slice()), self.shown(*slot).printed()])
                }
                Entry::Pair(key, Tree::Leaf(slot)) => {
                    parts.extend([Cow::Borrowed(key.as_bytes()), Cow::Borrowed(b"=".as_slice())]);
                    push_line(&mut parts, self.shown(*slot).printed());
                }
                Entry::Pair(key, _) => return Err(SopsError::Nested { store: Store::Dotenv, key: key.clone() }),
            }
            parts.push(Cow::Borrowed(b"\n"));
        }
        for (name, value) in self.block.map(flat::flatten).unwrap_or_default() {
            let value = value.replace('\n', r"\n");
            parts.push(Cow::Owned(format!("{FLAT_PREFIX}{name}={value}\n").into_bytes()));
        }
        Ok(SecretBytes::concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()))
    }

    fn ini(&self) -> Result<SecretBytes, SopsError> {
        let mut sections = Vec::new();
        for entry in self.first() {
            match entry {
                Entry::Comment { .. } => {}
                Entry::Pair(name, Tree::Map(entries)) => sections.push(self.section(name, entries)?),
                Entry::Pair(key, _) => return Err(SopsError::NoSection { key: key.clone() }),
            }
        }
        let block: Vec<_> = self.block.map(flat::flatten).unwrap_or_default();
        let block: Vec<_> = block.into_iter().map(|(name, value)| (name, value.replace('\n', r"\n"))).collect();
        if !block.is_empty() {
            let keys = block.iter().map(|(name, value)| OutKey {
                name,
                value: value.as_bytes().into(),
                comment: Cow::default(),
            });
            sections.push(OutSection { name: BLOCK, comment: Cow::default(), keys: keys.collect() });
        }
        Ok(ini::write(&sections))
    }

    /// A comment before all keys belongs to the section, any other one to the key that it stands behind.
    fn section(&self, name: &'a str, entries: &'a [Entry]) -> Result<OutSection<'a>, SopsError> {
        let mut section = OutSection { name, comment: Cow::default(), keys: Vec::new() };
        for (at, entry) in entries.iter().enumerate() {
            match (entry, section.keys.last_mut()) {
                (Entry::Comment { slot, .. }, Some(key)) => key.comment = self.shown(*slot).printed(),
                (Entry::Comment { slot, .. }, None) if at == 0 => section.comment = self.shown(*slot).printed(),
                (Entry::Comment { .. }, None) => {}
                (Entry::Pair(name, Tree::Leaf(slot)), _) => {
                    section.keys.push(OutKey { name, value: self.shown(*slot).printed(), comment: Cow::default() });
                }
                (Entry::Pair(key, _), _) => return Err(SopsError::Nested { store: Store::Ini, key: key.clone() }),
            }
        }
        Ok(section)
    }

    fn yaml(&self) -> SecretBytes {
        let documents: Vec<Out<'_>> = self.trees.iter().map(|tree| self.with_block(self.out(tree))).collect();
        emit::write(&documents, self.indent.unwrap_or(emit::USUAL_INDENT))
    }

    fn with_block<'o>(&'o self, document: Out<'o>) -> Out<'o> {
        match (document, self.block) {
            (Out::Map(mut entries), Some(block)) => {
                entries.push(OutEntry::Pair(BLOCK, out_map(block)));
                Out::Map(entries)
            }
            (document, _) => document,
        }
    }

    fn out(&self, tree: &'a Tree) -> Out<'a> {
        match tree {
            Tree::Leaf(slot) => self.out_leaf(*slot),
            Tree::List(items) => Out::List(items.iter().map(|item| self.out_item(item)).collect()),
            Tree::Map(entries) => Out::Map(entries.iter().map(|entry| self.out_entry(entry)).collect()),
        }
    }

    /// sops writes a sealed comment of a list as an item.
    fn out_item(&self, item: &'a Item) -> OutItem<'a> {
        match item {
            Item::Comment { slot, inline } => match self.shown(*slot) {
                Shown::Sealed(token) => OutItem::Value(Out::Text(token.text.as_bytes())),
                shown => {
                    OutItem::Comment { text: shown.text().unwrap_or_default(), inline: shown.stays_inline(*inline) }
                }
            },
            Item::Value(tree) => OutItem::Value(self.out(tree)),
        }
    }

    fn out_entry(&self, entry: &'a Entry) -> OutEntry<'a> {
        match entry {
            Entry::Comment { slot, inline } => {
                let shown = self.shown(*slot);
                OutEntry::Comment { text: shown.text().unwrap_or_default(), inline: shown.stays_inline(*inline) }
            }
            Entry::Pair(key, tree) => OutEntry::Pair(key, self.out(tree)),
        }
    }

    fn out_leaf(&self, slot: usize) -> Out<'a> {
        let shown = self.shown(slot);
        match (shown.text(), shown) {
            (Some(text), _) => Out::Text(text),
            (_, Shown::Plain(Scalar::Float(value))) if self.is_read_otherwise(*value) => {
                Out::Plain("-0.0".to_owned().into())
            }
            _ => Out::Plain(shown.in_yaml().into()),
        }
    }

    /// In a sealed file the negative zero keeps its point, since sops would read `-0` as an integer and find the code of the
    /// file wrong.
    fn is_read_otherwise(&self, value: f64) -> bool {
        self.block.is_some() && value == 0.0 && value.is_sign_negative()
    }

    fn json(&self) -> Result<SecretBytes, SopsError> {
        self.json_of(&|writer| writer.document())
    }

    /// Writes JSON twice: first to measure it, so that its buffer never moves.
    fn json_of(&self, write: &WriteJson<'_>) -> Result<SecretBytes, SopsError> {
        let mut measure = JsonWriter { text: self, out: Vec::new(), length: 0, keep: false };
        write(&mut measure)?;
        let out = Vec::with_capacity(measure.length);
        let mut writer = JsonWriter { text: self, out, length: 0, keep: true };
        write(&mut writer)?;
        Ok(SecretBytes::new(writer.out))
    }
}

type WriteJson<'w> = dyn Fn(&mut JsonWriter<'_, '_>) -> Result<(), SopsError> + 'w;

impl<'a> Shown<'a> {
    /// Returns what is written for a slot: what was opened in it, else what stands there.
    pub(crate) fn of(content: &'a SlotContent, opened: Option<&'a OpenedValue>) -> Self {
        match (opened, content) {
            (Some(opened), _) => Self::Opened(opened),
            (None, SlotContent::Plain(scalar)) => Self::Plain(scalar),
            (None, SlotContent::Sealed(token)) => Self::Sealed(token),
        }
    }

    /// Returns a text, or the text of a comment.
    pub(crate) fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Sealed(token) => Some(token.text.as_bytes()),
            Self::Opened(OpenedValue { kind: ValueKind::Str | ValueKind::Bytes, text }) => Some(text.expose_secret()),
            Self::Plain(Scalar::Text(text)) => Some(text.as_bytes()),
            Self::Plain(Scalar::Bytes(bytes)) => Some(bytes),
            Self::Plain(Scalar::Merge) => Some(b"<<"),
            Self::Opened(_) | Self::Plain(_) => None,
        }
    }

    /// sops forgets that a comment stood behind a value when it opens it.
    pub(crate) fn stays_inline(self, inline: bool) -> bool {
        inline && !matches!(self, Self::Opened(_))
    }

    /// Returns a number, boolean, time or null in YAML.
    fn in_yaml(self) -> String {
        match self {
            Self::Opened(value) if value.kind == ValueKind::Float => value.float().map_or_else(String::new, yaml_float),
            Self::Opened(value) => String::from_utf8_lossy(value.text.expose_secret()).into_owned(),
            Self::Plain(Scalar::Bool(value)) => value.to_string(),
            Self::Plain(Scalar::Int(value)) => value.to_string(),
            Self::Plain(Scalar::Uint(value)) => value.to_string(),
            Self::Plain(Scalar::Float(value)) => yaml_float(*value),
            Self::Plain(Scalar::Time(time)) => time.to_nanos(),
            Self::Plain(_) | Self::Sealed(_) => "null".to_owned(),
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Opened(value) if value.kind == ValueKind::Float => value.float(),
            Self::Plain(Scalar::Float(value)) => Some(*value),
            _ => None,
        }
    }

    fn time(self) -> Option<Time> {
        match self {
            Self::Opened(value) if value.kind == ValueKind::Time => value.time(),
            Self::Plain(Scalar::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// Returns any value as formats print it that know only text (`ValToString`).
    fn printed(self) -> Cow<'a, [u8]> {
        let printed = match (self.text(), self) {
            (Some(text), _) => return Cow::Borrowed(text),
            (_, Self::Plain(Scalar::Null)) => "<nil>".to_owned(),
            _ => match (self.float(), self.time()) {
                (Some(value), _) => go_number::unlike_integer(value),
                (_, Some(time)) => time.to_seconds(),
                _ => self.in_yaml(),
            },
        };
        Cow::Owned(printed.into_bytes())
    }
}

/// Writes line breaks as `\n`.
fn push_line<'a>(parts: &mut Vec<Cow<'a, [u8]>>, value: Cow<'a, [u8]>) {
    let Cow::Borrowed(value) = value else {
        return parts.push(value);
    };
    for (at, line) in value.split(|byte| *byte == b'\n').enumerate() {
        parts.extend((at > 0).then_some(Cow::Borrowed(br"\n".as_slice())));
        parts.push(Cow::Borrowed(line));
    }
}

fn yaml_float(value: f64) -> String {
    match value {
        _ if value.is_nan() => ".nan".to_owned(),
        f64::INFINITY => ".inf".to_owned(),
        f64::NEG_INFINITY => "-.inf".to_owned(),
        _ => go_number::shortest(value),
    }
}

fn out_map(map: &Map<String, Value>) -> Out<'_> {
    Out::Map(map.iter().map(|(name, value)| OutEntry::Pair(name, out_value(value))).collect())
}

fn out_value(value: &Value) -> Out<'_> {
    match value {
        Value::String(text) => Out::Text(text.as_bytes()),
        Value::Array(items) => Out::List(items.iter().map(|item| OutItem::Value(out_value(item))).collect()),
        Value::Object(map) => out_map(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => Out::Plain(value.to_string().into()),
    }
}

struct JsonWriter<'t, 'a> {
    text: &'t Text<'a>,
    out: Vec<u8>,
    length: usize,
    keep: bool,
}

impl JsonWriter<'_, '_> {
    fn put(&mut self, text: &str) {
        self.length += text.len();
        if self.keep {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    fn line(&mut self, depth: usize) {
        self.put("\n");
        match self.text.indent {
            None => (0..depth).for_each(|_| self.put("\t")),
            Some(indent) => (0..depth * usize::from(indent)).for_each(|_| self.put(" ")),
        }
    }

    /// JSON has one document, whatever there is.
    fn document(&mut self) -> Result<(), SopsError> {
        let values = self.text.first().iter().filter_map(pair);
        let values = values.map(|(key, tree)| (Some(key), Node::Tree(tree)));
        let block = self.text.block.map(|block| (Some(BLOCK), Node::Map(block)));
        self.collection('{', '}', values.chain(block), 0)?;
        self.put("\n");
        Ok(())
    }

    fn node(&mut self, node: Node<'_>, depth: usize) -> Result<(), SopsError> {
        match node {
            Node::Tree(Tree::Leaf(slot)) => self.leaf(*slot),
            Node::Tree(Tree::List(items)) => {
                let values = items.iter().filter_map(|item| match item {
                    Item::Value(tree) => Some((None, Node::Tree(tree))),
                    Item::Comment { .. } => None,
                });
                self.collection('[', ']', values, depth)
            }
            Node::Tree(Tree::Map(entries)) => {
                let values = entries.iter().filter_map(pair).map(|(key, tree)| (Some(key), Node::Tree(tree)));
                self.collection('{', '}', values, depth)
            }
            Node::Map(map) => {
                let values = map.iter().map(|(key, value)| (Some(key.as_str()), Node::Value(value)));
                self.collection('{', '}', values, depth)
            }
            Node::Value(Value::Object(map)) => self.node(Node::Map(map), depth),
            Node::Value(Value::Array(items)) => {
                self.collection('[', ']', items.iter().map(|item| (None, Node::Value(item))), depth)
            }
            Node::Value(Value::String(text)) => {
                self.string(text.as_bytes());
                Ok(())
            }
            Node::Value(value) => {
                self.put(&value.to_string());
                Ok(())
            }
        }
    }

    fn collection<'n>(
        &mut self,
        open: char,
        close: char,
        values: impl Iterator<Item = (Option<&'n str>, Node<'n>)>,
        depth: usize,
    ) -> Result<(), SopsError> {
        self.put(open.encode_utf8(&mut [0; 4]));
        let mut empty = true;
        for (key, value) in values {
            self.put(if empty { "" } else { "," });
            empty = false;
            self.line(depth + 1);
            if let Some(key) = key {
                self.string(key.as_bytes());
                self.put(": ");
            }
            self.node(value, depth + 1)?;
        }
        if !empty {
            self.line(depth);
        }
        self.put(close.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn leaf(&mut self, slot: usize) -> Result<(), SopsError> {
        let shown = self.text.shown(slot);
        if let Some(text) = shown.text() {
            self.string(text);
            return Ok(());
        }
        match (shown.float(), shown.time()) {
            (Some(value), _) if self.text.is_read_otherwise(value) => self.put("-0.0"),
            (Some(value), _) if value.is_finite() => self.put(&go_number::json(value)),
            (Some(_), _) => return Err(self.not_in_json(slot)),
            (_, Some(time)) => self.string(time.to_nanos().as_bytes()),
            _ => self.put(&shown.in_yaml()),
        }
        Ok(())
    }

    fn not_in_json(&self, slot: usize) -> SopsError {
        let place = self.text.slots.get(slot).map(|slot| (slot.document, slot.path.clone()));
        let (document, path) = place.unwrap_or_default();
        SopsError::NotInManifest { document, path }
    }

    fn string(&mut self, bytes: &[u8]) {
        self.put("\"");
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match escape(c) {
                    Some(escaped) => self.put(&escaped),
                    None => self.put(c.encode_utf8(&mut [0; 4])),
                }
            }
            (0..chunk.invalid().len()).for_each(|_| self.put(r"\ufffd"));
        }
        self.put("\"");
    }
}

/// What stands in JSON: a part of the file, or of its block.
#[derive(Clone, Copy)]
enum Node<'n> {
    Tree(&'n Tree),
    Map(&'n Map<String, Value>),
    Value(&'n Value),
}

fn pair(entry: &Entry) -> Option<(&str, &Tree)> {
    match entry {
        Entry::Pair(key, tree) => Some((key, tree)),
        Entry::Comment { .. } => None,
    }
}

fn escape(c: char) -> Option<String> {
    let mut escaped = String::with_capacity(6);
    match c {
        '"' | '\\' => escaped.extend(['\\', c]),
        '\n' => escaped.push_str(r"\n"),
        '\r' => escaped.push_str(r"\r"),
        '\t' => escaped.push_str(r"\t"),
        '\u{8}' => escaped.push_str(r"\b"),
        '\u{c}' => escaped.push_str(r"\f"),
        '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
        _ => return None,
    }
    Some(escaped)
}
