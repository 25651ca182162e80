//! Reads INI.

use std::collections::HashSet;
use std::str::SplitInclusive;

use super::{DEFAULT, IniError, IniFault, Key, Section};

const COMMENT: [char; 2] = ['#', ';'];
const DELIMITERS: [char; 2] = ['=', ':'];
const TRIPLE: &str = "\"\"\"";

/// Reads all sections in the order of the file, whose length the caller has checked.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Section>, IniError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        IniError { line: 1 + good.iter().filter(|byte| **byte == b'\n').count(), fault: IniFault::NotUtf8 }
    })?;
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).split_inclusive('\n');
    let section = Section { name: DEFAULT.to_owned(), comment: None, keys: Vec::new() };
    let reader = Reader { lines, line: 0, comment: String::new(), done: Vec::new(), section, names: Names::default() };
    reader.all()
}

/// The names that stand already: of the sections, and of the keys of the one that is read.
#[derive(Default)]
struct Names {
    sections: HashSet<String>,
    keys: HashSet<String>,
}

struct Reader<'a> {
    lines: SplitInclusive<'a, char>,
    /// The line that was read last, from 1.
    line: usize,
    /// The comments since the last section or key.
    comment: String,
    done: Vec<Section>,
    section: Section,
    names: Names,
}

impl<'a> Reader<'a> {
    fn all(mut self) -> Result<Vec<Section>, IniError> {
        while let Some(line) = self.next() {
            let line = line.trim_start();
            match line.chars().next() {
                None => {}
                Some(first) if COMMENT.contains(&first) => self.comment.push_str(line),
                Some('[') => self.section(line)?,
                Some(_) => self.key(line)?,
            }
        }
        self.done.push(self.section);
        Ok(self.done)
    }

    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        self.lines.next()
    }

    fn refuse(&self, fault: IniFault) -> IniError {
        IniError { line: self.line, fault }
    }

    /// Returns the comments since the last section or key.
    fn take_comment(&mut self) -> Option<String> {
        let comment = std::mem::take(&mut self.comment);
        Some(comment.trim()).filter(|comment| !comment.is_empty()).map(str::to_owned)
    }

    fn section(&mut self, line: &str) -> Result<(), IniError> {
        let (name, rest) = line.rsplit_once(']').ok_or_else(|| self.refuse(IniFault::UnclosedSection))?;
        let name = name.get(1..).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(self.refuse(IniFault::UnnamedSection));
        }
        // The section of the keys before all sections is there by itself; where there are none, it may also be named.
        let before_all = self.done.first().unwrap_or(&self.section);
        let is_there = name == DEFAULT && !before_all.keys.is_empty();
        if is_there || !self.names.sections.insert(name.clone()) {
            return Err(self.refuse(IniFault::DuplicateSection(name)));
        }
        self.comment.push_str(comment_in(rest).unwrap_or_default());
        let section = Section { name, comment: self.take_comment(), keys: Vec::new() };
        self.done.push(std::mem::replace(&mut self.section, section));
        self.names.keys.clear();
        Ok(())
    }

    fn key(&mut self, line: &str) -> Result<(), IniError> {
        let (name, rest) = key_name(line).map_err(|fault| self.refuse(fault))?;
        let name = name.trim().to_owned();
        match name.as_str() {
            "" => return Err(self.refuse(IniFault::UnnamedKey)),
            "-" => return Err(self.refuse(IniFault::NumberedKey)),
            _ => {}
        }
        if !self.names.keys.insert(name.clone()) {
            return Err(self.refuse(IniFault::DuplicateKey(name)));
        }
        let value = self.value(rest)?;
        let comment = self.take_comment();
        self.section.keys.push(Key { name, value, comment });
        Ok(())
    }

    fn value(&mut self, rest: &str) -> Result<String, IniError> {
        let line = rest.trim_start();
        let quote = [TRIPLE, "`"].into_iter().find(|quote| line.starts_with(quote));
        // Three quotes and nothing else are no quoted value.
        if let Some(quote) = quote.filter(|quote| *quote != TRIPLE || line.len() > TRIPLE.len()) {
            let inner = line.get(quote.len()..).unwrap_or_default();
            return match inner.rsplit_once(quote) {
                Some((value, _)) => Ok(value.to_owned()),
                None => self.lines_until(quote, inner),
            };
        }
        let line = line.trim_end();
        if let Some(begun) = line.strip_suffix('\\') {
            return Ok(self.continued(begun));
        }
        let value = match line.find(COMMENT) {
            Some(at) => {
                let (value, comment) = line.split_at(at);
                self.comment.push_str(comment);
                value.trim()
            }
            None => line,
        };
        Ok(unquoted(value).to_owned())
    }

    /// Reads a quoted value to its end in another line.
    fn lines_until(&mut self, quote: &str, begun: &str) -> Result<String, IniError> {
        let first = self.line;
        let mut value = begun.to_owned();
        while let Some(line) = self.next() {
            match line.rsplit_once(quote) {
                Some((last, rest)) if !rest.trim().ends_with('\\') => {
                    value.push_str(last);
                    self.comment.push_str(comment_in(rest).unwrap_or_default().trim());
                    return Ok(value);
                }
                _ => value.push_str(line),
            }
        }
        Err(IniError { line: first, fault: IniFault::UnclosedQuote })
    }

    /// Reads on after a backslash at the end of a line.
    fn continued(&mut self, begun: &str) -> String {
        let mut value = begun.to_owned();
        while let Some(line) = self.next().map(str::trim).filter(|line| !line.is_empty()) {
            value.push_str(line);
            if !value.ends_with('\\') {
                break;
            }
            value.pop();
        }
        value
    }
}

fn comment_in(rest: &str) -> Option<&str> {
    rest.find(COMMENT).and_then(|at| rest.get(at..))
}

/// Splits a line into its key, quotes taken off, and what follows the delimiter.
fn key_name(line: &str) -> Result<(&str, &str), IniFault> {
    let quote = match line.chars().next() {
        Some('"') if line.starts_with(TRIPLE) && line.len() > 2 * TRIPLE.len() => TRIPLE,
        Some('"') => "\"",
        Some('`') => "`",
        _ => {
            let (name, rest) = line.split_once(DELIMITERS).ok_or(IniFault::NoDelimiter)?;
            return if name.is_empty() { Err(IniFault::UnnamedKey) } else { Ok((name, rest)) };
        }
    };
    let inner = line.get(quote.len()..).unwrap_or_default();
    let (name, rest) = inner.split_once(quote).ok_or(IniFault::UnclosedQuote)?;
    let (_, rest) = rest.split_once(DELIMITERS).ok_or(IniFault::NoDelimiter)?;
    Ok((name, rest))
}

/// Takes single or double quotes off that stand at both ends and nowhere else.
fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(value)
}
