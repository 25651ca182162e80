//! What the cluster has of the objects that a plan is about: metadata, never content.
//!
//! One list by our label for each kind in use, and one read for each object that isn't among them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::Value;
use waxwing_plan::{GroupKind, LiveMark, ObjectId};

use super::call::{Call, CallError, METADATA_LIST, METADATA_ONLY};
use super::discovery::Kinds;
use super::identity::Identity;

const CONCURRENT_READS: usize = 8;
const PAGE: usize = 500;

/// Reads the live marks of `wanted` objects, as the controller; an object that doesn't exist has none.
///
/// `selector` selects the objects that carry our mark. A kind that the API server doesn't have has no objects.
///
/// # Errors
///
/// Fails with the first request that fails.
pub async fn live_marks(
    client: &Client,
    kinds: &Kinds,
    selector: &str,
    wanted: &BTreeSet<ObjectId>,
) -> Result<BTreeMap<ObjectId, LiveMark>, CallError> {
    let mut marks = BTreeMap::new();
    let in_use: BTreeSet<&GroupKind> = wanted.iter().map(|id| &id.kind).collect();
    for kind in in_use {
        list(client, kinds, kind, selector, &mut marks).await?;
    }
    let missing = wanted.iter().filter(|id| !marks.contains_key(*id)).cloned().collect::<Vec<_>>();
    let reads = stream::iter(missing).map(|id| read(client, kinds, id)).buffer_unordered(CONCURRENT_READS);
    let found: Vec<Option<(ObjectId, LiveMark)>> = reads.try_collect().await?;
    marks.extend(found.into_iter().flatten());
    marks.retain(|id, _| wanted.contains(id));
    Ok(marks)
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
                marks.insert(id, LiveMark::from_metadata(item));
            }
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => next = encode(token),
            _ => return Ok(()),
        }
    }
}

async fn read(client: &Client, kinds: &Kinds, id: ObjectId) -> Result<Option<(ObjectId, LiveMark)>, CallError> {
    let path = kinds.any_version(&id.kind).and_then(|version| kinds.object_path(&id, version));
    let Some(path) = path else { return Ok(None) };
    match metadata(client, &path).await {
        Ok(answer) => Ok(Some((id, LiveMark::from_metadata(&answer)))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
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
