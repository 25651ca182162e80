//! Secrets that are made of SealedSecrets in the cluster, as the controller itself: their metadata, and writing them. What stands in
//! them is never read.
//!
//! The Sealed Secrets controller replaces a Secret as a whole. So before an apply over one, the fields that it decides about are taken
//! over from whoever has them (`metadata.managedFields`), and what is no longer sent goes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::FIELD_MANAGER;
use super::adoption::{is_ours, merge, rewrite};
use super::call::{Call, CallError, METADATA_ONLY, Privacy};
use super::copies::drop_copies;
use super::identity::{Identity, ServiceAccount};
use super::requests::Request;

/// A field and all below it, as path elements of "FieldsV1" (structured-merge-diff).
pub type FieldElements = &'static [&'static str];

#[derive(Deserialize)]
struct Answer {
    metadata: ObjectMeta,
}

/// Reads the metadata of a Secret; none where there is no such Secret.
///
/// # Errors
///
/// Fails when the API server refuses or doesn't answer.
pub async fn secret_metadata(client: &Client, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, CallError> {
    let path = object_path(namespace, name)?;
    match Call::get(&path).accept(METADATA_ONLY).privacy(Privacy::Secret).send(client, &Identity::Controller).await {
        Ok(answer) => metadata(answer, &path).map(Some),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a Secret, and returns its metadata.
///
/// # Errors
///
/// Fails as the request does; with 409 when there is one of that name.
pub async fn create_secret(client: &Client, namespace: &str, request: &Request) -> Result<ObjectMeta, CallError> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets?fieldManager={FIELD_MANAGER}");
    let body = request.body().map_err(|_| CallError::malformed(&path))?;
    let call = Call::post(&path, body).accept(METADATA_ONLY).privacy(Privacy::Secret);
    metadata(call.send(client, &Identity::Controller).await?, &path)
}

/// Applies a Secret over the one with the metadata `live`, after taking over the fields `taken`, and returns its metadata. The
/// request has to carry the uid of that Secret, so that another one of its name is left alone.
///
/// # Errors
///
/// Fails as the requests do; with 409 when it is another Secret by now, or was written meanwhile.
pub async fn apply_secret(
    client: &Client,
    request: &Request,
    live: &ObjectMeta,
    taken: &[FieldElements],
) -> Result<ObjectMeta, CallError> {
    let path = object_path(live.namespace.as_deref().unwrap_or_default(), live.name.as_deref().unwrap_or_default())?;
    let before = json!({"metadata": live});
    if let Some(entries) = taken_over(&before, taken) {
        rewrite(client, &Identity::Controller, &path, &before, entries).await?;
    }
    let body = request.body().map_err(|_| CallError::malformed(&path))?;
    let apply = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
    let call = Call::apply(&apply, body).accept(METADATA_ONLY).privacy(Privacy::Secret);
    metadata(call.send(client, &Identity::Controller).await?, &path)
}

/// Tells whether our own applies have a field of this Secret, such as `f:immutable`.
pub fn applied_field(live: &ObjectMeta, element: &str) -> bool {
    let ours = live.managed_fields.iter().flatten().filter(|entry| is_our_apply(entry));
    ours.filter_map(|entry| entry.fields_v1.as_ref()).any(|fields| fields.0.get(element).is_some())
}

fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn object_path(namespace: &str, name: &str) -> Result<String, CallError> {
    // Both come from an object that the API server has, so they are names.
    ServiceAccount::new(namespace, name).map_err(|_| CallError::malformed("/api/v1/secrets"))?;
    Ok(format!("/api/v1/namespaces/{namespace}/secrets/{name}"))
}

fn metadata(answer: Value, path: &str) -> Result<ObjectMeta, CallError> {
    let mut answer: Answer = serde_json::from_value(answer).map_err(|_| CallError::malformed(path))?;
    drop_copies(&mut answer.metadata);
    Ok(answer.metadata)
}

/// Returns the new `managedFields`, none when nobody else has any of the fields.
fn taken_over(live: &Value, taken: &[FieldElements]) -> Option<Vec<Value>> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let (mut ours, mut others): (Vec<Value>, Vec<Value>) = entries.iter().cloned().partition(is_ours);
    let mut found = Map::new();
    for entry in others.iter_mut().filter(|entry| entry.get("subresource").is_none()) {
        let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") else { continue };
        for elements in taken {
            merge(&mut found, cut(fields, elements).as_ref());
        }
    }
    if found.is_empty() {
        return None;
    }
    others.retain(|entry| entry.get("fieldsV1").and_then(Value::as_object).is_none_or(|fields| !fields.is_empty()));
    let newest = entries.last()?;
    let mut entry = ours.pop().unwrap_or_else(|| {
        json!({"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "v1", "time": newest.get("time"),
            "fieldsType": "FieldsV1", "fieldsV1": {}})
    });
    if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
        merge(fields, Some(&Value::Object(found)));
    }
    Some(others.into_iter().chain(ours).chain([entry]).collect())
}

