//! How long a condition has been as it is, by a clock that nobody sets: the times in a status are of one that may be put
//! forward or back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The conditions that something is waited for in, by the uid of the Sync and their type.
#[derive(Default)]
pub struct Waits(Mutex<HashMap<(String, String), Wait>>);

struct Wait {
    /// When it came to be so, as the status has it in whole seconds.
    since: i64,
    /// When that was seen first.
    seen: Instant,
    /// How long it had been so by then.
    before: Duration,
}

impl Waits {
    /// Returns how long a condition of a Sync has been as it is. What was so before this process saw it is taken from the time
    /// in the condition; `now` and `at` are the same moment.
    pub(super) fn lasts(&self, sync: &str, condition: &Condition, now: Timestamp, at: Instant) -> Duration {
        let since = condition.last_transition_time.0.as_second();
        let fresh = || {
            let before = now.duration_since(condition.last_transition_time.0);
            Wait { since, seen: at, before: Duration::try_from(before).unwrap_or_default() }
        };
        let mut all = self.all();
        let wait = all.entry((sync.to_owned(), condition.type_.clone())).or_insert_with(fresh);
        if wait.since != since {
            *wait = fresh();
        }
        wait.before + at.saturating_duration_since(wait.seen)
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, sync: &str) {
        self.all().retain(|(of, _), _| of != sync);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Wait>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ConditionType, NewCondition, Reason, Status, set_condition};

    const DAY: i64 = 86_400;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("it is in range")
    }

    fn since(seconds: i64) -> Condition {
        let (kind, status, reason) = (ConditionType::Healthy, Status::False, Reason::Progressing);
        let mut conditions = Vec::new();
        let new = NewCondition { kind, status, reason, message: String::new(), observed_generation: None };
        set_condition(&mut conditions, new, time(seconds));
        conditions.remove(0)
    }

    #[test]
    fn a_clock_that_is_put_forward_or_back_changes_nothing_and_one_that_was_restarted_counts_on() {
        let (waits, start) = (Waits::default(), Instant::now());
        let lasts = |condition: i64, now: i64, later: u64| {
            waits.lasts("uid", &since(condition), time(now), start + Duration::from_secs(later)).as_secs()
        };
        assert_eq!(lasts(1_000_000, 1_000_007, 0), 7, "it was so before this process came");
        assert_eq!(lasts(1_000_000, 1_000_009, 2), 9);
        assert_eq!(lasts(1_000_000, 1_000_010 + DAY, 3), 10, "put forward");
        assert_eq!(lasts(1_000_000, 1_000_011 - DAY, 4), 11, "put back");
        assert_eq!(lasts(1_000_012 - DAY, 1_000_012 - DAY, 5), 0, "it changed");
        assert_eq!(lasts(1_000_012 - DAY, 1_000_015, 8), 3);
        assert_eq!(lasts(2_000_000, 1_000_000, 9), 0, "a time that is still to come");
    }
}
