//! What holds for every plan, whatever is rendered and wherever a sync is killed.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::json;

use crate::inventory::{EntryState, Results, Shard};
use crate::testing::{Cluster, PRUNE, manifest, owner};
use crate::{AllApplied, Inventory, Manifest, ObjectId, Plan};

const KINDS: [&str; 6] = ["ConfigMap", "Secret", "Deployment", "Role", "StorageClass", "Widget"];

/// A render: some of 18 objects, each in one of two states.
fn render() -> impl Strategy<Value = Vec<Manifest>> {
    let all: Vec<_> = KINDS.iter().flat_map(|kind| ["a", "b", "c"].map(|name| (*kind, name))).collect();
    (subsequence(all, 0..=18), prop::collection::vec(0..2, 18)).prop_map(|(chosen, states)| {
        let object = |((kind, name), state)| manifest(kind, name, json!({"spec": {"state": state}}));
        chosen.into_iter().zip(states).map(object).collect()
    })
}

/// How far a sync gets before it is killed.
#[derive(Clone, Debug)]
struct Killed {
    inventory_written: bool,
    /// How many of the objects are applied.
    applied: usize,
    /// How many of the objects that left the render are deleted, if all are applied.
    deleted: usize,
    results_written: bool,
}

fn killed() -> impl Strategy<Value = Killed> {
    (any::<bool>(), 0..20usize, 0..20usize, any::<bool>()).prop_map(
        |(inventory_written, applied, deleted, results_written)| Killed {
            inventory_written,
            applied,
            deleted,
            results_written,
        },
    )
}

/// Does a part of a plan, in the order in which a reconcile does it.
fn interrupted(cluster: &mut Cluster, rendered: &[Manifest], killed: &Killed) {
    let plan = cluster.plan(rendered, PRUNE).unwrap();
    if !killed.inventory_written {
        return;
    }
    cluster.inventory = cluster.inventory.union(&plan);
    let mut results = Results::default();
    for step in plan.to_send().take(killed.applied) {
        results.applied.insert(step.manifest.id.clone(), cluster.apply(&step.manifest));
    }
    if let Ok(proof) = AllApplied::check(&plan, &results) {
        for deletion in plan.deletions(&proof, None).unwrap().iter().take(killed.deleted) {
            cluster.live.insert(deletion.id().clone(), None);
            results.deleted.insert(deletion.id().clone());
        }
    }
    if killed.results_written {
        cluster.inventory =
            cluster.inventory.after_apply(&results).without_released(&plan).without_deleted(&results.deleted);
    }
}

fn ours(cluster: &Cluster) -> BTreeSet<&ObjectId> {
    let is_ours = |live: &crate::LiveMark| live.owner.as_ref().is_some_and(|mark| mark.is(&owner()));
    cluster.live.iter().filter(|(_, live)| live.as_ref().is_some_and(is_ours)).map(|(id, _)| id).collect()
}

fn ids(rendered: &[Manifest]) -> BTreeSet<&ObjectId> {
    rendered.iter().map(|manifest| &manifest.id).collect()
}

fn is_empty(plan: &Plan) -> bool {
    plan.summary().is_empty() && plan.gone().released.is_empty() && plan.gone().kept.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(before in render(), after in render()) {
        let mut cluster = Cluster::with(&before);
        cluster.sync(&after).unwrap();
        let written = cluster.inventory.clone();
        let again = cluster.plan(&after, PRUNE).unwrap();
        prop_assert!(is_empty(&again), "{again:?}");
        prop_assert_eq!(cluster.inventory.union(&again), written);
        prop_assert_eq!(ours(&cluster), ids(&after));
    }

    #[test]
    fn the_order_of_the_steps_is_total_and_does_not_depend_on_the_order_of_the_render(
        before in render(),
        after in render().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let mut cluster = Cluster::with(&before);
        let (sorted, shuffled) = (cluster.plan(&after.0, PRUNE).unwrap(), cluster.plan(&after.1, PRUNE).unwrap());
        prop_assert!(sorted.steps().is_sorted_by_key(|step| step.stage));
        prop_assert_eq!(sorted, shuffled);
    }

    #[test]
    fn only_what_the_inventory_names_and_the_render_has_not_is_deleted(before in render(), after in render()) {
        let mut cluster = Cluster::with(&before);
        let plan = cluster.plan(&after, PRUNE).unwrap();
        for id in plan.gone().to_delete() {
            prop_assert!(cluster.inventory.entries.contains_key(id));
            prop_assert!(!ids(&after).contains(id));
        }
    }

    #[test]
    fn there_is_a_proof_only_when_everything_is_applied(
        before in render(),
        after in render(),
        missing in any::<prop::sample::Index>(),
    ) {
        let mut cluster = Cluster::with(&before);
        let plan = cluster.plan(&after, PRUNE).unwrap();
        let mut results = Results::default();
        for step in plan.to_send() {
            results.applied.insert(step.manifest.id.clone(), cluster.apply(&step.manifest));
        }
        prop_assert!(AllApplied::check(&plan, &results).is_ok());
        let sent: Vec<_> = plan.to_send().map(|step| step.manifest.id.clone()).collect();
        if !sent.is_empty() {
            let id = missing.get(&sent);
            results.applied.remove(id);
            prop_assert_eq!(AllApplied::check(&plan, &results).unwrap_err(), vec![id.clone()]);
        }
    }

    #[test]
    fn nothing_is_lost_wherever_a_sync_is_killed(
        first in render(),
        tries in prop::collection::vec((render(), killed()), 1..5),
        last in render(),
    ) {
        let mut cluster = Cluster::with(&first);
        for (rendered, killed) in &tries {
            interrupted(&mut cluster, rendered, killed);
            for id in ours(&cluster) {
                prop_assert!(cluster.inventory.entries.contains_key(id), "{id} is lost");
            }
        }
        cluster.sync(&last).unwrap();
        prop_assert_eq!(ours(&cluster), ids(&last));
        prop_assert!(cluster.inventory.entries.values().all(|entry| entry.state == EntryState::Applied));
        prop_assert!(is_empty(&cluster.plan(&last, PRUNE).unwrap()));
    }

    #[test]
    fn an_inventory_is_the_same_after_it_was_cut_into_shards(before in render(), after in render()) {
        let mut cluster = Cluster::with(&before);
        let shards = cluster.inventory.shards(&[]);
        cluster.sync(&after).unwrap();
        let again = cluster.inventory.shards(&shards);
        let text = serde_json::to_string(&again).unwrap();
        let read: Vec<Shard> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Inventory::from_shards(&read), cluster.inventory.clone());
        prop_assert_eq!(cluster.inventory.shards(&again), again);
    }
}
