//! How soon a resource is tried again when what was wrong may be gone in a moment: a conflict, an API server that is
//! overloaded or away.
//!
//! A second at first, then twice as long each time, and never longer than the pause after any other trouble. So an outage is
//! over for everybody soon after it is over, and costs few requests while it lasts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause that a server is granted.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// How often in a row each resource has failed so, by uid.
#[derive(Default)]
pub struct Retries(Mutex<HashMap<String, u32>>);

impl Retries {
    /// Notes one more failure and returns the pause after it: `longest` at most, but not less than the server asked for,
    /// up to an hour.
    pub(crate) fn pause(&self, uid: &str, asked: Duration, longest: Duration) -> Duration {
        let mut all = self.all();
        let failures = all.entry(uid.to_owned()).or_default();
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(*failures)).min(longest);
        *failures = failures.saturating_add(1);
        pause.max(asked.min(LONGEST_ASKED))
    }

    /// Notes that the resource was tried without such a failure, or is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.all().remove(uid);
    }

    /// Forgets all but those that `is_there` knows, by uid.
    pub(crate) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.all().retain(|uid, _| is_there(uid));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_start_anew_after_success() {
        let (retries, longest) = (Retries::default(), Duration::from_secs(10));
        let pause = |asked| retries.pause("uid", Duration::from_secs(asked), longest).as_secs();
        assert_eq!([0, 0, 0, 0, 0, 30, 0, u64::MAX].map(pause), [1, 2, 4, 8, 10, 30, 10, 3600]);
        retries.forget("uid");
        assert_eq!(pause(0), 1);
        assert_eq!(retries.pause("other", Duration::ZERO, longest), FIRST);
        retries.keep(|uid| uid == "uid");
        assert_eq!(retries.all().keys().collect::<Vec<_>>(), ["uid"]);
    }

    #[test]
    fn an_outage_of_any_length_does_not_overflow() {
        let retries = Retries(Mutex::new(HashMap::from([("uid".to_owned(), u32::MAX)])));
        assert_eq!(retries.pause("uid", Duration::ZERO, Duration::from_secs(60)), Duration::from_secs(60));
    }
}
