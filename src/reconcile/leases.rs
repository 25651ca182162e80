//! What stores made for the objects of each Sync: until when it is good, when it is renewed, and how it ends.
//!
//! A secret that was made is nowhere but in the cluster. What is kept of it is in memory alone: its lease, with the login that carries it. That
//! there is one, and until when, stands in the status of the Sync too, so that a controller that starts leaves alone what is good for a
//! while; renew it can't, so it has another made in time. One that was replaced stays good for a time; one whose object or Sync was deleted
//! is revoked at once. Not here: whom a Sync may ask for one (`backends`), and when it does (`steps::leased`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::runtime::Handle;
use waxwing_plan::ObjectId;

use super::backends::Lease;
use super::job::Job;
use super::report::whole_seconds;
use crate::api::{LEASES_LIMIT, LeaseStatus};

/// How long a lease is left alone, if nothing else is to be done, that could not be renewed and has ended.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// Which secret of which object it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeaseKey {
    /// The object, as [`ObjectId`] writes it.
    pub(super) object: String,
    /// The backend.
    pub(super) backend: String,
    /// The path in it.
    pub(super) path: String,
}

/// A secret that was made, and whose value is on its way to the cluster. Not `Debug`.
pub(super) struct Issued {
    pub(super) key: LeaseKey,
    pub(super) object: ObjectId,
    /// What tells it from the one before.
    pub(super) stamp: String,
    pub(super) lease: Lease,
}

/// What is to be done about what an object has.
pub(super) enum Due {
    /// Nothing: it is this one, and good for a while.
    Stays(String),
    /// It is to be renewed.
    Renewal(Arc<Lease>),
    /// There is none, or none that can be renewed.
    Replacement,
}

/// What stores made for objects. Not `Debug`.
#[derive(Clone, Default)]
pub struct Leases(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    /// By the uid of the Sync.
    syncs: HashMap<String, OfSync>,
    /// What was replaced, and when it is revoked.
    retiring: Vec<(Instant, Arc<Lease>)>,
}

impl All {
    /// Has all of it end by itself.
    fn leave(&self) {
        let held = self.syncs.values().flat_map(|of_sync| of_sync.held.values()).filter_map(|held| held.lease.as_ref());
        held.chain(self.retiring.iter().map(|(_, lease)| lease)).for_each(|lease| lease.leave());
    }
}

/// However the controller ends, also when another leads of a sudden: what it applied goes on.
impl Drop for All {
    fn drop(&mut self) {
        self.leave();
    }
}

#[derive(Default)]
struct OfSync {
    held: BTreeMap<LeaseKey, Held>,
    /// What is to be made, by what is to tell it from the one before.
    wanted: BTreeMap<LeaseKey, String>,
    is_revoked_at_the_end: bool,
}

struct Held {
    stamp: String,
    /// None where it was made before this controller started.
    lease: Option<Arc<Lease>>,
    /// The generation of the Sync under which it was last found to be allowed.
    generation: Option<i64>,
    issued: (Instant, Timestamp),
    ends: (Instant, Timestamp),
    /// When it is renewed or replaced.
    due: Instant,
    /// Before that it is not tried again for its own sake.
    not_before: Instant,
    /// Whether the Sync asks for it.
    is_asked_for: bool,
}

impl Held {
    fn status(&self, key: &LeaseKey) -> LeaseStatus {
        let LeaseKey { object, backend, path } = key.clone();
        let time = |time| Time(whole_seconds(time));
        let (issued_at, expires_at) = (time(self.issued.1), time(self.ends.1));
        LeaseStatus { object, backend, path, id: self.stamp.clone(), issued_at, expires_at }
    }

    /// Reads what an earlier controller wrote down.
    fn recalled(status: &LeaseStatus, now: Instant) -> (LeaseKey, Self) {
        let LeaseStatus { object, backend, path, id, issued_at, expires_at } = status.clone();
        let clock = Timestamp::now();
        let apart =
            |one: Timestamp, other: Timestamp| Duration::try_from(one.duration_since(other)).unwrap_or_default();
        let issued = now.checked_sub(apart(clock, issued_at.0)).unwrap_or(now);
        let ends = now + apart(expires_at.0, clock);
        let held = Self {
            stamp: id,
            lease: None,
            generation: None,
            issued: (issued, issued_at.0),
            ends: (ends, expires_at.0),
            // Nobody can renew it any more.
            due: now + early(ends.saturating_duration_since(now)) / 2,
            not_before: now,
            is_asked_for: false,
        };
        (LeaseKey { object, backend, path }, held)
    }
}

