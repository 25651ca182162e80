//! Sending requests: a dry run of everything, then stage by stage for real.
//!
//! Before the first change everything that the API server can judge has passed a dry run. What needs something that
//! the same sync creates (a kind, a namespace, a Role) is dry run once that stands. Every failing object is
//! reported, not just the first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};
use kube::Client;
use serde_json::Value;
use waxwing_plan::{FieldPath, LiveMark, ObjectId};

use super::FIELD_MANAGER;
use super::adoption::adopt;
use super::call::{Call, CallError, METADATA_ONLY};
use super::discovery::{Kinds, KindsCache};
use super::identity::Identity;
use super::marks::metadata;
use super::prerequisites::Prerequisites;
use super::release::Release;
use super::requests::{Request, Requests, UnboundPointer};

/// How many requests of one sync are on their way at once. What more or fewer would do stands in `benches/README.md`.
const CONCURRENT_WRITES: usize = 16;
/// How long new kinds are waited for after their CRDs were applied.
const KINDS_DEADLINE: Duration = Duration::from_secs(15);
/// How long what was just applied may take to count: the authorizer learns of new rights by a watch.
const SETTLING: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// What applying did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It didn't exist.
    Created,
    /// It was changed.
    Configured,
    /// It was as it should be.
    Unchanged,
}

impl Verb {
    /// Returns the word that users read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An object that was applied.
#[derive(Clone, Debug)]
pub struct Landed {
    /// The object.
    pub id: ObjectId,
    /// What happened to it.
    pub verb: Verb,
    /// The live object's mark after the apply.
    pub mark: LiveMark,
    /// Whether it belonged to nobody before and is ours from now on.
    pub adopted: bool,
}

/// When an object failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was changed.
    DryRun,
    /// Earlier objects have been applied.
    Apply,
}

/// Why an object failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The API server refused it or didn't answer.
    #[error("{0}")]
    Call(CallError),
    /// The API server doesn't have the kind.
    #[error("the cluster has no kind {kind} in {api_version}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// The group and version.
        api_version: String,
    },
    /// A value was bound to a place that the object doesn't have.
    #[error("{0}")]
    Unbound(UnboundPointer),
    /// There is such an object, and nobody has asked yet whose it is.
    #[error("it is there, and was taken for new")]
    AlreadyThere,
    /// A field that is to be left to others is part of a value that is only ever replaced as a whole.
    #[error("{field} of {id} is part of a value that is only ever replaced as a whole, so it can't be left to others")]
    OwnedAsAWhole {
        /// The object.
        id: ObjectId,
        /// The field.
        field: FieldPath,
    },
    /// The time for the sync was over before it was this object's turn.
    #[error("the time for this sync was over before it was sent")]
    OutOfTime,
}

/// An object that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The object.
    pub id: ObjectId,
    /// When.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
}

/// What came of a plan's requests.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The objects that were applied.
    pub landed: Vec<Landed>,
    /// The objects that failed; those that are in neither list were not tried.
    pub failures: Vec<Failure>,
}

/// One sync's connection to the API server, made for it and closed after it, since it carries secret values.
pub struct Session<'a> {
    /// The connection.
    pub client: Client,
    /// As whom objects are applied and deleted.
    pub identity: Identity,
    /// The kinds of the cluster.
    pub kinds: &'a KindsCache,
    /// When no further request is sent, so that what came of those before can still be written down.
    pub deadline: Instant,
}

/// Hears of an object that was applied.
pub(super) type Note<'a> = &'a (dyn Fn(&Request, &Landed) + Sync);

/// The requests that can't be judged yet, with what the API server said.
type Waiting = BTreeMap<ObjectId, Cause>;

/// Says that all requests that the API server can judge before the first change have passed their dry run.
pub struct Judged(Waiting);

