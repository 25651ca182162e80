//! Writes what became of a fetch into the status of its GitSource.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::context::Context;
use super::measure;
use super::report::{self, Verdict};
use super::trouble::Trouble;
use crate::api::{GitSource, GitSourceStatus, REQUESTED_AT, Reason};
use crate::source::Fetched;

/// Writes the status where it changed, and an event where the verdict did. Tells whether users can see it.
pub(super) async fn write(
    source: &GitSource,
    context: &Context,
    result: Result<&Fetched, &Trouble>,
    usable: bool,
) -> bool {
    let old = context.source_statuses.latest(source);
    let mut status = old.clone();
    let now = Timestamp::now();
    status.observed_generation = source.metadata.generation;
    status.last_handled_requested_at =
        source.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT)).cloned();
    let verdict = match result {
        Ok(fetched) => fetched_verdict(&mut status, fetched, now),
        Err(trouble) => failed_verdict(&mut status, trouble, usable, now),
    };
    report::set_verdict(&mut status.conditions, &verdict, source.metadata.generation, now);
    measure::source_is(source, context, &verdict, status.stale_since.as_ref());
    report::publish(context, source, &old.conditions, &verdict).await;
    old == status || context.source_statuses.write(context, source, status).await.is_ok()
}

fn fetched_verdict(status: &mut GitSourceStatus, fetched: &Fetched, now: Timestamp) -> Verdict {
    let revision = fetched.revision.to_string();
    if status.revision.as_ref() != Some(&revision) {
        status.fetched_at = Some(Time(report::whole_seconds(now)));
    }
    status.commit = Some(fetched.revision.commit.to_string());
    status.stale_since = None;
    status.revision = Some(revision.clone());
    Verdict::ready(Reason::Fetched, format!("Fetched {revision}"))
}

fn failed_verdict(status: &mut GitSourceStatus, trouble: &Trouble, usable: bool, now: Timestamp) -> Verdict {
    let mut message = trouble.message.clone();
    if let (true, Some(revision)) = (usable, &status.revision) {
        let since = status.stale_since.get_or_insert_with(|| Time(report::whole_seconds(now)));
        message.push_str(&format!("; {revision} stays in use, stale since {}", since.0));
    }
    Verdict::failed(trouble, message)
}
