//! Go's regular expressions (`regexp/syntax`) in those of the `regex` crate.
//!
//! Both are made after RE2 and match the same way. What is written differently is rewritten here: `\d`, `\w`, `\s` and `\b`
//! are ASCII in Go; a class in a class and a single `{` are plain characters there; `\Q` is unknown to the crate. What Go
//! does not have is refused, so that no expression means something else than upstream.

use super::error::Fault;

/// What is said of an expression that is refused.
pub(super) const REFUSED: Fault =
    Fault::Refused("a regular expression that Go does not have, or that is not supported here");

/// The longest expression in bytes.
const MAX_TEXT: usize = 4 << 10;

/// Rewrites an expression as Go writes it into one of the `regex` crate.
pub(super) fn translated(pattern: &[u8]) -> Result<String, Fault> {
    let pattern = std::str::from_utf8(pattern).ok().filter(|text| text.len() <= MAX_TEXT).ok_or(REFUSED)?;
    let mut translation = Translation { rest: pattern, out: String::new(), repeatable: Repeatable::No };
    translation.run()?;
    Ok(translation.out)
}

/// Whether a `*` may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeatable {
    Yes,
    /// There is nothing to repeat.
    No,
    /// It is repeated already: only a `?` may follow, once.
    Done {
        lazy: bool,
    },
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
    repeatable: Repeatable,
}

impl<'a> Translation<'a> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(char) = self.next() {
            match char {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '*' | '+' | '?' => self.repeat(char)?,
                '{' => self.braces()?,
                '(' => self.group()?,
                '|' => self.push("|", Repeatable::No),
                ')' | '.' | '^' | '$' => self.push(char.encode_utf8(&mut [0; 4]), Repeatable::Yes),
                char => self.literal(char),
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next();
        self.rest = chars.as_str();
        char
    }

    fn push(&mut self, text: &str, repeatable: Repeatable) {
        self.out.push_str(text);
        self.repeatable = repeatable;
    }

    fn literal(&mut self, char: char) {
        self.out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
        self.repeatable = Repeatable::Yes;
    }

    fn repeat(&mut self, char: char) -> Result<(), Fault> {
        self.repeatable = match (self.repeatable, char) {
            (Repeatable::Yes, _) => Repeatable::Done { lazy: false },
            (Repeatable::Done { lazy: false }, '?') => Repeatable::Done { lazy: true },
            _ => return Err(REFUSED),
        };
        self.out.push(char);
        Ok(())
    }

    /// Reads `{n}`, `{n,}` or `{n,m}`; anything else is a plain brace.
    fn braces(&mut self) -> Result<(), Fault> {
        let Some((inner, after)) = self.rest.split_once('}').filter(|(inner, _)| is_count(inner)) else {
            self.literal('{');
            return Ok(());
        };
        let too_many = inner.split(',').any(|count| !count.is_empty() && count.parse::<u32>().is_ok_and(|n| n > 1000));
        if self.repeatable != Repeatable::Yes || too_many {
            return Err(REFUSED);
        }
        self.push(&format!("{{{inner}}}"), Repeatable::Done { lazy: false });
        self.rest = after;
        Ok(())
    }

