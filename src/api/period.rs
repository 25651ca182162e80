//! Lengths of time as users write them in a spec: `90s`, `10m`, `1h30m`.
//!
//! A subset of what Go's `time.ParseDuration` reads: whole hours, minutes and seconds, in this order, each at most once.
//! The pattern in the schema and the parser accept the same texts (apart from zero, which a rule refuses), so that
//! an object that the API server has accepted can always be read.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pattern of the schema; empty text is excluded by a minimal length.
const PATTERN: &str = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$";

/// A length of time of at least one second, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(Duration);

/// Says that a text is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePeriodError {
    /// The text is not of the form `1h30m`, `10m` or `90s`.
    #[error("a length of time is written as whole hours, minutes and seconds, such as 1h30m, 10m or 90s")]
    Malformed,
    /// The text is well formed and says zero.
    #[error("a length of time is at least 1s")]
    Zero,
}

impl Period {
    /// Makes a period of `seconds`, or of one second where that is zero.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(if seconds == 0 { 1 } else { seconds }))
    }

    /// Makes a period of `minutes`, or of one second where that is zero.
    pub const fn from_mins(minutes: u32) -> Self {
        Self::from_secs(minutes as u64 * 60)
    }

    /// Returns the length as the standard library has it.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = ParsePeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut seconds = 0;
        let mut rest = text;
        for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
            if let Some((digits, after)) = rest.split_once(unit) {
                seconds += number(digits)? * factor;
                rest = after;
            }
        }
        match (rest, seconds) {
            ("", 0) if text.is_empty() => Err(ParsePeriodError::Malformed),
            ("", 0) => Err(ParsePeriodError::Zero),
            ("", seconds) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(ParsePeriodError::Malformed),
        }
    }
}

/// Reads one to five decimal digits, which can't overflow.
fn number(digits: &str) -> Result<u64, ParsePeriodError> {
    let well_formed = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !well_formed {
        return Err(ParsePeriodError::Malformed);
    }
    digits.parse().map_err(|_| ParsePeriodError::Malformed)
}

impl TryFrom<String> for Period {
    type Error = ParsePeriodError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (count, unit) in [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 18,
            "pattern": PATTERN,
            "x-kubernetes-validations": [{
                "rule": "duration(self) >= duration('1s')",
                "message": "a length of time is at least 1s",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_in_seconds() {
        for (text, seconds) in
            [("1s", 1), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h0m1s", 3601), ("99999h", 359_996_400)]
        {
            assert_eq!(text.parse::<Period>().map(Period::get), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn malformed_periods_are_refused() {
        for text in ["", "5", "m", "-1m", "+1m", "1.5h", "1m1h", "1m1m", "1 m", "100000s", "1d", "500ms", "１s", "1h\n"]
        {
            assert_eq!(text.parse::<Period>(), Err(ParsePeriodError::Malformed), "{text:?}");
        }
        assert_eq!("0h0m0s".parse::<Period>(), Err(ParsePeriodError::Zero));
    }

    #[test]
    fn printed_periods_read_back() {
        for seconds in [1, 59, 60, 61, 3600, 3661, 86_400] {
            let period = Period::from_secs(seconds);
            assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
