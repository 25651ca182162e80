//! Conditions of a status: what is the matter now, in the form that `kubectl wait` reads.
//!
//! `Ready` is the sum and is always there. `Reconciling` and `Stalled` are there only while they are true (the polarity of
//! Flux and kstatus): `Reconciling` while work goes on, `Stalled` when only a change by a person helps. `Healthy` and
//! `Unsealed` are parts of a Sync's Ready; `Drifted` is not, and says what differs from Git and is left so.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::Reason;

/// The most bytes of a message; what is longer is cut. The API server itself would refuse more than 32,768.
const MESSAGE_LIMIT: usize = 8192;

/// What ends a message that was cut.
const CUT: &str = " ... (cut)";

/// The types of conditions that Waxwing writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// Whether everything that the spec asks for is so.
    Ready,
    /// True while work goes on; absent otherwise.
    Reconciling,
    /// True while only a change of the spec, of the repository or of a permission helps; absent otherwise.
    Stalled,
    /// Whether all objects of a Sync are healthy.
    Healthy,
    /// Whether all secrets that a Sync's revision needs could be opened.
    Unsealed,
    /// Whether objects of a Sync are not as they were applied, and are left so.
    Drifted,
}

impl ConditionType {
    /// Returns the text in the `type` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Healthy => "Healthy",
            Self::Unsealed => "Unsealed",
            Self::Drifted => "Drifted",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known yet.
    Unknown,
}

impl Status {
    /// Returns the text in the `status` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCondition {
    /// The type.
    pub kind: ConditionType,
    /// The status.
    pub status: Status,
    /// The reason.
    pub reason: Reason,
    /// What happened, for people; without secrets. It is cut at 8 KiB.
    pub message: String,
    /// The generation of the spec that this is about.
    pub observed_generation: Option<i64>,
}

/// Puts `new` into `conditions`, in place of the one of its type, and tells whether anything changed.
///
/// The time of the last transition becomes `now` only when the status changes: another reason or message alone is not a
/// transition.
pub fn set_condition(conditions: &mut Vec<Condition>, new: NewCondition, now: Timestamp) -> bool {
    let old = conditions.iter_mut().find(|old| old.type_ == new.kind.as_str());
    let since = match &old {
        Some(old) if old.status == new.status.as_str() => old.last_transition_time.clone(),
        _ => Time(to_seconds(now)),
    };
    let new = Condition {
        type_: new.kind.as_str().to_owned(),
        status: new.status.as_str().to_owned(),
        reason: new.reason.as_str().to_owned(),
        message: cut(new.message),
        observed_generation: new.observed_generation,
        last_transition_time: since,
    };
    match old {
        Some(old) if *old == new => return false,
        Some(old) => *old = new,
        None => conditions.push(new),
    }
    true
}

/// Takes the condition of type `kind` out of `conditions`, and tells whether it was there.
pub fn remove_condition(conditions: &mut Vec<Condition>, kind: ConditionType) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != kind.as_str());
    conditions.len() != before
}

/// Returns the condition of type `kind`, where there is one.
pub fn condition(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Drops what the API server would not store: its times have whole seconds.
fn to_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_LIMIT {
        message.truncate(message.floor_char_boundary(MESSAGE_LIMIT - CUT.len()));
        message.push_str(CUT);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: Status, reason: Reason) -> NewCondition {
        NewCondition {
            kind: ConditionType::Ready,
            status,
            reason,
            message: "Applied main@sha1:abc".to_owned(),
            observed_generation: Some(3),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn since(conditions: &[Condition]) -> Option<i64> {
        condition(conditions, ConditionType::Ready).map(|ready| ready.last_transition_time.0.as_second())
    }

    #[test]
    fn the_transition_time_stays_while_the_status_does() {
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, ready(Status::False, Reason::FetchFailed), at(10)));
        assert!(set_condition(&mut conditions, ready(Status::False, Reason::ApplyFailed), at(20)));
        assert_eq!(since(&conditions), Some(10));
        assert!(set_condition(&mut conditions, ready(Status::True, Reason::Applied), at(30)));
        assert_eq!(since(&conditions), Some(30));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn setting_the_same_condition_again_changes_nothing() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, ready(Status::True, Reason::Applied), at(10));
        assert!(!set_condition(&mut conditions, ready(Status::True, Reason::Applied), at(20)));
        assert_eq!(since(&conditions), Some(10));
    }

    #[test]
    fn a_condition_that_is_over_is_removed() {
        let mut conditions = Vec::new();
        set_condition(
            &mut conditions,
            NewCondition { kind: ConditionType::Stalled, ..ready(Status::True, Reason::Forbidden) },
            at(10),
        );
        assert!(remove_condition(&mut conditions, ConditionType::Stalled));
        assert!(!remove_condition(&mut conditions, ConditionType::Stalled));
        assert_eq!(conditions, []);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut conditions = Vec::new();
        let message = "ä".repeat(MESSAGE_LIMIT);
        set_condition(&mut conditions, NewCondition { message, ..ready(Status::False, Reason::Internal) }, at(10));
        let message = condition(&conditions, ConditionType::Ready).map(|ready| ready.message.as_str());
        assert!(message.is_some_and(|text| text.len() <= MESSAGE_LIMIT && text.ends_with("ä ... (cut)")));
    }

    #[test]
    fn transition_times_have_whole_seconds() {
        let mut conditions = Vec::new();
        let now = Timestamp::from_millisecond(10_700).expect("in range");
        set_condition(&mut conditions, ready(Status::True, Reason::Applied), now);
        let stored = serde_json::to_value(&conditions).expect("serialises");
        assert_eq!(stored.pointer("/0/lastTransitionTime"), Some(&"1970-01-01T00:00:10Z".into()));
    }
}
