//! The objects a plan talks about: their identity, and manifests with handles in place of secrets.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An API group and a kind, without a version: versions change while an object stays the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl GroupKind {
    /// Makes a group and kind from their names.
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }

    /// Returns the `apiVersion` field of this kind in a version: `group/version`, or the version alone for the core group.
    pub fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }
}

impl fmt::Display for GroupKind {
    /// Writes `Kind` for the core group and `group/Kind` otherwise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.kind),
            group => write!(f, "{group}/{}", self.kind),
        }
    }
}

/// Takes an `apiVersion` field apart into group and version; the group of a version alone is the core group.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Names one object in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId {
    /// Group and kind.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// The namespace; none for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectId {
    /// Names a namespaced object.
    pub fn namespaced(kind: GroupKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: Some(namespace.into()), name: name.into() }
    }

    /// Names a cluster-scoped object.
    pub fn cluster_scoped(kind: GroupKind, name: impl Into<String>) -> Self {
        Self { kind, namespace: None, name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    /// Writes `Kind/namespace/name` or `Kind/name`, with the group before the kind where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// Where a document came from in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The path from the repository's root, with `/` between its parts.
    pub file: String,
    /// The position of the document in the file, from 0.
    pub document: usize,
    /// The line on which the document starts, from 1.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Says where the sealed value came from that a string in a manifest stands for; public.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretMark {
    /// The file in the repository.
    pub file: String,
    /// The position of the document in the file, from 0.
    pub document: usize,
    /// The JSON pointer of the value in that document.
    pub key_path: String,
    /// How it is sealed: `sops`, `sealed-secret` or `plaintext`.
    pub scheme: String,
}

/// One object as it should be, with handles where secrets belong, so that it may be printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object's identity, with its namespace filled in.
    pub id: ObjectId,
    /// The API version without the group, such as `v1`.
    pub version: String,
    /// The whole object, `apiVersion` and `kind` included.
    pub body: Value,
    /// By JSON pointer: the strings of `body` in which handles stand, and what they stand for.
    pub secrets: BTreeMap<String, Vec<SecretMark>>,
    /// The document that the object was read from, where the renderer keeps that.
    pub location: Option<Location>,
}

impl Manifest {
    /// Returns the `apiVersion` field.
    pub fn api_version(&self) -> String {
        self.id.kind.api_version(&self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_version_has_a_group_unless_it_is_the_core_group() {
        for (group, version, api_version) in [("", "v1", "v1"), ("apps", "v1beta1", "apps/v1beta1")] {
            assert_eq!(GroupKind::new(group, "X").api_version(version), api_version);
            assert_eq!(split_api_version(api_version), (group, version));
        }
    }

    #[test]
    fn objects_are_named_as_users_write_them() {
        let mut id = ObjectId {
            kind: GroupKind::new("apps", "Deployment"),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
        };
        assert_eq!(id.to_string(), "apps/Deployment/shop/web");
        id = ObjectId { kind: GroupKind::new("", "Namespace"), namespace: None, name: "shop".to_owned() };
        assert_eq!(id.to_string(), "Namespace/shop");
    }
}
