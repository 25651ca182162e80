//! A diff as text for people. Nothing of it can steer a terminal, whatever stands in Git.

use std::fmt::Write as _;

use serde_json::Value;

use super::lines::{Line, compare};
use super::{FieldChange, FieldDiff, ObjectChange, ObjectDiff, PlanDiff, Shown, redact};
use crate::SecretMark;

/// How a diff is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStyle {
    /// Colours the signs with ANSI escapes.
    pub colour: bool,
}

/// The most lines of fields that one object gets.
const MAX_LINES: usize = 100;
/// The most characters of one value.
const MAX_VALUE: usize = 160;
/// The lines around a changed line.
const CONTEXT: usize = 2;

impl PlanDiff {
    /// Writes all objects that differ, and the summary as the last line.
    pub fn text(&self, style: TextStyle) -> String {
        let objects: String = self.objects.iter().map(|object| object.text(style) + "\n").collect();
        format!("{objects}{}\n", self.summary)
    }
}

impl ObjectDiff {
    /// Writes one object: a line with what happens to it, one for each field that differs, and the notes.
    pub fn text(&self, style: TextStyle) -> String {
        let (sign, verb) = match self.change {
            ObjectChange::Created => ('+', "create"),
            ObjectChange::Changed => ('~', "change"),
            ObjectChange::Deleted => ('-', "delete"),
            ObjectChange::Kept => (' ', "keep"),
            ObjectChange::Skipped => (' ', "skip"),
            ObjectChange::Unchanged => (' ', "unchanged"),
        };
        let mut text = format!("{} {verb} {}", style.sign(sign), printable(&self.id.to_string()));
        if let Some(location) = &self.location {
            let _ = write!(text, " ({})", printable(&location.to_string()));
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "    {}", printable(note));
        }
        let lines: Vec<_> =
            self.fields.iter().filter(|field| self.shows(field)).flat_map(|field| field.lines(style)).collect();
        for line in lines.iter().take(MAX_LINES) {
            let _ = writeln!(text, "    {line}");
        }
        if lines.len() > MAX_LINES {
            let _ = writeln!(text, "    ... and {} more lines", lines.len() - MAX_LINES);
        }
        text
    }

    /// Of an object that goes, only the secrets are named.
    fn shows(&self, field: &FieldDiff) -> bool {
        let goes = matches!(self.change, ObjectChange::Deleted | ObjectChange::Kept);
        !goes || matches!(field.old, Some(Shown::Sealed(_)))
    }
}

impl FieldDiff {
    fn lines(&self, style: TextStyle) -> Vec<String> {
        let sign = style.sign(match self.change {
            FieldChange::Added => '+',
            FieldChange::Removed => '-',
            FieldChange::Changed | FieldChange::Moved => '~',
        });
        let head = format!("{sign} {}:", printable(&self.path));
        if let (Some(old), Some(new)) = (multiline(self.old.as_ref()), multiline(self.new.as_ref()))
            && self.change == FieldChange::Changed
        {
            return std::iter::once(head).chain(changed_lines(old, new, style)).collect();
        }
        vec![format!("{head} {}", self.values())]
    }

    fn values(&self) -> String {
        match (&self.old, &self.new) {
            (Some(Shown::Sealed(_)), Some(Shown::Sealed(marks))) => format!("(sealed, changed){}", from(marks)),
            (Some(old), Some(new)) => format!("{} -> {}", shown(old), shown(new)),
            (None, Some(one)) => shown(one),
            (Some(Shown::Sealed(_)), None) => redact::SEALED.to_owned(),
            (Some(one), None) => shown(one),
            (None, None) => String::new(),
        }
    }
}

fn shown(value: &Shown) -> String {
    match value {
        Shown::Sealed(marks) => format!("{}{}", redact::SEALED, from(marks)),
        Shown::Value(value) => shortened(&printable(&value.to_string())),
    }
}

fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MAX_VALUE {
        return text.to_owned();
    }
    let start: String = text.chars().take(MAX_VALUE).collect();
    format!("{start}... ({length} characters)")
}

fn from(marks: &[SecretMark]) -> String {
    let places: Vec<_> = marks.iter().map(|mark| format!("{} at {}", mark.file, mark.key_path)).collect();
    if places.is_empty() { String::new() } else { format!(" from {}", printable(&redact::text(&places.join(", ")))) }
}

fn multiline(value: Option<&Shown>) -> Option<&str> {
    match value {
        Some(Shown::Value(Value::String(text))) if text.contains('\n') => Some(text),
        _ => None,
    }
}

/// The lines that changed, with a few around them.
fn changed_lines(old: &str, new: &str, style: TextStyle) -> Vec<String> {
    let lines = compare(old, new);
    let changed: Vec<_> = lines.iter().map(|line| !matches!(line, Line::Same(_))).collect();
    let near = |index: usize| {
        let window = changed.iter().skip(index.saturating_sub(CONTEXT)).take(index.min(CONTEXT) + CONTEXT + 1);
        window.into_iter().any(|changed| *changed)
    };
    let mut shown = Vec::new();
    let mut gap = false;
    for (index, line) in lines.iter().enumerate() {
        if !near(index) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            shown.push("    ...".to_owned());
        }
        let (sign, line) = match line {
            Line::Same(line) => (' ', line),
            Line::Removed(line) => ('-', line),
            Line::Added(line) => ('+', line),
        };
        shown.push(format!("    {} {}", style.sign(sign), shortened(&printable(line))));
    }
    shown
}

impl TextStyle {
    fn sign(self, sign: char) -> String {
        let code = match sign {
            '+' => 32,
            '-' => 31,
            '~' => 33,
            _ => 0,
        };
        if self.colour && code != 0 { format!("\u{1b}[{code}m{sign}\u{1b}[0m") } else { sign.to_string() }
    }
}

/// Writes characters that would steer a terminal, or turn the direction of a text, as escapes.
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}
