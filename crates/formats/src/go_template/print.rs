//! Values as text: what `%v` and `%q` of Go's `fmt` print (`fmt/print.go`, `strconv/quote.go`).

use super::error::Fault;
use super::runes::{self, push, runes};
use super::value::{Heap, MAX_DEPTH, Value};
use crate::go_number;

const TOO_DEEP: Fault = Fault::Limit("64 lists and maps in each other");

/// Appends what `%v` prints.
pub(super) fn plain(heap: &mut Heap, out: &mut Vec<u8>, value: &Value) -> Result<(), Fault> {
    at_depth(heap, out, value, 0)
}

fn at_depth(heap: &mut Heap, out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    heap.pay(8)?;
    let before = out.len();
    match value {
        Value::Nil | Value::NilItem => out.extend_from_slice(b"<nil>"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(value) | Value::Int64(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Byte(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint64(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Version(version) => out.extend_from_slice(version.text().as_bytes()),
        Value::Float(value) => out.extend_from_slice(float(*value).as_bytes()),
        Value::Text(text) => out.extend_from_slice(text.bytes()),
        Value::List(list) => {
            out.push(b'[');
            for (position, item) in heap.items(*list).iter().enumerate() {
                out.extend_from_slice(if position == 0 { b"" } else { b" " });
                at_depth(heap, out, item, depth + 1)?;
            }
            out.push(b']');
            return Ok(());
        }
        Value::Map(map) => {
            out.extend_from_slice(b"map[");
            for (position, (key, item)) in heap.snapshot(*map)?.iter().enumerate() {
                out.extend_from_slice(if position == 0 { b"" } else { b" " });
                out.extend_from_slice(key.bytes());
                out.push(b':');
                at_depth(heap, out, item, depth + 1)?;
            }
            out.push(b']');
            return Ok(());
        }
    }
    heap.pay_bytes(out.len() - before)
}

/// Returns a float as `%v` prints it.
pub(super) fn float(value: f64) -> String {
    go_number::shortest(value)
}

/// Returns the texts of values as `fmt.Sprint` joins them: with a space between two that are no strings.
pub(super) fn joined(heap: &mut Heap, values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !is_text && !after_text {
            out.push(b' ');
        }
        after_text = is_text;
        plain(heap, &mut out, value)?;
    }
    Ok(out)
}

/// Appends `text` in double quotes, as `%q` or, with `ascii`, as `%+q` prints it.
pub(super) fn quoted(out: &mut Vec<u8>, text: &[u8], ascii: bool) {
    out.push(b'"');
    for rune in runes(text) {
        match rune.char {
            Some(char) => escaped(out, char, '"', ascii),
            None => rune.bytes.iter().for_each(|byte| out.extend_from_slice(format!("\\x{byte:02x}").as_bytes())),
        }
    }
    out.push(b'"');
}

/// Appends one character as it stands between quotes.
pub(super) fn escaped(out: &mut Vec<u8>, char: char, quote: char, ascii: bool) {
    let named = match char {
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        '\\' => "\\\\",
        _ => "",
    };
    let code = u32::from(char);
    if !named.is_empty() {
        out.extend_from_slice(named.as_bytes());
    } else if char == quote {
        out.push(b'\\');
        push(out, char);
    } else if runes::is_printable(char) && (char.is_ascii() || !ascii) {
        push(out, char);
    } else if code < 0x20 || code == 0x7f {
        out.extend_from_slice(format!("\\x{code:02x}").as_bytes());
    } else if code < 0x10000 {
        out.extend_from_slice(format!("\\u{code:04x}").as_bytes());
    } else {
        out.extend_from_slice(format!("\\U{code:08x}").as_bytes());
    }
}
