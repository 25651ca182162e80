//! Taking over fields that other tools set, so that what leaves Git leaves the cluster.
//!
//! Server-side apply removes a field only when its own manager owned it alone. An object that came from
//! `kubectl apply` or another GitOps tool keeps those tools' entries, and a field dropped from Git would stay for
//! ever. So before the first apply their entries of `metadata.managedFields` are merged into ours.

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
    match merged_fields(metadata) {
        Some(merged) => rewrite(client, identity, path, metadata, merged).await.map(|_| ()),
        None => Ok(()),
    }
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

/// Returns the new `managedFields`, none when no tool that we replace has an entry.
fn merged_fields(metadata: &Value) -> Option<Vec<Value>> {
    let entries = metadata.pointer("/metadata/managedFields")?.as_array()?;
    let (replaced, mut kept): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(|entry| is_replaced(entry));
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

fn is_replaced(entry: &Value) -> bool {
    let manager = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
    let of_status = entry.get("subresource").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    !of_status && (NAMES.contains(&manager) || manager.starts_with(PREFIX))
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
        let merged = merged_fields(&live(vec![kubectl, other.clone(), helm])).unwrap();
        let expected = entry("waxwing", "Apply", json!({"f:data": {"f:a": {}, "f:b": {}}, "f:type": {}}));
        assert_eq!(merged, [other, expected]);
    }

    #[test]
    fn status_entries_and_foreign_managers_are_left_alone() {
        let mut status = entry("kubectl-edit", "Update", json!({"f:status": {}}));
        status["subresource"] = json!("status");
        assert_eq!(merged_fields(&live(vec![status, entry("hpa", "Update", json!({}))])), None);
    }
}
