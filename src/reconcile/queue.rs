//! Who is next: whoever wants a turn waits for it in a queue, once, and the namespaces take turns.
//!
//! kube's own controller gives turns in the order of a hash map once all places are taken, so that under load some wait for as
//! long as it lasts (`docs/decisions/016-turns.md`). When somebody is due is still kept by kube's scheduler.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::select;
use futures::{Stream, StreamExt};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When turns are given.
pub(crate) struct Times<'a> {
    /// How many have one at the same time.
    pub(crate) at_once: usize,
    /// Cancelled when the first may be given.
    pub(crate) open: CancellationToken,
    /// Cancelled when no further one may be given.
    pub(crate) stop: &'a CancellationToken,
}

/// One of the places of those that have a turn at the same time. Who gives it back before his turn is over lets the next one begin.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Gives turns to those that ask as [`give_turns_with_places`] does; each keeps its place until it is over.
pub(crate) async fn give_turns<K, F>(
    asked: impl Stream<Item = ObjectRef<K>>,
    times: Times<'_>,
    turn: impl Fn(ObjectRef<K>) -> F,
) where
    K: Resource<DynamicType = ()> + 'static,
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let with_place = |who, place| {
        let turn = turn(who);
        async {
            let _place: Place = place;
            turn.await
        }
    };
    give_turns_with_places(asked, times, with_place).await;
}

/// Gives turns to those that ask, until it is told to stop and those that were given are over. A turn returns when to come back
/// for the next one, or nothing to wait until somebody asks.
///
/// Nobody has two turns at once; who is asked for meanwhile has another one after.
pub(crate) async fn give_turns_with_places<K, F>(
    asked: impl Stream<Item = ObjectRef<K>>,
    times: Times<'_>,
    turn: impl Fn(ObjectRef<K>, Place) -> F,
) where
    K: Resource<DynamicType = ()> + 'static,
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(times.at_once));
    let (later, again) = mpsc::unbounded_channel();
    let asked = asked.map(|who| ScheduleRequest { message: who, run_at: Instant::now() });
    let mut due = pin!(scheduler(select(asked, received(again))));
    let (mut queue, mut turns, mut is_open) = (Queue::default(), JoinSet::new(), false);
    loop {
        tokio::select! {
            () = times.stop.cancelled() => break,
            () = times.open.cancelled(), if !is_open => is_open = true,
            Ok(permit) = places.clone().acquire_owned(), if is_open && !times.stop.is_cancelled() && queue.has_any() => {
                if let Some(who) = queue.next() {
                    let turn = turn(who.clone(), Place { _permit: permit });
                    turns.spawn(async { (who, turn.await) });
                }
            }
            Some(who) = due.next() => queue.ask(who),
            Some(over) = turns.join_next() => {
                let (who, pause) = result(over);
                let waits_again = queue.is_over(who.clone());
                if let Some(pause) = pause.filter(|_| !waits_again) {
                    // It is received here as well.
                    let _ = later.send(ScheduleRequest { message: who, run_at: Instant::now() + pause });
                }
            }
        }
    }
    while let Some(over) = turns.join_next().await {
        result(over);
    }
}

/// Turns a channel into a stream.
pub(crate) fn received<T: Send + 'static>(
    receiver: mpsc::UnboundedReceiver<T>,
) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) })
}

