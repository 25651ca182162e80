//! Where a value stands inside a document: map keys and list indices from the root.
//!
//! Printed as a JSON pointer (RFC 6901). Key paths are public: SOPS and SealedSecret leave keys readable.

use std::fmt;

/// One step from a node to its child.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// The key of a mapping.
    Key(String),
    /// The position in a sequence, from 0.
    Index(usize),
}

impl Segment {
    /// Returns the key, where it is one.
    pub(crate) fn as_key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

/// The steps from a document's root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPath(Vec<Segment>);

impl KeyPath {
    /// Returns the path of the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns this path with a mapping key added.
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.child(Segment::Key(key.into()))
    }

    /// Returns this path with a list index added.
    pub fn index(&self, index: usize) -> Self {
        self.child(Segment::Index(index))
    }

    /// Returns this path with one more segment.
    pub fn child(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    /// Returns the segments from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl FromIterator<Segment> for KeyPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.0 {
            match segment {
                Segment::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?,
                Segment::Index(index) => write!(f, "/{index}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_a_json_pointer() {
        let path = KeyPath::root().key("a/b").key("c~d").index(3);
        assert_eq!(path.to_string(), "/a~1b/c~0d/3");
        assert_eq!(KeyPath::root().to_string(), "/");
    }
}
