//! The custom resources of `waxwing.dev/v1alpha1`: what users write, and what they read back.
//!
//! One file a kind, plus the parts that kinds share: conditions, the closed list of reasons, periods and references.
//! Nothing here talks to an API server, and nothing here decides anything: types, their validation, and the rules for
//! changing a list of conditions. The YAML in `crds/` and `docs/crd-reference.md` are generated from these types, so a
//! doc comment here is what a user reads in `kubectl explain`.

#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
mod backend_limits;
mod backend_status;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
#[expect(clippy::duplicated_attributes, reason = "two columns may have the same type")]
mod cluster_secret_backend;
mod conditions;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
#[expect(clippy::duplicated_attributes, reason = "two columns may have the same type")]
mod git_source;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
mod inventory;
mod period;
mod reason;
mod reference;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
#[expect(clippy::duplicated_attributes, reason = "two columns may have the same type")]
mod secret_backend;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
#[expect(clippy::duplicated_attributes, reason = "two columns may have the same type")]
mod sync;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
mod vault_auth;
#[expect(unreachable_pub, reason = "KubeSchema derives through a copy of the struct inside a function")]
mod vault_dynamic;

pub use backend_limits::BackendLimits;
pub use backend_status::{BackendStatus, LOGINS_LIMIT, LoginStatus};
pub use cluster_secret_backend::{AllowedNamespaces, ClusterAllow, ClusterSecretBackend, ClusterSecretBackendSpec};
pub use conditions::{ConditionType, NewCondition, Status, condition, remove_condition, set_condition};
pub use git_source::{GitReference, GitSource, GitSourceSpec, GitSourceStatus, SelectedReference};
pub use inventory::{Inventory, InventorySpec, SyncIdentity};
pub use period::{ParsePeriodError, Period};
pub use reason::Reason;
pub use reference::{
    BackendKind, BackendRef, EnginePath, FieldPointer, ForeignReferences, KeySource, KindName, LocalRef,
    ParseKindNameError, ValsReferences,
};
pub use secret_backend::{
    Allow, AwsAuth, AwsBackend, AzureAuth, AzureBackend, AzureWorkloadIdentity, GcpAuth, GcpBackend,
    GcpWorkloadIdentity, KubernetesBackend, SecretBackend, SecretBackendSpec, VaultBackend, WebIdentityAuth,
};
pub use sync::{
    Counts, Drift, FAILURES_LIMIT, Failure, Ignore, IgnoreTarget, Plaintext, Prune, Secrets, Sync, SyncSpec, SyncStatus,
};
pub use vault_auth::{AppRoleAuth, CertificateAuth, JwtAuth, KubernetesAuth, VaultAuth};
pub use vault_dynamic::{DynamicSecrets, LEASES_LIMIT, LeaseStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all kinds of Waxwing.
pub const GROUP: &str = "waxwing.dev";

/// The one version of [`GROUP`] that is served.
pub const VERSION: &str = "v1alpha1";

/// The annotation that asks for a reconcile now: any new value does, a timestamp is the custom.
pub const REQUESTED_AT: &str = "waxwing.dev/requestedAt";

/// The finalizer on a Sync that lets the controller prune before the Sync goes away.
pub const FINALIZER: &str = "waxwing.dev/finalizer";

/// Returns the definitions of all kinds, in the order in which the documentation lists them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![GitSource::crd(), Sync::crd(), Inventory::crd(), SecretBackend::crd(), ClusterSecretBackend::crd()]
}
