//! How often a backend is asked, by all Syncs together: so many requests at the same time, so many a second, and none for a while after
//! it was away.
//!
//! In memory alone. Whoever is refused here is told at once, as if the server had said it; what may be asked at all is decided before.
//! Not here: how soon a Sync is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::BackendLimits;

/// After so many answers in a row that were none, a backend is left alone for a while.
const FAILURES: u32 = 3;

/// How long it is left alone first; twice as long each time, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that a server is given when it asks for one.
const LONGEST_ASKED: Duration = Duration::from_secs(10 * 60);

/// While one request finds out whether the backend is back, the others are refused for so long at the most.
const PROBE: Duration = Duration::from_secs(60);

/// So long after it was asked last a backend is remembered.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// The paces of all backends, by uid and generation: a backend that was changed starts anew.
#[derive(Default)]
pub struct Paces(Mutex<HashMap<(String, i64), Arc<Pace>>>);

/// The pace of one backend.
pub(super) struct Pace {
    places: Arc<Semaphore>,
    per_second: Option<u32>,
    state: Mutex<State>,
}

struct State {
    /// When the next request would be in time, as the generic cell rate algorithm counts (ITU-T I.371, virtual scheduling).
    due: Instant,
    /// How many answers in a row were none.
    failures: u32,
    closed_until: Option<Instant>,
    last_failure: Option<Instant>,
    last_asked: Instant,
}

/// The place of a request that is on its way.
pub(super) struct Place<'a> {
    pace: &'a Pace,
    begun: Instant,
    /// Whether it finds out for all others if the backend is back.
    is_probe: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Paces {
    /// Returns the pace of a backend.
    pub(super) fn of(&self, uid: &str, generation: i64, limits: &BackendLimits) -> Arc<Pace> {
        let (key, now) = ((uid.to_owned(), generation), Instant::now());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known, pace| *known == key || now.duration_since(pace.state().last_asked) < REMEMBERED);
        all.entry(key).or_insert_with(|| Arc::new(Pace::new(limits, now))).clone()
    }
}

impl Pace {
    fn new(limits: &BackendLimits, now: Instant) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.concurrent_requests.into())),
            per_second: limits.requests_per_second.map(u32::from),
            state: Mutex::new(State::new(now)),
        }
    }

    /// Waits until a request may be made, or says for how long none is made.
    pub(super) async fn place(&self) -> Result<Place<'_>, Duration> {
        self.state().open(Instant::now())?;
        let permit = self.places.clone().acquire_owned().await.ok();
        let now = Instant::now();
        let due = self.state().next_due(self.per_second, now);
        // A timer that is over already still takes until the next millisecond, which is longer than many an answer.
        if due > now {
            tokio::time::sleep_until(due.into()).await;
        }
        // Others may have found out meanwhile that it is away.
        let begun = Instant::now();
        let is_probe = self.state().enter(begun)?;
        Ok(Place { pace: self, begun, is_probe, _permit: permit })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(now: Instant) -> Self {
        Self { due: now, failures: 0, closed_until: None, last_failure: None, last_asked: now }
    }

    fn open(&self, now: Instant) -> Result<(), Duration> {
        let left = self.closed_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if left.is_zero() { Ok(()) } else { Err(left) }
    }

    /// Lets a request go, and tells whether it alone does for now.
    fn enter(&mut self, now: Instant) -> Result<bool, Duration> {
        self.open(now)?;
        self.last_asked = now;
        let is_probe = self.failures >= FAILURES;
        if is_probe {
            self.closed_until = Some(now + PROBE);
        }
        Ok(is_probe)
    }

    fn next_due(&mut self, per_second: Option<u32>, now: Instant) -> Instant {
        let due = self.due.max(now);
        self.due = due + per_second.map_or(Duration::ZERO, |often| Duration::from_secs(1) / often.max(1));
        due
    }

    fn away(&mut self, asked: Duration, begun: Instant, now: Instant) {
        // What was on its way at the same time fails for the same reason.
        if self.last_failure.is_none_or(|last| begun >= last) {
            self.failures = self.failures.saturating_add(1);
            self.last_failure = Some(now);
        }
        // Before, only the sync that was told so waits: it may be about what one login does.
        if let Some(further) = self.failures.checked_sub(FAILURES) {
            let pause = PAUSE.saturating_mul(2_u32.saturating_pow(further)).min(LONGEST_PAUSE);
            self.closed_until = Some(now + pause.max(asked.min(LONGEST_ASKED)));
        }
    }

    fn is_back(&mut self) {
        (self.failures, self.closed_until) = (0, None);
    }
}

