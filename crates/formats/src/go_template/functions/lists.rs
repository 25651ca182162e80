//! Lists (Sprig's `list.go`), and equality of whole values (`reflect.DeepEqual`).

use std::rc::Rc;

use super::super::error::Fault;
use super::super::print;
use super::super::value::{Heap, List, ListKind, MAX_DEPTH, Value};
use super::numbers::to_i64;
use super::{Arguments, Function, Param};
use Param::{Any, Int};

pub(super) const ALL: &[Function] = &[
    Function::variadic("list", &[], Any, |heap, args| heap.list(ListKind::Any, args.to_vec())),
    Function::variadic("tuple", &[], Any, |heap, args| heap.list(ListKind::Any, args.to_vec())),
    Function::new("append", &[Any, Any], append),
    Function::new("push", &[Any, Any], append),
    Function::new("mustAppend", &[Any, Any], append),
    Function::new("mustPush", &[Any, Any], append),
    Function::new("prepend", &[Any, Any], prepend),
    Function::new("mustPrepend", &[Any, Any], prepend),
    Function::new("first", &[Any], first),
    Function::new("mustFirst", &[Any], first),
    Function::new("last", &[Any], last),
    Function::new("mustLast", &[Any], last),
    Function::new("rest", &[Any], rest),
    Function::new("mustRest", &[Any], rest),
    Function::new("initial", &[Any], initial),
    Function::new("mustInitial", &[Any], initial),
    Function::new("reverse", &[Any], reverse),
    Function::new("mustReverse", &[Any], reverse),
    Function::new("uniq", &[Any], uniq),
    Function::new("mustUniq", &[Any], uniq),
    Function::variadic("without", &[Any], Any, without),
    Function::variadic("mustWithout", &[Any], Any, without),
    Function::new("has", &[Any, Any], has),
    Function::new("mustHas", &[Any, Any], has),
    Function::variadic("slice", &[Any], Any, slice),
    Function::variadic("mustSlice", &[Any], Any, slice),
    Function::variadic("concat", &[], Any, concat),
    Function::new("compact", &[Any], compact),
    Function::new("mustCompact", &[Any], compact),
    Function::new("chunk", &[Int, Any], chunk),
    Function::new("mustChunk", &[Int, Any], chunk),
    Function::new("sortAlpha", &[Any], sort_alpha),
];

fn list(args: &[Value], at: usize) -> Result<List, Fault> {
    match args.any(at) {
        Value::List(list) => Ok(list),
        _ => Err(Fault::Type { expected: "a list" }),
    }
}

/// Returns the items of a list, for which it is paid.
fn items(heap: &mut Heap, args: &[Value], at: usize) -> Result<Rc<[Value]>, Fault> {
    let items = heap.items(list(args, at)?);
    heap.pay_bytes(items.len())?;
    Ok(items)
}

fn append(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let items = items(heap, args, 0)?;
    let all = items.iter().cloned().chain([args.any(1)]).collect();
    heap.list(ListKind::Any, all)
}

fn prepend(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let items = items(heap, args, 0)?;
    let all = [args.any(1)].into_iter().chain(items.iter().cloned()).collect();
    heap.list(ListKind::Any, all)
}

fn first(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    Ok(items(heap, args, 0)?.first().cloned().unwrap_or(Value::Nil))
}

fn last(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    Ok(items(heap, args, 0)?.last().cloned().unwrap_or(Value::Nil))
}

fn rest(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    match items(heap, args, 0)?.split_first() {
        Some((_, rest)) => heap.list(ListKind::Any, rest.to_vec()),
        None => heap.nil_list(ListKind::Any),
    }
}

fn initial(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    match items(heap, args, 0)?.split_last() {
        Some((_, initial)) => heap.list(ListKind::Any, initial.to_vec()),
        None => heap.nil_list(ListKind::Any),
    }
}

fn reverse(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let items = items(heap, args, 0)?;
    heap.list(ListKind::Any, items.iter().rev().cloned().collect())
}

fn uniq(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items(heap, args, 0)?.iter() {
        if !contains(heap, &kept, item)? {
            kept.push(item.clone());
        }
    }
    heap.list(ListKind::Any, kept)
}

fn without(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut kept = Vec::new();
    for item in items(heap, args, 0)?.iter() {
        if !contains(heap, args.from(1), item)? {
            kept.push(item.clone());
        }
    }
    heap.list(ListKind::Any, kept)
}

fn has(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    if args.any(1).is_nil() {
        return Ok(Value::Bool(false));
    }
    let items = items(heap, args, 1)?;
    contains(heap, &items, &args.any(0)).map(Value::Bool)
}

