//! On which line of a YAML or JSON text a value stands, for reports. Not here: what the value is.

use std::rc::Rc;

use super::load;
use super::node::{Content, Node};

/// The lines of a text.
pub struct Lines(Vec<Rc<Node>>);

impl Lines {
    /// Reads a text; nothing if it is neither YAML nor JSON.
    pub fn read(text: &[u8]) -> Option<Self> {
        super::check_length(text).ok()?;
        Some(Self(load::load(text).ok()?.documents.into_iter().map(|document| document.root).collect()))
    }

    /// Returns the line, from 1, of what a JSON pointer names in a document, from 0: where its key stands, or the item of a list. Of
    /// what is not there itself, since a merge key brings it, that of the collection around it.
    pub fn of(&self, document: usize, pointer: &str) -> Option<usize> {
        let mut node = self.0.get(document)?;
        let mut line = node.at.line;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.content {
                Content::Mapping { pairs, .. } => {
                    let pair = pairs.iter().find(|(key, _)| key.text() == Some(&step));
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
        assert!(Lines::read(b"a: [").is_none() && Lines::read(&[0xff]).is_none());
    }
}
