//! What is remembered about objects that others write to: which news of them starts a reconcile, and which objects are
//! contested. Whether an object has drifted is not decided here, but by each plan anew.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use waxwing_plan::{Change, ManagerMark, ObjectId, OwnerMark, Plan, Touch};

use crate::api::Sync;
use crate::cluster::{Marks, News};

/// Reverted this many times within `FIGHT`, an object is contested.
const REVERTS: usize = 3;
const FIGHT: Duration = Duration::from_secs(5 * 60);

/// How long the status of objects may go on moving before their Sync is woken: it seldom moves alone.
const SETTLING: Duration = Duration::from_millis(300);

/// How long what others write is gathered before its Sync is woken: who writes over one object often writes over many, and to
/// look at one is to plan for all.
const GATHERING: Duration = Duration::from_millis(100);

/// Turns news of objects into reconciles of their Syncs. News that comes while a Sync is reconciled is held back until that has
/// ended: most of it is about what the reconcile itself did.
pub struct Alarms {
    busy: Mutex<HashMap<OwnerMark, Vec<News>>>,
    /// What each Sync has planned for. A mark can be copied, so it alone must not wake anybody.
    own: Mutex<HashMap<OwnerMark, HashSet<ObjectId>>>,
    wake: mpsc::UnboundedSender<ObjectRef<Sync>>,
}

impl Alarms {
    /// Wakes Syncs through `wake`.
    pub fn new(wake: mpsc::UnboundedSender<ObjectRef<Sync>>) -> Self {
        Self { busy: Mutex::default(), own: Mutex::default(), wake }
    }

    /// Listens for as long as there is news; what turns out to be our own doing wakes nobody.
    pub(super) async fn listen(&self, mut news: mpsc::UnboundedReceiver<News>, marks: &Marks) {
        // Syncs to be woken, with the time.
        let mut later: HashMap<OwnerMark, Instant> = HashMap::new();
        loop {
            let next = later.values().min().map_or_else(|| Instant::now() + Duration::from_secs(60), |due| *due);
            let heard = tokio::time::timeout_at(next.into(), news.recv()).await;
            match heard {
                Ok(Some(news)) if self.matters(&news) && marks.is_news(&news) => {
                    let due = Instant::now() + pause(news.touch);
                    let known = later.entry(news.owner).or_insert(due);
                    *known = due.min(*known);
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => later.extract_if(|_, due| *due <= next).for_each(|(owner, _)| self.wake(&owner)),
            }
        }
    }

    /// Tells whether news is about what its Sync has planned for, and doesn't have to be held back.
    fn matters(&self, news: &News) -> bool {
        if !self.own().get(&news.owner).is_some_and(|own| own.contains(&news.id)) {
            return false;
        }
        match self.busy().get_mut(&news.owner) {
            Some(held) => {
                held.push(news.clone());
                false
            }
            None => true,
        }
    }

    /// Notes which objects a Sync has planned for: news of others is none of its business.
    pub(super) fn mind(&self, owner: &OwnerMark, own: HashSet<ObjectId>) {
        self.own().insert(owner.clone(), own);
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, owner: &OwnerMark) {
        self.own().remove(owner);
    }

    /// Holds news of a Sync's objects back.
    pub(super) fn begin(&self, owner: &OwnerMark) {
        self.busy().insert(owner.clone(), Vec::new());
    }

    /// Lets the news of a Sync's objects through again.
    pub(super) fn end(&self, owner: &OwnerMark, marks: &Marks) {
        let held = self.busy().remove(owner).unwrap_or_default();
        if held.iter().any(|news| marks.is_news(news)) {
            self.wake(owner);
        }
    }

    fn own(&self) -> MutexGuard<'_, HashMap<OwnerMark, HashSet<ObjectId>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<OwnerMark, Vec<News>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes a Sync.
    pub(super) fn wake(&self, owner: &OwnerMark) {
        // The receiver lives as long as the controllers do; after that there is nobody to wake.
        let _ = self.wake.send(ObjectRef::new(&owner.name).within(&owner.namespace));
    }
}

fn pause(touch: Touch) -> Duration {
    match touch {
        Touch::Marks => GATHERING,
        Touch::Others => SETTLING,
    }
}

/// The objects that others write over again and again, by the uid of their Sync.
#[derive(Default)]
pub struct Contests(Mutex<HashMap<String, HashMap<ObjectId, Contest>>>);

/// How often an object was reverted of late.
#[derive(Default)]
struct Contest {
    /// The last ones, oldest first.
    reverts: Vec<Instant>,
    contested: bool,
}

impl Contest {
    fn note(&mut self, now: Instant) {
        self.reverts.push(now);
        let surplus = self.reverts.len().saturating_sub(REVERTS);
        self.reverts.drain(..surplus);
        let in_a_row = self.reverts.first().is_some_and(|first| now.duration_since(*first) <= FIGHT);
        self.contested |= self.reverts.len() == REVERTS && in_a_row;
    }

