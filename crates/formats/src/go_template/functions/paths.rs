//! Paths with slashes (Go's `path`). Those of the operating system are the same on Linux, where upstream runs.

use super::super::error::Fault;
use super::super::value::{Heap, Value};
use super::{Arguments, Function, Param};
use Param::Text;

pub(super) const ALL: &[Function] = &[
    Function::new("base", &[Text], |heap, args| with(heap, args, base)),
    Function::new("osBase", &[Text], |heap, args| with(heap, args, base)),
    Function::new("dir", &[Text], |heap, args| with(heap, args, dir)),
    Function::new("osDir", &[Text], |heap, args| with(heap, args, dir)),
    Function::new("clean", &[Text], |heap, args| with(heap, args, clean)),
    Function::new("osClean", &[Text], |heap, args| with(heap, args, clean)),
    Function::new("ext", &[Text], |heap, args| with(heap, args, ext)),
    Function::new("osExt", &[Text], |heap, args| with(heap, args, ext)),
    Function::new("isAbs", &[Text], |_, args| Ok(Value::Bool(args.bytes(0)?.starts_with(b"/")))),
    Function::new("osIsAbs", &[Text], |_, args| Ok(Value::Bool(args.bytes(0)?.starts_with(b"/")))),
];

fn with(heap: &mut Heap, args: &[Value], change: fn(&[u8]) -> Vec<u8>) -> Result<Value, Fault> {
    // Where each part of a path stands takes more memory than the part.
    heap.pay_bytes(args.bytes(0)?.len().saturating_mul(8))?;
    heap.text(change(args.bytes(0)?))
}

fn base(path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return b".".to_vec();
    }
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let last = path.get(..end).and_then(|path| path.rsplit(|byte| *byte == b'/').next());
    last.filter(|last| !last.is_empty()).unwrap_or(b"/").to_vec()
}

fn dir(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |last| last + 1);
    clean(path.get(..end).unwrap_or_default())
}

fn ext(path: &[u8]) -> Vec<u8> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let dot = name.iter().rposition(|byte| *byte == b'.');
    dot.and_then(|dot| name.get(dot..)).unwrap_or_default().to_vec()
}

/// Takes out `.`, `..` and double slashes by their words alone.
fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => drop(kept.pop()),
            b".." if rooted => {}
            part => kept.push(part),
        }
    }
    let joined = kept.join(&b"/"[..]);
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}
