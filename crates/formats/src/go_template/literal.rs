//! Numbers, strings and characters as Go writes them (the Go specification, "Lexical elements"; `strconv`).

use super::error::Fault;

/// A number literal: it fits where an integer or a float is needed, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    /// The integer that it is, if it is one.
    pub(super) int: Option<i64>,
    pub(super) float: f64,
    /// Whether it is a float where no type is asked for: it is written with a point or an exponent.
    pub(super) is_float: bool,
}

const BAD_NUMBER: Fault = Fault::Syntax("a number is malformed or too large");
const BAD_TEXT: Fault = Fault::Syntax("a string or character has a malformed escape");

/// Reads a number.
pub(super) fn number(text: &str) -> Result<Number, Fault> {
    if text.ends_with('i') {
        return Err(Fault::Refused("imaginary numbers"));
    }
    if let Some(int) = integer(text) {
        return Ok(Number { int: Some(int), float: int as f64, is_float: false });
    }
    let is_hexadecimal = text.trim_start_matches(['+', '-']).starts_with("0x");
    if is_hexadecimal || text.contains(['_', 'p', 'P', 'x', 'X']) {
        return Err(Fault::Refused("hexadecimal floats, and floats with underscores"));
    }
    if !text.contains(['.', 'e', 'E']) {
        return Err(BAD_NUMBER);
    }
    let float = parse_float(text.as_bytes()).filter(|float| float.is_finite()).ok_or(BAD_NUMBER)?;
    let int = (float.fract() == 0.0 && (-9.2e18..9.2e18).contains(&float)).then_some(float as i64);
    Ok(Number { int, float, is_float: true })
}

/// Reads a decimal float as `strconv.ParseFloat` does, apart from its hexadecimal forms and underscores.
pub(super) fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let is_word = ["inf", "infinity", "nan"].iter().any(|word| digits.eq_ignore_ascii_case(word));
    if is_word && digits.eq_ignore_ascii_case("nan") && digits.len() != text.len() {
        return None;
    }
    let value: f64 = (is_number || is_word).then(|| text.parse().ok()).flatten()?;
    (is_word || value.is_finite()).then_some(value)
}

/// Reads an integer as `strconv.ParseInt(text, 0, 64)` does.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = rest.to_ascii_lowercase();
    let (radix, digits, prefixed) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?, true),
        Some("0o") => (8, lower.get(2..)?, true),
        Some("0b") => (2, lower.get(2..)?, true),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..)?, true),
        _ => (10, lower.as_str(), false),
    };
    let bare = without_underscores(digits, prefixed)?;
    if !bare.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        return None;
    }
    let size = u64::from_str_radix(&bare, radix).ok()?;
    match negative {
        true => 0_i64.checked_sub_unsigned(size),
        false => i64::try_from(size).ok(),
    }
}

/// Removes underscores, each of which must stand between digits, or after a prefix.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    let misplaced = digits.contains("__") || digits.ends_with('_') || (digits.starts_with('_') && !prefixed);
    (!misplaced).then(|| digits.replace('_', ""))
}

/// Reads a quoted string, with its quotes.
pub(super) fn text(quoted: &str) -> Result<Vec<u8>, Fault> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).ok_or(BAD_TEXT)?;
    if quoted.starts_with('`') {
        return Ok(inner.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let (mut out, mut rest) = (Vec::with_capacity(inner.len()), inner);
    while !rest.is_empty() {
        let (unit, after) = unit(rest, '"')?;
        match unit {
            Unit::Char(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(byte) => out.push(byte),
        }
        rest = after;
    }
    Ok(out)
}

/// Reads a character, with its quotes.
pub(super) fn character(quoted: &str) -> Result<Number, Fault> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).ok_or(BAD_TEXT)?;
    let (unit, after) = unit(inner, '\'')?;
    if !after.is_empty() {
        return Err(BAD_TEXT);
    }
    let int = match unit {
        Unit::Char(char) => i64::from(u32::from(char)),
        Unit::Byte(byte) => i64::from(byte),
    };
    Ok(Number { int: Some(int), float: int as f64, is_float: false })
}

enum Unit {
    Char(char),
    Byte(u8),
}

/// Reads one character or escape.
fn unit(text: &str, quote: char) -> Result<(Unit, &str), Fault> {
    let mut chars = text.chars();
    match chars.next().ok_or(BAD_TEXT)? {
        '\\' => {}
        other if other == quote => return Err(BAD_TEXT),
        other => return Ok((Unit::Char(other), chars.as_str())),
    }
    let escape = chars.next().ok_or(BAD_TEXT)?;
    let rest = chars.as_str();
    let char = |char| Ok((Unit::Char(char), rest));
    match escape {
        'a' => char('\x07'),
        'b' => char('\x08'),
        'f' => char('\x0c'),
        'n' => char('\n'),
        'r' => char('\r'),
        't' => char('\t'),
        'v' => char('\x0b'),
        '\\' => char('\\'),
        '\'' | '"' if escape == quote => char(escape),
        'x' => digits(rest, 2, 16).and_then(|(code, rest)| Ok((byte(code)?, rest))),
        'u' => digits(rest, 4, 16).and_then(|(code, rest)| Ok((unicode(code)?, rest))),
        'U' => digits(rest, 8, 16).and_then(|(code, rest)| Ok((unicode(code)?, rest))),
        '0'..='7' => {
            let from = text.get(1..).ok_or(BAD_TEXT)?;
            digits(from, 3, 8).and_then(|(code, rest)| Ok((byte(code)?, rest)))
        }
        _ => Err(BAD_TEXT),
    }
}

fn digits(text: &str, count: usize, radix: u32) -> Result<(u32, &str), Fault> {
    let (digits, rest) = text.split_at_checked(count).ok_or(BAD_TEXT)?;
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(BAD_TEXT);
    }
    Ok((u32::from_str_radix(digits, radix).map_err(|_| BAD_TEXT)?, rest))
}

fn byte(code: u32) -> Result<Unit, Fault> {
    u8::try_from(code).map(Unit::Byte).map_err(|_| BAD_TEXT)
}

fn unicode(code: u32) -> Result<Unit, Fault> {
    char::from_u32(code).map(Unit::Char).ok_or(BAD_TEXT)
}
