//! When it is written down what came of a SealedSecret: at once, but while Secrets are being made, after those. Pods wait for Secrets; a
//! status and an event cost the API server as much as making two.
//!
//! What is written is in `turn`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

/// How many are told at the same time: each takes two connections.
const AT_ONCE: usize = 4;
/// How long telling waits at the most for Secrets that are being made.
const LONGEST: Duration = Duration::from_secs(10);

/// Lets those tell that have something to tell.
pub(super) struct Telling {
    /// How many are making their Secrets; whoever waits is woken when nobody is.
    making: Arc<watch::Sender<usize>>,
    places: Semaphore,
}

/// One that makes its Secret, until this is dropped.
pub(super) struct Making(Arc<watch::Sender<usize>>);

impl Default for Telling {
    fn default() -> Self {
        Self { making: Arc::new(watch::Sender::new(0)), places: Semaphore::new(AT_ONCE) }
    }
}

impl Telling {
    /// Notes that somebody makes his Secret.
    pub(super) fn making(&self) -> Making {
        self.making.send_if_modified(|making| {
            *making += 1;
            false
        });
        Making(self.making.clone())
    }

    /// Returns a place among those that tell, once nobody makes his Secret or it has taken long enough; none if it is never to be.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.place_by(Instant::now() + LONGEST).await
    }

    async fn place_by(&self, due: Instant) -> Option<SemaphorePermit<'_>> {
        loop {
            let _ = timeout_at(due, self.making.subscribe().wait_for(|making| *making == 0)).await;
            let place = self.places.acquire().await.ok()?;
            // There may be others again.
            if *self.making.borrow() == 0 || Instant::now() >= due {
                return Some(place);
            }
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.0.send_if_modified(|making| {
            *making = making.saturating_sub(1);
            *making == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_where_no_secret_is_made_and_only_so_many_tell_at_once() {
        let telling = Telling::default();
        let mut places = Vec::new();
        for _ in 0..AT_ONCE {
            places.extend(telling.place().await);
        }
        let mut next = std::pin::pin!(telling.place());
        assert!(futures::poll!(next.as_mut()).is_pending());
        places.pop();
        assert!(next.await.is_some());
    }

    #[tokio::test]
    async fn who_has_something_to_tell_waits_for_the_last_secret_that_is_being_made() {
        let telling = Telling::default();
        let making = [telling.making(), telling.making()];
        let mut place = std::pin::pin!(telling.place());
        assert!(futures::poll!(place.as_mut()).is_pending());
        let [first, last] = making;
        drop(first);
        assert!(futures::poll!(place.as_mut()).is_pending());
        drop(last);
        assert!(place.await.is_some());
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_it_may_take() {
        let telling = Telling::default();
        let _making = telling.making();
        assert!(telling.place_by(Instant::now()).await.is_some());
    }
}
