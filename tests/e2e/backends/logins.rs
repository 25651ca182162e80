//! Logins at a real OpenBao: how many there are, who uses which, when each ends; and each way to log in.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use waxwing_harness::{Authority, Identity, eventually};

use super::references::{OWN, OWN_PATHS, Store, secret};
use crate::stage::{PATIENCE, Stage, condition};

/// How many Syncs the tenant has.
const SYNCS: usize = 5;

impl Store {
    /// Returns the tokens that there are, by the namespace of the ServiceAccount that logged in, with their accessors.
    fn tokens(&self) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for token in self.bao.logged_in().unwrap() {
            let text = |pointer: &str| token.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            all.entry(text("/meta/service_account_namespace")).or_default().push(text("/accessor"));
        }
        all
    }

    /// Waits until a namespace has one token and none of those before, and returns its accessor.
    fn another_token(&self, namespace: &str, before: &[&str]) -> String {
        let found = eventually(PATIENCE, "there is one token, and another one", || {
            let tokens = self.tokens();
            match tokens.get(namespace).map(Vec::as_slice) {
                Some([token]) if !before.contains(&token.as_str()) => Ok(token.clone()),
                _ => Err(format!("{tokens:?} after {before:?}")),
            }
        });
        found.unwrap()
    }

    fn rotated(&self, value: &str) {
        self.write("db-0", &json!({"password": value}));
        self.value_is("db-0", "password", value);
    }
}

/// Has a tenant use the store in several Syncs, and waits until all of them are Ready.
fn with_syncs(stage: &Stage, store: &Store, count: usize) {
    let text = |number: usize| {
        let fields = format!(
            "stringData: {{password: 'ref+store://vault/secret/data/{}/db-{number}#/password'}}",
            stage.namespace
        );
        (format!("app-{number}/db.yaml"), secret(&format!("db-{number}"), &fields))
    };
    let files: Vec<_> = (0..count).map(text).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    for number in 0..count {
        let path = format!("secret/data/{}/db-{number}", stage.namespace);
        store.bao.ask(None, &path, &json!({"data": {"password": "hunter-first"}})).unwrap();
    }
    stage.commit(&files);
    stage.source();
    let spec = |number: usize| {
        format!("path: ./app-{number}\nserviceAccountName: deployer\nsecrets: {{backends: [{{name: vault}}]}}\n")
    };
    (0..count).for_each(|number| {
        stage.declare(&if number == 0 { "app".to_owned() } else { format!("app-{number}") }, &spec(number))
    });
    stage.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "syncs", "--all"]).unwrap();
}

#[test]
fn one_login_serves_all_syncs_of_an_identity_and_no_other_and_is_ended_when_it_is_lost() {
    let policy = "path \"secret/+/*\" { capabilities = [\"read\"] }";
    let mut store = Store::new("logins", policy);
    let bank = Stage::on(store.stage.cluster, "logins-bank");
    let role = json!({
        "bound_service_account_names": ["deployer"],
        "bound_service_account_namespaces": [store.stage.namespace, bank.namespace],
        "audience": "vault",
        "token_policies": ["shop"],
    });
    store.bao.ask(None, "auth/kubernetes/role/shop", &role).unwrap();
    store.vault(OWN_PATHS, ", refreshInterval: 1s");
    with_syncs(&store.stage, &store, SYNCS);
    let own = store.stage.namespace.clone();
    assert_eq!(store.logins(), 1, "{SYNCS} Syncs of one identity");
    assert!(store.kept("token") >= SYNCS as u64 - 1);
    let first = store.another_token(&own, &[]);

    // Another tenant with the very same backend has a login of its own.
    let spec = format!(
        "{{vault: {{address: '{}', auth: {{kubernetes: {{role: shop, audience: vault}}}}}}, allow: {{paths: [{OWN_PATHS}]}}}}",
        store.bao.address()
    );
    let backend = format!(
        "apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: vault, namespace: {}}}\nspec: {spec}\n",
        bank.namespace
    );
    bank.cluster.apply_yaml(&backend).unwrap();
    with_syncs(&bank, &store, 1);
    assert_eq!(store.logins(), 2);
    let of_bank = store.another_token(&bank.namespace, &[]);
    assert_eq!(store.another_token(&own, &[]), first);

    // A token that ends before its time is replaced amid the work, once for all.
    store.bao.ask(None, "auth/token/revoke-accessor", &json!({"accessor": first})).unwrap();
    store.rotated("hunter-second");
    let second = store.another_token(&own, &[&first]);
    store.stage.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "syncs", "--all"]).unwrap();
    assert_eq!(store.logins(), 3);

    // What a login was made with is another: so is the login, and the last one is ended.
    store.vault(&format!("{OWN_PATHS}, 'secret/data/more/*'"), ", refreshInterval: 1s");
    let third = store.another_token(&own, &[&first, &second]);
    assert_eq!(store.logins(), 4);
    store.stage.kubectl(&["delete", "serviceaccount", "deployer"]).unwrap();
    store.stage.kubectl(&["create", "serviceaccount", "deployer"]).unwrap();
    store.another_token(&own, &[&first, &second, &third]);
    store.rotated("hunter-third");
    assert_eq!((store.logins(), store.another_token(&bank.namespace, &[])), (5, of_bank));
    store.told_nothing(&["hunter-first", "hunter-second", "hunter-third", "client_token", "eyJhbGci"]);

    assert!(store.world.controller.terminate(Duration::from_secs(30)).unwrap().success());
    assert_eq!(store.tokens(), BTreeMap::new(), "a controller that ends in order left tokens behind");
}