/// Returns what a turn came to. One that panicked ends the process like any other panic does.
fn result<T>(over: Result<T, JoinError>) -> T {
    over.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Those that wait, and those that have their turn.
struct Queue<K: Resource<DynamicType = ()>> {
    /// The namespaces in which somebody waits, in the order of their next turns.
    namespaces: VecDeque<Option<String>>,
    /// Those that wait, in the order in which they asked, by namespace.
    waiting: HashMap<Option<String>, VecDeque<ObjectRef<K>>>,
    /// The same, to find them.
    wait: HashSet<ObjectRef<K>>,
    /// Those that have their turn, and whether they were asked for since it began.
    have_it: HashMap<ObjectRef<K>, bool>,
}

impl<K: Resource<DynamicType = ()>> Default for Queue<K> {
    fn default() -> Self {
        Self { namespaces: VecDeque::new(), waiting: HashMap::new(), wait: HashSet::new(), have_it: HashMap::new() }
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Queue<K> {
    /// Notes that somebody wants a turn.
    fn ask(&mut self, who: ObjectRef<K>) {
        if let Some(asked_again) = self.have_it.get_mut(&who) {
            *asked_again = true;
        } else if self.wait.insert(who.clone()) {
            let waiting = self.waiting.entry(who.namespace.clone()).or_default();
            if waiting.is_empty() {
                self.namespaces.push_back(who.namespace.clone());
            }
            waiting.push_back(who);
        }
    }

    /// Tells whether anybody waits.
    fn has_any(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// Returns whose turn begins now, if anybody waits.
    fn next(&mut self) -> Option<ObjectRef<K>> {
        let namespace = self.namespaces.pop_front()?;
        let waiting = self.waiting.get_mut(&namespace)?;
        let who = waiting.pop_front()?;
        match waiting.is_empty() {
            true => drop(self.waiting.remove(&namespace)),
            false => self.namespaces.push_back(namespace),
        }
        self.wait.remove(&who);
        self.have_it.insert(who.clone(), false);
        Some(who)
    }

    /// Notes that a turn is over, and tells whether its resource waits for another one already.
    fn is_over(&mut self, who: ObjectRef<K>) -> bool {
        let asked_again = self.have_it.remove(&who).unwrap_or(false);
        if asked_again {
            self.ask(who);
        }
        asked_again
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn named(name: &str) -> ObjectRef<ConfigMap> {
        let (namespace, name) = name.split_once('/').unwrap();
        ObjectRef::new(name).within(namespace)
    }

    fn ask(queue: &mut Queue<ConfigMap>, names: &[&str]) {
        names.iter().for_each(|name| queue.ask(named(name)));
    }

    fn order(queue: &mut Queue<ConfigMap>) -> Vec<String> {
        std::iter::from_fn(|| queue.next()).map(|who| format!("{}/{}", who.namespace.unwrap(), who.name)).collect()
    }

    #[test]
    fn the_namespaces_take_turns_and_in_each_the_first_to_ask_is_the_first() {
        let mut queue = Queue::default();
        ask(&mut queue, &["many/c", "many/a", "many/b", "few/z", "many/d", "few/y"]);
        assert_eq!(order(&mut queue), ["many/c", "few/z", "many/a", "few/y", "many/b", "many/d"]);
        assert_eq!((queue.namespaces.len(), queue.waiting.len(), queue.wait.len()), (0, 0, 0));
    }

    #[test]
    fn who_waits_is_not_queued_twice_and_who_is_asked_for_in_a_turn_has_another_one_after() {
        let mut queue = Queue::default();
        ask(&mut queue, &["a/one", "a/one", "a/two"]);
        assert_eq!(order(&mut queue), ["a/one", "a/two"]);
        ask(&mut queue, &["a/one", "a/one"]);
        assert_eq!(order(&mut queue), [""; 0]);
        assert!(queue.is_over(named("a/one")));
        assert!(!queue.is_over(named("a/two")));
        assert_eq!(order(&mut queue), ["a/one"]);
        assert!(!queue.is_over(named("a/one")));
        assert!(queue.have_it.is_empty());
    }

    #[tokio::test]
    async fn under_any_load_all_have_as_many_turns() {
        let (open, stop) = (CancellationToken::new(), CancellationToken::new());
        open.cancel();
        let times = Times { at_once: 2, open, stop: &stop };
        let turns = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
        let all: Vec<_> = (0..50).map(|number| named(&format!("a/{number}"))).collect();
        let turn = |who: ObjectRef<ConfigMap>| {
            let (turns, stop) = (turns.clone(), stop.clone());
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await; // is its work
                let mut turns = turns.lock().unwrap();
                *turns.entry(who.name).or_default() += 1;
                if turns.values().sum::<usize>() >= 1000 {
                    stop.cancel();
                }
                Some(Duration::from_millis(5)) // By then five times as many ask as have had a turn.
            }
        };
        give_turns(stream::iter(all).chain(stream::pending()), times, turn).await;
        let turns = turns.lock().unwrap();
        assert_eq!(turns.len(), 50);
        assert!(turns.values().all(|count| (18..=22).contains(count)), "{turns:?}");
    }

    #[tokio::test]
    async fn no_turn_is_given_before_it_is_open_and_those_that_were_given_end_after_it_was_told_to_stop() {
        let (open, stop) = (CancellationToken::new(), CancellationToken::new());
        let (begun, ended) = (CancellationToken::new(), CancellationToken::new());
        let turn = |_: ObjectRef<ConfigMap>| {
            assert!(open.is_cancelled());
            let (begun, ended, stop) = (begun.clone(), ended.clone(), stop.clone());
            async move {
                begun.cancel();
                stop.cancelled().await;
                tokio::task::yield_now().await;
                ended.cancel();
                None
            }
        };
        let times = Times { at_once: 1, open: open.clone(), stop: &stop };
        let asked = stream::iter([named("a/one"), named("a/two")]).chain(stream::pending());
        let steps = async {
            tokio::task::yield_now().await;
            assert!(!begun.is_cancelled());
            open.cancel();
            begun.cancelled().await;
            stop.cancel();
        };
        tokio::join!(give_turns(asked, times, turn), steps);
        assert!(ended.is_cancelled());
    }

    #[tokio::test]
    async fn who_gives_back_his_place_lets_the_next_begin_and_has_no_other_turn_before_his_is_over() {
        let (open, stop) = (CancellationToken::new(), CancellationToken::new());
        open.cancel();
        let (begun, mut beginnings) = mpsc::unbounded_channel();
        let turn = |who: ObjectRef<ConfigMap>, place: Place| {
            begun.send(who.name).unwrap();
            let stop = stop.clone();
            async move {
                drop(place);
                stop.cancelled().await;
                None
            }
        };
        let times = Times { at_once: 1, open, stop: &stop };
        let all = ["a/one", "a/two", "a/one", "a/three", "a/one"].map(named);
        let steps = async {
            let mut begun = Vec::new();
            while begun.len() < 3 {
                begun.extend(beginnings.recv().await);
            }
            stop.cancel();
            begun.sort();
            begun
        };
        let asked = stream::iter(all).chain(stream::pending());
        let ((), begun) = tokio::join!(give_turns_with_places(asked, times, turn), steps);
        assert_eq!(begun, ["one", "three", "two"]);
        assert!(beginnings.try_recv().is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "a defect")]
    async fn a_panic_in_a_turn_is_one_of_the_whole_process() {
        let (open, stop) = (CancellationToken::new(), CancellationToken::new());
        open.cancel();
        let times = Times { at_once: 1, open, stop: &stop };
        let asked = stream::iter([named("a/one")]).chain(stream::pending());
        give_turns(asked, times, |_| async { panic!("a defect") }).await;
    }
}
