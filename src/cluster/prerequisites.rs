//! What a sync's own objects make possible for one another, so that a dry run that fails for want of it can wait.

use std::collections::BTreeSet;

use serde_json::Value;
use waxwing_plan::{GroupKind, ObjectId};

use super::apply::Cause;
use super::call::CallError;
use super::requests::{Request, Requests};

/// What the objects of one sync define.
pub(super) struct Prerequisites {
    kinds: BTreeSet<(ObjectId, GroupKind, String)>,
    namespaces: BTreeSet<String>,
    grants_rights: bool,
    accounts: bool,
}

impl Prerequisites {
    /// Collects what `requests` define.
    pub(super) fn of(requests: &Requests) -> Self {
        let named =
            |kind: &'static str| requests.iter().filter(move |request| request.id.kind == GroupKind::new("", kind));
        let rights = |request: &Request| request.id.kind.group == "rbac.authorization.k8s.io";
        Self {
            kinds: requests.iter().flat_map(defined_kinds).collect(),
            namespaces: named("Namespace").map(|request| request.id.name.clone()).collect(),
            grants_rights: requests.iter().any(rights),
            accounts: named("ServiceAccount").next().is_some(),
        }
    }

    /// Tells whether a refusal of `request` can be explained by something that the same sync makes.
    pub(super) fn explain(&self, request: &Request, cause: &Cause) -> bool {
        match cause {
            Cause::UnknownKind { .. } => self.defines(&request.id.kind),
            Cause::Call(CallError::Refused(refusal)) => match refusal.code {
                404 => {
                    self.makes_namespace_of(&request.id) || self.defines(&request.id.kind) || self.binds(&request.id)
                }
                403 => (self.grants_rights && refusal.lacks_right) || self.runs_as_new_account(&request.id),
                _ => false,
            },
            _ => false,
        }
    }

    /// Returns the kinds and versions that the CRDs among `applied` define.
    pub(super) fn kinds_defined_by(&self, applied: &[&Request]) -> Vec<(GroupKind, String)> {
        let by_applied = |id: &ObjectId| applied.iter().any(|request| request.id == *id);
        let defined = self.kinds.iter().filter(|(definition, ..)| by_applied(definition));
        defined.map(|(_, kind, version)| (kind.clone(), version.clone())).collect()
    }

    fn defines(&self, kind: &GroupKind) -> bool {
        self.kinds.iter().any(|(_, defined, _)| defined == kind)
    }

    fn makes_namespace_of(&self, id: &ObjectId) -> bool {
        id.namespace.as_ref().is_some_and(|namespace| self.namespaces.contains(namespace))
    }

    /// A bare Pod is forbidden while its ServiceAccount isn't there.
    fn runs_as_new_account(&self, id: &ObjectId) -> bool {
        self.accounts && id.kind == GroupKind::new("", "Pod")
    }

    /// A binding is refused as "not found" while its Role isn't there, since rights can't be compared.
    fn binds(&self, id: &ObjectId) -> bool {
        self.grants_rights && matches!(id.kind.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
    }
}

fn defined_kinds(request: &Request) -> Vec<(ObjectId, GroupKind, String)> {
    if request.id.kind != GroupKind::new("apiextensions.k8s.io", "CustomResourceDefinition") {
        return Vec::new();
    }
    let text = |pointer: &str| request.skeleton().pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = GroupKind::new(text("/spec/group"), text("/spec/names/kind"));
    let versions = request.skeleton().pointer("/spec/versions").and_then(Value::as_array);
    let served = versions.into_iter().flatten().filter(|version| version.get("served") == Some(&Value::Bool(true)));
    let names = served.filter_map(|version| version.get("name")?.as_str());
    names.map(|version| (request.id.clone(), kind.clone(), version.to_owned())).collect()
}
