//! How each Sync and GitSource is, and which of them wait for their turn.
//!
//! A resource is here from when it is first heard of until it is gone. Its namespace and name are the only labels of all
//! metrics that are not of a closed list; they are public, and as many as there are resources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::DriftAction;

/// A kind of resource that is reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A GitSource.
    GitSource,
    /// A Sync.
    Sync,
}

impl Kind {
    const ALL: [Self; 2] = [Self::GitSource, Self::Sync];

    /// Returns the word that stands in labels.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::GitSource => "GitSource",
            Self::Sync => "Sync",
        }
    }
}

/// The name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its namespace.
    pub namespace: String,
    /// Its name in there.
    pub name: String,
}

/// What the spec of a resource says that a reader of metrics has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often it is reconciled when nothing happens.
    pub interval: Duration,
    /// Whether it is not reconciled at all.
    pub suspended: bool,
    /// The name of the GitSource of a Sync.
    pub source: Option<String>,
}

/// What Ready says of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// The reason, of the closed list of reasons.
    pub reason: &'static str,
}

impl Verdict {
    /// Returns how a reconcile with this verdict came out.
    pub(super) fn outcome(self) -> &'static str {
        match self.status {
            "True" => "succeeded",
            "Unknown" => "progressing",
            _ => "failed",
        }
    }
}

/// How old the leases of a Sync are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseAges {
    /// How many there are.
    pub count: u32,
    /// When the oldest was issued.
    pub oldest: Instant,
    /// When the first ends unless it is renewed.
    pub first_end: Instant,
}

/// What is known of one resource.
#[derive(Debug)]
struct Standing {
    known_since: Instant,
    settings: Option<Settings>,
    /// From when on it wants its turn.
    due: Option<Instant>,
    running: bool,
    verdict: Option<Verdict>,
    last_good: Option<SystemTime>,
    objects: Option<u32>,
    leases: Option<LeaseAges>,
    /// What differs from Git and is left so.
    drifted: BTreeMap<DriftAction, BTreeSet<String>>,
    /// The last revision that it was Ready with.
    revision: Option<String>,
}

impl Standing {
    fn known_since(now: Instant) -> Self {
        Self {
            known_since: now,
            settings: None,
            due: None,
            running: false,
            verdict: None,
            last_good: None,
            objects: None,
            leases: None,
            drifted: BTreeMap::new(),
            revision: None,
        }
    }

    fn waits_since(&self, now: Instant) -> Option<Instant> {
        self.due.filter(|due| !self.running && *due <= now)
    }
}

/// How all resources are.
#[derive(Debug, Default)]
pub struct Standings(Mutex<All>);

type All = BTreeMap<(Kind, Name), Standing>;

impl Standings {
    /// Notes that a resource wants a turn. It need not have been heard of before.
    pub fn asked(&self, kind: Kind, name: Name, now: Instant) {
        let mut all = self.all();
        let standing = all.entry((kind, name)).or_insert_with(|| Standing::known_since(now));
        standing.due = Some(standing.due.map_or(now, |due| due.min(now)));
    }

    /// Notes that a resource wants a turn, if it is known: who is woken may be gone.
    pub fn woken(&self, kind: Kind, name: &Name, now: Instant) {
        if let Some(standing) = self.all().get_mut(&(kind, name.clone())) {
            standing.due = Some(standing.due.map_or(now, |due| due.min(now)));
        }
    }

    /// Notes that it is a resource's turn; returns for how long it had waited.
    pub fn begin(&self, kind: Kind, name: &Name, settings: Settings, now: Instant) -> Duration {
        let mut all = self.all();
        let standing = all.entry((kind, name.clone())).or_insert_with(|| Standing::known_since(now));
        let waited = standing.due.take().map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        standing.settings = Some(settings);
        standing.running = true;
        waited
    }

    /// Notes that a resource's turn is over, and when it wants the next; one that it wanted meanwhile it wants from now on.
    pub fn end(&self, kind: Kind, name: &Name, next: Option<Instant>, now: Instant) {
        self.change(kind, name, |standing| {
            standing.due = standing.due.map(|_| now).or(next);
            standing.running = false;
        });
    }

    /// Notes what Ready says.
    pub fn said(&self, kind: Kind, name: &Name, verdict: Verdict) {
        self.change(kind, name, |standing| standing.verdict = Some(verdict));
    }

