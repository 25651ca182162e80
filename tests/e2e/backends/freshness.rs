//! References into a real OpenBao that were resolved already: how soon another version arrives, and what a store that lacks something by now, denies
//! it, wants a rest or is away does to what runs.

use serde_json::{Value, json};
use waxwing_harness::eventually;

use super::references::{OWN, OWN_PATHS, Store, secret};
use crate::act::config_map;
use crate::stage::{PATIENCE, condition};

impl Store {
    fn version_of(&self, object: &str) -> String {
        self.stage.get(object).unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    /// Has somebody write over what the Sync applied.
    fn drift(&self) {
        for (kind, name, body) in [
            ("configmap", "settings", r#"{"data":{"key":"drifted"}}"#),
            ("secret", "db", r#"{"data":{"password":"eA=="}}"#),
        ] {
            self.stage.kubectl(&["patch", kind, name, "--type=merge", "--patch", body]).unwrap();
        }
    }

    /// Waits until what needs no store is put back.
    fn is_reverted(&self, wanted: &str) {
        let reverted = || match self.stage.get("configmap/settings").unwrap()["data"]["key"].as_str() {
            Some(key) if key == wanted => Ok(()),
            other => Err(format!("it is {other:?}")),
        };
        eventually(PATIENCE, "drift is reverted while a store is away", reverted).unwrap();
    }
}

#[test]
fn another_version_arrives_without_a_commit_where_it_is_used_and_a_deleted_one_blanks_nothing() {
    let store = Store::new("refs-fresh", OWN);
    let stage = &store.stage;
    // References say how often they are looked at; what doesn't waits for the backend.
    store.vault(OWN_PATHS, ", refreshInterval: 1h");
    store.write("still", &json!({"password": "hunter-still"}));
    store.write("db", &json!({"password": "hunter-one"}));
    store.write("other", &json!({"password": "hunter-other"}));
    store.bao.ask(None, &store.at("kv1/NS/legacy"), &json!({"password": "hunter-legacy"})).unwrap();
    let using = |name: &str, path: &str| {
        secret(name, &store.at(&format!("stringData: {{password: 'ref+store://vault/{path}#/password'}}")))
    };
    let filled = |left: &str, own: &str| store.write("filled", &json!({"left": left, "own": own}));
    filled("hunter-first", "hunter-a");
    let annotated = "apiVersion: v1\nkind: Secret\nmetadata: {name: filled, annotations: {waxwing.dev/expand: ref+store://vault/secret/data/NS/filled?refresh=1s}}\n";
    let commit = stage.commit(&[
        ("app/filled.yaml", &store.at(annotated)),
        ("app/db.yaml", &using("db", "secret/data/NS/db?refresh=1s")),
        ("app/other.yaml", &using("other", "secret/data/NS/other?refresh=1s")),
        ("app/pinned.yaml", &using("pinned", "secret/data/NS/db?version=1&refresh=1s")),
        ("app/legacy.yaml", &using("legacy", "kv1/NS/legacy?refresh=1s")),
        ("app/still.yaml", &using("still", "secret/data/NS/still")),
        // There is no such secret, and nobody is asked for what is left alone.
        ("app/left.yaml", &using("left, annotations: {waxwing.dev/reconcile: Disabled}", "secret/data/NS/none")),
    ]);
    let ignore = "ignore: [{target: {kind: Secret, name: filled}, paths: [/data/left]}]";
    stage.sync("./app", &format!("  backends: [{{name: vault}}]\n{ignore}"));
    stage.applied(&commit);
    assert!(!stage.has("secret/left"));
    let before = ["other", "pinned", "legacy"].map(|name| store.version_of(&format!("secret/{name}")));

    store.write("still", &json!({"password": "hunter-moved"}));
    store.write("db", &json!({"password": "hunter-two"}));
    store.value_is("db", "password", "hunter-two");
    assert_eq!(["other", "pinned", "legacy"].map(|name| store.version_of(&format!("secret/{name}"))), before);
    assert_eq!(stage.secret_value("pinned", "password").as_deref(), Some("hunter-one"));
    store.bao.ask(None, &store.at("kv1/NS/legacy"), &json!({"password": "hunter-newer"})).unwrap();
    store.value_is("legacy", "password", "hunter-newer");
    // Entries that are left to others are sent once.
    filled("hunter-second", "hunter-b");
    store.value_is("filled", "own", "hunter-b");
    assert_eq!(stage.secret_value("filled", "left").as_deref(), Some("hunter-first"));
    assert_eq!(stage.secret_value("still", "password").as_deref(), Some("hunter-still"));

    store.bao.ask(None, &store.at("secret/delete/NS/db"), &json!({"versions": [2]})).unwrap();
    let told = store.fails("ReferenceNotFound");
    assert!(told.contains("was deleted in Vault") && told.contains("what runs keeps running"), "{told}");
    assert_eq!(stage.secret_value("db", "password").as_deref(), Some("hunter-two"));
    store.bao.ask(None, &store.at("secret/undelete/NS/db"), &json!({"versions": [2]})).unwrap();
    stage.applied(&commit);
    // One that is denied from now on is told from one that is gone, and stays as well.
    let is_let =
        |rules: &str| store.bao.ask(None, "sys/policies/acl/shop", &json!({"policy": store.at(rules)})).unwrap();
    is_let(&format!("{OWN}\npath \"secret/metadata/NS/db\" {{ capabilities = [\"deny\"] }}"));
    let told = store.fails("ReferenceDenied");
    assert!(told.contains("Vault does not let it be read (403)") && told.lines().count() == 1, "{told}");
    assert_eq!(stage.secret_value("db", "password").as_deref(), Some("hunter-two"));
    is_let(OWN);
    stage.applied(&commit);
    // Numbers begin anew where a secret is made anew, and it is another one all the same.
    store.bao.ask(None, &store.at("secret/destroy/NS/db"), &json!({"versions": [1, 2]})).unwrap();
    store.fails("ReferenceNotFound");
    store.write("db", &json!({"password": "hunter-three"}));
    store.value_is("db", "password", "hunter-three");
    let records = store.records("Secret/NS/db");
    let versions: Vec<_> =
        records.iter().map(|record| record["values"][0]["from"][0]["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["1", "2", "3"], "each version that was applied is in the audit log");
    store.told_nothing(&["hunter-one", "hunter-two", "hunter-three", "hunter-newer", "hunter-still", "hunter-moved"]);
}

#[test]
fn while_a_store_is_away_what_runs_keeps_running_drift_is_reverted_and_unchanged_secrets_are_not_asked_for() {
    let mut store = Store::new("refs-away", OWN);
    store.vault(OWN_PATHS, ", refreshInterval: 1h");
    store.write("db", &json!({"password": "hunter-one"}));
    let using = secret("db", &store.at("stringData: {password: 'ref+store://vault/secret/data/NS/db#/password'}"));
    let commit = store.stage.commit(&[("app/db.yaml", &using), ("app/settings.yaml", &config_map("settings", "a"))]);
    store.stage.sync("./app", "  backends: [{name: vault}]");
    store.stage.applied(&commit);
    assert_eq!((store.asked_store("version"), store.asked_store("read")), (0, 1));

    // A server that is asked too often gets a rest from all, and what it kept from being put back is put back when it is over.
    store.bao.ask(None, "sys/quotas/config", &json!({"enable_rate_limit_response_headers": true})).unwrap();
    let at_most = |rate: u64| {
        let storm = json!({"path": "secret/", "rate": rate, "interval": "1h"});
        store.bao.ask(None, "sys/quotas/rate-limit/storm", &storm).unwrap();
    };
    at_most(1);
    (0..6).for_each(|_| drop(store.stage.request()));
    let told = store.fails("StoreUnavailable");
    assert!(told.contains("#/password at app/db.yaml") && told.contains("what runs keeps running"), "{told}");
    assert_eq!(store.asked_store("throttled"), 3, "{told}");
    // It says for how long: until the hour is over.
    store.drift();
    store.is_reverted("a");
    assert_eq!((store.stage.secret_value("db", "password").as_deref(), store.asked_store("throttled")), (Some("x"), 3));
    at_most(1000);
    // One that was changed is another one, and starts anew.
    store.vault(OWN_PATHS, ", refreshInterval: 2h");
    store.stage.request();
    store.stage.applied(&commit);
    store.value_is("db", "password", "hunter-one");

    // What is not due is not asked for, so that a commit goes through whatever the store does.
    let asked = (store.asked_store("version"), store.asked_store("read"));
    store.bao.stop();
    let commit = store.stage.commit(&[("app/settings.yaml", &config_map("settings", "b"))]);
    store.stage.applied(&commit);
    assert_eq!((store.asked_store("version"), store.asked_store("read")), asked);
    assert!(store.kept("version") > 0);

    // Somebody asks for a look at everything.
    let request = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": "now"}}});
    store.stage.cluster.merge(&store.stage.path("sync/app").unwrap(), &request).unwrap();
    let told = store.fails("StoreUnavailable");
    assert!(told.contains("#/password at app/db.yaml, document 0, /stringData/password"), "{told}");
    assert!(told.contains("can't be reached") && told.contains("what runs keeps running"), "{told}");
    assert_eq!(store.stage.secret_value("db", "password").as_deref(), Some("hunter-one"));
    let before = store.stage.get("sync/app").unwrap();
    store.drift();
    store.is_reverted("b");
    let sync = store.stage.request();
    for kind in ["Ready", "Unsealed"] {
        let [before, after] = [&before, &sync].map(|sync| condition(sync, kind));
        assert_eq!((&after["status"], &after["reason"]), (&json!("False"), &json!("StoreUnavailable")), "{kind}");
        assert_eq!(after["lastTransitionTime"], before["lastTransitionTime"], "{kind}");
    }
    let since = |sync: &Value| sync["status"]["failures"][0]["since"].clone();
    assert!(since(&sync).is_string() && since(&sync) == since(&before), "{sync}");
    store.told_nothing(&["hunter-one"]);
}
