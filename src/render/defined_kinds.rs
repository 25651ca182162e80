//! The kinds that a render itself defines, so that their objects get a namespace, or none, before the API server knows
//! them (`CustomResourceDefinition` of apiextensions.k8s.io/v1: `spec.group`, `spec.names.kind`, `spec.scope`).

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_plan::GroupKind;

use super::manifests::{Scope, SourceDocument};

/// Scopes by kind.
pub(super) struct DefinedKinds(BTreeMap<GroupKind, Scope>);

impl DefinedKinds {
    /// Collects the definitions among documents.
    pub(super) fn of(documents: &[SourceDocument]) -> Self {
        Self(documents.iter().filter_map(|document| definition(&document.value)).collect())
    }

    /// Returns the scope of a kind, if it is defined here.
    pub(super) fn scope_of(&self, kind: &GroupKind) -> Option<Scope> {
        self.0.get(kind).copied()
    }
}

fn definition(value: &Value) -> Option<(GroupKind, Scope)> {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str);
    let is_definition = text("/kind") == Some("CustomResourceDefinition")
        && text("/apiVersion").is_some_and(|version| version.starts_with("apiextensions.k8s.io/"));
    let scope = match text("/spec/scope").filter(|_| is_definition)? {
        "Cluster" => Scope::Cluster,
        "Namespaced" => Scope::Namespaced,
        _ => return None,
    };
    Some((GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?), scope))
}
