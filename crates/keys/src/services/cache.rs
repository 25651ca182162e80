//! Data keys that a key service unwrapped, kept for a while so that the same wrapped key is not asked for again.
//!
//! In memory only, wiped when they go. A key is found again only by the one who obtained it (`holdings`), for exactly the wrapped
//! key that was asked for: the digest covers the key's id, the role, the encryption context and the ciphertext. What is not here:
//! whether anyone may ask at all; that is decided before this is looked at.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};

use super::ServiceKey;
use super::holdings::{Holder, Holdings};

/// The data keys that are kept, up to a number of them, each for at most a lifetime.
pub struct DataKeyCache {
    lifetime: Duration,
    held: Mutex<Holdings<[u8; 32], DataKey>>,
}

impl DataKeyCache {
    /// Makes a cache for at most `most` keys, none of which is given out after `lifetime`.
    pub fn new(most: usize, lifetime: Duration) -> Self {
        Self { lifetime, held: Mutex::new(Holdings::new(most)) }
    }

    /// Returns a copy of the data key that `holder` obtained for this wrapped key, if it is still kept.
    pub fn find(&self, holder: &Holder, wrapped: &WrappedKey, now: Instant) -> Option<DataKey> {
        let digest = digest(wrapped)?;
        self.held().find(holder, &digest, now).map(copy)
    }

    /// Keeps a copy of a data key. What `holder` had through earlier versions of the same backend goes, and where there are too many
    /// keys, the oldest of the tenant that has the most.
    pub fn keep(&self, holder: &Holder, wrapped: &WrappedKey, key: &DataKey, now: Instant) {
        let Some(digest) = digest(wrapped).filter(|_| !self.lifetime.is_zero()) else { return };
        drop(self.held().keep(holder, digest, copy(key), now + self.lifetime, now));
    }

    /// Wipes the keys whose lifetime is over. They are not given out anyway; this takes them out of memory.
    pub fn expire(&self, now: Instant) {
        drop(self.held().expire(now));
    }

    /// Forgets what was obtained by those of whom `is_lost` says so: a backend that is gone, an account that is denied.
    pub fn forget(&self, is_lost: impl Fn(&Holder) -> bool) {
        drop(self.held().forget(|holder, _| is_lost(holder)));
    }

    /// Returns how many keys are kept, expired ones among them.
    pub fn len(&self) -> usize {
        self.held().len()
    }

