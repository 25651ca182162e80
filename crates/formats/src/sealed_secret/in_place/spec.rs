//! A file in which whole `spec`s of SealedSecrets are exchanged while every byte outside of them stays: what the deprecated form needs
//! when its blob is sealed again. Comments inside an old `spec` go with it.
//!
//! Not here: single items.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use serde_json::Value;

use super::{InPlaceError, Offsets, SealedFile, at, child};
use crate::go_object::{Form, Printable, print};
use crate::yaml::node::{Content, Node};

/// Where a `spec` stands.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    whole: Range<usize>,
    flow: bool,
}

/// Finds the `spec` of a SealedSecret in the text.
pub(super) fn spec(node: &Rc<Node>, offsets: &mut Offsets<'_>, text: &str) -> Option<Spec> {
    let spec = child(node, "spec")?;
    let Content::Mapping { flow, .. } = &spec.content else { return None };
    let (start, end) = (offsets.of(spec.at)?, offsets.of(spec.end)?);
    // Some scalars end behind the white space after them.
    let length = text.get(start..end)?.trim_end().len();
    Some(Spec { whole: start..start + length, flow: *flow })
}

impl SealedFile {
    /// Returns the text with other `spec`s, by the positions of their objects, and with all else as it is.
    ///
    /// # Errors
    /// Fails where a `spec` stands in a way in which it can't be exchanged.
    pub fn with_specs(&self, specs: &BTreeMap<usize, Value>) -> Result<String, InPlaceError> {
        let mut edits = Vec::with_capacity(specs.len());
        for (index, spec) in specs {
            edits.push(self.spec_edit(*index, spec).ok_or(InPlaceError::SpecNotInPlace)?);
        }
        let expected = |file: &Self| {
            self.expected_with(file, |documents| {
                specs.iter().try_for_each(|(index, spec)| {
                    let object = self.objects.get(*index)?;
                    let document = documents.iter_mut().find(|document| document.index == object.document)?;
                    *at(&mut document.value, &object.pointer)?.get_mut("spec")? = spec.clone();
                    Some(())
                })
            })
        };
        let file = self.edited_to(&edits, expected).ok_or(InPlaceError::SpecNotInPlace)?;
        Ok(format!("{}{}", file.mark, file.text))
    }

    /// Returns what is exchanged for a `spec`, written in the style of the old one.
    fn spec_edit(&self, index: usize, spec: &Value) -> Option<(Range<usize>, String)> {
        let Spec { whole, flow } = self.objects.get(index)?.spec.clone()?;
        let is_one_line = flow && !self.text.get(whole.clone())?.contains('\n');
        if is_one_line {
            return Some((whole, spec.to_string()));
        }
        let line = self.text.get(self.line_start(whole.start)..whole.start)?;
        let indent = line.get(..line.len() - line.trim_start().len())?;
        if !flow && indent != line {
            return None;
        }
        let form = if flow { Form::Json } else { Form::Yaml };
        let text = print(&Printable::Value(spec), form).ok()?;
        let text = std::str::from_utf8(text.expose_secret()).ok()?;
        let line_break = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let lines = text.trim_start_matches("---\n").trim_end().lines();
        let indented = lines.enumerate().map(|(at, line)| match (at, line) {
            (0, _) | (_, "") => line.to_owned(),
            _ => format!("{indent}{line}"),
        });
        Some((whole, indented.collect::<Vec<_>>().join(line_break)))
    }
}
