//! References into a real OpenBao: where values arrive, what is refused before anyone is asked, and what is told of a store that lacks or denies
//! something.

use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waxwing_harness::{Authority, OpenBao, eventually};

use super::World;
use crate::act::config_map;
use crate::other_keys::let_bao_review_tokens;
use crate::stage::{Alone, PATIENCE, Stage, condition, start_controller};

/// A tenant whose secrets are in a store.
pub(super) struct Store {
    pub(super) world: World,
    pub(super) bao: OpenBao,
    /// Who certifies the store where it speaks TLS.
    pub(super) authority: Authority,
}

impl Deref for Store {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Store {
    /// Starts a store with an engine of each version, of which the tenant may read what a policy says; `NS` is its namespace.
    pub(super) fn new(name: &str, policy: &str) -> Self {
        let alone = Alone::new();
        let stage = Stage::on(alone.cluster(), name);
        let authority = Authority::new("of a test").unwrap();
        let bao = OpenBao::start_certified_by(&authority).unwrap();
        bao.ask(None, "sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}})).unwrap();
        let origins = format!("{},{}", bao.address(), bao.tls_address());
        let flags = ["--backend-origin", &origins, "--log-level", "trace"];
        let controller = start_controller(alone.cluster(), &flags).unwrap();
        let_bao_review_tokens(&stage, &bao, "kubernetes", &policy.replace("NS", &stage.namespace));
        Self { world: World { stage, controller, _alone: alone }, bao, authority }
    }

    /// Writes a secret of the tenant into the engine that keeps versions.
    pub(super) fn write(&self, name: &str, data: &Value) {
        self.bao.ask(None, &self.at(&format!("secret/data/NS/{name}")), &json!({"data": data})).unwrap();
    }

    pub(super) fn at(&self, text: &str) -> String {
        text.replace("NS", &self.stage.namespace)
    }

    pub(super) fn vault(&self, paths: &str, more: &str) {
        let address = self.bao.address();
        let auth = "{kubernetes: {role: shop, audience: vault}}";
        self.backend(
            "vault",
            &format!("{{vault: {{address: '{address}', auth: {auth}}}, allow: {{paths: [{paths}]}}{more}}}"),
        );
    }

    /// Returns how often the store was asked, with this outcome.
    pub(super) fn asked_store(&self, outcome: &str) -> u64 {
        self.world.asked_store("Vault", outcome)
    }

    /// Returns how often somebody logged in at the store.
    pub(super) fn logins(&self) -> u64 {
        self.world.counted("waxwing_logins_total{service=\"Vault\",outcome=\"logged-in\"} ")
    }
}

pub(super) const OWN: &str = r#"
path "secret/data/NS/*" { capabilities = ["read"] }
path "secret/metadata/NS/*" { capabilities = ["read"] }
path "kv1/NS/*" { capabilities = ["read"] }
"#;

pub(super) const OWN_PATHS: &str = "'secret/data/{namespace}/*', 'kv1/{namespace}/*'";

/// The backend, also for references of other tools.
const AS_OTHERS: &str = "  backends: [{name: vault}]
  foreignReferences: {argocdVaultPlugin: vault, vals: {vault: vault, versionedEngines: [secret]}}";

/// What argocd-vault-plugin and vals read.
const FOREIGN: &str = "data: {piped: '<path:secret/data/NS/db#password | base64encode>'}\nstringData:\n  url: 'postgres://<path:secret/data/NS/db#user>:<path:secret/data/NS/db#password#1>@db'\n  vals: ref+vault://secret/NS/db#/password";

pub(super) fn secret(name: &str, fields: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n{fields}\n")
}

#[test]
fn references_become_what_the_store_has_wherever_a_secret_may_have_it_and_nothing_that_comes_out_is_resolved_again() {
    let store = Store::new("refs", OWN);
    let stage = &store.stage;
    store.write("db", &json!({"user": "old", "password": "hunter-old"}));
    store.write(
        "db",
        &json!({"user": "shop", "password": "hunter-one", "port": 5432, "bin": "AAH/", "tls": {"a/b": "hunter-tls"}}),
    );
    let trap = store.at("ref+store://vault/secret/data/NS/db#/password");
    store.write("trap", &json!({"value": trap}));
    store.bao.ask(None, &store.at("kv1/NS/legacy"), &json!({"key": "hunter-legacy"})).unwrap();
    store.write("all", &json!({"first": "hunter-1", "second": "hunter-2", "own": "not this"}));
    store.vault(OWN_PATHS, "");
    // Put in behind the name of the namespace, since base64 may have these two letters too.
    let binary = STANDARD.encode(store.at("ref+store://vault/secret/data/NS/db?decode=base64#/bin"));
    let encoded = STANDARD.encode(store.at("ref+store://vault/secret/data/NS/db#/password"));
    let values = format!(
        "data: {{encoded: ENCODED, binary: BINARY}}\nstringData:\n  password: {trap}\n  url: postgres://ref+store://vault/secret/data/NS/db#/user+:ref+store://vault/secret/data/NS/db#/password+@db:ref+store://vault/secret/data/NS/db#/port\n  pinned: ref+store://vault/secret/data/NS/db?version=1#/password\n  tls: ref+store://vault/secret/data/NS/db#/tls/a~1b\n  whole: ref+store://vault/secret/data/NS/db?version=1\n  legacy: ref+store://vault/kv1/NS/legacy#/key\n  trap: ref+store://vault/secret/data/NS/trap#/value",
    );
    let generated = "resources: [bound.yaml, sealed.yaml, all.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nsecretGenerator:\n- {name: made, literals: ['password=ref+store://vault/secret/data/NS/db#/password'], envs: [some.env], files: [app.conf]}\n- {name: patched, literals: ['password=ref+store://vault/secret/data/NS/db#/user']}\npatches:\n- {target: {kind: Secret, name: patched}, patch: '[{op: replace, path: /data/password, value: ENCODED}]'}\n";
    let bound = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bound}\ndata: {user: ref+store://vault/secret/data/NS/db#/user}\n";
    let annotated = "apiVersion: v1\nkind: Secret\nmetadata: {name: all, annotations: {waxwing.dev/expand: ref+store://vault/secret/data/NS/all}}\nstringData: {own: ref+store://vault/secret/data/NS/db#/user}\n";
    let sealed = stage.sops(
        "sealed.yaml",
        &secret("sealed", &format!("stringData: {{value: {trap}}}")),
        &["--encrypted-regex", "^stringData$"],
    );
    let files = [
        ("app/values.yaml", store.at(&secret("values", &values)).replace("ENCODED", &encoded).replace("BINARY", &binary)),
        ("app/built/kustomization.yaml", store.at(generated).replace("ENCODED", &encoded)),
        ("app/built/some.env", store.at("FROM_ENV=ref+store://vault/secret/data/NS/db#/user\n")),
        ("app/built/app.conf", store.at("# settings\nuser = ref+store://vault/secret/data/NS/db#/user\npass = ref+store://vault/secret/data/NS/db#/password+!\n")),
        ("app/built/bound.yaml", store.at(bound)),
        ("app/built/all.yaml", store.at(annotated)),
        ("app/built/sealed.yaml", sealed),
        ("app/foreign.yaml", store.at(&secret("foreign", FOREIGN))),
    ];
    let commit = stage.commit(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    stage.sync("./app", &format!("{AS_OTHERS}\n  bindInto: [ConfigMap]"));
    stage.applied(&commit);
    for (name, key, wanted) in [
        ("values", "password", "hunter-one"),
        ("values", "encoded", "hunter-one"),
        ("values", "url", "postgres://shop:hunter-one@db:5432"),
        ("values", "pinned", "hunter-old"),
        ("values", "tls", "hunter-tls"),
        ("values", "whole", r#"{"password":"hunter-old","user":"old"}"#),
        ("values", "legacy", "hunter-legacy"),
        ("values", "trap", trap.as_str()),
        ("sealed", "value", trap.as_str()),
        ("made", "password", "hunter-one"),
        ("made", "FROM_ENV", "shop"),
        ("made", "app.conf", "# settings\nuser = shop\npass = hunter-one!\n"),
        ("patched", "password", "hunter-one"),
        ("all", "first", "hunter-1"),
        ("all", "second", "hunter-2"),
        ("all", "own", "shop"),
        ("foreign", "piped", "hunter-one"),
        ("foreign", "url", "postgres://shop:hunter-old@db"),
        ("foreign", "vals", "hunter-one"),
    ] {
        assert_eq!(stage.secret_value(name, key).as_deref(), Some(wanted), "{key} of {name}");
    }
    let values = stage.get("secret/values").unwrap();
    assert_eq!(STANDARD.decode(values["data"]["binary"].as_str().unwrap()).unwrap(), [0, 1, 255]);
    assert_eq!(stage.get("configmap/bound").unwrap()["data"]["user"], "shop");
    assert_eq!(stage.get("secret/all").unwrap()["data"].as_object().unwrap().len(), 3);
    // Each secret and version once: what is new is read at once, and the answer says which version it is.
    assert_eq!((store.asked_store("version"), store.asked_store("read")), (0, 5));
    store.was_recorded();
    // So is another version that has the same values.
    let before = store.records("Secret/NS/values").len();
    store.write("trap", &json!({"value": trap}));
    let request = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": "for the audit log"}}});
    stage.cluster.merge(&stage.path("sync/app").unwrap(), &request).unwrap();
    let again = || match store.records("Secret/NS/values").get(before..) {
        Some([record]) if record.to_string().contains(r#""version":"2""#) => Ok(record.clone()),
        others => Err(format!("{others:?}")),
    };
    let record = eventually(PATIENCE, "the other version is recorded", again).unwrap();
    let of_trap = record["values"].as_array().unwrap().iter().find(|value| value["key"] == "/data/trap").unwrap();
    assert_eq!(of_trap["from"][0]["version"], "2");
    store.told_nothing(&[
        "hunter-one",
        "hunter-old",
        "hunter-tls",
        "hunter-legacy",
        "hunter-2",
        "client_token",
        "eyJhbGci",
    ]);
}

impl Store {
    /// Returns the records of the audit log about an object.
    pub(super) fn records(&self, object: &str) -> Vec<Value> {
        let object = json!(self.at(object));
        let lines = self.controller.log();
        let records = lines.lines().filter(|line| line.contains("\"waxwing::audit\""));
        records
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|record: &Value| record["object"] == object)
            .collect()
    }

    /// Sees that each reference that was resolved is in the audit log once: who, through which backend, which path and version, and where to.
    fn was_recorded(&self) {
        let values = self.records("Secret/NS/values");
        let [record] = values.as_slice() else { panic!("{values:?}") };
        let (sync, account) = (self.at("NS/app"), self.at("NS/deployer"));
        assert_eq!((&record["sync"], &record["service_account"]), (&json!(sync), &json!(account)));
        let from = |record: &Value, key: &str| {
            let values = record["values"].as_array().unwrap();
            values.iter().find(|value| value["key"] == key).unwrap()["from"].as_array().unwrap().clone()
        };
        let source = |key: &str, reference: &str, version: &str| {
            json!({"file": "app/values.yaml", "document": 0, "key_path": format!("/stringData/{key}"), "scheme": "reference",
                "recipient": self.at("SecretBackend NS/vault"), "reference": self.at(reference), "version": version})
        };
        let password = "ref+store://vault/secret/data/NS/db#/password";
        assert_eq!(from(record, "/data/password"), [source("password", password, "2")]);
        let pinned = password.replace('#', "?version=1#");
        assert_eq!(from(record, "/data/pinned"), [source("pinned", &pinned, "1")]);
        assert_eq!(from(record, "/data/legacy"), [source("legacy", "ref+store://vault/kv1/NS/legacy#/key", "")]);
        let resolved = |sources: Vec<Value>| -> Vec<Value> {
            let of_stores = sources.iter().filter(|source| source["scheme"] == "reference");
            of_stores.map(|source| source["reference"].clone()).collect()
        };
        let user = password.replace("password", "user");
        let all = [user.as_str(), password, &password.replace("password", "port")].map(|text| json!(self.at(text)));
        assert_eq!(resolved(from(record, "/data/url")), all);
        // Also where another tool's way of writing it stands in Git.
        let foreign = self.records("Secret/NS/foreign");
        assert_eq!(resolved(from(&foreign[0], "/data/vals")), [json!(self.at(password))]);
        let bound = self.records("ConfigMap/NS/bound");
        assert_eq!(resolved(from(&bound[0], "/data/user")), [json!(self.at(&user))]);
        let took = self.world.counted("waxwing_store_request_duration_seconds_count{store=\"Vault\"} ");
        assert_eq!(took, self.asked_store("version") + self.asked_store("read"));
    }
}

#[test]
fn a_tenant_gets_no_path_of_another_by_any_spelling_and_nobody_is_asked_for_it() {
    // The store itself would let it.
    let store = Store::new("refs-bank", "path \"*\" { capabilities = [\"read\", \"list\"] }");
    let stage = &store.stage;
    store.bao.ask(None, "secret/data/bank/db", &json!({"data": {"password": "hunter-bank"}})).unwrap();
    store.vault("'secret/data/{namespace}/*'", "");
    let tries = [
        "ref+store://vault/secret/data/bank/db#/password",
        "ref+store://vault/secret/data/NS/../bank/db#/password",
        "ref+store://vault/secret/data/NS/%2e%2e/bank/db#/password",
        "ref+store://vault/secret/data/NS/..%2fbank%2fdb#/password",
        "ref+store://vault/secret/data/NS/..%252f..%252fbank%252fdb#/password",
        "ref+store://vault/secret/data/NS/db/../../bank/db#/password",
        "ref+store://vault/secret/data//bank/db#/password",
        "ref+store://vault/secret/data/bank/NS#/password",
        "ref+store://vault/secret/data/{namespace}/db#/password",
        "ref+store://vault/secret/data/*/db#/password",
        "ref+store://vault/secret/data/%62ank/db#/password",
        "ref+store://vault/secret/metadata/NS/db#/password",
        "ref+store://vault/secret/data/NS#/password",
        "ref+store://vault/secret/data/NS/db/deeper#/password",
        "ref+store://vault/Secret/data/NS/db#/password",
        "ref+store://vault/sys/raw/NS/db#/password",
        "ref+store://vault/secret/data/NS/db%00#/password",
        "ref+store://vault/secret/data/NS/db%3Fversion%3D1/../../bank#/password",
        "ref+store://vault/secret/data/NS/a%5C..%5Cbank#/password",
        "ref+store://other/secret/data/NS/db#/password",
        "ref+store://vault.bank/secret/data/NS/db#/password",
        "ref+store://bank/vault/secret/data/NS/db#/password",
        "ref+clusterstore://vault/secret/data/NS/db#/password",
        "ref+store://vault@169.254.169.254/secret/data/NS/db#/password",
        "ref+store://vault/secret/data/NS/db?address=http://169.254.169.254/#/password",
        "ref+store://vault/secret/data/NS/db?namespace=bank#/password",
        "ref+stores://vault/secret/data/NS/db#/password",
        "secretref+store://vault/secret/data/NS/db#/password",
        "ref+store://vault/secret/data/NS/db#password",
        "ref+store://vault/secret/data/NS/db#/password and more",
        // As other tools write it.
        "<path:secret/data/bank/db#password>",
        "<path:secret/data/bank/db#password#1>",
        "<path:secret/data/NS/../bank/db#password>",
        "<path:secret/data/NS/%2e%2e/bank/db#password>",
        "ref+vault://secret/bank/db#/password",
        "secretref+vault://secret/bank/db#/password",
        "ref+vault://secret/bank/db/password",
        "ref+vault://secret/NS/../bank/db#/password",
        "ref+vault://secret/..%2fdata%2fbank/db#/password",
        "ref+vault://secret/NS/db?address=http://169.254.169.254#/password",
        "ref+vault://secret/NS/db?namespace=bank#/password",
    ];
    let one = |(number, reference): (usize, &&str)| {
        let text = serde_json::to_string(&store.at(reference)).unwrap();
        secret(&format!("taken-{number}"), &format!("stringData: {{password-{number}-: {text}}}"))
    };
    let documents: Vec<String> = tries.iter().enumerate().map(one).collect();
    stage.commit(&[("app/taken.yaml", &documents.join("---\n"))]);
    stage.sync("./app", AS_OTHERS);
    // What is malformed, and what is a reference that nobody may ask for, in one list.
    let refused = store.fails("ReferenceRefused");
    for (number, reference) in tries.iter().enumerate() {
        assert!(refused.contains(&format!("/password-{number}-")), "{reference}");
        assert!(!stage.has(&format!("secret/taken-{number}")), "{reference}");
    }
    // Wherever else a reference may stand.
    let taken = "ref+store://vault/secret/data/bank/db";
    let elsewhere = [
        secret("encoded", &format!("data: {{a: {}}}", STANDARD.encode(format!("x{taken}#/password+x")))),
        secret(&format!("all, annotations: {{waxwing.dev/expand: '{taken}'}}"), ""),
        secret("placeholder", &format!("data: {{a: {}}}", STANDARD.encode("<path:secret/data/bank/db#password>"))),
    ];
    stage.commit(&[
        ("app/taken.yaml", &elsewhere.join("---\n")),
        (
            "app/made/kustomization.yaml",
            &format!("secretGenerator: [{{name: made, literals: ['a={taken}#/password']}}]\n"),
        ),
    ]);
    let placed = eventually(PATIENCE, "they are refused too", || match store.fails("ReferenceRefused") {
        told if told == refused => Err(told),
        told => Ok(told),
    });
    insta::assert_snapshot!(format!("{refused}\n\n{}\n", placed.unwrap()));
    ["secret/encoded", "secret/all", "secret/placeholder"].iter().for_each(|name| assert!(!stage.has(name)));

    // Nor does a backend lead to where nobody allowed it, by any spelling of an address.
    let port = store.bao.port();
    let addresses = [
        "http://169.254.169.254".to_owned(),
        "http://[::ffff:169.254.169.254]".to_owned(),
        "http://2852039166".to_owned(),
        "http://metadata.google.internal".to_owned(),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1.evil.example:{port}"),
    ];
    let backend = |(number, address): (usize, &String)| {
        let auth = "{kubernetes: {role: shop, audience: vault}}";
        let (head, name) = ("apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend", format!("elsewhere-{number}"));
        let spec = format!("{{vault: {{address: '{address}', auth: {auth}}}, allow: {{paths: ['*/*/*/*']}}}}");
        format!("{head}\nmetadata: {{name: {name}, namespace: {}}}\nspec: {spec}\n", stage.namespace)
    };
    let backends: Vec<String> = addresses.iter().enumerate().map(backend).collect();
    stage.cluster.apply_yaml(&backends.join("---\n")).unwrap();
    let elsewhere: Vec<String> =
        (0..addresses.len()).map(|number| format!("secretbackend/elsewhere-{number}")).collect();
    let is_refused = ["wait", "--for=jsonpath={.status.conditions[0].reason}=KeyNotAllowed", "--timeout=60s"];
    stage.kubectl(&is_refused.into_iter().chain(elsewhere.iter().map(String::as_str)).collect::<Vec<_>>()).unwrap();
    stage.patch_spec(r#"{"secrets": {"backends": [{"name": "elsewhere-0"}], "foreignReferences": null}}"#);
    stage.commit(&[("app/taken.yaml", &secret("taken", "stringData: {a: 'ref+store://elsewhere-0/a/b/c/d#/e'}"))]);
    stage.remove(&["app/made/kustomization.yaml"]);
    let told = stage.sync_is("KeyNotAllowed", |sync| condition(sync, "Ready")["reason"] == "KeyNotAllowed");
    let words = format!("leads to {}, which is not among the controller's backend origins", addresses[0]);
    assert!(condition(&told, "Ready")["message"].as_str().unwrap().contains(&words), "{told}");
    store.never_asked();
    assert_eq!(store.logins(), 0);
    store.told_nothing(&["hunter-bank"]);
}

#[test]
fn all_references_that_fail_are_told_at_once_with_their_reasons_and_nothing_is_half_applied() {
    let policy = format!(
        "{OWN}\npath \"secret/data/NS/denied\" {{ capabilities = [\"deny\"] }}\npath \"secret/metadata/NS/denied\" {{ capabilities = [\"deny\"] }}\npath \"transit/*\" {{ capabilities = [\"read\"] }}"
    );
    let store = Store::new("refs-fail", &policy);
    let stage = &store.stage;
    store.bao.mount_transit(None, "transit").unwrap();
    store.vault(&format!("{OWN_PATHS}, 'transit/keys/*', 'secret/metadata/{{namespace}}/*'"), "");
    store.write("db", &json!({"password": "hunter-one"}));
    store.write("gone", &json!({"password": "hunter-one"}));
    store.bao.ask(None, &store.at("secret/delete/NS/gone"), &json!({"versions": [1]})).unwrap();
    store.write("denied", &json!({"password": "hunter-denied"}));
    store.write("large", &json!({"password": "x".repeat(1024 * 1024)}));
    let good = secret("good", &store.at("stringData: {password: 'ref+store://vault/secret/data/NS/db#/password'}"));
    let commit = stage.commit(&[("app/good.yaml", &good), ("app/settings.yaml", &config_map("settings", "a"))]);
    let (tls, auth) = (store.bao.tls_address(), "{kubernetes: {role: shop, audience: vault}}");
    store.backend("tls", &format!("{{vault: {{address: '{tls}', auth: {auth}}}, allow: {{paths: [{OWN_PATHS}]}}}}"));
    stage.sync("./app", "  backends: [{name: vault}, {name: tls}]");
    stage.applied(&commit);

    let bad = "stringData:
  missing: ref+store://vault/secret/data/NS/missing#/password
  denied: ref+store://vault/secret/data/NS/denied#/password
  outside: ref+store://vault/secret/data/bank/db#/password
  engine: ref+store://vault/transit/keys/a#/password
  metadata: ref+store://vault/secret/metadata/NS/db#/current_version
  unversioned: ref+store://vault/kv1/NS/x?version=1#/password
  nothing: ref+store://vault/kv1/NS/missing#/password
  other: ref+store://other/secret/data/NS/db#/password
  untrusted: ref+store://tls/secret/data/NS/db#/password";
    stage.commit(&[
        ("app/bad.yaml", &secret("bad", &store.at(bad))),
        ("app/bound.yaml", &store.at("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bound}\ndata: {a: b}\n")),
        ("app/settings.yaml", &config_map("settings", "b")),
    ]);
    let first = store.fails("ReferenceDenied");
    let bad = "stringData:
  deleted: ref+store://vault/secret/data/NS/gone#/password
  version: ref+store://vault/secret/data/NS/db?version=7#/password
  word: ref+store://vault/secret/data/NS/db?version=latest#/password
  large: ref+store://vault/secret/data/NS/large#/password
  unversioned: ref+store://vault/kv1/NS/x?version=1#/password
  key: ref+store://vault/secret/data/NS/db#/user
  base64: ref+store://vault/secret/data/NS/db?decode=base64#/password";
    stage.commit(&[("app/bad.yaml", &secret("bad", &store.at(bad)))]);
    let second = eventually(PATIENCE, "the values fail", || {
        let told = store.fails("ReferenceNotFound");
        if told.contains("version=7") { Ok(told) } else { Err(told) }
    });
    let second = second.unwrap();
    insta::assert_snapshot!(format!("{first}\n\n{second}"));
    // What was read all the same, for a Secret that was not even opened, is in the audit log.
    let lines = store.records("Secret/NS/bad");
    let values: Vec<&Value> = lines.iter().flat_map(|line| line["values"].as_array().unwrap()).collect();
    assert!(!values.is_empty() && lines.iter().all(|line| line["result"] == "unopened"), "{lines:?}");
    assert_eq!(store.records("Secret/NS/good").len(), 1, "nothing was read for what is there");
    for value in values {
        let [key, from] = [&value["key"], &value["from"][0]];
        let of_it = store.at(match key.as_str().unwrap() {
            "/stringData/key" => "ref+store://vault/secret/data/NS/db#/user",
            "/stringData/base64" => "ref+store://vault/secret/data/NS/db?decode=base64#/password",
            _ => panic!("{value} was never read"),
        });
        assert_eq!((&from["reference"], &from["version"]), (&of_it.into(), &"1".into()));
        assert_eq!(from["recipient"], store.at("SecretBackend NS/vault"));
    }
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["key"], "a", "half of a refused revision was applied");
    assert!(!stage.has("configmap/bound") && !stage.has("secret/bad"));
    assert_eq!(stage.secret_value("good", "password").as_deref(), Some("hunter-one"));

    // What is malformed hides nothing of the rest, wherever it stands, and is in the same list.
    let worse = "stringData:
  malformed: ref+store://vault/secret/data/NS/../db#/password
  denied: ref+store://vault/secret/data/NS/denied#/password";
    let built = "generatorOptions: {disableNameSuffixHash: true}\nsecretGenerator:\n- name: built\n  literals: ['a=ref+stores://vault/secret/data/NS/db#/password', 'b=ref+store://vault/secret/data/NS/missing#/password', 'c=ref+store://vault/secret/data/NS/db#/password']\n";
    let lines = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bound}\ndata: {a: 'x ref+store://vault/secret/data/NS/db#password'}\n";
    let misplaced = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: misplaced}\ndata: {a: ref+store://vault/secret/data/NS/unasked#/a}\n";
    stage.commit(&[
        ("app/bad.yaml", &secret("bad", &store.at(worse))),
        (
            "app/other.yaml",
            &secret("other", &store.at("stringData: {outside: 'ref+store://vault/secret/data/bank/db#/password'}")),
        ),
        ("app/built/kustomization.yaml", &store.at(built)),
        ("app/bound.yaml", &store.at(lines)),
        ("app/misplaced.yaml", &store.at(misplaced)),
    ]);
    let third = store.fails("ReferenceRefused");
    insta::assert_snapshot!("together", third);
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["key"], "a", "half of a refused revision was applied");
    for object in ["configmap/bound", "configmap/misplaced", "secret/bad", "secret/other", "secret/built"] {
        assert!(!stage.has(object), "{object}");
    }
    // Once that is mended alone, the rest is told as it was.
    let mended = worse.replace("/../", "/");
    stage.remove(&["app/built/kustomization.yaml"]);
    stage.commit(&[("app/bad.yaml", &secret("bad", &store.at(&mended))), ("app/bound.yaml", "")]);
    let told = store.fails("BindingRefused");
    let all = ["/data/a may not end in", "/stringData/denied", "/stringData/outside"];
    assert!(all.iter().all(|one| told.contains(one)), "{told}");
    stage.remove(&["app/other.yaml", "app/misplaced.yaml"]);

    // Where no value may end, nobody is asked for one; nothing else that is asked for now is missing.
    let missing = store.asked_store("not-found");
    stage.commit(&[
        ("app/bad.yaml", ""),
        ("app/bound.yaml", &store.at("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bound}\ndata: {a: 'ref+store://vault/secret/data/NS/new#/a'}\n")),
    ]);
    let told = store.fails("BindingRefused");
    assert!(told.contains("spec.secrets.bindInto"), "{told}");
    assert_eq!(store.asked_store("not-found"), missing);
    store.told_nothing(&["hunter-one", "hunter-denied"]);
}
