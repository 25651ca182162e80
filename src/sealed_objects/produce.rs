//! The Secret that a SealedSecret becomes: what of it is public, and the request with its values.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use waxwing_formats::sealed_secret::{API_VERSION, KIND};
use waxwing_plan::{GroupKind, ObjectId, SYNC_LABEL, SYNC_NAME_ANNOTATION};

use super::error::Trouble;
use super::fields::{Fields, Mark};
use super::form::{BLOB, Contents, Form};
use super::object::SealedSecret;
use super::ownership::{Hold, SKIP_OWNER};
use crate::cluster::{Binding, Encoding, Request, applied_field};

/// A SealedSecret, and the Secret that it becomes, without values.
pub(super) struct Production<'a> {
    object: &'a SealedSecret,
    pub(super) form: Form,
}

impl<'a> Production<'a> {
    /// Reads what a SealedSecret is to become.
    ///
    /// # Errors
    ///
    /// Refuses what is not well-formed, and a template that sets the marks of a Sync.
    pub(super) fn of(object: &'a SealedSecret) -> Result<Self, Trouble> {
        let form = object.form()?;
        if let Form::Items(sealed) = &form {
            refuse_marks(&sealed.secret_skeleton(), "/spec/template")?;
        }
        Ok(Self { object, form })
    }

    /// Tells whether the Secret is to belong to the SealedSecret. The template says so in either form.
    pub(super) fn is_owned(&self) -> bool {
        let spec = self.object.spec();
        let annotations = spec.pointer("/template/metadata/annotations");
        annotations.and_then(|annotations| annotations.get(SKIP_OWNER)).and_then(Value::as_str) != Some("true")
    }

    /// Says who has the fields that count of a Secret that may be written. What a blob becomes is not known before it is opened, so
    /// that there every field counts.
    pub(super) fn mark(&self, live: (&ObjectMeta, Hold)) -> Option<Mark> {
        let Form::Items(sealed) = &self.form else { return Some(Mark::of_whole(live.0)) };
        let keys = sealed.secret_keys().map(str::to_owned);
        Fields::of(&self.shaped(sealed.secret_skeleton(), sealed.has_type(), keys, Some(live))).mark(live.0)
    }

    /// Tells whether the entries of `managedFields` say all that was done to its Secret, so that nothing else has to be looked at.
    pub(super) fn is_traced(&self) -> bool {
        matches!(self.form, Form::Items(_))
    }

    /// Puts the values in.
    ///
    /// # Errors
    ///
    /// Refuses a Secret out of a blob that sets the marks of a Sync.
    pub(super) fn request(&self, contents: Contents, live: Option<(&ObjectMeta, Hold)>) -> Result<Request, Trouble> {
        refuse_marks(&contents.skeleton, BLOB)?;
        let keys = contents.values.keys().cloned();
        let skeleton = self.shaped(contents.skeleton, contents.has_type, keys, live);
        let binding = |(key, value): (String, _)| Binding {
            pointer: format!("/data/{}", key.replace('~', "~0").replace('/', "~1")),
            value,
            encoding: Encoding::Base64,
            provenance: Vec::new(),
        };
        let bindings = contents.values.into_iter().map(binding).collect();
        let (namespace, name) = (self.form.namespace().to_owned(), self.form.name().to_owned());
        let id = ObjectId { kind: GroupKind::new("", "Secret"), namespace: Some(namespace), name };
        Ok(Request::new(id, "v1".to_owned(), skeleton, bindings))
    }

    /// Returns what of the Secret is public: for one that stands, as far as it is written.
    fn shaped(
        &self,
        mut secret: Value,
        has_type: bool,
        keys: impl Iterator<Item = String>,
        live: Option<(&ObjectMeta, Hold)>,
    ) -> Value {
        let hold = live.map(|(_, hold)| hold);
        let data: Map<String, Value> = keys.map(|key| (key, Value::from(""))).collect();
        let Some(fields) = secret.as_object_mut() else { return secret };
        fields.insert("data".to_owned(), Value::Object(data));
        if matches!(hold, Some(Hold::Patch | Hold::PatchAndOwn)) && !has_type {
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

    fn owner(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.form.name(),
            "uid": self.object.uid(),
            "controller": true,
        })
    }
}

/// Refuses what would pass a Secret off as a Sync's; `at` is where it comes from.
fn refuse_marks(skeleton: &Value, at: &'static str) -> Result<(), Trouble> {
    let sets = |field: &str, key: &str| skeleton.pointer(&format!("/metadata/{field}")).and_then(|at| at.get(key));
    let marks = [("labels", SYNC_LABEL), ("annotations", SYNC_NAME_ANNOTATION)];
    match marks.into_iter().find(|(field, key)| sets(field, key).is_some()) {
        Some((_, mark)) => Err(Trouble::Reserved { at, mark }),
        None => Ok(()),
    }
}
