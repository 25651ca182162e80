//! How long somebody who has too much to do is asked again: after pauses of which no two callers have the same, and for a minute in all.

use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use rand_core::{OsRng, RngCore};

/// How long to ask again in all.
const LONGEST: Duration = Duration::from_secs(60);
/// How long to wait where nothing is said about it.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the time of one question.
pub(crate) struct Patience {
    begun: Instant,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now() }
    }

    /// Returns how long to wait before asking again; none where the time is over.
    pub(crate) fn pause(&self, asked_for: Option<Duration>) -> Option<Duration> {
        pause(asked_for, self.begun.elapsed(), OsRng.next_u32())
    }
}

/// Waits as long as it is asked for at least, and up to twice that, so that those who were turned away together don't come together.
fn pause(asked_for: Option<Duration>, elapsed: Duration, random: u32) -> Option<Duration> {
    let least = asked_for.unwrap_or(PAUSE).max(PAUSE);
    let more = least.mul_f64(f64::from(random) / f64::from(u32::MAX));
    let left = LONGEST.checked_sub(elapsed)?.checked_sub(least)?;
    Some(least + more.min(left))
}

/// Returns how long an answer asks to wait (RFC 9110, section 10.2.3), in seconds; dates are passed over.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    Some(Duration::from_secs(headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_as_long_as_asked_for_differ_and_end_after_a_minute() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(None, seconds(0), 0), Some(seconds(1)));
        assert_eq!(pause(None, seconds(0), u32::MAX), Some(seconds(2)));
        assert_eq!(pause(Some(seconds(5)), seconds(0), 0), Some(seconds(5)));
        assert_eq!(pause(Some(seconds(20)), seconds(30), u32::MAX), Some(seconds(30)));
        for (asked_for, elapsed) in [(None, 60), (Some(seconds(61)), 0), (Some(Duration::MAX), 1)] {
            assert_eq!(pause(asked_for, seconds(elapsed), 7), None);
        }
        let headers = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        assert_eq!(retry_after(&headers("3")), Some(seconds(3)));
        for none in ["", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999999999"] {
            assert_eq!(retry_after(&headers(none)), None, "{none}");
        }
    }
}