    /// Reads what opens a group: its flags or its name.
    fn group(&mut self) -> Result<(), Fault> {
        let Some(rest) = self.rest.strip_prefix('?') else {
            self.push("(", Repeatable::No);
            return Ok(());
        };
        if let Some(name) = rest.strip_prefix("P<").or(rest.strip_prefix('<')) {
            let (name, after) = name.split_once('>').ok_or(REFUSED)?;
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_word) || name.starts_with(|char: char| char.is_ascii_digit()) {
                return Err(REFUSED);
            }
            self.push(&format!("(?P<{name}>"), Repeatable::No);
            self.rest = after;
            return Ok(());
        }
        let end = rest.find([':', ')']).ok_or(REFUSED)?;
        let (flags, after) = rest.split_at_checked(end + 1).ok_or(REFUSED)?;
        let letters = flags.trim_end_matches([':', ')']);
        let known = letters.chars().all(|flag| matches!(flag, 'i' | 'm' | 's' | 'U' | '-'));
        if !known || letters.ends_with('-') || letters.matches('-').count() > 1 {
            return Err(REFUSED);
        }
        // `(?)` sets nothing in Go and is unknown to the crate.
        let opening = if letters.is_empty() && flags.ends_with(')') { String::new() } else { format!("(?{flags}") };
        self.push(&opening, Repeatable::No);
        self.rest = after;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let char = self.next().ok_or(REFUSED)?;
        match char {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                let class = ascii_class(char).ok_or(REFUSED)?;
                self.push(&format!("[{class}]"), Repeatable::Yes);
            }
            'b' => self.push(r"(?-u:\b)", Repeatable::Yes),
            'A' => self.push(r"\A", Repeatable::Yes),
            'z' => self.push(r"\z", Repeatable::Yes),
            'p' | 'P' => {
                let property = self.property(char)?;
                self.push(&property, Repeatable::Yes);
            }
            'Q' => {
                let (text, after) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = after;
                text.chars().for_each(|char| self.literal(char));
            }
            other => {
                let char = self.character(other)?;
                self.literal(char);
            }
        }
        Ok(())
    }

    /// Reads a class of Unicode. Go and the crate share the names of one letter and of scripts.
    fn property(&mut self, kind: char) -> Result<String, Fault> {
        if let Some(rest) = self.rest.strip_prefix('{') {
            let (name, after) = rest.split_once('}').ok_or(REFUSED)?;
            self.rest = after;
            let plain = name.strip_prefix('^').unwrap_or(name);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
                return Err(REFUSED);
            }
            return Ok(format!("\\{kind}{{{name}}}"));
        }
        let letter = self.next().filter(|char| "CLMNPSZ".contains(*char)).ok_or(REFUSED)?;
        Ok(format!("\\{kind}{{{letter}}}"))
    }

    /// Reads the escape of one character, whose first letter is taken.
    fn character(&mut self, first: char) -> Result<char, Fault> {
        match first {
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            'x' => self.hexadecimal(),
            char if char.is_ascii_punctuation() => Ok(char),
            _ => Err(REFUSED),
        }
    }

    fn hexadecimal(&mut self) -> Result<char, Fault> {
        let (digits, after) = match self.rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}').ok_or(REFUSED)?,
            None => self.rest.split_at_checked(2).ok_or(REFUSED)?,
        };
        self.rest = after;
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| valid);
        code.and_then(char::from_u32).ok_or(REFUSED)
    }

    /// Reads a class, whose bracket is taken.
    fn class(&mut self) -> Result<(), Fault> {
        let mut class = String::from("[");
        if let Some(rest) = self.rest.strip_prefix('^') {
            class.push('^');
            self.rest = rest;
        }
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            self.class_item(&mut class)?;
            is_first = false;
        }
        self.next();
        class.push(']');
        self.push(&class, Repeatable::Yes);
        Ok(())
    }

    fn class_item(&mut self, class: &mut String) -> Result<(), Fault> {
        if let Some((name, after)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
            class.push_str(&format!("[:{name}:]"));
            self.rest = after;
            return Ok(());
        }
        let char = self.next().ok_or(REFUSED)?;
        if char == '\\' {
            match self.rest.chars().next() {
                Some(kind @ ('d' | 'D' | 'w' | 'W' | 's' | 'S')) => {
                    self.next();
                    class.push_str(&format!("[{}]", ascii_class(kind).ok_or(REFUSED)?));
                    return Ok(());
                }
                Some(kind @ ('p' | 'P')) => {
                    self.next();
                    class.push_str(&self.property(kind)?);
                    return Ok(());
                }
                _ => {}
            }
        }
        let from = self.class_character(char)?;
        push_in_class(class, from);
        let mut ahead = self.rest.chars();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|char| char != ']') {
            self.next();
            let char = self.next().ok_or(REFUSED)?;
            let to = self.class_character(char)?;
            class.push('-');
            push_in_class(class, to);
        }
        Ok(())
    }

    fn class_character(&mut self, char: char) -> Result<char, Fault> {
        match char {
            '\\' => {
                let first = self.next().ok_or(REFUSED)?;
                self.character(first)
            }
            plain => Ok(plain),
        }
    }
}

fn push_in_class(class: &mut String, char: char) {
    if char.is_ascii_punctuation() {
        class.push('\\');
    }
    class.push(char);
}

/// The ASCII classes, as they stand between brackets.
fn ascii_class(kind: char) -> Option<&'static str> {
    match kind {
        'd' => Some("0-9"),
        'D' => Some("^0-9"),
        'w' => Some("0-9A-Za-z_"),
        'W' => Some("^0-9A-Za-z_"),
        's' => Some(r"\t\n\f\r "),
        'S' => Some(r"^\t\n\f\r "),
        _ => None,
    }
}

fn is_count(inner: &str) -> bool {
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}
