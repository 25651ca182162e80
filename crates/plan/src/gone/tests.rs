//! What happens to objects that left the render, one question a test.

use serde_json::json;

use super::*;
use crate::health::{Health, HealthStatus};
use crate::inventory::{Claim, Results};
use crate::testing::{Cluster, PRUNE, id, live_owner, manifest, owner};
use crate::{AllApplied, AllHealthy, Manifest, Plan, ProofError, retire};

fn objects(count: usize) -> Vec<Manifest> {
    (0..count).map(|n| manifest("ConfigMap", &format!("c{n}"), json!({}))).collect()
}

fn plan(cluster: &mut Cluster, rendered: &[Manifest], policy: PrunePolicy) -> Plan {
    cluster.plan(rendered, policy).unwrap()
}

fn kept(cluster: &mut Cluster, rendered: &[Manifest]) -> Option<KeptBecause> {
    let plan = plan(cluster, rendered, PRUNE);
    assert_eq!(plan.gone().to_delete().count() + plan.gone().kept.len(), 1);
    plan.gone().kept.first().map(|kept| kept.why.clone())
}

fn released(cluster: &mut Cluster, rendered: &[Manifest]) -> ReleasedBecause {
    let plan = plan(cluster, rendered, PRUNE);
    assert_eq!(plan.gone().to_delete().count() + plan.gone().kept.len(), 0);
    plan.gone().released[0].why.clone()
}

#[test]
fn an_object_that_left_git_is_deleted_by_its_uid() {
    let mut cluster = Cluster::with(&objects(2));
    let plan = plan(&mut cluster, &objects(1), PRUNE);
    let proof = AllApplied::check(&plan, &Results::default()).unwrap();
    let deletions = plan.deletions(&proof, None).unwrap();
    assert_eq!(deletions.len(), 1);
    assert_eq!((deletions[0].id(), deletions[0].version()), (&id("ConfigMap", "c1"), "v1"));
    assert_eq!(deletions[0].uid(), cluster.live[&id("ConfigMap", "c1")].as_ref().unwrap().uid);
}

#[test]
fn another_version_of_an_object_is_not_gone_and_another_group_is() {
    let mut cluster = Cluster::with(&[manifest("Widget", "w", json!({}))]);
    let mut newer = manifest("Widget", "w", json!({}));
    newer.version = "v2".to_owned();
    newer.body["apiVersion"] = json!("example.com/v2");
    assert_eq!(plan(&mut cluster, &[newer.clone()], PRUNE).gone(), &Gone::default());
    newer.id.kind.group = "example.org".to_owned();
    newer.body["apiVersion"] = json!("example.org/v2");
    assert_eq!(plan(&mut cluster, &[newer], PRUNE).gone().to_delete().count(), 1);
}

#[test]
fn the_object_itself_can_say_that_it_stays() {
    let object = id("ConfigMap", "c0");
    type Edit = fn(&mut LiveMark);
    let table: [(Edit, KeptBecause); 5] = [
        (|live| live.steering.prune = PruneMark::Disabled, KeptBecause::Disabled),
        (|live| live.steering.reconcile_disabled = true, KeptBecause::Disabled),
        (|live| live.terminating = true, KeptBecause::Terminating),
        (|live| live.controlled_by = Some(id("ReplicaSet", "r")), KeptBecause::Controlled(id("ReplicaSet", "r"))),
        (|live| live.uid = "other".to_owned(), KeptBecause::Replaced),
    ];
    for (edit, why) in table {
        let mut cluster = Cluster::with(&objects(1));
        cluster.edit(&object, edit);
        assert_eq!(kept(&mut cluster, &[]), Some(why.clone()));
        cluster.sync(&[]).unwrap();
        assert!(cluster.inventory.entries.contains_key(&object), "{why}: it has to stay in the inventory");
    }
}