    /// Notes that a sync ended well, or that a Git server answered.
    pub fn good(&self, kind: Kind, name: &Name, at: SystemTime) {
        self.change(kind, name, |standing| standing.last_good = Some(at));
    }

    /// Notes that all was well at that time, where nothing is known of yet: it was before this process.
    pub fn good_until(&self, kind: Kind, name: &Name, at: SystemTime) {
        self.change(kind, name, |standing| standing.last_good = standing.last_good.or(Some(at)));
    }

    /// Notes how many objects a Sync has.
    pub fn has_objects(&self, sync: &Name, count: u32) {
        self.change(Kind::Sync, sync, |standing| standing.objects = Some(count));
    }

    /// Notes how old the leases of a Sync are; none where it has none.
    pub fn has_leases(&self, sync: &Name, leases: Option<LeaseAges>) {
        self.change(Kind::Sync, sync, |standing| standing.leases = leases);
    }

    /// Notes what of a Sync differs from Git and is left so for this reason; returns how much of it is news.
    pub fn left(&self, sync: &Name, action: DriftAction, objects: BTreeSet<String>) -> u64 {
        let mut new = 0;
        self.change(Kind::Sync, sync, |standing| {
            let known = standing.drifted.entry(action).or_default();
            new = objects.difference(known).count() as u64;
            *known = objects;
        });
        new
    }

    /// Notes that a Sync is Ready with a revision that was new at `seen`; returns how long that took if it was not before.
    pub fn ready_with(&self, sync: &Name, revision: &str, seen: Option<Instant>, now: Instant) -> Option<Duration> {
        let mut took = None;
        self.change(Kind::Sync, sync, |standing| {
            if standing.revision.as_deref() != Some(revision) {
                // A Sync that is younger than the commit did not have longer.
                took = seen.map(|seen| now.saturating_duration_since(seen.max(standing.known_since)));
                standing.revision = Some(revision.to_owned());
            }
        });
        took
    }

    /// Forgets the resources of a kind that are gone.
    pub fn keep(&self, kind: Kind, is_there: impl Fn(&Name) -> bool) {
        self.all().retain(|(of, name), _| *of != kind || is_there(name));
    }

    /// Forgets one resource that is gone.
    pub fn forget(&self, kind: Kind, name: &Name) {
        self.all().remove(&(kind, name.clone()));
    }

    fn change(&self, kind: Kind, name: &Name, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.all().get_mut(&(kind, name.clone())) {
            change(standing);
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Standings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (all, now) = (self.all(), Instant::now());
        queue(&mut encoder, &all, now)?;
        Kind::ALL.iter().try_for_each(|kind| of_kind(&mut Page { encoder: &mut encoder, all: &all, kind: *kind }))?;
        of_syncs(&mut Page { encoder: &mut encoder, all: &all, kind: Kind::Sync })
    }
}

/// Writes how many resources wait and run.
fn queue(encoder: &mut DescriptorEncoder<'_>, all: &All, now: Instant) -> Result<(), std::fmt::Error> {
    let of = |kind: Kind| all.iter().filter(move |((of, _), _)| *of == kind).map(|(_, standing)| standing);
    let waits = |kind: Kind| of(kind).filter_map(|standing| standing.waits_since(now));
    let waiting = |kind: Kind| waits(kind).count() as f64;
    let running = |kind: Kind| of(kind).filter(|standing| standing.running).count() as f64;
    let oldest = |kind: Kind| waits(kind).map(|since| now.duration_since(since).as_secs_f64()).fold(0.0, f64::max);
    by_kind(encoder, "waxwing_queue_waiting", "Resources that want their turn and don't have it yet.", waiting)?;
    by_kind(encoder, "waxwing_queue_running", "Resources that are being reconciled.", running)?;
    by_kind(encoder, "waxwing_queue_oldest_seconds", "For how long the one has waited that has waited longest.", oldest)
}

fn by_kind(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    figure: impl Fn(Kind) -> f64,
) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    Kind::ALL.iter().try_for_each(|kind| {
        let label = [("kind", kind.as_str())];
        ConstGauge::new(figure(*kind)).encode(metric.encode_family(&label)?)
    })
}

