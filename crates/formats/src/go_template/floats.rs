//! Floats as `%e`, `%f` and `%g` of Go's `fmt` print them (`strconv/ftoa.go`).

use super::print::float;

/// Returns what is printed of what is no number.
fn special(number: f64) -> Option<String> {
    match number {
        number if number.is_nan() => Some("NaN".to_owned()),
        number if number.is_infinite() => Some(if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned()),
        _ => None,
    }
}

/// Formats with a number of digits after the point.
pub(super) fn fixed(number: f64, precision: usize) -> String {
    special(number).unwrap_or_else(|| format!("{number:.precision$}"))
}

/// Formats with an exponent and a number of digits after the point.
pub(super) fn exponential(number: f64, precision: usize) -> String {
    special(number).unwrap_or_else(|| with_exponent(&format!("{number:.precision$e}")))
}

/// Gives an exponent its sign and two digits.
fn with_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// Formats with a number of digits in all, or as many as it takes; with an exponent where it is large.
pub(super) fn general(number: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return special(number).unwrap_or_else(|| float(number)) };
    if let Some(special) = special(number) {
        return special;
    }
    let least = precision.max(1);
    let rounded = format!("{number:.*e}", least - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i64 = exponent.parse().unwrap_or_default();
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let as_i64 = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    // Where all digits stand before the point anyway, the point moves less far (`%e` is used later).
    let limit = if least > digits && as_i64(digits) > exponent { as_i64(digits) } else { as_i64(least) };
    match (-4..limit).contains(&exponent) {
        true => {
            let behind = usize::try_from(as_i64(digits) - exponent - 1).unwrap_or_default();
            format!("{number:.behind$}")
        }
        false => with_exponent(&format!("{mantissa}e{exponent}")),
    }
}