#[test]
fn namespaces_definitions_and_claims_go_only_when_that_is_confirmed() {
    for kind in ["Namespace", "CustomResourceDefinition", "PersistentVolumeClaim"] {
        let mut cluster = Cluster::with(&[manifest(kind, "x", json!({}))]);
        assert_eq!(kept(&mut cluster, &[]), Some(KeptBecause::NotConfirmed), "{kind}");
        cluster.edit(&id(kind, "x"), |live| live.steering.prune = PruneMark::Confirmed);
        assert_eq!(kept(&mut cluster, &[]), None, "{kind}");
    }
}

#[test]
fn a_confirmed_namespace_or_definition_stays_while_something_rendered_needs_it() {
    let confirmed = json!({"metadata": {"annotations": {"waxwing.dev/prune": "Confirmed"}}});
    let table = [
        ("Namespace", "shop", "ConfigMap", true),
        ("Namespace", "other", "ConfigMap", false),
        ("CustomResourceDefinition", "widgets.example.com", "Widget", true),
        ("CustomResourceDefinition", "gadgets.example.com", "Widget", false),
        ("CustomResourceDefinition", "widgets.example.org", "Widget", false),
    ];
    for (kind, name, needing, stays) in table {
        let (what, user) = (manifest(kind, name, confirmed.clone()), manifest(needing, "user", json!({})));
        let mut cluster = Cluster::with(&[what, user.clone()]);
        let expected = stays.then(|| KeptBecause::NeededBy(user.id.clone()));
        assert_eq!(kept(&mut cluster, &[user]), expected, "{kind}/{name}");
    }
}

#[test]
fn a_sync_deletes_neither_itself_nor_its_namespace() {
    let confirmed = json!({"metadata": {"annotations": {"waxwing.dev/prune": "Confirmed"}}});
    let mut sync = manifest("Sync", "web", json!({"metadata": {"namespace": "flux"}}));
    sync.id = ObjectId::namespaced(GroupKind::new("waxwing.dev", "Sync"), "flux", "web");
    sync.body["apiVersion"] = json!("waxwing.dev/v1");
    for object in [sync, manifest("Namespace", "flux", confirmed)] {
        assert_eq!(kept(&mut Cluster::with(&[object]), &[]), Some(KeptBecause::OwnSync));
    }
}

#[test]
fn what_is_no_longer_ours_is_let_go() {
    let object = id("ConfigMap", "c0");
    let other = live_owner(&OwnerMark::new("infra", "base"));
    let mut cluster = Cluster::with(&objects(1));
    cluster.edit(&object, |live| live.owner = Some(other.clone()));
    assert_eq!(released(&mut cluster, &[]), ReleasedBecause::OwnedByOther(other));
    cluster.edit(&object, |live| live.owner = None);
    assert_eq!(released(&mut cluster, &[]), ReleasedBecause::Unmarked);
    cluster.live.insert(object.clone(), None);
    assert_eq!(released(&mut cluster, &[]), ReleasedBecause::Absent);
    cluster.sync(&[]).unwrap();
    assert!(cluster.inventory.entries.is_empty());
}

#[test]
fn an_object_that_was_only_wanted_is_never_deleted() {
    let object = id("ConfigMap", "c0");
    let mut cluster = Cluster::with(&objects(1));
    cluster.inventory = Inventory::default().wanting([(&object, "v1")]);
    assert_eq!(released(&mut cluster, &[]), ReleasedBecause::NeverApplied);
}

#[test]
fn only_a_sync_that_may_write_an_object_inherits_it() {
    let object = id("ConfigMap", "c0");
    let heir = OwnerMark::new("flux", "heir");
    let mut cluster = Cluster::with(&objects(1));
    cluster.claims.insert(object.clone(), vec![Claim { by: heir.clone(), may_inherit: false }]);
    assert_eq!(kept(&mut cluster, &[]), None, "it is deleted");
    cluster.claims.insert(object, vec![Claim { by: heir.clone(), may_inherit: true }]);
    assert_eq!(released(&mut cluster, &[]), ReleasedBecause::HandedOver(heir));
}

