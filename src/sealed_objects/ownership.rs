//! Whether a Secret that stands may be written, and how: as the Sealed Secrets controller decides it (`unseal` of
//! `pkg/controller/controller.go` of sealed-secrets 0.40), by the Secret's own metadata.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use waxwing_plan::SYNC_LABEL;

use crate::cluster::FieldElements;

/// Set to `true` on a Secret, it may be replaced.
const MANAGED: &str = "sealedsecrets.bitnami.com/managed";
/// Set to `true` on a Secret, it is added to.
const PATCH: &str = "sealedsecrets.bitnami.com/patch";
/// Set to `true` in a template, the Secret doesn't belong to the SealedSecret.
pub(super) const SKIP_OWNER: &str = "sealedsecrets.bitnami.com/skip-set-owner-references";

/// How a Secret that stands is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// As a whole: what others put into it goes.
    Replace,
    /// Added to, and it belongs to the SealedSecret.
    PatchAndOwn,
    /// Added to.
    Patch,
}

impl Hold {
    /// Returns how a Secret may be written, none where it may not: it is neither the SealedSecret's nor says that it may be.
    /// What a Sync applied is that Sync's, whatever its annotations say.
    pub(super) fn of(secret: &ObjectMeta, sealed_secret_uid: &str) -> Option<Self> {
        if is_of_sync(secret) {
            return None;
        }
        match (is_set(secret, PATCH), is_set(secret, MANAGED)) {
            (true, true) => Some(Self::PatchAndOwn),
            (true, false) => Some(Self::Patch),
            (false, true) => Some(Self::Replace),
            (false, false) => is_controlled_by(secret, sealed_secret_uid).then_some(Self::Replace),
        }
    }

    /// Returns the fields that are taken over from others, so that what of them is not sent goes.
    pub(super) const fn taken(self) -> &'static [FieldElements] {
        match self {
            Self::Replace => &[
                &["f:data"],
                &["f:stringData"],
                &["f:type"],
                &["f:metadata", "f:annotations"],
                &["f:metadata", "f:labels"],
                &["f:metadata", "f:ownerReferences"],
            ],
            Self::PatchAndOwn => &[&["f:metadata", "f:ownerReferences"]],
            Self::Patch => &[],
        }
    }
}

/// Tells whether a Secret is made again when somebody deletes it.
pub(super) fn is_made_again(secret: &ObjectMeta) -> bool {
    !is_of_sync(secret) && (is_set(secret, MANAGED) || controller(secret).is_some())
}

/// Tells whether its metadata says anything about a SealedSecret.
pub(super) fn concerns_sealed_secrets(secret: &ObjectMeta) -> bool {
    is_set(secret, MANAGED) || is_set(secret, PATCH) || controller(secret).is_some()
}

/// Tells whether a Sync has applied it.
pub(super) fn is_of_sync(secret: &ObjectMeta) -> bool {
    secret.labels.as_ref().is_some_and(|labels| labels.contains_key(SYNC_LABEL))
}

fn is_controlled_by(secret: &ObjectMeta, uid: &str) -> bool {
    let owners = secret.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// Returns the uid of the SealedSecret that controls it.
fn controller(secret: &ObjectMeta) -> Option<&str> {
    let mut owners = secret.owner_references.iter().flatten();
    let is_sealed_secret =
        |api_version: &str, kind: &str| api_version.starts_with("bitnami.com/") && kind == "SealedSecret";
    let owner =
        owners.find(|owner| owner.controller == Some(true) && is_sealed_secret(&owner.api_version, &owner.kind))?;
    Some(&owner.uid)
}

fn is_set(secret: &ObjectMeta, annotation: &str) -> bool {
    let annotations = secret.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(annotation)).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hold(metadata: Value) -> Option<Hold> {
        Hold::of(&serde_json::from_value(metadata).unwrap(), "u")
    }

    fn owner(uid: &str) -> Value {
        json!([{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": "x", "uid": uid, "controller": true}])
    }

    #[test]
    fn only_the_exact_word_true_lets_a_secret_be_written_that_is_not_the_sealed_secrets_own() {
        assert_eq!(hold(json!({})), None);
        assert_eq!(hold(json!({"ownerReferences": owner("u")})), Some(Hold::Replace));
        assert_eq!(hold(json!({"ownerReferences": owner("another")})), None);
        for (value, expected) in [("true", Some(Hold::Replace)), ("True", None), ("1", None), ("", None)] {
            assert_eq!(hold(json!({"annotations": {MANAGED: value}})), expected, "{value}");
        }
        assert_eq!(hold(json!({"annotations": {PATCH: "true"}})), Some(Hold::Patch));
        assert_eq!(hold(json!({"annotations": {PATCH: "true", MANAGED: "true"}})), Some(Hold::PatchAndOwn));
    }

    #[test]
    fn what_a_sync_applied_is_left_to_it() {
        let labels = json!({SYNC_LABEL: "x"});
        assert_eq!(hold(json!({"labels": labels, "annotations": {MANAGED: "true"}})), None);
        assert_eq!(hold(json!({"labels": labels, "ownerReferences": owner("u")})), None);
    }
}
