//! What the definitions of the custom resources promise, read from their schemas and from objects as users write them.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop where it stands")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};
use waxwing::api::{
    ClusterSecretBackend, Failure, GitReference, GitSource, GitSourceSpec, Inventory, InventorySpec, Plaintext, Prune,
    Reason, SecretBackend, SelectedReference, Sync, SyncIdentity, SyncSpec, crds,
};
use waxwing_plan::inventory::{Entry, EntryState, Shard};
use waxwing_plan::{Digest, FieldMark, GroupKind, ObjectId};

/// Returns what stands at `path` (field names with `.` between them, `[]` for the items of a list) of the schema of `crd`.
fn field(crd: &CustomResourceDefinition, path: &str) -> Value {
    let crd = serde_json::to_value(crd).expect("a definition is plain data");
    let pointer = path.replace("[]", "/items").replace('.', "/properties/");
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("has a schema");
    schema.pointer(&format!("/properties/{pointer}")).unwrap_or_else(|| panic!("no field {path}")).clone()
}

#[test]
fn every_field_is_described_and_every_definition_is_found_by_category() {
    for crd in crds() {
        assert_eq!(crd.spec.names.categories, Some(vec!["waxwing".to_owned()]));
        let schema = serde_json::to_value(&crd).expect("a definition is plain data");
        let schema = schema.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("has a schema").clone();
        for part in ["spec", "status"] {
            if let Some(schema) = schema.pointer(&format!("/properties/{part}")) {
                assert_described(&format!("{}.{part}", crd.spec.names.kind), schema);
            }
        }
    }
}

fn assert_described(path: &str, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, field) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        assert!(field.get("description").is_some_and(|text| text != ""), "{path} has no description");
        assert_described(&path, field);
        assert_described(&path, &field["items"]);
    }
}

#[test]
fn schemas_carry_the_validation_of_each_field() {
    let git_source = GitSource::crd();
    let sync = Sync::crd();
    let inventory = Inventory::crd();
    for (crd, path, keyword, expected) in [
        (&git_source, "spec.url", "pattern", json!(r"^(https|http|file)://[^\s]+$")),
        (&git_source, "spec.url", "maxLength", json!(2048)),
        (&git_source, "spec.interval", "default", json!("1m")),
        (&git_source, "spec.timeout", "default", json!("1m")),
        (&git_source, "spec.suspend", "default", json!(false)),
        (&git_source, "spec.ref", "default", json!({"branch": "main"})),
        (&git_source, "spec.ref.commit", "pattern", json!("^([0-9a-f]{40}|[0-9a-f]{64})$")),
        (&git_source, "status.conditions", "x-kubernetes-list-map-keys", json!(["type"])),
        (&git_source, "status.staleSince", "format", json!("date-time")),
        (&sync, "spec", "required", json!(["sourceRef"])),
        (&sync, "spec.path", "default", json!(".")),
        (&sync, "spec.interval", "default", json!("10m")),
        (&sync, "spec.retryInterval", "default", json!("1m")),
        (&sync, "spec.timeout", "default", json!("5m")),
        (&sync, "spec.wait", "default", json!(true)),
        (&sync, "spec.drift", "default", json!("Revert")),
        (&sync, "spec.prune", "default", json!({"enabled": true, "allowEmpty": false, "maxPercent": 50})),
        (&sync, "spec.prune.maxPercent", "maximum", json!(100.0)),
        (&sync, "spec.prune.maxPercent", "minimum", json!(1.0)),
        (&sync, "spec.prune.maxPercent", "format", json!("int32")),
        (&sync, "spec.secrets.plaintext", "enum", json!(["Deny", "Warn", "Allow"])),
        (&sync, "spec.secrets.plaintext", "default", json!("Deny")),
        (&sync, "spec.secrets.bindInto", "maxItems", json!(32)),
        (&sync, "spec.secrets.keysFrom", "maxItems", json!(16)),
        (&sync, "spec.secrets.keysFrom[].secretRef", "required", json!(["name"])),
        (&sync, "status.failures", "maxItems", json!(50)),
        (&inventory, "spec.entries", "maxItems", json!(1000)),
        (&inventory, "spec.entries[].state", "enum", json!(["Wanted", "Planned", "Applied"])),
    ] {
        assert_eq!(field(crd, path).get(keyword), Some(&expected), "{path} {keyword}");
    }
}

#[test]
fn schemas_carry_rules_with_a_message_each() {
    for (crd, path, count) in [
        (GitSource::crd(), "spec.url", 2),
        (GitSource::crd(), "spec.ref", 1),
        (GitSource::crd(), "spec.ref.branch", 1),
        (GitSource::crd(), "spec.interval", 1),
        (Sync::crd(), "spec.path", 1),
        (Sync::crd(), "spec.ignore[].paths[]", 1),
        (Inventory::crd(), "spec", 1),
        (SecretBackend::crd(), "spec", 3),
        (SecretBackend::crd(), "spec.allow", 1),
        (SecretBackend::crd(), "spec.refreshInterval", 2),
        (SecretBackend::crd(), "spec.vault", 2),
        (SecretBackend::crd(), "spec.vault.namespace", 1),
        (SecretBackend::crd(), "spec.vault.auth", 1),
        (ClusterSecretBackend::crd(), "spec", 3),
        (ClusterSecretBackend::crd(), "spec.allow", 3),
        (ClusterSecretBackend::crd(), "spec.allow.namespaces", 1),
        (SecretBackend::crd(), "spec.aws.auth", 1),
        (SecretBackend::crd(), "spec.gcp.auth", 1),
        (SecretBackend::crd(), "spec.azure.auth", 1),
    ] {
        let field = field(&crd, path);
        let rules = field.get("x-kubernetes-validations").and_then(Value::as_array).expect("has rules");
        assert_eq!(rules.len(), count, "{path}");
        assert!(rules.iter().all(|rule| rule.get("message").is_some()), "{path}");
    }
}