    /// Tells whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn held(&self) -> MutexGuard<'_, Holdings<[u8; 32], DataKey>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the cache by a copy, which is wiped as the one in it is.
fn copy(key: &DataKey) -> DataKey {
    DataKey::new(SecretBytes::concat(&[key.expose_secret()]))
}

/// SHA-256 over length-prefixed parts (64-bit big-endian length, then the bytes): the kind, the key as
/// [`ServiceKey`] prints it, and the ciphertext. Nothing for wrapped keys that no service opens.
fn digest(wrapped: &WrappedKey) -> Option<[u8; 32]> {
    let (key, enc) = ServiceKey::of(wrapped)?;
    let mut context = Context::new(&SHA256);
    let parts = match &key {
        // A colon or comma in the context must not make one context of two.
        ServiceKey::Aws(aws) => aws.context.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        _ => Vec::new(),
    };
    for part in [wrapped.kind(), &key.to_string(), enc].into_iter().chain(parts.iter().map(String::as_str)) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn holder(account: &str, version: &str) -> Holder {
        let [account, version] = [account, version].map(str::to_owned);
        Holder { tenant: account.clone(), account, backend: "b".to_owned(), version }
    }

    fn wrapped(context: &[(&str, &str)], enc: &str) -> WrappedKey {
        let context: BTreeMap<_, _> = context.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/a".to_owned();
        WrappedKey::AwsKms { arn, role: None, context, profile: String::new(), enc: enc.to_owned() }
    }

    fn key(byte: u8) -> DataKey {
        DataKey::new(SecretBytes::new(vec![byte; 32]))
    }

    fn found(cache: &DataKeyCache, holder: &Holder, wrapped: &WrappedKey, now: Instant) -> Option<u8> {
        cache.find(holder, wrapped, now).and_then(|key| key.expose_secret().first().copied())
    }

    #[test]
    fn a_key_is_found_only_by_who_obtained_it_for_the_same_wrapped_key() {
        let (cache, now) = (DataKeyCache::new(8, Duration::from_secs(60)), Instant::now());
        cache.keep(&holder("shop", "1"), &wrapped(&[("a", "b")], "x"), &key(7), now);
        assert_eq!(found(&cache, &holder("shop", "1"), &wrapped(&[("a", "b")], "x"), now), Some(7));
        for (other, asked) in [
            (holder("bank", "1"), wrapped(&[("a", "b")], "x")),
            (holder("shop", "2"), wrapped(&[("a", "b")], "x")),
            (holder("shop", "1"), wrapped(&[("a", "b")], "y")),
            (holder("shop", "1"), wrapped(&[("a", "c")], "x")),
            (holder("shop", "1"), wrapped(&[], "x")),
        ] {
            assert_eq!(found(&cache, &other, &asked, now), None, "{other:?} {asked:?}");
        }
    }

    #[test]
    fn two_contexts_that_print_alike_are_two() {
        let (cache, now) = (DataKeyCache::new(8, Duration::from_secs(60)), Instant::now());
        cache.keep(&holder("shop", "1"), &wrapped(&[("a", "b,c:d")], "x"), &key(7), now);
        assert_eq!(found(&cache, &holder("shop", "1"), &wrapped(&[("a", "b"), ("c", "d")], "x"), now), None);
    }

    #[test]
    fn a_key_is_not_given_out_after_its_lifetime_nor_after_it_was_lost() {
        let (cache, now) = (DataKeyCache::new(8, Duration::from_secs(60)), Instant::now());
        cache.keep(&holder("shop", "1"), &wrapped(&[], "x"), &key(7), now);
        assert_eq!(found(&cache, &holder("shop", "1"), &wrapped(&[], "x"), now + Duration::from_secs(59)), Some(7));
        assert_eq!(found(&cache, &holder("shop", "1"), &wrapped(&[], "x"), now + Duration::from_secs(60)), None);
        cache.keep(&holder("shop", "1"), &wrapped(&[], "x"), &key(7), now);
        cache.forget(|holder| holder.account == "shop");
        assert!(cache.is_empty());
    }

    #[test]
    fn keys_whose_lifetime_is_over_go_and_without_a_lifetime_none_is_kept() {
        let (cache, now) = (DataKeyCache::new(8, Duration::from_secs(60)), Instant::now());
        cache.keep(&holder("shop", "1"), &wrapped(&[], "x"), &key(7), now);
        cache.keep(&holder("bank", "1"), &wrapped(&[], "x"), &key(7), now + Duration::from_secs(30));
        cache.expire(now + Duration::from_secs(60));
        assert_eq!(cache.len(), 1);
        cache.expire(now + Duration::from_secs(90));
        assert!(cache.is_empty());
        let none = DataKeyCache::new(8, Duration::ZERO);
        none.keep(&holder("shop", "1"), &wrapped(&[], "x"), &key(7), now);
        assert!(none.is_empty());
    }

    #[test]
    fn a_new_version_of_a_backend_wipes_what_came_through_the_old_one() {
        let (cache, now) = (DataKeyCache::new(8, Duration::from_secs(60)), Instant::now());
        cache.keep(&holder("shop", "1"), &wrapped(&[], "x"), &key(7), now);
        cache.keep(&holder("shop", "2"), &wrapped(&[], "x"), &key(8), now);
        assert_eq!((cache.len(), found(&cache, &holder("shop", "2"), &wrapped(&[], "x"), now)), (1, Some(8)));
    }

    #[test]
    fn whoever_has_the_most_keys_loses_the_oldest_when_there_are_too_many() {
        let (cache, now) = (DataKeyCache::new(4, Duration::from_secs(60)), Instant::now());
        cache.keep(&holder("small", "1"), &wrapped(&[], "s"), &key(1), now);
        for number in 0..100_u8 {
            cache.keep(&holder("large", "1"), &wrapped(&[], &number.to_string()), &key(number), now);
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(found(&cache, &holder("small", "1"), &wrapped(&[], "s"), now), Some(1));
        assert_eq!(found(&cache, &holder("large", "1"), &wrapped(&[], "99"), now), Some(99));
        assert_eq!(found(&cache, &holder("large", "1"), &wrapped(&[], "0"), now), None);
    }
}
