//! What the cluster has of the objects that a plan is about: metadata, never content.
//!
//! From what is followed, or else one list by our label for each kind in use; and one read for each object that isn't among
//! those that carry our label. Where the controller has no right to look, the tenant looks as itself, object by object.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::Value;
use waxwing_plan::{GroupKind, Live, LiveMark, ObjectId};

use super::call::{Call, CallError, METADATA_LIST, METADATA_ONLY};
use super::discovery::Kinds;
use super::follow::{Answer, Marks};
use super::identity::Identity;
use super::reach::Place;

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

/// How one Sync looks at the cluster.
pub struct Look<'a> {
    /// The controller's own connection.
    pub client: &'a Client,
    /// What is followed.
    pub followed: &'a Marks,
    /// Selects the objects that carry the Sync's mark.
    pub selector: String,
    /// As whom it looks where the controller may not.
    pub tenant: Identity,
}

/// The objects that a look is about.
pub struct Wanted<'a> {
    /// Those that have to be known.
    pub objects: &'a BTreeSet<ObjectId>,
    /// Those that are left out where nobody may look at them.
    pub besides: &'a BTreeSet<ObjectId>,
    /// Tells which are taken for absent when their kind is followed and they aren't among those that carry our label.
    pub may_presume: &'a (dyn Fn(&ObjectId) -> bool + Sync),
}

/// What is followed of some objects.
#[derive(Default)]
struct Found<'a> {
    /// The marks of those that carry our label.
    marks: BTreeMap<ObjectId, LiveMark>,
    /// The objects whose kind is followed.
    followed: BTreeSet<&'a ObjectId>,
    /// The objects that only the tenant may look at.
    of_tenant: BTreeSet<&'a ObjectId>,
}

impl Look<'_> {
    /// Reads the live marks of all `wanted` objects; an object that doesn't exist has none.
    ///
    /// What the controller may follow it reads as itself, everything else as the tenant. A kind that the API server doesn't have
    /// has no objects.
    ///
    /// # Errors
    ///
    /// Fails with the first request that fails; with 404 when a kind is no longer served as it was when `kinds` were read.
    pub async fn at(&self, kinds: &Kinds, wanted: &Wanted<'_>) -> Result<Seen, CallError> {
        let all: BTreeSet<&ObjectId> = wanted.objects.union(wanted.besides).collect();
        let mut found = self.followed(kinds, &all).await?;
        let missing = all.iter().copied().filter(|id| !found.marks.contains_key(*id));
        let (absent, unknown): (Vec<&ObjectId>, Vec<&ObjectId>) =
            missing.partition(|id| found.followed.contains(id) && (wanted.may_presume)(id));
        let presumed_absent: BTreeSet<ObjectId> = absent.into_iter().cloned().collect();
        let mut live = self.read_all(kinds, unknown, &found.of_tenant, wanted).await?;
        found.marks.retain(|id, _| all.contains(id));
        live.extend(found.marks.into_iter().map(|(id, mark)| (id, Some(mark))));
        live.extend(presumed_absent.iter().map(|id| (id.clone(), None)));
        Ok(Seen { live, presumed_absent })
    }

    /// Takes what is followed, and lists what could be.
    async fn followed<'i>(&self, kinds: &Kinds, all: &BTreeSet<&'i ObjectId>) -> Result<Found<'i>, CallError> {
        let mut found = Found::default();
        let mut by_place: BTreeMap<Option<Place>, Vec<&ObjectId>> = BTreeMap::new();
        for id in all {
            by_place.entry(self.followed.place(id)).or_default().push(id);
        }
        for (place, ids) in by_place {
            let answer = match &place {
                Some(place) => self.followed.at(kinds, place, &ids).await,
                None => Answer::Forbidden,
            };
            match (answer, place) {
                (Answer::All(marks), _) => {
                    found.marks.extend(marks);
                    found.followed.extend(ids);
                }
                (Answer::Unsure, Some(place)) => match self.list(kinds, &place, &mut found.marks).await {
                    Err(error) if error.is_forbidden() => found.of_tenant.extend(ids),
                    listed => listed?,
                },
                _ => found.of_tenant.extend(ids.into_iter().filter(|id| !self.followed.is_of_controller(id))),
            }
        }
        Ok(found)
    }

    async fn read_all(
        &self,
        kinds: &Kinds,
        objects: Vec<&ObjectId>,
        of_tenant: &BTreeSet<&ObjectId>,
        wanted: &Wanted<'_>,
    ) -> Result<Live, CallError> {
        let reads = objects.into_iter().map(|id| async move {
            match self.read(kinds, id, of_tenant.contains(id)).await {
                Err(error) if error.is_forbidden() && !wanted.objects.contains(id) => Ok(None),
                read => Ok(Some((id.clone(), read?))),
            }
        });
        let reads = stream::iter(reads.map(FutureExt::boxed).collect::<Vec<_>>()).buffer_unordered(CONCURRENT_READS);
        let read: Vec<Option<(ObjectId, Option<LiveMark>)>> = reads.try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn list(
        &self,
        kinds: &Kinds,
        place: &Place,
        marks: &mut BTreeMap<ObjectId, LiveMark>,
    ) -> Result<(), CallError> {
        let Place { kind, namespace } = place;
        let version = kinds.any_version(kind);
        let collection = version.and_then(|version| kinds.collection_path(kind, version, namespace.as_deref()));
        let Some(collection) = collection else { return Ok(()) };
        let mut next = String::new();
        loop {
            let selector = encode(&self.selector);
            let path = format!("{collection}?labelSelector={selector}&limit={PAGE}&continue={next}");
            let page = Call::get(&path).accept(METADATA_LIST).send(self.client, &Identity::Controller).await?;
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

    async fn read(&self, kinds: &Kinds, id: &ObjectId, as_tenant: bool) -> Result<Option<LiveMark>, CallError> {
        let path = kinds.any_version(&id.kind).and_then(|version| kinds.object_path(id, version));
        let Some(path) = path else { return Ok(None) };
        let answer = match as_tenant {
            true => metadata_as(self.client, &path, &self.tenant).await,
            false => metadata(self.client, &path, &self.tenant).await,
        };
        match answer {
            Ok(answer) => Ok(Some(mark(&answer, &path)?)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn mark(metadata: &Value, path: &str) -> Result<LiveMark, CallError> {
    LiveMark::from_metadata(metadata).map_err(|_| CallError::malformed(path))
}

/// Reads one object's metadata as the controller, or as the `tenant` where the controller may not.
pub(super) async fn metadata(client: &Client, path: &str, tenant: &Identity) -> Result<Value, CallError> {
    match metadata_as(client, path, &Identity::Controller).await {
        Err(error) if error.is_forbidden() => metadata_as(client, path, tenant).await,
        answer => answer,
    }
}

async fn metadata_as(client: &Client, path: &str, reader: &Identity) -> Result<Value, CallError> {
    Call::get(path).accept(METADATA_ONLY).send(client, reader).await
}

fn identity_of(kind: &GroupKind, item: &Value) -> Option<ObjectId> {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(ObjectId { kind: kind.clone(), namespace: text("/metadata/namespace"), name: text("/metadata/name")? })
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
