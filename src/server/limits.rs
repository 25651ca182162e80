//! Limits of what costs private-key operations: how often, and how many at once. A [`Gate`] counts requests, whoever they are from:
//! all that come through the API server's proxy come from its address, and headers say what their sender likes. [`Users`] counts those of
//! each of whom the API server has said who they are.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
#[derive(Clone, Default)]
pub(super) struct Users(Arc<Mutex<HashMap<String, Standing>>>);

/// What is known of one of them.
#[derive(Default)]
struct Standing {
    due: Option<Instant>,
    is_asking: bool,
}

/// The one place of a user, from before the body of a request is read until it is answered; free again when this is dropped.
pub(super) struct Turn {
    users: Users,
    user: String,
}

impl Users {
    /// Lets a request of a user in, or not.
    pub(super) fn admit(&self, user: &str, now: Instant) -> Option<Turn> {
        let mut known = self.known();
        if known.len() >= MOST_USERS {
            known.retain(|_, standing| standing.is_asking || standing.due.is_some_and(|due| due > now));
        }
        if known.len() >= MOST_USERS && !known.contains_key(user) {
            return None;
        }
        let standing = known.entry(user.to_owned()).or_default();
        let is_let_in = !standing.is_asking && is_in_time(&mut standing.due, OF_A_USER, now);
        standing.is_asking |= is_let_in;
        is_let_in.then(|| Turn { users: self.clone(), user: user.to_owned() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(standing) = self.users.known().get_mut(&self.user) {
            standing.is_asking = false;
        }
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
        let is_let_in = |user: &str, now| users.admit(user, now).is_some();
        assert_eq!((0..100).filter(|_| is_let_in("a", now)).count(), most);
        assert!(is_let_in("b", now));
        assert!(is_let_in("a", now + Duration::from_millis(50)));
        let later = now + Duration::from_secs(60);
        assert!((0..MOST_USERS).all(|user| is_let_in(&user.to_string(), later)), "those before are forgotten");
        assert!(!is_let_in("one too many", later) && is_let_in("7", later));
    }

    #[test]
    fn a_user_has_one_place_and_others_have_theirs() {
        let (users, now) = (Users::default(), Instant::now());
        let turn = users.admit("a", now).unwrap();
        assert!(users.admit("a", now).is_none() && users.admit("b", now).is_some());
        drop(turn);
        assert!(users.admit("a", now).is_some());
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
