//! What is decided about rendered objects, one question a test.

use serde_json::json;

use super::*;
use crate::AllApplied;
use crate::inventory::{Claim, Results};
use crate::live::ManagerMark;
use crate::testing::{Cluster, PRUNE, id, live_owner, manifest, owner};

fn web(value: &str) -> Manifest {
    manifest("ConfigMap", "web", json!({"data": {"key": value}}))
}

fn change(cluster: &mut Cluster, manifest: Manifest) -> Change {
    cluster.plan(&[manifest], PRUNE).unwrap().steps()[0].change.clone()
}

fn refusal(cluster: &mut Cluster, manifest: Manifest) -> String {
    let errors = cluster.plan(&[manifest], PRUNE).unwrap_err();
    errors.iter().map(|error| format!("{error}\n  hint: {}", error.hint())).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_object_is_new_then_unchanged_then_changed() {
    let mut cluster = Cluster::default();
    assert_eq!(change(&mut cluster, web("1")), Change::New);
    cluster.sync(&[web("1")]).unwrap();
    assert_eq!(change(&mut cluster, web("1")), Change::Unchanged);
    assert_eq!(change(&mut cluster, web("2")), Change::Changed);
}

#[test]
fn a_planned_object_is_sent_again_because_nobody_knows_whether_it_was() {
    let mut cluster = Cluster::with(&[web("1")]);
    let plan = cluster.plan(&[web("2")], PRUNE).unwrap();
    cluster.inventory = cluster.inventory.union(&plan);
    assert_eq!(change(&mut cluster, web("2")), Change::Changed);
    assert_eq!(change(&mut cluster, web("1")), Change::Changed);
}

#[test]
fn a_lost_inventory_leads_to_another_apply_and_not_to_an_adoption() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.inventory = Inventory::default();
    assert_eq!(change(&mut cluster, web("1")), Change::Changed);
}

#[test]
fn drift_names_who_wrote_since_our_last_apply() {
    let mut cluster = Cluster::with(&[web("1")]);
    let object = id("ConfigMap", "web");
    let older = ManagerMark {
        manager: "helm".to_owned(),
        operation: "Update".to_owned(),
        time: "2020-01-01T00:00:00Z".to_owned(),
    };
    cluster.edit(&object, |live| live.others.push(older));
    assert_eq!(change(&mut cluster, web("1")), Change::Unchanged);
    cluster.overwrite(&object, "kubectl-edit");
    let Change::Drifted { by } = change(&mut cluster, web("1")) else { panic!("not drifted") };
    assert_eq!(by.iter().map(|by| by.manager.as_str()).collect::<Vec<_>>(), ["kubectl-edit"]);
    cluster.sync(&[web("1")]).unwrap();
    assert_eq!(change(&mut cluster, web("1")), Change::Unchanged);
}

#[test]
fn a_lost_label_a_lost_entry_and_a_new_uid_are_drift() {
    let object = id("ConfigMap", "web");
    let drifts: [fn(&mut LiveMark); 4] = [
        |live| live.owner = None,
        |live| live.field_mark = None,
        |live| live.uid = "other".to_owned(),
        |live| live.field_mark.as_mut().unwrap().time = "2030-01-01T00:00:00Z".to_owned(),
    ];
    for drift in drifts {
        let mut cluster = Cluster::with(&[web("1")]);
        cluster.edit(&object, drift);
        assert_eq!(change(&mut cluster, web("1")), Change::Drifted { by: vec![] });
    }
}

#[test]
fn a_deleted_object_is_missing_until_git_changes() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.live.insert(id("ConfigMap", "web"), None);
    assert_eq!(change(&mut cluster, web("1")), Change::Missing);
    assert_eq!(change(&mut cluster, web("2")), Change::New);
}

#[test]
fn a_write_under_our_own_name_that_only_a_watch_could_see_is_drift() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.edit(&id("ConfigMap", "web"), |live| live.rewritten = true);
    assert_eq!(change(&mut cluster, web("1")), Change::Drifted { by: vec![] });
}

