//! Integers and floats (Sprig's `numeric.go`, and `spf13/cast` 1.7 for what becomes a number).

use super::super::error::Fault;
use super::super::literal;
use super::super::print;
use super::super::value::{Heap, ListKind, Value};
use super::{Arguments, Function, Param};
use Param::{Any, Float, Int};

pub(super) const ALL: &[Function] = &[
    Function::new("atoi", &[Param::Text], |_, args| Ok(Value::Int(atoi(args.bytes(0)?)))),
    Function::new("int", &[Any], |_, args| Ok(Value::Int(to_i64(&args.any(0))))),
    Function::new("int64", &[Any], |_, args| Ok(Value::Int64(to_i64(&args.any(0))))),
    Function::new("float64", &[Any], |_, args| Ok(Value::Float(to_f64(&args.any(0))))),
    Function::new("toDecimal", &[Any], to_decimal),
    Function::new("add1", &[Any], |_, args| Ok(Value::Int64(to_i64(&args.any(0)).wrapping_add(1)))),
    Function::variadic("add", &[], Any, |_, args| Ok(Value::Int64(args.iter().map(to_i64).fold(0, i64::wrapping_add)))),
    Function::new("sub", &[Any, Any], |_, args| {
        Ok(Value::Int64(to_i64(&args.any(0)).wrapping_sub(to_i64(&args.any(1)))))
    }),
    Function::variadic("mul", &[Any], Any, |_, args| {
        Ok(Value::Int64(args.iter().map(to_i64).fold(1, i64::wrapping_mul)))
    }),
    Function::new("div", &[Any, Any], |_, args| divided(args, i64::wrapping_div)),
    Function::new("mod", &[Any, Any], |_, args| divided(args, i64::wrapping_rem)),
    Function::variadic("max", &[Any], Any, |_, args| extreme(args, Ord::max)),
    Function::variadic("biggest", &[Any], Any, |_, args| extreme(args, Ord::max)),
    Function::variadic("min", &[Any], Any, |_, args| extreme(args, Ord::min)),
    Function::variadic("maxf", &[Any], Any, |_, args| extreme_float(args, f64::max)),
    Function::variadic("minf", &[Any], Any, |_, args| extreme_float(args, f64::min)),
    Function::new("floor", &[Any], |_, args| Ok(Value::Float(to_f64(&args.any(0)).floor()))),
    Function::new("ceil", &[Any], |_, args| Ok(Value::Float(to_f64(&args.any(0)).ceil()))),
    Function::variadic("round", &[Any, Int], Float, round),
    Function::new("until", &[Int], |heap, args| {
        let count = args.int(0)?;
        let numbers = steps(heap, 0, count, if count < 0 { -1 } else { 1 })?;
        heap.list(ListKind::Ints, numbers.into_iter().map(Value::Int).collect())
    }),
    Function::new("untilStep", &[Int, Int, Int], |heap, args| {
        let numbers = steps(heap, args.int(0)?, args.int(1)?, args.int(2)?)?;
        heap.list(ListKind::Ints, numbers.into_iter().map(Value::Int).collect())
    }),
    Function::variadic("seq", &[], Int, seq),
];

/// Returns a value as an integer; what is none is 0.
pub(super) fn to_i64(value: &Value) -> i64 {
    match value {
        Value::Int(value) | Value::Int64(value) => *value,
        Value::Byte(value) => i64::from(*value),
        Value::Bool(value) => i64::from(*value),
        // What does not fit is the least integer, as on the machines that Kubernetes runs on.
        Value::Float(value) if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(value) => {
            *value as i64
        }
        Value::Float(_) => i64::MIN,
        Value::Text(text) => {
            let text = std::str::from_utf8(text.bytes()).unwrap_or_default();
            literal::integer(without_zero_decimals(text)).unwrap_or_default()
        }
        // What does not fit goes round, as in Go.
        Value::Uint64(value) => value.cast_signed(),
        Value::Nil | Value::NilItem | Value::Version(_) | Value::List(_) | Value::Map(_) => 0,
    }
}

/// Removes `.0`, with any number of zeros.
fn without_zero_decimals(text: &str) -> &str {
    let whole = text.trim_end_matches('0');
    match whole.strip_suffix('.') {
        Some(integer) if whole.len() < text.len() => integer,
        _ => text,
    }
}

pub(super) fn to_f64(value: &Value) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Uint64(value) => *value as f64,
        Value::Text(text) => literal::parse_float(text.bytes()).unwrap_or_default(),
        other => to_i64(other) as f64,
    }
}

/// `strconv.Atoi`, whose error is dropped: what is too large is the largest integer.
fn atoi(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let sign = if negative { -1 } else { 1 };
    digits.iter().fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0')))
}

fn to_decimal(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let mut text = Vec::new();
    print::plain(heap, &mut text, &args.any(0))?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    Ok(Value::Int64(i64::from_str_radix(text, 8).unwrap_or_default()))
}

fn divided(args: &[Value], divide: fn(i64, i64) -> i64) -> Result<Value, Fault> {
    match to_i64(&args.any(1)) {
        0 => Err(Fault::Failed("divides by zero")),
        by => Ok(Value::Int64(divide(to_i64(&args.any(0)), by))),
    }
}

fn extreme(args: &[Value], choose: fn(i64, i64) -> i64) -> Result<Value, Fault> {
    Ok(Value::Int64(args.iter().map(to_i64).reduce(choose).unwrap_or_default()))
}

fn extreme_float(args: &[Value], choose: fn(f64, f64) -> f64) -> Result<Value, Fault> {
    let numbers: Vec<f64> = args.iter().map(to_f64).collect();
    let chosen = numbers.iter().copied().reduce(choose).unwrap_or_default();
    Ok(Value::Float(if numbers.iter().any(|number| number.is_nan()) { f64::NAN } else { chosen }))
}

fn round(_: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let from = match args.get(2) {
        Some(Value::Float(from)) => *from,
        _ => 0.5,
    };
    let places = i32::try_from(args.int(1)?).unwrap_or(i32::MAX);
    let power = 10_f64.powi(places);
    let moved = power * to_f64(&args.any(0));
    let rounded = if moved.fract() >= from { moved.ceil() } else { moved.floor() };
    Ok(Value::Float(rounded / power))
}

fn steps(heap: &mut Heap, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Fault> {
    let mut numbers = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        heap.pay(64)?;
        numbers.push(at);
        at = at.checked_add(step).ok_or(Fault::Failed("counts beyond the largest integer"))?;
    }
    Ok(numbers)
}

/// Counts like `seq` of a shell: to an end, from a start, with a step between them.
fn seq(heap: &mut Heap, args: &[Value]) -> Result<Value, Fault> {
    let toward = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let numbers = match args.len() {
        1 => {
            let end = args.int(0)?;
            steps(heap, 1, end.saturating_add(toward(1, end)), toward(1, end))?
        }
        2 => {
            let (start, end) = (args.int(0)?, args.int(1)?);
            steps(heap, start, end.saturating_add(toward(start, end)), toward(start, end))?
        }
        3 => {
            let (start, step, end) = (args.int(0)?, args.int(1)?, args.int(2)?);
            let backward = end < start;
            let stop = end.saturating_add(toward(start, end));
            // Counting up to what is below and down to what is above gives nothing.
            if backward == (step < 0) && step != 0 { steps(heap, start, stop, step)? } else { Vec::new() }
        }
        _ => Vec::new(),
    };
    let text: Vec<String> = numbers.iter().map(i64::to_string).collect();
    heap.text(text.join(" ").into_bytes())
}