fn contains(heap: &mut Heap, items: &[Value], wanted: &Value) -> Result<bool, Fault> {
    for item in items {
        if deep_equal(heap, item, wanted, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn slice(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let kind = list(args, 0)?.kind;
    let items = items(heap, args, 0)?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |at: usize, default: usize| match args.get(at) {
        Some(value) => usize::try_from(to_i64(value)).ok(),
        None => Some(default),
    };
    let (start, end) = (bound(1, 0), bound(2, items.len()));
    let part = start.zip(end).and_then(|(start, end)| items.get(start..end));
    heap.list(kind, part.ok_or(Fault::Failed("is given positions outside the list"))?.to_vec())
}

fn concat(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut all = Vec::new();
    for position in 0..args.len() {
        let items = items(heap, args, position)?;
        heap.pay_items(items.len())?;
        all.extend(items.iter().cloned());
    }
    if all.is_empty() { heap.nil_list(ListKind::Any) } else { heap.list_of_paid(ListKind::Any, all) }
}

fn compact(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let items = items(heap, args, 0)?;
    let kept = items.iter().filter(|item| item.is_true(heap)).cloned().collect();
    heap.list(ListKind::Any, kept)
}

fn chunk(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let size = usize::try_from(args.int(0)?).ok().filter(|size| *size > 0);
    let size = size.ok_or(Fault::Failed("is given a size below 1"))?;
    let items = items(heap, args, 1)?;
    let chunks = items.chunks(size).map(|chunk| heap.list(ListKind::Any, chunk.to_vec())).collect::<Result<_, _>>()?;
    heap.list(ListKind::Lists, chunks)
}

fn sort_alpha(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut texts = match args.any(0) {
        Value::Nil | Value::NilItem => vec![b"<nil>".to_vec()],
        value => texts(heap, &value)?,
    };
    texts.sort_unstable();
    heap.texts(texts)
}

/// Returns the items as texts, without nils: what `toStrings` and `join` work with.
pub(super) fn texts(heap: &mut Heap, value: &Value) -> Result<Vec<Vec<u8>>, Fault> {
    let items = match value {
        Value::List(list) => heap.items(*list),
        Value::Nil | Value::NilItem => Rc::new([]),
        single => Rc::new([single.clone()]),
    };
    let shown = items.iter().filter(|item| !item.is_nil());
    shown
        .map(|item| {
            let mut text = Vec::new();
            print::plain(heap, &mut text, item).map(|()| text)
        })
        .collect()
}

/// Tells whether values have the same type and hold the same.
pub(super) fn deep_equal(heap: &mut Heap, a: &Value, b: &Value, depth: usize) -> Result<bool, Fault> {
    heap.pay(8)?;
    if depth > MAX_DEPTH {
        return Err(Fault::Limit("64 lists and maps in each other"));
    }
    match (a, b) {
        (Value::Nil | Value::NilItem, Value::Nil | Value::NilItem) => Ok(true),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) | (Value::Int64(a), Value::Int64(b)) => Ok(a == b),
        (Value::Byte(a), Value::Byte(b)) => Ok(a == b),
        (Value::Uint64(a), Value::Uint64(b)) => Ok(a == b),
        (Value::Version(a), Value::Version(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => {
            heap.pay_bytes(a.bytes().len())?;
            Ok(a == b)
        }
        (Value::List(a), Value::List(b)) if a.kind == b.kind && a.is_nil == b.is_nil => {
            let (a, b) = (heap.items(*a), heap.items(*b));
            all_equal(heap, a.len() == b.len(), a.iter().zip(b.iter()), depth)
        }
        (Value::Map(a), Value::Map(b)) if a.kind == b.kind => {
            let (a, b) = (heap.snapshot(*a)?, heap.snapshot(*b)?);
            let same_keys = a.iter().map(|(key, _)| key).eq(b.iter().map(|(key, _)| key));
            let pairs = a.iter().map(|(_, value)| value).zip(b.iter().map(|(_, value)| value));
            all_equal(heap, same_keys, pairs, depth)
        }
        _ => Ok(false),
    }
}

fn all_equal<'v>(
    heap: &mut Heap,
    alike: bool,
    mut pairs: impl Iterator<Item = (&'v Value, &'v Value)>,
    depth: usize,
) -> Result<bool, Fault> {
    if !alike {
        return Ok(false);
    }
    pairs.try_fold(true, |equal, (a, b)| Ok(equal && deep_equal(heap, a, b, depth + 1)?))
}
