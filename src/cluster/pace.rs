//! Keeps a watch that ends at once, in good order, from being begun again at once: kube's watcher pauses after errors alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time from one watch of a path to the next.
const SPACING: Duration = Duration::from_secs(1);

/// When watches were begun, by path.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<String, Instant>>);

impl Pace {
    /// Notes that somebody wants to watch `path`, and returns how long that has to wait.
    pub(super) fn pause(&self, path: &str, now: Instant) -> Duration {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = begun.get(path).map_or(now, |last| now.max(*last + SPACING));
        begun.insert(path.to_owned(), due);
        due.duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_of_one_path_begin_a_second_apart_and_others_at_once() {
        let (pace, now) = (Pace::default(), Instant::now());
        let pause = |path, after| pace.pause(path, now + Duration::from_millis(after)).as_millis();
        assert_eq!((pause("/a", 0), pause("/b", 0)), (0, 0));
        assert_eq!([pause("/a", 300), pause("/a", 300), pause("/a", 5000)], [700, 1700, 0]);
    }
}
