//! References into stores: asks which versions there are before a plan is made, and reads what the plan sends.
//!
//! A version is asked for when it was not, or when the time that its backend or a reference gives it is over; a value is read only for what
//! is sent, once for each secret, and ends with the sync. For an object that is not there yet it is read at once, with its version. Every
//! reference that fails is told at once. The asking itself is in `backends`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use serde_json::Value;
use waxwing_formats::reference::{Reference, Stored};
use waxwing_plan::{Manifest, ObjectId, Steering};

use super::change::session;
use super::gathered::Gathered;
use super::leased;
use super::open::trouble;
use super::planned::Seen;
use crate::api::REQUESTED_AT;
use crate::reconcile::audit::Who;
use crate::reconcile::backends::{About, Backends, Found};
use crate::reconcile::leases::Issued;
use crate::reconcile::versions::{Intervals, Pair, Versions};
use crate::reconcile::{Job, Progress, Trouble};
use crate::render::Rendered;
use crate::unsealing::{self, RefusalKind, StoreRefusal, Stores};

/// How many requests for secrets are made at the same time for one Sync: as many as a backend is asked at once by all, unless it says otherwise.
pub(super) const ASKED_AT_ONCE: usize = 32;

/// What a probe found, and the backends if it had to ask. Not `Debug`.
pub(in crate::reconcile) struct Probed<'a> {
    pub(in crate::reconcile) versions: Arc<Versions>,
    backends: Option<Backends<'a>>,
    /// What was read: to learn its version, and later for what is sent.
    gathered: Gathered<'a>,
}

impl<'a> Probed<'a> {
    /// Takes versions that were found before.
    pub(in crate::reconcile) fn before(
        job: &Job<'_>,
        rendered: &'a Rendered,
        versions: Arc<Versions>,
        progress: &Progress,
    ) -> Self {
        Self { versions, backends: None, gathered: Gathered::new(who(job, progress), rendered) }
    }

    /// Records that what stores gave for some objects was not opened.
    pub(super) fn unopened<'b>(&self, objects: impl Iterator<Item = &'b ObjectId>, stores: &Stores) {
        self.gathered.unopened(objects, stores);
    }
}

fn who(job: &Job<'_>, progress: &Progress) -> Who {
    Who::new(job, progress.revision().map_or("", |(revision, _)| revision))
}

/// Asks which versions the secrets have that the render refers to; of those that were asked about of late, nobody is asked, and neither is
/// for objects that are left alone.
pub(in crate::reconcile) async fn probe<'a>(
    job: &'a Job<'a>,
    rendered: &'a Rendered,
    seen: &Seen,
    progress: &mut Progress,
) -> Result<Probed<'a>, Trouble> {
    let mut wanted = leased::pairs(rendered, with_versions(rendered, seen));
    job.context.leases.ask_anew(job);
    if wanted.is_empty() {
        job.context.versions.keep(job, &Intervals::of(rendered), BTreeMap::new());
        return Ok(Probed::before(job, rendered, Arc::default(), progress));
    }
    let bind_into: Vec<_> = job.sync.spec.secrets.bind_into.iter().map(|kind| kind.get().clone()).collect();
    let misplaced = unsealing::misplaced(rendered, &bind_into);
    wanted.retain(|(id, _)| !misplaced.contains_key(id));
    // In a box, since clients of clouds are nested deeper than the compiler looks.
    let asked = ask(job, rendered, seen, wanted, progress).boxed().await;
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
    rendered: &'a Rendered,
    seen: &Seen,
    wanted: BTreeSet<Pair>,
    progress: &Progress,
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
    let (sent, all) = (unsealing::secrets_needed(rendered, absent(rendered, seen)), due.len());
    if !found.is_empty() {
        due.retain(|stored| sent.contains(stored) || !found.contains_key(stored));
    }
    job.context.metrics.was_kept("version", all - due.len());
    if due.is_empty() {
        let versions = Arc::new(Versions::new(rendered, found, made));
        return Ok(Probed::before(job, rendered, versions, progress));
    }
    let backends = Backends::read(job, session(job)?).await?;
    let (of_objects, due): (Vec<Stored>, Vec<Stored>) = due.into_iter().partition(|stored| backends.makes(stored));
    let of_objects: BTreeSet<Stored> = of_objects.into_iter().collect();
    let (both, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|stored| sent.contains(stored));
    let due: Vec<Stored> = due.into_iter().filter(|stored| !found.contains_key(stored)).collect();
    let mut refused = BTreeMap::new();
    let mut gathered = Gathered::new(who(job, progress), rendered);
    gathered.is_for(absent(rendered, seen));
    found.append(&mut read_with_versions(&backends, both, &mut gathered, &mut refused).await);
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
        true => Ok(Probed { versions, backends: Some(backends), gathered }),
        false => Err(unresolved(rendered, &refused, &gathered, &backends)),
    }
}

