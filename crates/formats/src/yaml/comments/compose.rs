//! Which node go-yaml gives the comments to that its scanner found beside tokens.
//!
//! Follows its parser and its composer through the tokens, next to the tree that is read already. What they drop, such as what stands
//! behind the bracket that opens a list, is dropped here too. Source: `parserc.go` and `decode.go` of go.yaml.in/yaml/v3 3.0.4.

use std::rc::Rc;

use super::scan::{Kind, Lines, Scan, Side};
use super::{Found, Owner};
use crate::yaml::load::Stream;
use crate::yaml::node::{Content, Node};

/// Finds the owner of each comment of a stream; nothing if the tokens do not fit the tree.
pub(super) fn compose(stream: &Stream, text: &str) -> Option<Vec<(Owner, Found)>> {
    let mut composer = Composer {
        scan: Scan::new(text)?,
        next: 0,
        taken: 0,
        open: Found::default(),
        stem: Vec::new(),
        found: Vec::new(),
    };
    for document in &stream.documents {
        composer.document(&document.root)?;
    }
    while composer.peek()? == Kind::DocumentEnd {
        composer.next += 1;
    }
    (composer.peek()? == Kind::StreamEnd).then_some(composer.found)
}

struct Composer<'a> {
    scan: Scan<'a>,
    /// The token that comes next.
    next: usize,
    /// How many comments have gone to tokens.
    taken: usize,
    /// Comments of the tokens so far that no node has.
    open: Found,
    /// Comments above the `-` of an item, for the collection that the item is.
    stem: Lines,
    found: Vec<(Owner, Found)>,
}

