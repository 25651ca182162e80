//! Renews the lease for as long as this process has it.
//!
//! A leader that can't renew it stops writing in time, and goes on otherwise: an API server that is away is no reason to end. If the lease is
//! still its own when it is back, nobody else can have led meanwhile, and it writes again.

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::Event;
use tokio::time::sleep;

use super::election::{Election, Trouble};
use super::following::News;
use super::record::{holder, transitions};
use crate::cluster::Moment;

/// What became of the lease.
enum Renewal {
    /// It is renewed, with a request that was begun then.
    Held(Box<Lease>, Moment),
    /// It is lost, as this says.
    Lost(String),
}

impl Election {
    /// Leads, and returns how the lease was lost. `lease` is kept as it is now; the request that took it was begun at `begun`.
    pub(super) async fn lead(&self, lease: &mut Lease, mut begun: Moment, news: &mut News) -> String {
        loop {
            let renewing = async {
                self.wait_for_turn(news).await;
                self.renew(lease).await
            };
            let renewed = tokio::select! {
                renewed = renewing => renewed,
                never = self.stop_writing_in_time(begun) => match never {},
            };
            match renewed {
                Ok(Renewal::Lost(now)) => return now,
                Ok(Renewal::Held(now, when)) => {
                    if !self.fence.lets_through() {
                        tracing::info!(lease = %self.place, "the lease is renewed; this controller leads and writes again");
                    }
                    (*lease, begun) = (*now, when);
                    self.allow(begun);
                }
                Err(error) => {
                    tracing::warn!(lease = %self.place, %error, "failed to renew the lease; it is tried again")
                }
            }
        }
    }

    /// Gives up what is on its way when the time is over that the lease was renewed for.
    async fn stop_writing_in_time(&self, begun: Moment) -> std::convert::Infallible {
        if self.fence.lets_through() {
            sleep(begun.after(self.timing.renew()).since(Moment::now())).await;
            let after = self.timing.renew();
            tracing::warn!(lease = %self.place, ?after, "the lease could not be renewed; nothing is written until it is");
        }
        self.fence.close();
        self.metrics.leads(false);
        std::future::pending().await
    }

    /// Waits until it is time to renew the lease, or somebody else did something with it.
    async fn wait_for_turn(&self, news: &mut News) {
        let mut turn = std::pin::pin!(sleep(self.timing.pause()));
        loop {
            let is_own = |lease: &Lease| holder(lease) == Some(self.identity.as_str());
            let seen = tokio::select! {
                () = &mut turn => return,
                Some(event) = news.next() => event,
            };
            match seen {
                Ok(Event::Apply(lease)) if !is_own(&lease) => return,
                Ok(Event::Delete(_)) => return,
                // What is listed first may be older than what this process wrote.
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the watch of the lease broke; it is begun again"),
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, Trouble> {
        let begun = Moment::now();
        match self.hold(lease).await {
            Ok(lease) => return Ok(Renewal::Held(Box::new(lease), begun)),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        let now = self.get().await?;
        let (begun, may_write) = (Moment::now(), self.fence.lets_through());
        let renewed = match now {
            // Somebody wrote beside it, or a request of ours came late.
            Some(now) if self.is_ours(&now) && (may_write || transitions(&now) == transitions(lease)) => {
                self.hold(&now).await?
            }
            Some(now) if holder(&now).is_none() && may_write => self.hold(&now).await?,
            None if may_write => self.create().await?,
            Some(now) => {
                let holder = holder(&now).unwrap_or("nobody");
                return Ok(Renewal::Lost(format!("{holder} has it")));
            }
            None => return Ok(Renewal::Lost("it was deleted while it could not be renewed".to_owned())),
        };
        Ok(Renewal::Held(Box::new(renewed), begun))
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == Some(self.identity.as_str())
    }
}