/// Writes what Syncs and GitSources have in common.
fn of_kind(page: &mut Page<'_, '_>) -> Result<(), std::fmt::Error> {
    let settings = |standing: &Standing| standing.settings.clone();
    page.states()?;
    page.gauge("ready", "1 while Ready is True, and 0 while it is not.", |standing| {
        standing.verdict.map(|verdict| i64::from(verdict.status == "True"))
    })?;
    page.gauge("suspended", "1 while spec.suspend is set.", |standing| {
        settings(standing).map(|settings| i64::from(settings.suspended))
    })?;
    page.gauge("interval_seconds", "What spec.interval says.", |standing| {
        settings(standing).map(|settings| settings.interval.as_secs_f64())
    })?;
    let (name, help) = match page.kind {
        Kind::Sync => {
            ("last_success_timestamp_seconds", "When a sync last ended with Ready True, in seconds since 1970.")
        }
        Kind::GitSource => {
            ("last_fetch_timestamp_seconds", "When the Git server last answered, in seconds since 1970.")
        }
    };
    page.gauge(name, help, |standing| {
        let since = standing.last_good?.duration_since(SystemTime::UNIX_EPOCH);
        since.ok().map(|since| since.as_secs_f64())
    })
}

/// Writes what only Syncs have.
fn of_syncs(page: &mut Page<'_, '_>) -> Result<(), std::fmt::Error> {
    page.gauge("objects", "Objects of the revision that was planned last.", |standing| {
        standing.objects.map(i64::from)
    })?;
    page.gauge("leases", "Secrets that stores made for objects.", |standing| {
        standing.leases.map(|leases| i64::from(leases.count))
    })?;
    page.gauge("oldest_lease_age_seconds", "For how long the oldest of them is there.", |standing| {
        standing.leases.map(|leases| leases.oldest.elapsed().as_secs_f64())
    })?;
    page.gauge("first_lease_ends_in_seconds", "When the first of them ends unless it is renewed.", |standing| {
        standing.leases.map(|leases| leases.first_end.saturating_duration_since(Instant::now()).as_secs_f64())
    })?;
    let help = "Objects that differ from Git and are left so.";
    page.family("drifted_objects", help, |standing| {
        let left = standing.drifted.iter();
        left.map(|(action, objects)| (vec![("action", action.as_str())], objects.len() as i64)).collect()
    })
}

/// Where the metrics of one kind are written.
struct Page<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    all: &'a All,
    kind: Kind,
}

impl Page<'_, '_> {
    /// Writes one line for each resource that says what Ready says.
    fn states(&mut self) -> Result<(), std::fmt::Error> {
        self.family("info", "1, with what Ready says and why.", |standing| {
            let Some(verdict) = standing.verdict else { return Vec::new() };
            let mut labels = vec![("status", verdict.status), ("reason", verdict.reason)];
            let source = standing.settings.as_ref().and_then(|settings| settings.source.as_deref());
            labels.extend(source.map(|source| ("source", source)));
            vec![(labels, 1_i64)]
        })
    }