impl Composer<'_> {
    /// Returns the next token, after the comments that stand before it have been gathered. go-yaml has read two tokens more by then.
    fn peek(&mut self) -> Option<Kind> {
        while self.scan.tokens.len() < self.next + 3 || self.scan.is_open(self.next) {
            self.scan.fetch();
        }
        let token = *self.scan.tokens.get(self.next)?;
        while let Some(comment) = self.scan.waiting.get_mut(self.taken).filter(|comment| comment.token <= token.at) {
            match comment.side {
                Side::Head if token.kind == Kind::BlockEnd => break,
                Side::Head => self.open.head.append(&mut comment.lines),
                Side::Line => self.open.line.append(&mut comment.lines),
                Side::Foot => self.open.foot.append(&mut comment.lines),
            }
            comment.take();
            self.taken += 1;
        }
        Some(token.kind)
    }

    fn peek_next(&mut self) -> Option<Kind> {
        self.next += 1;
        self.peek()
    }

    fn take_open(&mut self) -> Found {
        self.stem.clear();
        std::mem::take(&mut self.open)
    }

    fn document(&mut self, root: &Rc<Node>) -> Option<()> {
        let mut first = self.peek()?;
        while first == Kind::DocumentEnd {
            first = self.peek_next()?;
        }
        let mut head = Lines::new();
        if matches!(first, Kind::DocumentStart | Kind::Directive) {
            while first == Kind::Directive {
                first = self.peek_next()?;
            }
            first = self.peek_next()?;
        } else {
            head = self.head_of_document();
        }
        let ends = matches!(first, Kind::Directive | Kind::DocumentStart | Kind::DocumentEnd | Kind::StreamEnd);
        let mut found = if ends { Found::default() } else { self.node(root, true, false)?.1 };
        let end = self.peek()?;
        if end == Kind::DocumentEnd {
            self.next += 1;
        }
        let end = self.take_open();
        found.head.splice(0..0, head);
        found.foot.extend(if end.foot.is_empty() { end.head } else { end.foot });
        self.found.push((Owner::of(root), found));
        Some(())
    }

    /// What stands above the last empty line belongs to the document.
    fn head_of_document(&mut self) -> Lines {
        match self.open.head.iter().rposition(|line| *line == 0).filter(|at| *at > 0) {
            Some(at) => {
                let below = self.open.head.split_off(at);
                std::mem::replace(&mut self.open.head, below)
            }
            None => Lines::new(),
        }
    }

    /// Reads a node and returns whose comments these are; the caller gives them to it.
    fn node(&mut self, node: &Rc<Node>, is_block: bool, may_be_flat: bool) -> Option<(Owner, Found)> {
        let mut kind = self.peek()?;
        if kind == Kind::Alias {
            self.next += 1;
            return Some((Owner::alias(node), self.take_open()));
        }
        let is_bare = kind != Kind::Property;
        while kind == Kind::Property {
            kind = self.peek_next()?;
        }
        let found = match kind {
            Kind::Entry if may_be_flat => self.list(node, true)?,
            Kind::Scalar | Kind::BlockScalar => {
                self.next += 1;
                self.take_open()
            }
            Kind::FlowSequenceStart => self.flow_list(node)?,
            Kind::FlowMappingStart => self.flow_map(node)?,
            Kind::SequenceStart if is_block => self.list(node, false)?,
            Kind::MappingStart if is_block => self.map(node)?,
            _ if is_bare => return None,
            _ => Found::default(),
        };
        Some((Owner::of(node), found))
    }

    /// A list of `-`; one in the column of its key has no tokens of its own around it.
    fn list(&mut self, node: &Node, is_flat: bool) -> Option<Found> {
        let head = std::mem::take(&mut self.stem);
        let mut items = items(node)?;
        let mut kind = if is_flat { self.peek()? } else { self.peek_next()? };
        while kind == Kind::Entry {
            let above = self.open.head.len();
            kind = self.peek_next()?;
            self.set_stem(above, kind);
            let is_empty =
                matches!(kind, Kind::Entry | Kind::BlockEnd) || (is_flat && matches!(kind, Kind::Key | Kind::Value));
            let item = items.next()?;
            if !is_empty {
                let found = self.node(item, true, false)?;
                self.found.push(found);
            }
            kind = self.peek()?;
        }
        if !is_flat {
            self.next += 1;
        }
        let is_whole = items.next().is_none() && (is_flat || kind == Kind::BlockEnd);
        is_whole.then_some(Found { head, ..Found::default() })
    }

    /// What stands above the `-` is of the collection that the item is, if it is one.
    fn set_stem(&mut self, above: usize, kind: Kind) {
        if above > 0 && matches!(kind, Kind::SequenceStart | Kind::MappingStart) {
            let below = self.open.head.split_off(above);
            self.stem = std::mem::replace(&mut self.open.head, below);
        }
    }

    fn map(&mut self, node: &Node) -> Option<Found> {
        let head = std::mem::take(&mut self.stem);
        let mut pairs = pairs(node)?;
        let mut keys: Vec<(Owner, Found)> = Vec::new();
        let mut kind = self.peek_next()?;
        while matches!(kind, Kind::Key | Kind::Value) {
            let (key, value) = pairs.next()?;
            let mut of_key = self.side(key, Kind::Key)?;
            if let Some((_, last)) = keys.last_mut().filter(|_| !of_key.1.foot.is_empty()) {
                last.foot = std::mem::take(&mut of_key.1.foot);
            }
            let mut of_value = self.side(value, Kind::Value)?;
            if of_key.1.foot.is_empty() {
                of_key.1.foot = std::mem::take(&mut of_value.1.foot);
            }
            keys.push(of_key);
            self.found.push(of_value);
            kind = self.peek()?;
        }
        let mut end = self.take_open();
        self.next += 1;
        if let Some((_, last)) = keys.last_mut().filter(|_| !end.foot.is_empty()) {
            last.foot = std::mem::take(&mut end.foot);
        }
        self.found.append(&mut keys);
        let is_whole = pairs.next().is_none() && kind == Kind::BlockEnd;
        is_whole.then_some(Found { head, ..end })
    }

    /// The key or the value of a pair, which may be nothing.
    fn side(&mut self, node: &Rc<Node>, mark: Kind) -> Option<(Owner, Found)> {
        if self.peek()? == mark && !matches!(self.peek_next()?, Kind::Key | Kind::Value | Kind::BlockEnd) {
            return self.node(node, true, true);
        }
        Some((Owner::of(node), Found::default()))
    }

    fn flow_list(&mut self, node: &Node) -> Option<Found> {
        let start = self.take_open();
        let mut items = items(node)?;
        let mut kind = self.peek_next()?;
        while kind != Kind::FlowEnd {
            let item = items.next()?;
            if kind == Kind::Key {
                self.flow_pair(pairs(item)?.next()?)?;
            } else {
                let found = self.node(item, false, false)?;
                self.found.push(found);
            }
            kind = self.pass_comma()?;
        }
        let end = self.take_open();
        self.next += 1;
        items.next().is_none().then_some(Found { head: start.head, ..end })
    }

    fn flow_map(&mut self, node: &Node) -> Option<Found> {
        let start = self.take_open();
        let mut pairs = pairs(node)?;
        let mut kind = self.peek_next()?;
        while kind != Kind::FlowEnd {
            self.flow_pair(pairs.next()?)?;
            kind = self.pass_comma()?;
        }
        let end = self.take_open();
        self.next += 1;
        pairs.next().is_none().then_some(Found { head: start.head, ..end })
    }

    /// A pair between brackets; a key may stand there alone.
    fn flow_pair(&mut self, (key, value): &(Rc<Node>, Rc<Node>)) -> Option<()> {
        let is_pair = self.peek()? == Kind::Key;
        let mut of_key = if is_pair { self.flow_side(key, Kind::Key)? } else { self.node(key, false, false)? };
        if is_pair {
            let mut of_value = self.flow_side(value, Kind::Value)?;
            if of_key.1.foot.is_empty() {
                of_key.1.foot = std::mem::take(&mut of_value.1.foot);
            }
            self.found.push(of_value);
        }
        self.found.push(of_key);
        Some(())
    }

    fn flow_side(&mut self, node: &Rc<Node>, mark: Kind) -> Option<(Owner, Found)> {
        if self.peek()? == mark && !matches!(self.peek_next()?, Kind::Value | Kind::FlowEntry | Kind::FlowEnd) {
            return self.node(node, false, false);
        }
        Some((Owner::of(node), Found::default()))
    }

    fn pass_comma(&mut self) -> Option<Kind> {
        match self.peek()? {
            Kind::FlowEntry => self.peek_next(),
            kind => Some(kind).filter(|kind| *kind == Kind::FlowEnd),
        }
    }
}

fn items(node: &Node) -> Option<std::slice::Iter<'_, Rc<Node>>> {
    match &node.content {
        Content::Sequence { items, .. } => Some(items.iter()),
        _ => None,
    }
}

fn pairs(node: &Node) -> Option<std::slice::Iter<'_, (Rc<Node>, Rc<Node>)>> {
    match &node.content {
        Content::Mapping { pairs, .. } => Some(pairs.iter()),
        _ => None,
    }
}
