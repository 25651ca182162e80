//! Arithmetic of floats as decimals (Sprig's `addf` and its like, which are `shopspring/decimal` 1.4): 0.1 and 0.2 are 0.3.

use num_bigint::BigInt;

use super::super::error::Fault;
use super::super::value::{Heap, STEP, Value};
use super::numbers::to_f64;
use super::{Arguments, Function, Param};
use Param::Any;

pub(super) const ALL: &[Function] = &[
    Function::new("add1f", &[Any], |heap, args| folded(heap, number(&args.any(0))?, &[Value::Float(1.0)], add)),
    Function::variadic("addf", &[], Any, |heap, args| folded(heap, Decimal::default(), args, add)),
    Function::variadic("subf", &[Any], Any, |heap, args| folded(heap, number(&args.any(0))?, args.from(1), subtract)),
    Function::variadic("mulf", &[Any], Any, |heap, args| folded(heap, number(&args.any(0))?, args.from(1), multiply)),
    Function::variadic("divf", &[Any], Any, |heap, args| folded(heap, number(&args.any(0))?, args.from(1), divide)),
];

/// How many digits a number may have in between.
const MAX_DIGITS: u64 = 4096;
/// How many digits a quotient has behind the point (`DivisionPrecision`).
const DIVISION_DIGITS: i64 = 16;

/// A whole number times a power of ten.
#[derive(Clone, Default)]
struct Decimal {
    value: BigInt,
    exponent: i64,
}

type Operation = fn(&Decimal, &Decimal) -> Result<Decimal, Fault>;

/// Applies an operation to a number and to each value in turn.
fn folded(heap: &mut Heap, first: Decimal, others: &[Value], operation: Operation) -> Result<Value, Fault> {
    let mut result = first;
    for other in others {
        let other = number(other)?;
        let digits = digits(&result) + digits(&other) + result.exponent.abs_diff(other.exponent);
        if digits > MAX_DIGITS {
            return Err(Fault::Limit("4,096 digits"));
        }
        heap.pay(STEP + 2 * digits)?;
        result = operation(&result, &other)?;
    }
    let float = format!("{}e{}", result.value, result.exponent).parse().unwrap_or_default();
    Ok(Value::Float(float))
}

/// Returns about as many digits as a number has, never fewer.
fn digits(number: &Decimal) -> u64 {
    number.value.bits() / 3 + 1
}

/// Takes the shortest decimal that is this float.
fn number(value: &Value) -> Result<Decimal, Fault> {
    let float = to_f64(value);
    if !float.is_finite() {
        return Err(Fault::Failed("is given a float that is no number"));
    }
    let text = format!("{float:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let value: i64 = format!("{whole}{fraction}").parse().unwrap_or_default();
    let exponent: i64 = exponent.parse().unwrap_or_default();
    let behind = i64::try_from(fraction.len()).unwrap_or_default();
    Ok(Decimal { value: value.into(), exponent: if value == 0 { 0 } else { exponent - behind } })
}

fn power_of_ten(exponent: u64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(u32::MAX))
}

/// Writes both with the smaller exponent.
fn aligned(a: &Decimal, b: &Decimal) -> (BigInt, BigInt, i64) {
    let exponent = a.exponent.min(b.exponent);
    let value = |number: &Decimal| &number.value * power_of_ten(number.exponent.abs_diff(exponent));
    (value(a), value(b), exponent)
}

fn add(a: &Decimal, b: &Decimal) -> Result<Decimal, Fault> {
    let (a, b, exponent) = aligned(a, b);
    Ok(Decimal { value: a + b, exponent })
}

fn subtract(a: &Decimal, b: &Decimal) -> Result<Decimal, Fault> {
    let (a, b, exponent) = aligned(a, b);
    Ok(Decimal { value: a - b, exponent })
}

fn multiply(a: &Decimal, b: &Decimal) -> Result<Decimal, Fault> {
    Ok(Decimal { value: &a.value * &b.value, exponent: a.exponent + b.exponent })
}

/// Divides, and rounds the last digit half away from zero.
fn divide(a: &Decimal, b: &Decimal) -> Result<Decimal, Fault> {
    let zero = BigInt::default();
    if b.value == zero {
        return Err(Fault::Failed("divides by zero"));
    }
    let shift = a.exponent - b.exponent + DIVISION_DIGITS;
    let power = power_of_ten(shift.unsigned_abs());
    let (dividend, divisor) = match shift < 0 {
        true => (a.value.clone(), &b.value * power),
        false => (&a.value * power, b.value.clone()),
    };
    let (quotient, rest) = (&dividend / &divisor, &dividend % &divisor);
    let twice: BigInt = rest * 2;
    let is_half = twice.magnitude() >= divisor.magnitude();
    let away = if (dividend < zero) == (divisor < zero) { 1 } else { -1 };
    let value = if is_half { quotient + away } else { quotient };
    Ok(Decimal { value, exponent: -DIVISION_DIGITS })
}
