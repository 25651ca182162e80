//! Defaults, conditions and types (Sprig's `defaults.go` and `reflect.go`), and `fail`.

use super::super::error::Fault;
use super::super::value::{Heap, Value};
use super::lists::deep_equal;
use super::{Arguments, Function, Param};
use Param::{Any, Bool, Text};

pub(super) const ALL: &[Function] = &[
    Function::variadic("default", &[Any], Any, |heap, args| {
        let given = args.any(1);
        Ok(if given.is_true(heap) { given } else { args.any(0) })
    }),
    Function::new("empty", &[Any], |heap, args| Ok(Value::Bool(!args.any(0).is_true(heap)))),
    Function::variadic("coalesce", &[], Any, |heap, args| {
        Ok(args.iter().find(|value| value.is_true(heap)).cloned().unwrap_or(Value::Nil))
    }),
    Function::variadic("all", &[], Any, |heap, args| Ok(Value::Bool(args.iter().all(|value| value.is_true(heap))))),
    Function::variadic("any", &[], Any, |heap, args| Ok(Value::Bool(args.iter().any(|value| value.is_true(heap))))),
    Function::new("ternary", &[Any, Any, Bool], |_, args| Ok(args.any(usize::from(!args.bool(2)?)))),
    Function::new("typeOf", &[Any], |heap, args| name(heap, args.any(0).type_name())),
    Function::new("kindOf", &[Any], |heap, args| name(heap, args.any(0).kind_name())),
    Function::new("typeIs", &[Text, Any], |_, args| is(args, args.any(1).type_name())),
    Function::new("typeIsLike", &[Text, Any], |_, args| {
        let name = args.any(1).type_name();
        Ok(Value::Bool([name, name.trim_start_matches('*')].iter().any(|name| args.bytes(0) == Ok(name.as_bytes()))))
    }),
    Function::new("kindIs", &[Text, Any], |_, args| is(args, args.any(1).kind_name())),
    Function::new("deepEqual", &[Any, Any], |heap, args| {
        deep_equal(heap, &args.any(0), &args.any(1), 0).map(Value::Bool)
    }),
    Function::new("fail", &[Text], |_, _| Err(Fault::Failed("was called: the template gives up"))),
    Function::new("hello", &[], |heap, _| name(heap, "Hello!")),
];

fn name(heap: &mut Heap, name: &str) -> Result<Value, Fault> {
    heap.text(name.as_bytes().to_vec())
}

fn is(args: &[Value], name: &str) -> Result<Value, Fault> {
    Ok(Value::Bool(args.bytes(0)? == name.as_bytes()))
}
