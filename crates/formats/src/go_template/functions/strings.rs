//! Strings (Sprig's `strings.go`, and Go's `strings` that it hands on).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::print;
use super::super::runes;
use super::super::value::{Heap, MapKind, Value};
use super::lists::texts;
use super::{Arguments, Function, Param};
use Param::{Any, Int, Text};

pub(super) const ALL: &[Function] = &[
    Function::new("trim", &[Text], |heap, args| heap.text(runes::trim(args.bytes(0)?, char::is_whitespace).to_vec())),
    Function::new("trimAll", &[Text, Text], trim_all),
    Function::new("trimall", &[Text, Text], trim_all),
    Function::new("trimPrefix", &[Text, Text], |heap, args| {
        let (prefix, text) = (args.bytes(0)?, args.bytes(1)?);
        heap.text(text.strip_prefix(prefix).unwrap_or(text).to_vec())
    }),
    Function::new("trimSuffix", &[Text, Text], |heap, args| {
        let (suffix, text) = (args.bytes(0)?, args.bytes(1)?);
        heap.text(text.strip_suffix(suffix).unwrap_or(text).to_vec())
    }),
    Function::new("upper", &[Text], |heap, args| heap.text(runes::map(args.bytes(0)?, runes::upper))),
    Function::new("lower", &[Text], |heap, args| heap.text(runes::map(args.bytes(0)?, runes::lower))),
    Function::new("title", &[Text], |heap, args| heap.text(title(args.bytes(0)?))),
    Function::new("untitle", &[Text], |heap, args| heap.text(untitle(args.bytes(0)?))),
    Function::new("nospace", &[Text], |heap, args| heap.text(without_space(args.bytes(0)?))),
    Function::new("substr", &[Int, Int, Text], substr),
    Function::new("trunc", &[Int, Text], trunc),
    Function::new("abbrev", &[Int, Text], abbrev),
    Function::new("repeat", &[Int, Text], repeat),
    Function::new("indent", &[Int, Text], |heap, args| indent(heap, args, b"")),
    Function::new("nindent", &[Int, Text], |heap, args| indent(heap, args, b"\n")),
    Function::new("replace", &[Text, Text, Text], replace),
    Function::new("plural", &[Text, Text, Int], |_, args| Ok(args.any(usize::from(args.int(2)? != 1)))),
    Function::new("contains", &[Text, Text], |_, args| {
        Ok(Value::Bool(runes::contains(args.bytes(1)?, args.bytes(0)?)))
    }),
    Function::new("hasPrefix", &[Text, Text], |_, args| Ok(Value::Bool(args.bytes(1)?.starts_with(args.bytes(0)?)))),
    Function::new("hasSuffix", &[Text, Text], |_, args| Ok(Value::Bool(args.bytes(1)?.ends_with(args.bytes(0)?)))),
    Function::variadic("quote", &[], Any, |heap, args| each(heap, args, |out, text| print::quoted(out, text, false))),
    Function::variadic("squote", &[], Any, |heap, args| {
        each(heap, args, |out, text| out.extend([b"'", text, b"'"].concat()))
    }),
    Function::variadic("cat", &[], Any, |heap, args| each(heap, args, |out, text| out.extend_from_slice(text))),
    Function::new("toString", &[Any], |heap, args| {
        let mut text = Vec::new();
        print::plain(heap, &mut text, &args.any(0))?;
        heap.text(text)
    }),
    Function::new("toStrings", &[Any], |heap, args| {
        let texts = texts(heap, &args.any(0))?;
        heap.texts(texts)
    }),
    Function::new("join", &[Text, Any], |heap, args| {
        let texts = texts(heap, &args.any(1))?;
        heap.pay_bytes(texts.len().saturating_mul(args.bytes(0)?.len()))?;
        heap.text(texts.join(args.bytes(0)?))
    }),
    Function::new("split", &[Text, Text], |heap, args| {
        numbered(heap, runes::split(args.bytes(1)?, args.bytes(0)?, usize::MAX))
    }),
    Function::new("splitn", &[Text, Int, Text], |heap, args| {
        let limit = usize::try_from(args.int(1)?).unwrap_or(usize::MAX);
        numbered(heap, runes::split(args.bytes(2)?, args.bytes(0)?, limit))
    }),
    Function::new("splitList", &[Text, Text], |heap, args| {
        heap.texts(runes::split(args.bytes(1)?, args.bytes(0)?, usize::MAX).map(<[u8]>::to_vec))
    }),
];

const OUT_OF_RANGE: Fault = Fault::Failed("is given positions outside the string");

