//! Regular expressions (Sprig's `regex.go`). How Go's become ours stands in `go_regex.rs`, how they are searched for in `expression.rs`.

use std::ops::Range;

use super::super::error::Fault;
use super::super::expression::Expression;
use super::super::runes::runes;
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

/// Works with the expression and the text that it is to be tried on.
fn tried<T>(
    heap: &mut Heap,
    args: &[Value],
    work: impl FnOnce(&mut Heap, &mut Expression, &str) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let text = std::str::from_utf8(args.bytes(1)?).map_err(|_| Fault::Refused("what is not UTF-8"))?;
    heap.with_expression(args.text(0)?, |heap, expression| work(heap, expression, text))
}

/// Returns all matches, at most `limit`.
fn all(heap: &mut Heap, args: &[Value], limit: usize) -> Result<Vec<Range<usize>>, Fault> {
    tried(heap, args, |heap, expression, text| {
        let (mut all, mut last) = (Vec::new(), None);
        while all.len() < limit {
            let Some(found) = expression.find_after(heap, text, last)? else { break };
            last = Some(found.end);
            all.push(found);
        }
        Ok(all)
    })
}

fn limit(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn is_match(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    tried(heap, args, |heap, expression, text| expression.is_match(heap, text).map(Value::Bool))
}

fn find(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let found = tried(heap, args, |heap, expression, text| expression.find(heap, text, 0))?;
    heap.text(found.map(|found| part(args, found)).transpose()?.unwrap_or_default().to_vec())
}

/// Returns a part of the text.
fn part(args: &[Value], range: Range<usize>) -> Result<&[u8], Fault> {
    Ok(args.bytes(1)?.get(range).unwrap_or_default())
}

/// Keeps parts of the text as a list.
fn parts(heap: &mut Heap, args: &[Value], ranges: Vec<Range<usize>>) -> Result<Value, Fault> {
    let text = args.bytes(1)?;
    heap.texts(ranges.into_iter().map(|range| text.get(range).unwrap_or_default().to_vec()))
}

fn find_all(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let found = all(heap, args, limit(args.int(2)?))?;
    if found.is_empty() { heap.nil_list(ListKind::Texts) } else { parts(heap, args, found) }
}

type Replacement = fn(&mut Heap, &Expression, &[u8], &[u8], &mut Vec<u8>) -> Result<(), Fault>;

fn replace(heap: &mut Heap, args: &[Value], append: Replacement) -> Result<Value, Fault> {
    let by = args.bytes(2)?;
    let out = tried(heap, args, |heap, expression, text| {
        let (mut out, mut end, mut last) = (Vec::new(), 0, None);
        while let Some(found) = expression.find_after(heap, text, last)? {
            out.extend_from_slice(text.get(end..found.start).unwrap_or_default().as_bytes());
            heap.pay_bytes(by.len())?;
            append(heap, expression, text.as_bytes(), by, &mut out)?;
            end = found.end;
            last = Some(end);
        }
        out.extend_from_slice(text.get(end..).unwrap_or_default().as_bytes());
        Ok(out)
    })?;
    heap.text(out)
}

fn literally(_: &mut Heap, _: &Expression, _: &[u8], by: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(by);
    Ok(())
}

/// Appends a replacement with `$1`, `${1}` and `$name` filled in (`Regexp.Expand`).
fn expand(heap: &mut Heap, found: &Expression, text: &[u8], by: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = by;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let Some((name, after)) = reference(rest)? else {
            out.push(b'$');
            continue;
        };
        rest = after;
        // A number with a leading zero is a name, which no group has.
        let is_name = name.len() > 1 && name.starts_with('0');
        let group = match name.parse::<usize>().ok().filter(|_| !is_name) {
            Some(number) => found.group(number),
            None => found.named_group(name),
        };
        let group = group.and_then(|group| text.get(group)).unwrap_or_default();
        heap.pay_bytes(16 + group.len())?;
        out.extend_from_slice(group);
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Takes the name of a group: as long as it goes, or in braces. In Go letters and digits of all scripts belong to it, though no group is
/// called so.
fn reference(text: &[u8]) -> Result<Option<(&str, &[u8])>, Fault> {
    let braced = text.strip_prefix(b"{");
    let name = braced.unwrap_or(text);
    let len = name.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let (name, after) = name.split_at_checked(len).unwrap_or_default();
    if runes(after).next().and_then(|rune| rune.char).is_some_and(char::is_alphanumeric) {
        return Err(Fault::Refused("a group whose name is not ASCII"));
    }
    let after = if braced.is_some() { after.strip_prefix(b"}") } else { Some(after) };
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
    Ok(name.zip(after))
}

fn split(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let (text, limit) = (args.bytes(1)?, limit(args.int(2)?));
    let all = all(heap, args, limit)?;
    if limit == 0 {
        return heap.nil_list(ListKind::Texts);
    }
    if text.is_empty() && !args.bytes(0)?.is_empty() {
        return heap.texts([Vec::new()]);
    }
    let (mut ranges, mut start, mut end) = (Vec::new(), 0, 0);
    for found in all {
        if ranges.len() + 1 == limit {
            break;
        }
        end = found.start;
        if found.end != 0 {
            ranges.push(start..end);
        }
        start = found.end;
    }
    if end != text.len() {
        ranges.push(start..text.len());
    }
    parts(heap, args, ranges)
}