    fn is_older_than(&self, age: Duration, now: Instant) -> bool {
        self.reverts.last().is_none_or(|last| now.duration_since(*last) >= age)
    }
}

impl Contests {
    /// Returns the objects of a Sync that are contested and were reverted less than `interval` ago, so that they are left.
    pub(super) fn left(&self, sync: &str, interval: Duration, now: Instant) -> BTreeSet<ObjectId> {
        let all = self.all();
        let contests = all.get(sync).into_iter().flatten();
        let left = contests.filter(|(_, contest)| contest.contested && !contest.is_older_than(interval, now));
        left.map(|(id, _)| id.clone()).collect()
    }

    /// Notes which objects of a plan that was carried out were reverted, and forgets those that have been left alone by others
    /// for an interval, and for as long as a fight lasts.
    pub(super) fn note(&self, sync: &str, plan: &Plan, interval: Duration, now: Instant) {
        let mut all = self.all();
        let contests = all.entry(sync.to_owned()).or_default();
        for step in plan.steps() {
            let id = &step.manifest.id;
            match step.change {
                Change::Drifted { .. } | Change::Missing => contests.entry(id.clone()).or_default().note(now),
                Change::Left { .. } => {}
                _ if contests.get(id).is_some_and(|contest| contest.is_older_than(interval.max(FIGHT), now)) => {
                    contests.remove(id);
                }
                _ => {}
            }
        }
        if contests.is_empty() {
            all.remove(sync);
        }
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, sync: &str) {
        self.all().remove(sync);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, HashMap<ObjectId, Contest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says who wrote over an object, as far as the cluster tells.
pub(super) fn writers(by: &[ManagerMark]) -> String {
    let writer = |mark: &ManagerMark| format!("{} wrote at {}", mark.manager, mark.time);
    match by.is_empty() {
        true => "somebody wrote over it".to_owned(),
        false => by.iter().map(writer).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use waxwing_plan::GroupKind;

    use super::*;

    #[test]
    fn an_object_is_contested_once_it_was_reverted_three_times_in_five_minutes() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut slow = Contest::default();
        [0, 3, 6].iter().for_each(|minutes| slow.note(start + minute * *minutes));
        assert!(!slow.contested);
        let mut fast = Contest::default();
        [0, 1].iter().for_each(|minutes| fast.note(start + minute * *minutes));
        assert!(!fast.contested);
        fast.note(start + minute * 5);
        assert!(fast.contested);
    }

    #[test]
    fn a_contested_object_is_left_until_the_interval_is_over() {
        let id = ObjectId::namespaced(GroupKind::new("", "ConfigMap"), "shop", "web");
        let (contests, start) = (Contests::default(), Instant::now());
        let mut contest = Contest::default();
        (0..3).for_each(|_| contest.note(start));
        contests.all().insert("uid".to_owned(), HashMap::from([(id.clone(), contest)]));
        let interval = Duration::from_secs(600);
        assert_eq!(contests.left("uid", interval, start), BTreeSet::from([id]));
        assert_eq!(contests.left("uid", interval, start + interval), BTreeSet::new());
        assert_eq!(contests.left("other", interval, start), BTreeSet::new());
    }

    #[test]
    fn writers_are_named_with_their_times() {
        let mark = |manager: &str| ManagerMark {
            manager: manager.to_owned(),
            operation: "Update".to_owned(),
            time: "2026-01-02T03:04:05Z".to_owned(),
        };
        assert_eq!(
            writers(&[mark("kubectl-edit"), mark("hpa")]),
            "kubectl-edit wrote at 2026-01-02T03:04:05Z, hpa wrote at 2026-01-02T03:04:05Z"
        );
        assert_eq!(writers(&[]), "somebody wrote over it");
    }
}