fn trim_all(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let cut: Vec<char> =
        runes::runes(args.bytes(0)?).map(|rune| rune.char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    heap.pay_bytes(cut.len().saturating_mul(args.bytes(1)?.len()))?;
    heap.text(runes::trim(args.bytes(1)?, |char| cut.contains(&char)).to_vec())
}

/// `strings.Title`: a letter that follows none is written large.
fn title(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut before = ' ';
    for rune in runes::runes(text) {
        let char = rune.char.unwrap_or(char::REPLACEMENT_CHARACTER);
        let separates = match before {
            '_' => false,
            before if before.is_ascii() => !before.is_ascii_alphanumeric(),
            before => before.is_whitespace(),
        };
        runes::push(&mut out, if separates { runes::upper(char) } else { char });
        before = char;
    }
    out
}

/// Writes the first letter of every word small.
fn untitle(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut starts = true;
    for rune in runes::runes(text) {
        let char = rune.char.unwrap_or(char::REPLACEMENT_CHARACTER);
        let space = char.is_whitespace();
        runes::push(&mut out, if starts && !space { runes::lower(char) } else { char });
        starts = space;
    }
    out
}

/// Removes white space byte by byte. Where there was some, other bytes from 128 on become characters of Latin-1: so it is upstream.
fn without_space(text: &[u8]) -> Vec<u8> {
    let is_space = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0);
    if !text.iter().any(is_space) {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    text.iter().filter(|byte| !is_space(byte)).for_each(|byte| runes::push(&mut out, char::from(*byte)));
    out
}

fn substr(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (start, end, text) = (args.int(0)?, args.int(1)?, args.bytes(2)?);
    let (from, to) = (usize::try_from(start).ok(), usize::try_from(end).ok());
    let part = match (from, to) {
        (None, to) => to.and_then(|to| text.get(..to)),
        (Some(from), Some(to)) if to <= text.len() => text.get(from..to),
        (Some(from), _) => text.get(from..),
    };
    heap.text(part.ok_or(OUT_OF_RANGE)?.to_vec())
}

fn trunc(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (count, text) = (args.int(0)?, args.bytes(1)?);
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let part = match count < 0 {
        true => text.len().checked_sub(size).and_then(|start| text.get(start..)),
        false => text.get(..size),
    };
    heap.text(part.unwrap_or(text).to_vec())
}

fn abbrev(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (width, text) = (args.int(0)?, args.bytes(1)?);
    match usize::try_from(width).ok().filter(|width| *width >= 4 && text.len() > *width) {
        Some(width) => heap.text([text.get(..width - 3).unwrap_or_default(), b"..."].concat()),
        None => Ok(args.any(1)),
    }
}

fn repeat(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let count = usize::try_from(args.int(0)?).map_err(|_| Fault::Failed("is given a count below 0"))?;
    let text = args.bytes(1)?;
    heap.pay_bytes(text.len().saturating_mul(count))?;
    heap.text(if text.is_empty() { Vec::new() } else { text.repeat(count) })
}

fn indent(heap: &mut Heap, args: &[Value], before: &[u8]) -> Result<Value, Fault> {
    let count = usize::try_from(args.int(0)?).map_err(|_| Fault::Failed("is given a count below 0"))?;
    let text = args.bytes(1)?;
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    heap.pay_bytes(lines.saturating_mul(count))?;
    let mut out = Vec::with_capacity(before.len() + text.len() + lines * count);
    out.extend_from_slice(before);
    for (position, line) in text.split(|byte| *byte == b'\n').enumerate() {
        out.extend_from_slice(if position == 0 { b"" } else { b"\n" });
        out.extend(std::iter::repeat_n(b' ', count));
        out.extend_from_slice(line);
    }
    heap.text(out)
}

fn replace(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (old, new, text) = (args.bytes(0)?, args.bytes(1)?, args.bytes(2)?);
    let parts = runes::split(text, old, usize::MAX);
    let count = parts.clone().count();
    // Between characters, and before the first and behind the last of them; else between parts.
    let around: &[u8] = if old.is_empty() { new } else { b"" };
    let size = count.saturating_add(1).saturating_mul(new.len()).saturating_add(text.len());
    heap.pay_bytes(size)?;
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    out.extend_from_slice(around);
    for (position, part) in parts.enumerate() {
        out.extend_from_slice(if position == 0 { b"" } else { new });
        out.extend_from_slice(part);
    }
    out.extend_from_slice(if count == 0 { b"" } else { around });
    heap.text(std::mem::take(&mut out))
}

/// Joins what each value becomes with a space; nils are left out.
fn each(heap: &mut Heap, args: &[Value], write: fn(&mut Vec<u8>, &[u8])) -> Result<Value, Fault> {
    let mut out = Vec::new();
    for (position, value) in args.iter().filter(|value| !value.is_nil()).enumerate() {
        out.extend_from_slice(if position == 0 { b"" } else { b" " });
        let mut text = zeroize::Zeroizing::new(Vec::new());
        print::plain(heap, &mut text, value)?;
        write(&mut out, &text);
    }
    heap.text(out)
}

/// Makes the map that `split` returns: `_0`, `_1` and so on.
fn numbered<'p>(heap: &mut Heap, parts: impl Iterator<Item = &'p [u8]>) -> Result<Value, Fault> {
    let mut entries = BTreeMap::new();
    for (position, part) in parts.enumerate() {
        heap.pay_items(1)?;
        let key = heap.bare_text(format!("_{position}").into_bytes())?;
        entries.insert(key, heap.text(part.to_vec())?);
    }
    heap.map_of_paid(MapKind::Texts, entries)
}