#[test]
fn a_backend_says_whether_it_can_be_used_who_logged_in_and_until_when_and_is_not_written_for_nothing() {
    let mut store = Store::new("standing", OWN);
    let role = json!({
        "bound_service_account_names": ["deployer"],
        "bound_service_account_namespaces": [store.stage.namespace],
        "audience": "vault",
        "token_policies": ["shop"],
        "token_ttl": "20m",
    });
    store.bao.ask(None, "auth/kubernetes/role/shop", &role).unwrap();
    store.vault(OWN_PATHS, ", refreshInterval: 1s");
    let waits = |store: &Store, condition: &str| {
        store
            .stage
            .kubectl(&["wait", &format!("--for=condition={condition}"), "--timeout=60s", "secretbackend", "vault"])
            .unwrap();
    };
    // Also before any Sync uses it.
    waits(&store, "Ready");
    with_syncs(&store.stage, &store, 2);
    let path = format!("/apis/waxwing.dev/v1alpha1/namespaces/{}/secretbackends/vault", store.stage.namespace);
    let listed = |store: &Store, is_fine: &dyn Fn(&Value) -> bool| {
        let found = eventually(PATIENCE, "the status", || {
            let backend = store.stage.cluster.get(&path).unwrap();
            if is_fine(&backend["status"]) { Ok(backend) } else { Err(backend["status"].to_string()) }
        });
        found.unwrap()
    };
    let account = format!("{}/deployer", store.stage.namespace);
    let is_in = |status: &Value| {
        status["logins"][0]["serviceAccount"] == *account && status["logins"][0]["tokenExpiresAt"].is_string()
    };
    let known = listed(&store, &is_in);
    assert!(
        known["status"]["checkedAt"].is_string() && known["status"]["logins"].as_array().unwrap().len() == 1,
        "{known}"
    );
    let table = store.stage.kubectl(&["get", "secretbackend", "vault"]).unwrap();
    assert!(table.starts_with("NAME    READY   SINCE") && table.contains("The server answers"), "{table}");

    // Versions are asked for each second, and nothing is written about it.
    let before = store.asked_store("version");
    eventually(PATIENCE, "versions are asked for", || {
        if store.asked_store("version") > before + 4 { Ok(()) } else { Err("not yet") }
    })
    .unwrap();
    assert_eq!(
        store.stage.cluster.get(&path).unwrap()["metadata"]["resourceVersion"],
        known["metadata"]["resourceVersion"]
    );

    // Whoever is not let in any more is named, with the reason.
    store.bao.ask(None, "auth/kubernetes/role/shop", &json!({"bound_service_account_names": ["nobody"], "bound_service_account_namespaces": ["nowhere"], "token_policies": ["shop"], "audience": "vault"})).unwrap();
    let token = store.another_token(&store.stage.namespace, &[]);
    store.bao.ask(None, "auth/token/revoke-accessor", &json!({"accessor": token})).unwrap();
    let refused = listed(&store, &|status| status["logins"][0]["problem"].is_string());
    let ready = condition(&refused, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ReferenceDenied")));
    assert!(ready["message"].as_str().unwrap().contains(&account), "{ready}");
    store.bao.stop();
    store.vault(OWN_PATHS, ", refreshInterval: 2s");
    let away = listed(&store, &|status| status["conditions"][0]["reason"] == "StoreUnavailable");
    assert!(condition(&away, "Ready")["message"].as_str().unwrap().contains("nobody listens there"), "{away}");
    store.told_nothing(&["hunter-first", "client_token"]);
}

/// Names a backend with this way to log in.
fn logs_in(store: &Store, name: &str, auth: &str) {
    let (address, pem) = (store.bao.tls_address(), serde_json::to_string(&store.authority.pem()).unwrap());
    let server = format!("address: '{address}', caBundle: {pem}, auth: {auth}");
    store.backend(name, &format!("{{vault: {{{server}}}, allow: {{paths: [{OWN_PATHS}]}}}}"));
}

fn kept(store: &Store, name: &str, entries: &[(&str, &str)]) {
    let entries: Vec<String> =
        entries.iter().map(|(key, value)| format!("{key}: {}", serde_json::to_string(value).unwrap())).collect();
    let secret = secret(name, &format!("stringData: {{{}}}", entries.join(", ")));
    let placed = secret.replace("metadata: {", &format!("metadata: {{namespace: {}, ", store.stage.namespace));
    store.stage.cluster.apply_yaml(&placed).unwrap();
}

/// Has the store know the tenant by a signed token, by an AppRole and by a certificate. Returns the id of the role.
fn admit(store: &Store) -> String {
    let (bao, stage) = (&store.bao, &store.stage);
    // The keys that tokens are checked with are public; the server fetches them as nobody.
    let binding = format!("keys-{}", stage.namespace);
    let bind = ["create", "clusterrolebinding", &binding, "--clusterrole=system:service-account-issuer-discovery"];
    stage.cluster.kubectl(&[&bind[..], &["--group=system:unauthenticated"]].concat()).unwrap();
    for method in ["jwt", "approle", "cert"] {
        bao.ask(None, &format!("sys/auth/{method}"), &json!({"type": method})).unwrap();
    }
    let keys =
        json!({"jwks_url": format!("{}/openid/v1/jwks", stage.cluster.url()), "jwks_ca_pem": stage.cluster.ca_pem()});
    bao.ask(None, "auth/jwt/config", &keys).unwrap();
    let role = json!({
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["vault"],
        "bound_subject": format!("system:serviceaccount:{}:deployer", stage.namespace),
        "token_policies": ["shop"],
    });
    bao.ask(None, "auth/jwt/role/shop", &role).unwrap();
    bao.ask(None, "auth/approle/role/shop", &json!({"token_policies": ["shop"]})).unwrap();
    let certified =
        json!({"certificate": store.authority.pem(), "token_policies": ["shop"], "allowed_common_names": ["shop"]});
    bao.ask(None, "auth/cert/certs/shop", &certified).unwrap();
    let role = bao.read("auth/approle/role/shop/role-id").unwrap();
    role.pointer("/data/role_id").and_then(Value::as_str).unwrap().to_owned()
}

const SECRET_ID: &str = "auth/approle/role/shop/secret-id";

#[test]
fn each_way_to_log_in_gets_in_and_one_that_does_not_says_what_to_do() {
    let mut store = Store::new("ways", OWN);
    let role_id = admit(&store);
    let made = store.bao.ask(None, SECRET_ID, &json!({})).unwrap();
    let secret_id = made.pointer("/data/secret_id").and_then(Value::as_str).unwrap().to_owned();
    let wrapping = store.bao.ask_wrapped(SECRET_ID, &json!({})).unwrap();
    let Identity { certificate_pem, key_pem } = store.authority.client("shop", None).unwrap();
    kept(&store, "approle", &[("secretId", &format!("{secret_id}\n"))]);
    kept(&store, "wrapped", &[("secretId", &wrapping)]);
    kept(&store, "client", &[("tls.crt", &certificate_pem), ("tls.key", &key_pem)]);
    let signed = |role: &str, audience: &str| format!("{{jwt: {{role: {role}, audience: {audience}}}}}");
    let approle =
        |secret: &str, more: &str| format!("{{appRole: {{roleId: {role_id}, secretRef: {{name: {secret}}}{more}}}}}");
    let certificate = "{cert: {role: shop, secretRef: {name: client}}}";
    logs_in(&store, "signed", &signed("shop", "vault"));
    logs_in(&store, "approle", &approle("approle", ""));
    logs_in(&store, "wrapped", &approle("wrapped", ", wrapped: true"));
    logs_in(&store, "certificate", certificate);
    store.write("db", &json!({"password": "hunter-one"}));
    let reference = |backend: &str| format!("{backend}: 'ref+store://{backend}/secret/data/NS/db#/password'");
    let all = ["signed", "approle", "wrapped", "certificate"];
    let using = store.at(&secret("db", &format!("stringData: {{{}}}", all.map(reference).join(", "))));
    let commit = store.stage.commit(&[("app/db.yaml", &using)]);
    store.stage.sync("./app", &format!("  backends: [{}]", all.map(|name| format!("{{name: {name}}}")).join(", ")));
    store.stage.applied(&commit);
    all.iter().for_each(|backend| assert_eq!(store.stage.secret_value("db", backend).as_deref(), Some("hunter-one")));
    assert_eq!(store.logins(), 4);

    // What was taken out of its wrapping is kept, also where the token is not.
    for token in store.bao.logged_in().unwrap() {
        store.bao.ask(None, "auth/token/revoke-accessor", &json!({"accessor": token["accessor"]})).unwrap();
    }
    let asks = |store: &Store, word: &str| {
        let request = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": word}}});
        store.stage.cluster.merge(&store.stage.path("sync/app").unwrap(), &request).unwrap();
    };
    // Neither does another version of the Secret, or of the backend, ask for another wrapping, which would be the same one.
    store.stage.kubectl(&["label", "secret", "wrapped", "touched=yes"]).unwrap();
    store
        .stage
        .kubectl(&["patch", "secretbackend", "wrapped", "--type=merge", "-p", r#"{"spec":{"refreshInterval":"7m"}}"#])
        .unwrap();
    store.write("db", &json!({"password": "hunter-two"}));
    asks(&store, "one");
    store.value_is("db", "wrapped", "hunter-two");
    assert_eq!(store.logins(), 8);

    // Each is turned away, and says so in its own words.
    let stranger = Authority::new("of nobody").unwrap().client("shop", None).unwrap();
    kept(&store, "client", &[("tls.crt", &stranger.certificate_pem), ("tls.key", &stranger.key_pem)]);
    kept(&store, "approle", &[("secretId", "00000000-0000-0000-0000-000000000000")]);
    let other = store.bao.ask_wrapped("sys/wrapping/wrap", &json!({"secret_id": secret_id})).unwrap();
    kept(&store, "wrapped", &[("secretId", &other)]);
    logs_in(&store, "signed", &signed("shop", "bank"));
    asks(&store, "two");
    let refused = eventually(PATIENCE, "all four are refused", || {
        let told = store.fails("ReferenceDenied");
        if all.iter().all(|name| told.contains(&format!("SecretBackend {name}: "))) { Ok(told) } else { Err(told) }
    });
    kept(&store, "client", &[("tls.crt", "nothing"), ("tls.key", &key_pem)]);
    let spent = store.bao.ask_wrapped(SECRET_ID, &json!({})).unwrap();
    store.bao.ask(None, "sys/wrapping/unwrap", &json!({"token": spent})).unwrap();
    kept(&store, "wrapped", &[("secretId", &spent)]);
    let damaged = eventually(PATIENCE, "they fail in another way", || {
        let told = store.fails("ReferenceDenied");
        if told.contains("taken out already") && told.contains("the certificate or the private key") {
            Ok(told)
        } else {
            Err(told)
        }
    });
    insta::assert_snapshot!(format!("{}\n\n{}", refused.unwrap(), damaged.unwrap()));
    assert_eq!(store.stage.secret_value("db", "approle").as_deref(), Some("hunter-two"));

    // All is well again; but for what was wrapped, a start is the end of it.
    kept(&store, "client", &[("tls.crt", &certificate_pem), ("tls.key", &key_pem)]);
    kept(&store, "approle", &[("secretId", &secret_id)]);
    kept(&store, "wrapped", &[("secretId", &store.bao.ask_wrapped(SECRET_ID, &json!({})).unwrap())]);
    logs_in(&store, "signed", &signed("shop", "vault"));
    store.stage.applied(&commit);
    store.told_nothing(&["hunter-one", "hunter-two", &secret_id, &wrapping, "client_token", "eyJhbGci"]);
    store.world.controller.restart().unwrap();
    store.world.controller.wait_ready().unwrap();
    asks(&store, "three");
    let told = store.fails("ReferenceDenied");
    assert!(told.contains("SecretBackend wrapped: ") && told.contains("taken out already"), "{told}");
    kept(&store, "wrapped", &[("secretId", &store.bao.ask_wrapped(SECRET_ID, &json!({})).unwrap())]);
    store.stage.applied(&commit);
    assert_eq!(condition(&store.stage.get("sync/app").unwrap(), "Unsealed")["status"], "True");
}
