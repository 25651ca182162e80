//! Waits until the lease may be taken, and takes it.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::{self, Event};
use tokio::time::{Instant, sleep};

use super::election::{Election, Trouble};
use super::error::LeaseError;
use super::sight::Sight;
use crate::cluster::Moment;

/// The least pause between two tries.
const BREATH: Duration = Duration::from_millis(20);

/// What a watch of the lease says.
pub(super) type News = BoxStream<'static, Result<Event<Lease>, watcher::Error>>;

impl Election {
    /// Follows until this process has the lease; returns it, and when the request that took it was begun, or nothing where this process
    /// takes no further part. What takes the lease is not broken off by that.
    ///
    /// # Errors
    ///
    /// Fails when somebody has to change something before there can be a lease, and that is so from the start.
    pub(super) async fn follow(&self, news: &mut News) -> Result<Option<(Lease, Moment)>, LeaseError> {
        let (mut sight, mut leader) = (Sight::default(), None);
        loop {
            // It is asked for as well: a watch that says nothing may be broken.
            let wait = match self.try_to_take(&mut sight).await {
                Ok(Some(taken)) => return Ok(Some(taken)),
                Ok(None) => self.patience(&sight).max(BREATH),
                Err(Trouble::Refused(code @ (401 | 403 | 404))) if !self.standing.settled.is_cancelled() => {
                    return Err(self.refused(code));
                }
                Err(Trouble::Refused(code)) => {
                    tracing::warn!(error = %self.refused(code), "failed to look for the lease; it is tried again");
                    self.timing.pause()
                }
                Err(Trouble::Unanswered) => {
                    tracing::warn!(lease = %self.place, "the API server doesn't answer; it is asked for the lease again");
                    self.timing.pause()
                }
            };
            self.say_who_leads(&sight, &mut leader);
            tokio::select! {
                biased;
                () = self.over.cancelled() => return Ok(None),
                () = self.wait_for_change(&mut sight, wait, news) => {}
            }
        }
    }

    /// Takes the lease if it is nobody's; returns nothing if it isn't, or if somebody was faster.
    async fn try_to_take(&self, sight: &mut Sight) -> Result<Option<(Lease, Moment)>, Trouble> {
        let seen = tokio::select! {
            biased;
            () = self.over.cancelled() => return Ok(None),
            seen = self.get() => seen?,
        };
        sight.note(seen, Moment::now(), self.timing.lease());
        let is_over = |holder: &str| holder == self.identity.as_str() || self.identity.knows_dead(holder);
        if !sight.free_in(Moment::now()).is_zero() && !sight.holder().is_some_and(is_over) {
            return Ok(None);
        }
        let begun = Moment::now();
        let taken = match sight.lease() {
            Some(lease) => match self.taken(self.hold(lease)).await {
                Err(error) if error.is_conflict() => return Ok(None),
                taken => taken,
            },
            None => match self.taken(self.create()).await {
                Err(Trouble::Refused(409)) => return Ok(None),
                taken => taken,
            },
        };
        Ok(Some((taken?, begun)))
    }

    /// Waits so long, or until the lease may be taken earlier; while its holder renews it, that is later and later.
    async fn wait_for_change(&self, sight: &mut Sight, wait: Duration, news: &mut News) {
        let mut over = std::pin::pin!(sleep(wait));
        loop {
            let seen = tokio::select! {
                () = &mut over => return,
                Some(event) = news.next() => event,
            };
            match seen {
                Ok(Event::Apply(lease) | Event::InitApply(lease)) => self.note(sight, Some(lease)),
                Ok(Event::Delete(_)) => self.note(sight, None),
                Ok(Event::Init | Event::InitDone) => continue,
                Err(error) => {
                    tracing::debug!(%error, "the watch of the lease broke; it is begun again");
                    continue;
                }
            }
            over.as_mut().reset(Instant::now() + self.patience(sight));
        }
    }

    /// Returns how long it is waited until the lease is asked for again: until it is free, but no longer than ours is good for, whatever somebody
    /// wrote into it.
    fn patience(&self, sight: &Sight) -> Duration {
        sight.free_in(Moment::now()).min(self.timing.lease())
    }

    fn note(&self, sight: &mut Sight, lease: Option<Lease>) {
        sight.note(lease, Moment::now(), self.timing.lease());
    }

    fn say_who_leads(&self, sight: &Sight, said: &mut Option<String>) {
        let Some(holder) = sight.holder() else { return };
        if said.as_deref() != Some(holder) {
            tracing::info!(lease = %self.place, leader = holder, "another controller leads; this one follows, and writes nothing");
            *said = Some(holder.to_owned());
        }
        self.standing.settled.cancel();
    }

    fn refused(&self, code: u16) -> LeaseError {
        LeaseError::Refused { namespace: self.place.namespace.clone(), name: self.place.name.clone(), code }
    }
}
