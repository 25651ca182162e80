//! Writes scalars as go-yaml does; the other half of [`super::emit`].
//!
//! Source of the behaviour: `emitterc.go` of go.yaml.in/yaml/v3 3.0.4 and of go.yaml.in/yaml/v2 2.4.4.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::emit::{Emitter, Out, Parent};
use super::resolve::Rules;
use super::scalar_style::{Written, escape, is_break, numeric, of_text};

impl Emitter<'_> {
    pub(super) fn scalar(&mut self, value: &Out<'_>, parent: Parent) {
        match value {
            Out::Text(bytes) => self.text(bytes, parent),
            Out::Plain(text) => self.plain(text),
            Out::List(_) | Out::Map(_) => {}
        }
    }

    pub(super) fn text(&mut self, bytes: &[u8], parent: Parent) {
        let outer = self.indent;
        self.indent = self.inner_indent(parent, true);
        match std::str::from_utf8(bytes) {
            Ok("<<") if self.rules == Rules::V3 => {
                self.tag("!!merge");
                self.plain("<<");
            }
            Ok(text) => self.styled(text),
            Err(_) => self.binary(bytes),
        }
        self.indent = outer;
    }

    fn styled(&mut self, text: &str) {
        match of_text(text, self.rules) {
            Written::Plain => self.folded_plain(text),
            Written::Single => self.single(text),
            Written::Double => self.double(text),
            Written::Literal => self.literal(text),
        }
    }

    fn binary(&mut self, bytes: &[u8]) {
        let packed = Zeroizing::new(STANDARD.encode(bytes));
        self.tag("!!binary");
        if packed.len() < BINARY_LINE {
            return self.plain(&packed);
        }
        let mut lines = Zeroizing::new(String::with_capacity(packed.len() + packed.len() / BINARY_LINE + 1));
        let mut rest = packed.as_str();
        while let Some((line, after)) = rest.split_at_checked(BINARY_LINE.min(rest.len())).filter(|_| !rest.is_empty())
        {
            lines.push_str(line);
            lines.push('\n');
            rest = after;
        }
        self.literal(&lines);
    }

    fn tag(&mut self, tag: &str) {
        self.indicator(tag, true, false, false);
        self.indention = false;
    }

    fn plain(&mut self, text: &str) {
        self.indicator(text, !text.is_empty(), false, false);
    }

    /// A text of this style has neither breaks nor spaces at its ends.
    fn folded_plain(&mut self, text: &str) {
        self.indicator("", !text.is_empty(), false, false);
        for (c, lone) in with_lone_spaces(text) {
            match lone && self.is_to_fold() {
                true => self.write_indent(),
                false => self.put_char(c),
            }
            self.indention = false;
        }
        self.whitespace = false;
    }

    fn single(&mut self, text: &str) {
        self.indicator("'", true, false, false);
        let mut breaks = false;
        for (c, lone) in with_lone_spaces(text) {
            if lone && self.is_to_fold() {
                self.write_indent();
            } else if is_break(c) {
                self.write_break(c);
                breaks = true;
            } else {
                if breaks && c != ' ' {
                    self.write_indent();
                }
                if c == '\'' {
                    self.put("'");
                }
                self.put_char(c);
                self.indention &= c == ' ';
                breaks &= c == ' ';
            }
        }
        self.indicator("'", false, false, false);
        self.indention = false;
    }

    /// A text that begins with a byte order mark is escaped throughout.
    fn double(&mut self, text: &str) {
        self.indicator("\"", true, false, false);
        let all = text.starts_with('\u{feff}');
        for (at, (before, c, after)) in neighbours(text).enumerate() {
            let is_fold = at > 0 && c == ' ' && before != Some(' ') && after.is_some() && self.is_to_fold();
            match escape(c).or_else(|| all.then(|| numeric(c))) {
                Some(escaped) => self.put(&escaped),
                None if is_fold => {
                    self.write_indent();
                    self.put(if after == Some(' ') { "\\" } else { "" });
                }
                None => self.put_char(c),
            }
            self.indention = false;
        }
        self.indicator("\"", false, false, false);
        self.indention = false;
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator(&self.step.to_string(), false, false, false);
        }
        self.indicator(chomping(text), false, false, false);
        if self.line.is_empty() {
            self.put_break();
        } else {
            self.process_line();
        }
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.write_break(c);
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put_char(c);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

/// Returns the characters of a text, each with the one before it and the one after it.
fn neighbours(text: &str) -> impl Iterator<Item = (Option<char>, char, Option<char>)> {
    let before = std::iter::once(None).chain(text.chars().map(Some));
    let after = text.chars().skip(1).map(Some).chain(std::iter::once(None));
    before.zip(text.chars()).zip(after).map(|((before, c), after)| (before, c, after))
}

/// Returns the characters of a text, each with whether it is a space with something else before and after it.
fn with_lone_spaces(text: &str) -> impl Iterator<Item = (char, bool)> {
    let is_other = |c: Option<char>| c.is_some_and(|c| c != ' ');
    neighbours(text).map(move |(before, c, after)| (c, c == ' ' && is_other(before) && is_other(after)))
}

/// The length of a line of base64 in `!!binary`.
const BINARY_LINE: usize = 70;

/// The indicator that says how many line breaks the text ends with.
fn chomping(text: &str) -> &'static str {
    let mut ends = text.chars().rev().map(is_break);
    match (ends.next(), ends.next()) {
        (Some(true), Some(false)) => "",
        (Some(true), _) => "+",
        _ => "-",
    }
}
