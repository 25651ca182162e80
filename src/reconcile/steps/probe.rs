//! References into stores: asks which versions there are before a plan is made, and reads what the plan sends.
//!
//! A version is asked for when it was not, or when the time that its backend or a reference gives it is over; a value is read only for what
//! is sent, once for each secret, and ends with the sync. For an object that is not there yet it is read at once, with its version. Every
//! reference that fails is told at once. The asking itself is in `backends`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use serde_json::Value;
use waxwing_formats::reference::{Reference, Stored};
use waxwing_plan::{Manifest, ObjectId, Steering};

use super::change::session;
use super::leased;
use super::open::trouble;
use super::planned::Seen;
use crate::api::REQUESTED_AT;
use crate::reconcile::backends::{About, Backends, Found};
use crate::reconcile::leases::Issued;
use crate::reconcile::versions::{Intervals, Pair, Versions};
use crate::reconcile::{Job, Progress, Trouble};
use crate::render::Rendered;
use crate::unsealing::{self, Answered, MOST_OF_A_SYNC, RefusalKind, StoreRefusal, Stores};

/// How many requests for secrets are made at the same time for one Sync: as many as a backend is asked at once by all, unless it says otherwise.
pub(super) const ASKED_AT_ONCE: usize = 32;

/// What a probe found, and the backends if it had to ask. Not `Debug`.
pub(in crate::reconcile) struct Probed<'a> {
    pub(in crate::reconcile) versions: Arc<Versions>,
    backends: Option<Backends<'a>>,
    /// What was read to learn its version.
    read: Mutex<BTreeMap<Stored, Answered>>,
}

impl Probed<'_> {
    /// Takes versions that were found before.
    pub(in crate::reconcile) fn before(versions: Arc<Versions>) -> Self {
        Self { versions, backends: None, read: Mutex::default() }
    }

    /// Returns what was read already of some secrets, once.
    fn take(&self, needed: &BTreeSet<Stored>) -> BTreeMap<Stored, Answered> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a new revision all is needed, and looking up ten thousand paths takes longer than comparing them in their order.
        if read.len() == needed.len() && read.keys().eq(needed) {
            return std::mem::take(&mut *read);
        }
        needed.iter().filter_map(|stored| read.remove_entry(stored)).collect()
    }
}

/// Asks which versions the secrets have that the render refers to; of those that were asked about of late, nobody is asked, and neither is
/// for objects that are left alone.
pub(in crate::reconcile) async fn probe<'a>(
    job: &'a Job<'a>,
    rendered: &Rendered,
    seen: &Seen,
    progress: &mut Progress,
) -> Result<Probed<'a>, Trouble> {
    let mut wanted = leased::pairs(rendered, with_versions(rendered, seen));
    job.context.leases.ask_anew(job);
    if wanted.is_empty() {
        job.context.versions.keep(job, &Intervals::of(rendered), BTreeMap::new());
        return Ok(Probed::before(Arc::default()));
    }
    let bind_into: Vec<_> = job.sync.spec.secrets.bind_into.iter().map(|kind| kind.get().clone()).collect();
    let misplaced = unsealing::misplaced(rendered, &bind_into);
    wanted.retain(|(id, _)| !misplaced.contains_key(id));
    // In a box, since clients of clouds are nested deeper than the compiler looks.
    let asked = ask(job, rendered, seen, wanted).boxed().await;
    let misplaced: Vec<_> = misplaced.into_values().flatten().collect();
    let asked = match asked {
        asked if misplaced.is_empty() => asked,
        Ok(_) => Err(trouble(&misplaced)),
        Err(other) => Err(trouble(&misplaced).and(other)),
    };
    if let Err(trouble) = &asked {
        progress.unsealed(Some(trouble));
    }
    asked
}

/// Returns the objects that need secrets and are not left alone, as `waxwing.dev/reconcile: Disabled` says in Git or on the object.
fn with_versions<'a>(rendered: &'a Rendered, seen: &Seen) -> impl Iterator<Item = &'a ObjectId> {
    let annotations =
        |manifest: &'a Manifest| manifest.body.pointer("/metadata/annotations").and_then(Value::as_object);
    let is_left_alone = move |manifest: &'a Manifest| {
        let live = seen.live.get(&manifest.id).and_then(Option::as_ref);
        Steering::of(annotations(manifest)).reconcile_disabled
            || live.is_some_and(|live| live.steering.reconcile_disabled)
    };
    let with_references = |manifest: &&Manifest| rendered.references().contains_key(&manifest.id);
    let manifests =
        rendered.manifests().iter().filter(with_references).filter(move |manifest| !is_left_alone(manifest));
    manifests.map(|manifest| &manifest.id)
}

