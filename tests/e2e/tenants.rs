//! What a tenant tries in order to have what is a neighbour's, or to have a value where others can read it; and that it
//! brings nothing: the table is in `rows`, the two tenants are in `world`.
//!
//! The thief may write to his repository and, in his own namespace, Syncs, GitSources, Inventories and Secrets by hand. The
//! snapshot has what he is told. Other tests try more of the same, each where its subject is: places for a value and
//! renders that steer it there in `bad_input`, admission policies that quote values in `canary`, rights and keys in `tenancy`,
//! marks in `apply`, objects that change hands in `prune`, repositories in `tests/source`.

mod rows;
mod world;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waxwing_harness::eventually;

use crate::act::message;
use crate::stage::{PATIENCE, condition};
use rows::{QUOTING_STATUS, Row};
use world::{LOOT, TREASURE, World, config, objects};

#[test]
fn what_a_tenant_tries_brings_nothing_and_leaves_the_neighbour_untouched() {
    let world = World::new();
    let neighbours = objects(&world.victim);
    let rows = rows::all(&world);
    let folder = |row: &Row| -> Vec<_> {
        row.files.iter().map(|(file, text)| (format!("{}/{file}", row.sync()), text.clone())).collect()
    };
    let files: Vec<(String, String)> = rows.iter().flat_map(folder).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let commit = world.thief.commit(&files);
    world.begin(&rows);
    refuse_names(&world, &rows[0].sync());

    let told = ended(&world, &rows);
    assert_eq!(objects(&world.victim), neighbours, "the neighbour's objects are as they were");
    insta::assert_snapshot!(world.masked(&told, &commit));
    assert_nothing_arrived(&world);
    quote_in_a_status(&world);

    let commit = let_go(&world, &rows);
    assert_eq!(objects(&world.victim), neighbours, "nothing of the neighbour's was pruned");
    let claim = rows.iter().find(|row| row.name.contains("claims")).unwrap().sync();
    assert_eq!(world.syncs()[&claim]["status"]["lastAppliedRevision"], format!("main@sha1:{commit}"));
    let removal = format!("Applied main@sha1:{}", world.victim.remove(&["app/leaving.yaml"]));
    // The neighbour's Sync says as well who claims what it has.
    world.victim.ready("True", |message| message.starts_with(&removal));
    assert!(!world.victim.has("configmap/leaving"), "a claim by somebody who may not write it keeps nothing");

    world.thief.kubectl(&["delete", "syncs", "--all", "--timeout=120s"]).unwrap();
    let left: BTreeMap<_, _> = neighbours.into_iter().filter(|(name, _)| name != "configmap/leaving").collect();
    assert_eq!(objects(&world.victim), left, "a Sync that ends takes nothing of the neighbour's along");
}

/// Waits until every row has ended for its reason, and returns what was told.
fn ended(world: &World, rows: &[Row]) -> String {
    let attempt = || {
        let syncs = world.syncs();
        let ready = |row: &Row| condition(&syncs[&row.sync()], "Ready");
        let late = rows.iter().filter(|row| ready(row)["reason"] != row.reason);
        let late: Vec<String> = late.map(|row| format!("{} ({}): {}", row.name, row.reason, ready(row))).collect();
        if late.is_empty() { Ok(syncs) } else { Err(late.join("\n")) }
    };
    let syncs = eventually(PATIENCE, "every try has come to its end", attempt).unwrap();
    let told = |row: &Row| {
        let sync = &syncs[&row.sync()];
        // The first failure is the message of Ready.
        let others = sync["status"]["failures"].as_array().into_iter().flatten().skip(1);
        let others: String = others.map(|failure| format!("\n- {}", failure["message"].as_str().unwrap())).collect();
        format!("# {}\n{}: {}{others}\n\n", row.name, row.reason, message(sync))
    };
    rows.iter().map(told).collect()
}

