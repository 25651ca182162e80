//! All sealing keys of a cluster: the newest seals, each of them opens.
//!
//! A sealed value doesn't say which key it is for, so keys are tried, the newest first; a caller that remembers which
//! key opened a value's neighbours passes its name and saves the rest (an operation with 4096 bits takes over a
//! millisecond). Newest is by the certificate's start date, as upstream's `--key-order-priority CertNotBefore`, or by what the caller says.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use waxwing_formats::sealed_secret::Fingerprint;
use waxwing_formats::{DataKey, Refusal, WrappedKey};

use crate::SealingKey;

/// The sealing keys, the newest first.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<SealingKey>,
    newest_since: Option<Timestamp>,
    operations: Arc<AtomicU64>,
}

impl Keyring {
    /// Takes the keys in any order. Of several certificates for one key the newest is kept.
    pub fn new(keys: Vec<SealingKey>) -> Self {
        Self::ordered(keys.into_iter().map(|key| (key.not_before(), key)).collect())
    }

    /// Takes the keys in any order, each with the time since when it counts. Of several certificates for one key the newest is kept.
    pub fn ordered(mut keys: Vec<(Timestamp, SealingKey)>) -> Self {
        keys.sort_by_key(|(since, _)| Reverse(*since));
        let newest_since = keys.first().map(|(since, _)| *since);
        let mut seen = BTreeSet::new();
        let mut keys: Vec<_> = keys.into_iter().map(|(_, key)| key).collect();
        keys.retain(|key| seen.insert(key.fingerprint().clone()));
        Self { keys, newest_since, operations: Arc::default() }
    }

    /// Goes on counting private-key operations where `before` is, which may still be in use.
    pub fn counting_on(mut self, before: &Self) -> Self {
        self.operations = before.operations.clone();
        self
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns since when the key that seals counts.
    pub fn newest_since(&self) -> Option<Timestamp> {
        self.newest_since
    }

    /// Returns the key that seals.
    pub fn newest(&self) -> Option<&SealingKey> {
        self.keys.first()
    }

    /// Returns the certificate of the key that seals, as PEM.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.newest().map(SealingKey::certificate_pem)
    }

    /// Returns the names of all keys, the newest first.
    pub fn fingerprints(&self) -> impl Iterator<Item = &Fingerprint> {
        self.keys.iter().map(SealingKey::fingerprint)
    }

    /// Returns how many private-key operations were done since the keyring, or the one that it counts on from, was made.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Unwraps the session key of a SealedSecret item and says which key did it. The keys named by `hints` are tried
    /// first, in their order; keys of another size than the item's are not tried.
    ///
    /// # Errors
    /// Says why no key opens it. A wrong key and a wrong name, namespace or scope can't be told apart.
    pub fn open<'hint>(
        &self,
        wrapped: &WrappedKey,
        hints: impl IntoIterator<Item = &'hint Fingerprint>,
    ) -> Result<(DataKey, Fingerprint), Refusal> {
        let WrappedKey::SealedItem { rsa, label } = wrapped else {
            return Err(Refusal(format!("there is no identity for {}, only sealing keys", wrapped.recipient())));
        };
        let hinted = hints.into_iter().filter_map(|hint| self.keys.iter().find(|key| key.fingerprint() == hint));
        let mut tried: Vec<&SealingKey> = Vec::new();
        for key in hinted.chain(&self.keys).filter(|key| key.fits(rsa)) {
            if tried.iter().any(|tried| tried.fingerprint() == key.fingerprint()) {
                continue;
            }
            if let Some(opened) = self.try_key(key, rsa, label) {
                return Ok(opened);
            }
            tried.push(key);
        }
        Err(self.refusal(&tried, rsa, label))
    }

    fn try_key(&self, key: &SealingKey, rsa: &[u8], label: &[u8]) -> Option<(DataKey, Fingerprint)> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        Some((key.open(rsa, label)?, key.fingerprint().clone()))
    }

    fn refusal(&self, tried: &[&SealingKey], rsa: &[u8], label: &[u8]) -> Refusal {
        if self.is_empty() {
            return Refusal("there is no sealing key".to_owned());
        }
        if tried.is_empty() {
            return Refusal(format!(
                "it was sealed with a key of {} bits, and there is no sealing key of that size",
                rsa.len() * 8
            ));
        }
        let names: Vec<&str> = tried.iter().map(|key| key.fingerprint().as_str()).collect();
        Refusal(format!(
            "no sealing key opens it (tried {}): it was sealed with the certificate of another cluster, or not for {}",
            names.join(", "),
            describe(label),
        ))
    }
}

/// Puts a label into words; names of Kubernetes hold neither quotes nor control characters, other text is escaped.
fn describe(label: &[u8]) -> String {
    let label = String::from_utf8_lossy(label);
    match label.split_once('/') {
        Some((namespace, name)) => format!("the name {name:?} in the namespace {namespace:?} (scope strict)"),
        None if label.is_empty() => "scope cluster-wide".to_owned(),
        None => format!("the namespace {label:?} (scope namespace-wide)"),
    }
}
