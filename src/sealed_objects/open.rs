//! Opens the items of one SealedSecret with the cluster's keyring, within a budget of private-key operations.
//!
//! An item doesn't say which key it is for. Keys are tried in the order in which they opened items last, so that an object costs about one
//! operation an item once its keys are known. One that was sealed for somewhere else costs an operation a key, so after some of these the
//! rest is not tried.

use std::collections::BTreeMap;

use waxwing_formats::sealed_secret::{Fingerprint, ItemError, Scope, SealedItem};
use waxwing_formats::{RequestId, SecretBytes};
use waxwing_keys::Keyring;

use super::error::{Unopened, Why};
use crate::unsealing::with_stack_wiped;

/// After so many private-key operations that opened nothing, no further item is tried.
const MOST_FAILED_OPERATIONS: usize = 256;
/// After so many in all no further item is tried that a caller of the HTTP interface asks about: twice what [`MOST_ITEMS`] take of one key.
const MOST_OPERATIONS: usize = 8_000;
/// The most items that a caller of the HTTP interface may ask about: twice as many as an object has that fits the API server's storage.
pub(super) const MOST_ITEMS: usize = 4_000;
/// What the Sealed Secrets controller says of an item that no key opens.
const NO_KEY: &str = "no key could decrypt secret";

/// What is sealed in a SealedSecret, and what for.
pub(super) struct Envelope<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) scope: Scope,
    /// The sealed values, each with its name.
    pub(super) items: Vec<(&'a str, &'a str)>,
}

impl Envelope<'_> {
    /// Returns the OAEP label that all of it must have been sealed with.
    pub(super) fn label(&self) -> Vec<u8> {
        self.scope.label(self.namespace, self.name)
    }
}

/// The opened items of a SealedSecret. Not `Debug`.
pub(crate) struct Opened {
    /// The values by their key in the Secret.
    pub(super) values: BTreeMap<String, SecretBytes>,
    /// The key that opened the last of them.
    pub(super) key: Option<Fingerprint>,
}

/// Whether it is found out why no key opens an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// For whoever sees the SealedSecret's status.
    Wanted,
    /// For callers who learn nothing beyond whether all of it opens, and cost so much and no more.
    Spared,
}

/// What is wrong with one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ItemTrouble {
    /// It can't have been sealed so, or was changed.
    Item(ItemError),
    /// No key opens it.
    Foreign(Why),
    /// So much was tried before it that it was not.
    Untried,
}

/// Why an item did not open.
enum Fault {
    Item(ItemError),
    Foreign(SealedItem),
}

/// Says of each item which key opens it, or why none does; the values are dropped. Takes a while: run it where blocking is allowed.
pub(super) fn inspect(sealed: &Envelope<'_>, ring: &Keyring) -> Vec<(String, Result<Fingerprint, ItemTrouble>)> {
    with_stack_wiped(|| {
        let mut opening = Opening::new(sealed, ring, None, MOST_OPERATIONS);
        sealed.items.iter().map(|(name, text)| ((*name).to_owned(), opening.inspect(text))).collect()
    })
}

/// Opens all items, or says what is wrong with each. Takes a while: run it where blocking is allowed.
///
/// # Errors
///
/// Fails when any item can't be opened.
pub(crate) fn open(
    sealed: &Envelope<'_>,
    ring: &Keyring,
    hint: Option<&Fingerprint>,
    diagnosis: Diagnosis,
) -> Result<Opened, Unopened> {
    with_stack_wiped(|| {
        let most = if diagnosis == Diagnosis::Spared { MOST_OPERATIONS } else { usize::MAX };
        let mut opening = Opening::new(sealed, ring, hint, most);
        sealed.items.iter().for_each(|(name, text)| opening.add(name, text));
        opening.finish(diagnosis)
    })
}

struct Opening<'a> {
    sealed: &'a Envelope<'a>,
    ring: &'a Keyring,
    /// All keys, the one first that opened an item last.
    keys: Vec<&'a Fingerprint>,
    label: Vec<u8>,
    opened: Opened,
    faults: BTreeMap<String, Vec<String>>,
    failed_operations: usize,
    operations: usize,
    most_operations: usize,
    untried: usize,
    /// The first item that no key opened.
    foreign: Option<SealedItem>,
}

impl<'a> Opening<'a> {
    fn new(sealed: &'a Envelope<'a>, ring: &'a Keyring, hint: Option<&Fingerprint>, most_operations: usize) -> Self {
        let (hinted, others): (Vec<_>, Vec<_>) = ring.fingerprints().partition(|key| Some(*key) == hint);
        Self {
            sealed,
            ring,
            keys: [hinted, others].concat(),
            label: sealed.label(),
            opened: Opened { values: BTreeMap::new(), key: hint.cloned() },
            faults: BTreeMap::new(),
            failed_operations: 0,
            operations: 0,
            most_operations,
            untried: 0,
            foreign: None,
        }
    }

    /// Tells whether enough was tried.
    fn is_spent(&self) -> bool {
        self.failed_operations >= MOST_FAILED_OPERATIONS || self.operations >= self.most_operations
    }