#[test]
fn a_sync_that_wants_to_be_told_of_drift_leaves_it_until_git_changes() {
    let mut cluster = Cluster::with(&[web("1"), manifest("ConfigMap", "gone", json!({}))]);
    cluster.drift = DriftPolicy::Alert;
    cluster.overwrite(&id("ConfigMap", "web"), "kubectl-edit");
    cluster.live.insert(id("ConfigMap", "gone"), None);
    let plan = cluster.plan(&[web("1"), manifest("ConfigMap", "gone", json!({}))], PRUNE).unwrap();
    let left: Vec<_> = plan.left().map(|(id, by, why)| (id.name.as_str(), by.len(), why)).collect();
    assert_eq!(left, [("gone", 0, LeftBecause::Alert), ("web", 1, LeftBecause::Alert)]);
    assert_eq!((plan.summary().skipped, plan.to_send().count()), (2, 0));
    assert!(AllApplied::check(&plan, &Results::default()).is_ok());
    assert_eq!(change(&mut cluster, web("2")), Change::Changed);
}

#[test]
fn a_sync_that_ignores_drift_leaves_edits_and_makes_deleted_objects_again() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.drift = DriftPolicy::Ignore;
    cluster.overwrite(&id("ConfigMap", "web"), "kubectl-edit");
    assert_eq!(change(&mut cluster, web("1")), Change::Unchanged);
    cluster.live.insert(id("ConfigMap", "web"), None);
    assert_eq!(change(&mut cluster, web("1")), Change::Missing);
}

