//! How the controller keeps its sealing keys: where, which one seals, how new ones are made, and when. The choices are those of the
//! flags of the Sealed Secrets controller (`cmd/controller/main.go` of sealed-secrets 0.40).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use waxwing_keys::Keyring;

/// Where the sealing keys are and how new ones are named.
#[derive(Clone, Debug)]
pub struct KeyPlace {
    /// The controller's namespace.
    pub namespace: String,
    /// What the name of a new key Secret starts with.
    pub prefix: String,
}

/// Which key is the newest, which seals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// The one whose certificate begins last.
    #[default]
    CertNotBefore,
    /// The one whose Secret was created last.
    SecretCreationTimestamp,
}

/// What a new key is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its size.
    pub bits: usize,
    /// How long its certificate is valid.
    pub validity: Duration,
    /// The common name in its certificate, empty for none.
    pub common_name: String,
    /// Further labels of its Secret.
    pub labels: BTreeMap<String, String>,
    /// Annotations of its Secret.
    pub annotations: BTreeMap<String, String>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// Where they are.
    pub place: KeyPlace,
    /// Which one seals.
    pub order: KeyOrder,
    /// What new ones are like.
    pub new: NewKey,
    /// After how long there is a new one; none for never.
    pub renew_after: Option<Duration>,
    /// At a start there is a new one if the newest is from before this time.
    pub cutoff: Option<Timestamp>,
}

impl KeySettings {
    /// Tells whether a key has to be made at the start of a controller that found these.
    pub(super) fn needs_key_at_start(&self, ring: &Keyring) -> bool {
        match (ring.newest_since(), self.cutoff) {
            (Some(newest), Some(cutoff)) => newest < cutoff,
            (newest, _) => newest.is_none(),
        }
    }

    /// Returns how long the newest key goes on being the one that seals; none for ever. Where there is no key none is made: somebody
    /// took them away, and may be about to put others there.
    pub(super) fn until_renewal(&self, ring: &Keyring, now: Timestamp) -> Option<Duration> {
        let due = ring.newest_since()?.checked_add(self.renew_after?).ok()?;
        Some(Duration::try_from(due.duration_since(now)).unwrap_or_default())
    }
}
