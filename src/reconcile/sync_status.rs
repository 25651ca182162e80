//! What a sync reached, and how that stands in the status of its Sync.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::runtime::events::EventType;
use waxwing_plan::health::{Health, HealthStatus};
use waxwing_plan::{Change, LeftBecause, ManagerMark, ObjectId, OwnerMark, Plan, Step};

use super::context::Context;
use super::drift::writers;
use super::measure;
use super::report::{self, Verdict};
use super::tries::Untried;
use super::trouble::Trouble;
use crate::api::{
    ConditionType, Counts, FAILURES_LIMIT, Failure, NewCondition, REQUESTED_AT, Reason, Status, Sync, SyncStatus,
    condition, remove_condition, set_condition,
};
use crate::cluster::{self, Verb};
use crate::render::PlaintextSecret;

/// The most bytes of an event's note that the message may take where changes are listed after it.
const NOTE_HEAD: usize = 400;

/// What a sync reached so far. All of it is public.
#[derive(Debug, Default)]
pub struct Progress {
    revision: Option<String>,
    /// When the revision was fetched, if this process saw it come.
    new_since: Option<Instant>,
    counts: Option<Counts>,
    failed: u32,
    changes: Vec<String>,
    plaintext: Vec<String>,
    /// How the objects that the plan reverts had drifted.
    reverted: BTreeMap<ObjectId, String>,
    /// How many of them were.
    put_back: u32,
    /// What differs from Git and is left so; none before there is a plan.
    left: Option<Vec<(LeftBecause, String)>>,
    unsealed: Option<Result<(), Trouble>>,
    health: Option<Result<(), Trouble>>,
    all_applied: bool,
    /// The walk before did this much, and nothing was said of it.
    untold: Option<Counts>,
    /// The Sync that has to try the revision before anything is deleted.
    awaits: Option<Untried>,
}

impl Progress {
    /// Tells whether to say nothing yet: objects were changed just now and nothing is wrong with them, so that most likely all is
    /// well in a moment, which is then said at once.
    pub(super) fn is_too_fresh_to_tell(&self, trouble: Option<&Trouble>) -> bool {
        let on_its_way = trouble.is_some_and(|trouble| trouble.reason == Reason::Progressing);
        on_its_way && self.untold.is_none() && !self.changes.is_empty()
    }

    /// Goes on from a walk of which nothing was said.
    fn after(untold: Self) -> Self {
        let Self { changes, counts, .. } = untold;
        Self { changes, untold: counts, ..Self::default() }
    }

    /// Notes which revision is tried, and since when it is known if it is new.
    pub(super) fn attempt(&mut self, revision: String, new_since: Option<Instant>) {
        self.revision = Some(revision);
        self.new_since = new_since;
        self.failed = 0;
    }

    /// Returns the revision that was tried, and since when it is known if it is new.
    pub(super) fn revision(&self) -> Option<(&str, Option<Instant>)> {
        Some((self.revision.as_deref()?, self.new_since))
    }

    /// Returns how many objects there are and what was done to them; none before there is a plan.
    pub(super) fn counts(&self) -> Option<Counts> {
        self.counts
    }

    /// Returns how many objects could not be applied or deleted.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Returns how many objects were put back that somebody had written over or deleted.
    pub(super) fn put_back(&self) -> u32 {
        self.put_back
    }

    /// Returns what differs from Git and is left so for that reason; none before there is a plan.
    pub(super) fn left(&self, because: LeftBecause) -> Option<impl Iterator<Item = &String>> {
        let left = self.left.as_ref()?;
        Some(left.iter().filter(move |(why, _)| *why == because).map(|(_, told)| told))
    }

    /// Notes which other Sync has to try the revision before objects that left Git are deleted.
    pub(super) fn awaits(&mut self, other: Option<Untried>) {
        self.awaits = other;
    }

    /// Returns which other Sync has to try the revision before objects that left Git are deleted.
    pub(super) fn awaited(&self) -> Option<&Untried> {
        self.awaits.as_ref()
    }

