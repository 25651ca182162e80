//! The fields of the types, in the order in which Go declares and so prints them.
//!
//! Source: `ObjectMeta` and `ManagedFieldsEntry` in apimachinery 0.37 (`pkg/apis/meta/v1/types.go`), `Secret` in api 0.37
//! (`core/v1/types.go`), `SealedSecret` in sealed-secrets 0.40 (`pkg/apis/sealedsecrets/v1alpha1/types.go`).

use super::shape::Empty::{Keep, Omit, OmitAbsent};
use super::shape::{Field, Shape, field};

/// A type of object that kubeseal reads or prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoType {
    /// `v1` `Secret`.
    Secret,
    /// `bitnami.com/v1alpha1` `SealedSecret`.
    SealedSecret,
}

impl GoType {
    pub(super) fn fields(self) -> &'static [Field] {
        match self {
            Self::Secret => SECRET,
            Self::SealedSecret => SEALED_SECRET,
        }
    }
}

const SECRET: &[Field] = &[
    field("kind", Shape::Text, Omit),
    field("apiVersion", Shape::Text, Omit),
    field("metadata", Shape::Object(METADATA), Keep),
    field("immutable", Shape::Bool, OmitAbsent),
    field("data", Shape::BytesMap, Omit),
    field("stringData", Shape::TextMap, Omit),
    field("type", Shape::Text, Omit),
];

const SEALED_SECRET: &[Field] = &[
    field("kind", Shape::Text, Omit),
    field("apiVersion", Shape::Text, Omit),
    field("metadata", Shape::Object(METADATA), Keep),
    field("spec", Shape::Object(SPEC), Keep),
    field("status", Shape::Object(STATUS), OmitAbsent),
];

const SPEC: &[Field] = &[
    field("template", Shape::Object(TEMPLATE), Keep),
    field("data", Shape::Bytes, Omit),
    field("encryptedData", Shape::LooseTextMap, Keep),
];

const TEMPLATE: &[Field] = &[
    field("metadata", Shape::Object(METADATA), Keep),
    field("type", Shape::Text, Omit),
    field("immutable", Shape::Bool, OmitAbsent),
    field("data", Shape::NullableTextMap, Omit),
];

const STATUS: &[Field] =
    &[field("observedGeneration", Shape::Int, Omit), field("conditions", Shape::List(CONDITION), Omit)];

const CONDITION: &[Field] = &[
    field("type", Shape::Text, Keep),
    field("status", Shape::Text, Keep),
    field("lastUpdateTime", Shape::Time, Keep),
    field("lastTransitionTime", Shape::Time, Keep),
    field("reason", Shape::Text, Omit),
    field("message", Shape::Text, Omit),
];

const METADATA: &[Field] = &[
    field("name", Shape::Text, Omit),
    field("generateName", Shape::Text, Omit),
    field("namespace", Shape::Text, Omit),
    field("selfLink", Shape::Text, Omit),
    field("uid", Shape::Text, Omit),
    field("resourceVersion", Shape::Text, Omit),
    field("generation", Shape::Int, Omit),
    field("creationTimestamp", Shape::Time, Omit),
    field("deletionTimestamp", Shape::Time, Omit),
    field("deletionGracePeriodSeconds", Shape::Int, OmitAbsent),
    field("labels", Shape::TextMap, Omit),
    field("annotations", Shape::TextMap, Omit),
    field("ownerReferences", Shape::List(OWNER_REFERENCE), Omit),
    field("finalizers", Shape::Texts, Omit),
    field("managedFields", Shape::List(MANAGED_FIELDS), Omit),
];

const OWNER_REFERENCE: &[Field] = &[
    field("apiVersion", Shape::Text, Keep),
    field("kind", Shape::Text, Keep),
    field("name", Shape::Text, Keep),
    field("uid", Shape::Text, Keep),
    field("controller", Shape::Bool, OmitAbsent),
    field("blockOwnerDeletion", Shape::Bool, OmitAbsent),
];

const MANAGED_FIELDS: &[Field] = &[
    field("manager", Shape::Text, Omit),
    field("operation", Shape::Text, Omit),
    field("apiVersion", Shape::Text, Omit),
    field("time", Shape::Time, Omit),
    field("fieldsType", Shape::Text, Omit),
    field("fieldsV1", Shape::Any, OmitAbsent),
    field("subresource", Shape::Text, Omit),
];
