//! Watches that begin anew, with a list, after every break.
//!
//! kube's watcher goes on from the resourceVersion that it has. An API server that was restored from a backup counts from a
//! lower one, and tells whoever asks for what came after a higher one nothing, until it gets there. So a break, without which
//! no API server is restored, is a reason to list. What a list says counts, also where it goes back in time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::Api;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use serde::de::DeserializeOwned;

/// The longest pause: so long it may take until an outage that is over is over here too.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After so long without a break the pauses begin anew; longer than any of them.
const CALM: Duration = Duration::from_secs(30);
/// How many objects one page of a list has.
const PAGE: u32 = 50;

/// Returns the pauses between the tries of a watch that breaks again and again: kube's own, but not as long.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    ResetTimerBackoff::new(DefaultBackoff::default(), CALM).map(|pause| pause.min(LONGEST_PAUSE))
}

/// Returns how all objects of a kind are watched: listed in pages so short that a list takes little memory on its way.
pub fn pages() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Watches until it is dropped; after each error it pauses, longer and longer, and lists anew.
pub fn watching<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let begin = move || watcher(api.clone(), config.clone()).boxed();
    let events = begin();
    stream::unfold((events, None, pauses()), move |(mut events, pause, mut pauses)| {
        let begin = begin.clone();
        async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
                events = begin();
            }
            let event = events.next().await?;
            let pause = event.is_err().then(|| pauses.next()).flatten();
            Some((event, (events, pause, pauses)))
        }
    })
}

/// Returns the objects that are there or were written. What is listed comes once all of it was, since only then a cache of the
/// same events has it.
pub fn objects<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send
where
    K: Send,
{
    let settled = events.scan(Vec::new(), |listed, event| {
        let ready = match event {
            Ok(Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                listed.push(Ok(object));
                Vec::new()
            }
            Ok(Event::InitDone) => std::mem::take(listed),
            Ok(Event::Apply(object)) => vec![Ok(object)],
            Ok(Event::Delete(_)) => Vec::new(),
            Err(error) => vec![Err(error)],
        };
        std::future::ready(Some(stream::iter(ready)))
    });
    settled.flatten()
}

/// Counts how often all objects of a kind were listed. What was written before a list began is in it.
#[derive(Debug, Default)]
pub struct Listings {
    begun: AtomicU64,
    done: AtomicU64,
}

impl Listings {
    /// Notes what an event of a watch says about lists.
    pub fn note<K>(&self, event: &Event<K>) {
        match event {
            Event::Init => drop(self.begun.fetch_add(1, Ordering::Relaxed)),
            Event::InitDone => self.done.store(self.begun.load(Ordering::Relaxed), Ordering::Relaxed),
            Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
    }

    /// Returns the number of the list that was begun last, as the time of something that is written now.
    pub fn now(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Tells whether everything was listed that was written at `then`, or something later in its place.
    pub fn include(&self, then: u64) -> bool {
        self.done.load(Ordering::Relaxed) > then
    }
}