    /// Tells whether this is the revision that is tried.
    pub(super) fn has_tried(&self, revision: &str) -> bool {
        self.revision.as_deref() == Some(revision)
    }

    /// Takes over what was done to hold another revision than the one that is tried.
    pub(super) fn holds(&mut self, held: Self) {
        self.changes.extend(held.changes);
        self.left = held.left.or(self.left.take());
        self.put_back += held.put_back;
        self.failed += held.failed;
    }

    /// Notes the Secret values that stand in Git in clear text and that the Sync wants to be warned of.
    pub(super) fn warn_of_plaintext(&mut self, found: &[PlaintextSecret]) {
        self.plaintext = found.iter().map(|secret| format!("{} {}", secret.location, secret.key_path)).collect();
    }

    /// Notes what the plan says.
    pub(super) fn planned(&mut self, plan: &Plan) {
        let count =
            |wanted: fn(&Change) -> bool| to_u32(plan.steps().iter().filter(|step| wanted(&step.change)).count());
        self.counts = Some(Counts {
            objects: to_u32(plan.steps().len()),
            unchanged: count(|change| *change == Change::Unchanged),
            skipped: count(|change| matches!(change, Change::Skipped | Change::Terminating | Change::Left { .. })),
            ..Counts::default()
        });
        let reverted = |step: &Step| match &step.change {
            Change::Drifted { by } => Some((step.manifest.id.clone(), format!(" (reverted: {})", writers(by)))),
            Change::Missing => Some((step.manifest.id.clone(), " (it was deleted)".to_owned())),
            _ => None,
        };
        self.reverted = plan.steps().iter().filter_map(reverted).collect();
        let left = |(id, by, why): (&ObjectId, &[ManagerMark], LeftBecause)| match by.is_empty() {
            true => (why, format!("{id}: it was written over or deleted")),
            false => (why, format!("{id}: {}", writers(by))),
        };
        self.left = Some(plan.left().map(left).collect());
    }

    /// Notes how opening went.
    pub(super) fn unsealed(&mut self, trouble: Option<&Trouble>) {
        self.unsealed = Some(trouble.map_or(Ok(()), |trouble| Err(trouble.clone())));
    }

    /// Notes the objects that did not pass their dry run.
    pub(super) fn refused(&mut self, failures: &[cluster::Failure]) {
        self.failed += to_u32(failures.len());
    }

    /// Notes what was applied.
    pub(super) fn applied(&mut self, applied: &cluster::Applied) {
        self.failed += to_u32(applied.failures.len());
        let counts = self.counts.get_or_insert_default();
        for landed in &applied.landed {
            *match landed.verb {
                Verb::Created => &mut counts.created,
                Verb::Configured => &mut counts.configured,
                Verb::Unchanged => &mut counts.unchanged,
            } += 1;
            let verb = landed.verb.as_str();
            self.put_back += u32::from(self.reverted.contains_key(&landed.id));
            if landed.verb != Verb::Unchanged {
                let adopted = if landed.adopted { " (adopted)" } else { "" };
                let reverted = self.reverted.get(&landed.id).map(String::as_str).unwrap_or_default();
                self.changes.push(format!("{} {verb}{adopted}{reverted}", landed.id));
            }
            tracing::info!(object = %landed.id, result = verb, adopted = landed.adopted, "applied");
        }
    }

    /// Notes that every object of the revision was applied.
    pub(super) fn all_applied(&mut self) {
        self.all_applied = true;
    }

    /// Notes how the objects are.
    pub(super) fn healthy(&mut self, plan: &Plan, health: &BTreeMap<ObjectId, Health>) {
        let current = |health: &Health| health.status == HealthStatus::Current;
        let ids = plan.with_health().map(|step| &step.manifest.id);
        let sick: Vec<&ObjectId> = ids.filter(|id| !health.get(id).is_some_and(current)).collect();
        self.counts.get_or_insert_default().ready = to_u32(plan.steps().len() - sick.len());
        let has_failed = |id: &&ObjectId| health.get(id).is_some_and(|health| health.status == HealthStatus::Failed);
        let reason = if sick.iter().any(has_failed) { Reason::HealthCheckFailed } else { Reason::Progressing };
        let described: Vec<String> = sick.iter().map(|id| describe(id, health.get(id))).collect();
        self.health = Some(match described.is_empty() {
            true => Ok(()),
            false => Err(Trouble::passing(reason, described.join(", "), "")),
        });
    }

