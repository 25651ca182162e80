//! The Secret that a SealedSecret becomes: what of it is public, and the request with its values.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use waxwing_formats::sealed_secret::{API_VERSION, KIND, SealedSecretManifest};
use waxwing_plan::{GroupKind, ObjectId, SYNC_LABEL, SYNC_NAME_ANNOTATION};

use super::error::Trouble;
use super::object::SealedSecret;
use super::open::Opened;
use super::ownership::{Hold, SKIP_OWNER};
use crate::cluster::{Binding, Encoding, Request, applied_field};

/// A SealedSecret, and the Secret that it becomes, without values.
pub(super) struct Production<'a> {
    object: &'a SealedSecret,
    pub(super) sealed: SealedSecretManifest,
    skeleton: Value,
}

impl<'a> Production<'a> {
    /// Reads what a SealedSecret is to become.
    ///
    /// # Errors
    ///
    /// Refuses what is not well-formed, and a template that sets the marks of a Sync.
    pub(super) fn of(object: &'a SealedSecret) -> Result<Self, Trouble> {
        let sealed = object.manifest()?;
        let skeleton = sealed.secret_skeleton();
        let sets = |field: &str, key: &str| skeleton.pointer(&format!("/metadata/{field}")).and_then(|at| at.get(key));
        for (field, key) in [("labels", SYNC_LABEL), ("annotations", SYNC_NAME_ANNOTATION)] {
            if sets(field, key).is_some() {
                return Err(Trouble::Reserved(key));
            }
        }
        Ok(Self { object, sealed, skeleton })
    }

    /// Tells whether the Secret is to belong to the SealedSecret.
    pub(super) fn is_owned(&self) -> bool {
        let annotation =
            self.skeleton.pointer("/metadata/annotations").and_then(|annotations| annotations.get(SKIP_OWNER));
        annotation.and_then(Value::as_str) != Some("true")
    }

    /// Returns what of the Secret is public: for one that stands, as far as it is written.
    pub(super) fn skeleton(&self, live: Option<(&ObjectMeta, Hold)>) -> Value {
        let mut secret = self.skeleton.clone();
        let hold = live.map(|(_, hold)| hold);
        let keys = self.sealed.secret_keys().map(|key| (key.to_owned(), Value::from("")));
        let data: Map<String, Value> = keys.collect();
        let Some(fields) = secret.as_object_mut() else { return secret };
        fields.insert("data".to_owned(), Value::Object(data));
        if matches!(hold, Some(Hold::Patch | Hold::PatchAndOwn)) && !self.has_type() {
            fields.shift_remove("type");
        }
        // Who made a Secret immutable decided that; it can't be taken back, only repeated.
        if live.is_some_and(|(live, _)| !applied_field(live, "f:immutable")) {
            fields.shift_remove("immutable");
        }
        let Some(Value::Object(metadata)) = fields.get_mut("metadata") else { return secret };
        if self.is_owned() && hold != Some(Hold::Patch) {
            metadata.insert("ownerReferences".to_owned(), json!([self.owner()]));
        }
        if let Some(uid) = live.and_then(|(live, _)| live.uid.clone()) {
            metadata.insert("uid".to_owned(), Value::from(uid));
        }
        secret
    }

    /// Puts the values in.
    pub(super) fn request(&self, opened: Opened, live: Option<(&ObjectMeta, Hold)>) -> Request {
        let binding = |(key, value): (String, _)| Binding {
            pointer: format!("/data/{}", key.replace('~', "~0").replace('/', "~1")),
            value,
            encoding: Encoding::Base64,
            provenance: Vec::new(),
        };
        let bindings = opened.values.into_iter().map(binding).collect();
        let (namespace, name) = (self.sealed.namespace().to_owned(), self.sealed.name().to_owned());
        let id = ObjectId { kind: GroupKind::new("", "Secret"), namespace: Some(namespace), name };
        Request::new(id, "v1".to_owned(), self.skeleton(live), bindings)
    }

    fn has_type(&self) -> bool {
        self.object.spec.pointer("/template/type").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty())
    }

    fn owner(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.sealed.name(),
            "uid": self.object.uid(),
            "controller": true,
        })
    }
}
