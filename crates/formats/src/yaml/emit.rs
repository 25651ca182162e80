//! Writes YAML as go-yaml does: version 3, comments included, so that what comes out is what sops writes, byte for byte, and
//! version 2 for what Kubernetes' own programs write.
//!
//! Source of the behaviour: `emitterc.go` of go.yaml.in/yaml/v3 3.0.4 and of go.yaml.in/yaml/v2 2.4.4. Its state is kept
//! here under the same names (whitespace, indention, foot indent), because where it breaks lines follows from nothing else.
//! Block style only. Version 2 folds long lines and doesn't indent lists in mappings; version 3 as sops calls it does neither.

use zeroize::Zeroizing;

use super::resolve::Rules;
use super::scalar_style::is_break;
use crate::SecretBytes;

/// A tree to be written. Comments have no `#`.
pub(crate) enum Out<'a> {
    /// A text; bytes that are not UTF-8 become `!!binary`.
    Text(&'a [u8]),
    /// A number, boolean, null or time in its final form.
    Plain(Zeroizing<String>),
    List(Vec<OutItem<'a>>),
    Map(Vec<OutEntry<'a>>),
}

pub(crate) enum OutItem<'a> {
    Comment { text: &'a [u8], inline: bool },
    Value(Out<'a>),
}

pub(crate) enum OutEntry<'a> {
    Comment { text: &'a [u8], inline: bool },
    Pair(&'a str, Out<'a>),
}

pub(super) type Lines<'a> = Vec<&'a [u8]>;

/// How far sops indents a level where nothing else is said.
pub(crate) const USUAL_INDENT: u8 = 4;

/// The column from which on version 2 breaks a line at the next space.
const FOLDED_FROM: i32 = 80;

/// Writes documents, each a mapping; go-yaml takes an indent below 2 or above 9 for 2.
pub(crate) fn write(documents: &[Out<'_>], indent: u8) -> SecretBytes {
    write_as(documents, indent, Rules::V3)
}

/// Writes a document as sigs.k8s.io/yaml does.
pub(crate) fn write_manifest(document: &Out<'_>) -> SecretBytes {
    write_as(std::slice::from_ref(document), 2, Rules::V2)
}

/// The text is measured first, so that its buffer never moves.
fn write_as(documents: &[Out<'_>], indent: u8, rules: Rules) -> SecretBytes {
    let mut measure = Emitter::new(Sink { bytes: Vec::new(), length: 0, keep: false }, indent, rules);
    measure.stream(documents);
    let bytes = Vec::with_capacity(measure.sink.length);
    let mut emitter = Emitter::new(Sink { bytes, length: 0, keep: true }, indent, rules);
    emitter.stream(documents);
    SecretBytes::new(emitter.sink.bytes)
}

struct Sink {
    bytes: Vec<u8>,
    length: usize,
    keep: bool,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if self.keep {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

pub(super) struct Emitter<'a> {
    sink: Sink,
    /// Which version it writes like.
    pub(super) rules: Rules,
    /// Whether a line may be broken at a space now.
    folds: bool,
    /// How far a level is indented.
    pub(super) step: i32,
    column: i32,
    pub(super) whitespace: bool,
    pub(super) indention: bool,
    pub(super) indent: i32,
    foot_indent: i32,
    head: Lines<'a>,
    pub(super) line: Lines<'a>,
    foot: Lines<'a>,
    tail: Lines<'a>,
}

/// Where the next node stands, as far as its indentation depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    Map,
    List,
}

impl<'a> Emitter<'a> {
    fn new(sink: Sink, indent: u8, rules: Rules) -> Self {
        let (head, line, foot, tail) = Default::default();
        let step = if (2..=9).contains(&indent) { indent.into() } else { 2 };
        Self {
            sink,
            rules,
            folds: rules == Rules::V2,
            step,
            column: 0,
            whitespace: true,
            indention: true,
            indent: -1,
            foot_indent: -1,
            head,
            line,
            foot,
            tail,
        }
    }

    fn stream(&mut self, documents: &'a [Out<'a>]) {
        for (at, document) in documents.iter().enumerate() {
            if at > 0 {
                self.write_indent();
                self.indicator("---", true, false, false);
                self.write_indent();
            }
            self.set_head(Vec::new(), document);
            self.process_head();
            self.process_line();
            self.process_foot();
            self.body(document, Parent::Map, Vec::new());
            self.foot_indent = 0;
            self.process_foot();
            self.foot_indent = -1;
            self.write_indent();
        }
    }

    /// Takes over the comments before a node and those that the node begins with.
    fn set_head(&mut self, mut before: Lines<'a>, node: &'a Out<'a>) {
        before.extend(leading(node));
        if !before.is_empty() {
            self.head = before;
        }
    }

    fn body(&mut self, node: &'a Out<'a>, parent: Parent, foot: Lines<'a>) {
        match node {
            Out::Map(entries) => self.map(entries, parent, foot),
            Out::List(items) => self.list(items, parent, foot),
            Out::Text(_) | Out::Plain(_) => {}
        }
    }

    fn map(&mut self, entries: &'a [OutEntry<'a>], parent: Parent, foot: Lines<'a>) {
        let Some(first) = entries.iter().position(|entry| matches!(entry, OutEntry::Pair(..))) else {
            return self.empty("{", "}", parent, foot);
        };
        let outer = self.increase(parent);
        let (mut before, mut inline): (Lines<'a>, Lines<'a>) = Default::default();
        let is_led = |at: usize, entry: &OutEntry<'_>| at < first && is_own_line(as_inline_comment(entry));
        for (_, entry) in entries.iter().enumerate().filter(|(at, entry)| !is_led(*at, entry)) {
            match entry {
                OutEntry::Comment { text, inline: true } => inline.push(text),
                OutEntry::Comment { text, inline: false } => before.push(text),
                OutEntry::Pair(key, value) => {
                    self.pair(key, value, std::mem::take(&mut before), std::mem::take(&mut inline));
                }
            }
        }
        before.append(&mut inline);
        set(&mut self.tail, before);
        set(&mut self.foot, foot);
        self.process_head();
        self.indent = outer;
    }

    fn pair(&mut self, key: &'a str, value: &'a Out<'a>, before: Lines<'a>, inline: Lines<'a>) {
        set(&mut self.head, before);
        self.process_head();
        self.write_indent();
        let simple = !key.chars().any(is_break) && key.len() + if key == "<<" { 7 } else { 0 } <= 128;
        if simple {
            self.folds = false;
            self.text(key.as_bytes(), Parent::Map);
            self.folds = self.rules == Rules::V2;
            set(&mut self.line, inline);
            self.indicator(":", false, false, false);
        } else {
            self.indicator("?", true, false, true);
            self.text(key.as_bytes(), Parent::Map);
            set(&mut self.line, inline);
            self.write_indent();
            self.indicator(":", true, false, true);
        }
        self.set_head(Vec::new(), value);
        self.scalar(value, Parent::Map);
        self.process_line();
        self.process_foot();
        self.body(value, Parent::Map, Vec::new());
    }

    fn list(&mut self, items: &'a [OutItem<'a>], parent: Parent, foot: Lines<'a>) {
        let Some(first) = items.iter().position(|item| matches!(item, OutItem::Value(_))) else {
            return self.empty("[", "]", parent, foot);
        };
        let last = items.iter().rposition(|item| matches!(item, OutItem::Value(_))).unwrap_or(first);
        let outer = self.indent;
        if !(self.rules == Rules::V2 && parent == Parent::Map) {
            self.increase(parent);
        }
        let (mut before, mut inline): (Lines<'a>, Lines<'a>) = Default::default();
        let is_led = |at: usize, item: &OutItem<'_>| at < first && is_own_line(as_inline_item(item));
        for (at, item) in items.iter().enumerate().filter(|(at, item)| !is_led(*at, item)) {
            match item {
                OutItem::Comment { text, inline: true } => inline.push(text),
                OutItem::Comment { text, inline: false } => before.push(text),
                OutItem::Value(value) => {
                    let after = items.iter().skip(if at == last { at + 1 } else { items.len() });
                    let below = after.filter_map(comment_of_item).collect();
                    self.item(value, std::mem::take(&mut before), std::mem::take(&mut inline), below);
                }
            }
        }
        set(&mut self.foot, foot);
        self.indent = outer;
    }

    fn item(&mut self, value: &'a Out<'a>, before: Lines<'a>, inline: Lines<'a>, below: Lines<'a>) {
        self.set_head(before, value);
        set(&mut self.line, inline);
        let is_scalar = matches!(value, Out::Text(_) | Out::Plain(_));
        if is_scalar {
            set(&mut self.foot, below.clone());
        }
        self.process_head();
        self.write_indent();
        self.indicator("-", true, false, true);
        self.scalar(value, Parent::List);
        self.process_line();
        self.process_foot();
        self.body(value, Parent::List, if is_scalar { Vec::new() } else { below });
    }

    fn empty(&mut self, open: &str, close: &str, parent: Parent, foot: Lines<'a>) {
        self.indicator(open, true, true, false);
        set(&mut self.foot, foot);
        if open == "{" {
            let outer = self.indent;
            self.indent = self.inner_indent(parent, true);
            self.process_head();
            self.indent = outer;
        }
        self.indicator(close, false, false, false);
        self.process_line();
        self.process_foot();
    }

    fn increase(&mut self, parent: Parent) -> i32 {
        let outer = self.indent;
        self.indent = self.inner_indent(parent, false);
        outer
    }

    pub(super) fn inner_indent(&self, parent: Parent, flow: bool) -> i32 {
        match (self.indent, parent) {
            (i32::MIN..=-1, _) if flow => self.step,
            (i32::MIN..=-1, _) => 0,
            (indent, Parent::List) => indent + 2,
            (indent, Parent::Map) => self.step * ((indent + self.step) / self.step),
        }
    }

    fn process_head(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        if !tail.is_empty() {
            self.write_indent();
            self.comment(&tail);
            self.foot_indent = self.indent.max(0);
        }
        let head = std::mem::take(&mut self.head);
        if !head.is_empty() {
            self.write_indent();
            self.comment(&head);
        }
    }

    pub(super) fn process_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        if !self.whitespace {
            self.put(" ");
        }
        self.comment(&line);
    }

    fn process_foot(&mut self) {
        let foot = std::mem::take(&mut self.foot);
        if !foot.is_empty() {
            self.write_indent();
            self.comment(&foot);
            self.foot_indent = self.indent.max(0);
        }
    }

    /// Writes comment lines; a line break inside a comment begins another comment line.
    fn comment(&mut self, comments: &[&[u8]]) {
        let lines = comments.iter().flat_map(|comment| {
            comment.split(|byte| *byte == b'\n').enumerate().map(|(at, line)| (if at == 0 { "#" } else { "# " }, line))
        });
        for (at, (mark, line)) in lines.enumerate() {
            if at > 0 {
                self.put_break();
                self.write_indent();
            }
            self.put(mark);
            self.sink.put(line);
            self.column += 1;
            self.indention = false;
        }
        self.put_break();
        self.whitespace = true;
    }

    pub(super) fn indicator(&mut self, text: &str, needs_whitespace: bool, is_whitespace: bool, is_indention: bool) {
        if needs_whitespace && !self.whitespace {
            self.put(" ");
        }
        self.put(text);
        self.whitespace = is_whitespace;
        self.indention &= is_indention;
    }

    pub(super) fn write_indent(&mut self) {
        let indent = self.indent.max(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break();
        }
        if self.foot_indent == indent {
            self.put_break();
        }
        while self.column < indent {
            self.put(" ");
        }
        self.whitespace = true;
        self.foot_indent = -1;
    }

    /// Tells whether a space between two other characters is the place to break the line.
    pub(super) fn is_to_fold(&self) -> bool {
        self.folds && self.column > FOLDED_FROM
    }

    pub(super) fn write_break(&mut self, c: char) {
        if c == '\n' {
            self.put_break();
        } else {
            self.put_char(c);
            self.column = 0;
            self.indention = true;
        }
    }

    pub(super) fn put_break(&mut self) {
        self.sink.put(b"\n");
        self.column = 0;
        self.indention = true;
    }

    pub(super) fn put_char(&mut self, c: char) {
        self.put(c.encode_utf8(&mut [0; 4]));
    }

    pub(super) fn put(&mut self, text: &str) {
        self.sink.put(text.as_bytes());
        self.column = self.column.saturating_add(i32::try_from(text.chars().count()).unwrap_or(i32::MAX));
    }
}

fn set<'a>(place: &mut Lines<'a>, comments: Lines<'a>) {
    if !comments.is_empty() {
        *place = comments;
    }
}