    /// Tells whether nothing has to get well before objects are deleted.
    fn is_well(&self, sync: &Sync) -> bool {
        !sync.spec.wait || matches!(self.health, Some(Ok(())))
    }

    /// Notes what was deleted, and how many objects could not be.
    pub(super) fn pruned(&mut self, deleted: &BTreeSet<ObjectId>, failed: usize) {
        self.failed += to_u32(failed);
        self.counts.get_or_insert_default().deleted = to_u32(deleted.len());
        self.changes.extend(deleted.iter().map(|id| format!("{id} deleted")));
    }

    /// Returns the warning of a sync that applied values that stand in Git in clear text.
    fn plaintext_note(&self) -> Option<String> {
        let warn = !self.plaintext.is_empty() && !self.changes.is_empty();
        warn.then(|| format!("Secret values stand in Git in clear text: {}", self.plaintext.join(", ")))
    }

    /// Returns the note of a sync that changed something: what Ready says, and as many changes as fit, with the number of
    /// those that don't.
    fn change_note(&self, message: &str) -> Option<String> {
        let (first, rest) = self.changes.split_first()?;
        let head = message.get(..message.floor_char_boundary(NOTE_HEAD)).unwrap_or(message);
        let mut note = format!("{head}: {first}");
        for (position, change) in rest.iter().enumerate() {
            let more = format!(" and {} more", rest.len() - position);
            if note.len() + change.len() + more.len() + 2 > report::NOTE_LIMIT {
                return Some(note + &more);
            }
            note.push_str(", ");
            note.push_str(change);
        }
        Some(note)
    }
}

fn describe(id: &ObjectId, health: Option<&Health>) -> String {
    match health {
        Some(health) => format!("{id}: {}", health.message),
        None => format!("{id}: it was not found"),
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What walks did of which nothing was said yet.
#[derive(Default)]
pub struct Untold(Mutex<HashMap<String, Progress>>);

impl Untold {
    /// Keeps what a walk did, so that the next one of this Sync tells it.
    pub(super) fn hold(&self, sync: &str, progress: Progress) {
        self.all().insert(sync.to_owned(), progress);
    }

    /// Returns what to begin the next walk of a Sync with.
    pub(super) fn resume(&self, sync: &str) -> Progress {
        self.all().remove(sync).map(Progress::after).unwrap_or_default()
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, sync: &str) {
        self.all().remove(sync);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the status where it changed and publishes one event; returns the reason of Ready when that isn't true, or why
/// users can't see it.
pub(super) fn write<'a>(
    sync: &'a Sync,
    context: &'a Context,
    progress: &'a Progress,
    trouble: Option<&'a Trouble>,
) -> BoxFuture<'a, Option<Reason>> {
    let old = context.statuses.latest(sync);
    let now = Timestamp::now();
    let mut status = next(sync, &old, progress, trouble);
    tell_since(&mut status.failures, &old.failures, now);
    status.leases = context.leases.listed(&sync.uid().unwrap_or_default()).unwrap_or(status.leases);
    measure::leases_are(sync, context);
    if is_new(sync, &old, progress) {
        remove_condition(&mut status.conditions, ConditionType::Healthy);
    }
    part_conditions(&mut status.conditions, sync, progress, now);
    let mut verdict = verdict(sync, progress, trouble, is_late(sync, context, &status, now));
    if let Some(claims) = context.rivals.told(&OwnerMark::new(sync.namespace().unwrap_or_default(), sync.name_any())) {
        verdict.message.push_str(&format!("; {claims}"));
    }
    report::set_verdict(&mut status.conditions, &verdict, sync.metadata.generation, now);
    measure::sync_is(sync, context, &verdict);
    let written = async move {
        publish(sync, context, progress, &old.conditions, &verdict).await;
        if old != status && context.statuses.write(context, sync, status).await.is_err() {
            return Some(Reason::ApiUnavailable);
        }
        (verdict.ready != Status::True).then_some(verdict.reason)
    };
    written.boxed()
}

fn next(sync: &Sync, old: &SyncStatus, progress: &Progress, trouble: Option<&Trouble>) -> SyncStatus {
    let requested = sync.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT));
    let applied = progress.revision.clone().filter(|_| progress.all_applied);
    let failures = trouble.map(|trouble| trouble.failures.iter().take(FAILURES_LIMIT).cloned().collect());
    SyncStatus {
        observed_generation: sync.metadata.generation,
        conditions: old.conditions.clone(),
        last_applied_revision: applied.or_else(|| old.last_applied_revision.clone()),
        last_attempted_revision: progress.revision.clone().or_else(|| old.last_attempted_revision.clone()),
        counts: counts(old, progress),
        failures: failures.unwrap_or_default(),
        last_handled_requested_at: requested.cloned(),
        leases: old.leases.clone(),
    }
}

