//! Which node a comment belongs to, as go-yaml v3 decides it: above it (head), behind it (line), below it (foot).
//!
//! sops keeps comments as entries of the collection that they stand in, so what counts is the collection and the
//! order. A comment of an own line below a block that ends there goes to what follows if it stands in the same
//! column, and else into that block, however deep. A comment below another one goes by its column alone, and so does
//! a sealed one, because sops sealed it for the place that it wrote it to, and go-yaml sometimes finds it in another.
//! Source of the behaviour: go.yaml.in/yaml/v3 3.0.4; the fixtures under `tests/fixtures/sops` hold what it does.

use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use super::load::{RawComment, Stream};
use super::node::{Content, Node, Style};

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
        for (at, comment) in stream.comments.iter().enumerate() {
            let by_column = is_sealed(comment) || follows_another(&stream.comments, at);
            let comment = Own { comment, by_column, below: stream.comments.get(at..).and_then(other_column) };
            let after = stream.documents.iter().skip(1).take_while(|document| document.start <= comment.at.line);
            if let Some(document) = stream.documents.get(after.count()) {
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
        let children = Child::of(collection);
        let following = children.partition_point(|child| child.begin().at < comment.at);
        let before = following.checked_sub(1).and_then(|at| children.get(at));
        if let Some(child) = before {
            let next = children.get(following).map(|child| child.key.map_or(column(collection), column));
            let below = comment.below.or(next).or(below);
            if child.takes(comment, column(collection), below) {
                return self.place(child.value, comment, below);
            }
            if comment.inline && child.reaches(comment.at.line) {
                return self.place_behind(child, comment);
            }
        }
        let text = comment.text.clone();
        match (children.get(following), before) {
            (Some(child), _) => self.entry(child.begin()).head.push(text),
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
}

impl<'a> Child<'a> {
    fn of(collection: &'a Node) -> Vec<Self> {
        match &collection.content {
            Content::Mapping { pairs, .. } => pairs.iter().map(|(key, value)| Self { key: Some(key), value }).collect(),
            Content::Sequence { items, .. } => items.iter().map(|value: &Rc<Node>| Self { key: None, value }).collect(),
            Content::Scalar { .. } => Vec::new(),
        }
    }

    fn begin(&self) -> &'a Node {
        self.key.unwrap_or(self.value)
    }

    /// Tells whether the child begins, goes on or ends on a line.
    fn reaches(&self, line: usize) -> bool {
        let key_line = self.begin().at.line;
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
            (true, _) => !comment.inline && self.key.is_some(),
            (_, true) if comment.inline => comment.at.line == self.value.end.line && !is_flow(self.value),
            (_, true) => match below.filter(|below| *below < column(self.value) && !comment.by_column) {
                Some(below) => comment.at.column != below,
                None => comment.at.column >= column(self.value) && comment.at.column > outer_column,
            },
            _ => true,
        }
    }
}

/// Returns the column of the first comment below, without a gap, that stands in another one.
fn other_column(comments: &[RawComment]) -> Option<usize> {
    let (first, rest) = comments.split_first()?;
    let lines = first.at.line + 1..;
    let run = rest.iter().zip(lines).take_while(|(comment, line)| !comment.inline && comment.at.line == *line);
    run.map(|(comment, _)| comment.at.column).find(|column| *column != first.at.column)
}

/// Tells whether a comment in another column stands above, without a gap.
fn follows_another(comments: &[RawComment], at: usize) -> bool {
    let run = comments.get(..=at).unwrap_or_default();
    let Some((own, above)) = run.split_last() else {
        return false;
    };
    let lines = (1..own.at.line).rev();
    let run = above.iter().rev().zip(lines).take_while(|(comment, line)| !comment.inline && comment.at.line == *line);
    run.into_iter().any(|(comment, _)| comment.at.column != own.at.column)
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
