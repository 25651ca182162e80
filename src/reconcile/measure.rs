//! Turns what reconciles come to into metrics. Nothing is decided here, and nothing depends on it.

use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use waxwing_plan::LeftBecause;

use super::context::Context;
use super::report;
use super::sync_status::Progress;
use super::trouble::Trouble;
use crate::api::{GitSource, Reason, Status, Sync};
use crate::metrics::{DriftAction, Kind, LeaseAges, Metrics, Name, ObjectResult, Settings, Verdict};
use crate::source::Fetched;

/// Notes that a resource wants its turn.
pub(super) fn asks<K: Resource<DynamicType = ()>>(kind: Kind, resource: &ObjectRef<K>, metrics: &Metrics) {
    metrics.standings.asked(kind, referred(resource), Instant::now());
}

/// Notes that something else wants a Sync to have its turn.
pub(super) fn sync_is_woken(sync: &ObjectRef<Sync>, metrics: &Metrics) {
    metrics.standings.woken(Kind::Sync, &referred(sync), Instant::now());
}

/// Notes what Ready says of a Sync.
pub(super) fn sync_is(sync: &Sync, context: &Context, said: &report::Verdict) {
    context.metrics.standings.said(Kind::Sync, &name(sync), verdict(said));
}

/// Notes what Ready says of a GitSource, and, where fetching fails, since when.
pub(super) fn source_is(source: &GitSource, context: &Context, said: &report::Verdict, stale_since: Option<&Time>) {
    let (standings, name) = (&context.metrics.standings, name(source));
    standings.said(Kind::GitSource, &name, verdict(said));
    if let Some(since) = stale_since {
        standings.good_until(Kind::GitSource, &name, SystemTime::from(since.0));
    }
}

/// Forgets the resources that are gone.
pub(super) fn keep_those_there(context: &Context) {
    let standings = &context.metrics.standings;
    let source = |name: &Name| ObjectRef::<GitSource>::new(&name.name).within(&name.namespace);
    standings.keep(Kind::GitSource, |name| context.sources.get(&source(name)).is_some());
    let sync = |name: &Name| ObjectRef::<Sync>::new(&name.name).within(&name.namespace);
    standings.keep(Kind::Sync, |name| context.syncs.get(&sync(name)).is_some());
}

/// A resource whose turn it is.
pub(super) struct Turn<'a> {
    metrics: &'a Metrics,
    kind: Kind,
    name: Name,
    begun: Instant,
}

impl<'a> Turn<'a> {
    /// Notes that it is the turn of a Sync.
    pub(super) fn of_sync(sync: &Sync, context: &'a Context) -> Self {
        let (spec, source) = (&sync.spec, sync.spec.source_ref.name.clone());
        let settings = Settings { interval: spec.interval.get(), suspended: spec.suspend, source: Some(source) };
        Self::begin(context, Kind::Sync, name(sync), settings)
    }

    /// Notes that it is the turn of a GitSource.
    pub(super) fn of_source(source: &GitSource, context: &'a Context) -> Self {
        let spec = &source.spec;
        let settings = Settings { interval: spec.interval.get(), suspended: spec.suspend, source: None };
        Self::begin(context, Kind::GitSource, name(source), settings)
    }

    fn begin(context: &'a Context, kind: Kind, name: Name, settings: Settings) -> Self {
        let begun = Instant::now();
        let waited = context.metrics.standings.begin(kind, &name, settings, begun);
        context.metrics.waited(kind, waited);
        Self { metrics: &context.metrics, kind, name, begun }
    }

    /// Notes that the turn is over, when the next one is due, and whether the resource is still there.
    pub(super) fn end(self, next: Option<Duration>, is_there: bool) {
        let now = Instant::now();
        self.metrics.standings.end(self.kind, &self.name, next.map(|next| now + next), now);
        if !is_there {
            self.metrics.standings.forget(self.kind, &self.name);
        }
    }

    /// Counts a sync; `reason` says why Ready isn't true.
    pub(super) fn synced(&self, progress: &Progress, reason: Option<Reason>) {
        let status = match reason {
            None => Status::True,
            Some(Reason::Progressing) => Status::Unknown,
            Some(_) => Status::False,
        };
        let reason = reason.unwrap_or(Reason::Applied).as_str();
        self.metrics.sync(Verdict { status: status.as_str(), reason }, self.begun.elapsed());
        self.count_objects(progress);
        self.count_drift(progress);
        if status == Status::True {
            self.went_well(progress);
        }
    }

    fn went_well(&self, progress: &Progress) {
        self.metrics.standings.good(self.kind, &self.name, SystemTime::now());
        let Some((revision, new_since)) = progress.revision() else { return };
        if let Some(took) = self.metrics.standings.ready_with(&self.name, revision, new_since, Instant::now()) {
            self.metrics.healthy(took);
        }
    }

    fn count_objects(&self, progress: &Progress) {
        let counts = progress.counts().unwrap_or_default();
        let objects = [
            (ObjectResult::Created, counts.created),
            (ObjectResult::Configured, counts.configured),
            (ObjectResult::Unchanged, counts.unchanged),
            (ObjectResult::Deleted, counts.deleted),
            (ObjectResult::Skipped, counts.skipped),
            (ObjectResult::Failed, progress.failed()),
        ];
        objects.iter().for_each(|(result, count)| self.metrics.objects(*result, u64::from(*count)));
        if let Some(counts) = progress.counts() {
            self.metrics.standings.has_objects(&self.name, counts.objects);
        }
    }

    fn count_drift(&self, progress: &Progress) {
        self.metrics.drift(DriftAction::Reverted, u64::from(progress.put_back()));
        let kinds = [(LeftBecause::Alert, DriftAction::Alerted), (LeftBecause::Contested, DriftAction::Contested)];
        for (because, action) in kinds {
            if let Some(left) = progress.left(because) {
                let new = self.metrics.standings.left(&self.name, action, left.cloned().collect());
                self.metrics.drift(action, new);
            }
        }
    }

    /// Counts a fetch.
    pub(super) fn fetched(&self, result: Result<&Fetched, &Trouble>) {
        let (came_to, reason) = match result {
            Ok(fetched) if fetched.changed => ("new", Reason::Fetched),
            Ok(_) => ("unchanged", Reason::Fetched),
            Err(trouble) => ("failed", trouble.reason),
        };
        self.metrics.fetch(came_to, reason.as_str(), self.begun.elapsed());
        if result.is_ok() {
            self.metrics.standings.good(self.kind, &self.name, SystemTime::now());
        }
    }
}

/// Notes how old the leases of a Sync are.
pub(super) fn leases_are(sync: &Sync, context: &Context) {
    let ages = context.leases.ages(&sync.uid().unwrap_or_default());
    let ages = ages.map(|(count, oldest, first_end)| LeaseAges {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        oldest,
        first_end,
    });
    context.metrics.standings.has_leases(&name(sync), ages);
}

fn name(resource: &impl ResourceExt) -> Name {
    Name { namespace: resource.namespace().unwrap_or_default(), name: resource.name_any() }
}

fn referred<K: Resource>(resource: &ObjectRef<K>) -> Name {
    Name { namespace: resource.namespace.clone().unwrap_or_default(), name: resource.name.clone() }
}

fn verdict(said: &report::Verdict) -> Verdict {
    Verdict { status: said.ready.as_str(), reason: said.reason.as_str() }
}
