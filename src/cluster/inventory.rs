//! The inventory in the cluster: `Inventory` resources, one a shard, owned by their Sync.
//!
//! What an inventory means is `waxwing-plan`'s business; this file stores and loads it. A shard is written before
//! another one is deleted, so that a crash in between leaves an entry twice, never not at all.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt, stream};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use waxwing_plan::inventory::{Inventory, Shard};
use waxwing_plan::{ObjectId, OwnerMark};

use super::FIELD_MANAGER;
use super::call::{Call, CallError, JSON, METADATA_LIST, METADATA_ONLY};
use super::identity::{Identity, ServiceAccount};
use super::inventories::Inventories;
use super::reach::Reach;

/// The label by which the shards of a Sync are found.
const LABEL: &str = "waxwing.dev/inventory-of";
/// Keeps a shard until its Sync has let go of what it names: a namespace that is deleted, or a Sync that is deleted in the
/// foreground, would otherwise take the record away before what it names was pruned.
const FINALIZER: &str = "waxwing.dev/inventory";
/// No entry moves from one shard to another, so they may be written in any order.
const CONCURRENT_WRITES: usize = 4;
const ALL: &str = "/apis/waxwing.dev/v1alpha1/inventories";

/// The Sync that an inventory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncId {
    /// Namespace and name.
    pub mark: OwnerMark,
    /// The Sync's uid: an inventory never passes to another Sync of the same name.
    pub uid: String,
}

/// An inventory as it is in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// What it says.
    pub inventory: Inventory,
    shards: Vec<Shard>,
    /// The resourceVersion of each shard that is in the cluster: a write must not undo another one.
    versions: BTreeMap<u32, String>,
}

