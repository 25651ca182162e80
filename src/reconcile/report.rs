//! What users see of a reconcile: conditions, events and status, written only where they changed.

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use super::trouble::Trouble;
use crate::api::{ConditionType, NewCondition, Reason, Status, condition, remove_condition, set_condition};
use crate::cluster::{self, CallError, LONGEST_ANSWER};

/// The most bytes of an event's note that the API server takes.
pub(super) const NOTE_LIMIT: usize = 1024;

/// How a reconcile ended, for the conditions Ready, Reconciling and Stalled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Whether all is well; unknown while work goes on.
    pub ready: Status,
    /// The reason of Ready.
    pub reason: Reason,
    /// The message of Ready.
    pub message: String,
    /// Whether only a change by somebody helps.
    pub stalled: bool,
}

impl Verdict {
    /// Says that all is well.
    pub(super) fn ready(reason: Reason, message: String) -> Self {
        Self { ready: Status::True, reason, message, stalled: false }
    }

    /// Says that work goes on and nothing is wrong.
    pub(super) fn progressing(message: String) -> Self {
        Self { ready: Status::Unknown, reason: Reason::Progressing, message, stalled: false }
    }

    /// Says that something is wrong.
    pub(super) fn failed(trouble: &Trouble, message: String) -> Self {
        Self { ready: Status::False, reason: trouble.reason, message, stalled: trouble.stalled }
    }
}

/// Writes a verdict into the three conditions that every resource has.
pub(super) fn set_verdict(conditions: &mut Vec<Condition>, verdict: &Verdict, generation: Option<i64>, now: Timestamp) {
    let set = |kind, status, reason, message: &str| NewCondition {
        kind,
        status,
        reason,
        message: message.to_owned(),
        observed_generation: generation,
    };
    set_condition(conditions, set(ConditionType::Ready, verdict.ready, verdict.reason, &verdict.message), now);
    let working = match (verdict.ready, verdict.stalled) {
        (Status::True, _) | (_, true) => None,
        (Status::Unknown, _) => Some(Reason::Progressing),
        (Status::False, _) => Some(Reason::ProgressingWithRetry),
    };
    match working {
        Some(reason) => {
            set_condition(conditions, set(ConditionType::Reconciling, Status::True, reason, &verdict.message), now)
        }
        None => remove_condition(conditions, ConditionType::Reconciling),
    };
    match verdict.stalled {
        true => {
            let stalled = set(ConditionType::Stalled, Status::True, verdict.reason, &verdict.message);
            set_condition(conditions, stalled, now)
        }
        false => remove_condition(conditions, ConditionType::Stalled),
    };
}

/// Publishes an event when Ready says something else than before.
pub(super) async fn publish<K>(context: &Context, object: &K, before: &[Condition], verdict: &Verdict)
where
    K: Resource<DynamicType = ()>,
{
    let old = condition(before, ConditionType::Ready);
    let same = old.is_some_and(|old| old.reason == verdict.reason.as_str() && old.message == verdict.message);
    if same || verdict.ready == Status::Unknown {
        return;
    }
    let kind = if verdict.ready == Status::True { EventType::Normal } else { EventType::Warning };
    event(context, object, kind, verdict.reason, &verdict.message).await;
}

/// Publishes one event about `object`; a failure is logged and goes no further.
pub(super) fn event<'a, K>(
    context: &'a Context,
    object: &K,
    kind: EventType,
    reason: Reason,
    note: &str,
) -> BoxFuture<'a, ()>
where
    K: Resource<DynamicType = ()>,
{
    let (name, regarding) = (name(object), object.object_ref(&()));
    match kind {
        EventType::Normal => tracing::info!(object = name, %reason, "{note}"),
        EventType::Warning => tracing::warn!(object = name, %reason, "{note}"),
    }
    let event = Event {
        type_: kind,
        reason: reason.as_str().to_owned(),
        note: Some(cut(note)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    // A recorder that is kept counts events of one reason as one, and drops the notes of all but the first.
    let recorder = Recorder::new(context.client.clone(), context.reporter.clone());
    let published = async move {
        let published = tokio::time::timeout(LONGEST_ANSWER, recorder.publish(&event, &regarding)).await;
        if !matches!(published, Ok(Ok(()))) {
            tracing::warn!(object = name, "failed to publish an event");
        }
    };
    published.boxed()
}

/// Writes a status as a whole, and returns the resourceVersion of the object with it, an empty one when the object is gone.
///
/// # Errors
///
/// Fails when it doesn't stand; that is logged, and the next reconcile writes it again.
pub(super) async fn write_status<K, S>(context: &Context, object: &K, status: &S) -> Result<String, CallError>
where
    K: Resource<DynamicType = ()>,
    S: Serialize,
{
    let resource = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "status": status});
    let written = cluster::write_status(&context.client, &path(object), &resource).await;
    written.map(Option::unwrap_or_default).inspect_err(|error| {
        tracing::warn!(object = %name(object), %error, "failed to write the status");
    })
}

/// Returns the path of a resource of ours.
pub(super) fn path<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}/{}", K::url_path(&(), object.namespace().as_deref()), object.name_any())
}

/// Drops what the API server would not store: its times have whole seconds.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}/{}/{}", K::kind(&()), object.namespace().unwrap_or_default(), object.name_any())
}

/// Cuts a note at what the API server takes, and says so.
fn cut(note: &str) -> String {
    const MARK: &str = " ...";
    match note.get(..note.floor_char_boundary(NOTE_LIMIT - MARK.len())) {
        Some(head) if note.len() > NOTE_LIMIT => format!("{head}{MARK}"),
        _ => note.to_owned(),
    }
}
