//! SealedSecrets as objects of the cluster, reconciled as the Sealed Secrets controller does it (`pkg/controller` of sealed-secrets
//! 0.40), so that an installation can be switched over and back.
//!
//! This is beside the straight line: nothing here comes from Git or is done for a tenant. The controller acts as itself, as the
//! one that it stands in for. Whether there is work is decided by metadata (`turn`); plaintext exists between opening and the
//! body of one request. What is better than there: what others change of a Secret is put back, what was done and not touched costs
//! no private-key operation, also after a start, and a status has the current message.

mod carrier;
mod error;
mod events;
mod fields;
mod form;
mod memory;
mod object;
mod open;
mod ownership;
mod packed;
mod produce;
mod resealing;
mod secrets;
mod status;
mod telling;
mod turn;

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::stream::select;
use futures::{Stream, StreamExt};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiServer, Reach};
use crate::metrics::{Metrics, Name};
use crate::reconcile::{Retries, Times, Watched, give_turns_with_places, received};
use crate::sealing::Keys;
use carrier::Carrier;
use memory::Memory;
pub use object::SealedSecret;
pub use resealing::{Asked, ItemRefusal, ItemReport, Named, ResealError, Unresealed, rotate, verify};
use secrets::{Secrets, Touched};
use telling::Telling;

/// How many Secrets are made at the same time.
const AT_ONCE: usize = 16;
/// How many of them are opened at the same time: as many as there are processors, since more would only wait in threads of their own.
static OPENED_AT_ONCE: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)));
/// How long the first turns wait for the list of Secrets, and how often somebody is told that SealedSecrets can't be listed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what is gone may be remembered.
const FORGETTING: Duration = Duration::from_secs(1);
/// What is told then.
const UNLISTED: &str =
    "SealedSecrets can't be listed; hint: install their definition, and let the controller get, list and watch them";

/// What every turn needs.
pub struct Objects {
    client: Client,
    carrier: Carrier,
    keys: Arc<Keys>,
    metrics: Arc<Metrics>,
    cache: Store<SealedSecret>,
    secrets: Secrets,
    memory: Memory,
    telling: Telling,
    retries: Retries,
}

/// What the room is given.
pub struct Parts {
    /// The controller's connection, for SealedSecrets and for metadata.
    pub client: Client,
    /// How to make the connection over which values go.
    pub server: ApiServer,
    /// Where the controller works.
    pub reach: Reach,
    /// The cluster's sealing keys.
    pub keys: Arc<Keys>,
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Cancelled once this controller leads; the first turn waits for that.
    pub leading: CancellationToken,
}

/// Reconciles SealedSecrets until `stop` is cancelled, and then until what runs has ended.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let Parts { client, server, reach, keys, metrics, leading } = parts;
    let (asks, keep) = (SealedSecret::asks_for_work, SealedSecret::keep);
    let watched = Watched::<SealedSecret>::asking_when(&client, &reach, asks, keep);
    let (touched, touches) = mpsc::unbounded_channel();
    let objects = Arc::new(Objects {
        carrier: Carrier::new(server),
        client,
        keys,
        metrics,
        cache: watched.cache(),
        secrets: Secrets::new(touched),
        memory: Memory::default(),
        telling: Telling::default(),
        retries: Retries::default(),
    });
    let (listed, open, filled) = (CancellationToken::new(), CancellationToken::new(), watched.filled());
    let opening = async {
        while tokio::time::timeout(PATIENCE, filled.cancelled()).await.is_err() {
            tracing::warn!("{UNLISTED}");
        }
        // Who may not list Secrets, or has very many, begins without.
        let _ = tokio::time::timeout(PATIENCE, listed.cancelled()).await;
        leading.cancelled().await;
        open.cancel();
        std::future::pending::<()>().await;
    };
    let (of_secrets, of_keys) = (by_secrets(objects.clone(), touches), by_keys(objects.clone()));
    let times = Times { at_once: AT_ONCE, open: open.clone(), stop: &stop };
    let changed = watched.changed();
    let asked = select(watched.asking(), select(of_secrets, of_keys));
    tokio::select! {
        () = give_turns_with_places(asked, times, |name, place| turn::turn(objects.clone(), name, place)) => {}
        () = objects.secrets.follow(&objects.client, &reach, listed.clone()) => {}
        () = forget(&objects, &changed) => {}
        () = opening => {}
    }
}

/// Forgets SealedSecrets once they are gone.
async fn forget(objects: &Objects, changed: &Notify) {
    loop {
        changed.notified().await;
        objects.memory.keep(|name| objects.cache.get(name).is_some());
        let name = |name: &Name| ObjectRef::new(&name.name).within(&name.namespace);
        objects.metrics.sealed_objects.keep(|known| objects.cache.get(&name(known)).is_some());
        let uids: HashSet<String> = objects.cache.state().iter().filter_map(|object| object.uid()).collect();
        objects.retries.keep(|uid| uids.contains(uid));
        // It looks at all of them, and a thousand changes come at once.
        tokio::time::sleep(FORGETTING).await;
    }
}

/// Returns the SealedSecrets whose Secrets were touched, if there are such.
fn by_secrets(
    objects: Arc<Objects>,
    touches: mpsc::UnboundedReceiver<Touched>,
) -> impl Stream<Item = ObjectRef<SealedSecret>> + Send {
    received(touches).filter_map(move |Touched { sealed_secret, given_up }| {
        let matters =
            objects.cache.get(&sealed_secret).is_some() && (!given_up || objects.memory.has_failed(&sealed_secret));
        std::future::ready(matters.then_some(sealed_secret))
    })
}

/// Returns the SealedSecrets that wait for other keys, whenever there are some.
fn by_keys(objects: Arc<Objects>) -> impl Stream<Item = ObjectRef<SealedSecret>> + Send {
    let changes = objects.keys.changes();
    let again =
        futures::stream::unfold(changes, |mut changes| async move { Some((changes.changed().await.ok()?, changes)) });
    again.flat_map(move |()| futures::stream::iter(objects.memory.waiting_for_keys()))
}
