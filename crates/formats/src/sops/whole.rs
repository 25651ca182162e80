//! A whole file in the clear, byte for byte what `sops -d` prints.
//!
//! Source: sops 3.13.3, `EmitPlainFile` of each store; Go's `encoding/json` for strings and floats.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::error::SopsError;
use super::open::OpenedValue;
use super::token::ValueKind;
use super::tree::{Entry, Item, SlotContent, Tree};
use super::{Document, Store, Verified};
use crate::ini::{self, OutKey, OutSection};
use crate::yaml::emit::{self, Out, OutEntry, OutItem};
use crate::yaml::resolve::Scalar;
use crate::{SecretBytes, go_number};

impl Document<Verified> {
    /// Returns the file in the clear: exactly the bytes that `sops -d` prints for this format.
    ///
    /// # Errors
    ///
    /// Refuses an infinite number in JSON, and lists or mappings in dotenv, as sops does.
    pub fn whole(&self) -> Result<SecretBytes, SopsError> {
        match self.store {
            Store::Yaml => Ok(self.yaml()),
            Store::Json => self.json(),
            Store::Dotenv => self.dotenv(),
            Store::Ini => self.ini(),
            Store::Binary => self.binary(),
        }
    }

    fn binary(&self) -> Result<SecretBytes, SopsError> {
        match self.trees.first() {
            Some(Tree::Map(entries)) => match entries.as_slice() {
                [Entry::Pair(_, Tree::Leaf(slot))] => Ok(SecretBytes::concat(&[self.bytes(*slot).unwrap_or_default()])),
                _ => Err(SopsError::BinaryShape),
            },
            _ => Err(SopsError::BinaryShape),
        }
    }

    /// Returns the text of a text or comment.
    fn bytes(&self, slot: usize) -> Option<&[u8]> {
        match (self.state.opened.get(slot), self.slots.get(slot).map(|slot| &slot.content)) {
            (Some(Some(value)), _) => Some(value.text.expose_secret()),
            (_, Some(SlotContent::Plain(Scalar::Text(text)))) => Some(text.as_bytes()),
            _ => None,
        }
    }

    fn dotenv(&self) -> Result<SecretBytes, SopsError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        let Some(Tree::Map(entries)) = self.trees.first() else {
            return Ok(SecretBytes::new(Vec::new()));
        };
        for entry in entries {
            match entry {
                Entry::Comment { slot, .. } => parts.extend([b"#".as_slice(), self.bytes(*slot).unwrap_or_default()]),
                Entry::Pair(key, Tree::Leaf(slot)) => {
                    parts.extend([key.as_bytes(), b"="]);
                    let lines = self.bytes(*slot).unwrap_or_default().split(|byte| *byte == b'\n');
                    lines.enumerate().for_each(|(at, line)| {
                        parts.extend((at > 0).then_some(br"\n".as_slice()));
                        parts.push(line);
                    });
                }
                Entry::Pair(..) => return Err(SopsError::RootNotMapping { document: 0 }),
            }
            parts.push(b"\n");
        }
        Ok(SecretBytes::concat(&parts))
    }

    fn ini(&self) -> Result<SecretBytes, SopsError> {
        let refused = || SopsError::RootNotMapping { document: 0 };
        let Some(Tree::Map(entries)) = self.trees.first() else { return Err(refused()) };
        let sections = entries.iter().map(|entry| match entry {
            Entry::Pair(name, Tree::Map(entries)) => self.section(name, entries).ok_or_else(refused),
            _ => Err(refused()),
        });
        Ok(ini::write(&sections.collect::<Result<Vec<_>, _>>()?))
    }

    /// A comment before all keys belongs to the section, any other one to the key that it stands behind.
    fn section<'a>(&'a self, name: &'a str, entries: &'a [Entry]) -> Option<OutSection<'a>> {
        let mut section = OutSection { name, comment: b"", keys: Vec::new() };
        for entry in entries {
            match entry {
                Entry::Comment { slot, .. } => {
                    let comment = self.bytes(*slot).unwrap_or_default();
                    *section.keys.last_mut().map_or(&mut section.comment, |key| &mut key.comment) = comment;
                }
                Entry::Pair(name, Tree::Leaf(slot)) => {
                    section.keys.push(OutKey { name, value: self.bytes(*slot).unwrap_or_default(), comment: b"" });
                }
                Entry::Pair(..) => return None,
            }
        }
        Some(section)
    }

    fn yaml(&self) -> SecretBytes {
        let documents: Vec<Out<'_>> = self.trees.iter().map(|tree| self.out(tree)).collect();
        emit::write(&documents)
    }

    fn out<'a>(&'a self, tree: &'a Tree) -> Out<'a> {
        match tree {
            Tree::Leaf(slot) => self.out_leaf(*slot),
            Tree::List(items) => Out::List(items.iter().map(|item| self.out_item(item)).collect()),
            Tree::Map(entries) => Out::Map(entries.iter().map(|entry| self.out_entry(entry)).collect()),
        }
    }

    fn out_item<'a>(&'a self, item: &'a Item) -> OutItem<'a> {
        match item {
            Item::Comment { slot, inline } => OutItem::Comment {
                text: self.bytes(*slot).unwrap_or_default(),
                inline: self.stays_inline(*slot, *inline),
            },
            Item::Value(tree) => OutItem::Value(self.out(tree)),
        }
    }

    fn out_entry<'a>(&'a self, entry: &'a Entry) -> OutEntry<'a> {
        match entry {
            Entry::Comment { slot, inline } => OutEntry::Comment {
                text: self.bytes(*slot).unwrap_or_default(),
                inline: self.stays_inline(*slot, *inline),
            },
            Entry::Pair(key, tree) => OutEntry::Pair(key, self.out(tree)),
        }
    }

    /// sops forgets that a comment stood behind a value when it opens it.
    fn stays_inline(&self, slot: usize, inline: bool) -> bool {
        inline && matches!(self.state.opened.get(slot), Some(None))
    }

    fn out_leaf(&self, slot: usize) -> Out<'_> {
        match (self.state.opened.get(slot), self.slots.get(slot).map(|slot| &slot.content)) {
            (Some(Some(value)), _) => out_opened(value),
            (_, Some(SlotContent::Plain(scalar))) => out_plain(scalar),
            _ => Out::Plain("null".to_owned().into()),
        }
    }

    fn json(&self) -> Result<SecretBytes, SopsError> {
        let Some(tree) = self.trees.first() else {
            return Ok(SecretBytes::new(Vec::new()));
        };
        let mut measure = JsonWriter { document: self, out: Vec::new(), length: 0, keep: false };
        measure.value(tree, 0)?;
        let out = Vec::with_capacity(measure.length + 1);
        let mut writer = JsonWriter { document: self, out, length: 0, keep: true };
        writer.value(tree, 0)?;
        writer.put("\n");
        Ok(SecretBytes::new(writer.out))
    }
}

