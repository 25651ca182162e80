//! What a follower has seen of the Lease, and from when on it may take it. Nothing here asks anybody, and the times in the record are not
//! looked at: they are those of another's clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

use super::record;
use super::timing::LONGEST;
use crate::cluster::Moment;

/// The lease as it was last seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    lease: Option<Lease>,
    /// When the lease was promised to somebody last, and for how long; also where it has been deleted since.
    promised: Option<(Moment, Duration)>,
}

impl Sight {
    /// Notes how the lease was found at `now`, none where there is none. A holder that others can still see is trusted for `least`, if the
    /// record asks for less, and for an hour, if it asks for more.
    pub(super) fn note(&mut self, lease: Option<Lease>, now: Moment, least: Duration) {
        let is_same = self.lease.is_some() == lease.is_some() && self.spec() == lease.as_ref().and_then(spec);
        self.lease = lease;
        match &self.lease {
            // Who deletes a lease doesn't end its holder.
            None => {}
            Some(lease) if record::holder(lease).is_none() => self.promised = None,
            Some(_) if is_same && self.promised.is_some() => {}
            Some(lease) => {
                let asked = spec(lease).and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
                let asked = Duration::from_secs(asked.try_into().unwrap_or_default());
                self.promised = Some((now, asked.min(LONGEST).max(least)));
            }
        }
    }

    /// Returns the lease.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Returns who holds it.
    pub(super) fn holder(&self) -> Option<&str> {
        self.lease.as_ref().and_then(record::holder)
    }

    /// Returns after how long it is nobody's any more, if nothing changes.
    pub(super) fn free_in(&self, now: Moment) -> Duration {
        self.promised.map(|(since, length)| since.after(length).since(now)).unwrap_or_default()
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.as_ref().and_then(spec)
    }
}

fn spec(lease: &Lease) -> Option<&LeaseSpec> {
    lease.spec.as_ref()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    const LEAST: Duration = Duration::from_secs(15);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn lease(holder: Option<&str>, duration: Option<i32>, renewed: i64) -> Option<Lease> {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: duration,
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        };
        Some(Lease { spec: Some(spec), ..Lease::default() })
    }

    /// Notes what is seen, each so many seconds after the start, and returns after how long the lease is free from the last one on.
    fn seen(steps: &[(u64, Option<Lease>)]) -> Duration {
        let (start, mut sight) = (Moment::now(), Sight::default());
        steps.iter().for_each(|(at, lease)| sight.note(lease.clone(), start.after(seconds(*at)), LEAST));
        sight.free_in(start.after(seconds(steps.last().unwrap().0)))
    }

    #[test]
    fn a_lease_is_free_where_there_is_none_or_nobody_has_it() {
        let table = [None, lease(None, None, 0), lease(Some(""), Some(15), 0), Some(Lease::default())];
        table.into_iter().for_each(|lease| assert_eq!(seen(&[(0, lease)]), Duration::ZERO));
    }

    #[test]
    fn whatever_the_times_of_its_holder_say_it_is_free_when_it_has_not_changed_for_long_enough() {
        for renewed in [0, 4_000_000_000, -62_135_596_800] {
            let held = || lease(Some("a"), Some(20), renewed);
            assert_eq!(seen(&[(0, held())]), seconds(20));
            assert_eq!(seen(&[(0, held()), (5, held())]), seconds(15));
            assert_eq!(seen(&[(0, held()), (20, held())]), Duration::ZERO);
            assert_eq!(seen(&[(0, held()), (19, lease(Some("a"), Some(20), renewed + 1))]), seconds(20));
        }
    }

    #[test]
    fn what_is_not_of_the_record_does_not_renew_it() {
        let mut annotated = lease(Some("a"), Some(20), 0).unwrap();
        annotated.metadata.resource_version = Some("2".to_owned());
        assert_eq!(seen(&[(0, lease(Some("a"), Some(20), 0)), (20, Some(annotated))]), Duration::ZERO);
    }

    #[test]
    fn a_holder_has_at_least_as_long_as_is_usual_whatever_somebody_wrote() {
        for asked in [None, Some(0), Some(1), Some(-5), Some(i32::MIN)] {
            assert_eq!(seen(&[(0, lease(Some("a"), asked, 0))]), LEAST, "{asked:?}");
        }
        assert_eq!(seen(&[(0, lease(Some("a"), Some(i32::MAX), 0))]), seconds(3600), "nor longer than any is good for");
    }

    #[test]
    fn who_deletes_a_lease_does_not_end_its_holder_and_who_empties_it_does() {
        let held = || lease(Some("a"), Some(20), 0);
        assert_eq!(seen(&[(0, held()), (5, None)]), seconds(15));
        assert_eq!(seen(&[(0, held()), (5, None), (20, None)]), Duration::ZERO);
        assert_eq!(seen(&[(0, held()), (5, lease(Some(""), Some(1), 1))]), Duration::ZERO);
        assert_eq!(seen(&[(0, held()), (5, None), (6, held())]), seconds(20));
    }
}