#[derive(Deserialize)]
struct Page {
    /// A list of nothing may say null.
    items: Option<Vec<Value>>,
    metadata: PageMetadata,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Resource {
    metadata: ResourceMetadata,
    spec: Record,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetadata {
    namespace: String,
    resource_version: String,
}

/// What a shard says.
#[derive(Deserialize)]
pub(super) struct Record {
    pub(super) sync: SyncReference,
    #[serde(rename = "shard")]
    pub(super) number: u32,
    #[serde(default)]
    entries: Vec<waxwing_plan::inventory::Entry>,
    #[serde(default)]
    verified: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct SyncReference {
    pub(super) name: String,
    pub(super) uid: String,
}

/// Loads the inventory of a Sync; an empty one where there is none.
///
/// # Errors
///
/// Fails when the API server doesn't answer, or answers with what isn't an inventory.
pub(super) async fn load(client: &Client, sync: &SyncId) -> Result<Stored, CallError> {
    let path = format!("{}?labelSelector={LABEL}%3D{}", collection(&sync.mark.namespace), sync.mark.label());
    let mut shards = Vec::new();
    for item in list(client, &path, JSON).await? {
        let resource: Resource = serde_json::from_value(item).map_err(|_| CallError::malformed(&path))?;
        if resource.spec.sync.uid == sync.uid && resource.spec.sync.name == sync.mark.name {
            shards.push((resource.metadata.resource_version, resource.spec.into_shard()));
        }
    }
    Ok(Stored::of(shards))
}

/// Returns which Syncs, other than `sync`, have one of `objects` in their inventories. What somebody wrote by hand and can't be
/// read is passed over: a tenant must not be able to hold up the others. Only Syncs within `reach` are seen.
///
/// # Errors
///
/// Fails when the API server doesn't answer.
pub(super) async fn claimed_by_others(
    client: &Client,
    reach: &Reach,
    sync: &SyncId,
    objects: &BTreeSet<ObjectId>,
) -> Result<Vec<(ObjectId, OwnerMark)>, CallError> {
    let (mut claims, mut items) = (Vec::new(), Vec::new());
    for namespace in reach.namespaces() {
        items.extend(list(client, &all_in(namespace), JSON).await?);
    }
    for resource in items.into_iter().filter_map(|item| serde_json::from_value::<Resource>(item).ok()) {
        let by = OwnerMark::new(resource.metadata.namespace, resource.spec.sync.name);
        if by == sync.mark {
            continue;
        }
        let claimed = resource.spec.entries.iter().filter(|entry| objects.contains(&entry.id));
        claims.extend(claimed.map(|entry| (entry.id.clone(), by.clone())));
    }
    Ok(claims)
}

/// Lets go of the shards in one namespace, or in all of them, whose Sync is no more: of `sync`, or of every Sync. That happens
/// only where somebody took the finalizer off a Sync; nothing would end the shards then, nor their namespace. A Sync that
/// isn't alive as far as is known is asked for before that.
///
/// # Errors
///
/// Fails with the first request that fails.
pub async fn release_orphans(
    client: &Client,
    namespace: Option<&str>,
    sync: Option<&OwnerMark>,
    is_alive: impl Fn(&str) -> bool,
) -> Result<(), CallError> {
    let selector = sync.map_or_else(|| LABEL.to_owned(), |sync| format!("{LABEL}%3D{}", sync.label()));
    for shard in list(client, &format!("{}?labelSelector={selector}", all_in(namespace)), METADATA_LIST).await? {
        let text = |pointer: &str| shard.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let owner = text("/metadata/ownerReferences/0/uid");
        if shard.pointer("/metadata/finalizers").is_none() || is_alive(owner) {
            continue;
        }
        let namespace = text("/metadata/namespace");
        if !exists(client, namespace, text("/metadata/ownerReferences/0/name"), owner).await? {
            release(client, &object(namespace, text("/metadata/name"))).await?;
        }
    }
    Ok(())
}

/// Tells whether there is the Sync of this name and uid. What can't be the name of one isn't.
async fn exists(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<bool, CallError> {
    if ServiceAccount::new(namespace, name).is_err() {
        return Ok(false);
    }
    let path = format!("/apis/waxwing.dev/v1alpha1/namespaces/{namespace}/syncs/{name}");
    match Call::get(&path).accept(METADATA_ONLY).send(client, &Identity::Controller).await {
        Ok(sync) => Ok(sync.pointer("/metadata/uid").is_some_and(|found| found == uid)),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

impl Stored {
    /// Puts shards together, each with its resourceVersion.
    pub(super) fn of(shards: Vec<(String, Shard)>) -> Self {
        let versions = shards.iter().map(|(version, shard)| (shard.number, version.clone())).collect();
        let shards: Vec<Shard> = shards.into_iter().map(|(_, shard)| shard).collect();
        Self { inventory: Inventory::from_shards(&shards), shards, versions }
    }

    /// Writes what changed, and returns the inventory as it is in the cluster now. Without a change nothing is written.
    ///
    /// # Errors
    ///
    /// Fails with a request that failed; what was written stays.
    pub async fn replace(mut self, kept: &Inventories, sync: &SyncId, inventory: Inventory) -> Result<Self, CallError> {
        if inventory == self.inventory {
            return Ok(self);
        }
        let shards = inventory.shards(&self.shards);
        let versions = &self.versions;
        let writes = shards.iter().filter(|shard| !self.shards.contains(shard)).map(|shard| async move {
            let version = write(kept.client(), sync, shard, versions.get(&shard.number)).await?;
            kept.note_written(sync, shard, &version);
            Ok::<_, CallError>((shard.number, version))
        });
        let writes: Vec<_> = writes.map(FutureExt::boxed).collect();
        let written: Vec<_> = stream::iter(writes).buffer_unordered(CONCURRENT_WRITES).collect().await;
        self.versions.extend(written.into_iter().collect::<Result<Vec<_>, _>>()?);
        let stays = |old: &Shard| shards.iter().any(|shard| shard.number == old.number);
        for old in self.shards.iter().filter(|old| !stays(old)) {
            delete(kept.client(), sync, old.number).await?;
            kept.note_deleted(sync, old.number);
            self.versions.remove(&old.number);
        }
        Ok(Self { inventory, shards, versions: self.versions })
    }
}

impl Record {
    pub(super) fn into_shard(self) -> Shard {
        Shard { number: self.number, entries: self.entries, verified: self.verified }
    }
}

async fn list(client: &Client, path: &str, form: &'static str) -> Result<Vec<Value>, CallError> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let page = format!("{path}{separator}limit=20&continue={next}");
        let bytes = Call::get(&page).accept(form).send_raw(client, &Identity::Controller).await?;
        let malformed = || CallError::Malformed { path: ALL.to_owned() };
        let page: Page = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        items.extend(page.items.into_iter().flatten());
        if page.metadata.next.is_empty() {
            return Ok(items);
        }
        next =
            percent_encoding::utf8_percent_encode(&page.metadata.next, percent_encoding::NON_ALPHANUMERIC).to_string();
    }
}

/// Writes one shard and returns its new resourceVersion. With `version` the write is refused (409) when the shard is another
/// one by now.
async fn write(client: &Client, sync: &SyncId, shard: &Shard, version: Option<&String>) -> Result<String, CallError> {
    let path = format!("{}?fieldManager={FIELD_MANAGER}&force=true", path_of(sync, shard.number));
    let body = resource(sync, shard, version).to_string();
    let call = Call::apply(&path, body.into()).accept(METADATA_ONLY);
    let answer = call.send(client, &Identity::Controller).await?;
    let version = answer.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.map(str::to_owned).ok_or_else(|| CallError::malformed(&path))
}

async fn delete(client: &Client, sync: &SyncId, number: u32) -> Result<(), CallError> {
    let path = path_of(sync, number);
    match Call::delete(&path, &json!({})).send_raw(client, &Identity::Controller).await {
        Ok(_) => release(client, &path).await,
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes the finalizer off a shard. Nobody else has a reason to put one on.
async fn release(client: &Client, path: &str) -> Result<(), CallError> {
    let patch = json!([{"op": "add", "path": "/metadata/finalizers", "value": []}]);
    match Call::json_patch(path, &patch).accept(METADATA_ONLY).send(client, &Identity::Controller).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn resource(sync: &SyncId, shard: &Shard, version: Option<&String>) -> Value {
    json!({
        "apiVersion": "waxwing.dev/v1alpha1",
        "kind": "Inventory",
        "metadata": {
            "name": format!("{}.{}", sync.mark.name, shard.number),
            "resourceVersion": version,
            "labels": {LABEL: sync.mark.label()},
            "finalizers": [FINALIZER],
            "ownerReferences": [{
                "apiVersion": "waxwing.dev/v1alpha1",
                "kind": "Sync",
                "name": sync.mark.name,
                "uid": sync.uid,
                "controller": true,
            }],
        },
        "spec": {
            "sync": {"name": sync.mark.name, "uid": sync.uid},
            "shard": shard.number,
            "entries": shard.entries,
            "verified": shard.verified,
        },
    })
}

fn all_in(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| ALL.to_owned(), collection)
}

fn collection(namespace: &str) -> String {
    format!("/apis/waxwing.dev/v1alpha1/namespaces/{namespace}/inventories")
}

/// The number follows the last dot, so no two Syncs can share a name for their shards.
fn path_of(sync: &SyncId, number: u32) -> String {
    object(&sync.mark.namespace, &format!("{}.{number}", sync.mark.name))
}

fn object(namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(namespace))
}