/// Says since when each thing is wrong: one that was so before, for the same reason, has been so since then.
fn tell_since(failures: &mut [Failure], before: &[Failure], now: Timestamp) {
    for failure in failures {
        let known = before.iter().find(|known| failure.is_still(known)).and_then(|known| known.since.clone());
        failure.since = Some(known.unwrap_or(Time(report::whole_seconds(now))));
    }
}

/// A sync that changes nothing leaves the numbers of the last one that did, and one that doesn't come to ask for health leaves
/// how many were well.
fn counts(old: &SyncStatus, progress: &Progress) -> Option<Counts> {
    let Some(mut new) = progress.counts else { return old.counts };
    if let Some(untold) = progress.untold {
        new.created += untold.created;
        new.configured += untold.configured;
        new.unchanged = new.unchanged.saturating_sub(untold.created + untold.configured);
    }
    let last = old.counts.unwrap_or_default();
    let ready = if progress.health.is_some() { new.ready } else { last.ready };
    let numbers = if progress.changes.is_empty() && old.counts.is_some() { last } else { new };
    Some(Counts { objects: new.objects, ready, ..numbers })
}

/// Says which objects differ from Git and are left so.
fn drift_condition(left: &[(LeftBecause, String)]) -> (Status, Reason, String) {
    let told = left.iter().map(|(_, told)| told.as_str()).collect::<Vec<_>>().join("; ");
    match left.iter().any(|(why, _)| *why == LeftBecause::Contested) {
        _ if left.is_empty() => (Status::False, Reason::InSync, "Every object is as it was applied".to_owned()),
        true => {
            (Status::True, Reason::Contested, format!("{told}; hint: stop the writer, or take the fields out of Git"))
        }
        false => (Status::True, Reason::Drifted, told),
    }
}

/// Sets Unsealed, Healthy and Drifted as far as this sync came.
fn part_conditions(conditions: &mut Vec<Condition>, sync: &Sync, progress: &Progress, now: Timestamp) {
    let mut set = |kind, status, reason, message: String| {
        let observed_generation = sync.metadata.generation;
        set_condition(conditions, NewCondition { kind, status, reason, message, observed_generation }, now);
    };
    match &progress.unsealed {
        Some(Ok(())) => {
            let message = "All secrets that this revision needs are open".to_owned();
            set(ConditionType::Unsealed, Status::True, Reason::Unsealed, message);
        }
        Some(Err(trouble)) => set(ConditionType::Unsealed, Status::False, trouble.reason, trouble.message.clone()),
        None => {}
    }
    if let Some(left) = &progress.left {
        let (status, reason, message) = drift_condition(left);
        set(ConditionType::Drifted, status, reason, message);
    }
    match &progress.health {
        Some(Ok(())) => {
            set(ConditionType::Healthy, Status::True, Reason::Healthy, "All objects are healthy".to_owned())
        }
        Some(Err(sick)) => set(ConditionType::Healthy, Status::False, sick.reason, sick.message.clone()),
        None => {}
    }
}

