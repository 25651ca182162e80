//! Opening what the plan sends: collects the keys that this takes, as the tenant, and turns refusals into reasons.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt;
use waxwing_formats::sops::UnlockError;
use waxwing_keys::Keyring;
use waxwing_plan::{Change, Manifest, Plan};

use super::change::session;
use super::planned::Seen;
use super::probe::{self, Probed};
use crate::api::{Failure, Reason};
use crate::cluster::inventory::Stored;
use crate::cluster::{self, Request, Requests, secrets};
use crate::reconcile::audit::Recorded;
use crate::reconcile::backends::Backends;
use crate::reconcile::leases::Issued;
use crate::reconcile::trouble::of_secret;
use crate::reconcile::{Job, Progress, Trouble};
use crate::render::Rendered;
use crate::unsealing::{
    self, Begun, KeyFile, Needs, OpenError, RefusalKind, ServiceAnswers, Stores, SyncKeys, with_stack_wiped,
};

/// Up to so many objects without secrets are put into requests where the sync runs: to make room for that takes longer.
const SHORT: usize = 100;

/// What was opened, as requests in stages. Not `Debug`.
pub(in crate::reconcile) struct Unsealed {
    pub(in crate::reconcile) recorded: Recorded,
    /// What stores made for it; it is ended when this goes.
    pub(in crate::reconcile) issued: Vec<Issued>,
    pub(in crate::reconcile) verified: BTreeSet<String>,
}

/// Opens what the plan sends, and verifies every SOPS file of the render that wasn't before.
pub(in crate::reconcile) async fn unseal(
    job: &Job<'_>,
    plan: &Plan,
    rendered: &Rendered,
    probed: &mut Probed<'_>,
    known: &Stored,
    seen: &Seen,
    progress: &mut Progress,
) -> Result<Unsealed, Trouble> {
    let sent: Vec<&Manifest> = plan.to_send().map(|step| &step.manifest).collect();
    let verified = &known.inventory.verified;
    let ring = job.context.keys.ring();
    let needs = unsealing::needs(rendered, &sent, verified);
    let is_long = needs != Needs::default() || sent.len() > SHORT || !rendered.references().is_empty();
    let is_asking = needs.identities && !job.sync.spec.secrets.backends.is_empty();
    let keys = match keys(job, needs, &ring).await {
        Ok(keys) if is_asking => asked(job, keys, unsealing::begin(rendered, &sent, verified)).await,
        keys => keys.map(|keys| (keys, Begun::default(), None)),
    };
    let keys = match keys {
        Ok((keys, begun, outage)) => stored(job, keys, rendered, &sent, probed)
            .await
            .map(|(keys, issued, away)| (keys, issued, begun, Away { services: outage, stores: away })),
        Err(trouble) => Err(trouble),
    };
    let (keys, issued, begun, away) = match keys {
        Ok(keys) => keys,
        Err(trouble) => {
            progress.unsealed(Some(&trouble));
            return Err(trouble);
        }
    };
    let bind_into: Vec<_> = job.sync.spec.secrets.bind_into.iter().map(|kind| kind.get().clone()).collect();
    let open = || with_stack_wiped(|| unsealing::open(rendered, &sent, &bind_into, &keys, verified, &begun));
    let opened = if is_long { tokio::task::block_in_place(open) } else { open() };
    let opened = opened.map_err(|errors| while_away(trouble(&errors), away));
    progress.unsealed(opened.as_ref().err());
    if opened.is_err() {
        probed.unopened(sent.iter().map(|manifest| &manifest.id), &keys.stores);
    }
    let opened = opened?;
    let metrics = &job.context.metrics;
    opened.effort.iter().for_each(|effort| metrics.unsealed(effort.scheme, effort.values as u64, effort.took));
    let revision = progress.revision().map_or("", |(revision, _)| revision);
    let recorded = Recorded::new(job, revision, in_stages(plan, opened.requests, seen));
    Ok(Unsealed { recorded, issued, verified: opened.verified })
}

/// Puts requests into the stages of their steps. There is one request for each step that is sent, in the same order.
fn in_stages(plan: &Plan, requests: Vec<Request>, seen: &Seen) -> Requests {
    let mut stages: Vec<(waxwing_plan::Stage, Vec<Request>)> = Vec::new();
    for (step, mut request) in plan.to_send().zip(requests) {
        let live = seen.live.get(&request.id).and_then(Option::as_ref);
        request.live_version = live.map(|live| live.resource_version.clone());
        request.presumed_absent = seen.presumed_absent.contains(&request.id);
        request.adopts = matches!(step.change, Change::Adopted { .. });
        request.left_to_others.clone_from(&step.left_to_others);
        if live.is_some() {
            // The manifest has none of them any more, but an expanded Secret got its entries just now.
            request.leave(&step.left_to_others);
        }
        match stages.last_mut() {
            Some((stage, requests)) if *stage == step.stage => requests.push(request),
            _ => stages.push((step.stage, vec![request])),
        }
    }
    Requests::new(stages.into_iter().map(|(_, requests)| requests).collect())
}

/// Collects the keys that are needed, and nothing where nothing is.
async fn keys<'a>(job: &Job<'_>, needs: Needs, ring: &'a Keyring) -> Result<SyncKeys<'a>, Trouble> {
    let identities = if needs.identities { identities(job).await? } else { Vec::new() };
    let mut may_write_secrets_in = BTreeSet::new();
    for namespace in needs.sealed_in {
        if cluster::may_write_secrets(&job.context.client, &job.account, &namespace).await? {
            may_write_secrets_in.insert(namespace);
        }
    }
    let (services, stores, account) = (ServiceAnswers::new(), Stores::default(), job.account.clone());
    Ok(SyncKeys { identities, services, stores, ring, account, may_write_secrets_in })
}