#[test]
fn an_object_that_is_rendered_by_another_name_of_its_kind_is_not_deleted() {
    let mut cluster = Cluster::with(&objects(1));
    let mut renamed = objects(1).remove(0);
    renamed.id.kind.group = "new.example.com".to_owned();
    renamed.body["apiVersion"] = json!("new.example.com/v1");
    let same = cluster.live[&id("ConfigMap", "c0")].clone();
    cluster.live.insert(renamed.id.clone(), same);
    let expected = ReleasedBecause::Renamed(renamed.id.clone());
    assert_eq!(released(&mut cluster, &[renamed]), expected);
}

#[test]
fn the_guards_hold_back_what_looks_like_a_mistake() {
    let half = PrunePolicy { allow_empty: false, max_percent: 50, ..PRUNE };
    let guard = |had, has, policy| plan(&mut Cluster::with(&objects(had)), &objects(has), policy).gone().guard;
    let too_many = |pruned, total| Some(PruneGuard::TooMany { pruned, total, max_percent: 50 });
    assert_eq!(guard(11, 5, half), too_many(6, 11));
    assert_eq!(guard(12, 6, half), None);
    assert_eq!(guard(10, 1, half), None);
    assert_eq!(guard(11, 1, PrunePolicy { max_percent: 100, ..half }), None);
    assert_eq!(guard(1, 0, half), Some(PruneGuard::Empty { pruned: 1 }));
    assert_eq!(guard(20, 0, PrunePolicy { allow_empty: true, ..half }), None);
    assert_eq!(guard(2, 1, PrunePolicy { enabled: false, ..half }), Some(PruneGuard::Disabled { pruned: 1 }));
    assert_eq!(guard(2, 2, PrunePolicy { enabled: false, ..half }), None);
    assert_eq!(guard(0, 0, half), None);
}