fn verdict(sync: &Sync, progress: &Progress, trouble: Option<&Trouble>, late: bool) -> Verdict {
    let revision = progress.revision.as_deref().unwrap_or("the revision");
    match trouble {
        None => Verdict::ready(Reason::Applied, applied(revision)),
        Some(trouble) if progress.all_applied && trouble.reason == Reason::Progressing && progress.is_well(sync) => {
            Verdict::progressing(format!("Applied {revision}; {}", trouble.message))
        }
        Some(trouble) if trouble.reason == Reason::Progressing && !late => {
            Verdict::progressing(format!("Applied {revision}, waiting for health: {}", trouble.message))
        }
        Some(trouble) if trouble.reason == Reason::Progressing => {
            let fact = format!("not healthy within {}: {}", sync.spec.timeout, trouble.message);
            let late = Trouble::passing(Reason::HealthCheckTimeout, fact, "see the objects' own status and events");
            Verdict::failed(&late, late.message.clone())
        }
        Some(trouble) => Verdict::failed(trouble, trouble.message.clone()),
    }
}

/// Tells whether this is the first look at a revision or a spec: then the time that objects have to get well starts anew.
fn is_new(sync: &Sync, old: &SyncStatus, progress: &Progress) -> bool {
    old.observed_generation != sync.metadata.generation || old.last_attempted_revision != progress.revision
}

/// Tells whether the objects have been on their way for longer than the Sync gives them.
fn is_late(sync: &Sync, context: &Context, status: &SyncStatus, now: Timestamp) -> bool {
    has_lasted(sync, context, condition(&status.conditions, ConditionType::Healthy), now)
}

/// Tells whether Ready has been false for longer than a sync may take, by what was said last.
pub(super) fn is_overdue(sync: &Sync, context: &Context) -> bool {
    let status = context.statuses.latest(sync);
    has_lasted(sync, context, condition(&status.conditions, ConditionType::Ready), Timestamp::now())
}

/// Tells whether a condition has been false for longer than `spec.timeout`.
fn has_lasted(sync: &Sync, context: &Context, condition: Option<&Condition>, now: Timestamp) -> bool {
    let Some(condition) = condition.filter(|known| known.status == Status::False.as_str()) else { return false };
    let waited = context.waits.lasts(&sync.uid().unwrap_or_default(), condition, now, Instant::now());
    waited > sync.spec.timeout.get()
}

/// Tells whether all that is new is a revision that changes nothing: the status says so, and an event would be one for each
/// Sync and commit.
fn is_acknowledgement(progress: &Progress, before: &[Condition], verdict: &Verdict) -> bool {
    let was_ready = condition(before, ConditionType::Ready).is_some_and(|ready| ready.status == Status::True.as_str());
    was_ready && progress.revision.as_deref().is_some_and(|revision| verdict.message == applied(revision))
}

fn applied(revision: &str) -> String {
    format!("Applied {revision}")
}

/// Publishes one event: what was changed, or, where nothing was, what Ready now says.
async fn publish(sync: &Sync, context: &Context, progress: &Progress, before: &[Condition], verdict: &Verdict) {
    if let Some(note) = progress.plaintext_note() {
        report::event(context, sync, EventType::Warning, Reason::PlaintextApplied, &note).await;
    }
    match progress.change_note(&verdict.message) {
        None if is_acknowledgement(progress, before, verdict) => {}
        None => report::publish(context, sync, before, verdict).await,
        Some(note) => {
            let failed = verdict.ready == Status::False;
            let kind = if failed { EventType::Warning } else { EventType::Normal };
            let reason = if failed { verdict.reason } else { Reason::Applied };
            report::event(context, sync, kind, reason, &note).await;
        }
    }
}
