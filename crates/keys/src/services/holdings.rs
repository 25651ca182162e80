//! What was obtained by somebody, such as data keys and tokens, kept for that one alone and up to a time.
//!
//! In memory only. Whoever else asks finds nothing ([`Holder`] says who is the same), and so does he himself once what he obtained it
//! through is another. What goes is handed back, so that it can be ended where it came from. What is not here: whether anyone may ask.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Instant;

/// Who obtained something: as whom, and through what it was asked for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// Whose share of the room it takes, such as a namespace.
    pub tenant: String,
    /// The identity that asked, such as a ServiceAccount with its cluster.
    pub account: String,
    /// The uid of the backend that it asked through.
    pub backend: String,
    /// What the identity, the backend, and what it takes its credentials from, was at that time: uids and versions.
    pub version: String,
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holder({} through {})", self.account, self.backend)
    }
}

/// Values of many holders, each under a key of its holder, up to a number of them in all.
pub struct Holdings<K, V> {
    most: usize,
    held: HashMap<Holder, VecDeque<Kept<K, V>>>,
    /// How many were kept so far.
    count: u64,
}

struct Kept<K, V> {
    key: K,
    value: V,
    until: Instant,
    /// How many were kept before it.
    number: u64,
}

impl<K: PartialEq, V> Holdings<K, V> {
    /// Makes room for at most `most` values.
    pub fn new(most: usize) -> Self {
        Self { most, held: HashMap::new(), count: 0 }
    }

    /// Returns what `holder` obtained under this key, unless its time is over.
    pub fn find(&self, holder: &Holder, key: &K, now: Instant) -> Option<&V> {
        let kept = self.held.get(holder)?.iter().find(|kept| kept.key == *key && now < kept.until)?;
        Some(&kept.value)
    }

    /// Keeps a value until then, and returns what goes for it: the one under the same key, what `holder` had through earlier versions of
    /// the same backend, what is out of time, and where there are too many, the oldest of the tenant that has the most.
    pub fn keep(&mut self, holder: &Holder, key: K, value: V, until: Instant, now: Instant) -> Vec<V> {
        let is_earlier = |other: &Holder| {
            (&other.account, &other.backend) == (&holder.account, &holder.backend) && other.version != holder.version
        };
        let mut gone =
            self.take(|other, kept| is_earlier(other) || now >= kept.until || (other == holder && kept.key == key));
        while self.len() >= self.most.max(1) {
            gone.extend(self.take_oldest_of_largest());
        }
        self.count += 1;
        let kept = Kept { key, value, until, number: self.count };
        self.held.entry(holder.clone()).or_default().push_back(kept);
        gone
    }

    /// Takes out the oldest of the tenant that has the most, in whatever many names: with many accounts or backends nobody takes the room of
    /// another. Of several tenants with as many, of the one that has the oldest.
    fn take_oldest_of_largest(&mut self) -> Option<V> {
        let mut shares = HashMap::<&str, usize>::new();
        for (holder, all) in &self.held {
            *shares.entry(&holder.tenant).or_default() += all.len();
        }
        let rank = |(holder, all): &(&Holder, &VecDeque<Kept<K, V>>)| {
            let oldest = all.front().map_or(u64::MAX, |kept| kept.number);
            (shares.get(holder.tenant.as_str()).copied(), Reverse(oldest))
        };
        let holder = self.held.iter().max_by_key(rank)?.0.clone();
        let all = self.held.get_mut(&holder)?;
        let gone = all.pop_front().map(|kept| kept.value);
        if all.is_empty() {
            self.held.remove(&holder);
        }
        gone
    }

    /// Takes out what is out of time. It is not given out anyway; this takes it out of memory.
    pub fn expire(&mut self, now: Instant) -> Vec<V> {
        self.take(|_, kept| now >= kept.until)
    }

    /// Takes out what was obtained by those of whom `is_lost` says so: a backend that is gone, an account that is denied.
    pub fn forget(&mut self, is_lost: impl Fn(&Holder, &V) -> bool) -> Vec<V> {
        self.take(|holder, kept| is_lost(holder, &kept.value))
    }

    fn take(&mut self, is_gone: impl Fn(&Holder, &Kept<K, V>) -> bool) -> Vec<V> {
        let mut gone = Vec::new();
        for (holder, all) in &mut self.held {
            let (going, staying): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(all).into_iter().partition(|kept| is_gone(holder, kept));
            *all = staying;
            gone.extend(going.into_iter().map(|kept| kept.value));
        }
        self.held.retain(|_, all| !all.is_empty());
        gone
    }

    /// Returns how many values are kept, among them those whose time is over.
    pub fn len(&self) -> usize {
        self.held.values().map(VecDeque::len).sum()
    }

    /// Tells whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn holder(account: &str, version: &str) -> Holder {
        of_tenant(account, account, version)
    }

    fn of_tenant(tenant: &str, account: &str, version: &str) -> Holder {
        let [tenant, account, version] = [tenant, account, version].map(str::to_owned);
        Holder { tenant, account, backend: "b".to_owned(), version }
    }

    #[test]
    fn nobody_takes_the_room_of_another_tenant_under_many_names() {
        let (now, mut held) = (Instant::now(), Holdings::new(4));
        let until = now + Duration::from_secs(60);
        drop(held.keep(&of_tenant("bank", "a", "1"), (), "of the bank", until, now));
        let kept: Vec<_> = (0..40)
            .map(|number| {
                (number, held.keep(&of_tenant("shop", &number.to_string(), "1"), (), "of the shop", until, now))
            })
            .collect();
        assert!(kept.iter().all(|(number, gone)| (*number > 2) == (*gone == ["of the shop"])), "{kept:?}");
        assert_eq!(held.find(&of_tenant("bank", "a", "1"), &(), now), Some(&"of the bank"));
        // The oldest of those that the shop has.
        assert_eq!(held.find(&of_tenant("shop", "36", "1"), &(), now), None);
        for number in ["37", "38", "39"] {
            assert_eq!(held.find(&of_tenant("shop", number, "1"), &(), now), Some(&"of the shop"));
        }
        // A tenant with less takes from the one with the most, up to half of the room.
        assert_eq!(held.keep(&of_tenant("bank", "b", "1"), (), "more of the bank", until, now), ["of the shop"]);
        assert_eq!(held.keep(&of_tenant("bank", "c", "1"), (), "more of the bank", until, now), ["of the bank"]);
        assert_eq!(held.len(), 4);
    }

    #[test]
    fn what_goes_is_handed_back_so_that_it_can_be_ended_where_it_came_from() {
        let (now, mut tokens) = (Instant::now(), Holdings::new(2));
        let until = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(tokens.keep(&holder("shop", "1"), (), "first", until(60), now), Vec::<&str>::new());
        assert_eq!(tokens.keep(&holder("shop", "1"), (), "second", until(60), now), ["first"]);
        assert_eq!(tokens.keep(&holder("shop", "2"), (), "third", until(30), now), ["second"]);
        assert_eq!(tokens.keep(&holder("bank", "1"), (), "fourth", until(90), now), Vec::<&str>::new());
        assert_eq!((tokens.find(&holder("shop", "2"), &(), until(29)), tokens.len()), (Some(&"third"), 2));
        assert_eq!(tokens.find(&holder("shop", "2"), &(), until(30)), None);
        assert_eq!(tokens.find(&holder("shop", "1"), &(), now), None);
        assert_eq!(tokens.expire(until(30)), ["third"]);
        assert_eq!(tokens.forget(|holder, token| holder.account == "bank" && *token == "fourth"), ["fourth"]);
        assert!(tokens.is_empty());
    }
}