/// The API server itself refuses names that would lead to another namespace, and drops what would name one.
fn refuse_names(world: &World, sync: &str) {
    let (victim, thief) = (&world.victim.namespace, &world.thief);
    let key = json!([{"secretRef": {"name": format!("../{victim}/secrets/sops-age")}}]);
    let table = [
        ("sync", json!({"serviceAccountName": format!("{victim}/deployer")}), "spec.serviceAccountName"),
        ("sync", json!({"serviceAccountName": "system:masters"}), "spec.serviceAccountName"),
        ("sync", json!({"sourceRef": {"name": format!("{victim}/fleet")}}), "spec.sourceRef.name"),
        ("sync", json!({"secrets": {"keysFrom": key}}), "spec.secrets.keysFrom[0].secretRef.name"),
        ("gitsource", json!({"secretRef": {"name": format!("../{victim}/secrets/sops-age")}}), "spec.secretRef.name"),
    ];
    for (kind, spec, field) in table {
        let name = if kind == "sync" { sync } else { "fleet" };
        let path = thief.path(&format!("{kind}/{name}")).unwrap();
        let refusal = thief.cluster.merge(&path, &json!({"spec": spec})).unwrap_err();
        assert!(format!("{refusal:?}").contains(field), "{refusal:?}");
    }
    let spec = json!({"sourceRef": {"namespace": victim}, "serviceAccountNamespace": victim});
    let stored = world.change(sync, &json!({"spec": spec}));
    assert!(!stored["spec"].to_string().contains(victim.as_str()), "{stored:#}");
}

/// The thief has what he had, and what he may have; and nothing that he can read has a value that he must not see.
fn assert_nothing_arrived(world: &World) {
    let has = objects(&world.thief);
    let names: Vec<&str> = has.keys().map(String::as_str).collect();
    let own = ["configmap/own-1", "configmap/own-2", "configmap/own-3", "configmap/own-4", "secret/sops-age"];
    assert_eq!(names, own);
    assert!(!world.thief.has("deployment/loot"));
    for kind in ["syncs", "events"] {
        let told = world.thief.get(kind).unwrap().to_string();
        assert!(told.len() > 1000, "{told}");
        for value in [TREASURE, LOOT].into_iter().flat_map(|value| [value.to_owned(), STANDARD.encode(value)]) {
            assert!(!told.contains(&value), "{value} stands in {kind}: {told}");
        }
    }
}

/// Somebody's controller, which may read the value, quotes it where it says how the object is.
fn quote_in_a_status(world: &World) {
    let name = QUOTING_STATUS.replace(' ', "-");
    let namespace = &world.thief.namespace;
    let gauge = format!("/apis/{namespace}.example.com/v1/namespaces/{namespace}/gauges/note");
    assert_eq!(world.thief.cluster.get(&gauge).unwrap()["spec"]["note"], LOOT);
    let told = json!([{"type": "Ready", "status": "False", "reason": format!("it is {LOOT}"), "message": LOOT}]);
    let patch = json!({"status": {"conditions": told}});
    world.thief.cluster.merge(&format!("{gauge}/status"), &patch).unwrap();
    let attempt = || {
        let sync = world.syncs()[&name].clone();
        let ready = condition(&sync, "Ready");
        if ready["reason"] == "Progressing" { Ok(sync) } else { Err(ready.to_string()) }
    };
    let sync = eventually(PATIENCE, "the Sync tells what its object says", attempt).unwrap();
    let expected = format!("{namespace}.example.com/Gauge/{namespace}/note: Ready is False");
    assert!(message(&sync).ends_with(&expected), "{}", message(&sync));
    assert!(!sync.to_string().contains(LOOT), "{sync:#}");
}

/// Takes the neighbour's objects out of the thief's repository again, and waits until his Syncs have followed: what left Git
/// would be pruned now. Returns the commit.
fn let_go(world: &World, rows: &[Row]) -> String {
    let (first, last) = ("an object of the neighbour in", "an inventory that claims");
    let start = rows.iter().position(|row| row.name.starts_with(first)).unwrap();
    let end = rows.iter().position(|row| row.name.starts_with(last)).unwrap();
    let rows = &rows[start..=end];
    for (number, row) in rows.iter().enumerate() {
        world.thief.repo.remove(&row.sync()).unwrap();
        let own = config(&format!("mine-{number}"), "x");
        world.thief.repo.write(&format!("{}/own.yaml", row.sync()), own).unwrap();
    }
    let commit = world.thief.commit(&[]);
    let applied = Value::from(format!("main@sha1:{commit}"));
    let attempt = || {
        let syncs = world.syncs();
        match rows.iter().find(|row| syncs[&row.sync()]["status"]["lastAppliedRevision"] != applied) {
            Some(row) => Err(format!("{}: {}", row.name, condition(&syncs[&row.sync()], "Ready"))),
            None => Ok(commit.clone()),
        }
    };
    eventually(PATIENCE, "the thief's Syncs have followed", attempt).unwrap()
}
