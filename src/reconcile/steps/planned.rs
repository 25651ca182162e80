//! Reading what the cluster has, and planning.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;
use waxwing_plan::SYNC_LABEL;
use waxwing_plan::inventory::{Claim, Claims, EntryState};
use waxwing_plan::{
    DigestContext, DriftPolicy, GroupKind, Inputs, Live, LiveMark, ObjectId, Plan, PlanError, PrunePolicy, Retirement,
    retire,
};

use super::probe::Probed;
use super::record;
use crate::api::{Drift, Failure, Ignore, Reason, Sync};
use crate::cluster::inventory::Stored;
use crate::cluster::{self, CallError, Kinds, Look, Reach, ServiceAccount, Wanted, confirm_unserved};
use crate::reconcile::versions::Versions;
use crate::reconcile::{Job, Progress, Trouble};
use crate::render::{Rendered, bindings};

/// What is known of the cluster: the objects of this Sync, and who else claims those that it no longer renders.
pub(in crate::reconcile) struct Seen {
    pub(in crate::reconcile) live: Live,
    pub(in crate::reconcile) presumed_absent: BTreeSet<ObjectId>,
    claims: Claims,
}

/// Reads the metadata of every object that is rendered or in the inventory, and of the namespaces of those that are
/// rendered: nothing can be made in one that is being deleted.
pub(in crate::reconcile) async fn live(
    job: &Job<'_>,
    rendered: &Rendered,
    known: &Stored,
    progress: &mut Progress,
) -> Result<Seen, Trouble> {
    let desired: BTreeSet<_> = rendered.manifests().iter().map(|manifest| &manifest.id).collect();
    let wanted: BTreeSet<_> = desired.iter().copied().chain(known.inventory.entries.keys()).cloned().collect();
    let namespaces: BTreeSet<_> = desired.iter().filter_map(|id| namespace_of(id)).collect();
    // Before they are looked at, so that nothing that happens after that is missed.
    job.context.alarms.mind(&job.id.mark, wanted.union(&namespaces).cloned().collect());
    let closely = job.look_closely.load(Ordering::Relaxed);
    // What was recorded may have lost its label, and a namespace carries none.
    let may_presume = |id: &ObjectId| !closely && desired.contains(id) && !known.inventory.entries.contains_key(id);
    let look = Wanted { objects: &wanted, besides: &namespaces, may_presume: &may_presume };
    let cluster::Seen { live, presumed_absent } = marks(job, &look, known).await?;
    let gone: Vec<_> = known.inventory.entries.keys().filter(|id| !desired.contains(id)).collect();
    if !gone.is_empty() {
        progress.awaits(job.untried());
    }
    let is_of_another = |id: &ObjectId| live.get(id).and_then(Option::as_ref).is_some_and(|mark| of_known(job, mark));
    let of_others = desired.iter().copied().filter(|id| is_of_another(id));
    let contested = gone.into_iter().chain(of_others).cloned().collect();
    let claims = claims(job, &contested).await?;
    Ok(Seen { live, presumed_absent, claims })
}

/// Reads live marks. The kinds are read again when some aren't known, or are no longer served as they were: what isn't found
/// counts as gone, so that must not be for want of looking in the right place.
async fn marks(job: &Job<'_>, wanted: &Wanted<'_>, known: &Stored) -> Result<cluster::Seen, Trouble> {
    let context = job.context;
    let (client, followed) = (&context.client, &context.marks);
    let look = Look { client, followed, selector: selector(job), tenant: job.identity() };
    let mut kinds = context.kinds.get().await?;
    if wanted.objects.iter().any(|id| kinds.any_version(&id.kind).is_none()) {
        kinds = context.kinds.refresh().await?;
        confirm_gone(job, &kinds, known).await?;
    }
    let live = match look.at(&kinds, wanted).await {
        Err(error) if error.is_not_found() => {
            let kinds = context.kinds.refresh().await?;
            look.at(&kinds, wanted).await
        }
        live => live,
    };
    live.map_err(|error| unseen(error, job))
}

/// What neither the controller nor the tenant may look at can't be planned for.
fn unseen(error: CallError, job: &Job<'_>) -> Trouble {
    if !error.is_forbidden() {
        return error.into();
    }
    let account = &job.account;
    let hint = format!("let ServiceAccount {account} get it, or the controller get, list and watch such objects");
    Trouble::passing(Reason::Forbidden, error, &hint)
}

/// Makes sure that the kinds of applied objects that the API server doesn't list are gone, and with them the objects.
async fn confirm_gone(job: &Job<'_>, kinds: &Kinds, known: &Stored) -> Result<(), Trouble> {
    let applied = known.inventory.entries.values().filter(|entry| entry.state != EntryState::Wanted);
    let unlisted = applied.filter(|entry| kinds.any_version(&entry.id.kind).is_none());
    let unlisted: BTreeSet<_> = unlisted.map(|entry| (&entry.id.kind, entry.version.as_str())).collect();
    for (kind, version) in unlisted {
        confirm_unserved(&job.context.client, kind, version).await.map_err(|error| {
            let fact = format!("{kind} {version} was applied and its API does not answer: {error}");
            Trouble::passing(Reason::ApiUnavailable, fact, "it is tried again; see `kubectl get apiservices`")
        })?;
    }
    Ok(())
}

fn namespace_of(id: &ObjectId) -> Option<ObjectId> {
    let namespace = id.namespace.as_ref()?;
    Some(ObjectId::cluster_scoped(GroupKind::new("", "Namespace"), namespace))
}

