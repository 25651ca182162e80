//! What a tenant of a cluster has before anything is done for it.

/// Returns a namespace with the ServiceAccount `deployer`, which may do everything in it, as YAML documents.
pub fn tenant(namespace: &str) -> String {
    format!(
        r#"---
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: deployer, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: deployer, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: deployer}}]
"#
    )
}
