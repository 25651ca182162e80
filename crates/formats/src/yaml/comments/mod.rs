//! Which node a comment belongs to: above it (head), behind it (line), below it (foot).
//!
//! sops keeps comments as entries of the collection that they stand in, so what counts is the collection and the order. Two readings
//! answer: [`Reading::Upstream`] is go-yaml's, which sops goes by, and [`Reading::Columns`] what the file looks like. A sealed comment
//! that go-yaml finds under other keys goes by its column: sops sealed it for the block that it wrote it to, and does not find it again.

mod by_column;
mod compose;
mod cursor;
mod scan;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::load::{RawComment, Stream};
use super::node::{Content, Node};
use scan::{Lines, Side};

/// The comments of one node, line by line, without `#`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comments {
    pub(crate) head: Vec<String>,
    pub(crate) line: Vec<String>,
    pub(crate) foot: Vec<String>,
}

/// Who says where a comment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// go-yaml, as far as it keeps them.
    Upstream,
    /// Its column.
    Columns,
}

/// The comments of all nodes of a stream.
pub(crate) struct Attached(HashMap<Owner, Comments>);

/// A node that has comments, by its address: places are not unique, an empty block scalar stands where the next key does. An alias
/// is not the node that it stands for, and has the address of the link to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Owner(usize);

impl Owner {
    fn of(node: &Node) -> Self {
        Self(std::ptr::from_ref(node).addr())
    }

    fn alias(link: &Rc<Node>) -> Self {
        Self(std::ptr::from_ref(link).addr())
    }
}

/// Comments of a node by their lines.
#[derive(Default)]
struct Found {
    head: Lines,
    line: Lines,
    foot: Lines,
}

impl Attached {
    /// Gives each comment of a stream to a node.
    pub(crate) fn new(stream: &Stream, text: &str, reading: Reading) -> Self {
        let mut attached = Self(HashMap::new());
        if stream.comments.is_empty() {
            return attached;
        }
        let upstream = if reading == Reading::Upstream { compose::compose(stream, text) } else { None };
        let is_read = upstream.is_some();
        let mut owners: BTreeMap<usize, (Owner, Side)> = BTreeMap::new();
        for (owner, found) in upstream.unwrap_or_default() {
            attached.0.entry(owner).or_default();
            for (side, lines) in [(Side::Head, found.head), (Side::Line, found.line), (Side::Foot, found.foot)] {
                owners.extend(lines.into_iter().map(|line| (line, (owner, side))));
            }
        }
        let scopes = Scopes::of(stream);
        for comment in stream.comments.iter().filter(|comment| !is_read || comment.is_sealed()) {
            if let Some(standing) = by_column::owner(stream, comment)
                && owners.get(&comment.at.line).is_none_or(|found| !scopes.are_one(found.0, standing.0))
            {
                owners.insert(comment.at.line, standing);
            }
        }
        for comment in &stream.comments {
            if let Some((owner, side)) = owners.get(&comment.at.line) {
                attached.0.entry(*owner).or_default().on(*side).push(comment.text.clone());
            }
        }
        attached
    }

    /// Returns the comments of a node.
    pub(crate) fn of(&self, node: &Node) -> Option<&Comments> {
        self.0.get(&Owner::of(node))
    }

    /// Returns the comments of an alias; nothing if this is none.
    pub(crate) fn of_alias(&self, link: &Rc<Node>) -> Option<&Comments> {
        self.0.get(&Owner::alias(link))
    }
}

/// For each node, the value of the innermost key that its comments stand under: sops seals a comment for the keys around it.
#[derive(Default)]
struct Scopes(HashMap<Owner, Owner>);

impl Scopes {
    fn of(stream: &Stream) -> Self {
        let mut scopes = Self::default();
        if stream.comments.iter().any(RawComment::is_sealed) {
            for document in &stream.documents {
                scopes.add(&document.root, Owner::of(&document.root));
            }
        }
        scopes
    }

    fn are_one(&self, one: Owner, other: Owner) -> bool {
        self.0.get(&one).is_some_and(|scope| self.0.get(&other) == Some(scope))
    }

    fn add(&mut self, node: &Node, scope: Owner) {
        // What an alias shows is where its anchor is.
        if self.0.contains_key(&Owner::of(node)) {
            return;
        }
        self.0.insert(Owner::of(node), scope);
        match &node.content {
            Content::Scalar { .. } => {}
            Content::Sequence { items, .. } => items.iter().for_each(|item| self.add(item, scope)),
            Content::Mapping { pairs, .. } => {
                for (key, value) in pairs {
                    self.add(key, scope);
                    let is_scalar = matches!(value.content, Content::Scalar { .. });
                    self.add(value, if is_scalar { scope } else { Owner::of(value) });
                }
            }
        }
    }
}

impl Comments {
    fn on(&mut self, side: Side) -> &mut Vec<String> {
        match side {
            Side::Head => &mut self.head,
            Side::Line => &mut self.line,
            Side::Foot => &mut self.foot,
        }
    }
}
