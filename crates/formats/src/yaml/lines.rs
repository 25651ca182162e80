//! On which line of a YAML or JSON text a value stands, for reports. Not here: what the value is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::load;
use super::node::{Content, Node};

/// The lines of a text.
pub struct Lines {
    documents: Vec<Rc<Node>>,
    /// The positions of the keys of each mapping that was looked into, by the address of its node, which `documents` keep alive.
    keys: RefCell<HashMap<*const Node, HashMap<String, usize>>>,
}

impl Lines {
    /// Reads a text; nothing if it is neither YAML nor JSON.
    pub fn read(text: &[u8]) -> Option<Self> {
        super::check_length(text).ok()?;
        let documents = load::load(text).ok()?.documents.into_iter().map(|document| document.root).collect();
        Some(Self { documents, keys: RefCell::default() })
    }

    /// Returns the line, from 1, of what a JSON pointer names in a document, from 0: where its key stands, or the item of a list. Of
    /// what is not there itself, since a merge key brings it, that of the collection around it.
    pub fn of(&self, document: usize, pointer: &str) -> Option<usize> {
        let mut node = self.documents.get(document)?;
        let mut line = node.at.line;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.content {
                Content::Mapping { pairs, .. } => {
                    let pair = self.position(node, pairs, &step).and_then(|at| pairs.get(at));
                    pair.map(|(key, value)| (key.at.line, value))
                }
                Content::Sequence { items, .. } => {
                    let item = step.parse().ok().and_then(|index: usize| items.get(index));
                    item.map(|item| (item.at.line, item))
                }
                Content::Scalar { .. } => None,
            };
            let Some((at, value)) = next else { break };
            (line, node) = (at, value);
        }
        Some(line)
    }

    /// Returns where a key stands first among those of a mapping. Each mapping is walked through once, however many keys are asked for.
    fn position(&self, node: &Rc<Node>, pairs: &[(Rc<Node>, Rc<Node>)], key: &str) -> Option<usize> {
        let mut keys = self.keys.borrow_mut();
        let keys = keys.entry(Rc::as_ptr(node)).or_insert_with(|| {
            let keys = pairs.iter().enumerate().rev().filter_map(|(at, (key, _))| Some((key.text()?.to_owned(), at)));
            keys.collect()
        });
        keys.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_the_line_of_a_key_or_an_item() {
        let text = "# about\na: 1\n---\n\nx:\n- b\n- c/d:\n    e~: |\n      long\nlast: {in: [1,\n 2]}\n";
        let lines = Lines::read(text.as_bytes()).unwrap();
        for (document, pointer, line) in [
            (0, "/a", 2),
            (1, "/x", 5),
            (1, "/x/0", 6),
            (1, "/x/1/c~1d", 7),
            (1, "/x/1/c~1d/e~0", 8),
            (1, "/last/in/1", 11),
            (1, "/x/7/y", 5),
            (1, "", 5),
        ] {
            assert_eq!(lines.of(document, pointer), Some(line), "{pointer}");
        }
        assert_eq!(lines.of(2, "/a"), None);
        assert_eq!(Lines::read(b"{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}").unwrap().of(0, "/a/b"), Some(3));
        // Quadratic work would take minutes here.
        let many: String = (0..50_000).map(|key| format!("k{key}: 1\n")).collect();
        let lines = Lines::read(many.as_bytes()).unwrap();
        assert!((0..50_000).all(|key| lines.of(0, &format!("/k{key}")) == Some(key + 1)));
        assert!(Lines::read(b"a: [").is_none() && Lines::read(&[0xff]).is_none());
    }
}
