//! What is known of a live object: its metadata, and nothing of its content.
//!
//! Read from the `metadata` of a `PartialObjectMetadata` (Kubernetes API conventions, `meta/v1` `ObjectMeta` and
//! `ManagedFieldsEntry`). No secret data is ever read back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::marks::{FIELD_MANAGER, OwnerMark, SYNC_LABEL, SYNC_NAME_ANNOTATION, Steering};
use crate::object::split_api_version;
use crate::{Digest, GroupKind, ObjectId};

/// What our last apply left in `managedFields`; it changes when someone writes over us. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMark {
    /// The digest of `fieldsV1` of our entry.
    pub digest: Digest,
    /// The `time` of our entry as the API server wrote it, to the second.
    pub time: String,
}

/// Somebody else who has written to an object, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManagerMark {
    /// The field manager.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The time of the last write as the API server wrote it.
    pub time: String,
}

/// The Sync that an object is marked with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveOwner {
    /// The value of the label; it decides.
    pub label: String,
    /// The name in the annotation, where it belongs to the label.
    pub name: Option<OwnerMark>,
}

impl LiveOwner {
    /// Tells whether this is the mark of `owner`.
    pub fn is(&self, owner: &OwnerMark) -> bool {
        self.label == owner.label()
    }
}

impl std::fmt::Display for LiveOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "Sync {name}"),
            None => f.write_str("a Sync that its annotation doesn't name"),
        }
    }
}

/// The metadata of one live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMark {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// The Sync that the object is marked with.
    pub owner: Option<LiveOwner>,
    /// What our last apply left; none when our entry is gone.
    pub field_mark: Option<FieldMark>,
    /// The owner reference with `controller: true`.
    pub controlled_by: Option<ObjectId>,
    /// The object is being deleted.
    pub terminating: bool,
    /// Who else writes to the object, without writers of its status.
    pub others: Vec<ManagerMark>,
    /// What the annotations ask for.
    pub steering: Steering,
}

/// The metadata of a live object is not as the API server writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the metadata of a live object: no {missing}")]
pub struct LiveMarkError {
    /// The field that is missing.
    pub missing: &'static str,
}

impl LiveMark {
    /// Reads a `PartialObjectMetadata`, or any whole object.
    ///
    /// # Errors
    ///
    /// When there is no `metadata.uid` or no `metadata.resourceVersion`.
    pub fn from_metadata(object: &Value) -> Result<Self, LiveMarkError> {
        let metadata =
            object.get("metadata").and_then(Value::as_object).ok_or(LiveMarkError { missing: "metadata" })?;
        let text = |field, missing| text(metadata, field).ok_or(LiveMarkError { missing });
        let annotations = metadata.get("annotations").and_then(Value::as_object);
        let managed: Vec<_> = list(metadata, "managedFields").collect();
        Ok(Self {
            uid: text("uid", "metadata.uid")?,
            resource_version: text("resourceVersion", "metadata.resourceVersion")?,
            owner: owner(metadata, annotations),
            field_mark: field_mark(&managed),
            controlled_by: controller(metadata),
            terminating: metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()),
            others: others(&managed),
            steering: Steering::of(annotations),
        })
    }

    /// Returns who wrote at or after `time`, the time of our last apply.
    pub fn others_since(&self, time: Option<&str>) -> Vec<ManagerMark> {
        // RFC 3339 in UTC, as the API server writes it, sorts as text
        self.others.iter().filter(|other| time.is_none_or(|time| other.time.as_str() >= time)).cloned().collect()
    }
}

type Object = Map<String, Value>;

fn text(map: &Object, field: &str) -> Option<String> {
    map.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn list<'a>(map: &'a Object, field: &str) -> impl Iterator<Item = &'a Object> {
    map.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn owner(metadata: &Object, annotations: Option<&Object>) -> Option<LiveOwner> {
    let label = metadata.get("labels").and_then(Value::as_object).and_then(|labels| text(labels, SYNC_LABEL))?;
    let name = annotations
        .and_then(|map| map.get(SYNC_NAME_ANNOTATION))
        .and_then(Value::as_str)
        .and_then(OwnerMark::parse)
        .filter(|name| name.label() == label);
    Some(LiveOwner { label, name })
}

fn is_ours(entry: &Object) -> bool {
    let is = |field, word| entry.get(field).and_then(Value::as_str) == Some(word);
    is("manager", FIELD_MANAGER) && is("operation", "Apply") && subresource(entry).is_empty()
}

fn subresource(entry: &Object) -> &str {
    entry.get("subresource").and_then(Value::as_str).unwrap_or_default()
}

/// Our entries, normally one, as one mark.
fn field_mark(managed: &[&Object]) -> Option<FieldMark> {
    let ours: Vec<_> = managed.iter().filter(|entry| is_ours(entry)).collect();
    let time = ours.iter().filter_map(|entry| text(entry, "time")).max()?;
    let fields = ours.iter().filter_map(|entry| entry.get("fieldsV1").cloned()).collect();
    Some(FieldMark { digest: Digest::of(&Value::Array(fields)), time })
}

/// A write of the status alone is nobody's drift; one of `scale` is.
fn others(managed: &[&Object]) -> Vec<ManagerMark> {
    let mark = |entry: &&Object| {
        let field = |name| text(entry, name).unwrap_or_default();
        ManagerMark { manager: field("manager"), operation: field("operation"), time: field("time") }
    };
    let mut found: Vec<_> =
        managed.iter().filter(|entry| !is_ours(entry) && subresource(entry) != "status").map(mark).collect();
    found.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.cmp(b)));
    found
}

