//! Takes part in the election: follows, takes the lease, renews it, and gives it up.
//!
//! When this process may write is a matter of the fence; here it is told so, always counted from before the request that renewed the
//! lease was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::runtime::events::{Event as Notice, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use tokio_util::sync::CancellationToken;

use super::error::LeaseError;
use super::identity::Identity;
use super::record::{self, held, holder, released};
use super::timing::Timing;
use crate::cluster::{ApiServer, Fence, Moment, watching};
use crate::metrics::Metrics;

/// How long the answers to writes that are on their way are waited for at the end; without them the lease is not given up but left to run out.
pub(in crate::runtime) const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// How long giving it up may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where the lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Place {
    pub(in crate::runtime) namespace: String,
    pub(in crate::runtime) name: String,
}

/// What others wait for.
#[derive(Clone, Debug, Default)]
pub(in crate::runtime) struct Leading {
    /// Cancelled once it is known whether this process leads or follows.
    pub(in crate::runtime) settled: CancellationToken,
    /// Cancelled once this process leads.
    pub(in crate::runtime) leading: CancellationToken,
}

/// The part that this process takes in the election.
pub(in crate::runtime) struct Election {
    api: Api<Lease>,
    recorder: Recorder,
    pub(super) place: Place,
    pub(super) identity: Identity,
    pub(super) timing: Timing,
    pub(super) fence: Arc<Fence>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) standing: Leading,
    /// Cancelled when this process takes no further part.
    pub(super) over: CancellationToken,
    /// Whether a request that takes the lease was sent whose answer was not heard, nor that of a later one.
    is_unheard: AtomicBool,
    /// The lease as this process has it; locked while it takes part.
    held: tokio::sync::Mutex<Option<Lease>>,
}

/// Why a question about the lease brought no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the API server answered {0}")]
    Refused(u16),
    #[error("the API server did not answer")]
    Unanswered,
}

impl Trouble {
    /// Tells whether somebody else wrote the lease meanwhile.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(404 | 409))
    }
}

