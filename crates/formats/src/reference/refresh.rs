//! How often a reference wants its store asked. Not here: when that is, which is for whoever asks.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::ReferenceError;

/// The units and their seconds, the longest first.
const UNITS: [(char, u32); 3] = [('h', 60 * 60), ('m', 60), ('s', 1)];
/// From a second to a day, in seconds.
const ALLOWED: RangeInclusive<u32> = 1..=24 * 60 * 60;

/// How often a store is asked whether a secret has another version: from a second to a day.
///
/// Printed in the largest unit that it is a whole number of: `refresh=60s` is `1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Refresh(u32);

impl Refresh {
    /// Returns the time between two questions.
    pub fn interval(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl FromStr for Refresh {
    type Err = ReferenceError;

    /// Reads up to five digits and a unit, `s`, `m` or `h`.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let of_unit = |(name, unit): &(char, u32)| Some((text.strip_suffix(*name)?, *unit));
        let (digits, unit) = UNITS.iter().find_map(of_unit).ok_or(ReferenceError::BadRefresh)?;
        let is_number = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = digits.parse::<u32>().ok().filter(|_| is_number).and_then(|number| number.checked_mul(unit));
        seconds.filter(|seconds| ALLOWED.contains(seconds)).map(Self).ok_or(ReferenceError::BadRefresh)
    }
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS.into_iter().find(|(_, unit)| self.0.is_multiple_of(*unit)).unwrap_or(('s', 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}
