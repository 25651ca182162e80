//! Floats as Go's `strconv.FormatFloat` prints them, since SOPS hashes and kubectl sends that text.

use serde_json::Number;

/// Formats like `FormatFloat(value, 'f', -1, 64)`: shortest digits, never an exponent.
pub(crate) fn plain(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value}")
}

/// Formats like `FormatFloat(value, 'g', -1, 64)`: an exponent below 1e-4 and from 1e6 on.
pub(crate) fn shortest(value: f64) -> String {
    general(format!("{value:e}"), value.to_string(), value.is_finite()).unwrap_or_else(|| plain(value))
}

/// Formats like `ValToString` of sops: as [`shortest`] with a capital `E`, and never like an integer.
pub(crate) fn unlike_integer(value: f64) -> String {
    let text = shortest(value).replace('e', "E");
    let is_plain = !text.contains(['.', 'E']) && value.is_finite();
    if is_plain { text + ".0" } else { text }
}

/// Formats like `FormatFloat(value, 'g', -1, 32)`.
pub(crate) fn shortest_f32(value: f64) -> String {
    let value = value as f32;
    general(format!("{value:e}"), value.to_string(), value.is_finite()).unwrap_or_else(|| plain(f64::from(value)))
}

fn general(scientific: String, fixed: String, finite: bool) -> Option<String> {
    let (mantissa, exponent) = scientific.split_once('e').filter(|_| finite)?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..SHORTEST_LIMIT).contains(&exponent) {
        return Some(fixed);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{mantissa}e{sign}{:02}", exponent.abs()))
}

/// From this exponent on `%g` with shortest digits switches to the exponent form (`strconv/ftoa.go`).
const SHORTEST_LIMIT: i32 = 6;

/// Formats like `encoding/json`: an exponent below 1e-6 and from 1e21 on, without a leading zero in it.
pub(crate) fn json(value: f64) -> String {
    let size = value.abs();
    match size != 0.0 && !(1e-6..1e21).contains(&size) {
        true => format!("{value:e}").replace('e', if size < 1.0 { "e" } else { "e+" }),
        false => value.to_string(),
    }
}

/// Converts to a JSON number as Go's `encoding/json` prints it: an integral value below 1e21 has no point.
/// Returns nothing for what JSON can't say.
pub(crate) fn to_json(value: f64) -> Option<Number> {
    let integral = value.fract() == 0.0 && !(value == 0.0 && value.is_sign_negative());
    match integral {
        true if (0.0..18_446_744_073_709_551_616.0).contains(&value) => Some((value as u64).into()),
        true if (-9_223_372_036_854_775_808.0..0.0).contains(&value) => Some((value as i64).into()),
        _ => Number::from_f64(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, fixed, general) in [
            (1.0, "1", "1"),
            (1e21, "1000000000000000000000", "1e+21"),
            (100000.0, "100000", "100000"),
            (1e20, "100000000000000000000", "1e+20"),
            (1e-7, "0.0000001", "1e-07"),
            (-0.0, "-0", "-0"),
            (1234567.5, "1234567.5", "1.2345675e+06"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!((plain(value).as_str(), shortest(value).as_str()), (fixed, general));
        }
    }
}