fn out_opened(value: &OpenedValue) -> Out<'_> {
    let text = || String::from_utf8_lossy(value.text.expose_secret());
    match value.kind {
        ValueKind::Str | ValueKind::Bytes => Out::Text(value.text.expose_secret()),
        ValueKind::Float => Out::Plain(text().parse().map_or_else(|_| text().into_owned(), yaml_float).into()),
        ValueKind::Int | ValueKind::Bool | ValueKind::Time => Out::Plain(text().into_owned().into()),
    }
}

fn out_plain(scalar: &Scalar) -> Out<'_> {
    let text = match scalar {
        Scalar::Text(text) => return Out::Text(text.as_bytes()),
        Scalar::Merge => return Out::Text(b"<<"),
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Uint(value) => value.to_string(),
        Scalar::Float(value) => yaml_float(*value),
        Scalar::Time(time) => time.to_nanos(),
    };
    Out::Plain(text.into())
}

fn yaml_float(value: f64) -> String {
    match value {
        _ if value.is_nan() => ".nan".to_owned(),
        f64::INFINITY => ".inf".to_owned(),
        f64::NEG_INFINITY => "-.inf".to_owned(),
        _ => go_number::shortest(value),
    }
}

struct JsonWriter<'a> {
    document: &'a Document<Verified>,
    out: Vec<u8>,
    length: usize,
    keep: bool,
}

impl JsonWriter<'_> {
    fn put(&mut self, text: &str) {
        self.length += text.len();
        if self.keep {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    fn line(&mut self, depth: usize) {
        self.put("\n");
        (0..depth).for_each(|_| self.put("\t"));
    }

    fn value(&mut self, tree: &Tree, depth: usize) -> Result<(), SopsError> {
        match tree {
            Tree::Leaf(slot) => self.leaf(*slot),
            Tree::List(items) => {
                let values = items.iter().filter_map(|item| match item {
                    Item::Value(tree) => Some((None, tree)),
                    Item::Comment { .. } => None,
                });
                self.collection('[', ']', values, depth)
            }
            Tree::Map(entries) => {
                let values = entries.iter().filter_map(|entry| match entry {
                    Entry::Pair(key, tree) => Some((Some(key.as_str()), tree)),
                    Entry::Comment { .. } => None,
                });
                self.collection('{', '}', values, depth)
            }
        }
    }

    fn collection<'t>(
        &mut self,
        open: char,
        close: char,
        values: impl Iterator<Item = (Option<&'t str>, &'t Tree)>,
        depth: usize,
    ) -> Result<(), SopsError> {
        self.put(open.encode_utf8(&mut [0; 4]));
        let mut empty = true;
        for (key, tree) in values {
            self.put(if empty { "" } else { "," });
            empty = false;
            self.line(depth + 1);
            if let Some(key) = key {
                self.string(key.as_bytes());
                self.put(": ");
            }
            self.value(tree, depth + 1)?;
        }
        if !empty {
            self.line(depth);
        }
        self.put(close.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn leaf(&mut self, slot: usize) -> Result<(), SopsError> {
        let document = self.document;
        match document.out_leaf(slot) {
            Out::Text(bytes) => self.string(bytes),
            Out::Plain(text) => match self.number(slot, &text) {
                Some(text) => self.put(&text),
                None => {
                    let (at, path) =
                        document.slots.get(slot).map(|slot| (slot.document, slot.path.clone())).unwrap_or_default();
                    return Err(SopsError::NotInManifest { document: at, path });
                }
            },
            Out::List(_) | Out::Map(_) => {}
        }
        Ok(())
    }

    /// Turns YAML's form of a number, boolean, null or time into JSON's.
    fn number(&self, slot: usize, text: &str) -> Option<Zeroizing<String>> {
        let opened = self.document.state.opened.get(slot).and_then(Option::as_ref).map(|value| value.kind);
        let content = self.document.slots.get(slot).map(|slot| &slot.content);
        match (opened, content) {
            (Some(ValueKind::Time), _) | (None, Some(SlotContent::Plain(Scalar::Time(_)))) => {
                Some(format!("\"{text}\"").into())
            }
            (Some(ValueKind::Float), _) | (None, Some(SlotContent::Plain(Scalar::Float(_)))) => {
                text.parse().ok().filter(|value: &f64| value.is_finite()).map(|value| go_number::json(value).into())
            }
            _ => Some(text.to_owned().into()),
        }
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