fn controller(metadata: &Object) -> Option<ObjectId> {
    let reference =
        list(metadata, "ownerReferences").find(|r| r.get("controller").and_then(Value::as_bool) == Some(true))?;
    let api_version = text(reference, "apiVersion").unwrap_or_default();
    let (group, _) = split_api_version(&api_version);
    Some(ObjectId {
        kind: GroupKind::new(group, text(reference, "kind").unwrap_or_default()),
        namespace: text(metadata, "namespace"),
        name: text(reference, "name").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        let owner = OwnerMark::new("shop", "web");
        json!({"metadata": {
            "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
            "labels": {SYNC_LABEL: owner.label()},
            "annotations": {SYNC_NAME_ANNOTATION: "shop/web", "waxwing.dev/prune": "Disabled"},
            "managedFields": [
                {"manager": "waxwing", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-02T03:04:05Z",
                 "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}},
                {"manager": "kube-controller-manager", "operation": "Update", "time": "2026-01-02T03:05:00Z",
                 "subresource": "status", "fieldsV1": {"f:status": {}}},
                {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T03:04:06Z", "fieldsV1": {}},
                {"manager": "hpa", "operation": "Update", "time": "2026-01-01T00:00:00Z", "subresource": "scale"}
            ]
        }})
    }

    #[test]
    fn the_marks_of_a_live_object_are_read_from_its_metadata() {
        let mark = LiveMark::from_metadata(&live()).unwrap();
        assert_eq!((mark.uid.as_str(), mark.resource_version.as_str()), ("u1", "7"));
        let owner = mark.owner.clone().unwrap();
        assert!(owner.is(&OwnerMark::new("shop", "web")));
        assert_eq!(owner.to_string(), "Sync shop/web");
        assert_eq!(mark.field_mark.as_ref().unwrap().time, "2026-01-02T03:04:05Z");
        let managers: Vec<_> = mark.others.iter().map(|other| other.manager.as_str()).collect();
        assert_eq!(managers, ["kubectl-edit", "hpa"]);
        assert_eq!(mark.others_since(Some("2026-01-02T03:04:05Z")).len(), 1);
        assert_eq!(mark.steering.prune, crate::PruneMark::Disabled);
        assert!(!mark.terminating);
        assert_eq!(mark.controlled_by, None);
    }

    #[test]
    fn the_field_mark_follows_fields_and_time_and_nothing_else() {
        let mark = |change: &dyn Fn(&mut Value)| {
            let mut object = live();
            change(&mut object["metadata"]);
            LiveMark::from_metadata(&object).unwrap().field_mark
        };
        let base = mark(&|_| ());
        assert_eq!(base, mark(&|m| m["resourceVersion"] = json!("8")));
        assert_eq!(
            base,
            mark(&|m| m["managedFields"][0]["fieldsV1"] = json!({"f:spec": {"f:paused": {}, "f:replicas": {}}}))
        );
        assert_ne!(base, mark(&|m| m["managedFields"][0]["fieldsV1"] = json!({"f:spec": {"f:replicas": {}}})));
        assert_ne!(base, mark(&|m| m["managedFields"][0]["time"] = json!("2026-01-02T03:04:06Z")));
        assert_eq!(None, mark(&|m| m["managedFields"][0]["operation"] = json!("Update")));
        assert_eq!(None, mark(&|m| m["managedFields"][0]["subresource"] = json!("status")));
    }

    #[test]
    fn the_label_decides_who_owns_an_object_and_the_annotation_only_names_him() {
        let owner = |change: &dyn Fn(&mut Value)| {
            let mut object = live();
            change(&mut object["metadata"]);
            LiveMark::from_metadata(&object).unwrap().owner
        };
        assert_eq!(None, owner(&|m| m["labels"] = json!({})));
        let unnamed = owner(&|m| m["annotations"][SYNC_NAME_ANNOTATION] = json!("evil/web")).unwrap();
        assert!(unnamed.is(&OwnerMark::new("shop", "web")));
        assert_eq!(unnamed.name, None);
    }

    #[test]
    fn controllers_and_deletion_are_seen() {
        let mut object = live();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "v1", "kind": "Node", "name": "n"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "controller": true}
        ]);
        let mark = LiveMark::from_metadata(&object).unwrap();
        assert!(mark.terminating);
        assert_eq!(mark.controlled_by.unwrap().to_string(), "apps/ReplicaSet/shop/web-1");
    }

    #[test]
    fn odd_metadata_is_refused_or_read_without_panic() {
        let missing = |object: Value| LiveMark::from_metadata(&object).unwrap_err().missing;
        assert_eq!(missing(json!(null)), "metadata");
        assert_eq!(missing(json!({"metadata": []})), "metadata");
        assert_eq!(missing(json!({"metadata": {"resourceVersion": "1"}})), "metadata.uid");
        assert_eq!(missing(json!({"metadata": {"uid": "u", "resourceVersion": 1}})), "metadata.resourceVersion");
        let odd = json!({"metadata": {"uid": "u", "resourceVersion": "1", "labels": [], "annotations": "x",
            "managedFields": [null, {"manager": 1}], "ownerReferences": {"controller": true}}});
        assert!(LiveMark::from_metadata(&odd).is_ok());
    }
}
