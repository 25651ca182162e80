//! Which node a comment belongs to, as go-yaml v3 decides it: above it (head), behind it (line), below it (foot).
//!
//! sops keeps comments as entries of the collection that they stand in, so what counts is the collection and the
//! order. Comments of an own line go to the innermost block collection that is still open at their column.
//! Source of the behaviour: go.yaml.in/yaml/v3 3.0.4; the fixtures under `tests/fixtures/sops` hold what it does.

use std::collections::HashMap;
use std::rc::Rc;

use super::load::{RawComment, Stream};
use super::node::{Content, Node, Position};

/// The comments of one node, line by line, without `#`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comments {
    pub(crate) head: Vec<String>,
    pub(crate) line: Vec<String>,
    pub(crate) foot: Vec<String>,
}

/// The comments of all nodes of a stream, by the place where a node begins.
pub(crate) struct Attached(HashMap<(Position, bool), Comments>);

impl Attached {
    /// Gives each comment of a stream to a node.
    pub(crate) fn new(stream: &Stream) -> Self {
        let mut attached = Self(HashMap::new());
        for comment in &stream.comments {
            let after = stream.documents.iter().skip(1).take_while(|document| document.start <= comment.at.line);
            if let Some(document) = stream.documents.get(after.count()) {
                attached.place(&document.root, comment);
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

    fn place(&mut self, collection: &Node, comment: &RawComment) {
        let children = Child::of(collection);
        let following = children.partition_point(|child| child.begin().at < comment.at);
        let before = following.checked_sub(1).and_then(|at| children.get(at));
        if let Some(child) = before {
            if child.takes(comment, column(collection)) {
                return self.place(child.value, comment);
            }
            if comment.inline {
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

/// A mapping and its first key begin at the same place, so the kind of node is part of the name.
fn name(node: &Node) -> (Position, bool) {
    (node.at, matches!(node.content, Content::Scalar { .. }))
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

    /// Tells whether a comment that stands after the beginning of this child belongs inside its value.
    fn takes(&self, comment: &RawComment, outer_column: usize) -> bool {
        if matches!(self.value.content, Content::Scalar { .. }) {
            return false;
        }
        let before_value = comment.at < self.value.at;
        let below = comment.at >= self.value.end;
        match (before_value, below) {
            (true, _) => !comment.inline && self.key.is_some(),
            (_, true) if comment.inline => comment.at.line == self.value.end.line && !is_flow(self.value),
            (_, true) => comment.at.column >= column(self.value) && comment.at.column > outer_column,
            _ => true,
        }
    }
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
