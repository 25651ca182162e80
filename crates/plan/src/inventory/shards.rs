//! An inventory in pieces that fit into one object of etcd each.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Entry, EntryState, Inventory};

/// The most entries, and the most blob ids, that one shard holds.
pub const SHARD_SIZE: usize = 1000;

/// A piece of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The number of the shard, from 0.
    pub number: u32,
    /// The entries, in the order of their ids.
    pub entries: Vec<Entry>,
    /// The Git blob ids of verified SOPS files, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<String>,
}

impl Inventory {
    /// Merges shards, in whatever order they come.
    ///
    /// Where two shards contradict each other about an object, the entry knows only what both say, and is `Planned`.
    pub fn from_shards<'a>(shards: impl IntoIterator<Item = &'a Shard>) -> Self {
        let mut inventory = Self::default();
        for shard in shards {
            inventory.verified.extend(shard.verified.iter().cloned());
            for entry in &shard.entries {
                let merged = match inventory.entries.remove(&entry.id) {
                    Some(other) => agreed(other, entry),
                    None => entry.clone(),
                };
                inventory.entries.insert(merged.id.clone(), merged);
            }
        }
        inventory
    }

    /// Splits the inventory into shards, sorted by number.
    ///
    /// What stood in a shard of `previous` stays there; what is new fills the first shards with room. So a small change
    /// touches few shards. Shards that become empty are not returned; an empty inventory has none.
    pub fn shards(&self, previous: &[Shard]) -> Vec<Shard> {
        let mut before: Vec<_> = previous.iter().collect();
        before.sort_by_key(|shard| shard.number);
        let entries = place(self.entries.keys(), before.iter().map(|s| (s.number, s.entries.iter().map(|e| &e.id))));
        let verified = place(self.verified.iter(), before.iter().map(|s| (s.number, s.verified.iter())));
        let numbers: BTreeSet<_> = entries.keys().chain(verified.keys()).copied().collect();
        let shard = |number| Shard {
            number,
            entries: entries
                .get(&number)
                .into_iter()
                .flatten()
                .filter_map(|id| self.entries.get(*id))
                .cloned()
                .collect(),
            verified: verified.get(&number).into_iter().flatten().map(|id| (*id).clone()).collect(),
        };
        numbers.into_iter().map(shard).collect()
    }
}

fn agreed(one: Entry, other: &Entry) -> Entry {
    if one == *other {
        return one;
    }
    Entry {
        uid: one.uid.filter(|uid| other.uid.as_ref() == Some(uid)),
        digest: None,
        field_mark: None,
        state: EntryState::Planned,
        ..one
    }
}

/// Gives each item a shard: the one it had, or the first with room.
fn place<'a, T: Ord + 'a, I: Iterator<Item = &'a T>>(
    items: impl Iterator<Item = &'a T>,
    previous: impl Iterator<Item = (u32, I)>,
) -> BTreeMap<u32, BTreeSet<&'a T>> {
    let mut left: BTreeSet<_> = items.collect();
    let mut placed: BTreeMap<u32, BTreeSet<&T>> = BTreeMap::new();
    for (number, old) in previous {
        let shard = placed.entry(number).or_default();
        shard.extend(old.filter(|item| left.remove(item)).take(SHARD_SIZE));
    }
    let mut number = 0;
    while !left.is_empty() {
        let shard = placed.entry(number).or_default();
        while shard.len() < SHARD_SIZE
            && let Some(item) = left.pop_first()
        {
            shard.insert(item);
        }
        number += 1;
    }
    placed.retain(|_, shard| !shard.is_empty());
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    fn entry(name: &str) -> Entry {
        Entry {
            id: id("ConfigMap", name),
            version: "v1".to_owned(),
            uid: Some(format!("uid-{name}")),
            digest: None,
            field_mark: None,
            state: EntryState::Applied,
        }
    }

    fn inventory(names: impl Iterator<Item = usize>) -> Inventory {
        let entries = names.map(|n| entry(&format!("{n:05}"))).map(|entry| (entry.id.clone(), entry)).collect();
        Inventory { entries, verified: (0..1500).map(|n| format!("{n:040x}")).collect() }
    }

    fn changed(before: &[Shard], after: &[Shard]) -> usize {
        after.iter().filter(|shard| !before.contains(shard)).count()
            + before.iter().filter(|old| after.iter().all(|shard| shard.number != old.number)).count()
    }

    #[test]
    fn ten_thousand_entries_make_ten_shards_and_come_back_whole() {
        let whole = inventory(0..10_000);
        let shards = whole.shards(&[]);
        assert_eq!(shards.iter().map(|s| s.number).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!(shards.iter().all(|s| s.entries.len() == SHARD_SIZE && s.verified.len() <= SHARD_SIZE));
        assert!(shards.iter().all(|s| s.entries.is_sorted_by_key(|entry| &entry.id)));
        assert_eq!(Inventory::from_shards(shards.iter().rev()), whole);
        assert_eq!(whole.shards(&shards), shards);
        let bytes = serde_json::to_vec(&shards[0]).unwrap().len();
        assert!(bytes < 1_000_000, "{bytes}");
    }

    #[test]
    fn a_small_change_touches_few_shards() {
        let before = inventory(1..5_001).shards(&[]);
        let one_more_in_front = inventory(0..5_001).shards(&before);
        assert_eq!(changed(&before, &one_more_in_front), 1);
        let one_less = inventory((1..2_000).chain(2_001..5_001)).shards(&before);
        assert_eq!(changed(&before, &one_less), 1);
        let swapped = inventory((0..2_000).chain(2_001..5_001)).shards(&before);
        assert_eq!(changed(&before, &swapped), 1);
    }

    #[test]
    fn empty_shards_go_and_an_empty_inventory_has_none() {
        let before = inventory(0..3_000).shards(&[]);
        let mut few = inventory(2_500..3_000);
        few.verified.clear();
        let after = few.shards(&before);
        assert_eq!(after.iter().map(|s| s.number).collect::<Vec<_>>(), [2]);
        assert!(Inventory::default().shards(&after).is_empty());
    }

    #[test]
    fn shards_that_contradict_each_other_make_an_entry_that_trusts_neither() {
        let one = Shard { number: 0, entries: vec![entry("a")], verified: vec![] };
        let mut two = Shard { number: 1, ..one.clone() };
        assert_eq!(Inventory::from_shards([&one, &two]).entries[&id("ConfigMap", "a")], entry("a"));
        two.entries[0].uid = Some("other".to_owned());
        let merged = &Inventory::from_shards([&one, &two]).entries[&id("ConfigMap", "a")];
        assert_eq!((merged.state, &merged.uid), (EntryState::Planned, &None));
    }

    #[test]
    fn an_overfull_shard_is_relieved() {
        let whole = inventory(0..1_200);
        let overfull = Shard { number: 3, entries: whole.entries.values().cloned().collect(), verified: vec![] };
        let shards = whole.shards(&[overfull]);
        assert!(shards.iter().all(|s| s.entries.len() <= SHARD_SIZE && s.verified.len() <= SHARD_SIZE));
        assert_eq!(Inventory::from_shards(&shards), whole);
    }
}
