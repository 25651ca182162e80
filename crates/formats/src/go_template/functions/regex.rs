//! Regular expressions (Sprig's `regex.go`). How Go's become ours stands in `regexes.rs`.

use regex::{Captures, Regex};

use super::super::error::Fault;
use super::super::regexes;
use super::super::value::{Heap, ListKind, Value};
use super::{Arguments, Function, Param};
use Param::{Int, Text};

pub(super) const ALL: &[Function] = &[
    Function::new("regexMatch", &[Text, Text], is_match),
    Function::new("mustRegexMatch", &[Text, Text], is_match),
    Function::new("regexFind", &[Text, Text], find),
    Function::new("mustRegexFind", &[Text, Text], find),
    Function::new("regexFindAll", &[Text, Text, Int], find_all),
    Function::new("mustRegexFindAll", &[Text, Text, Int], find_all),
    Function::new("regexReplaceAll", &[Text, Text, Text], |heap, args| replace(heap, args, expand)),
    Function::new("mustRegexReplaceAll", &[Text, Text, Text], |heap, args| replace(heap, args, expand)),
    Function::new("regexReplaceAllLiteral", &[Text, Text, Text], |heap, args| replace(heap, args, literally)),
    Function::new("mustRegexReplaceAllLiteral", &[Text, Text, Text], |heap, args| replace(heap, args, literally)),
    Function::new("regexSplit", &[Text, Text, Int], split),
    Function::new("mustRegexSplit", &[Text, Text, Int], split),
    Function::new("regexQuoteMeta", &[Text], |heap, args| {
        let is_special = |byte: &u8| b"\\.+*?()|[]{}^$".contains(byte);
        let quoted =
            args.bytes(0)?.iter().flat_map(|byte| is_special(byte).then_some(b'\\').into_iter().chain([*byte]));
        heap.text(quoted.collect())
    }),
];

/// Returns the expression and the text that it is to be tried on.
fn prepared<'a>(heap: &mut Heap, args: &'a [Value]) -> Result<(Regex, &'a str), Fault> {
    let text = args.text(1)?;
    // A search may look at every byte several times.
    heap.pay_bytes(text.bytes().len().saturating_mul(8))?;
    heap.pay_bytes(args.bytes(0)?.len().saturating_mul(64))?;
    let text = std::str::from_utf8(text.bytes()).map_err(|_| Fault::Refused("what is not UTF-8"))?;
    Ok((heap.regex(args.text(0)?, regexes::compile)?, text))
}

fn limit(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn is_match(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (regex, text) = prepared(heap, args)?;
    Ok(Value::Bool(regex.is_match(text)))
}

fn find(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (regex, text) = prepared(heap, args)?;
    let found = regex.find(text).map(|found| found.as_str().as_bytes().to_vec());
    heap.text(found.unwrap_or_default())
}

fn find_all(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (regex, text) = prepared(heap, args)?;
    let found: Vec<Vec<u8>> =
        regex.find_iter(text).take(limit(args.int(2)?)).map(|found| found.as_str().as_bytes().to_vec()).collect();
    if found.is_empty() { heap.nil_list(ListKind::Texts) } else { heap.texts(found) }
}

type Replacement = fn(&Regex, &Captures<'_>, &[u8], &mut Vec<u8>);

fn replace(heap: &mut Heap, args: &[Value], append: Replacement) -> Result<Value, Fault> {
    let (regex, text) = prepared(heap, args)?;
    let by = args.bytes(2)?;
    let (mut out, mut end) = (Vec::new(), 0);
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        let before = out.len();
        out.extend_from_slice(text.get(end..whole.start()).unwrap_or_default().as_bytes());
        append(&regex, &captures, by, &mut out);
        end = whole.end();
        heap.pay_bytes(out.len() - before + 64)?;
    }
    out.extend_from_slice(text.get(end..).unwrap_or_default().as_bytes());
    heap.text(out)
}

fn literally(_: &Regex, _: &Captures<'_>, by: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(by);
}

/// Appends a replacement with `$1`, `${1}` and `$name` filled in (`Regexp.Expand`).
fn expand(regex: &Regex, captures: &Captures<'_>, by: &[u8], out: &mut Vec<u8>) {
    let mut rest = by;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let Some((name, after)) = reference(rest) else {
            out.push(b'$');
            continue;
        };
        rest = after;
        let group = match name.parse::<usize>() {
            Ok(number) => captures.get(number),
            Err(_) => regex.capture_names().flatten().find(|known| *known == name).and_then(|name| captures.name(name)),
        };
        out.extend_from_slice(group.map(|group| group.as_str().as_bytes()).unwrap_or_default());
    }
    out.extend_from_slice(rest);
}

/// Takes the name of a group: as long as it goes, or in braces.
fn reference(text: &[u8]) -> Option<(&str, &[u8])> {
    let braced = text.strip_prefix(b"{");
    let name = braced.unwrap_or(text);
    let len = name.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let (name, after) = name.split_at_checked(len).filter(|_| len > 0)?;
    let after = if braced.is_some() { after.strip_prefix(b"}")? } else { after };
    Some((std::str::from_utf8(name).ok()?, after))
}

fn split(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (regex, text) = prepared(heap, args)?;
    let limit = limit(args.int(2)?);
    if limit == 0 {
        return heap.nil_list(ListKind::Texts);
    }
    if text.is_empty() && !args.bytes(0)?.is_empty() {
        return heap.texts([Vec::new()]);
    }
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(text).take(limit) {
        if parts.len() + 1 == limit {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(text.get(start..end).unwrap_or_default().as_bytes().to_vec());
        }
        start = found.end();
    }
    if end != text.len() {
        parts.push(text.get(start..).unwrap_or_default().as_bytes().to_vec());
    }
    heap.texts(parts)
}
