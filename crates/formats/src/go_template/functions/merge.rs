//! Merging of dicts (Sprig's `merge` and its like, which are `dario.cat/mergo` 1.0 on `map[string]interface {}`).
//!
//! Values of the sources go into the first dict itself, and a dict that it did not have is the source's own from then on, as upstream.

use super::super::error::Fault;
use super::super::value::{Heap, MAX_DEPTH, Map, MapKind, Value};
use super::{Arguments, Function, Param};

pub(super) const ALL: &[Function] = &[
    Function::variadic("merge", &[Param::Map], Param::Map, |heap, args| merge(heap, args, false)),
    Function::variadic("mustMerge", &[Param::Map], Param::Map, |heap, args| merge(heap, args, false)),
    Function::variadic("mergeOverwrite", &[Param::Map], Param::Map, |heap, args| merge(heap, args, true)),
    Function::variadic("mustMergeOverwrite", &[Param::Map], Param::Map, |heap, args| merge(heap, args, true)),
];

fn merge(heap: &mut Heap, args: &[Value], overwrites: bool) -> Result<Value, Fault> {
    let into = args.map(0)?.ok_or(Fault::Refused("merging into a value that is no dict"))?;
    for at in 1..args.len() {
        if let Some(from) = args.map(at)? {
            merge_pair(heap, into, from, overwrites, 0)?;
        }
    }
    Ok(args.any(0))
}

/// Merges one dict into another: what is missing or empty there is taken, and with `overwrites` anything but nil; what is a dict in
/// both is merged in turn.
fn merge_pair(heap: &mut Heap, into: Map, from: Map, overwrites: bool, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Limit("64 lists and maps in each other"));
    }
    for (key, item) in heap.snapshot(from)? {
        let known = heap.get(into, key.bytes());
        let is_version = |value: &Value| matches!(value, Value::Version(_));
        if known.as_ref().is_some_and(|known| is_version(known) || (is_version(&item) && !known.is_nil())) {
            return Err(Fault::Refused("merging versions"));
        }
        let inner = match (&known, &item) {
            (Some(Value::Map(known)), Value::Map(item)) => Some((*known, *item)),
            _ => None,
        };
        if let Some((known, item)) = inner {
            merge_pair(heap, known, item, overwrites, depth + 1)?;
        }
        let is_empty = !known.is_some_and(|known| known.is_true(heap));
        let is_taken = match item.is_nil() {
            true => overwrites,
            false => is_empty || (overwrites && inner.is_none()),
        };
        if into.kind == MapKind::Texts && (matches!(item, Value::List(_)) || (is_taken && from.kind == MapKind::Any)) {
            return Err(Fault::Failed("merges what may be no string into a dict of strings"));
        }
        if is_taken {
            heap.set(into, key, item)?;
        }
    }
    Ok(())
}
