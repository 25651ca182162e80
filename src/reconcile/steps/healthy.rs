//! Asking whether what was applied works.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use waxwing_plan::health::{Health, HealthStatus, health as judge, health_when_new};
use waxwing_plan::{AllApplied, AllHealthy, ObjectId, Plan};

use crate::api::{Failure, Reason};
use crate::cluster::{self, Landed, Verb};
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

/// How objects were, each at the resourceVersion that it was read at.
type Readings = BTreeMap<ObjectId, (String, Health)>;

/// How the objects of each Sync were, and at which resourceVersion, so that only those are read again that changed.
#[derive(Default)]
pub struct HealthCache(Mutex<HashMap<String, Readings>>);

impl HealthCache {
    fn of(&self, sync: &str) -> Readings {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(sync).cloned().unwrap_or_default()
    }

    fn add(&self, sync: &str, known: Readings) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(sync.to_owned()).or_default().extend(known);
    }

    fn keep(&self, sync: &str, known: Readings) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sync.to_owned(), known);
    }

    /// Forgets a Sync that is gone.
    pub fn forget(&self, sync: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(sync);
    }
}

/// Notes how the objects are that were created just now, where that can be told without reading them.
pub(super) fn note_created(job: &Job<'_>, plan: &Plan, landed: &[Landed]) {
    let created = landed.iter().filter(|landed| landed.verb == Verb::Created);
    let created: HashMap<_, _> = created.map(|landed| (&landed.id, &landed.mark.resource_version)).collect();
    let told = plan.to_send().filter_map(|step| {
        let (id, health) = (&step.manifest.id, health_when_new(&step.manifest)?);
        Some((id.clone(), ((*created.get(id)?).clone(), health)))
    });
    job.context.health.add(&job.id.uid, told.collect());
}

/// Returns how the objects are; those are read whose resourceVersion is another one than when they were read last.
async fn read(job: &Job<'_>, plan: &Plan) -> Result<BTreeMap<ObjectId, Health>, Trouble> {
    let mut known = job.context.health.of(&job.id.uid);
    let (mut current, mut unknown) = (BTreeMap::new(), Vec::new());
    for (id, version) in what_matters(plan) {
        match (job.context.marks.version_of(&id), known.remove(&id)) {
            (Some(now), Some((then, health))) if now == then => drop(current.insert(id, (then, health))),
            _ => unknown.push((id, version)),
        }
    }
    current.extend(read_live(job, unknown).await?);
    let health = current.iter().map(|(id, (_, health))| (id.clone(), health.clone())).collect();
    job.context.health.keep(&job.id.uid, current);
    Ok(health)
}

async fn read_live(job: &Job<'_>, objects: Vec<(ObjectId, String)>) -> Result<Readings, Trouble> {
    let kinds = job.context.kinds.get().await?;
    let (client, tenant) = (job.context.client.clone(), job.identity());
    let reads = stream::iter(objects).map(move |(id, version)| {
        let (client, kinds, tenant) = (client.clone(), kinds.clone(), tenant.clone());
        async move {
            let object = cluster::read(&client, &kinds, &id, &version, &tenant).await?;
            let text = |object: &Value| object.pointer("/metadata/resourceVersion")?.as_str().map(str::to_owned);
            Ok::<_, cluster::CallError>(object.map(|object| (id, (text(&object).unwrap_or_default(), judge(&object)))))
        }
    });
    let read: Vec<Option<(ObjectId, (String, Health))>> =
        reads.buffer_unordered(CONCURRENT_READS).try_collect().await?;
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
    let failure = |(id, health): (ObjectId, Option<Health>)| {
        let reason = if has_failed(&health) { Reason::HealthCheckFailed } else { Reason::Progressing };
        Failure::new(&id, reason, health.map_or_else(|| "it was not found".to_owned(), |health| health.message))
    };
    Trouble::of_failures(sick.into_iter().map(failure).collect(), false)
}