#[test]
fn a_contested_object_is_left_while_others_are_reverted() {
    let both = [web("1"), manifest("ConfigMap", "other", json!({}))];
    let mut cluster = Cluster::with(&both);
    both.iter().for_each(|manifest| cluster.overwrite(&manifest.id, "hpa"));
    cluster.contested = BTreeSet::from([id("ConfigMap", "web")]);
    let plan = cluster.plan(&both, PRUNE).unwrap();
    assert_eq!(plan.left().map(|(id, ..)| id.name.as_str()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(plan.to_send().map(|step| step.manifest.id.name.as_str()).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn drift_is_left_where_an_annotation_says_so_until_git_changes() {
    let ignoring = |value| {
        manifest(
            "ConfigMap",
            "web",
            json!({"metadata": {"annotations": {"waxwing.dev/drift": "Ignore"}}, "data": {"k": value}}),
        )
    };
    let mut cluster = Cluster::with(&[ignoring("1")]);
    cluster.overwrite(&id("ConfigMap", "web"), "kubectl");
    assert_eq!(change(&mut cluster, ignoring("1")), Change::Unchanged);
    assert_eq!(change(&mut cluster, ignoring("2")), Change::Changed);
}

#[test]
fn a_disabled_object_is_skipped_wherever_the_annotation_stands() {
    let mut cluster = Cluster::default();
    let disabled =
        manifest("ConfigMap", "web", json!({"metadata": {"annotations": {"waxwing.dev/reconcile": "disabled"}}}));
    assert_eq!(change(&mut cluster, disabled), Change::Skipped);
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.edit(&id("ConfigMap", "web"), |live| live.steering.reconcile_disabled = true);
    assert_eq!(change(&mut cluster, web("2")), Change::Skipped);
}

#[test]
fn an_unowned_object_is_adopted() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.inventory = Inventory::default();
    cluster.edit(&id("ConfigMap", "web"), |live| live.owner = None);
    assert_eq!(change(&mut cluster, web("1")), Change::Adopted { from: None });
}

#[test]
fn an_adoption_that_was_cut_short_is_still_an_adoption() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.inventory = Inventory::default();
    cluster.edit(&id("ConfigMap", "web"), |live| live.owner = None);
    let plan = cluster.plan(&[web("1")], PRUNE).unwrap();
    cluster.inventory = cluster.inventory.union(&plan);
    assert_eq!(change(&mut cluster, web("1")), Change::Adopted { from: None });
}

#[test]
fn an_object_of_another_sync_is_refused_until_that_one_drops_it() {
    let other = OwnerMark::new("infra", "base");
    let object = id("ConfigMap", "web");
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.inventory = Inventory::default();
    cluster.edit(&object, |live| live.owner = Some(live_owner(&other)));
    cluster.claims.insert(object.clone(), vec![Claim { by: other.clone(), may_inherit: false }]);
    insta::assert_snapshot!(refusal(&mut cluster, web("1")), @"
    ConfigMap/shop/web belongs to Sync infra/base (web.yaml:1)
      hint: remove it from one of the two Syncs; when the other one drops it, this one takes it over
    ");
    cluster.claims.insert(object, vec![]);
    assert_eq!(change(&mut cluster, web("1")), Change::Adopted { from: Some(live_owner(&other)) });
}

#[test]
fn an_object_of_another_sync_is_refused_while_nobody_has_looked_who_claims_it() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.edit(&id("ConfigMap", "web"), |live| live.owner = Some(live_owner(&OwnerMark::new("infra", "base"))));
    let errors = cluster.plan(&[web("1")], PRUNE).unwrap_err();
    assert!(matches!(errors.as_slice(), [PlanError::OwnedByOther { .. }]));
}

#[test]
fn an_object_moves_between_syncs_without_being_deleted() {
    let (object, heir) = (id("ConfigMap", "web"), OwnerMark::new("flux", "heir"));
    let mut old = Cluster::with(&[web("1")]);
    let mut new = Cluster::of(heir.clone());
    let claim = |by: &OwnerMark, inventory: &Inventory| {
        let by = Claim { by: by.clone(), may_inherit: true };
        let names = |id: &ObjectId| inventory.entries.contains_key(id);
        if names(&object) { vec![by] } else { vec![] }
    };

    // the heir renders it too, is refused, and writes down that it wants it
    new.live = old.live.clone();
    new.claims.insert(object.clone(), claim(&owner(), &old.inventory));
    let refused = new.plan(&[web("1")], PRUNE).unwrap_err();
    new.inventory = new.inventory.wanting(refused.iter().map(|error| (error.id(), "v1")));

    // the old one drops it, sees who wants it, and lets it go
    old.claims.insert(object.clone(), claim(&heir, &new.inventory));
    assert_eq!(old.sync(&[]).unwrap().gone().to_delete().count(), 0);
    assert!(old.inventory.entries.is_empty());

    // so the heir takes it over
    new.live = old.live.clone();
    new.claims.insert(object.clone(), claim(&owner(), &old.inventory));
    let plan = new.sync(&[web("1")]).unwrap();
    assert_eq!(plan.steps()[0].change, Change::Adopted { from: Some(live_owner(&owner())) });
    assert_eq!(new.live[&object].as_ref().unwrap().uid, old.live[&object].as_ref().unwrap().uid);
    assert!(new.live[&object].as_ref().unwrap().owner.as_ref().unwrap().is(&heir));
}

#[test]
fn an_object_with_a_controller_is_refused() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.edit(&id("ConfigMap", "web"), |live| live.controlled_by = Some(id("ReplicaSet", "web-1")));
    insta::assert_snapshot!(refusal(&mut cluster, web("1")), @"
    ConfigMap/shop/web is controlled by apps/ReplicaSet/shop/web-1 (web.yaml:1)
      hint: remove it from Git and change apps/ReplicaSet/shop/web-1 instead, or rename it
    ");
}

#[test]
fn a_secret_is_taken_from_the_sealed_secret_of_its_name_and_from_no_other() {
    let secret = manifest("Secret", "web", json!({}));
    let sealed = |name: &str| ObjectId { kind: GroupKind::new("bitnami.com", "SealedSecret"), ..id("Secret", name) };
    for (controller, is_taken) in [(sealed("web"), true), (sealed("other"), false), (id("ReplicaSet", "web"), false)] {
        let mut cluster = Cluster::with(std::slice::from_ref(&secret));
        cluster.edit(&secret.id, |live| live.controlled_by = Some(controller));
        let plan = cluster.plan(std::slice::from_ref(&secret), PRUNE);
        let change = plan.ok().map(|plan| plan.steps().iter().map(|step| step.change.clone()).collect::<Vec<_>>());
        assert_eq!(change, is_taken.then(|| vec![Change::Adopted { from: None }]));
    }
}

#[test]
fn what_is_being_deleted_is_awaited_while_the_rest_proceeds() {
    let mut cluster = Cluster::with(&[web("1")]);
    cluster.edit(&id("ConfigMap", "web"), |live| live.terminating = true);
    let plan = cluster.plan(&[web("2"), manifest("Secret", "web", json!({}))], PRUNE).unwrap();
    let awaited: Vec<_> = plan.steps().iter().filter(|step| step.change == Change::Terminating).collect();
    assert_eq!(awaited.iter().map(|step| &step.manifest.id).collect::<Vec<_>>(), [&id("ConfigMap", "web")]);
    assert_eq!(plan.to_send().count(), 1);
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_being_deleted() {
    let namespace = manifest("Namespace", "shop", json!({}));
    let mut cluster = Cluster::with(std::slice::from_ref(&namespace));
    cluster.edit(&namespace.id, |live| live.terminating = true);
    let plan = cluster.plan(&[namespace.clone(), web("1")], PRUNE).unwrap();
    assert_eq!(plan.steps().iter().filter(|step| step.change == Change::Terminating).count(), 2);
}

#[test]
fn each_duplicate_is_named_with_both_places_whatever_its_version() {
    let mut again = web("2");
    again.location.as_mut().unwrap().file = "again.yaml".to_owned();
    again.version = "v2".to_owned();
    again.body["apiVersion"] = json!("v2");
    let errors = Cluster::default().plan(&[web("1"), again], PRUNE).unwrap_err();
    insta::assert_snapshot!(errors[0], @"ConfigMap/shop/web is rendered twice (web.yaml:1) and (again.yaml:1)");
}

#[test]
fn all_errors_are_reported_and_not_just_the_first() {
    let mut wrong = manifest("Secret", "wrong", json!({}));
    wrong.body["kind"] = json!("ConfigMap");
    let marked = manifest("ConfigMap", "marked", json!({"metadata": {"labels": {"waxwing.dev/sync": "x"}}}));
    let errors = Cluster::default().plan(&[wrong, marked, web("1"), web("1")], PRUNE).unwrap_err();
    let ids: Vec<_> = errors.iter().map(|error| error.id().name.as_str()).collect();
    assert_eq!(ids, ["web", "wrong", "marked"]);
}

#[test]
fn an_object_that_was_not_looked_up_is_never_taken_for_absent() {
    let inventory = Cluster::with(&[web("1")]).inventory;
    let (live, claims, owner, contested) = (Live::new(), Claims::new(), owner(), BTreeSet::new());
    let versions = BTreeMap::new();
    let inputs = |manifests| Inputs {
        manifests,
        inventory: &inventory,
        live: &live,
        claims: &claims,
        owner: &owner,
        drift: DriftPolicy::Revert,
        contested: &contested,
        ignore: &[],
        versions: &versions,
        digest: DigestContext { secrets_spec: json!({}), cluster: "local", binding_rules_version: 1 },
        policy: PRUNE,
    };
    let unread = vec![PlanError::NotRead { id: id("ConfigMap", "web") }];
    assert_eq!(plan(inputs(vec![web("1")])).unwrap_err(), unread);
    assert_eq!(plan(inputs(vec![])).unwrap_err(), unread);
}

#[test]
fn another_version_of_a_secret_changes_the_objects_that_use_it_and_no_others() {
    let object = |name: &str| manifest("Secret", name, json!({"data": {"key": "waxwinghandle0"}}));
    let objects = [object("uses"), object("other")];
    let mut cluster = Cluster::default();
    cluster.versions.insert(id("Secret", "uses"), "vault secret/data/db 1".to_owned());
    cluster.sync(&objects).unwrap();
    assert_eq!(cluster.plan(&objects, PRUNE).unwrap().to_send().count(), 0);
    cluster.versions.insert(id("Secret", "uses"), "vault secret/data/db 2".to_owned());
    let plan = cluster.plan(&objects, PRUNE).unwrap();
    let sent: Vec<_> = plan.to_send().map(|step| (step.manifest.id.name.as_str(), &step.change)).collect();
    assert_eq!(sent, [("uses", &Change::Changed)]);
    assert_eq!(plan.without(&[&id("Secret", "uses")].into()).to_send().count(), 0);
}

#[test]
fn what_a_plan_says_of_drift_alone_changes_nothing_else_and_deletes_nothing() {
    let object = |name: &str, value: &str| manifest("ConfigMap", name, json!({"data": {"key": value}}));
    let mut cluster =
        Cluster::with(&[object("changed", "1"), object("drifted", "1"), object("missing", "1"), object("gone", "1")]);
    cluster.live.get_mut(&id("ConfigMap", "drifted")).unwrap().as_mut().unwrap().field_mark = None;
    cluster.live.insert(id("ConfigMap", "missing"), None);
    let next = [object("changed", "2"), object("drifted", "1"), object("missing", "1"), object("new", "1")];
    let plan = cluster.plan(&next, PRUNE).unwrap();
    assert_eq!((plan.to_send().count(), plan.gone().to_delete().count()), (4, 1));
    let with_one = plan.clone().drift_and(&[id("ConfigMap", "changed")].into());
    let names: Vec<_> = with_one.to_send().map(|step| step.manifest.id.name.as_str()).collect();
    assert_eq!((names, with_one.gone()), (vec!["changed", "drifted", "missing"], &crate::Gone::default()));
    let drift = plan.drift_alone();
    let names: Vec<_> = drift.to_send().map(|step| step.manifest.id.name.as_str()).collect();
    assert_eq!(names, ["drifted", "missing"]);
    assert_eq!((drift.steps().len(), drift.gone()), (2, &crate::Gone::default()));
}

#[test]
fn a_field_that_is_left_to_others_is_sent_when_its_object_is_created_and_changes_nothing_after_that() {
    let web = |replicas: u8, paused: bool| {
        manifest("Deployment", "web", json!({"spec": {"replicas": replicas, "paused": paused}}))
    };
    let mut cluster = Cluster::default();
    cluster.ignore = vec![IgnoreRule { paths: vec!["/spec/replicas".parse().unwrap()], ..IgnoreRule::default() }];
    let spec = |plan: &Plan| plan.steps()[0].manifest.body["spec"].clone();
    let left = |plan: &Plan| plan.steps()[0].left_to_others.iter().map(ToString::to_string).collect::<Vec<_>>();
    let first = cluster.sync(&[web(2, true)]).unwrap();
    assert_eq!(
        (spec(&first), left(&first)),
        (json!({"replicas": 2, "paused": true}), vec!["/spec/replicas".to_owned()])
    );
    let again = cluster.sync(&[web(3, true)]).unwrap();
    assert_eq!(again.steps()[0].change, Change::Unchanged);
    let other = cluster.sync(&[web(3, false)]).unwrap();
    assert_eq!(other.steps()[0].change, Change::Changed);
    assert_eq!((spec(&other), left(&other)), (json!({"paused": false}), vec!["/spec/replicas".to_owned()]));
    cluster.ignore.clear();
    let no_longer = cluster.sync(&[web(3, false)]).unwrap();
    assert_eq!(no_longer.steps()[0].change, Change::Changed);
    assert_eq!((spec(&no_longer), left(&no_longer)), (json!({"replicas": 3, "paused": false}), Vec::new()));
}

#[test]
fn steps_come_in_order_and_deletions_in_the_opposite_one() {
    let kinds = ["Deployment", "Secret", "Namespace", "ValidatingWebhookConfiguration", "RoleBinding", "Role"];
    let all: Vec<_> = kinds.iter().map(|kind| manifest(kind, "x", json!({}))).collect();
    let mut cluster = Cluster::default();
    let plan = cluster.sync(&all).unwrap();
    let order: Vec<_> = plan.steps().iter().map(|step| step.manifest.id.kind.kind.clone()).collect();
    assert_eq!(order, ["Namespace", "Role", "RoleBinding", "Secret", "Deployment", "ValidatingWebhookConfiguration"]);
    let mut stages: Vec<_> = plan.to_send().map(|step| step.stage).collect();
    stages.dedup();
    assert_eq!(stages, Stage::ALL);
    let gone = cluster.plan(&[], PRUNE).unwrap();
    let deleted: Vec<_> = gone.gone().to_delete().map(|id| id.kind.kind.clone()).collect();
    assert_eq!(deleted, ["ValidatingWebhookConfiguration", "Deployment", "Secret", "RoleBinding", "Role"]);
}

#[test]
fn the_summary_counts_everything() {
    let mut cluster =
        Cluster::with(&[web("1"), manifest("Secret", "a", json!({})), manifest("Secret", "b", json!({}))]);
    let skipped = manifest("Secret", "s", json!({"metadata": {"annotations": {"waxwing.dev/reconcile": "Disabled"}}}));
    let plan = cluster
        .plan(&[web("2"), manifest("Secret", "a", json!({})), manifest("Secret", "c", json!({})), skipped], PRUNE);
    assert_eq!(plan.unwrap().summary().to_string(), "1 to create, 1 to change, 1 to delete, 1 unchanged, 1 skipped");
}
