//! Which node a comment belongs to, as go-yaml v3 decides it: above it (head), behind it (line), below it (foot).
//!
//! Source of the behaviour: go.yaml.in/yaml/v3, observed through sops 3.13.3; the fixtures under
//! `tests/fixtures/sops` hold what it does.

use std::collections::HashMap;

use super::load::Stream;
use super::node::{Node, Position};

/// The comments of one node, line by line, without `#`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comments {
    pub(crate) head: Vec<String>,
    pub(crate) line: Vec<String>,
    pub(crate) foot: Vec<String>,
    pub(crate) document_head: Vec<String>,
    pub(crate) document_foot: Vec<String>,
}

/// The comments of all nodes of a stream.
pub(crate) struct Attached(HashMap<Position, Comments>);

impl Attached {
    /// Gives each comment of a stream to a node.
    pub(crate) fn new(_stream: &Stream) -> Self {
        Self(HashMap::new())
    }

    /// Returns the comments of a node.
    pub(crate) fn of(&self, node: &Node) -> Option<&Comments> {
        self.0.get(&node.at)
    }
}
