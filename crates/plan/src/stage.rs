//! The order in which objects are applied; they are pruned in the opposite one.

use std::fmt;

use serde::Serialize;

use crate::{GroupKind, ObjectId};

/// What has to stand before what. A stage is applied as a whole before the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// What other objects are made of or stand in: custom resource definitions, namespaces, classes.
    Definitions,
    /// What workloads need: quotas, accounts, RBAC, network policies, configuration and Secrets.
    Foundations,
    /// Workloads and everything that no other stage names.
    Workloads,
    /// What judges or serves requests, and could refuse the stages before: webhooks, policies, API services.
    Gates,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 4] = [Self::Definitions, Self::Foundations, Self::Workloads, Self::Gates];

    /// Returns the stage of a kind.
    pub fn of(kind: &GroupKind) -> Self {
        rank(kind).0
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definitions => "definitions",
            Self::Foundations => "foundations",
            Self::Workloads => "workloads",
            Self::Gates => "gates",
        })
    }
}

/// Sorts into the order of application: total, because no two objects of a plan have the same id.
pub(crate) fn sort<T>(items: &mut [T], id: impl Fn(&T) -> &ObjectId) {
    items.sort_by(|a, b| id(a).cmp(id(b)));
    items.sort_by_cached_key(|item| rank(&id(item).kind));
}

#[rustfmt::skip]
const FOUNDATIONS: [(&str, &str); 10] = [
    ("", "ResourceQuota"), ("", "LimitRange"), ("", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "ClusterRole"), ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"), ("rbac.authorization.k8s.io", "RoleBinding"),
    ("networking.k8s.io", "NetworkPolicy"), ("", "ConfigMap"), ("", "Secret"),
];
const FIRST_WORKLOADS: [(&str, &str); 3] = [("", "PersistentVolume"), ("", "PersistentVolumeClaim"), ("", "Service")];

fn rank(kind: &GroupKind) -> (Stage, usize) {
    let place =
        |list: &[(&str, &str)]| list.iter().position(|(group, name)| *group == kind.group && *name == kind.kind);
    let foundation = place(&FOUNDATIONS);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => (Stage::Definitions, 0),
        ("", "Namespace") => (Stage::Definitions, 1),
        (_, name) if name.ends_with("Class") => (Stage::Definitions, 2),
        ("admissionregistration.k8s.io", _) => (Stage::Gates, 0),
        ("apiregistration.k8s.io", "APIService") => (Stage::Gates, 1),
        _ => match foundation {
            Some(position) => (Stage::Foundations, position),
            None => (Stage::Workloads, place(&FIRST_WORKLOADS).unwrap_or(FIRST_WORKLOADS.len())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    #[test]
    fn each_kind_has_the_stage_that_the_design_gives_it() {
        let table = [
            (Stage::Definitions, "CustomResourceDefinition"),
            (Stage::Definitions, "Namespace"),
            (Stage::Definitions, "StorageClass"),
            (Stage::Foundations, "ServiceAccount"),
            (Stage::Foundations, "ClusterRole"),
            (Stage::Foundations, "RoleBinding"),
            (Stage::Foundations, "ConfigMap"),
            (Stage::Foundations, "Secret"),
            (Stage::Workloads, "Deployment"),
            (Stage::Workloads, "Service"),
            (Stage::Workloads, "Widget"),
            (Stage::Gates, "ValidatingWebhookConfiguration"),
        ];
        for (stage, kind) in table {
            assert_eq!(Stage::of(&id(kind, "x").kind), stage, "{kind}");
        }
        assert_eq!(Stage::of(&GroupKind::new("gateway.networking.k8s.io", "GatewayClass")), Stage::Definitions);
        assert_eq!(Stage::of(&GroupKind::new("apiregistration.k8s.io", "APIService")), Stage::Gates);
        assert_eq!(Stage::of(&GroupKind::new("example.com", "Secret")), Stage::Workloads);
    }

    #[test]
    fn roles_come_before_their_bindings_and_services_before_deployments() {
        let names = ["Deployment", "RoleBinding", "Secret", "Service", "Namespace", "Role", "ServiceAccount"];
        let mut ids: Vec<_> = names.iter().map(|kind| id(kind, "x")).collect();
        sort(&mut ids, |id| id);
        let sorted: Vec<_> = ids.iter().map(|id| id.kind.kind.as_str()).collect();
        assert_eq!(sorted, ["Namespace", "ServiceAccount", "Role", "RoleBinding", "Secret", "Service", "Deployment"]);
    }
}
