//! What stands in a Lease, and what is written there: the fields as client-go's `LeaderElectionRecord` has them. Its times are for people.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::timing::Timing;

/// Returns who holds a lease; none where it was given up.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Returns how often a lease has changed hands.
pub(super) fn transitions(lease: &Lease) -> i32 {
    lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default()
}

/// Returns a lease with this name that `holder` takes.
pub(super) fn new(name: &str, holder: &str, timing: Timing, now: Timestamp) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let spec = LeaseSpec { lease_transitions: Some(0), ..spec(LeaseSpec::default(), holder, timing, now) };
    Lease { metadata, spec: Some(spec) }
}

/// Returns a lease as `holder` takes it, or renews it where it has it already.
pub(super) fn held(lease: &Lease, holder: &str, timing: Timing, now: Timestamp) -> Lease {
    let is_renewal = self::holder(lease) == Some(holder);
    let before = lease.spec.clone().unwrap_or_default();
    let acquired = before.acquire_time.clone().filter(|_| is_renewal);
    let transitions = transitions(lease).saturating_add(i32::from(!is_renewal));
    let spec = spec(before, holder, timing, now);
    let acquire_time = acquired.or_else(|| spec.acquire_time.clone());
    let spec = LeaseSpec { acquire_time, lease_transitions: Some(transitions), ..spec };
    Lease { metadata: lease.metadata.clone(), spec: Some(spec) }
}

fn spec(before: LeaseSpec, holder: &str, timing: Timing, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(timing.lease_seconds()),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..before
    }
}

/// Returns a lease as its holder gives it up.
pub(super) fn released(lease: &Lease, now: Timestamp) -> Lease {
    let before = lease.spec.clone().unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        // The API server doesn't take none.
        lease_duration_seconds: Some(1),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..before
    };
    Lease { metadata: lease.metadata.clone(), spec: Some(spec) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_is_taken_renewed_and_given_up_as_client_go_does_it() {
        let timing = Timing::new(Duration::from_secs(15), Duration::from_secs(10), Duration::from_secs(2)).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let fields = |lease: &Lease| {
            let spec = lease.spec.clone().unwrap();
            let time = |time: Option<MicroTime>| time.unwrap().0.as_second();
            (
                spec.holder_identity.unwrap(),
                spec.lease_duration_seconds.unwrap(),
                time(spec.acquire_time),
                time(spec.renew_time),
                spec.lease_transitions.unwrap(),
            )
        };
        let taken = new("waxwing", "a", timing, at(1));
        assert_eq!(fields(&taken), ("a".to_owned(), 15, 1, 1, 0));
        let renewed = held(&taken, "a", timing, at(3));
        assert_eq!(fields(&renewed), ("a".to_owned(), 15, 1, 3, 0));
        let released = released(&renewed, at(4));
        assert_eq!((fields(&released), holder(&released)), ((String::new(), 1, 4, 4, 0), None));
        let taken = held(&released, "b", timing, at(5));
        assert_eq!(fields(&taken), ("b".to_owned(), 15, 5, 5, 1));
        assert_eq!(fields(&held(&Lease::default(), "b", timing, at(5))), ("b".to_owned(), 15, 5, 5, 1));
    }
}
