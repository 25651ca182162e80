//! Which Syncs render objects that another Sync has, so that the one that has them says so too.
//!
//! Who has an object is not decided here but by each plan anew. In memory alone: a Sync that is refused an object is so again
//! with every try.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use waxwing_plan::{LiveOwner, ObjectId, OwnerMark, PlanError};

/// What each Sync claims that others have.
#[derive(Default)]
pub struct Rivals(Mutex<HashMap<OwnerMark, Claimed>>);

/// Objects with those that have them.
type Claimed = BTreeMap<ObjectId, LiveOwner>;

impl Rivals {
    /// Notes what speaks against the plan of `claimant`, nothing where it has one. Returns those who have something else to
    /// say since.
    pub(super) fn note(&self, claimant: &OwnerMark, errors: &[PlanError]) -> BTreeSet<OwnerMark> {
        let claimed: Claimed = errors.iter().filter_map(owned_by_other).collect();
        let before = match claimed.is_empty() {
            true => self.all().remove(claimant),
            false => self.all().insert(claimant.clone(), claimed.clone()),
        };
        let before = before.unwrap_or_default();
        let differ = |(id, owner): &(&ObjectId, &LiveOwner)| before.get(id) != claimed.get(id) && owner.name.is_some();
        let changed = before.iter().chain(&claimed).filter(differ);
        changed.filter_map(|(_, owner)| owner.name.clone()).collect()
    }

    /// Says which objects of `owner` others claim, and who; nothing where nobody does.
    pub(super) fn told(&self, owner: &OwnerMark) -> Option<String> {
        let all = self.all();
        let of_owner = all.iter().flat_map(|(by, claimed)| {
            claimed.iter().filter(|(_, has)| has.is(owner)).map(move |(id, _)| format!("{id} by Sync {by}"))
        });
        let claims: BTreeSet<String> = of_owner.collect();
        let (first, more) = (claims.first()?, claims.len() - 1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!("claimed too: {first}{more}; hint: remove it from one of the two Syncs"))
    }

    /// Returns the Syncs that claim what `owner` has, or had.
    pub(super) fn claimants(&self, owner: &OwnerMark) -> Vec<OwnerMark> {
        let all = self.all();
        let claims = all.iter().filter(|(_, claimed)| claimed.values().any(|has| has.is(owner)));
        claims.map(|(by, _)| by.clone()).collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<OwnerMark, Claimed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owned_by_other(error: &PlanError) -> Option<(ObjectId, LiveOwner)> {
    match error {
        PlanError::OwnedByOther { id, owner, .. } => Some((id.clone(), owner.clone())),
        _ => None,
    }
}
