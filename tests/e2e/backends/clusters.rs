//! Backends of the whole cluster, in front of a real OpenBao: who may use them, for what, and as whom.

use std::ops::Deref;

use serde_json::json;

use super::references::{Store, secret};
use crate::stage::{Stage, condition};

/// The name of the backend, which is of the cluster that tests share.
const NAME: &str = "of-the-cluster";

/// A store, and a backend of the cluster that ends with the test.
struct Shared(Store);

impl Deref for Shared {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.stage.cluster.kubectl(&["delete", "clustersecretbackend", NAME, "--ignore-not-found"]));
    }
}

impl Shared {
    /// Writes the backend; `namespaces` says who may use it.
    fn backend(&self, namespaces: &str, auth: &str, more: &str) {
        let address = self.bao.address();
        let spec = format!(
            "{{vault: {{address: '{address}', auth: {auth}}}, allow: {{namespaces: {namespaces}, paths: ['secret/data/{{namespace}}/*']{more}}}}}"
        );
        let head =
            format!("apiVersion: waxwing.dev/v1alpha1\nkind: ClusterSecretBackend\nmetadata: {{name: {NAME}}}\n");
        self.stage.cluster.apply_yaml(&format!("{head}spec: {spec}\n")).unwrap();
    }

    /// Waits until the Sync of a tenant fails for a reason, in these words.
    fn refuses(&self, stage: &Stage, reason: &str, words: &[&str]) {
        stage.sync_is(&format!("{reason} with {words:?}"), |sync| {
            let ready = condition(sync, "Ready");
            let message = ready["message"].as_str().unwrap_or_default();
            ready["reason"] == reason && words.iter().all(|word| message.contains(word))
        });
    }
}

fn using(namespace: &str) -> String {
    let reference = format!("ref+clusterstore://{NAME}/secret/data/{namespace}/db#/password");
    secret("db", &format!("stringData: {{password: '{reference}'}}"))
}

const LOGIN: &str = "{kubernetes: {role: shop, audience: vault}}";

#[test]
fn a_backend_of_the_cluster_gives_each_namespace_that_it_allows_what_is_its_own_and_others_nothing() {
    // The store itself would let both.
    let store = Shared(Store::new("clusters", "path \"secret/+/*\" { capabilities = [\"read\"] }"));
    let (shop, bank) = (&store.stage, Stage::on(store.stage.cluster, "clusters-bank"));
    let (of_shop, of_bank) = (shop.namespace.as_str(), bank.namespace.as_str());
    let role = json!({
        "bound_service_account_names": ["deployer"],
        "bound_service_account_namespaces": [of_shop, of_bank],
        "audience": "vault",
        "token_policies": ["shop"],
    });
    store.bao.ask(None, "auth/kubernetes/role/shop", &role).unwrap();
    for (namespace, value) in [(of_shop, "hunter-shop"), (of_bank, "hunter-bank")] {
        store.bao.ask(None, &format!("secret/data/{namespace}/db"), &json!({"data": {"password": value}})).unwrap();
    }
    store.backend(&format!("{{names: [{of_shop}]}}"), LOGIN, "");
    let backends = format!("  backends: [{{kind: ClusterSecretBackend, name: {NAME}}}]");
    // The tenant has no right to read the backend, and needs none.
    let commit = shop.commit(&[("app/db.yaml", &using(of_shop))]);
    shop.sync("./app", &backends);
    shop.applied(&commit);
    assert_eq!(shop.secret_value("db", "password").as_deref(), Some("hunter-shop"));
    assert_eq!(store.logins(), 1);
    shop.cluster.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "clustersecretbackend", NAME]).unwrap();

    // Whoever is not listed does not learn that there is one, and nobody is called for him.
    let commit_of_bank = bank.commit(&[("app/db.yaml", &using(of_bank))]);
    bank.sync("./app", &backends);
    let unlisted = format!("there is no ClusterSecretBackend {NAME} that allows namespace {of_bank}");
    store.refuses(&bank, "KeyNotAllowed", &[&unlisted, "spec.allow.namespaces"]);
    assert_eq!(store.logins(), 1);

    // Listed by a label of the namespace, it gets its own, as itself, and not what is another's.
    store.backend(&format!("{{names: [{of_shop}], matchLabels: {{tier: gold}}}}"), LOGIN, "");
    shop.cluster.kubectl(&["label", "namespace", of_bank, "tier=gold"]).unwrap();
    bank.applied(&commit_of_bank);
    assert_eq!(bank.secret_value("db", "password").as_deref(), Some("hunter-bank"));
    assert_eq!(store.logins(), 2);
    bank.commit(&[("app/taken.yaml", &using(of_shop).replace("name: db", "name: taken"))]);
    let refused = format!("ClusterSecretBackend {NAME} does not allow the path secret/data/{of_shop}/db");
    store.refuses(&bank, "ReferenceRefused", &[&refused]);
    bank.commit(&[(
        "app/taken.yaml",
        &using(of_bank).replace("clusterstore", "store").replace("name: db", "name: taken"),
    )]);
    store.refuses(&bank, "ReferenceRefused", &[&format!("spec.secrets.backends does not name {NAME}")]);
    assert!(!bank.has("secret/taken"));

    // What a login names is of the namespace of the Sync, so that everybody brings his own.
    let commit_of_bank = bank.commit(&[("app/taken.yaml", "")]);
    bank.applied(&commit_of_bank);
    store.backend(&format!("{{names: [{of_shop}, {of_bank}]}}"), "{tokenRef: {name: vault}}", "");
    let rule = format!("path \"secret/+/{of_shop}/*\" {{ capabilities = [\"read\"] }}");
    let token = store.bao.make_token(None, &rule).unwrap();
    shop.kubectl(&["create", "secret", "generic", "vault", &format!("--from-literal=token={token}")]).unwrap();
    for (stage, word) in [(shop, "one"), (&bank, "one")] {
        let request = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": word}}});
        stage.cluster.merge(&stage.path("sync/app").unwrap(), &request).unwrap();
    }
    store.refuses(&bank, "KeysUnavailable", &[&format!("Secret {of_bank}/vault"), NAME]);
    shop.sync_is("handled", |sync| sync["status"]["lastHandledRequestedAt"] == "one");
    shop.applied(&commit);
    super::pages::vault_leads_to_a_secret(&store);
    store.told_nothing(&["hunter-shop", "hunter-bank", "swordfish", &token, "client_token"]);
}
