//! JSON as Go's `encoding/json` reads and writes it (Sprig's `defaults.go`).

use std::collections::BTreeMap;

use super::super::error::Fault;
use super::super::literal;
use super::super::runes::{push, runes};
use super::super::value::{Heap, ITEM, ListKind, MAX_DEPTH, MapKind, Value};
use super::{Arguments, Function, Param};
use crate::go_number;
use Param::{Any, Text};

pub(super) const ALL: &[Function] = &[
    Function::new("toJson", &[Any], |heap, args| write_or_nothing(heap, args, HTML)),
    Function::new("mustToJson", &[Any], |heap, args| write(heap, args, HTML)),
    Function::new("toPrettyJson", &[Any], |heap, args| write_or_nothing(heap, args, PRETTY)),
    Function::new("mustToPrettyJson", &[Any], |heap, args| write(heap, args, PRETTY)),
    Function::new("toRawJson", &[Any], |heap, args| write(heap, args, RAW)),
    Function::new("mustToRawJson", &[Any], |heap, args| write(heap, args, RAW)),
    Function::new("fromJson", &[Text], |heap, args| match read(heap, args.bytes(0)?) {
        Err(NOT_JSON) => Ok(Value::Nil),
        other => other,
    }),
    Function::new("mustFromJson", &[Text], |heap, args| read(heap, args.bytes(0)?)),
];

#[derive(Clone, Copy)]
struct Style {
    escapes_html: bool,
    is_pretty: bool,
}

const HTML: Style = Style { escapes_html: true, is_pretty: false };
const PRETTY: Style = Style { escapes_html: true, is_pretty: true };
const RAW: Style = Style { escapes_html: false, is_pretty: false };

const NOT_A_NUMBER: Fault = Fault::Failed("is given a float that JSON can't say");
const NOT_JSON: Fault = Fault::Failed("is given what is not JSON");

fn write(heap: &mut Heap, args: &[Value], style: Style) -> Result<Value, Fault> {
    let mut out = Vec::new();
    append(heap, &mut out, &args.any(0), style, 0)?;
    heap.text(out)
}

/// Writes nothing where there is no JSON, as Sprig drops the error.
fn write_or_nothing(heap: &mut Heap, args: &[Value], style: Style) -> Result<Value, Fault> {
    match write(heap, args, style) {
        Err(NOT_A_NUMBER) => heap.text(Vec::new()),
        other => other,
    }
}

fn append(heap: &mut Heap, out: &mut Vec<u8>, value: &Value, style: Style, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Limit("64 lists and maps in each other"));
    }
    heap.pay(8)?;
    match value {
        Value::Nil | Value::NilItem => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(value) | Value::Int64(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Byte(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint64(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Version(version) => string(heap, out, version.text().as_bytes(), style)?,
        Value::Float(value) if value.is_finite() => out.extend_from_slice(go_number::json(*value).as_bytes()),
        Value::Float(_) => return Err(NOT_A_NUMBER),
        Value::Text(text) => string(heap, out, text.bytes(), style)?,
        Value::List(list) if list.is_nil => out.extend_from_slice(b"null"),
        Value::List(list) => {
            let items = heap.items(*list);
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                between(heap, out, style, position, depth + 1)?;
                append(heap, out, item, style, depth + 1)?;
            }
            close(heap, out, style, items.is_empty(), depth, b']')?;
        }
        Value::Map(map) => {
            let entries = heap.snapshot(*map)?;
            out.push(b'{');
            for (position, (key, item)) in entries.iter().enumerate() {
                between(heap, out, style, position, depth + 1)?;
                string(heap, out, key.bytes(), style)?;
                out.extend_from_slice(if style.is_pretty { b": " } else { b":" });
                append(heap, out, item, style, depth + 1)?;
            }
            close(heap, out, style, entries.is_empty(), depth, b'}')?;
        }
    }
    Ok(())
}

fn between(heap: &mut Heap, out: &mut Vec<u8>, style: Style, position: usize, depth: usize) -> Result<(), Fault> {
    if position > 0 {
        out.push(b',');
    }
    line(heap, out, style, depth)
}

fn close(
    heap: &mut Heap,
    out: &mut Vec<u8>,
    style: Style,
    is_empty: bool,
    depth: usize,
    bracket: u8,
) -> Result<(), Fault> {
    if !is_empty {
        line(heap, out, style, depth)?;
    }
    out.push(bracket);
    Ok(())
}

fn line(heap: &mut Heap, out: &mut Vec<u8>, style: Style, depth: usize) -> Result<(), Fault> {
    if style.is_pretty {
        heap.pay_bytes(1 + 2 * depth)?;
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * depth));
    }
    Ok(())
}

