//! What is wrong with the other references of a revision in which some are refused as they stand in Git, so that all is told at once.
//!
//! It is looked at as a sync would: what no backend allows is asked of nobody, and neither is what is left alone. What is read to learn its
//! version is dropped; nothing is planned, made or applied.

use futures::FutureExt;

use super::planned::live;
use super::probe::probe;
use super::record;
use crate::reconcile::{Job, Progress, Trouble};
use crate::render::Rendered;

/// Adds what is wrong with the references of the rest to what was told of those that are refused.
pub(super) async fn with_other_references(job: &Job<'_>, rest: &Rendered, told: Trouble) -> Trouble {
    if rest.references().is_empty() {
        return told;
    }
    match look(job, rest).boxed().await {
        Ok(()) => told,
        Err(other) => told.and(other),
    }
}

async fn look(job: &Job<'_>, rest: &Rendered) -> Result<(), Trouble> {
    let mut progress = Progress::default();
    let known = record::load(job).await?;
    let seen = live(job, rest, &known, &mut progress).await?;
    probe(job, rest, &seen, &mut progress).await.map(drop)
}
