//! Taking over fields that other tools set, so that what leaves Git leaves the cluster.
//!
//! Server-side apply removes a field only when its own manager owned it alone. An object that came from
//! `kubectl apply` or another GitOps tool keeps those tools' entries, and a field dropped from Git would stay for
//! ever. So before the first apply their entries of `metadata.managedFields` are merged into ours. A Secret that a Sealed Secrets
//! controller made is taken away from its SealedSecret before that, or it would go with it.

use kube::Client;
use serde_json::{Map, Value, json};

use super::call::{Call, CallError, METADATA_ONLY};
use super::identity::Identity;
use super::{FIELD_MANAGER, Privacy};

/// The managers whose fields are taken over: exact names, and prefixes for `kubectl` and its many variants.
const NAMES: [&str; 4] = ["helm", "kustomize-controller", "argocd-controller", "before-first-apply"];
const PREFIX: &str = "kubectl";

/// Merges the entries of the tools that we replace into ours. `metadata` is the live object's metadata answer.
///
/// # Errors
///
/// Fails as the patch request does.
pub(super) async fn adopt(client: &Client, identity: &Identity, path: &str, metadata: &Value) -> Result<(), CallError> {
    let owned = owner_to_remove(metadata);
    let manager = owned.as_ref().and_then(|(_, uid)| writer_of_owner(metadata, uid));
    let released = match &owned {
        Some((position, uid)) => Some(remove_owner(client, identity, path, metadata, *position, uid).await?),
        None => None,
    };
    let metadata = released.as_ref().unwrap_or(metadata);
    match merged_fields(metadata, manager.as_deref()) {
        Some(merged) => rewrite(client, identity, path, metadata, merged).await.map(|_| ()),
        None => Ok(()),
    }
}

/// Returns the position and uid of the owner reference to a SealedSecret. The garbage collector would delete the object with it.
fn owner_to_remove(metadata: &Value) -> Option<(usize, String)> {
    let owners = metadata.pointer("/metadata/ownerReferences")?.as_array()?;
    let text = |owner: &Value, field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_sealed_secret =
        |owner: &Value| text(owner, "kind") == "SealedSecret" && text(owner, "apiVersion").starts_with("bitnami.com/");
    let position = owners.iter().position(is_sealed_secret)?;
    Some((position, text(owners.get(position)?, "uid")))
}

/// Takes an owner reference away, if it and the object still are what they were, and returns the object's metadata after that.
async fn remove_owner(
    client: &Client,
    identity: &Identity,
    path: &str,
    metadata: &Value,
    position: usize,
    owner: &str,
) -> Result<Value, CallError> {
    let reference = format!("/metadata/ownerReferences/{position}");
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.pointer("/metadata/uid")},
        {"op": "test", "path": format!("{reference}/uid"), "value": owner},
        {"op": "remove", "path": reference},
    ]);
    let path = format!("{path}?fieldManager={FIELD_MANAGER}");
    let call = Call::json_patch(&path, &patch).accept(METADATA_ONLY).privacy(Privacy::Secret);
    call.send(client, identity).await
}

/// Returns the manager that set an owner reference: whoever made the object for its owner, and has its fields.
fn writer_of_owner(metadata: &Value, owner: &str) -> Option<String> {
    let key = format!("k:{}", json!({"uid": owner}));
    let entries = metadata.pointer("/metadata/managedFields")?.as_array()?;
    let sets = |entry: &&Value| {
        let owners = entry.pointer("/fieldsV1/f:metadata/f:ownerReferences");
        owners.is_some_and(|owners| owners.get(&key).is_some())
    };
    entries.iter().find(sets)?.get("manager")?.as_str().map(str::to_owned)
}

/// Replaces the `managedFields` of an object, and returns its metadata after that. `metadata` is the live object's: the
/// patch carries its resourceVersion, so that a write in between makes it fail with a conflict, not lose it.
pub(super) async fn rewrite(
    client: &Client,
    identity: &Identity,
    path: &str,
    metadata: &Value,
    entries: Vec<Value>,
) -> Result<Value, CallError> {
    let version = metadata.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]);
    let path = format!("{path}?fieldManager={FIELD_MANAGER}");
    let call = Call::json_patch(&path, &patch).accept(METADATA_ONLY).privacy(Privacy::Secret);
    call.send(client, identity).await
}

/// Returns the new `managedFields`, none when no tool that we replace, nor `manager`, has an entry.
fn merged_fields(metadata: &Value, manager: Option<&str>) -> Option<Vec<Value>> {
    let entries = metadata.pointer("/metadata/managedFields")?.as_array()?;
    let (replaced, mut kept): (Vec<&Value>, Vec<&Value>) =
        entries.iter().partition(|entry| is_replaced(entry, manager));
    let newest = replaced.last()?;
    let mut ours = json!({
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": newest.get("apiVersion"),
        "time": newest.get("time"),
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    });
    let previous = kept.iter().position(|entry| is_ours(entry)).map(|at| kept.remove(at));
    if let Some(Value::Object(fields)) = ours.get_mut("fieldsV1") {
        for entry in previous.into_iter().chain(replaced) {
            merge(fields, entry.get("fieldsV1"));
        }
    }
    Some(kept.into_iter().cloned().chain([ours]).collect())
}

fn is_replaced(entry: &Value, also: Option<&str>) -> bool {
    let manager = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
    let of_status = entry.get("subresource").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let is_named = NAMES.contains(&manager) || manager.starts_with(PREFIX) || also == Some(manager);
    !of_status && is_named && !is_ours(entry)
}

pub(super) fn is_ours(entry: &Value) -> bool {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    text("manager") == FIELD_MANAGER && text("operation") == "Apply" && text("subresource").is_empty()
}

/// Adds the field set `from` to `into` (structured-merge-diff, "FieldsV1": nested maps of path elements).
pub(super) fn merge(into: &mut Map<String, Value>, from: Option<&Value>) {
    let Some(Value::Object(from)) = from else { return };
    for (element, below) in from {
        let here = into.entry(element.as_str()).or_insert_with(|| json!({}));
        if let Value::Object(here) = here {
            merge(here, Some(below));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn live(entries: Vec<Value>) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    #[test]
    fn fields_of_the_tools_that_we_replace_become_ours() {
        let kubectl = entry("kubectl-client-side-apply", "Update", json!({"f:data": {"f:a": {}}}));
        let helm = entry("helm", "Apply", json!({"f:data": {"f:b": {}}, "f:type": {}}));
        let other = entry("hpa", "Update", json!({"f:spec": {}}));
        let merged = merged_fields(&live(vec![kubectl, other.clone(), helm]), None).unwrap();
        let expected = entry("waxwing", "Apply", json!({"f:data": {"f:a": {}, "f:b": {}}, "f:type": {}}));
        assert_eq!(merged, [other, expected]);
    }

    #[test]
    fn status_entries_and_foreign_managers_are_left_alone() {
        let mut status = entry("kubectl-edit", "Update", json!({"f:status": {}}));
        status["subresource"] = json!("status");
        assert_eq!(merged_fields(&live(vec![status, entry("hpa", "Update", json!({}))]), None), None);
    }
}
