//! The line breaks that only YAML 1.1 knows: next line (U+0085), line separator (U+2028) and paragraph separator (U+2029).
//!
//! go-yaml takes them for line breaks and YAML 1.2, which our grammar is of, for text. sops writes the separators inside of single
//! quotes, so in quoted scalars they are read as go-yaml does (`yaml_parser_scan_flow_scalar` in its `scannerc.go`). Anywhere
//! else the two would read other things, as a key after a comment, so there they are refused.
//!
//! A scalar may be plaintext. Its copies here are freed unwiped, as the parser's own buffers are; the binaries use an allocator that
//! wipes them.

use std::collections::BTreeSet;
use std::ops::Range;

const NEXT_LINE: char = '\u{85}';
const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];

/// The breaks of a text that nobody has read yet, by their places in bytes.
#[derive(Default)]
pub(super) struct Breaks(BTreeSet<usize>);

impl Breaks {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices([NEXT_LINE, SEPARATORS[0], SEPARATORS[1]]).map(|(at, _)| at).collect())
    }

    /// Reads a quoted scalar as go-yaml does, if one of these breaks is in it. Nothing if there is none, and if there are escapes
    /// as well, which are not read here: the breaks are left over then.
    pub(super) fn read(&mut self, text: &str, scalar: Range<usize>) -> Option<String> {
        self.0.range(scalar.clone()).next()?;
        let raw = text.get(scalar.clone())?;
        let quote = raw.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let inner = raw.strip_prefix(quote)?.strip_suffix(quote)?;
        let inner = match quote {
            '\'' => inner.replace("''", "'"),
            _ if inner.contains('\\') => return None,
            _ => inner.to_owned(),
        };
        let read: Vec<usize> = self.0.range(scalar).copied().collect();
        for at in read {
            self.0.remove(&at);
        }
        Some(folded(&inner))
    }

    /// Returns the first break that is left over.
    pub(super) fn first(&self) -> Option<usize> {
        self.0.first().copied()
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | NEXT_LINE) || SEPARATORS.contains(&c)
}

/// Folds the lines of a quoted scalar: blanks around a break go, one break that is no separator becomes a space, and of several
/// the first goes unless it is one.
fn folded(text: &str) -> String {
    let is_space = |c: char| matches!(c, ' ' | '\t') || is_break(c);
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_space) {
        let (word, from) = rest.split_at(at);
        let (space, after) = from.split_at(from.find(|c| !is_space(c)).unwrap_or(from.len()));
        folded.push_str(word);
        folded.push_str(&folded_space(space));
        rest = after;
    }
    folded + rest
}

fn folded_space(space: &str) -> String {
    let one = space.replace("\r\n", "\n");
    let mut breaks = one.chars().filter(|c| is_break(*c)).map(|c| if SEPARATORS.contains(&c) { c } else { '\n' });
    let Some(first) = breaks.next() else {
        return one;
    };
    let others: String = breaks.collect();
    match (first, others.is_empty()) {
        ('\n', true) => " ".to_owned(),
        ('\n', false) => others,
        _ => format!("{first}{others}"),
    }
}
