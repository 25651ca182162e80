//! Dicts (Sprig's `dict.go`). Where Go walks through a map in random order, the keys come in theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::Fault;
use super::super::print;
use super::super::value::{Heap, ListKind, MAX_DEPTH, Map, MapKind, Text, Value};
use super::{Arguments, Function, Param};
use Param::Any;

pub(super) const ALL: &[Function] = &[
    Function::variadic("dict", &[], Any, dict),
    Function::new("get", &[Param::Map, Param::Text], get),
    Function::new("set", &[Param::Map, Param::Text, Any], set),
    Function::new("unset", &[Param::Map, Param::Text], unset),
    Function::new("hasKey", &[Param::Map, Param::Text], |heap, args| {
        let (map, key) = (args.map(0)?, args.bytes(1)?);
        Ok(Value::Bool(map.is_some_and(|map| heap.get(map, key).is_some())))
    }),
    Function::variadic("keys", &[], Param::Map, keys),
    Function::new("values", &[Param::Map], |heap, args| {
        let values = entries(heap, args.map(0)?)?.into_iter().map(|(_, value)| value).collect();
        heap.list(ListKind::Any, values)
    }),
    Function::variadic("pluck", &[Param::Text], Param::Map, pluck),
    Function::variadic("pick", &[Param::Map], Param::Text, |heap, args| choose(heap, args, true)),
    Function::variadic("omit", &[Param::Map], Param::Text, |heap, args| choose(heap, args, false)),
    Function::variadic("dig", &[], Any, dig),
    Function::new("deepCopy", &[Any], whole_copy),
    Function::new("mustDeepCopy", &[Any], whole_copy),
];

fn entries(heap: &mut Heap, map: Option<Map>) -> Result<Vec<(Text, Value)>, Fault> {
    map.map_or(Ok(Vec::new()), |map| heap.snapshot(map))
}

fn dict(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut entries = BTreeMap::new();
    for pair in args.chunks(2) {
        let mut key = Vec::new();
        print::plain(heap, &mut key, &pair.any(0))?;
        let value = match pair.get(1) {
            Some(value) => value.clone(),
            None => heap.text(Vec::new())?,
        };
        let key = heap.bare_text(key)?;
        entries.insert(key, value);
    }
    heap.map(MapKind::Any, entries)
}

fn get(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let key = args.bytes(1)?;
    let found = args.map(0)?.and_then(|map| heap.get(map, key));
    found.map_or_else(|| heap.text(Vec::new()), Ok)
}

fn set(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let map = args.map(0)?.ok_or(Fault::Failed("is given no dict to set a key of"))?;
    heap.set(map, args.text(1)?.clone(), args.any(2))?;
    Ok(args.any(0))
}

fn unset(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let map = args.map(0)?.ok_or(Fault::Failed("is given no dict to take a key out of"))?;
    heap.unset(map, args.text(1)?);
    Ok(args.any(0))
}

fn keys(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut keys = Vec::new();
    for position in 0..args.len() {
        keys.extend(entries(heap, args.map(position)?)?.into_iter().map(|(key, _)| Value::Text(key)));
    }
    heap.list(ListKind::Texts, keys)
}

fn pluck(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut found = Vec::new();
    for position in 1..args.len() {
        let key = args.bytes(0)?;
        heap.pay_bytes(key.len())?;
        found.extend(args.map(position)?.and_then(|map| heap.get(map, key)));
    }
    heap.list(ListKind::Any, found)
}

fn choose(heap: &mut Heap, args: &[Value], named: bool) -> Result<Value, Fault> {
    let names: BTreeSet<&Text> = (1..args.len()).map(|at| args.text(at)).collect::<Result<_, _>>()?;
    let entries = entries(heap, args.map(0)?)?;
    let kept = entries.into_iter().filter(|(key, _)| names.contains(key) == named).collect();
    heap.map(MapKind::Any, kept)
}

/// Follows keys through dicts; what is before the last argument is the value if one is missing.
fn dig(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let [keys @ .., default, value] = args else { return Err(Fault::Arguments) };
    if keys.is_empty() {
        return Err(Fault::Arguments);
    }
    let mut value = value.clone();
    for position in 0..keys.len() {
        let key = keys.bytes(position)?;
        match value {
            Value::Map(map) if map.kind == MapKind::Any => match heap.get(map, key) {
                Some(found) => value = found,
                None => return Ok(default.clone()),
            },
            _ => return Err(Fault::Type { expected: Param::Map.name() }),
        }
    }
    Ok(value)
}

fn whole_copy(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    match args.any(0) {
        Value::Nil => Err(Fault::Failed("is given no value to copy")),
        value => copy(heap, &value, 0),
    }
}

fn copy(heap: &mut Heap, value: &Value, depth: usize) -> Result<Value, Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Limit("64 lists and maps in each other"));
    }
    match value {
        Value::List(list) if list.is_nil => Ok(value.clone()),
        Value::List(list) => {
            let items = heap.items(*list);
            let copies = items.iter().map(|item| copy(heap, item, depth + 1)).collect::<Result<_, _>>()?;
            heap.list(list.kind, copies)
        }
        Value::Map(map) => {
            let entries = heap.snapshot(*map)?;
            let copies = entries.into_iter().map(|(key, item)| Ok((key, copy(heap, &item, depth + 1)?)));
            let copies = copies.collect::<Result<_, Fault>>()?;
            heap.map(map.kind, copies)
        }
        Value::Version(_) => Err(Fault::Refused("copies of versions, which are 0.0.0 upstream")),
        scalar => Ok(scalar.clone()),
    }
}