#[test]
fn a_guard_leaves_nothing_to_delete_and_says_why() {
    let mut cluster = Cluster::with(&objects(11));
    let plan = plan(&mut cluster, &objects(1), PrunePolicy { max_percent: 50, ..PRUNE });
    let proof = AllApplied::check(&plan, &Results::default()).unwrap();
    assert_eq!(plan.deletions(&proof, None).unwrap(), []);
    assert_eq!(plan.summary().delete, 0);
    let guards = [plan.gone().guard.unwrap(), PruneGuard::Empty { pruned: 3 }, PruneGuard::Disabled { pruned: 2 }];
    let text: Vec<_> = guards.iter().map(|guard| format!("{guard}\n  hint: {}", guard.hint())).collect();
    insta::assert_snapshot!(text.join("\n"), @"
    10 of 11 objects left Git, more than 50 percent: they stay
      hint: if that is meant, raise spec.prune.maxPercent for this revision
    the render is empty: 3 objects stay
      hint: if that is meant, set spec.prune.allowEmpty to true; if not, check spec.path
    pruning is off: 2 objects that left Git stay
      hint: set spec.prune.enabled to true, or delete them by hand
    ");
}

#[test]
fn nothing_is_deleted_before_everything_is_applied() {
    let mut cluster = Cluster::with(&objects(3));
    let mut rendered = objects(2);
    rendered[1] = manifest("ConfigMap", "c1", json!({"data": {"k": "v"}}));
    let plan = plan(&mut cluster, &rendered, PRUNE);
    let mut results = Results::default();
    assert_eq!(AllApplied::check(&plan, &results).unwrap_err(), [id("ConfigMap", "c1")]);
    results.applied.insert(id("ConfigMap", "c1"), cluster.apply(&plan.steps()[1].manifest));
    assert!(AllApplied::check(&plan, &results).is_ok());
}

#[test]
fn nothing_is_deleted_while_an_object_is_awaited() {
    let mut cluster = Cluster::with(&objects(2));
    cluster.edit(&id("ConfigMap", "c0"), |live| live.terminating = true);
    let plan = plan(&mut cluster, &objects(1), PRUNE);
    assert_eq!(AllApplied::check(&plan, &Results::default()).unwrap_err(), [id("ConfigMap", "c0")]);
}

#[test]
fn a_sync_that_waits_deletes_nothing_before_everything_is_healthy() {
    let web = manifest("Deployment", "web", json!({}));
    let mut cluster = Cluster::with(&[web.clone(), objects(1).remove(0)]);
    let plan = plan(&mut cluster, std::slice::from_ref(&web), PrunePolicy { wait: true, ..PRUNE });
    let applied = AllApplied::check(&plan, &Results::default()).unwrap();
    assert_eq!(plan.deletions(&applied, None).unwrap_err(), ProofError::HealthNotProven);

    let mut health = BTreeMap::new();
    assert_eq!(AllHealthy::check(&plan, &applied, &health).unwrap_err(), [(web.id.clone(), None)]);
    let verdict = |status| Health { status, message: String::new() };
    health.insert(web.id.clone(), verdict(HealthStatus::InProgress));
    assert!(AllHealthy::check(&plan, &applied, &health).is_err());
    health.insert(web.id.clone(), verdict(HealthStatus::Current));
    let healthy = AllHealthy::check(&plan, &applied, &health).unwrap();
    assert_eq!(plan.deletions(&applied, Some(&healthy)).unwrap().len(), 1);
}

#[test]
fn the_proof_of_one_plan_does_not_serve_another() {
    let mut cluster = Cluster::with(&objects(3));
    let (one, two) = (plan(&mut cluster, &objects(2), PRUNE), plan(&mut cluster, &objects(1), PRUNE));
    let proof = AllApplied::check(&one, &Results::default()).unwrap();
    assert_eq!(two.deletions(&proof, None).unwrap_err(), ProofError::OtherPlan);
    assert!(AllHealthy::check(&two, &proof, &BTreeMap::new()).is_err());
}

#[test]
fn the_second_look_stops_a_delete_of_what_has_changed() {
    let mut cluster = Cluster::with(&objects(1));
    let plan = plan(&mut cluster, &[], PRUNE);
    let proof = AllApplied::check(&plan, &Results::default()).unwrap();
    let deletion = &plan.deletions(&proof, None).unwrap()[0];
    let live = cluster.live[deletion.id()].clone().unwrap();
    assert_eq!(deletion.recheck(Some(&live)), Recheck::Delete { resource_version: live.resource_version.clone() });
    assert_eq!(deletion.recheck(None), Recheck::Absent);
    let edits: [fn(&mut LiveMark); 6] = [
        |live| live.uid = "other".to_owned(),
        |live| live.owner = None,
        |live| live.owner = Some(live_owner(&OwnerMark::new("infra", "base"))),
        |live| live.terminating = true,
        |live| live.steering.prune = PruneMark::Disabled,
        |live| live.controlled_by = Some(id("ReplicaSet", "r")),
    ];
    for edit in edits {
        let mut changed = live.clone();
        edit(&mut changed);
        assert_eq!(deletion.recheck(Some(&changed)), Recheck::Leave);
    }
}

#[test]
fn a_deleted_sync_deletes_what_it_may_and_only_then() {
    let mut cluster = Cluster::with(&[objects(1).remove(0), manifest("Namespace", "x", json!({}))]);
    let retired = |time, live: &Live| retire(time, &cluster.inventory, live, &Claims::new(), &owner());
    assert_eq!(retired(None, &cluster.live), None);
    assert_eq!(retired(Some(""), &cluster.live), None);
    let retirement = retired(Some("2026-01-01T00:00:00Z"), &cluster.live).unwrap();
    assert_eq!(retirement.deletions.iter().map(Deletion::id).collect::<Vec<_>>(), [&id("ConfigMap", "c0")]);
    assert_eq!(retirement.kept, [Kept { id: id("Namespace", "x"), why: KeptBecause::NotConfirmed }]);
    let unread = retired(Some("2026-01-01T00:00:00Z"), &Live::new()).unwrap();
    assert_eq!((unread.deletions.len(), unread.kept.len()), (0, 2));
    cluster.live.clear();
}
