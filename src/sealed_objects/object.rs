//! SealedSecret as a resource of the cluster: its metadata, and spec and status as they are, since whoever may write one may write
//! anything into it.
//!
//! All of them are kept while the controller runs, so spec and status are kept as text, a fifth of what their values take, the items
//! of the spec as bytes, and of `managedFields` only who wrote and when. Copies, and versions that follow each other, share what is the same.
//!
//! The kind is that of `helm/sealed-secrets/crds` of sealed-secrets 0.40. What a spec means is `waxwing_formats::sealed_secret`.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use waxwing_formats::sealed_secret::{API_VERSION, KIND, ManifestError, Scope};

use super::form::Form;
use super::packed::PackedSpec;
use crate::cluster::drop_copies;

/// The one condition of a SealedSecret.
pub(super) const SYNCED: &str = "Synced";
/// The reason of that condition where it is false, and the spec as it is now was done before.
pub(super) const SYNCED_BEFORE: &str = "SyncedBefore";
/// The label by which metrics tell applications apart.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// A SealedSecret.
#[derive(Clone, Debug, Deserialize)]
pub struct SealedSecret {
    /// Name, namespace, annotations but for copies of the whole, and who wrote it when.
    #[serde(default, deserialize_with = "without_fields")]
    pub metadata: Arc<ObjectMeta>,
    /// What it says, well-formed or not.
    #[serde(default)]
    spec: PackedSpec,
    /// What was last said about it.
    #[serde(default)]
    status: Text,
}

/// A value as its JSON text, which its copies share.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text(Arc<str>);

impl Text {
    fn value(&self) -> Value {
        // It was written from a value.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Value::Null.to_string().into())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Value::deserialize(deserializer)?.to_string().into()))
    }
}

/// Reads metadata without what nobody looks at: which fields the writers have, and copies of the object.
fn without_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<ObjectMeta>, D::Error> {
    let mut metadata = ObjectMeta::deserialize(deserializer)?;
    drop_copies(&mut metadata);
    if let Some(entries) = &mut metadata.managed_fields {
        for entry in &mut *entries {
            (entry.api_version, entry.fields_type, entry.operation, entry.fields_v1) = (None, None, None, None);
        }
        // Room for four was made, and mostly there are one or two.
        entries.shrink_to_fit();
    }
    Ok(Arc::new(metadata))
}

impl kube::Resource for SealedSecret {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "bitnami.com".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "sealedsecrets".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        Arc::make_mut(&mut self.metadata)
    }
}

impl SealedSecret {
    /// Keeps the texts of an earlier version where they say the same.
    pub(super) fn keep(&mut self, earlier: &Self) {
        if self.spec == earlier.spec {
            self.spec = earlier.spec.clone();
        }
        if self.status == earlier.status {
            self.status = earlier.status.clone();
        }
    }

    /// Returns what it says.
    pub(super) fn spec(&self) -> Value {
        self.spec.value()
    }

    /// Returns what was last said about it.
    pub(super) fn status(&self) -> Value {
        self.status.value()
    }

    /// Takes it apart.
    pub(super) fn form(&self) -> Result<Form, ManifestError> {
        let metadata = json!({
            "name": self.metadata.name,
            "namespace": self.metadata.namespace,
            "annotations": self.metadata.annotations,
        });
        let manifest = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": self.spec()});
        Form::parse(&manifest)
    }

    /// Returns its path at the API server.
    pub(super) fn path(&self) -> String {
        let namespace = self.namespace().unwrap_or_default();
        format!("/apis/{API_VERSION}/namespaces/{namespace}/sealedsecrets/{}", self.name_any())
    }

    /// Returns the scope that its annotations state.
    pub(super) fn scope(&self) -> Scope {
        let annotations = self.annotations().iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        Scope::from_annotations(&annotations.collect())
    }

    /// Returns which application it is of, as its label says.
    pub(super) fn instance(&self) -> &str {
        self.labels().get(INSTANCE).map(String::as_str).unwrap_or_default()
    }

    /// Tells whether its status says anything about whether it was done.
    pub(super) fn is_told(&self) -> bool {
        synced_condition(&self.status()).is_some_and(|synced| synced.get("status").is_some_and(Value::is_string))
    }

    /// Tells whether its status says that the spec as it is now was done.
    pub(super) fn is_done(&self) -> bool {
        let status = self.status();
        is_synced(&status, "True") && self.is_observed(&status)
    }

    /// Tells whether its status says that the spec as it is now was done, and that something went wrong since then; and nobody changed
    /// anything beside the spec, such as its scope, after that was said.
    pub(super) fn was_done_once(&self) -> bool {
        let status = self.status();
        let reason = synced_condition(&status).and_then(|synced| synced.get("reason")?.as_str());
        let is_as_told = self.is_observed(&status) && !self.is_changed_since_told();
        is_synced(&status, "False") && reason == Some(SYNCED_BEFORE) && is_as_told
    }

    /// Tells whether anything of it was written after its status, by the API server's clock, which counts whole seconds.
    pub(super) fn is_changed_since_told(&self) -> bool {
        self.rest_written() > self.status_written()
    }

    fn is_observed(&self, status: &Value) -> bool {
        let observed = status.get("observedGeneration").and_then(Value::as_i64);
        observed.is_some() && observed == self.metadata.generation
    }

    /// Returns when its status was last written, by the API server's clock.
    pub(super) fn status_written(&self) -> Option<Timestamp> {
        self.written(|subresource| subresource == Some("status"))
    }

    /// Returns when anything else of it was last written, by the API server's clock.
    fn rest_written(&self) -> Option<Timestamp> {
        self.written(|subresource| subresource != Some("status"))
    }

    /// Returns who has written its status.
    pub(super) fn status_writers(&self) -> Vec<&str> {
        let entries = self.metadata.managed_fields.iter().flatten();
        let of_status = entries.filter(|entry| entry.subresource.as_deref() == Some("status"));
        of_status.filter_map(|entry| entry.manager.as_deref()).collect()
    }

    fn written(&self, of: impl Fn(Option<&str>) -> bool) -> Option<Timestamp> {
        let entries = self.metadata.managed_fields.iter().flatten();
        entries.filter(|entry| of(entry.subresource.as_deref())).filter_map(|entry| Some(entry.time.as_ref()?.0)).max()
    }

    /// Changes when there is something to do: a new spec, another scope, a deletion, or what was done is undone by a restored
    /// backup. Our own writes of status don't.
    pub(super) fn asks_for_work(&self, is_rewound: bool) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        (&self.metadata.uid, self.metadata.generation, self.scope(), self.instance()).hash(&mut hasher);
        (self.metadata.deletion_timestamp.is_some(), is_rewound).hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// Returns the condition of a status that says whether the SealedSecret was done.
pub(super) fn synced_condition(status: &Value) -> Option<&Value> {
    let conditions = status.get("conditions")?.as_array()?;
    conditions.iter().find(|condition| condition.get("type").is_some_and(|kind| kind == SYNCED))
}

fn is_synced(status: &Value, as_wanted: &str) -> bool {
    synced_condition(status).is_some_and(|synced| synced.get("status").is_some_and(|status| status == as_wanted))
}