fn string(heap: &mut Heap, out: &mut Vec<u8>, text: &[u8], style: Style) -> Result<(), Fault> {
    heap.pay_bytes(text.len())?;
    out.push(b'"');
    for rune in runes(text) {
        let Some(char) = rune.char else {
            out.extend_from_slice(b"\\ufffd");
            continue;
        };
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\x08' => out.extend_from_slice(b"\\b"),
            '\x0c' => out.extend_from_slice(b"\\f"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => escape(out, char),
            '<' | '>' | '&' if style.escapes_html => escape(out, char),
            _ => out.extend_from_slice(rune.bytes),
        }
    }
    out.push(b'"');
    Ok(())
}

fn escape(out: &mut Vec<u8>, char: char) {
    out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes());
}

fn read(heap: &mut Heap, text: &[u8]) -> Result<Value, Fault> {
    heap.pay_bytes(text.len())?;
    let mut reader = Reader { rest: text };
    let value = reader.value(heap, 0)?;
    reader.skip_space();
    if reader.rest.is_empty() { Ok(value) } else { Err(NOT_JSON) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        let space = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.take(space);
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Takes a byte, if it is the next after white space.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.rest.first() == Some(&byte);
        self.take(usize::from(is_next));
        is_next
    }

    fn value(&mut self, heap: &mut Heap, depth: usize) -> Result<Value, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::Limit("64 lists and maps in each other"));
        }
        self.skip_space();
        // Each may be an item, which needs memory before the list or map that it is of can be paid for as a whole.
        heap.pay(ITEM)?;
        match self.rest.first() {
            Some(b'{') => self.object(heap, depth),
            Some(b'[') => self.array(heap, depth),
            Some(b'"') => {
                let text = self.string()?;
                heap.text(text)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, Fault> {
        for (word, value) in [("null", Value::Nil), ("true", Value::Bool(true)), ("false", Value::Bool(false))] {
            if self.rest.starts_with(word.as_bytes()) {
                self.take(word.len());
                return Ok(value);
            }
        }
        Err(NOT_JSON)
    }

    fn object(&mut self, heap: &mut Heap, depth: usize) -> Result<Value, Fault> {
        let mut entries = BTreeMap::new();
        self.take(1);
        if self.eat(b'}') {
            return heap.map_of_paid(MapKind::Any, entries);
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            let key = heap.bare_text(key)?;
            if !self.eat(b':') {
                return Err(NOT_JSON);
            }
            let value = self.value(heap, depth + 1)?;
            entries.insert(key, value);
            if self.eat(b'}') {
                return heap.map_of_paid(MapKind::Any, entries);
            }
            if !self.eat(b',') {
                return Err(NOT_JSON);
            }
        }
    }

    fn array(&mut self, heap: &mut Heap, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.take(1);
        if self.eat(b']') {
            return heap.list_of_paid(ListKind::Any, items);
        }
        loop {
            items.push(self.value(heap, depth + 1)?);
            if self.eat(b']') {
                return heap.list_of_paid(ListKind::Any, items);
            }
            if !self.eat(b',') {
                return Err(NOT_JSON);
            }
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let len = self.rest.iter().take_while(is_part).count();
        let text = self.take(len);
        if !is_number(text) {
            return Err(NOT_JSON);
        }
        literal::parse_float(text).map(Value::Float).ok_or(NOT_JSON)
    }

    fn string(&mut self) -> Result<Vec<u8>, Fault> {
        if self.rest.first() != Some(&b'"') {
            return Err(NOT_JSON);
        }
        self.take(1);
        let mut out = Vec::new();
        loop {
            match self.take(1) {
                b"\"" => break,
                b"\\" => self.escape(&mut out)?,
                [byte] if *byte >= 0x20 => out.push(*byte),
                _ => return Err(NOT_JSON),
            }
        }
        // What is not UTF-8 is replaced, as Go does.
        let bytes = zeroize::Zeroizing::new(out);
        Ok(super::super::runes::map(&bytes, |char| char))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let plain = match self.take(1) {
            b"\"" => b'"',
            b"\\" => b'\\',
            b"/" => b'/',
            b"b" => 8,
            b"f" => 12,
            b"n" => b'\n',
            b"r" => b'\r',
            b"t" => b'\t',
            b"u" => {
                push(out, self.unicode()?);
                return Ok(());
            }
            _ => return Err(NOT_JSON),
        };
        out.push(plain);
        Ok(())
    }

    /// Reads the digits after `\u`, and a second half if there is one that fits.
    fn unicode(&mut self) -> Result<char, Fault> {
        let first = four_digits(self.take(4)).ok_or(NOT_JSON)?;
        if !(0xd800..0xe000).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let second = self.rest.strip_prefix(b"\\u").and_then(|rest| four_digits(rest.get(..4)?));
        match second.filter(|second| first < 0xdc00 && (0xdc00..0xe000).contains(second)) {
            Some(second) => {
                self.take(6);
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            None => Ok(char::REPLACEMENT_CHARACTER),
        }
    }
}

fn four_digits(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 4)?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Tells whether text is a number by the grammar of JSON (RFC 8259, section 6).
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}
