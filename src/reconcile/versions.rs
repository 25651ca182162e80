//! Which versions the secrets have that references lead to: what each Sync was told last, and until when that counts.
//!
//! In memory alone, by the uid of the Sync and the generation of its spec, so that nobody learns through another Sync what he may not ask
//! himself. All of it is public; no value is ever kept from one sync to the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use waxwing_formats::reference::{StoreKind, Stored};
use waxwing_plan::ObjectId;

use super::backends::Found;
use super::job::Job;
use crate::render::Rendered;

/// A secret for one object.
pub(super) type Pair = (ObjectId, Stored);

/// The versions of all secrets that a render needs from stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    found: BTreeMap<Stored, Found>,
    /// What tells the secrets apart that stores make for single objects.
    made: BTreeMap<Pair, String>,
    of_objects: BTreeMap<ObjectId, String>,
}

impl Versions {
    /// Takes what was found for a render.
    pub(super) fn new(rendered: &Rendered, found: BTreeMap<Stored, Found>, made: BTreeMap<Pair, String>) -> Self {
        let of_objects = rendered.references().iter().map(|(id, references)| {
            let stored: BTreeMap<Stored, &str> = references
                .iter()
                .filter_map(|placed| {
                    let stored = placed.reference.stored();
                    let found = found.get(&stored).map(|found| found.stamp.as_str());
                    let of_object = || made.get(&(id.clone(), stored.clone())).map(String::as_str);
                    let stamp = if made.is_empty() { found } else { of_object().or(found) }?;
                    Some((stored, stamp))
                })
                .collect();
            let lines = stored.iter().map(|(stored, stamp)| {
                let kind = if stored.kind == StoreKind::Cluster { "cluster " } else { "" };
                format!("{kind}{} {} {stamp}\n", stored.store.as_str(), stored.path)
            });
            (id.clone(), lines.collect())
        });
        Self { of_objects: of_objects.collect(), found, made }
    }

    /// Returns the same with others of the secrets that stores make for single objects.
    pub(super) fn with_made(&self, rendered: &Rendered, made: BTreeMap<Pair, String>) -> Self {
        let made = self.made.clone().into_iter().chain(made).collect();
        Self::new(rendered, self.found.clone(), made)
    }

    /// Returns the version of a secret.
    pub(super) fn get(&self, stored: &Stored) -> Option<&Found> {
        self.found.get(stored)
    }

    /// Returns what tells the secret that is made for an object from the one before; nothing where it is not made.
    pub(super) fn stamp(&self, pair: &Pair) -> Option<&str> {
        self.made.get(pair).map(String::as_str)
    }

    /// Tells whether any secret is made for a single object.
    pub(super) fn have_made(&self) -> bool {
        !self.made.is_empty()
    }

    /// Returns, for each object that needs some, what changes when one of its secrets does.
    pub(super) fn of_objects(&self) -> &BTreeMap<ObjectId, String> {
        &self.of_objects
    }
}

/// How often references want their secrets asked about, where they say it.
pub(super) struct Intervals(BTreeMap<Stored, Interval>);

struct Interval {
    /// The shortest that one of them wants.
    shortest: Duration,
    /// Whether all of them say how often; those that don't leave it to the backend.
    is_of_all: bool,
}

impl Intervals {
    /// Gathers what the references of a render say.
    pub(super) fn of(rendered: &Rendered) -> Self {
        let references = || rendered.references().values().flatten().map(|placed| &placed.reference);
        let mut all = BTreeMap::<Stored, Interval>::new();
        for (reference, refresh) in references().filter_map(|reference| Some((reference, reference.refresh?))) {
            let wanted = Interval { shortest: refresh.interval(), is_of_all: true };
            let interval = all.entry(reference.stored()).or_insert(wanted);
            interval.shortest = interval.shortest.min(refresh.interval());
        }
        if !all.is_empty() {
            for reference in references().filter(|reference| reference.refresh.is_none()) {
                all.entry(reference.stored()).and_modify(|interval| interval.is_of_all = false);
            }
        }
        Self(all)
    }

    /// Returns until when that counts which was found.
    fn until(&self, stored: &Stored, found: &Found) -> Instant {
        let refresh = match self.0.get(stored) {
            None => found.refresh,
            Some(Interval { shortest, is_of_all: true }) => *shortest,
            Some(Interval { shortest, is_of_all: false }) => found.refresh.min(*shortest),
        };
        found.asked + refresh
    }
}

/// What each Sync was told last, by its uid.
#[derive(Default)]
pub struct VersionMemory(Mutex<HashMap<String, Told>>);

struct Told {
    generation: Option<i64>,
    found: BTreeMap<Stored, Found>,
    /// When the first of them has to be asked for again.
    due: Option<Instant>,
}

impl VersionMemory {
    /// Returns what this Sync was told under the spec that it has, and that still counts.
    pub(super) fn fresh(&self, job: &Job<'_>, intervals: &Intervals, now: Instant) -> BTreeMap<Stored, Found> {
        let all = self.all();
        let told = all.get(&job.id.uid).filter(|told| told.generation == job.sync.metadata.generation);
        let found = told
            .into_iter()
            .flat_map(|told| &told.found)
            .filter(|(stored, found)| intervals.until(stored, found) > now);
        found.map(|(stored, found)| (stored.clone(), found.clone())).collect()
    }

    /// Keeps what this Sync was told, in place of all that it was told before.
    pub(super) fn keep(&self, job: &Job<'_>, intervals: &Intervals, found: BTreeMap<Stored, Found>) {
        let generation = job.sync.metadata.generation;
        let due = found.iter().map(|(stored, found)| intervals.until(stored, found)).min();
        match found.is_empty() {
            true => drop(self.all().remove(&job.id.uid)),
            false => drop(self.all().insert(job.id.uid.clone(), Told { generation, found, due })),
        }
    }

    /// Returns how soon some of it has to be asked for again; none where there is nothing.
    pub(super) fn due_in(&self, sync: &str, now: Instant) -> Option<Duration> {
        let all = self.all();
        Some(all.get(sync)?.due?.saturating_duration_since(now))
    }

    /// Forgets a Sync that is gone.
    pub(super) fn forget(&self, sync: &str) {
        self.all().remove(sync);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
