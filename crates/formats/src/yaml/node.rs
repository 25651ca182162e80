//! The tree that a YAML or JSON text is, before anyone decides what its scalars mean.
//!
//! Not here: types. `5`, `yes` and `2020-01-01` are text until a resolver reads them.

use std::rc::Rc;

use super::error::{YamlError, YamlErrorKind};
use super::{MAX_BEYOND, MAX_DEPTH, MAX_WEIGHT};

/// A position in the source, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One node. Aliases share the node they name, so expansion costs nothing until someone walks it;
/// `weight`, `nodes` and `height` count every alias in full and are bounded.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    /// Where the node ends; of block collections, where the last child ends.
    pub(crate) end: Position,
    /// The tag in its long form, such as `tag:yaml.org,2002:str`.
    pub(crate) tag: Option<String>,
    pub(crate) content: Content,
    weight: usize,
    nodes: usize,
    height: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Content {
    Scalar {
        text: String,
        style: Style,
    },
    Sequence {
        items: Vec<Rc<Node>>,
        /// Where the `-` of each item stands; in flow style, the item itself; nothing in JSON, which has no comments.
        marks: Vec<Position>,
        flow: bool,
    },
    Mapping {
        pairs: Vec<(Rc<Node>, Rc<Node>)>,
        flow: bool,
    },
}

/// How a scalar is written, as far as its meaning depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

/// How much of a stream may be read, so that what it takes in memory is a small multiple of its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Nodes, and those that aliases stand for.
    nodes: usize,
    /// Bytes and nodes that don't stand in the text where they count: what aliases stand for, and tags in their long form.
    beyond: usize,
}

/// A stream takes more than there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

impl Room {
    /// Enough for any file: its length bounds its nodes.
    pub(crate) const OF_A_FILE: Self = Self { nodes: usize::MAX, beyond: MAX_WEIGHT };

    /// Enough for so many nodes, and little beyond the text.
    pub(crate) fn of_nodes(nodes: usize) -> Self {
        Self { nodes, beyond: MAX_BEYOND }
    }

    /// Takes room for a node, or for those that an alias stands for, with what that brings beyond the text.
    pub(crate) fn take(&mut self, nodes: usize, beyond: usize) -> Result<(), Full> {
        self.nodes = self.nodes.checked_sub(nodes).ok_or(Full)?;
        self.beyond = self.beyond.checked_sub(beyond).ok_or(Full)?;
        Ok(())
    }
}

/// One document of a stream; an empty one has a null root.
#[derive(Debug)]
pub(crate) struct Document {
    /// The line of the `---`, or where the content begins without one.
    pub(crate) start: usize,
    /// The line on which the content begins.
    pub(crate) line: usize,
    pub(crate) root: Rc<Node>,
}

impl Node {
    /// Builds a node and checks that it is neither too deep nor too heavy.
    pub(crate) fn new(
        at: Position,
        end: Position,
        tag: Option<String>,
        content: Content,
        document: usize,
    ) -> Result<Self, YamlError> {
        let (weight, nodes, height) = measure(&content);
        let node = Self { at, end, tag, content, weight, nodes, height };
        if weight > MAX_WEIGHT {
            return Err(node.error(document, YamlErrorKind::TooLarge));
        }
        if height > MAX_DEPTH {
            return Err(node.error(document, YamlErrorKind::TooDeep));
        }
        Ok(node)
    }

    /// Returns its bytes and nodes together, aliases expanded.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Returns how many nodes it is, aliases expanded.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Returns the text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Makes an error that points at this node.
    pub(crate) fn error(&self, document: usize, kind: YamlErrorKind) -> YamlError {
        YamlError { line: self.at.line, column: self.at.column, document, kind }
    }
}

/// Returns weight, nodes and height.
fn measure(content: &Content) -> (usize, usize, usize) {
    match content {
        Content::Scalar { text, .. } => (1 + text.len(), 1, 1),
        Content::Sequence { items, .. } => total(items.iter()),
        Content::Mapping { pairs, .. } => total(pairs.iter().flat_map(|(key, value)| [key, value])),
    }
}

fn total<'a>(children: impl Iterator<Item = &'a Rc<Node>>) -> (usize, usize, usize) {
    children.fold((1, 1, 1), |(weight, nodes, height), child| {
        let sum = usize::saturating_add;
        (sum(weight, child.weight), sum(nodes, child.nodes), height.max(child.height + 1))
    })
}