/// Asks key services for what the identities don't open of the files that were begun, through the backends that the Sync names, until
/// all is answered; where nothing is to be asked, the backends aren't read. Returns how soon it may help to ask again, if a service was
/// away.
async fn asked<'a>(
    job: &Job<'_>,
    mut keys: SyncKeys<'a>,
    begun: Begun,
) -> Result<(SyncKeys<'a>, Begun, Option<Duration>), Trouble> {
    let next = |keys: &SyncKeys<'_>| tokio::task::block_in_place(|| with_stack_wiped(|| begun.unanswered(keys)));
    let mut unanswered = next(&keys);
    if unanswered.is_empty() {
        return Ok((keys, begun, None));
    }
    let backends = Backends::read(job, session(job)?).await?;
    while !unanswered.is_empty() {
        keys.services.extend(backends.data_keys(unanswered).await);
        unanswered = next(&keys);
    }
    let outage = backends.outage();
    Ok((keys, begun, outage))
}

/// Reads what references lead to.
async fn stored<'a>(
    job: &Job<'_>,
    keys: SyncKeys<'a>,
    rendered: &Rendered,
    sent: &[&Manifest],
    probed: &mut Probed<'_>,
) -> Result<(SyncKeys<'a>, Vec<Issued>, Option<Duration>), Trouble> {
    let probe::Read { stores, issued, away } = probe::read(job, rendered, sent, probed).boxed().await?;
    Ok((SyncKeys { stores, ..keys }, issued, away))
}

/// How soon it may help to ask again those that were away.
#[derive(Clone, Copy)]
struct Away {
    services: Option<Duration>,
    stores: Option<Duration>,
}

/// A file that did not open while a key service was away may well open later, and so may a store answer.
fn while_away(trouble: Trouble, away: Away) -> Trouble {
    match (away.services, away.stores) {
        (Some(soon), _) if trouble.reason == Reason::KeyNotFound => {
            let reason = Reason::KeyServiceUnavailable;
            let of_file = |failure: Failure| match failure.reason {
                Reason::KeyNotFound => Failure { reason, ..failure },
                _ => failure,
            };
            let failures = trouble.failures.into_iter().map(of_file).collect();
            Trouble { reason, failures, soon: Some(soon), ..trouble }
        }
        (_, Some(soon)) if trouble.reason == Reason::StoreUnavailable => Trouble { soon: Some(soon), ..trouble },
        _ => trouble,
    }
}

/// Reads the identities of `spec.secrets.keysFrom` as the tenant, over a connection that is closed after it.
async fn identities(job: &Job<'_>) -> Result<Vec<(String, KeyFile)>, Trouble> {
    let session = session(job)?;
    let mut identities = Vec::new();
    for source in &job.sync.spec.secrets.keys_from {
        let name = &source.secret_ref.name;
        let secret = secrets::read(&session.client, &session.identity, job.namespace(), name).await;
        let reader = format!("ServiceAccount {}", job.account);
        let secret = secret.map_err(|error| of_secret(error, "spec.secrets.keysFrom", &reader))?;
        let before = identities.len();
        for (key, value) in &secret.data {
            let Some(parsed) = with_stack_wiped(|| KeyFile::parse(key, value.expose_secret())) else { continue };
            let origin = format!("Secret {name}, {key}");
            let parsed = parsed.map_err(|error| {
                Trouble::passing(Reason::KeysUnavailable, format!("{origin}: {error}"), error.hint())
            })?;
            identities.push((origin, parsed));
        }
        if identities.len() == before {
            let fact = format!("Secret {}/{name} has no entry that ends in {}", job.namespace(), KeyFile::ENDINGS);
            let hint = "name the entry with the age identity or the private PGP keys so, such as age.agekey";
            return Err(Trouble::passing(Reason::KeysUnavailable, fact, hint));
        }
    }
    Ok(identities)
}

pub(super) fn trouble(errors: &[OpenError]) -> Trouble {
    let failure =
        |error: &OpenError| Failure::new(&error.subject(), reason(error), format!("{error}; hint: {}", error.hint()));
    Trouble::of_failures(errors.iter().map(failure).collect(), false)
}

fn reason(error: &OpenError) -> Reason {
    match error {
        OpenError::Binding(_) | OpenError::NotText { .. } => Reason::BindingRefused,
        OpenError::Sops { source: UnlockError::NoKey { .. }, .. } => Reason::KeyNotFound,
        OpenError::Sops { source: UnlockError::NoMac | UnlockError::MacDamaged | UnlockError::MacMismatch, .. } => {
            Reason::MacMismatch
        }
        OpenError::Sops { .. }
        | OpenError::Whole { .. }
        | OpenError::Missing { .. }
        | OpenError::Item { .. }
        | OpenError::Blob { .. }
        | OpenError::Template { .. } => Reason::UnsealFailed,
        OpenError::SealedForAnother { .. } => Reason::SealedForAnother,
        OpenError::AccessDenied { .. } => Reason::AccessDenied,
        OpenError::Reference { refusal, .. } => match refusal.kind {
            RefusalKind::NotAllowed => Reason::ReferenceRefused,
            RefusalKind::Denied => Reason::ReferenceDenied,
            RefusalKind::NotFound => Reason::ReferenceNotFound,
            RefusalKind::Unavailable => Reason::StoreUnavailable,
        },
        OpenError::Handle { .. } => Reason::HandleRefused,
    }
}
