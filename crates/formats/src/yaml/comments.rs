//! Which node a comment belongs to, as go-yaml v3 decides it: above it (head), behind it (line), below it (foot).
//!
//! sops keeps comments as entries of the collection that they stand in, so what counts is the collection and the
//! order. A comment of an own line below a block that ends there goes to what follows if it stands in the same
//! column, and else into that block, however deep. A comment below another one goes by its column alone, and so does
//! a sealed one, because sops sealed it for the place that it wrote it to, and go-yaml sometimes finds it in another.
//! Source of the behaviour: go.yaml.in/yaml/v3 3.0.4; the fixtures under `tests/fixtures/sops` hold what it does.

use std::collections::HashMap;
use std::ops::Deref;

use super::load::{RawComment, Stream};
use super::node::{Content, Node, Position, Style};

/// The comments of one node, line by line, without `#`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comments {
    pub(crate) head: Vec<String>,
    pub(crate) line: Vec<String>,
    pub(crate) foot: Vec<String>,
}

/// The comments of all nodes of a stream, by the address of the node: places are not unique, an empty block scalar
/// stands where the next key does.
pub(crate) struct Attached(HashMap<usize, Comments>);

impl Attached {
    /// Gives each comment of a stream to a node.
    pub(crate) fn new(stream: &Stream) -> Self {
        let mut attached = Self(HashMap::new());
        let neighbours = neighbours(&stream.comments);
        for (comment, (above, below)) in stream.comments.iter().zip(neighbours) {
            let comment = Own { comment, by_column: above || is_sealed(comment), below };
            let after = stream.documents.partition_point(|document| document.start <= comment.at.line);
            if let Some(document) = stream.documents.get(after.saturating_sub(1)) {
                attached.place(&document.root, &comment, None);
            }
        }
        attached
    }

    /// Returns the comments of a node.
    pub(crate) fn of(&self, node: &Node) -> Option<&Comments> {
        self.0.get(&name(node))
    }

    fn entry(&mut self, node: &Node) -> &mut Comments {
        self.0.entry(name(node)).or_default()
    }

    /// Finds the collection; `below` is the column of what follows the collection.
    fn place(&mut self, collection: &Node, comment: &Own<'_>, below: Option<usize>) {
        let following = Child::first_after(collection, comment.at);
        let next_child = Child::at(collection, following);
        let before = following.checked_sub(1).and_then(|at| Child::at(collection, at));
        if let Some(child) = &before {
            let next = next_child.as_ref().map(|child| child.key.map_or(column(collection), column));
            let below = comment.below.or(next).or(below);
            if child.takes(comment, column(collection), below) {
                return self.place(child.value, comment, below);
            }
            if comment.inline && child.reaches(comment.at.line) {
                return self.place_behind(child, comment);
            }
            if child.key.is_none() && comment.at < child.value.at {
                self.entry(child.value).head.push(comment.text.clone());
                return;
            }
        }
        let text = comment.text.clone();
        match (next_child, before) {
            (Some(child), _) => self.entry(child.begin()).head.push(text),
            // Behind an item that is a collection the emitter, like that of go-yaml, would write it where nobody finds it again.
            (None, Some(child)) if child.is_block_item() && !is_sealed(comment) => {
                self.place(child.value, comment, below);
            }
            (None, Some(child)) => self.entry(child.begin()).foot.push(text),
            (None, None) => self.entry(collection).head.push(text),
        }
    }

    /// A comment behind a value is the value's; behind a key whose value follows below, the key's.
    fn place_behind(&mut self, child: &Child<'_>, comment: &RawComment) {
        let text = comment.text.clone();
        let is_scalar = matches!(child.value.content, Content::Scalar { .. });
        let beside = child.value.at.line <= comment.at.line;
        match child.key {
            Some(key) if !beside => self.entry(key).line.push(text),
            None if !beside => self.entry(child.value).head.push(text),
            _ if is_scalar || child.key.is_none() => self.entry(child.value).line.push(text),
            _ => self.entry(child.value).head.push(text),
        }
    }
}

/// A comment that looks for its collection.
struct Own<'a> {
    comment: &'a RawComment,
    /// Whether its column alone decides, whatever follows.
    by_column: bool,
    /// The column of another comment below it.
    below: Option<usize>,
}

impl Deref for Own<'_> {
    type Target = RawComment;

    fn deref(&self) -> &RawComment {
        self.comment
    }
}

