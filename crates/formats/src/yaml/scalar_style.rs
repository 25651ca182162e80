//! How go-yaml writes a text: which quotes, which escapes.
//!
//! Source of the behaviour: go.yaml.in/yaml/v3 3.0.4, `emitterc.go` (analysis and choice of style) and
//! `encode.go` (what must not stay plain), and the same files of go.yaml.in/yaml/v2 2.4.4.

use super::resolve::{Rules, Scalar, old_boolean, plain};
use super::time::Time;

/// The style of a written scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Plain,
    Single,
    Double,
    Literal,
}

/// Chooses the style of a text.
pub(crate) fn of_text(text: &str, rules: Rules) -> Written {
    let found = Analysis::of(text, rules);
    let wanted = match stays_text(text, rules) {
        _ if text.contains('\n') => Written::Literal,
        true => Written::Plain,
        false => Written::Double,
    };
    match wanted {
        Written::Literal if !found.block_allowed => Written::Double,
        Written::Plain if !found.plain_allowed && found.single_allowed => Written::Single,
        Written::Plain if !found.plain_allowed => Written::Double,
        style => style,
    }
}

/// Tells whether a plain scalar of this text is read as text, by YAML 1.1 readers too. Version 2 takes times for text when it
/// reads, and quotes them all the same.
fn stays_text(text: &str, rules: Rules) -> bool {
    let is_text = matches!(plain(text, rules), Scalar::Text(_) | Scalar::Merge) && Time::from_yaml(text).is_none();
    is_text && old_boolean(text).is_none() && !is_base_60(text)
}

/// Recognizes `190:20:30`, a number of YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let sixty = |part: &&str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && !rest.is_empty()
        && rest.iter().all(sixty)
        && digits(fraction)
}

/// What a text allows.
struct Analysis {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Analysis {
    /// Version 3 lets a block have tabs.
    fn of(text: &str, rules: Rules) -> Self {
        if text.is_empty() {
            return Self { plain_allowed: true, single_allowed: true, block_allowed: false };
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let outer = edge(text.chars().next()) || edge(text.chars().last());
        let may_stand = |c: char| is_printable(c) || (c == '\t' && rules == Rules::V3);
        let special = !text.chars().all(may_stand);
        let space_break = pairs(text).any(|(one, two)| one == ' ' && is_break(two));
        let break_space = pairs(text).any(|(one, two)| is_break(one) && two == ' ');
        let quoted = break_space || space_break || special || text.contains('\t');
        let broken = text.chars().any(is_break);
        Self {
            plain_allowed: !(outer || quoted || broken || has_indicator(text)),
            single_allowed: !quoted,
            block_allowed: !(text.ends_with(' ') || space_break || special),
        }
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (char, char)> {
    text.chars().zip(text.chars().skip(1))
}

fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let blank_or_end = |c: Option<char>| c.is_none_or(|c| c == ' ' || c == '\t');
    let mut chars = text.chars();
    let first = match chars.next() {
        Some('#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => true,
        Some('?' | ':' | '-') => blank_or_end(chars.next()),
        _ => false,
    };
    let colon = text.ends_with(':') || pairs(text).any(|(one, two)| one == ':' && (two == ' ' || two == '\t'));
    let hash = pairs(text).any(|(one, two)| two == '#' && (one == ' ' || one == '\t' || one == '\0' || is_break(one)));
    first || colon || hash
}

/// Tells whether go-yaml takes a character for a line break.
pub(crate) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Tells whether go-yaml writes a character as it is; it does not so beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// Returns how a character is written in double quotes; nothing if it stands for itself.
pub(crate) fn escape(c: char) -> Option<String> {
    if is_printable(c) && !is_break(c) && !matches!(c, '"' | '\\') {
        return None;
    }
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' | '\\' => c,
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => return Some(numeric(c)),
    };
    Some(format!("\\{short}"))
}

/// Writes a character by its number.
pub(crate) fn numeric(c: char) -> String {
    match u32::from(c) {
        code @ 0..=0xff => format!("\\x{code:02X}"),
        code @ 0x100..=0xffff => format!("\\u{code:04X}"),
        code => format!("\\U{code:08X}"),
    }
}