/// Returns the objects with references that are not there, so that they will be sent.
fn absent<'a>(rendered: &'a Rendered, seen: &Seen) -> impl Iterator<Item = &'a ObjectId> {
    rendered.references().keys().filter(|id| seen.live.get(*id).is_none_or(Option::is_none))
}

/// Reads secrets with their versions, which it returns; gathers as many as one sync may have.
async fn read_with_versions(
    backends: &Backends<'_>,
    wanted: Vec<Stored>,
    gathered: &mut Gathered<'_>,
    refused: &mut BTreeMap<Stored, StoreRefusal>,
) -> BTreeMap<Stored, Found> {
    // Gathered as they come, which is nearly their order, and put into it at once.
    let mut versions = Vec::with_capacity(wanted.len());
    let asked = futures::stream::iter(backends.together(wanted, About::Secrets));
    let asked = asked.map(async |together| backends.read_with_versions(together).await).buffer_unordered(ASKED_AT_ONCE);
    let mut answers = std::pin::pin!(asked.flat_map(futures::stream::iter));
    while let Some((stored, answer)) = answers.next().await {
        match answer {
            Ok((version, answered)) => {
                versions.push((stored.clone(), version));
                // Of what is too much it is told when it is needed.
                gathered.add(stored, answered).ok();
            }
            Err(refusal) => drop(refused.insert(stored, refusal)),
        }
    }
    versions.into_iter().collect()
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
    gathered: &Gathered<'_>,
    backends: &Backends<'_>,
) -> Trouble {
    let read = gathered.by_name();
    let refusal_of = |_: &ObjectId, reference: &Reference| refused.get(&reference.stored()).cloned();
    let mut errors = unsealing::refusals(rendered, rendered.references().keys(), refusal_of);
    errors
        .extend(unsealing::without_values(rendered, rendered.references().keys(), |stored| read.get(stored).copied()));
    Trouble { soon: backends.outage(), ..trouble(&errors) }
}

/// Reads the secrets that some objects need, each once and of the version that was found. What fails is among the answers; returns with
/// them how soon it may help to ask again, if a store was away.
pub(super) async fn read(
    job: &Job<'_>,
    rendered: &Rendered,
    sent: &[&Manifest],
    probed: &mut Probed<'_>,
) -> Result<Read, Trouble> {
    let Probed { versions, backends, gathered } = probed;
    let (made, needed) = needed(rendered, sent, versions);
    if needed.is_empty() && made.is_empty() {
        return Ok(Read::default());
    }
    let begun = Instant::now();
    gathered.is_for(sent.iter().map(|manifest| &manifest.id));
    let own;
    let backends = match backends {
        Some(backends) => backends,
        None => {
            own = Backends::read(job, session(job)?).await?;
            &own
        }
    };
    let version_of = |stored: &Stored| versions.get(stored).and_then(|Found { version, .. }| version.clone());
    let asked = futures::stream::iter(backends.together(gathered.missing(&needed), About::Secrets));
    let answers = asked.map(async |together| backends.read_secrets(together, version_of).await);
    let mut answers = std::pin::pin!(answers.buffer_unordered(ASKED_AT_ONCE).flat_map(futures::stream::iter));
    let mut refused = BTreeMap::new();
    while let Some((stored, answer)) = answers.next().await {
        if let Err(refusal) = answer.and_then(|answered| gathered.add(stored.clone(), answered)) {
            refused.insert(stored, refusal);
        }
    }
    if refused.values().any(|refusal| refusal.kind == RefusalKind::NotFound) {
        // The version that was the newest may be none any more: the next try asks for it anew.
        job.context.versions.forget(&job.id.uid);
    }
    // What is of no use would be made for nothing.
    let made = match refused.is_empty() {
        true => Some(leased::issue(backends, versions, made, gathered.room()).await),
        false => None,
    };
    let (made, issued) = made.map(|made| (made.answers, made.issued)).unzip();
    let read = gathered.take(&needed).into_iter().map(|(stored, answered)| (stored, Ok(answered)));
    let answers = read.chain(refused.into_iter().map(|(stored, refusal)| (stored, Err(refusal)))).collect();
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
