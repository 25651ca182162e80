//! Limits of what costs private-key operations: how often, and how many at once. A [`Gate`] counts requests, whoever they are from:
//! all that come through the API server's proxy come from its address, and headers say what their sender likes. [`Users`] counts those of
//! each of whom the API server has said who they are.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests are worked on at the same time.
const AT_ONCE: usize = 4;

/// How often something may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, so often a second.
    pub per_second: NonZeroU32,
    /// So many more at once.
    pub burst: u32,
}

/// The limits of one interface, shared by all that it answers.
pub(super) struct Limits {
    rate: Rate,
    places: Arc<Semaphore>,
}

/// The limit of one path.
pub(super) struct Gate {
    limits: Arc<Limits>,
    /// When the next request would be in time, as the generic cell rate algorithm counts (ITU-T I.371, virtual scheduling).
    due: Mutex<Option<Instant>>,
}

impl Limits {
    pub(super) fn new(rate: Rate) -> Arc<Self> {
        Arc::new(Self { rate, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    pub(super) fn gate(self: &Arc<Self>) -> Gate {
        Gate { limits: self.clone(), due: Mutex::new(None) }
    }
}

impl Gate {
    /// Lets a request in, or not; its place is free again when what is returned is dropped.
    pub(super) fn admit(&self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let place = self.limits.places.clone().try_acquire_owned().ok()?;
        self.is_in_time(now).then_some(place)
    }

    fn is_in_time(&self, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        is_in_time(&mut due, self.limits.rate, now)
    }
}

/// How often each of those may ask whom the API server knows.
const OF_A_USER: Rate = Rate { per_second: NonZeroU32::new(20).unwrap(), burst: 40 };
/// So many users are remembered at the same time.
const MOST_USERS: usize = 10_000;

/// The limits of callers who have shown who they are, each for itself.
#[derive(Default)]
pub(super) struct Users(Mutex<HashMap<String, Option<Instant>>>);

impl Users {
    /// Lets a request of a user in, or not.
    pub(super) fn admit(&self, user: &str, now: Instant) -> bool {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= MOST_USERS {
            due.retain(|_, due| due.is_some_and(|due| due > now));
        }
        if due.len() >= MOST_USERS && !due.contains_key(user) {
            return false;
        }
        is_in_time(due.entry(user.to_owned()).or_default(), OF_A_USER, now)
    }
}

fn is_in_time(due: &mut Option<Instant>, Rate { per_second, burst }: Rate, now: Instant) -> bool {
    let spacing = Duration::from_secs(1) / per_second.get();
    let next = due.map_or(now, |due| due.max(now));
    let is_in_time = next.duration_since(now) <= spacing * burst;
    if is_in_time {
        *due = Some(next + spacing);
    }
    is_in_time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates() -> [Gate; 2] {
        let limits = Limits::new(Rate { per_second: NonZeroU32::new(2).unwrap(), burst: 2 });
        [limits.gate(), limits.gate()]
    }

    #[test]
    fn each_path_is_asked_so_often_and_who_waits_is_let_in() {
        let ([one, other], now) = (gates(), Instant::now());
        let admitted = |gate: &Gate, after| gate.admit(now + Duration::from_millis(after)).is_some();
        assert_eq!([0, 0, 0, 0, 499].map(|after| admitted(&one, after)), [true, true, true, false, false]);
        assert!(admitted(&other, 0));
        assert_eq!([500, 501, 5000].map(|after| admitted(&one, after)), [true, false, true]);
    }

    #[test]
    fn each_user_is_counted_alone_and_only_so_many_are_remembered() {
        let (users, now) = (Users::default(), Instant::now());
        let most = OF_A_USER.burst as usize + 1;
        assert_eq!((0..100).filter(|_| users.admit("a", now)).count(), most);
        assert!(users.admit("b", now));
        assert!(users.admit("a", now + Duration::from_millis(50)));
        let later = now + Duration::from_secs(60);
        assert!((0..MOST_USERS).all(|user| users.admit(&user.to_string(), later)), "those before are forgotten");
        assert!(!users.admit("one too many", later) && users.admit("7", later));
    }

    #[test]
    fn no_more_are_worked_on_at_once_than_there_are_places_for() {
        let limits = Limits::new(Rate { per_second: NonZeroU32::MAX, burst: 100 });
        let (gate, now) = (limits.gate(), Instant::now());
        let working: Vec<_> = (0..AT_ONCE).map(|_| gate.admit(now)).collect();
        assert!(working.iter().all(Option::is_some) && gate.admit(now).is_none());
        drop(working);
        assert!(gate.admit(now).is_some());
    }
}