impl Session<'_> {
    /// Dry runs all requests. Fields that are left to others are given up before that, which changes no object's content.
    ///
    /// # Errors
    ///
    /// Returns every object that failed, except for want of something that another request makes.
    pub async fn dry_run(&self, requests: &Requests) -> Result<Judged, Vec<Failure>> {
        let mut applied = Applied::default();
        self.release_all(requests, &mut applied).await;
        if !applied.failures.is_empty() {
            return Err(applied.failures);
        }
        let all = requests.iter().collect();
        let waiting = self.judge(all, &Prerequisites::of(requests), Phase::DryRun, &mut applied).await;
        if applied.failures.is_empty() { Ok(Judged(waiting)) } else { Err(applied.failures) }
    }

    /// Applies requests that were dry run stage by stage; stops at the first stage with a failure. `note` hears of each object that was
    /// applied as soon as the API server has said so, since whoever waits for all of them may be cut off.
    pub async fn apply(&self, requests: &Requests, judged: Judged, note: Note<'_>) -> Applied {
        let prerequisites = Prerequisites::of(requests);
        let Judged(mut waiting) = judged;
        let mut applied = Applied::default();
        for stage in requests.stages() {
            if !applied.failures.is_empty() {
                break;
            }
            self.apply_stage(stage, &prerequisites, note, &mut waiting, &mut applied).await;
        }
        applied
    }

    async fn apply_stage(
        &self,
        stage: &[Request],
        made: &Prerequisites,
        note: Note<'_>,
        waiting: &mut Waiting,
        applied: &mut Applied,
    ) {
        let mut pending: Vec<&Request> = stage.iter().collect();
        let mut patience = Instant::now() + SETTLING;
        while !pending.is_empty() && applied.failures.is_empty() {
            let again = pending.iter().copied().filter(|request| waiting.contains_key(&request.id)).collect();
            let still = self.judge(again, made, Phase::Apply, applied).await;
            waiting.retain(|id, _| !pending.iter().any(|request| request.id == *id));
            let (later, ready): (Vec<_>, Vec<_>) = pending.iter().partition(|request| still.contains_key(&request.id));
            let may_settle = !applied.landed.is_empty() && Instant::now() < patience;
            match ready.is_empty() {
                true if may_settle => tokio::time::sleep(POLL).await,
                true => return give_up(still, applied),
                false if applied.failures.is_empty() => {
                    self.send_all(&ready, note, applied).await;
                    self.await_kinds(made, &ready).await;
                    patience = Instant::now() + SETTLING;
                }
                false => {}
            }
            waiting.extend(still);
            pending = later;
        }
    }

    /// Dry runs `requests`; failures go to `applied`, what must wait for something that this sync makes is returned.
    async fn judge(
        &self,
        requests: Vec<&Request>,
        made: &Prerequisites,
        phase: Phase,
        applied: &mut Applied,
    ) -> Waiting {
        let verdicts = each(&requests, |request| self.dry_run_one(request)).await;
        let mut waiting = Waiting::new();
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            match verdict {
                Ok(()) => {}
                Err(cause) if made.explain(request, &cause) => drop(waiting.insert(request.id.clone(), cause)),
                Err(cause) => applied.failures.push(failure(request.id.clone(), phase, cause)),
            }
        }
        waiting
    }

    async fn send_all(&self, requests: &[&Request], note: Note<'_>, applied: &mut Applied) {
        let results = each(requests, |request| self.land(request, note)).await;
        for (request, result) in requests.iter().zip(results) {
            match result {
                Ok(landed) => applied.landed.push(landed),
                Err(cause) => applied.failures.push(failure(request.id.clone(), Phase::Apply, cause)),
            }
        }
    }

    async fn land(&self, request: &Request, note: Note<'_>) -> Result<Landed, Cause> {
        if request.adopts {
            self.adopt(request).await?;
        }
        let answer = self.send(request, false).await?;
        let malformed = |_| Cause::Call(CallError::malformed(&request.id.to_string()));
        let mark = LiveMark::from_metadata(&answer).map_err(malformed)?;
        let verb = match &request.live_version {
            None => Verb::Created,
            Some(version) if *version == mark.resource_version => Verb::Unchanged,
            Some(_) => Verb::Configured,
        };
        let mut landed = Landed { id: request.id.clone(), verb, mark, adopted: request.adopts };
        // The values are there now, whatever comes of the rest.
        note(request, &landed);
        if request.live_version.is_none() && !request.left_to_others.is_empty() {
            let answer = self.release(request, Some(answer)).await?;
            landed.mark = LiveMark::from_metadata(&answer).map_err(malformed)?;
        }
        Ok(landed)
    }

    async fn adopt(&self, request: &Request) -> Result<(), Cause> {
        let kinds = self.kinds.get().await.map_err(Cause::Call)?;
        let path = object_path(&kinds, request)?;
        let live = metadata(&self.client, &path, &self.identity).await.map_err(Cause::Call)?;
        adopt(&self.client, &self.identity, &path, &live).await.map_err(Cause::Call)?;
        match request.left_to_others.is_empty() {
            true => Ok(()),
            false => self.release(request, None).await.map(|_| ()),
        }
    }

    /// Gives up the fields of live objects that are left to others, so that an apply without them leaves them as they are.
    async fn release_all(&self, requests: &Requests, applied: &mut Applied) {
        let live = |request: &&Request| request.live_version.is_some() && !request.adopts;
        for request in requests.iter().filter(live).filter(|request| !request.left_to_others.is_empty()) {
            if let Err(cause) = self.release(request, None).await {
                applied.failures.push(failure(request.id.clone(), Phase::DryRun, cause));
            }
        }
    }

    /// Gives up the fields of one object that are left to others, from its metadata where that has just been read.
    async fn release(&self, request: &Request, live: Option<Value>) -> Result<Value, Cause> {
        let kinds = self.kinds.get().await.map_err(Cause::Call)?;
        let path = object_path(&kinds, request)?;
        let release = Release {
            client: &self.client,
            identity: &self.identity,
            path: &path,
            id: &request.id,
            skeleton: request.skeleton(),
            fields: &request.left_to_others,
        };
        let live = match live {
            Some(live) => live,
            None => release.live().await?,
        };
        release.run(live).await
    }

    /// Asks what the API server would make of a request. An object that exists has a resourceVersion also in this answer, one
    /// that would be new has none.
    async fn dry_run_one(&self, request: &Request) -> Result<(), Cause> {
        let answer = self.send(request, true).await?;
        let version = answer.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        if request.presumed_absent && !version.is_empty() { Err(Cause::AlreadyThere) } else { Ok(()) }
    }

    async fn send(&self, request: &Request, dry_run: bool) -> Result<Value, Cause> {
        if Instant::now() >= self.deadline {
            return Err(Cause::OutOfTime);
        }
        let kinds = self.kinds.get().await.map_err(Cause::Call)?;
        let mut path = object_path(&kinds, request)?;
        path.push_str(&format!("?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict"));
        if dry_run {
            path.push_str("&dryRun=All");
        }
        let body = request.body().map_err(Cause::Unbound)?;
        let call = Call::apply(&path, body).accept(METADATA_ONLY).privacy(request.privacy());
        call.send(&self.client, &self.identity).await.map_err(Cause::Call)
    }

    /// Waits until the kinds of CRDs that have just been applied are served; what isn't by then fails by itself.
    async fn await_kinds(&self, made: &Prerequisites, applied: &[&Request]) {
        let wanted = made.kinds_defined_by(applied);
        if wanted.is_empty() {
            return;
        }
        let served = async {
            loop {
                let kinds = self.kinds.refresh().await;
                if kinds.is_ok_and(|kinds| wanted.iter().all(|(kind, version)| kinds.served(kind, version).is_some())) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(KINDS_DEADLINE, served).await.is_err() {
            tracing::warn!(kinds = wanted.len(), "kinds of applied definitions are not served yet");
        }
    }
}

/// Sends several requests side by side, and returns what came of each, in their order.
async fn each<'r, F>(requests: &[&'r Request], send: impl Fn(&'r Request) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send,
{
    let numbered = |(number, request): (usize, &&'r Request)| send(request).map(move |result| (number, result)).boxed();
    let all: Vec<_> = requests.iter().enumerate().map(numbered).collect();
    let mut results: Vec<_> = stream::iter(all).buffer_unordered(CONCURRENT_WRITES).collect().await;
    results.sort_unstable_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn object_path(kinds: &Kinds, request: &Request) -> Result<String, Cause> {
    let unknown = || Cause::UnknownKind {
        kind: request.id.kind.kind.clone(),
        api_version: request.id.kind.api_version(&request.version),
    };
    kinds.object_path(&request.id, &request.version).ok_or_else(unknown)
}

/// What waited for something that this sync has made by now, and still is refused, has failed.
fn give_up(waiting: Waiting, applied: &mut Applied) {
    applied.failures.extend(waiting.into_iter().map(|(id, cause)| failure(id, Phase::Apply, cause)));
}

fn failure(id: ObjectId, phase: Phase, cause: Cause) -> Failure {
    Failure { id, phase, cause }
}

/// Tells whether a cause says that the object or its namespace is being deleted.
pub fn is_terminating(cause: &Cause) -> bool {
    matches!(cause, Cause::Call(CallError::Refused(refusal)) if refusal.terminating)
}
