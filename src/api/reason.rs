//! The closed list of reasons: the machine-readable half of every condition, event and failure.
//!
//! A reason is a word that scripts and alerts may rely on; the text beside it is for people. The doc comment of each
//! says what it means to a user and what helps, and is printed in `docs/crd-reference.md` as it stands here.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Defines [`Reason`] with its texts, so that a reason can't exist without a meaning.
macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $reason:ident,)+) => {
        /// Why a condition is what it is, or an object failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $reason,)+
        }

        impl Reason {
            /// All reasons, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// Returns the word that stands in conditions, events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)+
                }
            }

            /// Returns what the reason means to a user, and what helps.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$reason => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}

reasons! {
    /// The revision was fetched, or is still the tip.
    Fetched,
    /// The revision was applied, and with `wait` all objects are healthy.
    Applied,
    /// All secrets that this revision needs were opened, or were open already.
    Unsealed,
    /// All objects are healthy.
    Healthy,
    /// Every object is as it was applied.
    InSync,
    /// The backend can be used as it is written; a Vault server answers, and who logged in last was let in.
    Usable,
    /// Somebody wrote over objects or deleted them, and `spec.drift: Alert` leaves them so. The message names them, and who wrote.
    Drifted,
    /// Somebody writes over an object again and again: it was reverted three times in five minutes, and from now on is only at
    /// `spec.interval`. The message names object and writer; take the fields out of Git, or stop the writer.
    Contested,
    /// Work is going on; nothing is wrong.
    Progressing,
    /// The last try failed and is repeated; Ready says what was wrong.
    ProgressingWithRetry,

    /// The address is malformed or not allowed, as `http://` and `file://` are without the controller's flag. Change `spec.url`,
    /// or ask the operator.
    UrlNotAllowed,
    /// The Git server refused the credentials, or wants some. Check the Secret of `spec.secretRef`.
    AuthenticationFailed,
    /// The repository has no such branch, tag or commit. Check `spec.ref`.
    RevisionNotFound,
    /// The repository could not be fetched: the server can't be reached, isn't trusted, or broke off. The last good revision stays
    /// in use, and the fetch is repeated.
    FetchFailed,
    /// The GitSource of `spec.sourceRef` does not exist in this namespace.
    SourceNotFound,
    /// The GitSource has not fetched anything yet. Its own conditions say why.
    SourceNotReady,

    /// The folder of `spec.path` is not in this revision.
    PathNotFound,
    /// A path, symbolic link or base leads out of the repository. The message names it.
    PathEscapes,
    /// A file is malformed, or isn't a Kubernetes object. The message names file and line.
    RenderFailed,
    /// Kustomize refused the kustomization, or it asks for what is not supported. The message has what Kustomize said.
    KustomizeFailed,
    /// A file, or what was rendered, is larger than the limit. The message names it.
    InputTooLarge,

    /// A Secret stands in Git unsealed. Seal it with `seal` or `sops`, or change `spec.secrets.plaintext`.
    PlaintextRefused,
    /// A Secret stands in Git unsealed and was applied, as `spec.secrets.plaintext: Warn` has it. Seal it with `seal` or `sops`.
    PlaintextApplied,
    /// A secret value would end where it may not. Move it into a Secret, or permit the kind in `spec.secrets.bindInto`.
    BindingRefused,
    /// The stand-in of a secret value was damaged, cut or invented on its way through the render. The message names the place.
    HandleRefused,
    /// A sealed value or file is malformed or was tampered with. The message names file and key path.
    UnsealFailed,
    /// The message authentication code of a SOPS file is wrong: the file was changed without `sops`. Restore it, or edit it with
    /// `sops`.
    MacMismatch,
    /// No key at hand opens the value. The message lists which were tried; add the right one to `spec.secrets.keysFrom`, or
    /// seal again.
    KeyNotFound,
    /// The SealedSecret was sealed for another name, namespace or cluster. Seal it again for this one.
    SealedForAnother,
    /// A Secret in `spec.secrets.keysFrom` or a backend in `spec.secrets.backends` is missing, can't be read by the ServiceAccount,
    /// or can't be used. The message names it.
    KeysUnavailable,
    /// A backend in `spec.secrets.backends` leads to a server that the controller's `--backend-origin` doesn't list, or is one of the
    /// whole cluster that doesn't allow the namespace. Ask the operator.
    KeyNotAllowed,
    /// A key service could not be reached, or was asked too often, so nothing was opened or applied. It is tried again; what runs
    /// keeps running.
    KeyServiceUnavailable,
    /// The ServiceAccount may not create and patch Secrets in the target namespace, so nothing is opened for it. Grant it that.
    AccessDenied,
    /// A reference into a secret store is malformed, names a backend that `spec.secrets.backends` doesn't, or leads to what that backend
    /// doesn't allow. Nobody was asked. The message names it and the rule.
    ReferenceRefused,
    /// A secret store does not let the Sync in, or doesn't let it read what a reference names. Correct the store's policy or the backend.
    ReferenceDenied,
    /// A secret store has no such secret, version or value, or it was deleted. What runs keeps running; correct the reference or the store.
    ReferenceNotFound,
    /// A secret store could not be reached, or was asked too often, so nothing was applied. It is tried again; what runs keeps
    /// running.
    StoreUnavailable,

    /// Two manifests, two Syncs, or a Sync and another controller claim the same object. The message names them.
    PlanConflict,
    /// The API server doesn't know the kind, and this revision doesn't define it.
    UnknownKind,
    /// The namespace of an object doesn't exist, and this revision doesn't create it.
    NamespaceMissing,
    /// The ServiceAccount of `spec.serviceAccountName` doesn't exist in this namespace.
    ServiceAccountNotFound,
    /// The ServiceAccount may not do what the revision needs. The message names verb and object; grant it by a Role.
    Forbidden,
    /// The API server refused an object in the dry run, so nothing was applied. The message names object and fields.
    DryRunFailed,
    /// The API server refused an object after the dry run had passed. The sync stopped there and pruned nothing.
    ApplyFailed,
    /// The sync did not end within `spec.timeout`. What was applied stands, and the next sync goes on from there; raise
    /// `spec.timeout` if a revision needs longer.
    TimedOut,
    /// An object, or its namespace, is being deleted, so it can't be applied. It is tried again once it is gone.
    Terminating,

    /// A guard held pruning back: the revision is empty, or too much would go. Check the revision, then see `spec.prune`.
    PruneRefused,
    /// An object that left the revision could not be deleted. The message names it.
    PruneFailed,
    /// An object reports that it failed. The message names it.
    HealthCheckFailed,
    /// Objects were not healthy within `spec.timeout`. The message names them.
    HealthCheckTimeout,

    /// The API server can't be reached or is overloaded. It is tried again.
    ApiUnavailable,
    /// The record of applied objects could not be read or written, so nothing was applied.
    InventoryFailed,
    /// Something went wrong that should not be able to. Please report it.
    Internal,
}

impl Reason {
    /// Reads a reason from a stored status, where another version may have left one that is not in the list any more.
    pub(super) fn deserialize_leniently<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::ALL.iter().copied().find(|reason| reason.as_str() == word).unwrap_or(Self::Internal))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_serialised_as_its_word() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).ok(), Some(reason.as_str().into()));
        }
    }

    #[test]
    fn every_meaning_is_a_sentence() {
        for reason in Reason::ALL {
            assert!(reason.meaning().ends_with('.'), "{reason}");
            assert!(!reason.meaning().contains("  "), "{reason}");
        }
    }
}