    fn gauge<N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&Standing) -> Option<N>,
    ) -> Result<(), std::fmt::Error> {
        self.family(name, help, |standing| value(standing).map(|value| (Vec::new(), value)).into_iter().collect())
    }

    /// Writes a metric with the values that each resource has of it, and with their labels beside its name.
    fn family<N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl for<'s> Fn(&'s Standing) -> Vec<(Vec<(&'static str, &'s str)>, N)>,
    ) -> Result<(), std::fmt::Error> {
        let prefix = match self.kind {
            Kind::GitSource => "waxwing_source",
            Kind::Sync => "waxwing_sync",
        };
        let name = format!("{prefix}_{name}");
        let mut metric = self.encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for ((_, resource), standing) in self.all.iter().filter(|((kind, _), _)| *kind == self.kind) {
            for (more, value) in values(standing) {
                let mut labels = vec![("namespace", resource.namespace.as_str()), ("name", resource.name.as_str())];
                labels.extend(more);
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn settings() -> Settings {
        Settings { interval: Duration::from_secs(60), suspended: false, source: Some("fleet".to_owned()) }
    }

    fn served(standings: Standings) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(standings));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    }

    fn ago(seconds: u64) -> Instant {
        Instant::now() - Duration::from_secs(seconds)
    }

    #[test]
    fn a_resource_waits_from_when_it_asks_or_is_due_until_its_turn() {
        let standings = Standings::default();
        standings.asked(Kind::Sync, name("a"), ago(9));
        standings.asked(Kind::Sync, name("a"), ago(3));
        assert_eq!(standings.all().values().filter(|one| one.waits_since(Instant::now()).is_some()).count(), 1);
        let now = Instant::now();
        assert!(standings.begin(Kind::Sync, &name("a"), settings(), now) >= Duration::from_secs(9));
        standings.woken(Kind::Sync, &name("a"), now);
        let waits = |now| standings.all().values().filter(|one| one.waits_since(now).is_some()).count();
        assert_eq!(waits(now), 0, "it is its turn");
        standings.end(Kind::Sync, &name("a"), Some(now + Duration::from_secs(60)), now);
        assert_eq!(waits(now), 1, "it was woken meanwhile");
        standings.begin(Kind::Sync, &name("a"), settings(), now);
        standings.end(Kind::Sync, &name("a"), Some(now + Duration::from_secs(60)), now);
        assert_eq!((waits(now), waits(now + Duration::from_secs(60))), (0, 1));
    }

    #[test]
    fn who_is_gone_is_forgotten_and_nothing_that_still_runs_brings_it_back() {
        let standings = Standings::default();
        standings.begin(Kind::Sync, &name("a"), settings(), ago(1));
        standings.begin(Kind::GitSource, &name("a"), settings(), ago(1));
        standings.keep(Kind::Sync, |_| false);
        standings.said(Kind::Sync, &name("a"), Verdict { status: "True", reason: "Applied" });
        standings.end(Kind::Sync, &name("a"), None, Instant::now());
        standings.woken(Kind::Sync, &name("a"), Instant::now());
        assert_eq!(standings.all().keys().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::GitSource]);
        standings.forget(Kind::GitSource, &name("a"));
        assert!(standings.all().is_empty());
    }

    #[test]
    fn the_time_to_healthy_counts_once_for_each_new_commit_and_not_from_before_the_sync() {
        let standings = Standings::default();
        standings.begin(Kind::Sync, &name("a"), settings(), ago(10));
        let took = |revision, seen| standings.ready_with(&name("a"), revision, seen, Instant::now());
        assert_eq!(took("main@1", None), None, "it was not new");
        let seconds = |took: Option<Duration>| took.map(|took| took.as_secs());
        assert_eq!(seconds(took("main@2", Some(ago(4)))), Some(4));
        assert_eq!(took("main@2", Some(ago(4))), None);
        assert_eq!(seconds(took("main@3", Some(ago(60)))), Some(10));
    }

    #[test]
    fn what_is_left_drifted_is_news_once() {
        let standings = Standings::default();
        standings.begin(Kind::Sync, &name("a"), settings(), ago(1));
        let left = |objects: &[&str]| {
            let objects = objects.iter().map(|&object| object.to_owned()).collect();
            standings.left(&name("a"), DriftAction::Alerted, objects)
        };
        assert_eq!([left(&["x"]), left(&["x", "y"]), left(&["y"]), left(&["x", "y"])], [1, 1, 0, 1]);
    }

    #[test]
    fn what_is_served_of_a_sync() {
        let standings = Standings::default();
        standings.begin(Kind::Sync, &name("a"), settings(), ago(1));
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        standings.good(Kind::Sync, &name("a"), at);
        standings.good_until(Kind::Sync, &name("a"), SystemTime::now());
        standings.said(Kind::Sync, &name("a"), Verdict { status: "False", reason: "ApplyFailed" });
        standings.has_objects(&name("a"), 3);
        standings.left(&name("a"), DriftAction::Contested, BTreeSet::from(["x".to_owned()]));
        let of_it: String =
            served(standings).lines().filter(|line| line.contains("shop")).map(|line| format!("{line}\n")).collect();
        let expected = r#"waxwing_sync_info{namespace="shop",name="a",status="False",reason="ApplyFailed",source="fleet"} 1
waxwing_sync_ready{namespace="shop",name="a"} 0
waxwing_sync_suspended{namespace="shop",name="a"} 0
waxwing_sync_interval_seconds{namespace="shop",name="a"} 60.0
waxwing_sync_last_success_timestamp_seconds{namespace="shop",name="a"} 1.5
waxwing_sync_objects{namespace="shop",name="a"} 3
waxwing_sync_drifted_objects{namespace="shop",name="a",action="contested"} 1
"#;
        assert_eq!(of_it, expected);
    }
}