/// The comments that a collection begins with belong to the collection, inline ones to what follows them.
fn leading<'a>(node: &'a Out<'a>) -> Lines<'a> {
    match node {
        Out::Map(entries) => {
            let first = entries.iter().position(|entry| matches!(entry, OutEntry::Pair(..)));
            let until = first.unwrap_or(entries.len());
            entries.iter().take(until).filter_map(|entry| own_line(as_inline_comment(entry), first.is_none())).collect()
        }
        Out::List(items) => {
            let first = items.iter().position(|item| matches!(item, OutItem::Value(_)));
            let until = first.unwrap_or(items.len());
            items.iter().take(until).filter_map(|item| own_line(as_inline_item(item), first.is_none())).collect()
        }
        Out::Text(_) | Out::Plain(_) => Vec::new(),
    }
}

fn own_line(comment: Option<(&[u8], bool)>, all: bool) -> Option<&[u8]> {
    comment.filter(|(_, inline)| all || !inline).map(|(text, _)| text)
}

/// Tells whether a comment has lines of its own: at the beginning of a collection these are the collection's.
fn is_own_line(comment: Option<(&[u8], bool)>) -> bool {
    comment.is_some_and(|(_, inline)| !inline)
}

fn as_inline_comment<'a>(entry: &OutEntry<'a>) -> Option<(&'a [u8], bool)> {
    match entry {
        OutEntry::Comment { text, inline } => Some((text, *inline)),
        OutEntry::Pair(..) => None,
    }
}

fn as_inline_item<'a>(item: &OutItem<'a>) -> Option<(&'a [u8], bool)> {
    match item {
        OutItem::Comment { text, inline } => Some((text, *inline)),
        OutItem::Value(_) => None,
    }
}

fn comment_of_item<'a>(item: &OutItem<'a>) -> Option<&'a [u8]> {
    as_inline_item(item).map(|(text, _)| text)
}
