//! Limits of what costs private-key operations: how often, and how many at once. A [`Gate`] counts requests, whoever they are from:
//! all that come through the API server's proxy come from its address, and headers say what their sender likes. [`Users`] counts those of
//! each of whom the API server has said who they are, and lets them wait for their turn.

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

/// Places that are waited for in order: by so many, and until so long.
pub(super) struct Line {
    places: Arc<Semaphore>,
    all: usize,
    waiting: Semaphore,
}

impl Line {
    pub(super) fn new(places: usize, waiting: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), all: places, waiting: Semaphore::new(waiting) }
    }

    /// Returns a place as soon as it is the caller's turn; none where too many wait already, or it is not by then.
    pub(super) async fn wait(&self, until: Instant) -> Option<OwnedSemaphorePermit> {
        // None is left while anybody waits: what gets free is theirs.
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        tokio::time::timeout_at(until.into(), self.places.clone().acquire_owned()).await.ok()?.ok()
    }

    /// Tells whether who comes now is turned away.
    pub(super) fn is_full(&self) -> bool {
        self.places.available_permits() == 0 && self.waiting.available_permits() == 0
    }

    fn is_idle(&self) -> bool {
        self.places.available_permits() == self.all
    }
}

/// How often each of those may ask whom the API server knows; the ServiceAccounts of one namespace together twice as often.
const OF_A_USER: Rate = Rate { per_second: NonZeroU32::new(20).unwrap(), burst: 40 };
const OF_A_NAMESPACE: Rate = Rate { per_second: NonZeroU32::new(40).unwrap(), burst: 80 };
/// So many requests of each wait for the one before, and of the ServiceAccounts of a namespace for the two before.
const WAITING_OF_A_USER: usize = 8;
const WAITING_OF_A_NAMESPACE: usize = 16;
const PLACES_OF_A_NAMESPACE: usize = 2;
/// So many users and namespaces are remembered at the same time.
const MOST_USERS: usize = 10_000;

/// The limits of callers who have shown who they are, each for itself, and the ServiceAccounts of a namespace together as well: whoever may
/// make one may make many.
#[derive(Default)]
pub(super) struct Users(Mutex<HashMap<String, Standing>>);

/// What is known of one of them.
struct Standing {
    rate: Rate,
    due: Option<Instant>,
    line: Arc<Line>,
}

/// The place of a user, from before the body of a request is read until its answer is written; free again when this is dropped.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _of_namespace: Option<OwnedSemaphorePermit>,
}

impl Users {
    /// Returns a user's turn once it comes; none where too many of his requests wait already, it does not come by then, or he asks too
    /// often.
    pub(super) async fn turn(&self, user: &str, until: Instant) -> Option<Turn> {
        let own = self.line(user, Standing::of_user, Instant::now())?.wait(until).await?;
        let namespace = namespace(user);
        let of_namespace = match &namespace {
            Some(namespace) => Some(self.line(namespace, Standing::of_namespace, Instant::now())?.wait(until).await?),
            None => None,
        };
        let is_in_time = |name: &str| self.is_in_time(name, Instant::now());
        let is_let_in = is_in_time(user) && namespace.as_deref().is_none_or(is_in_time);
        is_let_in.then_some(Turn { _own: own, _of_namespace: of_namespace })
    }

    fn line(&self, name: &str, new: fn() -> Standing, now: Instant) -> Option<Arc<Line>> {
        let mut known = self.known();
        if known.len() >= MOST_USERS {
            known.retain(|_, standing| standing.is_remembered(now));
        }
        if known.len() >= MOST_USERS && !known.contains_key(name) {
            return None;
        }
        Some(known.entry(name.to_owned()).or_insert_with(new).line.clone())
    }

    fn is_in_time(&self, name: &str, now: Instant) -> bool {
        let mut known = self.known();
        known.get_mut(name).is_some_and(|standing| is_in_time(&mut standing.due, standing.rate, now))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn of_user() -> Self {
        Self { rate: OF_A_USER, due: None, line: Arc::new(Line::new(1, WAITING_OF_A_USER)) }
    }

    fn of_namespace() -> Self {
        let line = Line::new(PLACES_OF_A_NAMESPACE, WAITING_OF_A_NAMESPACE);
        Self { rate: OF_A_NAMESPACE, due: None, line: Arc::new(line) }
    }

    fn is_remembered(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due > now) || !self.line.is_idle() || Arc::strong_count(&self.line) > 1
    }
}

/// Returns the beginning of the names of all ServiceAccounts of the namespace that a user is one of.
fn namespace(user: &str) -> Option<String> {
    let (namespace, _) = user.strip_prefix(OF_SERVICE_ACCOUNTS)?.split_once(':')?;
    Some(format!("{OF_SERVICE_ACCOUNTS}{namespace}:"))
}

/// How the names of ServiceAccounts begin (`serviceaccount.MakeUsername` of Kubernetes).
const OF_SERVICE_ACCOUNTS: &str = "system:serviceaccount:";

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
        let is_let_in =
            |user: &str, now| users.line(user, Standing::of_user, now).is_some() && users.is_in_time(user, now);
        assert_eq!((0..100).filter(|_| is_let_in("a", now)).count(), most);
        assert!(is_let_in("b", now));
        assert!(is_let_in("a", now + Duration::from_millis(50)));
        let later = now + Duration::from_secs(60);
        assert!((0..MOST_USERS).all(|user| is_let_in(&user.to_string(), later)), "those before are forgotten");
        assert!(!is_let_in("one too many", later) && is_let_in("7", later));
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn requests_of_a_user_wait_for_the_one_before_in_order_and_only_so_many() {
        let (users, now) = (Users::default(), Instant::now());
        let first = users.turn("a", now + LONG).await.unwrap();
        assert!(users.turn("b", now).await.is_some());
        assert!(users.turn("a", now).await.is_none(), "it is not his turn by then");
        let mut waiting: Vec<_> = (0..WAITING_OF_A_USER).map(|_| Box::pin(users.turn("a", now + LONG))).collect();
        for turn in &mut waiting {
            assert!(futures::poll!(turn).is_pending());
        }
        assert!(users.turn("a", now + LONG).await.is_none(), "too many wait");
        drop(first);
        let last = waiting.pop().unwrap();
        for turn in waiting {
            assert!(turn.await.is_some());
        }
        assert!(last.await.is_some());
    }

    #[tokio::test]
    async fn the_service_accounts_of_a_namespace_have_two_places_together() {
        let (users, now) = (Users::default(), Instant::now());
        let turn = |user: &'static str| users.turn(user, now);
        let [first, second] = ["system:serviceaccount:shop:a", "system:serviceaccount:shop:b"].map(turn);
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert!(turn("system:serviceaccount:shop:c").await.is_none());
        assert!(turn("system:serviceaccount:shop-2:c").await.is_some());
        assert!(turn("system:node:shop").await.is_some());
        drop(first);
        assert!(turn("system:serviceaccount:shop:c").await.is_some());
        drop(second);
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