async fn ask<'a>(
    job: &'a Job<'a>,
    rendered: &Rendered,
    seen: &Seen,
    wanted: BTreeSet<Pair>,
) -> Result<Probed<'a>, Trouble> {
    let mut made = leased::fresh(job, &wanted, is_requested(job));
    let mut wanted = wanted;
    if !made.is_empty() {
        wanted.retain(|pair| !made.contains_key(pair));
    }
    let intervals = Intervals::of(rendered);
    let mut found = match is_requested(job) {
        true => BTreeMap::new(),
        false => job.context.versions.fresh(job, &intervals, Instant::now()),
    };
    let mut due: BTreeSet<Stored> = wanted.iter().map(|(_, stored)| stored.clone()).collect();
    found.retain(|stored, _| due.contains(stored));
    let (sent, all) = (of_absent(rendered, seen), due.len());
    if !found.is_empty() {
        due.retain(|stored| sent.contains(stored) || !found.contains_key(stored));
    }
    job.context.metrics.was_kept("version", all - due.len());
    if due.is_empty() {
        return Ok(Probed::before(Arc::new(Versions::new(rendered, found, made))));
    }
    let backends = Backends::read(job, session(job)?).await?;
    let (of_objects, due): (Vec<Stored>, Vec<Stored>) = due.into_iter().partition(|stored| backends.makes(stored));
    let of_objects: BTreeSet<Stored> = of_objects.into_iter().collect();
    let (both, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|stored| sent.contains(stored));
    let due: Vec<Stored> = due.into_iter().filter(|stored| !found.contains_key(stored)).collect();
    let mut refused = BTreeMap::new();
    let read = read_with_versions(&backends, both, &mut found, &mut refused).await;
    let asked = futures::stream::iter(backends.together(due, About::Versions));
    let answers = asked.map(async |together| backends.versions(together).await);
    for (stored, answer) in answers.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten() {
        match answer {
            Ok(version) => drop(found.insert(stored, version)),
            Err(refusal) => drop(refused.insert(stored, refusal)),
        }
    }
    job.context.versions.keep(job, &intervals, found.clone());
    let of_objects = wanted.into_iter().filter(|(_, stored)| of_objects.contains(stored)).collect();
    let (looked, not_renewed) = leased::look(&backends, of_objects).await;
    made.extend(looked);
    refused.extend(not_renewed);
    let versions = Arc::new(Versions::new(rendered, found, made));
    match refused.is_empty() {
        true => Ok(Probed { versions, backends: Some(backends), read: Mutex::new(read) }),
        false => Err(unresolved(rendered, &refused, &read, &backends)),
    }
}

/// Returns the secrets of objects that are not there, so that they will be sent.
fn of_absent(rendered: &Rendered, seen: &Seen) -> BTreeSet<Stored> {
    let is_absent = |id: &&ObjectId| seen.live.get(*id).is_none_or(Option::is_none);
    unsealing::secrets_needed(rendered, rendered.references().keys().filter(is_absent))
}

/// Reads secrets with their versions; returns as many as one sync may have.
async fn read_with_versions(
    backends: &Backends<'_>,
    wanted: Vec<Stored>,
    found: &mut BTreeMap<Stored, Found>,
    refused: &mut BTreeMap<Stored, StoreRefusal>,
) -> BTreeMap<Stored, Answered> {
    // Gathered as they come, which is nearly their order, and put into it at once.
    let (mut versions, mut read, mut size) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()), 0);
    let asked = futures::stream::iter(backends.together(wanted, About::Secrets));
    let asked = asked.map(async |together| backends.read_with_versions(together).await).buffer_unordered(ASKED_AT_ONCE);
    let mut answers = std::pin::pin!(asked.flat_map(futures::stream::iter));
    while let Some((stored, answer)) = answers.next().await {
        match answer {
            Ok((version, answered)) => {
                versions.push((stored.clone(), version));
                size += answered.secret.len();
                if size <= MOST_OF_A_SYNC {
                    read.push((stored, answered));
                }
            }
            Err(refusal) => drop(refused.insert(stored, refusal)),
        }
    }
    found.append(&mut versions.into_iter().collect());
    read.into_iter().collect()
}