impl Leases {
    /// Notes that nothing is asked for that a Sync does not ask for from now on.
    pub(super) fn ask_anew(&self, job: &Job<'_>) {
        let mut all = self.all();
        of_sync(&mut all, job, Instant::now()).held.values_mut().for_each(|held| held.is_asked_for = false);
    }

    /// Returns what tells the secret that an object has, or is to get, from any other; nothing where the store has to be asked about it.
    pub(super) fn fresh(&self, job: &Job<'_>, key: &LeaseKey, is_requested: bool) -> Option<String> {
        let (mut all, now) = (self.all(), Instant::now());
        let of_sync = of_sync(&mut all, job, now);
        if let Some(stamp) = of_sync.wanted.get(key) {
            return Some(stamp.clone());
        }
        let held = of_sync.held.get_mut(key)?;
        held.is_asked_for = true;
        if held.due <= now {
            held.not_before = now + pause(held.ends.0.saturating_duration_since(now));
        }
        let is_current = held.due > now && held.generation == job.sync.metadata.generation;
        (is_current && !is_requested).then(|| held.stamp.clone())
    }

    /// Returns what tells the secret that an object has from any other; nothing where it has none.
    pub(super) fn applied(&self, job: &Job<'_>, key: &LeaseKey) -> Option<String> {
        let mut all = self.all();
        of_sync(&mut all, job, Instant::now()).held.get(key).map(|held| held.stamp.clone())
    }

    /// Tells whether a Sync has nothing that was made, and is to get nothing.
    pub(super) fn is_without(&self, job: &Job<'_>) -> bool {
        let mut all = self.all();
        let of_sync = of_sync(&mut all, job, Instant::now());
        of_sync.held.is_empty() && of_sync.wanted.is_empty()
    }

    /// Says what is to be done about what an object has of the server at `place`.
    pub(super) fn due(&self, job: &Job<'_>, key: &LeaseKey, place: &str) -> Due {
        let (mut all, now) = (self.all(), Instant::now());
        let Some(held) = of_sync(&mut all, job, now).held.get_mut(key) else { return Due::Replacement };
        held.generation = job.sync.metadata.generation;
        match &held.lease {
            Some(lease) if lease.place != place => Due::Replacement,
            _ if held.due > now => Due::Stays(held.stamp.clone()),
            Some(lease) if lease.ends() > now => Due::Renewal(lease.clone()),
            _ => Due::Replacement,
        }
    }

    /// Notes that a lease was renewed.
    pub(super) fn renewed(&self, job: &Job<'_>, key: &LeaseKey) -> Option<String> {
        let (mut all, now) = (self.all(), Instant::now());
        let held = of_sync(&mut all, job, now).held.get_mut(key)?;
        let ends = held.lease.as_ref()?.ends();
        held.ends = (ends, on_the_clock(ends, now));
        (held.due, held.not_before) = (now + early(ends.saturating_duration_since(now)), now);
        Some(held.stamp.clone())
    }

    /// Notes that an object is to get another secret, and returns what will tell it from the one before.
    pub(super) fn replace(&self, job: &Job<'_>, key: &LeaseKey) -> String {
        let mut all = self.all();
        let wanted = &mut of_sync(&mut all, job, Instant::now()).wanted;
        wanted.entry(key.clone()).or_insert_with(random).clone()
    }

    /// Takes what was made into its care before it is sent: what does not arrive is revoked, though not at once, since it may have arrived
    /// all the same.
    pub(super) fn send(&self, job: &Job<'_>, issued: Vec<Issued>) -> Sending {
        let generation = job.sync.metadata.generation;
        Sending { leases: self.clone(), uid: job.id.uid.clone(), generation, issued }
    }

