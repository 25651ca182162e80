//! The marks that Waxwing puts on objects, and the ones that users put on them to steer it.
//!
//! Every applied object carries a label with a hash of its Sync's identity, by which it is watched, and an annotation
//! with the Sync's name for people. The label decides; the annotation only explains. Git may set neither.

use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{GroupKind, ObjectId};

/// The field manager under which everything is applied.
pub const FIELD_MANAGER: &str = "waxwing";
/// The label with the hash of the identity of the Sync that applied the object.
pub const SYNC_LABEL: &str = "waxwing.dev/sync";
/// The annotation with `namespace/name` of the Sync that applied the object.
pub const SYNC_NAME_ANNOTATION: &str = "waxwing.dev/sync-name";
/// `Disabled` keeps an object that left Git; `Confirmed` lets a Namespace, CRD or PersistentVolumeClaim go.
pub const PRUNE_ANNOTATION: &str = "waxwing.dev/prune";
/// `Disabled` leaves an object alone.
pub const RECONCILE_ANNOTATION: &str = "waxwing.dev/reconcile";
/// `Ignore` leaves what others changed on an object until Git changes it.
pub const DRIFT_ANNOTATION: &str = "waxwing.dev/drift";
/// The annotation of a Secret that is filled with the entries of a secret in a store.
pub const EXPAND_ANNOTATION: &str = "waxwing.dev/expand";

/// The identity of a Sync as it is marked on objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerMark {
    /// The namespace of the Sync.
    pub namespace: String,
    /// The name of the Sync.
    pub name: String,
}

impl OwnerMark {
    /// Names the Sync `namespace/name`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the label's value: 63 of the 64 hexadecimal digits of SHA-256 over `namespace/name`.
    ///
    /// 63 characters is the most that a label holds, and neither part can contain the slash.
    pub fn label(&self) -> String {
        let mut text = hex::encode(Sha256::digest(self.to_string()));
        text.truncate(63);
        text
    }

    /// Tells whether `id` is the Sync itself.
    pub fn is_sync(&self, id: &ObjectId) -> bool {
        id.kind == GroupKind::new("waxwing.dev", "Sync")
            && id.namespace.as_deref() == Some(&self.namespace)
            && id.name == self.name
    }

    /// Reads `namespace/name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        whole.then(|| Self::new(namespace, name))
    }
}

impl fmt::Display for OwnerMark {
    /// Writes `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What `waxwing.dev/prune` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PruneMark {
    /// Nothing: the object goes when it leaves Git, unless its kind needs a confirmation.
    #[default]
    Unset,
    /// `Disabled`, or a value that isn't known: the object stays.
    Disabled,
    /// `Confirmed`: the object goes, whatever its kind.
    Confirmed,
}

/// What the annotations of an object ask for. Values are compared without regard to case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// What happens when the object leaves Git.
    pub prune: PruneMark,
    /// The object is left alone.
    pub reconcile_disabled: bool,
    /// What others change on the object is left.
    pub drift_ignored: bool,
}

impl Steering {
    /// Reads the annotations of a live object. A `prune` value that isn't known keeps the object.
    pub fn of(annotations: Option<&Map<String, Value>>) -> Self {
        let text = |name| annotations.and_then(|map| map.get(name)).and_then(Value::as_str);
        let is = |name, word: &str| text(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        let prune = match text(PRUNE_ANNOTATION) {
            None => PruneMark::Unset,
            Some(value) if value.eq_ignore_ascii_case("Confirmed") => PruneMark::Confirmed,
            Some(value) if value.eq_ignore_ascii_case("Enabled") => PruneMark::Unset,
            Some(_) => PruneMark::Disabled,
        };
        let reconcile_disabled = is(RECONCILE_ANNOTATION, "Disabled");
        Self { prune, reconcile_disabled, drift_ignored: is(DRIFT_ANNOTATION, "Ignore") }
    }

    /// Returns the first steering annotation whose value is not known, with the values that are.
    pub(crate) fn unknown(annotations: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
        const KNOWN: [(&str, &str, [&str; 3]); 3] = [
            (PRUNE_ANNOTATION, "Enabled, Disabled or Confirmed", ["Enabled", "Disabled", "Confirmed"]),
            (RECONCILE_ANNOTATION, "Enabled or Disabled", ["Enabled", "Disabled", "Disabled"]),
            (DRIFT_ANNOTATION, "Revert or Ignore", ["Revert", "Ignore", "Ignore"]),
        ];
        let known = |value: &Value, words: &[&str]| {
            value.as_str().is_some_and(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
        };
        KNOWN
            .iter()
            .find(|(name, _, words)| annotations.get(*name).is_some_and(|value| !known(value, words)))
            .map(|(name, expected, _)| (*name, *expected))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_label_is_63_characters_that_a_label_may_hold_and_tells_syncs_apart() {
        let mark = OwnerMark::new("shop", "web");
        assert_eq!(mark.label().len(), 63);
        assert!(mark.label().bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
        assert_ne!(mark.label(), OwnerMark::new("shop", "web2").label());
        assert_ne!(OwnerMark::new("a", "b-c").label(), OwnerMark::new("a-b", "c").label());
    }

    #[test]
    fn names_of_syncs_round_trip_and_odd_ones_are_refused() {
        let mark = OwnerMark::new("shop", "web");
        assert_eq!(OwnerMark::parse(&mark.to_string()), Some(mark));
        for odd in ["", "web", "/web", "shop/", "a/b/c"] {
            assert_eq!(OwnerMark::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn steering_is_read_without_regard_to_case_and_a_doubtful_prune_keeps_the_object() {
        let read = |value: Value| Steering::of(value.as_object());
        assert_eq!(read(json!({})), Steering::default());
        assert_eq!(read(json!({PRUNE_ANNOTATION: "confirmed"})).prune, PruneMark::Confirmed);
        assert_eq!(read(json!({PRUNE_ANNOTATION: "enabled"})).prune, PruneMark::Unset);
        for doubtful in ["Disabled", "disabled", "false", ""] {
            assert_eq!(read(json!({PRUNE_ANNOTATION: doubtful})).prune, PruneMark::Disabled, "{doubtful}");
        }
        assert!(read(json!({RECONCILE_ANNOTATION: "disabled"})).reconcile_disabled);
        assert!(!read(json!({RECONCILE_ANNOTATION: "Enabled"})).reconcile_disabled);
        assert!(read(json!({DRIFT_ANNOTATION: "Ignore"})).drift_ignored);
    }
}
