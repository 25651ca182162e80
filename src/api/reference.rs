//! References from a spec to other things: an object in the same namespace, a kind, or a field.
//!
//! There is no reference to another namespace on purpose: a tenant names only what lies beside its own objects, and backends of the whole
//! cluster that allow its namespace.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use waxwing_plan::{FieldPath, GroupKind, ParseFieldPathError};

/// The name of an object in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalRef {
    /// The object's name. Example: `fleet`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
}

impl LocalRef {
    /// Makes a reference to the object called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// A place that decryption keys are read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySource {
    /// A Secret in the namespace of the Sync. Each of its entries whose key ends in `.agekey` is read as an age identity
    /// file, and each whose key ends in `.asc` as private PGP keys without passphrase, armored or binary. It is read as the
    /// Sync's ServiceAccount. Example: `{name: sops-age}`.
    pub secret_ref: LocalRef,
}

/// A backend: in the same namespace, or of the whole cluster where that allows the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendRef {
    /// The kind of the backend. Default: `SecretBackend`. Example: `ClusterSecretBackend`.
    #[serde(default)]
    pub kind: BackendKind,

    /// The backend's name. Example: `vault`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
}

/// Which backends stand for the stores of other tools' references. Each must be one that `backends` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForeignReferences {
    /// The backend for the placeholders of argocd-vault-plugin that name a path, `<path:PATH#KEY#VERSION>`: the one that stands for the
    /// store of its `AVP_TYPE`. Default: none, so they are text. Example: `vault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub argocd_vault_plugin: Option<String>,

    /// The backends for the references of vals, by their provider. Default: none, so they are text. Example: `{vault: vault}`.
    #[serde(default)]
    pub vals: ValsReferences,
}

/// The backends for the references of vals; those of a provider without one are text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub struct ValsReferences {
    /// For `ref+vault://`. Example: `vault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub vault: Option<String>,

    /// For `ref+openbao://`. Example: `vault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub openbao: Option<String>,

    /// For `ref+awssecrets://`. Example: `aws`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub awssecrets: Option<String>,

    /// For `ref+awsssm://`. Example: `aws`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub awsssm: Option<String>,

    /// For `ref+gcpsecrets://`. Example: `google`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub gcpsecrets: Option<String>,

    /// For `ref+azurekeyvault://`, by the vault that the reference names, since a backend is one vault. Default: none.
    /// Example: `{shop-vault: azure}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub azurekeyvault: BTreeMap<String, String>,

    /// The engines of KV version 2, behind which `data` goes in the path of `ref+vault://` and `ref+openbao://` where it does not stand
    /// there: vals asks the server for that, and here the path has to be known before anyone is asked. Default: none. Example: `[secret]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "versionedEngines")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "set"))]
    pub versioned_engines: Vec<EnginePath>,
}

/// The path at which an engine is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnginePath(
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.:@-]*(/[A-Za-z0-9_-][A-Za-z0-9_.:@-]*)*$")
    )]
    pub String,
);

/// A kind of backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackendKind {
    /// One of the namespace of the Sync.
    #[default]
    SecretBackend,
    /// One of the whole cluster, which must allow the namespace of the Sync.
    ClusterSecretBackend,
}

/// The pattern of a [`KindName`]: an optional API group and a slash, then the kind.
const KIND_PATTERN: &str = "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Z][A-Za-z0-9]*$";

/// A kind without a version, written as `group/Kind`, or `Kind` for the core group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindName(GroupKind);

/// Says that a text does not name a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kind is written as group/Kind, such as apps/Deployment, or as Kind alone for the core group")]
pub struct ParseKindNameError;

impl KindName {
    /// Returns the group and the kind.
    pub fn get(&self) -> &GroupKind {
        &self.0
    }
}

impl FromStr for KindName {
    type Err = ParseKindNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (group, kind) = text.split_once('/').map_or((None, text), |(group, kind)| (Some(group), kind));
        if group.is_none_or(is_group) && is_kind(kind) {
            Ok(Self(GroupKind::new(group.unwrap_or_default(), kind)))
        } else {
            Err(ParseKindNameError)
        }
    }
}

fn is_group(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.bytes().all(inner) && outer(text.bytes().next()) && outer(text.bytes().next_back())
}

fn is_kind(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl TryFrom<String> for KindName {
    type Error = ParseKindNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KindName> for String {
    fn from(name: KindName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for KindName {
    fn schema_name() -> Cow<'static, str> {
        "KindName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 316, "pattern": KIND_PATTERN })
    }
}

/// The pattern of a [`FieldPointer`]: a JSON pointer without empty parts.
const POINTER_PATTERN: &str = "^(/([^/~]|~[01])+)+$";

/// What the pattern can't say: which parts of an object are not for others.
const POINTER_RULE: &str = "!(self.split('/')[1] in ['apiVersion', 'kind', 'metadata']) || \
    (self.matches('^/metadata/(labels|annotations)/[^/]+$') && !self.contains('/waxwing.dev~1'))";

/// A JSON pointer (RFC 6901) to a field that may be left to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldPointer(FieldPath);

impl FieldPointer {
    /// Returns the pointer as a plan takes it.
    pub fn get(&self) -> &FieldPath {
        &self.0
    }
}

impl TryFrom<String> for FieldPointer {
    type Error = ParseFieldPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<FieldPointer> for String {
    fn from(pointer: FieldPointer) -> Self {
        pointer.0.to_string()
    }
}

impl JsonSchema for FieldPointer {
    fn schema_name() -> Cow<'static, str> {
        "FieldPointer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 512,
            "pattern": POINTER_PATTERN,
            "x-kubernetes-validations": [{
                "rule": POINTER_RULE,
                "message": "only labels and annotations of metadata that aren't Waxwing's own may be left to others, each by its name",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_with_and_without_a_group() {
        for (text, group, kind) in [
            ("ConfigMap", "", "ConfigMap"),
            ("apps/Deployment", "apps", "Deployment"),
            ("argoproj.io/Application", "argoproj.io", "Application"),
        ] {
            let name: Result<KindName, _> = text.parse();
            assert_eq!(name.as_ref().map(KindName::get), Ok(&GroupKind::new(group, kind)));
            assert_eq!(name.map(|name| name.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_not_a_kind_is_refused() {
        for text in
            ["", "/", "configmap", "apps/", "/Deployment", "apps/v1/Deployment", "Apps/X", "-a/X", "a./X", "Config Map"]
        {
            assert_eq!(text.parse::<KindName>(), Err(ParseKindNameError), "{text:?}");
        }
    }
}
