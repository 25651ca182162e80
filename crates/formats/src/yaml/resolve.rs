//! Decides what a scalar is, as the two go-yaml libraries do: version 2 for manifests (kubectl reads with it
//! through sigs.k8s.io/yaml) and version 3 for SOPS.
//!
//! They differ in `yes`, `on`, `y` and their like (booleans for version 2 only) and in timestamps (text for
//! version 2). Source of the rules: `resolve.go` of go.yaml.in/yaml/v2 2.4 and v3 3.0. The table in
//! `tests/fixtures/yaml/scalars.json` was made with these libraries, and a test compares it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::node::{Content, Node, Style};
use super::time::Time;

/// Which library's rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// go-yaml v2, for Kubernetes manifests.
    V2,
    /// go-yaml v3, for SOPS.
    V3,
}

/// What a scalar is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Only integers beyond `i64::MAX`.
    Uint(u64),
    Float(f64),
    Time(Time),
    Text(String),
    /// Text that is not UTF-8, for version 3 alone.
    Bytes(Vec<u8>),
    /// A `<<` that is not quoted.
    Merge,
}

impl Scalar {
    /// Takes bytes for text, if they are.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

const PREFIX: &str = "tag:yaml.org,2002:";

/// Resolves a scalar node; returns nothing for a collection and for a tag that does not fit.
pub(crate) fn resolve(node: &Node, rules: Rules) -> Option<Scalar> {
    let Content::Scalar { text, style } = &node.content else {
        return None;
    };
    let tag = match (node.tag.as_deref(), rules) {
        (Some("!"), Rules::V2) => return Some(Scalar::Text(text.clone())),
        (Some("!"), Rules::V3) => None,
        (tag, _) => tag,
    };
    match tag {
        None if *style == Style::Plain => Some(plain(text, rules)),
        None => Some(Scalar::Text(text.clone())),
        Some(tag) => tagged(tag.strip_prefix(PREFIX), text, rules),
    }
}

fn tagged(kind: Option<&str>, text: &str, rules: Rules) -> Option<Scalar> {
    let found = || plain(text, rules);
    match kind {
        Some("binary") => decode_binary(text, rules),
        Some("merge") if text == "<<" => Some(Scalar::Merge),
        Some("null") => Some(found()).filter(|scalar| matches!(scalar, Scalar::Null)),
        Some("bool") => Some(found()).filter(|scalar| matches!(scalar, Scalar::Bool(_))),
        Some("int") => Some(found()).filter(|scalar| matches!(scalar, Scalar::Int(_) | Scalar::Uint(_))),
        Some("float") => as_float(found()),
        Some("timestamp") => as_time(found(), text, rules),
        _ => Some(Scalar::Text(text.to_owned())),
    }
}

fn as_float(scalar: Scalar) -> Option<Scalar> {
    match scalar {
        Scalar::Float(_) => Some(scalar),
        Scalar::Int(int) => Some(Scalar::Float(int as f64)),
        _ => None,
    }
}

fn as_time(scalar: Scalar, text: &str, rules: Rules) -> Option<Scalar> {
    match rules {
        Rules::V2 => Time::from_yaml(text).map(|_| Scalar::Text(text.to_owned())),
        Rules::V3 => Some(scalar).filter(|scalar| matches!(scalar, Scalar::Time(_))),
    }
}

/// What is not UTF-8 after decoding can't stand in JSON, so it is refused in manifests.
fn decode_binary(text: &str, rules: Rules) -> Option<Scalar> {
    let packed: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let scalar = Scalar::of_bytes(STANDARD.decode(packed).ok()?);
    Some(scalar).filter(|scalar| rules == Rules::V3 || matches!(scalar, Scalar::Text(_)))
}

/// Resolves a plain scalar without a tag.
pub(crate) fn plain(text: &str, rules: Rules) -> Scalar {
    if let Some(scalar) = word(text, rules) {
        return scalar;
    }
    match text.bytes().next() {
        Some(b'.') => float(&without_separators(text)).map(Scalar::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => number(text, rules),
        _ => None,
    }
    .unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

fn word(text: &str, rules: Rules) -> Option<Scalar> {
    let scalar = match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        "<<" => Scalar::Merge,
        _ => return (rules == Rules::V2).then(|| old_boolean(text)).flatten().map(Scalar::Bool),
    };
    Some(scalar)
}

/// Reads the booleans of YAML 1.1 that version 3 and YAML 1.2 take for text.
pub(crate) fn old_boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str, rules: Rules) -> Option<Scalar> {
    if rules == Rules::V3
        && let Some(time) = Time::from_yaml(text)
    {
        return Some(Scalar::Time(time));
    }
    if rules == Rules::V2 && Time::from_yaml(text).is_some() {
        return None;
    }
    let digits = text.replace('_', "");
    if let Some(int) = integer(&digits) {
        return Some(Scalar::Int(int));
    }
    if let Some(uint) = unsigned(&digits) {
        return Some(Scalar::Uint(uint));
    }
    if let Some(float) = float(&digits) {
        return Some(Scalar::Float(float));
    }
    signed_after_prefix(&digits, rules).map(Scalar::Int)
}

/// Reads an integer as Go's `strconv.ParseInt(text, 0, 64)` does: an optional sign, then decimal, `0x`, `0o`,
/// `0b`, or octal after a plain `0`.
fn integer(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let magnitude = i128::from(unsigned(rest)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn unsigned(text: &str) -> Option<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, text.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, text.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, text.get(2..)?),
        [b'0', _, ..] => (8, text.get(1..)?),
        _ => (10, text),
    };
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// Drops underscores between digits, and only those: after a leading point Go reads the text as it stands.
fn without_separators(text: &str) -> String {
    let around = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let separates = |at: usize| at > 0 && around(at - 1) && around(at + 1);
    text.char_indices().filter(|(at, c)| !(*c == '_' && separates(*at))).map(|(_, c)| c).collect()
}

/// Reads `0b-1` and, in version 3, `0o-7`, which Go takes for negative numbers.
fn signed_after_prefix(text: &str, rules: Rules) -> Option<i64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'b', b'+' | b'-', ..] => (2, text.get(2..)?),
        [b'0', b'o', b'+' | b'-', ..] if rules == Rules::V3 => (8, text.get(2..)?),
        _ => return None,
    };
    i64::from_str_radix(digits, radix).ok()
}

/// Reads a float in YAML's form; one that overflows is no float, as in Go.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let well_formed = is_mantissa(mantissa) && exponent.is_none_or(is_exponent);
    well_formed.then(|| text.parse().ok()).flatten().filter(|value: &f64| value.is_finite())
}

fn is_mantissa(text: &str) -> bool {
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, part)) => all_digits(whole) && all_digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !text.is_empty() && all_digits(text),
    }
}

fn is_exponent(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
