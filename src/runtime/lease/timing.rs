//! How long a lease is good for, and how often it is renewed.

use std::time::Duration;

/// By how much longer than it should be a pause may be, so that not all do everything at the same time (client-go's `JitterFactor`).
const JITTER: f64 = 0.2;
/// The least time between the last write of a leader and the first of the next one.
const MARGIN: Duration = Duration::from_secs(1);

/// The longest that a lease is good for; one that promises more was written by somebody else.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// The times of a lease, which make sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    renew: Duration,
    retry: Duration,
}

/// Why times don't make sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Two could write at the same time.
    #[error("--lease-renew-deadline has to be at least a second less than --lease-duration; hint: 10s of 15s")]
    NoMargin,
    /// A single failure would be the end.
    #[error("--lease-retry-period has to be less than half of --lease-renew-deadline; hint: 2s of 10s")]
    NoRetry,
    /// The API server would refuse it.
    #[error("--lease-duration has to be an hour at most")]
    TooLong,
}

impl Timing {
    /// Makes times of the lease's duration, of how long its holder goes on writing without having renewed it, and of how often it does.
    ///
    /// # Errors
    ///
    /// See [`TimingError`].
    pub fn new(lease: Duration, renew: Duration, retry: Duration) -> Result<Self, TimingError> {
        if lease > LONGEST {
            return Err(TimingError::TooLong);
        }
        if renew.saturating_add(MARGIN) > lease {
            return Err(TimingError::NoMargin);
        }
        if retry.saturating_mul(2) >= renew {
            return Err(TimingError::NoRetry);
        }
        Ok(Self { lease, renew, retry })
    }

    /// Returns for how long others leave a lease alone that is not renewed.
    pub(super) fn lease(self) -> Duration {
        self.lease
    }

    /// Returns the same in seconds, as a Lease has it.
    pub(super) fn lease_seconds(self) -> i32 {
        i32::try_from(self.lease.as_secs()).unwrap_or(i32::MAX)
    }

    /// Returns for how long a holder goes on writing after it began to renew for the last time.
    pub(super) fn renew(self) -> Duration {
        self.renew
    }

    /// Returns how long an answer may take: so that there is time to ask again.
    pub(super) fn answer(self) -> Duration {
        self.renew / 2
    }

    /// Returns a pause before the next try.
    pub(super) fn pause(self) -> Duration {
        let mut byte = [0];
        // Without random numbers all pauses are as long.
        let _ = aws_lc_rs::rand::fill(&mut byte);
        self.retry.mul_f64(1.0 + JITTER * f64::from(byte[0]) / 255.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_only_if_a_leader_stops_before_another_begins_and_may_fail_once() {
        let timing = |lease, renew, retry| {
            let [lease, renew, retry] = [lease, renew, retry].map(Duration::from_secs);
            Timing::new(lease, renew, retry).err()
        };
        assert_eq!([timing(15, 10, 2), timing(3600, 3599, 1), timing(4, 3, 1)], [None; 3]);
        assert_eq!([timing(15, 15, 2), timing(10, 15, 2), timing(1, 1, 1)], [Some(TimingError::NoMargin); 3]);
        assert_eq!([timing(15, 10, 5), timing(15, 10, 20), timing(3, 2, 1)], [Some(TimingError::NoRetry); 3]);
        assert_eq!(timing(3601, 10, 2), Some(TimingError::TooLong));
        assert_eq!(timing(u64::MAX, u64::MAX, u64::MAX), Some(TimingError::TooLong));
    }

    #[test]
    fn pauses_are_as_long_as_asked_for_or_a_little_longer() {
        let second = Duration::from_secs(1);
        let timing = Timing::new(15 * second, 10 * second, 2 * second).unwrap();
        assert!((0..100).map(|_| timing.pause()).all(|pause| (2 * second..=2 * second + second / 2).contains(&pause)));
    }
}
