//! What a real OpenBao makes for single objects, with users in a real PostgreSQL: made when an object is sent, renewed, replaced before it
//! ends, and revoked when nobody has it any more.

use serde_json::{Value, json};
use waxwing_harness::{Controller, Fault, FaultProxy, Postgres, Rule, eventually};

use super::references::{OWN, Store, secret};
use crate::act::config_map;
use crate::outages;
use crate::stage::{PATIENCE, condition, start_controller};

const POLICY: &str = r#"
path "database/creds/*" { capabilities = ["read"] }
path "pki/issue/*" { capabilities = ["update"] }
"#;

/// What the names begin with that OpenBao gives to users.
const MADE: &str = "v-";

/// A tenant with a database in which the store makes users, and an authority of the store.
struct Scene {
    store: Store,
    database: Postgres,
}

/// A user of the database, as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    password: String,
}

impl Scene {
    fn new(name: &str) -> Self {
        let (database, store) = (Postgres::start().unwrap(), Store::new(name, &format!("{OWN}{POLICY}")));
        let (url, admin, password) = database.connection();
        let bao = &store.bao;
        bao.ask(None, "sys/mounts/database", &json!({"type": "database"})).unwrap();
        let config = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": url,
            "username": admin,
            "password": password,
        });
        bao.ask(None, "database/config/shop", &config).unwrap();
        bao.ask(None, "sys/mounts/pki", &json!({"type": "pki"})).unwrap();
        bao.ask(None, "pki/root/generate/internal", &json!({"common_name": "of a test", "ttl": "24h"})).unwrap();
        let role = json!({"allowed_domains": ["shop.example"], "allow_subdomains": true, "max_ttl": "12h"});
        bao.ask(None, &store.at("pki/roles/NS"), &role).unwrap();
        let scene = Self { store, database };
        scene.lease_for("6s", "12s");
        scene
    }

    /// Says how long users are good for from now on, and the logins that carry their leases.
    fn lease_for(&self, ttl: &str, max_ttl: &str) {
        let create = r#"create role "{{name}}" with login password '{{password}}' valid until '{{expiration}}'"#;
        let role = json!({"db_name": "shop", "creation_statements": [create], "default_ttl": ttl, "max_ttl": max_ttl});
        self.store.bao.ask(None, &self.store.at("database/roles/NS"), &role).unwrap();
        let login = json!({
            "bound_service_account_names": ["deployer"],
            "bound_service_account_namespaces": [self.store.stage.namespace],
            "audience": "vault",
            "token_policies": ["shop"],
            "token_ttl": ttl,
        });
        self.store.bao.ask(None, "auth/kubernetes/role/shop", &login).unwrap();
    }

    /// Returns the user that the Secret has.
    fn user(&self) -> Option<User> {
        self.user_of("db")
    }

    fn user_of(&self, secret: &str) -> Option<User> {
        let entry = |key| self.store.stage.secret_value(secret, key);
        Some(User { name: entry("username")?, password: entry("password")? })
    }

    /// Waits until the Secret has another user than these, who may log in.
    fn another_user(&self, before: &[&User]) -> User {
        let found = eventually(PATIENCE, "another user arrives", || match self.user() {
            Some(user) if !before.contains(&&user) && self.database.lets_in(&user.name, &user.password) => Ok(user),
            other => Err(format!(
                "{:?}; {}",
                other.map(|user| user.name),
                self.store.stage.get("sync/app").unwrap()["status"]
            )),
        });
        found.unwrap()
    }

    /// Returns what the store knows of the leases of users.
    fn leases(&self) -> Vec<Value> {
        let listed = self.store.bao.read(&self.store.at("sys/leases/lookup/database/creds/NS?list=true"));
        let ids = listed.ok().and_then(|listed| listed.pointer("/data/keys").and_then(Value::as_array).cloned());
        // One that ended in between is none.
        let known = ids.unwrap_or_default().into_iter().filter_map(|id| {
            let id = self.store.at(&format!("database/creds/NS/{}", id.as_str().unwrap()));
            self.store.bao.ask(None, "sys/leases/lookup", &json!({"lease_id": id})).ok()?.get("data").cloned()
        });
        known.collect()
    }

    /// Waits until the database has none of the users that were made, but for this one.
    fn no_users_but(&self, left: &User, what: &str) {
        let gone = || match self.database.users(MADE).unwrap() {
            users if users.iter().all(|user| *user == left.name) => Ok(()),
            users => Err(format!("{users:?}")),
        };
        eventually(PATIENCE, what, gone).unwrap();
    }

    /// Writes over the Secret, so that the controller puts it back.
    fn drift(&self) {
        let patch = r#"{"data":{"password":"eA=="}}"#;
        self.store.stage.kubectl(&["patch", "secret", "db", "--type=merge", "--patch", patch]).unwrap();
    }
}