/// Tells whether the object is marked with another Sync that can be asked about. One that is out of reach can't be: whether it
/// has let go is not known, so its objects are left to it.
fn of_known(job: &Job<'_>, mark: &LiveMark) -> bool {
    let Some(owner) = mark.owner.as_ref().filter(|owner| !owner.is(&job.id.mark)) else { return false };
    match &owner.name {
        Some(name) => job.context.reach.covers(&name.namespace),
        None => job.context.reach == Reach::Cluster,
    }
}

/// Finds out which other Syncs have `objects`, or render them: what this one no longer renders, and what carries the mark of
/// another.
async fn claims(job: &Job<'_>, objects: &BTreeSet<ObjectId>) -> Result<Claims, Trouble> {
    let mut claims: Claims = objects.iter().map(|id| (id.clone(), Vec::new())).collect();
    if objects.is_empty() {
        return Ok(claims);
    }
    let recorded = job.context.inventories.claimed_by_others(&job.id, objects).await?;
    let claimed: BTreeSet<_> = recorded.into_iter().chain(job.rendered_by_others(objects)).collect();
    for (id, by) in claimed {
        let other = ObjectRef::<Sync>::new(&by.name).within(&by.namespace);
        let may_inherit = match job.context.syncs.get(&other) {
            Some(other) => may_inherit(job, &other, &id).await?,
            None => false,
        };
        claims.entry(id).or_default().push(Claim { by, may_inherit });
    }
    Ok(claims)
}

/// A claim counts only when the other Sync will write the object, and may: an inventory is no proof of that.
async fn may_inherit(job: &Job<'_>, other: &Sync, id: &ObjectId) -> Result<bool, Trouble> {
    let will = other.metadata.deletion_timestamp.is_none() && !other.spec.suspend;
    let namespace = other.namespace().unwrap_or_default();
    let account = ServiceAccount::new(&namespace, other.spec.service_account()).ok().filter(|_| will);
    let Some(account) = account else { return Ok(false) };
    if account == job.account {
        return Ok(true);
    }
    let kinds = job.context.kinds.get().await?;
    Ok(cluster::may_patch(&job.context.client, &kinds, &account, id).await?)
}

/// Plans. Objects that another Sync has are written down, so that it hands them over when it drops them.
pub(in crate::reconcile) async fn plan(
    job: &Job<'_>,
    rendered: &Rendered,
    probed: &Probed<'_>,
    known: &Stored,
    seen: &Seen,
    progress: &mut Progress,
) -> Result<Plan, Trouble> {
    let decided = decide(job, rendered, &probed.versions, known, seen);
    let against = decided.as_ref().err().map_or(&[][..], Vec::as_slice);
    job.context.wake(job.context.rivals.note(&job.id.mark, against));
    let plan = match decided {
        Ok(plan) => plan,
        Err(errors) => {
            let wanted: Vec<_> = errors.iter().filter_map(claimed).collect();
            record::wanted(job, known, &wanted).await?;
            return Err(refused(&errors));
        }
    };
    progress.planned(&plan);
    Ok(plan)
}

/// Decides what the Sync's spec makes of what is known.
pub(in crate::reconcile) fn decide(
    job: &Job<'_>,
    rendered: &Rendered,
    versions: &Versions,
    known: &Stored,
    seen: &Seen,
) -> Result<Plan, Vec<PlanError>> {
    let spec = &job.sync.spec;
    let contested = job.context.contests.left(&job.id.uid, spec.interval.get(), Instant::now());
    waxwing_plan::plan(Inputs {
        manifests: rendered.manifests().to_vec(),
        inventory: &known.inventory,
        live: &seen.live,
        claims: &seen.claims,
        owner: &job.id.mark,
        drift: match spec.drift {
            Drift::Revert => DriftPolicy::Revert,
            Drift::Alert => DriftPolicy::Alert,
            Drift::Ignore => DriftPolicy::Ignore,
        },
        contested: &contested,
        ignore: &spec.ignore.iter().map(Ignore::rule).collect::<Vec<_>>(),
        versions: versions.of_objects(),
        digest: DigestContext {
            secrets_spec: serde_json::to_value(&spec.secrets).unwrap_or(Value::Null),
            cluster: "",
            binding_rules_version: bindings::VERSION,
        },
        policy: PrunePolicy {
            enabled: spec.prune.enabled,
            allow_empty: spec.prune.allow_empty,
            max_percent: spec.prune.max_percent.get(),
            wait: spec.wait,
        },
    })
}

fn claimed(error: &PlanError) -> Option<(ObjectId, String)> {
    match error {
        PlanError::OwnedByOther { id, version, .. } => Some((id.clone(), version.clone())),
        _ => None,
    }
}

/// Plans the end of a deleted Sync; none when it isn't being deleted.
pub(in crate::reconcile) async fn retirement(job: &Job<'_>, known: &Stored) -> Result<Option<Retirement>, Trouble> {
    let wanted: BTreeSet<ObjectId> = known.inventory.entries.keys().cloned().collect();
    let look = Wanted { objects: &wanted, besides: &BTreeSet::new(), may_presume: &|_| false };
    let live = marks(job, &look, known).await?.live;
    let claims = claims(job, &wanted).await?;
    let deleted = job.sync.metadata.deletion_timestamp.as_ref().map(|time| time.0.to_string());
    Ok(retire(deleted.as_deref(), &known.inventory, &live, &claims, &job.id.mark))
}

fn selector(job: &Job<'_>) -> String {
    format!("{SYNC_LABEL}={}", job.id.mark.label())
}

/// Says what speaks against a render.
pub(in crate::reconcile) fn refused(errors: &[PlanError]) -> Trouble {
    let failure =
        |error: &PlanError| Failure::new(error.id(), Reason::PlanConflict, format!("{error}; hint: {}", error.hint()));
    Trouble::of_failures(errors.iter().map(failure).collect(), false)
}