    /// Ends what objects have that are deleted, or refer to it no more.
    pub(super) fn keep(
        &self,
        job: &Job<'_>,
        rendered: &BTreeSet<LeaseKey>,
        kept: &BTreeSet<String>,
        deleted: &BTreeSet<ObjectId>,
    ) {
        let (mut all, now) = (self.all(), Instant::now());
        let of_sync = of_sync(&mut all, job, now);
        of_sync.wanted.retain(|key, _| rendered.contains(key));
        let deleted: BTreeSet<String> = deleted.iter().map(ObjectId::to_string).collect();
        let is_unused = |key: &LeaseKey, held: &mut Held| {
            held.is_asked_for &= rendered.contains(key);
            !rendered.contains(key)
                && (kept.contains(&key.object) || deleted.contains(&key.object) || held.ends.0 <= now)
        };
        let unused: Vec<_> = of_sync.held.extract_if(.., is_unused).collect();
        drop(all);
        for (key, held) in unused {
            let lease = held.lease.filter(|_| !deleted.contains(&key.object));
            lease.into_iter().for_each(|lease| self.retire(lease));
        }
    }

    /// Says whether what a Sync has is revoked once the Sync is gone, since its objects are, or ends by itself. To be said before the Sync can
    /// go: whoever sees that forgets it.
    pub(super) fn revoke_at_the_end(&self, sync: &str, is_revoked: bool) {
        self.all().syncs.get_mut(sync).into_iter().for_each(|of_sync| of_sync.is_revoked_at_the_end = is_revoked);
    }

    /// Forgets a Sync that is gone. What it has ends by itself unless it was to be revoked: its objects may still be there.
    pub(super) fn forget(&self, sync: &str) {
        let gone = self.all().syncs.remove(sync);
        gone.iter()
            .filter(|of_sync| !of_sync.is_revoked_at_the_end)
            .flat_map(|of_sync| of_sync.held.values())
            .filter_map(|held| held.lease.as_ref())
            .for_each(|lease| lease.leave());
    }

    /// Returns how soon something of a Sync has to be renewed or replaced; none where there is nothing.
    pub(super) fn due_in(&self, sync: &str, now: Instant) -> Option<Duration> {
        let all = self.all();
        let of_sync = all.syncs.get(sync)?;
        let held = of_sync.held.iter().filter(|(key, held)| held.is_asked_for && !of_sync.wanted.contains_key(key));
        held.map(|(_, held)| held.due.max(held.not_before).saturating_duration_since(now)).min()
    }

    /// Returns what a Sync has, for its status; none where that was not looked at since the start.
    pub(super) fn listed(&self, sync: &str) -> Option<Vec<LeaseStatus>> {
        let all = self.all();
        let mut listed: Vec<_> = all.syncs.get(sync)?.held.iter().map(|(key, held)| held.status(key)).collect();
        listed.sort_by(|one, other| one.expires_at.cmp(&other.expires_at).then_with(|| one.object.cmp(&other.object)));
        listed.truncate(LEASES_LIMIT);
        Some(listed)
    }

    /// Returns how many leases a Sync has, since when it has the oldest, and when the first ends.
    pub(super) fn ages(&self, sync: &str) -> Option<(usize, Instant, Instant)> {
        let all = self.all();
        let held = || all.syncs.get(sync).into_iter().flat_map(|of_sync| of_sync.held.values());
        Some((held().count(), held().map(|held| held.issued.0).min()?, held().map(|held| held.ends.0).min()?))
    }

