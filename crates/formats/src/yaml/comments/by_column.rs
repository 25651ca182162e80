//! In which block a comment stands if its column is all that counts.
//!
//! Behind or above something, the comment is of that; below a block that ends, it stands in the innermost one that begins in its
//! column or left of it. go-yaml often finds another (`compose.rs`), which is why sops leaves comments in the clear.

use super::Owner;
use super::scan::Side;
use crate::yaml::load::{RawComment, Stream};
use crate::yaml::node::{Content, Node, Position, Style};

/// Finds the owner of a comment; nothing if there is no document.
pub(super) fn owner(stream: &Stream, comment: &RawComment) -> Option<(Owner, Side)> {
    let after = stream.documents.partition_point(|document| document.start <= comment.at.line);
    let document = stream.documents.get(after.saturating_sub(1))?;
    Some(place(&document.root, comment))
}

/// Finds the collection.
fn place(collection: &Node, comment: &RawComment) -> (Owner, Side) {
    let following = Child::first_after(collection, comment.at);
    let next_child = Child::at(collection, following);
    let before = following.checked_sub(1).and_then(|at| Child::at(collection, at));
    if let Some(child) = &before {
        if child.takes(comment, column(collection)) {
            return place(child.value, comment);
        }
        if comment.inline && child.reaches(comment.at.line) {
            return behind(child, comment);
        }
        if child.key.is_none() && comment.at < child.value.at {
            return (Owner::of(child.value), Side::Head);
        }
    }
    match (next_child, before) {
        (Some(child), _) => (Owner::of(child.begin()), Side::Head),
        // Behind an item that is a collection the emitter, like that of go-yaml, would write it where nobody finds it again.
        (None, Some(child)) if child.is_block_item() && !comment.is_sealed() => place(child.value, comment),
        (None, Some(child)) => (Owner::of(child.begin()), Side::Foot),
        (None, None) => (Owner::of(collection), Side::Head),
    }
}

/// A comment behind a value is the value's; behind a key whose value follows below, the key's.
fn behind(child: &Child<'_>, comment: &RawComment) -> (Owner, Side) {
    let is_scalar = matches!(child.value.content, Content::Scalar { .. });
    let beside = child.value.at.line <= comment.at.line;
    match child.key {
        Some(key) if !beside => (Owner::of(key), Side::Line),
        None if !beside => (Owner::of(child.value), Side::Head),
        _ if is_scalar || child.key.is_none() => (Owner::of(child.value), Side::Line),
        _ => (Owner::of(child.value), Side::Head),
    }
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
    fn takes(&self, comment: &RawComment, outer_column: usize) -> bool {
        if matches!(self.value.content, Content::Scalar { .. }) {
            return false;
        }
        let before_value = comment.at < self.value.at;
        let after_value = comment.at >= self.value.end;
        match (before_value, after_value) {
            (true, _) => !comment.inline,
            (_, true) if comment.inline => comment.at.line == self.value.end.line && !is_flow(self.value),
            (_, true) => comment.at.column >= column(self.value) && comment.at.column > outer_column,
            _ => true,
        }
    }
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