/// Tells whether somebody asked for a reconcile, which is to see what is new everywhere.
fn is_requested(job: &Job<'_>) -> bool {
    let requested = job.sync.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT));
    let handled = job.sync.status.as_ref().and_then(|status| status.last_handled_requested_at.as_ref());
    requested.is_some() && requested != handled
}

fn unresolved(
    rendered: &Rendered,
    refused: &BTreeMap<Stored, StoreRefusal>,
    read: &BTreeMap<Stored, Answered>,
    backends: &Backends<'_>,
) -> Trouble {
    let refusal_of = |_: &ObjectId, reference: &Reference| refused.get(&reference.stored()).cloned();
    let mut errors = unsealing::refusals(rendered, rendered.references().keys(), refusal_of);
    errors.extend(unsealing::without_values(rendered, rendered.references().keys(), |stored| read.get(stored)));
    Trouble { soon: backends.outage(), ..trouble(&errors) }
}

/// Reads the secrets that some objects need, each once and of the version that was found. What fails is among the answers; returns with
/// them how soon it may help to ask again, if a store was away.
pub(super) async fn read(
    job: &Job<'_>,
    rendered: &Rendered,
    sent: &[&Manifest],
    probed: &Probed<'_>,
) -> Result<Read, Trouble> {
    let (made, needed) = needed(rendered, sent, &probed.versions);
    if needed.is_empty() && made.is_empty() {
        return Ok(Read::default());
    }
    let begun = Instant::now();
    let read = probed.take(&needed);
    let needed = needed.into_iter().filter(|stored| !read.contains_key(stored));
    let own;
    let backends = match &probed.backends {
        Some(backends) => backends,
        None => {
            own = Backends::read(job, session(job)?).await?;
            &own
        }
    };
    let version_of = |stored: &Stored| probed.versions.get(stored).and_then(|Found { version, .. }| version.clone());
    let asked = futures::stream::iter(backends.together(needed, About::Secrets));
    let answers = asked.map(async |together| backends.read_secrets(together, version_of).await);
    let answers = answers.buffer_unordered(ASKED_AT_ONCE).flat_map(futures::stream::iter);
    let mut size: usize = read.values().map(|answered| answered.secret.len()).sum();
    let within = |(stored, answer): (Stored, Result<Answered, StoreRefusal>)| {
        size += answer.as_ref().map_or(0, |answered| answered.secret.len());
        let answer = answer.and_then(|answered| match size > MOST_OF_A_SYNC {
            true => Err(StoreRefusal::too_much()),
            false => Ok(answered),
        });
        (stored, answer)
    };
    let mut answers: BTreeMap<_, _> = answers.map(within).collect().await;
    answers.append(&mut read.into_iter().map(|(stored, answered)| (stored, Ok(answered))).collect());
    let is_gone = |refusal: &StoreRefusal| refusal.kind == RefusalKind::NotFound;
    if answers.values().any(|answer| answer.as_ref().is_err_and(is_gone)) {
        // The version that was the newest may be none any more: the next try asks for it anew.
        job.context.versions.forget(&job.id.uid);
    }
    // What is of no use would be made for nothing.
    let made = match answers.values().all(Result::is_ok) {
        true => Some(leased::issue(backends, &probed.versions, made, MOST_OF_A_SYNC.saturating_sub(size)).await),
        false => None,
    };
    let (made, issued) = made.map(|made| (made.answers, made.issued)).unzip();
    let stores = Stores::new(answers, begun.elapsed()).with_made(made);
    Ok(Read { stores, issued: issued.unwrap_or_default(), away: backends.outage() })
}

/// Returns what some objects need: the secrets that are made for single ones, and all others.
fn needed(rendered: &Rendered, sent: &[&Manifest], versions: &Versions) -> (BTreeSet<Pair>, BTreeSet<Stored>) {
    let ids = || sent.iter().map(|manifest| &manifest.id);
    if !versions.have_made() {
        return (BTreeSet::new(), unsealing::secrets_needed(rendered, ids()));
    }
    let (made, needed): (BTreeSet<Pair>, BTreeSet<Pair>) =
        leased::pairs(rendered, ids()).into_iter().partition(|pair| versions.stamp(pair).is_some());
    (made, needed.into_iter().map(|(_, stored)| stored).collect())
}

/// What was read. Not `Debug`.
#[derive(Default)]
pub(super) struct Read {
    pub(super) stores: Stores,
    /// What was made for single objects; it is ended when this goes.
    pub(super) issued: Vec<Issued>,
    /// How soon it may help to ask again, if a store was away.
    pub(super) away: Option<Duration>,
}