/// Takes the field out of a field set, and what is empty after that; returns it with what stands above it.
fn cut(fields: &mut Map<String, Value>, elements: &[&str]) -> Option<Value> {
    let (first, rest) = elements.split_first()?;
    if rest.is_empty() {
        return fields.shift_remove(*first).map(|below| json!({ *first: below }));
    }
    let Some(Value::Object(inner)) = fields.get_mut(*first) else { return None };
    let below = cut(inner, rest)?;
    if inner.is_empty() {
        fields.shift_remove(*first);
    }
    Some(json!({ *first: below }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: [FieldElements; 2] = [&["f:data"], &["f:metadata", "f:labels"]];

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn fields_of_everybody_become_ours_and_what_is_not_asked_for_stays_theirs() {
        let ours = entry("waxwing", "Apply", json!({"f:data": {"f:a": {}}}));
        let controller = entry("controller", "Update", json!({"f:data": {".": {}, "f:b": {}}, "f:immutable": {}}));
        let label =
            entry("kubectl-label", "Update", json!({"f:metadata": {"f:labels": {"f:x": {}}, "f:finalizers": {}}}));
        let data = entry("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}}));
        let live = json!({"metadata": {"managedFields": [ours, controller, label, data]}});
        let expected = [
            entry("controller", "Update", json!({"f:immutable": {}})),
            entry("kubectl-label", "Update", json!({"f:metadata": {"f:finalizers": {}}})),
            entry(
                "waxwing",
                "Apply",
                json!({"f:data": {"f:a": {}, ".": {}, "f:b": {}, "f:c": {}}, "f:metadata": {"f:labels": {"f:x": {}}}}),
            ),
        ];
        assert_eq!(taken_over(&live, &TAKEN).unwrap(), expected);
    }

    #[test]
    fn of_a_secret_s_metadata_no_copy_of_the_whole_secret_is_kept() {
        let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{}}",
            "kubecfg.ksonnet.io/last-applied-configuration": "{}", "note": "x"});
        let read = metadata(json!({"metadata": {"name": "a", "annotations": annotations}}), "/").unwrap();
        assert_eq!(json!(read.annotations), json!({"note": "x"}));
    }

    #[test]
    fn only_what_we_applied_counts_as_our_field() {
        let mut of_status = entry("waxwing", "Apply", json!({"f:immutable": {}}));
        of_status["subresource"] = json!("status");
        for (entry, expected) in [
            (entry("waxwing", "Apply", json!({"f:immutable": {}})), true),
            (entry("waxwing", "Apply", json!({"f:data": {}})), false),
            (entry("waxwing", "Update", json!({"f:immutable": {}})), false),
            (entry("kubectl", "Apply", json!({"f:immutable": {}})), false),
            (of_status, false),
        ] {
            let live: ObjectMeta = serde_json::from_value(json!({"managedFields": [entry]})).unwrap();
            assert_eq!(applied_field(&live, "f:immutable"), expected, "{entry}");
        }
    }

    #[test]
    fn where_everything_is_ours_already_nothing_is_rewritten() {
        let ours = entry("waxwing", "Apply", json!({"f:data": {"f:a": {}}}));
        let beside = entry("reflector", "Update", json!({"f:metadata": {"f:finalizers": {}}}));
        assert_eq!(taken_over(&json!({"metadata": {"managedFields": [ours, beside]}}), &TAKEN), None);
    }
}
