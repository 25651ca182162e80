//! What the cluster has of the objects that a plan is about: metadata, never content.
//!
//! From what is followed, or else one list by our label for each kind in use; and one read for each object that isn't among
//! those that carry our label.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::Value;
use waxwing_plan::{GroupKind, Live, LiveMark, ObjectId};

use super::call::{Call, CallError, METADATA_LIST, METADATA_ONLY};
use super::discovery::Kinds;
use super::follow::Marks;
use super::identity::Identity;

const CONCURRENT_READS: usize = 8;
const PAGE: usize = 500;

/// What is known of live objects.
#[derive(Debug, Default)]
pub struct Seen {
    /// Their marks; none for one that does not exist.
    pub live: Live,
    /// Those that were not asked for and are taken for absent, since they carry no label of ours: nearly all new objects are.
    /// Their dry run shows whether that is so.
    pub presumed_absent: BTreeSet<ObjectId>,
}

/// Reads the live marks of all `wanted` objects, as the controller; an object that doesn't exist has none.
///
/// `selector` selects the objects that carry our mark. A kind that the API server doesn't have has no objects. An object for which
/// `may_presume` holds is taken for absent when its kind is followed and it isn't among those that carry our label.
///
/// # Errors
///
/// Fails with the first request that fails; with 404 when a kind is no longer served as it was when `kinds` were read.
pub async fn live_marks(
    client: &Client,
    followed: &Marks,
    kinds: &Kinds,
    selector: &str,
    wanted: &BTreeSet<ObjectId>,
    may_presume: impl Fn(&ObjectId) -> bool,
) -> Result<Seen, CallError> {
    let (mut marks, mut followed_kinds) = (BTreeMap::new(), BTreeSet::new());
    let in_use: BTreeSet<&GroupKind> = wanted.iter().map(|id| &id.kind).collect();
    for kind in in_use {
        match followed.of_kind(kinds, kind, wanted).await {
            Some(known) => {
                marks.extend(known);
                followed_kinds.insert(kind);
            }
            None => list(client, kinds, kind, selector, &mut marks).await?,
        }
    }
    let missing = wanted.iter().filter(|id| !marks.contains_key(*id));
    let (absent, unknown): (Vec<&ObjectId>, Vec<&ObjectId>) =
        missing.partition(|id| followed_kinds.contains(&id.kind) && may_presume(id));
    let presumed_absent: BTreeSet<ObjectId> = absent.into_iter().cloned().collect();
    let reads: Vec<_> = unknown.into_iter().cloned().map(|id| read(client, kinds, id).boxed()).collect();
    let reads = stream::iter(reads).buffer_unordered(CONCURRENT_READS);
    let found: Vec<(ObjectId, Option<LiveMark>)> = reads.try_collect().await?;
    let mut live: Live = found.into_iter().collect();
    live.extend(marks.into_iter().filter(|(id, _)| wanted.contains(id)).map(|(id, mark)| (id, Some(mark))));
    live.extend(presumed_absent.iter().map(|id| (id.clone(), None)));
    Ok(Seen { live, presumed_absent })
}

async fn list(
    client: &Client,
    kinds: &Kinds,
    kind: &GroupKind,
    selector: &str,
    marks: &mut BTreeMap<ObjectId, LiveMark>,
) -> Result<(), CallError> {
    let collection = kinds.any_version(kind).and_then(|version| kinds.collection_path(kind, version, None));
    let Some(collection) = collection else { return Ok(()) };
    let mut next = String::new();
    loop {
        let path = format!("{collection}?labelSelector={}&limit={PAGE}&continue={next}", encode(selector));
        let page = Call::get(&path).accept(METADATA_LIST).send(client, &Identity::Controller).await?;
        for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = identity_of(kind, item) {
                marks.insert(id, mark(item, &collection)?);
            }
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => next = encode(token),
            _ => return Ok(()),
        }
    }
}

async fn read(client: &Client, kinds: &Kinds, id: ObjectId) -> Result<(ObjectId, Option<LiveMark>), CallError> {
    let path = kinds.any_version(&id.kind).and_then(|version| kinds.object_path(&id, version));
    let Some(path) = path else { return Ok((id, None)) };
    match metadata(client, &path).await {
        Ok(answer) => Ok((id, Some(mark(&answer, &path)?))),
        Err(error) if error.is_not_found() => Ok((id, None)),
        Err(error) => Err(error),
    }
}

fn mark(metadata: &Value, path: &str) -> Result<LiveMark, CallError> {
    LiveMark::from_metadata(metadata).map_err(|_| CallError::malformed(path))
}

/// Reads one object's metadata as the controller.
pub(super) async fn metadata(client: &Client, path: &str) -> Result<Value, CallError> {
    Call::get(path).accept(METADATA_ONLY).send(client, &Identity::Controller).await
}

fn identity_of(kind: &GroupKind, item: &Value) -> Option<ObjectId> {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(ObjectId { kind: kind.clone(), namespace: text("/metadata/namespace"), name: text("/metadata/name")? })
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