#[test]
fn what_a_store_makes_is_shared_by_the_keys_of_an_object_renewed_replaced_before_it_ends_and_revoked_with_the_sync() {
    let mut scene = Scene::new("leases");
    let Scene { store, database } = &scene;
    let stage = &store.stage;
    let address = store.bao.address();
    let dynamic = "[{path: 'database/creds/*', revokeAfter: 1s}, {path: 'pki/issue/{namespace}', parameters: {common_name: 'db.shop.example', ttl: 2h}}, {path: 'secret/data/{namespace}/kept'}, {path: 'sys/*/*'}]";
    let paths = "'database/creds/{namespace}', 'database/creds/nobody', 'pki/issue/{namespace}', 'secret/data/{namespace}/*', 'sys/*/*'";
    store.backend(
        "vault",
        &format!("{{vault: {{address: '{address}', auth: {{kubernetes: {{role: shop, audience: vault}}}}, dynamic: {dynamic}}}, allow: {{paths: [{paths}]}}}}"),
    );
    store.write("kept", &json!({"password": "hunter-kept"}));
    let db = secret(
        "db",
        "stringData:\n  username: ref+store://vault/database/creds/NS#/username\n  password: ref+store://vault/database/creds/NS#/password\n  dsn: postgres://ref+store://vault/database/creds/NS#/username+@db",
    );
    let bad = secret(
        "bad",
        "stringData:\n  kept: ref+store://vault/secret/data/NS/kept#/password\n  version: ref+store://vault/database/creds/NS?version=1#/password\n  role: ref+store://vault/database/creds/nobody#/password\n  server: ref+store://vault/sys/internal/counters#/data\n  elsewhere: ref+store://vault/database/creds/bank#/password",
    );
    stage.commit(&[("app/db.yaml", &store.at(&db)), ("app/bad.yaml", &store.at(&bad))]);
    stage.sync("./app", "  backends: [{name: vault}]");
    let first = store.fails("ReferenceRefused");
    let bad = store
        .at(&bad)
        .lines()
        .filter(|line| !line.contains("version") && !line.contains("bank"))
        .fold(String::new(), |all, line| all + line + "\n");
    stage.commit(&[("app/bad.yaml", &bad)]);
    let second = eventually(PATIENCE, "the rest is refused", || {
        let told = store.fails("ReferenceRefused");
        if told.contains("nobody#") { Ok(told) } else { Err(told) }
    });
    insta::assert_snapshot!(format!("{first}\n\n{}\n", second.unwrap()));
    assert!(!stage.has("secret/db"));

    // Nothing is left of what was made for a revision that was refused.
    let tls = secret(
        "tls",
        "type: kubernetes.io/tls\nstringData:\n  tls.crt: ref+store://vault/pki/issue/NS#/certificate\n  tls.key: ref+store://vault/pki/issue/NS#/private_key",
    );
    stage.remove(&["app/bad.yaml"]);
    let commit = stage.commit(&[("app/tls.yaml", &store.at(&tls))]);
    stage.applied(&commit);
    let user = scene.another_user(&[]);
    assert_eq!(stage.secret_value("db", "dsn"), Some(format!("postgres://{}@db", user.name)), "all keys share one");
    // The authority's own, and one for both keys.
    let certificates = store.bao.read("pki/certs?list=true").unwrap();
    assert_eq!(certificates["data"]["keys"].as_array().map(Vec::len), Some(2));
    let listed = stage.get("sync/app").unwrap()["status"]["leases"].clone();
    let paths: Vec<_> = listed.as_array().unwrap().iter().map(|lease| lease["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [store.at("database/creds/NS"), store.at("pki/issue/NS")], "what ends first is listed first");
    let (_, page) = store.controller.get("/metrics").unwrap();
    for name in
        ["waxwing_sync_leases", "waxwing_sync_oldest_lease_age_seconds", "waxwing_sync_first_lease_ends_in_seconds"]
    {
        let line = format!("{name}{{namespace=\"{}\",name=\"app\"}} ", stage.namespace);
        assert!(page.lines().any(|other| other.starts_with(&line)), "{name}");
    }

    // Renewed, with the login that carries it; the Secret stays as it is.
    let renewed = || match (scene.leases().as_slice(), database.users(MADE).unwrap().as_slice(), scene.user()) {
        ([lease], [name], Some(user)) if !lease["last_renewal"].is_null() && *name == user.name => {
            Ok((lease["id"].as_str().unwrap().to_owned(), user))
        }
        (leases, users, _) => Err(format!("{leases:?} {users:?}")),
    };
    let (lease, user) = eventually(PATIENCE, "the lease is renewed", renewed).unwrap();

    // Where the server lets it be renewed no more, another is made without a commit, also while the newest can't be applied; and the one
    // before goes soon.
    stage.commit(&[("app/broken.yaml", "kind: {")]);
    let next = scene.another_user(&[&user]);
    assert_eq!(condition(&stage.get("sync/app").unwrap(), "Ready")["reason"], "RenderFailed");
    let commit = stage.remove(&["app/broken.yaml"]);
    stage.applied(&commit);
    let gone = || match database.lets_in(&user.name, &user.password) {
        false => Ok(()),
        true => Err("it is still let in"),
    };
    eventually(PATIENCE, "the user before goes", gone).unwrap();

    // A controller that ends in order leaves the workload what it has, and the next one has another made in time.
    scene.lease_for("12s", "12s");
    scene.drift();
    scene.another_user(&[&user, &next]);
    assert!(!store.controller.log().contains(&lease), "the log has a lease");
    store.told_nothing(&[&user.password, &next.password, "hunter-kept", "BEGIN RSA PRIVATE KEY", "client_token"]);
    let origins = format!("{},{}", store.bao.address(), store.bao.tls_address());
    assert!(scene.store.world.controller.terminate(PATIENCE).unwrap().success());
    let kept = scene.user().unwrap();
    assert!(scene.database.lets_in(&kept.name, &kept.password), "the end of a controller ended what it gave");
    let (cluster, system) = (scene.store.stage.cluster, format!("--namespace={}", scene.store.stage.namespace));
    let flags =
        ["--backend-origin", &origins, "--log-level", "trace", "--leader-election=true", &system, "--key-size=2048"];
    scene.store.world.controller = start_controller(cluster, &flags).unwrap();
    let after = scene.another_user(&[&kept]);

    // One that leads no more ends otherwise, and takes nothing along either.
    scene.lease_for("1h", "2h");
    scene.drift();
    let led = scene.another_user(&[&after]);
    let lease = scene.store.at("/apis/coordination.k8s.io/v1/namespaces/NS/leases/waxwing");
    let spec = json!({"holderIdentity": "elsewhere", "leaseDurationSeconds": 1});
    cluster.merge(&lease, &json!({"spec": spec})).unwrap();
    assert!(!scene.store.world.controller.wait_end(PATIENCE).unwrap().success());
    assert!(scene.database.lets_in(&led.name, &led.password), "a controller that leads no more ended what it gave");
    let proxy = FaultProxy::start(cluster).unwrap();
    let mut behind = outages::options(&proxy);
    behind.arguments.extend(flags.map(str::to_owned));
    scene.store.world.controller = Controller::start(cluster, behind).unwrap();

    // What is good for long goes at once when its Sync does, also where the controller learns that from others.
    proxy.inject(Rule::new(Fault::LoseAnswer).verb("patch").on("/syncs/app").unless("/status"));
    scene.drift();
    let last = scene.another_user(&[&after, &led]);

    // A sync of something else makes none.
    let made = scene.store.asked_store("issued");
    let commit = scene.store.stage.commit(&[("app/settings.yaml", &config_map("settings", "a"))]);
    scene.store.stage.applied(&commit);
    assert_eq!((scene.store.asked_store("issued"), scene.user().as_ref()), (made, Some(&last)));
    scene.store.stage.kubectl(&["delete", "sync", "app", "--timeout=60s"]).unwrap();
    assert!(!scene.store.stage.has("secret/db"));
    // What an earlier controller gave ends by itself.
    scene.no_users_but(&led, "what was made is revoked with the Sync");
    scene.store.told_nothing(&[&kept.password, &after.password, &last.password]);
}

/// A Secret with a user of the database.
fn with_user(name: &str) -> String {
    secret(
        name,
        "stringData:\n  username: ref+store://vault/database/creds/NS#/username\n  password: ref+store://vault/database/creds/NS#/password",
    )
}

impl Scene {
    /// Has the tenant log in by an AppRole, and the store make what is read there, certificates for 18 seconds.
    fn log_in_by_app_role(&self) {
        let Store { bao, .. } = &self.store;
        bao.ask(None, "sys/auth/approle", &json!({"type": "approle"})).unwrap();
        bao.ask(None, "auth/approle/role/shop", &json!({"token_policies": ["shop"], "token_ttl": "1h"})).unwrap();
        let id = |answer: Value, name: &str| answer["data"][name].as_str().unwrap().to_owned();
        let role_id = id(bao.read("auth/approle/role/shop/role-id").unwrap(), "role_id");
        let secret_id = id(bao.ask(None, "auth/approle/role/shop/secret-id", &json!({})).unwrap(), "secret_id");
        let literal = format!("--from-literal=secretId={secret_id}");
        self.store.stage.kubectl(&["create", "secret", "generic", "approle", &literal]).unwrap();
        let auth = format!("{{appRole: {{roleId: {role_id}, secretRef: {{name: approle}}}}}}");
        let dynamic = "[{path: 'database/creds/*'}, {path: 'pki/issue/{namespace}', parameters: {common_name: 'db.shop.example', ttl: 18s}}]";
        let paths = "'database/creds/{namespace}', 'pki/issue/{namespace}'";
        let address = bao.address();
        self.store.backend(
            "vault",
            &format!(
                "{{vault: {{address: '{address}', auth: {auth}, dynamic: {dynamic}}}, allow: {{paths: [{paths}]}}}}"
            ),
        );
    }
}

#[test]
fn each_object_has_a_lease_of_its_own_that_ends_when_it_is_pruned_and_outlives_a_server_that_is_away() {
    let scene = Scene::new("leases-each");
    let Scene { store, database } = &scene;
    let stage = &store.stage;
    scene.lease_for("1h", "2h");
    scene.log_in_by_app_role();
    let tls = secret(
        "tls",
        "type: kubernetes.io/tls\nstringData:\n  tls.crt: ref+store://vault/pki/issue/NS#/certificate\n  tls.key: ref+store://vault/pki/issue/NS#/private_key",
    );
    let files = [("app/db.yaml", with_user("db")), ("app/other.yaml", with_user("other")), ("app/tls.yaml", tls)];
    let files = files.map(|(path, text)| (path, store.at(&text)));
    let commit = stage.commit(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    stage.sync("./app", "  backends: [{name: vault}]");
    stage.applied(&commit);
    let certificate = || stage.secret_value("tls", "tls.crt").unwrap();
    let first = certificate();
    let leases = stage.get("sync/app").unwrap()["status"]["leases"].clone();
    let of_tls = leases.as_array().unwrap().iter().find(|lease| lease["path"] == store.at("pki/issue/NS"));
    let ends = of_tls.unwrap()["expiresAt"].as_str().unwrap()[..19].to_owned();
    let (user, other) = (scene.another_user(&[]), scene.user_of("other").unwrap());
    assert!(user != other && database.lets_in(&other.name, &other.password), "each object has a user of its own");

    // The one that is pruned takes its lease along, and no other.
    let commit = stage.remove(&["app/other.yaml"]);
    stage.applied(&commit);
    scene.no_users_but(&user, "what was made for the one that is pruned is revoked");
    assert!(!stage.has("secret/other") && database.lets_in(&user.name, &user.password));
    assert_eq!(scene.leases().len(), 1);

    // A certificate has no lease, and is replaced before it ends all the same.
    let another = || match certificate() {
        now if now == first => Err("it is still the first"),
        now => Ok(now),
    };
    let second = eventually(PATIENCE, "another certificate arrives", another).unwrap();
    assert!(second.starts_with("-----BEGIN CERTIFICATE-----"), "{second}");
    let records = store.records("Secret/NS/tls");
    let replaced = records[1]["timestamp"].as_str().unwrap();
    assert!(replaced[..19] < *ends, "it was replaced at {replaced}, and the first one ended at {ends}");
    assert_eq!(scene.user().as_ref(), Some(&user), "what is good for longer stays");

    // While the server is away, what was made stays, and is renewed or replaced once it is back.
    scene.lease_for("6s", "1h");
    scene.drift();
    let short = scene.another_user(&[&user]);
    store.bao.seal().unwrap();
    let away = stage.sync_is("StoreUnavailable", |sync| condition(sync, "Ready")["reason"] == "StoreUnavailable");
    assert!(away["status"]["leases"].as_array().unwrap().len() == 2, "{away}");
    assert_eq!(scene.user().as_ref(), Some(&short));
    assert!(stage.has("secret/tls"));
    store.bao.unseal().unwrap();
    let is_well = || match (scene.user(), condition(&stage.get("sync/app").unwrap(), "Ready")) {
        (Some(user), ready) if ready["status"] == "True" && database.lets_in(&user.name, &user.password) => Ok(()),
        (_, ready) => Err(ready.to_string()),
    };
    eventually(PATIENCE, "all is well again", is_well).unwrap();
    store.told_nothing(&[&user.password, &other.password, &short.password, "BEGIN RSA PRIVATE KEY", "client_token"]);
}