    /// Revokes a lease once consumers had time to read what replaced it.
    fn retire(&self, lease: Arc<Lease>) {
        // When the controller ends, so does this, and the lease by itself.
        let Ok(runtime) = Handle::try_current() else { return lease.leave() };
        let (leases, after) = (self.clone(), lease.revoke_after);
        self.all().retiring.push((Instant::now() + after, lease));
        drop(runtime.spawn(async move {
            tokio::time::sleep(after).await;
            let now = Instant::now();
            let over: Vec<_> = leases.all().retiring.extract_if(.., |(until, _)| *until <= now).collect();
            drop(over);
        }));
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was made and is being sent. What was not said to have arrived when this goes is revoked after a time.
pub(super) struct Sending {
    leases: Leases,
    uid: String,
    generation: Option<i64>,
    issued: Vec<Issued>,
}

impl Sending {
    /// Notes which objects have got what was made for them; what they had before is revoked after a time.
    pub(super) fn arrived(mut self, landed: &BTreeSet<ObjectId>) {
        let arrived: Vec<_> = self.issued.extract_if(.., |issued| landed.contains(&issued.object)).collect();
        let mut replaced = Vec::new();
        let mut all = self.leases.all();
        let of_sync = all.syncs.entry(self.uid.clone()).or_default();
        let now = Instant::now();
        for Issued { key, stamp, lease, .. } in arrived {
            let ends = lease.ends();
            let held = Held {
                stamp,
                lease: Some(Arc::new(lease)),
                generation: self.generation,
                issued: (now, Timestamp::now()),
                ends: (ends, on_the_clock(ends, now)),
                due: now + early(ends.saturating_duration_since(now)),
                not_before: now,
                is_asked_for: true,
            };
            of_sync.wanted.remove(&key);
            replaced.extend(of_sync.held.insert(key, held).and_then(|before| before.lease));
        }
        drop(all);
        replaced.into_iter().for_each(|lease| self.leases.retire(lease));
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.issued.drain(..).for_each(|issued| self.leases.retire(Arc::new(issued.lease)));
    }
}

/// Finds what a Sync has; at first, what an earlier controller wrote down of it.
fn of_sync<'a>(all: &'a mut All, job: &Job<'_>, now: Instant) -> &'a mut OfSync {
    all.syncs.entry(job.id.uid.clone()).or_insert_with(|| {
        let known = job.sync.status.iter().flat_map(|status| &status.leases);
        OfSync { held: known.map(|status| Held::recalled(status, now)).collect(), ..OfSync::default() }
    })
}

/// Returns when something is done about what is good for so long: a little before two thirds of it are over, since not all that began together
/// should be renewed together.
fn early(left: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers it is two thirds.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    left * 2 / 3 - left / 15 * u32::from(byte[0]) / 255
}

/// Returns how long a lease is left alone that is being renewed, should that fail: it is tried a few times.
fn pause(left: Duration) -> Duration {
    if left.is_zero() { AFTER_THE_END } else { (left / 6).max(Duration::from_secs(1)) }
}

fn on_the_clock(time: Instant, now: Instant) -> Timestamp {
    let clock = Timestamp::now();
    clock.checked_add(time.saturating_duration_since(now)).unwrap_or(clock)
}

fn random() -> String {
    let mut bytes = [0; 8];
    let is_random = aws_lc_rs::rand::fill(&mut bytes).is_ok();
    // Without random numbers, what is as good as one.
    let number = if is_random { u64::from_be_bytes(bytes) } else { Timestamp::now().as_nanosecond() as u64 };
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_good_for_long_is_renewed_before_two_thirds_of_that_are_over_and_not_all_at_once() {
        let left = Duration::from_secs(3600);
        let all: BTreeSet<Duration> = (0..100).map(|_| early(left)).collect();
        assert!(all.iter().all(|early| (left * 3 / 5..=left * 2 / 3).contains(early)), "{all:?}");
        assert!(all.len() > 10, "{all:?}");
        assert_eq!(early(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn what_an_earlier_controller_wrote_down_is_replaced_in_time_whatever_the_clock_says_by_now() {
        let now = Instant::now();
        let time = |seconds: i64| Time(whole_seconds(Timestamp::now() + jiff::SignedDuration::from_secs(seconds)));
        let text = |text: &str| text.to_owned();
        let status = |issued: i64, expires: i64| LeaseStatus {
            object: text("Secret/shop/db"),
            backend: text("SecretBackend vault"),
            path: text("database/creds/shop"),
            id: text("0123456789abcdef"),
            issued_at: time(issued),
            expires_at: time(expires),
        };
        for (issued, expires, latest) in
            [(-60, 60, 20), (-120, -60, 0), (60, 30, 10), (-1, i64::from(u32::MAX), u64::MAX)]
        {
            let status = status(issued, expires);
            let (key, held) = Held::recalled(&status, now);
            assert!(held.due.saturating_duration_since(now) <= Duration::from_secs(latest), "{issued} {expires}");
            assert!(held.lease.is_none() && held.generation.is_none(), "it is asked about, and can't be renewed");
            assert_eq!(held.status(&key), status);
        }
    }
}
