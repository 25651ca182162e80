//! Which values of a file are sealed: suffixes and regular expressions over keys or comments.
//!
//! Source: sops 3.13.3, `shouldBeEncrypted` in `sops.go`. Stricter: a regular expression that does not compile
//! is refused (sops takes it as one that never matches and leaves everything in the clear).

use regex::bytes::{Regex, RegexBuilder};

/// The one rule of a file.
#[derive(Clone)]
pub(crate) enum Rules {
    UnencryptedSuffix(String),
    EncryptedSuffix(String),
    UnencryptedRegex(Regex),
    EncryptedRegex(Regex),
    UnencryptedCommentRegex(Regex),
    EncryptedCommentRegex(Regex),
}

impl Rules {
    /// Tells whether what stands under `keys` is sealed. Each key on the path is looked at by itself; `marked` says
    /// whether a comment in force matches.
    pub(crate) fn selects<'a>(&self, mut keys: impl Iterator<Item = &'a str>, marked: bool) -> bool {
        match self {
            Self::UnencryptedSuffix(suffix) => !keys.any(|key| key.ends_with(suffix)),
            Self::EncryptedSuffix(suffix) => keys.any(|key| key.ends_with(suffix)),
            Self::UnencryptedRegex(regex) => !keys.any(|key| regex.is_match(key.as_bytes())),
            Self::EncryptedRegex(regex) => keys.any(|key| regex.is_match(key.as_bytes())),
            Self::UnencryptedCommentRegex(_) => !marked,
            Self::EncryptedCommentRegex(_) => marked,
        }
    }

    /// Tells whether a comment matches the file's rule about comments.
    pub(crate) fn marks(&self, comment: &str) -> bool {
        match self {
            Self::UnencryptedCommentRegex(regex) | Self::EncryptedCommentRegex(regex) => {
                regex.is_match(comment.as_bytes())
            }
            _ => false,
        }
    }

    /// Tells whether a comment that matches stays readable because of its own text: both kinds of rule want that,
    /// so for the one that seals what it marks, the comment itself does not count.
    pub(crate) fn counts_own(&self) -> bool {
        !matches!(self, Self::EncryptedCommentRegex(_))
    }
}

/// Compiles a regular expression of Go's syntax (RE2) so that it matches what it matches in Go.
pub(crate) fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&translate(pattern)?).size_limit(1 << 20).build().ok()
}

/// Rewrites what Go and the `regex` crate read differently: ASCII classes, a literal `{`, `\Q...\E`,
/// escaped punctuation, and set operations in classes.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '\\' => rest = escape(rest, false, &mut out)?,
            '[' => rest = class(rest, &mut out)?,
            '{' => out.push_str(if is_repetition(rest) { "{" } else { r"\{" }),
            '(' => {
                out.push('(');
                flags_are_known(rest).then_some(())?;
            }
            _ => out.push(c),
        }
    }
    Some(out)
}

fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let after = rest.get(c.len_utf8()..)?;
    match c {
        'Q' if !in_class => {
            let (literal, after) = after.split_once(r"\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(literal));
            return Some(after);
        }
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\x0c\r ]"),
        'S' => out.push_str(r"[^\t\n\x0c\r ]"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        'A' | 'z' | 'p' | 'P' | 'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'x' => {
            out.push('\\');
            out.push(c);
        }
        _ if c.is_ascii_punctuation() => push_literal(c, out),
        _ => return None,
    }
    Some(after)
}

fn push_literal(c: char, out: &mut String) {
    if !matches!(c, '<' | '>') {
        out.push('\\');
    }
    out.push(c);
}

/// Copies a bracketed class up to its `]`; a `]` that stands first is literal.
fn class<'a>(mut rest: &'a str, out: &mut String) -> Option<&'a str> {
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    loop {
        let c = rest.chars().next()?;
        if rest.starts_with("--") || rest.starts_with("&&") || rest.starts_with("~~") {
            return None;
        }
        if rest.starts_with("[:") {
            let (name, after) = rest.split_once(":]")?;
            out.push_str(name);
            out.push_str(":]");
            rest = after;
        } else {
            rest = rest.get(c.len_utf8()..)?;
            match c {
                ']' if !first => {
                    out.push(']');
                    return Some(rest);
                }
                '\\' => rest = escape(rest, true, out)?,
                '[' | ']' => push_literal(c, out),
                _ => out.push(c),
            }
        }
        first = false;
    }
}

fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        Some((least, most)) => !least.is_empty() && digits(least) && digits(most),
        None => !inside.is_empty() && digits(inside),
    }
}

/// Refuses flags that Go does not have, since Go would take the whole expression for invalid.
fn flags_are_known(rest: &str) -> bool {
    let Some(flags) = rest.strip_prefix('?') else {
        return true;
    };
    let flags: String = flags.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    flags.starts_with('P') || flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn expressions_match_what_they_match_in_go() {
        for (pattern, text, expected) in [
            (r"^\d+$", "42", true),
            (r"^\d+$", "٤٢", false),
            (r"^\w+$", "é", false),
            (r"^[\w]+$", "a_1", true),
            (r"^[^\w]$", "é", true),
            (r"a{b", "a{b", true),
            (r"^a{2}$", "aa", true),
            (r"\Qa.b\E$", "xa.b", true),
            (r"\Qa.b\E$", "xaxb", false),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"[]a]", "]", true),
            (r"[[]", "[", true),
            (r"\<", "<", true),
            (r"(?i)^PASS", "password", true),
            (r"^(data|stringData)$", "data", true),
            (r"^(data|stringData)$", "metadata", false),
            (r"\bx\b", "éx", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn expressions_that_go_refuses_are_refused() {
        for pattern in ["(", "[a", r"\y", "(?x)a", "[a--b]", "*", r"\"] {
            assert!(compile(pattern).is_none(), "{pattern}");
        }
    }
}
