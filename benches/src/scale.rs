//! How much of each benchmark is run.

use crate::error::Error;

/// A share of the full size, from `SCALE`; 1 unless told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale(f64);

impl Scale {
    /// Reads `SCALE`.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let Some(text) = std::env::var_os("SCALE").filter(|text| !text.is_empty()) else { return Ok(Self(1.0)) };
        let share = text.to_str().and_then(|text| text.parse::<f64>().ok()).filter(|share| *share > 0.0);
        share.map(Self).ok_or(Error::Setting("SCALE is a number above 0, such as 0.1"))
    }

    /// Returns this share of `full`, at least 1.
    pub(crate) fn of(self, full: usize) -> usize {
        ((full as f64 * self.0).round() as usize).max(1)
    }

    /// Tells whether the figures are those of the full size.
    pub(crate) fn is_full(self) -> bool {
        self.0 == 1.0
    }
}
