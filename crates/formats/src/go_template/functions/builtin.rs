//! The functions of Go's `text/template` itself (`text/template/funcs.go`). Its `slice` is not here: Sprig's takes its place.

use super::super::error::Fault;
use super::super::runes::{is_printable, runes};
use super::super::value::{Heap, MapKind, Value};
use super::super::{print, printf};
use super::{Arguments, Function, Param, Special};
use Param::{Any, Text};

pub(super) const ALL: &[Function] = &[
    Function { name: "and", fixed: &[Any], rest: Some(Any), special: Special::And, body: short_circuited },
    Function { name: "or", fixed: &[Any], rest: Some(Any), special: Special::Or, body: short_circuited },
    Function::new("not", &[Any], |heap, args| Ok(Value::Bool(!args.any(0).is_true(heap)))),
    Function::variadic("eq", &[Any], Any, |heap, args| equal(heap, args).map(Value::Bool)),
    Function::new("ne", &[Any, Any], |heap, args| equal(heap, args).map(|equal| Value::Bool(!equal))),
    Function::new("lt", &[Any, Any], |_, args| less(args).map(Value::Bool)),
    Function::new("le", &[Any, Any], |heap, args| at_most(heap, args).map(Value::Bool)),
    Function::new("gt", &[Any, Any], |heap, args| at_most(heap, args).map(|at_most| Value::Bool(!at_most))),
    Function::new("ge", &[Any, Any], |_, args| less(args).map(|less| Value::Bool(!less))),
    Function::variadic("index", &[Any], Any, index),
    Function::new("len", &[Any], len),
    Function::variadic("print", &[], Any, |heap, args| {
        let text = print::joined(heap, args)?;
        heap.text(text)
    }),
    Function::variadic("println", &[], Any, println),
    Function::variadic("printf", &[Text], Any, printf),
    Function::variadic("html", &[], Any, |heap, args| escape(heap, args, html)),
    Function::variadic("js", &[], Any, |heap, args| escape(heap, args, js)),
    Function::variadic("urlquery", &[], Any, |heap, args| escape(heap, args, url_query)),
];

/// Stands for `and` and `or`, which the engine runs itself.
fn short_circuited(_: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    Ok(args.any(0))
}

fn printf(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let text = printf::format(heap, args.bytes(0)?, args.from(1))?;
    heap.text(text)
}

fn println(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut out = Vec::new();
    for (position, value) in args.iter().enumerate() {
        out.extend_from_slice(if position == 0 { b"" } else { b" " });
        print::plain(heap, &mut out, value)?;
    }
    out.push(b'\n');
    heap.text(out)
}

fn len(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let len = match args.any(0) {
        Value::Text(text) => text.bytes().len(),
        Value::List(list) => heap.items(list).len(),
        Value::Map(map) => heap.size(map),
        _ => return Err(Fault::Type { expected: "a string, a list or a dict" }),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

const OUT_OF_RANGE: Fault = Fault::Failed("is given an index that is out of range");

fn index(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut item = args.any(0);
    if item.is_nil() {
        return Err(Fault::Failed("is given no value to look into"));
    }
    for key in args.from(1) {
        item = match item {
            Value::Text(text) => Value::Byte(*text.bytes().get(position(key)?).ok_or(OUT_OF_RANGE)?),
            Value::List(list) => heap.items(list).get(position(key)?).cloned().ok_or(OUT_OF_RANGE)?.into_item(),
            Value::Map(map) => {
                let Value::Text(key) = key else { return Err(Fault::Type { expected: "a string as key of a dict" }) };
                match (heap.get(map, key.bytes()), map.kind) {
                    (Some(value), _) => value.into_item(),
                    (None, MapKind::Any) => Value::NilItem,
                    (None, MapKind::Texts) => heap.text(Vec::new())?,
                }
            }
            _ => return Err(Fault::Type { expected: "a string, a list or a dict" }),
        };
    }
    Ok(item)
}

fn position(key: &Value) -> Result<usize, Fault> {
    match key {
        Value::Int(at) | Value::Int64(at) => usize::try_from(*at).map_err(|_| OUT_OF_RANGE),
        Value::Byte(at) => Ok(usize::from(*at)),
        Value::Uint64(at) => usize::try_from(*at).map_err(|_| OUT_OF_RANGE),
        _ => Err(Fault::Type { expected: "an integer as position in a list" }),
    }
}

const INCOMPARABLE: Fault = Fault::Failed("compares values of types that can't be compared");

/// `eq`: the first argument equals any of the others.
fn equal(heap: &mut Heap, args: &[Value]) -> Result<bool, Fault> {
    let first = args.any(0);
    if args.len() < 2 {
        return Err(Fault::Arguments);
    }
    for other in args.from(1) {
        heap.pay(8)?;
        if equal_pair(&first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_pair(a: &Value, b: &Value) -> Result<bool, Fault> {
    if a.is_nil() || b.is_nil() {
        return match (a, b) {
            (Value::List(list), _) | (_, Value::List(list)) => Ok(list.is_nil),
            _ => Ok(a.is_nil() && b.is_nil()),
        };
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Version(_), Value::Version(_)) => Err(Fault::Refused("versions: `semverCompare` compares them")),
        (Value::List(a), Value::List(b)) if a.is_nil || b.is_nil => Ok(a.is_nil == b.is_nil),
        _ => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => Ok(a == b),
            _ => Err(INCOMPARABLE),
        },
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(value) | Value::Int64(value) => Some(i128::from(*value)),
        Value::Byte(value) => Some(i128::from(*value)),
        Value::Uint64(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn less(args: &[Value]) -> Result<bool, Fault> {
    match (args.any(0), args.any(1)) {
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a < b),
        (a, b) => match (integer(&a), integer(&b)) {
            (Some(a), Some(b)) => Ok(a < b),
            _ => Err(INCOMPARABLE),
        },
    }
}

fn at_most(heap: &mut Heap, args: &[Value]) -> Result<bool, Fault> {
    Ok(less(args)? || equal(heap, args)?)
}

/// Escapes what the arguments print, where no value prints as in an action.
fn escape(heap: &mut Heap, args: &[Value], change: fn(&[u8]) -> Vec<u8>) -> Result<Value, Fault> {
    let none = heap.text(b"<no value>".to_vec())?;
    let shown: Vec<Value> =
        args.iter().map(|value| if value.is_nil() { none.clone() } else { value.clone() }).collect();
    let text = zeroize::Zeroizing::new(print::joined(heap, &shown)?);
    heap.text(change(&text))
}

fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(*other),
        }
    }
    out
}

fn js(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for rune in runes(text) {
        let char = rune.char.unwrap_or(char::REPLACEMENT_CHARACTER);
        match char {
            '\\' | '\'' | '"' => out.extend([b"\\", rune.bytes].concat()),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes());
            }
            char if char.is_ascii() || is_printable(char) => out.extend_from_slice(rune.bytes),
            char => out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes()),
        }
    }
    out
}

fn url_query(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    out
}
