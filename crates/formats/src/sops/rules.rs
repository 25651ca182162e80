//! Which values of a file are sealed: suffixes and regular expressions over keys or comments.
//!
//! Source: sops 3.13.3, `shouldBeEncrypted` in `sops.go`. Stricter: a regular expression that does not compile
//! is refused (sops takes it as one that never matches and leaves everything in the clear).

use regex::bytes::{Regex, RegexBuilder};

use crate::{KeyPath, Segment};

/// What the one rule of a file looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Everything is sealed but what stands under a key with this ending.
    UnencryptedSuffix,
    /// Only what stands under a key with this ending is sealed.
    EncryptedSuffix,
    /// Everything is sealed but what stands under a key that matches.
    UnencryptedRegex,
    /// Only what stands under a key that matches is sealed.
    EncryptedRegex,
    /// Everything is sealed but what stands below a comment that matches.
    UnencryptedCommentRegex,
    /// Only what stands below a comment that matches is sealed.
    EncryptedCommentRegex,
}

impl RuleKind {
    /// All of them, in the order in which sops looks for them.
    pub const ALL: [Self; 6] = [
        Self::UnencryptedSuffix,
        Self::EncryptedSuffix,
        Self::UnencryptedRegex,
        Self::EncryptedRegex,
        Self::UnencryptedCommentRegex,
        Self::EncryptedCommentRegex,
    ];

    /// Returns the name of the field that holds the rule, in the metadata of a file and in `.sops.yaml`.
    pub fn field(self) -> &'static str {
        match self {
            Self::UnencryptedSuffix => "unencrypted_suffix",
            Self::EncryptedSuffix => "encrypted_suffix",
            Self::UnencryptedRegex => "unencrypted_regex",
            Self::EncryptedRegex => "encrypted_regex",
            Self::UnencryptedCommentRegex => "unencrypted_comment_regex",
            Self::EncryptedCommentRegex => "encrypted_comment_regex",
        }
    }

    fn is_about_comments(self) -> bool {
        matches!(self, Self::UnencryptedCommentRegex | Self::EncryptedCommentRegex)
    }

    fn is_suffix(self) -> bool {
        matches!(self, Self::UnencryptedSuffix | Self::EncryptedSuffix)
    }
}

/// A regular expression of Go's syntax (RE2), which matches what it matches in Go, anywhere in a text.
#[derive(Clone)]
pub struct Expression(Regex);

impl Expression {
    /// Compiles an expression; nothing if Go would not, or if it is beyond the limits.
    pub fn new(pattern: &str) -> Option<Self> {
        compile(pattern).map(Self)
    }

    /// Tells whether it matches somewhere in a text.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

/// The one rule of a file about which values are sealed. Without a rule all are.
#[derive(Clone)]
pub struct Rule {
    kind: RuleKind,
    text: String,
    /// Of the kinds that are regular expressions.
    expression: Option<Expression>,
}

impl Rule {
    /// Makes a rule of a suffix, or of a regular expression in Go's syntax; nothing if the expression does not compile.
    pub fn new(kind: RuleKind, text: &str) -> Option<Self> {
        let expression = if kind.is_suffix() { None } else { Some(Expression::new(text)?) };
        Some(Self { kind, text: text.to_owned(), expression })
    }

    /// Returns the rule that sops takes where none is named: what ends in `_unencrypted` is not sealed.
    pub fn usual() -> Self {
        Self { kind: RuleKind::UnencryptedSuffix, text: "_unencrypted".to_owned(), expression: None }
    }

    /// Returns what the rule looks at.
    pub fn kind(&self) -> RuleKind {
        self.kind
    }

    /// Returns the suffix or expression, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tells whether the value at a path is sealed; nothing where comments decide that.
    pub fn seals(&self, path: &KeyPath) -> Option<bool> {
        let keys = path.segments().iter().filter_map(Segment::as_key);
        (!self.kind.is_about_comments()).then(|| self.selects(keys, false))
    }

    /// Tells whether what stands under `keys` is sealed. Each key on the path is looked at by itself; `marked` says
    /// whether a comment in force matches.
    pub(crate) fn selects<'a>(&self, mut keys: impl Iterator<Item = &'a str>, marked: bool) -> bool {
        match self.kind {
            RuleKind::UnencryptedSuffix | RuleKind::UnencryptedRegex => !keys.any(|key| self.matches(key)),
            RuleKind::EncryptedSuffix | RuleKind::EncryptedRegex => keys.any(|key| self.matches(key)),
            RuleKind::UnencryptedCommentRegex => !marked,
            RuleKind::EncryptedCommentRegex => marked,
        }
    }

    fn matches(&self, text: &str) -> bool {
        self.expression.as_ref().map_or_else(|| text.ends_with(&self.text), |expression| expression.matches(text))
    }

    /// Tells whether a comment matches the file's rule about comments.
    pub(crate) fn marks(&self, comment: &str) -> bool {
        self.kind.is_about_comments() && self.matches(comment)
    }

    /// Tells whether a comment that matches stays readable because of its own text: both kinds of rule want that,
    /// so for the one that seals what it marks, the comment itself does not count.
    pub(crate) fn counts_own(&self) -> bool {
        self.kind != RuleKind::EncryptedCommentRegex
    }
}

/// Compiles a regular expression of Go's syntax (RE2) so that it matches what it matches in Go.
fn compile(pattern: &str) -> Option<Regex> {
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