fn name(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

/// An item of a sequence, or a pair of a mapping.
struct Child<'a> {
    key: Option<&'a Node>,
    value: &'a Node,
    /// Where the key, or the `-` of the item, stands.
    mark: Position,
}

impl<'a> Child<'a> {
    fn at(collection: &'a Node, index: usize) -> Option<Self> {
        match &collection.content {
            Content::Mapping { pairs, .. } => {
                pairs.get(index).map(|(key, value)| Self { key: Some(key), value, mark: key.at })
            }
            Content::Sequence { items, marks, .. } => {
                let mark = marks.get(index).copied();
                items.get(index).map(|value| Self { key: None, value, mark: mark.unwrap_or(value.at) })
            }
            Content::Scalar { .. } => None,
        }
    }

    /// Returns the index of the first child that begins at or after a place.
    fn first_after(collection: &Node, place: Position) -> usize {
        match &collection.content {
            Content::Mapping { pairs, .. } => pairs.partition_point(|(key, _)| key.at < place),
            Content::Sequence { marks, .. } => marks.partition_point(|mark| *mark < place),
            Content::Scalar { .. } => 0,
        }
    }

    fn begin(&self) -> &'a Node {
        self.key.unwrap_or(self.value)
    }

    /// Tells whether this is an item of a sequence that is a collection of several lines itself.
    fn is_block_item(&self) -> bool {
        self.key.is_none() && !matches!(self.value.content, Content::Scalar { .. }) && !is_flow(self.value)
    }

    /// Tells whether the child begins, goes on or ends on a line.
    fn reaches(&self, line: usize) -> bool {
        let key_line = self.mark.line;
        let last = if is_block(self.value) { self.value.at.line } else { self.value.end.line };
        key_line <= line && line <= key_line.max(last)
    }

    /// Tells whether a comment that stands after the beginning of this child belongs inside its value.
    fn takes(&self, comment: &Own<'_>, outer_column: usize, below: Option<usize>) -> bool {
        if matches!(self.value.content, Content::Scalar { .. }) {
            return false;
        }
        let before_value = comment.at < self.value.at;
        let after_value = comment.at >= self.value.end;
        match (before_value, after_value) {
            (true, _) => !comment.inline,
            (_, true) if comment.inline => comment.at.line == self.value.end.line && !is_flow(self.value),
            (_, true) => match below.filter(|below| *below < column(self.value) && !comment.by_column) {
                Some(below) => comment.at.column != below,
                None => comment.at.column >= column(self.value) && comment.at.column > outer_column,
            },
            _ => true,
        }
    }
}

/// For each comment: whether a comment in another column stands above it without a gap, and the column of the first
/// such comment below it.
fn neighbours(comments: &[RawComment]) -> Vec<(bool, Option<usize>)> {
    let mut found = vec![(false, None); comments.len()];
    let touches = |above: &RawComment, below: &RawComment| above.at.line + 1 == below.at.line && !below.inline;
    let pairs = || comments.iter().zip(comments.iter().skip(1)).enumerate();
    for (at, (above, own)) in pairs().filter(|(_, (above, own))| !above.inline && touches(above, own)) {
        let inherited = found.get(at).is_some_and(|(above, _)| *above);
        if let Some(own_entry) = found.get_mut(at + 1) {
            own_entry.0 = inherited || above.at.column != own.at.column;
        }
    }
    for (at, (own, below)) in pairs().rev().filter(|(_, (own, below))| touches(own, below)) {
        let inherited = found.get(at + 1).and_then(|(_, column)| *column);
        if let Some(own_entry) = found.get_mut(at) {
            own_entry.1 = if below.at.column == own.at.column { inherited } else { Some(below.at.column) };
        }
    }
    found
}

fn is_sealed(comment: &RawComment) -> bool {
    comment.text.starts_with("ENC[")
}

/// A block scalar ends where the next token begins, so only its first line says anything.
fn is_block(node: &Node) -> bool {
    matches!(node.content, Content::Scalar { style: Style::Block, .. })
}

fn is_flow(node: &Node) -> bool {
    match node.content {
        Content::Sequence { flow, .. } | Content::Mapping { flow, .. } => flow,
        Content::Scalar { .. } => false,
    }
}

fn column(collection: &Node) -> usize {
    collection.at.column
}
