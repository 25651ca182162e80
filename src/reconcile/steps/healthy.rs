//! Asking whether what was applied works.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use waxwing_plan::health::{Health, HealthStatus, health as judge};
use waxwing_plan::{AllApplied, AllHealthy, ObjectId, Plan};

use crate::api::{Failure, Reason};
use crate::cluster;
use crate::reconcile::{Job, Progress, Trouble};

const CONCURRENT_READS: usize = 8;

/// Reads the objects whose health matters and judges them; with `spec.wait` the line goes on only when all are well.
pub(in crate::reconcile) async fn health(
    job: &Job<'_>,
    plan: &Plan,
    applied: &AllApplied,
    progress: &mut Progress,
) -> Result<Option<AllHealthy>, Trouble> {
    let health = read(job, plan).await?;
    progress.healthy(plan, &health);
    match AllHealthy::check(plan, applied, &health) {
        Ok(proof) => Ok(Some(proof)),
        Err(_) if !job.sync.spec.wait => Ok(None),
        Err(sick) => Err(trouble(sick)),
    }
}

async fn read(job: &Job<'_>, plan: &Plan) -> Result<BTreeMap<ObjectId, Health>, Trouble> {
    let kinds = job.context.kinds.get().await?;
    let client = job.context.client.clone();
    let reads = stream::iter(what_matters(plan)).map(move |(id, version)| {
        let (client, kinds) = (client.clone(), kinds.clone());
        async move {
            let object = cluster::read(&client, &kinds, &id, &version).await?;
            Ok::<_, cluster::CallError>(object.map(|object| (id, judge(&object))))
        }
    });
    let read: Vec<Option<(ObjectId, Health)>> = reads.buffer_unordered(CONCURRENT_READS).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

/// Returns the objects whose health matters, with the versions to read them in.
fn what_matters(plan: &Plan) -> Vec<(ObjectId, String)> {
    let manifests = plan.with_health().map(|step| &step.manifest);
    manifests.map(|manifest| (manifest.id.clone(), manifest.version.clone())).collect()
}

/// Objects on their way are waited for; one that failed is named first.
fn trouble(mut sick: Vec<(ObjectId, Option<Health>)>) -> Trouble {
    let has_failed =
        |health: &Option<Health>| health.as_ref().is_some_and(|health| health.status == HealthStatus::Failed);
    sick.sort_by_key(|(_, health)| !has_failed(health));
    let failure = |(id, health): (ObjectId, Option<Health>)| Failure {
        object: id.to_string(),
        reason: if has_failed(&health) { Reason::HealthCheckFailed } else { Reason::Progressing },
        message: health.map_or_else(|| "it was not found".to_owned(), |health| health.message),
    };
    Trouble::of_failures(sick.into_iter().map(failure).collect(), false)
}