impl Place<'_> {
    /// Notes that the server answered, whatever it said.
    pub(super) fn answered(mut self) {
        self.is_probe = false;
        self.pace.state().is_back();
    }

    /// Notes that it did not, or that it is to be asked again after this time only.
    pub(super) fn away(mut self, asked: Duration) {
        self.is_probe = false;
        self.pace.state().away(asked, self.begun, Instant::now());
    }
}

impl Drop for Place<'_> {
    /// Who gave up waiting has found out nothing: the next one does.
    fn drop(&mut self) {
        if self.is_probe {
            self.pace.state().closed_until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (State, Instant) {
        let now = Instant::now();
        (State::new(now), now)
    }

    #[test]
    fn after_some_failures_in_a_row_one_request_finds_out_while_the_others_are_refused() {
        let (mut state, now) = state();
        for _ in 0..FAILURES {
            assert_eq!(state.enter(now), Ok(false));
            state.away(Duration::ZERO, now, now);
        }
        assert_eq!(state.enter(now), Err(PAUSE));
        assert_eq!(state.enter(now + PAUSE), Ok(true));
        assert!(state.enter(now + PAUSE).is_err());
        state.away(Duration::ZERO, now + PAUSE, now + PAUSE);
        assert_eq!(state.enter(now + PAUSE), Err(2 * PAUSE));
        assert_eq!(state.enter(now + 3 * PAUSE), Ok(true));
        state.is_back();
        assert_eq!([0, 1].map(|_| state.enter(now + 3 * PAUSE)), [Ok(false); 2]);
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one_and_who_gives_up_finding_out_leaves_it_to_the_next() {
        let limits = BackendLimits { concurrent_requests: 1, requests_per_second: None };
        let paces = Paces::default();
        let (pace, same) = (paces.of("a", 1, &limits), paces.of("a", 1, &limits));
        assert!(Arc::ptr_eq(&pace, &same) && !Arc::ptr_eq(&pace, &paces.of("a", 2, &limits)));
        let first = pace.place().await.ok();
        let mut second = std::pin::pin!(same.place());
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        second.await.ok().unwrap().answered();
        pace.state().failures = FAILURES;
        drop(pace.place().await.ok().unwrap());
        pace.place().await.ok().unwrap().answered();
        assert_eq!(pace.state().failures, 0);
    }

    #[test]
    fn what_fails_at_the_same_time_is_one_failure() {
        let (mut state, now) = state();
        (0..20).for_each(|_| state.away(Duration::ZERO, now, now + PAUSE));
        assert_eq!((state.failures, state.enter(now + PAUSE)), (1, Ok(false)));
    }

    #[test]
    fn a_server_gets_the_time_that_it_asks_for_and_no_outage_is_too_long() {
        let (mut state, now) = state();
        state.away(Duration::from_secs(7), now, now);
        assert_eq!(state.enter(now), Ok(false));
        (1..FAILURES).for_each(|_| state.away(Duration::from_secs(7), now, now));
        assert_eq!(state.enter(now), Err(Duration::from_secs(7)));
        state.away(Duration::MAX, now, now);
        assert_eq!(state.enter(now), Err(LONGEST_ASKED));
        state.failures = u32::MAX;
        state.away(Duration::ZERO, now, now);
        assert_eq!(state.enter(now), Err(LONGEST_PAUSE));
    }

    #[test]
    fn so_many_requests_a_second_are_let_go_and_what_was_not_used_is_not_saved_up() {
        let (mut state, now) = state();
        let due = [0, 0, 0, 900].map(|at| {
            let at = now + Duration::from_millis(at);
            state.next_due(Some(10), at).duration_since(now).as_millis()
        });
        assert_eq!(due, [0, 100, 200, 900]);
        assert_eq!(state.next_due(None, now + Duration::from_secs(2)), now + Duration::from_secs(2));
    }
}