impl Election {
    /// Prepares to take part; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// Fails when there is no connection.
    pub(in crate::runtime) fn new(
        server: &ApiServer,
        place: Place,
        timing: Timing,
        fence: Arc<Fence>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LeaseError> {
        let client: Client = server.connect_unfenced().map_err(|_| LeaseError::Connection)?;
        let identity = Identity::of_this_process();
        let reporter = Reporter { controller: "waxwing".to_owned(), instance: Some(identity.as_str().to_owned()) };
        Ok(Self {
            api: Api::namespaced(client.clone(), &place.namespace),
            recorder: Recorder::new(client, reporter),
            place,
            identity,
            timing,
            fence,
            metrics,
            standing: Leading::default(),
            over: CancellationToken::new(),
            is_unheard: AtomicBool::new(false),
            held: tokio::sync::Mutex::default(),
        })
    }

    /// Returns what tells how it goes.
    pub(in crate::runtime) fn standing(&self) -> Leading {
        self.standing.clone()
    }

    /// Takes part until the lease can't be had at all, or is lost to another one, or [`Election::end`] is called; in the last case it
    /// never returns.
    pub(in crate::runtime) async fn run(&self) -> LeaseError {
        let lost = {
            let mut held = self.held.lock().await;
            self.take_part(&mut held).await
        };
        match lost {
            Some(lost) => lost,
            None => std::future::pending().await,
        }
    }

    /// Ends the part of this process: what was written is waited for, and the lease is given up, if it has it.
    pub(in crate::runtime) async fn end(&self) {
        self.over.cancel();
        let mut held = self.held.lock().await;
        let is_answered = self.fence.drain(LAST_ANSWERS).await;
        self.metrics.leads(false);
        let taken = match held.take() {
            None if self.is_unheard.swap(false, Ordering::Relaxed) => self.taken_unheard().await,
            taken => taken,
        };
        let Some(lease) = taken else { return };
        if !is_answered {
            tracing::warn!(
                "requests that write were not answered in time, so the lease is not given up but left to run out"
            );
            return;
        }
        match tokio::time::timeout(LAST_WORDS, self.give_up(lease)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(lease))) => {
                tracing::info!("gave up the lease");
                let notice = self.notice("Stop", "stopped leading");
                let about = lease.object_ref(&());
                // Whoever follows leads by now, with or without the event.
                let _ = tokio::time::timeout(LAST_WORDS, self.recorder.publish(&notice, &about)).await;
            }
            Ok(Err(error)) => tracing::warn!(%error, "failed to give up the lease; it is left to run out"),
            Err(_) => tracing::warn!("failed to give up the lease in time; it is left to run out"),
        }
    }

    /// Returns the lease as it is then, or nothing if it is another one's.
    async fn give_up(&self, lease: Lease) -> Result<Option<Lease>, Trouble> {
        let released_as_it_was = self.replace(&released(&lease, Timestamp::now())).await;
        match released_as_it_was {
            Err(error) if error.is_conflict() => match self.get().await? {
                // A renewal of ours came late, or somebody wrote beside it.
                Some(now) if holder(&now) == Some(self.identity.as_str()) => {
                    Ok(Some(self.replace(&released(&now, Timestamp::now())).await?))
                }
                _ => Ok(None),
            },
            replaced => Ok(Some(replaced?)),
        }
    }

    /// Returns the lease where a request that took it was carried out though its answer was not heard.
    async fn taken_unheard(&self) -> Option<Lease> {
        let lease = tokio::time::timeout(LAST_WORDS, self.get()).await.ok()?.ok()??;
        (holder(&lease) == Some(self.identity.as_str())).then_some(lease)
    }

    /// Returns how the lease can't be had or was lost, none where this process takes no further part.
    async fn take_part(&self, held: &mut Option<Lease>) -> Option<LeaseError> {
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.place.name));
        let mut news = watching(self.api.clone(), only).boxed();
        let (lease, begun) = match self.follow(&mut news).await {
            Ok(Some(taken)) => taken,
            Ok(None) => return None,
            Err(error) => return Some(error),
        };
        let lease = held.insert(lease);
        if self.over.is_cancelled() {
            return None;
        }
        self.allow(begun);
        tracing::info!(lease = %self.place, identity = self.identity.as_str(), "this controller leads");
        self.standing.settled.cancel();
        self.standing.leading.cancel();
        let (recorder, notice, about) =
            (self.recorder.clone(), self.notice("Lead", "became leader"), lease.object_ref(&()));
        // It is told beside the work, and nothing depends on it.
        tokio::spawn(async move { recorder.publish(&notice, &about).await });
        let now = tokio::select! {
            biased;
            () = self.over.cancelled() => return None,
            now = self.lead(lease, begun, &mut news) => now,
        };
        self.fence.close();
        self.metrics.leads(false);
        *held = None;
        let Place { namespace, name } = self.place.clone();
        Some(LeaseError::Lost { namespace, name, now })
    }

    /// Sends a request that takes the lease. It is heard to its end also while this process ends, but not for long.
    pub(super) async fn taken(&self, taking: impl Future<Output = Result<Lease, Trouble>>) -> Result<Lease, Trouble> {
        self.is_unheard.store(true, Ordering::Relaxed);
        let no_longer = async {
            self.over.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let taken = tokio::select! {
            biased;
            taken = taking => taken,
            () = no_longer => Err(Trouble::Unanswered),
        };
        // Of an error of the server nobody knows whether it was carried out.
        let is_unheard = matches!(taken, Err(Trouble::Unanswered | Trouble::Refused(500..)));
        self.is_unheard.store(is_unheard, Ordering::Relaxed);
        taken
    }

    /// Lets this process write for a while, since it has the lease by a request that was begun then.
    pub(super) fn allow(&self, begun: Moment) {
        self.fence.open_until(begun.after(self.timing.renew()));
        self.metrics.leads(true);
    }

    pub(super) async fn get(&self) -> Result<Option<Lease>, Trouble> {
        self.ask(self.api.get_opt(&self.place.name)).await
    }

    pub(super) async fn create(&self) -> Result<Lease, Trouble> {
        let lease = record::new(&self.place.name, self.identity.as_str(), self.timing, Timestamp::now());
        self.ask(self.api.create(&PostParams::default(), &lease)).await
    }

    /// Takes or renews a lease as it was seen; its resourceVersion is part of what is sent.
    pub(super) async fn hold(&self, lease: &Lease) -> Result<Lease, Trouble> {
        self.replace(&held(lease, self.identity.as_str(), self.timing, Timestamp::now())).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Trouble> {
        self.ask(self.api.replace(&self.place.name, &PostParams::default(), lease)).await
    }

    async fn ask<T>(&self, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Trouble> {
        match tokio::time::timeout(self.timing.answer(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(Trouble::Refused(status.code)),
            Ok(Err(_)) | Err(_) => Err(Trouble::Unanswered),
        }
    }

    /// Returns an event; another `action` makes it another one, instead of a further one of a series.
    fn notice(&self, action: &str, what: &str) -> Notice {
        Notice {
            type_: EventType::Normal,
            reason: "LeaderElection".to_owned(),
            note: Some(format!("{} {what}", self.identity.as_str())),
            action: action.to_owned(),
            secondary: None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