#[test]
fn the_shortest_specs_get_the_documented_defaults() {
    let source: GitSourceSpec =
        serde_json::from_value(json!({"url": "https://git.example.com/fleet.git"})).expect("reads");
    assert_eq!(source.reference.selected(), Some(SelectedReference::Branch("main")));
    assert_eq!(source.interval.to_string(), "1m");

    let sync: SyncSpec = serde_json::from_value(json!({"sourceRef": {"name": "fleet"}})).expect("reads");
    assert_eq!((sync.path.as_str(), sync.wait, sync.suspend), (".", true, false));
    assert_eq!(sync.prune, Prune::default());
    assert_eq!((sync.prune.enabled, sync.prune.allow_empty, sync.prune.max_percent.get()), (true, false, 50));
    assert_eq!(sync.secrets.plaintext, Plaintext::Deny);
    assert_eq!(sync.service_account(), "default");
}

#[test]
fn a_full_spec_reads_and_writes_back_the_same() {
    let spec = json!({
        "sourceRef": {"name": "fleet"},
        "path": "./clusters/prod",
        "interval": "1h30m",
        "retryInterval": "15s",
        "timeout": "10m",
        "prune": {"enabled": false, "allowEmpty": true, "maxPercent": 100},
        "drift": "Alert",
        "ignore": [{"target": {"kind": "apps/Deployment", "namespace": "shop", "name": "web"}, "paths": ["/spec/replicas"]}],
        "wait": false,
        "serviceAccountName": "deployer",
        "secrets": {
            "plaintext": "Warn",
            "bindInto": ["ConfigMap", "argoproj.io/Application"],
            "keysFrom": [{"secretRef": {"name": "sops-age"}}],
        },
        "suspend": true,
    });
    let read: SyncSpec = serde_json::from_value(spec.clone()).expect("reads");
    assert_eq!(serde_json::to_value(&read).ok(), Some(spec));
}

#[test]
fn an_inventory_stores_the_entries_of_a_plan_as_its_schema_says() {
    let digest = Digest::of(&json!("a"));
    let id = ObjectId::namespaced(GroupKind::new("apps", "Deployment"), "shop", "web");
    let entry = Entry {
        id,
        version: "v1".to_owned(),
        uid: Some("u".to_owned()),
        digest: Some(digest),
        field_mark: Some(FieldMark { digest, time: "2026-01-02T03:04:05Z".to_owned() }),
        state: EntryState::Applied,
    };
    let shard = Shard { number: 3, entries: vec![entry], verified: vec!["b10b".to_owned()] };
    let sync = SyncIdentity { name: "shop".to_owned(), uid: "u".to_owned() };
    let stored = serde_json::to_value(InventorySpec::new(sync, shard.clone())).expect("serialises");

    let schema = field(&Inventory::crd(), "spec.entries[]");
    let properties = schema["properties"].as_object().expect("has fields");
    let names: Vec<_> = stored["entries"][0].as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), properties.len(), "the full entry has all fields of the schema");
    assert!(names.iter().all(|name| properties.contains_key(*name)), "{names:?}");

    let read: InventorySpec = serde_json::from_value(stored).expect("reads");
    assert_eq!(Shard::from(read), shard);
}

#[test]
fn a_reference_selects_nothing_unless_exactly_one_field_is_set() {
    let branch = Some("main".to_owned());
    let both = GitReference { tag: Some("v1".to_owned()), ..GitReference::default() };
    let none = GitReference { branch: None, ..GitReference::default() };
    assert_eq!((both.selected(), none.selected()), (None, None));
    assert_eq!(GitReference::default().branch, branch);
}

#[test]
fn a_stored_reason_that_is_not_known_reads_as_internal() {
    let failure: Result<Failure, _> =
        serde_json::from_value(json!({"object": "a.yaml:1", "reason": "OfAnotherVersion", "message": "m"}));
    assert_eq!(failure.map(|failure| failure.reason).ok(), Some(Reason::Internal));
}

#[test]
fn a_reference_that_fails_is_the_same_failure_while_its_place_and_reason_are_whatever_else_is_said_of_it() {
    let of = |key: &str, reason: Reason, said: &str| {
        let place = format!("ref+store://vault/secret/data/shop/db#/{key} at db.yaml, document 0, /stringData/{key}");
        Failure::new(&"db.yaml", reason, format!("{place}: {said}"))
    };
    let before = of("user", Reason::StoreUnavailable, "Vault can't be reached: nobody listens there");
    assert!(before.is_still(&of("user", Reason::StoreUnavailable, "Vault was asked too often (429)")));
    assert!(!before.is_still(&of(
        "password",
        Reason::StoreUnavailable,
        "Vault can't be reached: nobody listens there"
    )));
    assert!(!before.is_still(&of("user", Reason::ReferenceDenied, "Vault does not let it be read (403)")));
}
