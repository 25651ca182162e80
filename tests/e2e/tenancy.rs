//! Proves that a tenant acts as itself: what its ServiceAccount may not do or read, the controller doesn't do for it. What one
//! tenant tries against another is in `tenants`.

use crate::act::{config_map, message};
use crate::stage::{Stage, certificate, condition};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: NAMESPACE}\nstringData: {token: hidden}\n";

/// Seals a Secret for `namespace` with the real kubeseal.
fn sealed_for(stage: &Stage, namespace: &str) -> String {
    let certificate = certificate(stage);
    let seal = stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap(), "--format", "yaml"]).unwrap();
    seal.stdin(SECRET.replace("NAMESPACE", namespace)).text().unwrap()
}

#[test]
fn a_sealed_secret_is_opened_only_for_those_who_may_write_secrets_there() {
    let stage = Stage::new("opener");
    stage.account("limited", "get,create,patch", "configmaps");
    stage.grant("limited", "create", "secrets");
    let commit = stage.commit(&[("app/token.yaml", &sealed_for(&stage, &stage.namespace))]);
    stage.source();
    stage.declare("app", "path: ./app\nserviceAccountName: limited");
    let sync = stage.refused(&commit, "AccessDenied");
    let who = format!("ServiceAccount {}/limited", stage.namespace);
    assert!(message(&sync).contains(&who) && message(&sync).contains("hint: "), "{}", message(&sync));
    assert_eq!(condition(&sync, "Unsealed")["reason"], "AccessDenied");
    assert!(!stage.has("secret/token"));
    stage.kubectl(&["delete", "rolebinding/limited-secrets", "role/limited-secrets"]).unwrap();
    stage.grant("limited", "get,create,patch", "secrets");
    let sync = stage.applied(&commit);
    assert_eq!(condition(&sync, "Unsealed")["status"], "True");
    assert_eq!(stage.secret_value("token", "token").as_deref(), Some("hidden"));
}

#[test]
fn keys_are_read_as_the_tenant() {
    let stage = Stage::new("reader");
    stage.account("blind", "get,create,patch", "configmaps");
    let secret = SECRET.replace("NAMESPACE", &stage.namespace);
    let sops = stage.sops("token.yaml", &secret, &["--encrypted-regex", "^stringData$"]);
    let commit = stage.commit(&[("app/token.yaml", &sops)]);
    stage.source();
    let keys = "secrets: {keysFrom: [{secretRef: {name: sops-age}}]}";
    stage.declare("app", &format!("path: ./app\nserviceAccountName: blind\n{keys}"));
    let sync = stage.refused(&commit, "KeysUnavailable");
    let namespace = &stage.namespace;
    assert_eq!(
        message(&sync),
        format!(
            "failed to read Secret {namespace}/sops-age: ServiceAccount {namespace}/blind may not; hint: let ServiceAccount {namespace}/blind get this Secret"
        )
    );
    stage.grant("blind", "get,create,patch", "secrets");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("token", "token").as_deref(), Some("hidden"));
}

#[test]
fn a_missing_key_secret_is_named() {
    let stage = Stage::new("keyless");
    let secret = SECRET.replace("NAMESPACE", &stage.namespace);
    let sops = stage.sops("token.yaml", &secret, &["--encrypted-regex", "^stringData$"]);
    let commit = stage.commit(&[("app/token.yaml", &sops)]);
    stage.kubectl(&["delete", "secret/sops-age"]).unwrap();
    stage.sync("./app", "");
    let sync = stage.refused(&commit, "KeysUnavailable");
    assert!(message(&sync).ends_with("hint: create it, or correct spec.secrets.keysFrom"), "{}", message(&sync));
}

#[test]
fn without_a_name_the_default_account_of_the_namespace_acts() {
    let stage = Stage::new("default");
    let commit = stage.commit(&[("app/a.yaml", &config_map("own", "value"))]);
    stage.source();
    stage.declare("app", "path: ./app");
    let sync = stage.refused(&commit, "Forbidden");
    assert!(message(&sync).contains(&format!("ServiceAccount {}/default", stage.namespace)), "{}", message(&sync));
    assert!(!stage.has("configmap/own"));
    stage.grant("default", "get,create,patch", "configmaps");
    stage.applied(&commit);
    assert!(stage.has("configmap/own"));
}
