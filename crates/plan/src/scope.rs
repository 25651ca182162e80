//! Which built-in kinds live in a namespace and which don't, for planning without a cluster.
//!
//! The kinds of Kubernetes 1.34 to 1.37 that can be written (`kubectl api-resources`), and the kinds that Waxwing
//! reads and defines. A cluster's discovery knows more and is asked wherever there is a cluster.

use crate::GroupKind;

/// Whether the objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// They live outside namespaces.
    Cluster,
    /// They live in one.
    Namespaced,
}

/// The cluster-scoped and the namespaced kinds of one group.
type GroupScopes = (&'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const GROUPS: &[GroupScopes] = &[
    ("", &["Namespace", "Node", "PersistentVolume"],
        &["ConfigMap", "Endpoints", "Event", "LimitRange", "PersistentVolumeClaim", "Pod", "PodTemplate",
          "ReplicationController", "ResourceQuota", "Secret", "Service", "ServiceAccount"]),
    ("admissionregistration.k8s.io",
        &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
          "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"], &[]),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"], &[]),
    ("apiregistration.k8s.io", &["APIService"], &[]),
    ("apps", &[], &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling", &[], &["HorizontalPodAutoscaler"]),
    ("batch", &[], &["CronJob", "Job"]),
    ("bitnami.com", &[], &["SealedSecret"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"], &["PodCertificateRequest"]),
    ("coordination.k8s.io", &[], &["Lease", "LeaseCandidate"]),
    ("discovery.k8s.io", &[], &["EndpointSlice"]),
    ("events.k8s.io", &[], &["Event"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"], &[]),
    ("internal.apiserver.k8s.io", &["StorageVersion"], &[]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"], &["Ingress", "NetworkPolicy"]),
    ("node.k8s.io", &["RuntimeClass"], &[]),
    ("policy", &[], &["PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"], &["Role", "RoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourceSlice"],
        &["ResourceClaim", "ResourceClaimTemplate"]),
    ("scheduling.k8s.io", &["PriorityClass"], &[]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
        &["CSIStorageCapacity"]),
    ("storagemigration.k8s.io", &["StorageVersionMigration"], &[]),
    ("waxwing.dev", &[], &["GitSource", "Inventory", "Sync"]),
];

/// Returns the scope of a built-in kind; none for kinds that only a cluster knows.
pub fn builtin_scope(kind: &GroupKind) -> Option<Scope> {
    let (_, cluster, namespaced) = GROUPS.iter().find(|(group, ..)| *group == kind.group)?;
    let named = |kinds: &[&str]| kinds.contains(&kind.kind.as_str());
    match (named(cluster), named(namespaced)) {
        (true, _) => Some(Scope::Cluster),
        (_, true) => Some(Scope::Namespaced),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_kinds_have_a_scope_and_others_have_none() {
        let scope = |group, kind| builtin_scope(&GroupKind::new(group, kind));
        assert_eq!(scope("", "Namespace"), Some(Scope::Cluster));
        assert_eq!(scope("", "Secret"), Some(Scope::Namespaced));
        assert_eq!(scope("apps", "Deployment"), Some(Scope::Namespaced));
        assert_eq!(scope("rbac.authorization.k8s.io", "ClusterRole"), Some(Scope::Cluster));
        assert_eq!(scope("waxwing.dev", "Sync"), Some(Scope::Namespaced));
        assert_eq!(scope("extensions", "Ingress"), None);
        assert_eq!(scope("apps", "Secret"), None);
        assert_eq!(scope("example.com", "Widget"), None);
    }

    #[test]
    fn no_kind_is_listed_twice() {
        let groups: std::collections::BTreeSet<_> = GROUPS.iter().map(|(group, ..)| group).collect();
        assert_eq!(groups.len(), GROUPS.len());
        for (group, cluster, namespaced) in GROUPS {
            let all: std::collections::BTreeSet<_> = cluster.iter().chain(*namespaced).collect();
            assert_eq!(all.len(), cluster.len() + namespaced.len(), "{group}");
        }
    }
}