    fn add(&mut self, name: &str, text: &str) {
        if self.is_spent() {
            self.untried += 1;
            return;
        }
        let fault = match self.item(text) {
            Ok((value, key)) => {
                self.opened.values.insert(name.to_owned(), value);
                self.opened.key = Some(key);
                return;
            }
            Err(Fault::Item(error)) => error.to_string(),
            Err(Fault::Foreign(item)) => {
                self.foreign.get_or_insert(item);
                NO_KEY.to_owned()
            }
        };
        self.faults.entry(fault).or_default().push(name.to_owned());
    }

    fn inspect(&mut self, text: &str) -> Result<Fingerprint, ItemTrouble> {
        if self.is_spent() {
            return Err(ItemTrouble::Untried);
        }
        match self.item(text) {
            Ok((_, key)) => {
                self.opened.key = Some(key.clone());
                Ok(key)
            }
            Err(Fault::Item(error)) => Err(ItemTrouble::Item(error)),
            Err(Fault::Foreign(item)) => {
                self.failed_operations += (Scope::ALL.len() - 1) * self.keys.len();
                Err(ItemTrouble::Foreign(self.why(&item)))
            }
        }
    }

    fn item(&mut self, text: &str) -> Result<(SecretBytes, Fingerprint), Fault> {
        let item = SealedItem::parse(text).map_err(Fault::Item)?;
        let request = item.request(RequestId(0), self.label.clone());
        let Ok((key, fingerprint)) = self.ring.open(&request.wrapped, self.keys.iter().copied()) else {
            self.failed_operations += self.keys.len();
            return Err(Fault::Foreign(item));
        };
        let tried = self.keys.iter().take_while(|key| **key != &fingerprint).count();
        self.operations += 1 + tried;
        if let Some(until_it) = self.keys.get_mut(..=tried) {
            until_it.rotate_right(1);
        }
        Ok((item.open(&key).map_err(Fault::Item)?, fingerprint))
    }

    fn finish(self, diagnosis: Diagnosis) -> Result<Opened, Unopened> {
        if self.faults.is_empty() && self.untried == 0 {
            return Ok(self.opened);
        }
        let why = self.foreign.as_ref().filter(|_| diagnosis == Diagnosis::Wanted).map(|item| self.why(item));
        Err(Unopened { faults: self.faults.into_iter().collect(), untried: self.untried, why })
    }

    /// Tries the labels of the other scopes that the SealedSecret could have where it stands; no others.
    fn why(&self, item: &SealedItem) -> Why {
        let (name, namespace, stated) = (self.sealed.name, self.sealed.namespace, self.sealed.scope);
        if self.ring.is_empty() {
            return Why::NoKey;
        }
        let opens = |scope: &Scope| {
            let request = item.request(RequestId(0), scope.label(namespace, name));
            self.ring.open(&request.wrapped, None).is_ok()
        };
        match Scope::ALL.into_iter().filter(|scope| *scope != stated).find(opens) {
            Some(sealed) => Why::Scope { sealed, stated },
            None => Why::Elsewhere { name: name.to_owned(), namespace: namespace.to_owned(), scope: stated },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use rand_core::OsRng;
    use waxwing_formats::sealed_secret::{Certificate, seal_item};
    use waxwing_keys::SealingKey;

    use super::*;

    fn key(second: i64) -> SealingKey {
        let since = Timestamp::from_second(second).unwrap();
        let generated = SealingKey::generate(since, Duration::from_secs(3600), "", 2048).unwrap();
        SealingKey::from_pem(&generated.tls_key_pem, generated.tls_crt_pem.as_bytes()).unwrap()
    }

    #[test]
    fn items_that_alternate_between_a_few_of_many_keys_cost_as_many_operations_each_as_those_are() {
        let keys: Vec<SealingKey> = (0..6).map(key).collect();
        let certificates: Vec<_> = keys.iter().map(|key| key.certificate_pem().to_owned()).collect();
        let sealed = |number: usize| {
            let certificate = Certificate::from_pem(certificates[number % 2].as_bytes()).unwrap();
            let value = SecretBytes::new(b"1".to_vec());
            seal_item(&certificate.public_key, &Scope::Strict.label("shop", "login"), &value, &mut OsRng).unwrap()
        };
        let items: Vec<(String, String)> = (0..10).map(|number| (number.to_string(), sealed(number))).collect();
        let items = items.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let sealed = Envelope { name: "login", namespace: "shop", scope: Scope::Strict, items };
        let ring = Keyring::new(keys);
        // The oldest two of six: one is found after six tries, the other after six, and each then after two.
        let most = 6 + 6 + 8 * 2;
        let mut opening = Opening::new(&sealed, &ring, None, most);
        sealed.items.iter().for_each(|(name, text)| opening.add(name, text));
        assert_eq!((opening.opened.values.len(), opening.operations), (10, most));
        assert_eq!(ring.operations(), most as u64, "what is counted is what is done");
    }
}
