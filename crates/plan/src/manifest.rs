//! Makes a manifest ready to be sent: takes out what belongs to the server, puts our marks in, refuses Git's.

use serde_json::{Map, Value};

use crate::marks::{OwnerMark, SYNC_LABEL, SYNC_NAME_ANNOTATION, Steering};
use crate::{Manifest, PlanError};

/// Fields of `metadata` that the server writes; people commit them with what `kubectl get -o yaml` prints.
const SERVER_FIELDS: [&str; 6] =
    ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];
/// A copy of the whole object, secrets included, that `kubectl apply` leaves.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Puts the marks of `owner` on an object, and takes out its status and the metadata that belongs to the server.
///
/// # Errors
///
/// When Git set one of our marks, gave a steering annotation a value that isn't known, or when the metadata isn't as
/// the object's identity says.
pub fn mark(manifest: Manifest, owner: &OwnerMark) -> Result<Manifest, PlanError> {
    let mut manifest = clean(manifest);
    let metadata = marked_metadata(&manifest, owner)?;
    if let Some(body) = manifest.body.as_object_mut() {
        body.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Ok(manifest)
}

fn marked_metadata(manifest: &Manifest, owner: &OwnerMark) -> Result<Map<String, Value>, PlanError> {
    let malformed =
        |field| PlanError::Malformed { id: manifest.id.clone(), location: manifest.location.clone(), field };
    let body = manifest.body.as_object().ok_or_else(|| malformed("the object"))?;
    let Some(Value::Object(metadata)) = body.get("metadata") else { return Err(malformed("metadata")) };
    check_identity(manifest, body, metadata).map_err(malformed)?;
    let mut labels = section(metadata, "labels").map_err(malformed)?;
    let mut annotations = section(metadata, "annotations").map_err(malformed)?;
    refuse_marks_of_git(manifest, &labels, &annotations)?;
    labels.insert(SYNC_LABEL.to_owned(), Value::from(owner.label()));
    annotations.insert(SYNC_NAME_ANNOTATION.to_owned(), Value::from(owner.to_string()));
    let mut metadata = metadata.clone();
    match &manifest.id.namespace {
        Some(namespace) => metadata.insert("namespace".to_owned(), Value::from(namespace.as_str())),
        None => metadata.shift_remove("namespace"),
    };
    metadata.insert("labels".to_owned(), Value::Object(labels));
    metadata.insert("annotations".to_owned(), Value::Object(annotations));
    Ok(metadata)
}

fn section(metadata: &Map<String, Value>, field: &'static str) -> Result<Map<String, Value>, &'static str> {
    match metadata.get(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(map.clone()),
        Some(_) if field == "labels" => Err("metadata.labels"),
        Some(_) => Err("metadata.annotations"),
    }
}

fn check_identity(
    manifest: &Manifest,
    body: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> Result<(), &'static str> {
    let says =
        |map: &Map<String, Value>, field, expected: &str| map.get(field).and_then(Value::as_str) == Some(expected);
    let namespace_differs = match (&manifest.id.namespace, metadata.get("namespace")) {
        (Some(expected), Some(found)) => found.as_str() != Some(expected.as_str()),
        _ => false,
    };
    match () {
        () if !says(body, "apiVersion", &manifest.api_version()) => Err("apiVersion"),
        () if !says(body, "kind", &manifest.id.kind.kind) => Err("kind"),
        () if !says(metadata, "name", &manifest.id.name) => Err("metadata.name"),
        () if namespace_differs => Err("metadata.namespace"),
        () => Ok(()),
    }
}

fn refuse_marks_of_git(
    manifest: &Manifest,
    labels: &Map<String, Value>,
    annotations: &Map<String, Value>,
) -> Result<(), PlanError> {
    let (id, location) = (manifest.id.clone(), manifest.location.clone());
    if labels.contains_key(SYNC_LABEL) {
        return Err(PlanError::MarkInGit { id, location, name: SYNC_LABEL });
    }
    if annotations.contains_key(SYNC_NAME_ANNOTATION) {
        return Err(PlanError::MarkInGit { id, location, name: SYNC_NAME_ANNOTATION });
    }
    match Steering::unknown(annotations) {
        Some((name, expected)) => Err(PlanError::UnknownSteering { id, location, name, expected }),
        None => Ok(()),
    }
}

/// Returns a manifest without what belongs to the server: its status, and metadata that is never sent.
pub(crate) fn clean(mut manifest: Manifest) -> Manifest {
    let Some(body) = manifest.body.as_object_mut() else { return manifest };
    body.shift_remove("status");
    if let Some(Value::Object(metadata)) = body.get_mut("metadata") {
        for field in SERVER_FIELDS {
            metadata.shift_remove(field);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.shift_remove(LAST_APPLIED);
        }
    }
    manifest.secrets.retain(|pointer, _| manifest.body.pointer(pointer).is_some());
    manifest
}

/// Reads what the annotations of a manifest ask for.
pub(crate) fn steering(manifest: &Manifest) -> Steering {
    Steering::of(manifest.body.pointer("/metadata/annotations").and_then(Value::as_object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{manifest, sealed};

    fn owner() -> OwnerMark {
        OwnerMark::new("shop", "web")
    }

    #[test]
    fn marks_are_put_on_beside_what_git_says() {
        let object = manifest("ConfigMap", "web", json!({"metadata": {"labels": {"a": "b"}}, "data": {"k": "v"}}));
        assert_eq!(
            mark(object, &owner()).unwrap().body,
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {
                    "name": "web", "namespace": "shop",
                    "labels": {"a": "b", SYNC_LABEL: owner().label()},
                    "annotations": {SYNC_NAME_ANNOTATION: "shop/web"},
                },
                "data": {"k": "v"},
            })
        );
    }

    #[test]
    fn what_belongs_to_the_server_is_taken_out() {
        let exported = json!({
            "metadata": {"uid": "u", "resourceVersion": "1", "generation": 2, "managedFields": [],
                "creationTimestamp": null, "selfLink": "/x", "finalizers": ["keep"], "labels": null,
                "annotations": {LAST_APPLIED: "{\"data\":{}}"}},
            "status": {"secret": "waxwinghandle0"},
        });
        let marked = mark(sealed(manifest("Widget", "web", exported), "/status/secret"), &owner()).unwrap();
        let plain = manifest("Widget", "web", json!({"metadata": {"finalizers": ["keep"]}}));
        assert_eq!(marked, mark(plain, &owner()).unwrap());
    }

    #[test]
    fn a_namespace_is_filled_in_and_taken_from_what_has_none() {
        let mut object = manifest("ConfigMap", "web", json!({}));
        object.body["metadata"].as_object_mut().unwrap().shift_remove("namespace");
        assert_eq!(mark(object, &owner()).unwrap().body["metadata"]["namespace"], "shop");
        let role = manifest("ClusterRole", "web", json!({"metadata": {"namespace": "shop"}}));
        assert_eq!(mark(role, &owner()).unwrap().body["metadata"].get("namespace"), None);
    }

    #[test]
    fn each_thing_that_git_may_not_set_is_refused_by_name() {
        let with = |section: &str, name: &str, value: &str| {
            let mut object = manifest("ConfigMap", "web", json!({"metadata": {}}));
            object.body["metadata"][section] = json!({name: value});
            mark(object, &owner()).unwrap_err().to_string()
        };
        insta::assert_snapshot!([
            with("labels", SYNC_LABEL, "x"),
            with("annotations", SYNC_NAME_ANNOTATION, "x"),
            with("annotations", "waxwing.dev/prune", "no"),
            with("annotations", "waxwing.dev/reconcile", "off"),
            with("annotations", "waxwing.dev/drift", "false"),
        ].join("\n"), @"
        ConfigMap/shop/web sets waxwing.dev/sync (web.yaml:1)
        ConfigMap/shop/web sets waxwing.dev/sync-name (web.yaml:1)
        ConfigMap/shop/web gives waxwing.dev/prune a value that is not known (web.yaml:1)
        ConfigMap/shop/web gives waxwing.dev/reconcile a value that is not known (web.yaml:1)
        ConfigMap/shop/web gives waxwing.dev/drift a value that is not known (web.yaml:1)
        ");
    }

    #[test]
    fn metadata_that_does_not_fit_the_identity_is_refused() {
        let table: [(&str, Value, &str); 8] = [
            ("", json!([]), "the object"),
            ("/metadata", json!("x"), "metadata"),
            ("/apiVersion", json!("v2"), "apiVersion"),
            ("/kind", json!("Secret"), "kind"),
            ("/metadata/name", json!("other"), "metadata.name"),
            ("/metadata/namespace", json!("other"), "metadata.namespace"),
            ("/metadata/labels", json!({"a": 1}), "metadata.labels"),
            ("/metadata/annotations", json!(["a"]), "metadata.annotations"),
        ];
        for (pointer, value, field) in table {
            let mut object = manifest("ConfigMap", "web", json!({"metadata": {"labels": {}, "annotations": {}}}));
            *object.body.pointer_mut(pointer).unwrap() = value;
            let found = mark(object, &owner()).unwrap_err();
            assert!(matches!(found, PlanError::Malformed { field: f, .. } if f == field), "{pointer}: {found}");
        }
    }
}
