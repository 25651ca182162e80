//! Data keys of one transit key, which are asked for together. The real OpenBao counts: a token has so many uses.

use serde_json::json;

use super::services::Services;

const FILES: usize = 40;

#[test]
fn one_request_for_each_key_opens_many_files_and_a_damaged_data_key_fails_for_its_own_file_alone() {
    let services = Services::new("batches");
    let stage = &services.stage;
    let address = services.bao.address();
    let server = format!("{{address: '{address}', auth: {{tokenRef: {{name: token}}}}}}");
    services.backend("vault", &format!("{{vault: {server}, allow: {{keys: ['transit/keys/*']}}}}"));
    let rule = |key: &str| format!("path \"transit/decrypt/{key}\" {{ capabilities = [\"update\"] }}\n");
    let policy = json!({"policy": rule(&stage.namespace) + &rule("bank")});
    services.bao.ask(None, "sys/policies/acl/shop", &policy).unwrap();
    let_in(&services, 2);
    let value = |number: usize| format!("hunter-{number}-9d41c7e2");
    let name = |number: usize| format!("database-{number}");
    let files: Vec<(String, String)> = (0..FILES)
        .map(|number| (format!("app/{number}.yaml"), services.by_vault(&name(number), &value(number))))
        .collect();
    let foreign =
        services.sealed("foreign", "hunter-far-90bd42aa", &["--hc-vault-transit", &services.vault_key("bank")]);
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .chain([("app/foreign.yaml", foreign.as_str())])
        .collect();
    let commit = stage.commit(&files);
    stage.sync("./app", "  backends: [{name: vault}]");
    stage.applied(&commit);
    for number in 0..FILES {
        assert_eq!(stage.secret_value(&name(number), "password"), Some(value(number)));
    }
    assert_eq!(stage.secret_value("foreign", "password").as_deref(), Some("hunter-far-90bd42aa"));
    // One for each of the two keys.
    assert_eq!(services.asked("Vault", "unwrapped"), 2);

    let_in(&services, 0);
    let good = [services.by_vault("one", "hunter-one-9d41c7e2"), services.by_vault("two", "hunter-two-51be08f3")];
    let bad = services.by_vault("bad", "hunter-bad-77aa01c2");
    let broken = damaged(&bad);
    stage.commit(&[("app/one.yaml", &good[0]), ("app/two.yaml", &good[1]), ("app/bad.yaml", &broken)]);
    let told = services.fails("KeyNotFound");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("app/bad.yaml") && told.contains("SecretBackend vault: Vault does not unwrap it (400)"),
        "{told}"
    );
    assert!(!stage.has("secret/one") && !stage.has("secret/bad"), "half of a refused revision was applied");

    let commit = stage.commit(&[("app/bad.yaml", &bad)]);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("bad", "password").as_deref(), Some("hunter-bad-77aa01c2"));
    assert_eq!(stage.secret_value("two", "password").as_deref(), Some("hunter-two-51be08f3"));
    services.told_nothing(&["hunter-one-9d41c7e2", "hunter-bad-77aa01c2", &value(7)]);
}

#[test]
fn where_a_policy_denies_several_at_once_each_is_asked_for_and_where_it_denies_each_all_are_told() {
    let services = Services::new("batches-alone");
    let stage = &services.stage;
    let policy = |rule: &str| {
        let policy = format!("path \"transit/decrypt/{}\" {{ {rule} }}", stage.namespace);
        services.bao.ask(None, "sys/policies/acl/shop", &json!({"policy": policy})).unwrap();
    };
    policy("capabilities = [\"update\"] allowed_parameters = { \"ciphertext\" = [] }");
    services.vault_backend("'transit/keys/{namespace}'");
    let commit = stage.commit(&[
        ("app/one.yaml", &services.by_vault("one", "hunter-one-9d41c7e2")),
        ("app/two.yaml", &services.by_vault("two", "hunter-two-51be08f3")),
    ]);
    stage.sync("./app", "  backends: [{name: vault}]");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("one", "password").as_deref(), Some("hunter-one-9d41c7e2"));
    assert_eq!(stage.secret_value("two", "password").as_deref(), Some("hunter-two-51be08f3"));
    assert_eq!((services.asked("Vault", "denied"), services.asked("Vault", "unwrapped")), (1, 2));

    policy("capabilities = [\"deny\"]");
    stage.commit(&[
        ("app/three.yaml", &services.by_vault("three", "hunter-three-04d6b1c9")),
        ("app/four.yaml", &services.by_vault("four", "hunter-four-6be2f0a8")),
    ]);
    let told = services.fails("KeyNotFound");
    let of = |file: &str| told.lines().any(|line| line.contains(file) && line.contains("does not allow it (403)"));
    assert!(of("app/three.yaml") && of("app/four.yaml") && told.lines().count() == 2, "{told}");
}

/// Gives the backend a new token for so many requests, or, for 0, for any number.
fn let_in(services: &Services, uses: u32) {
    let made = json!({"policies": ["shop"], "num_uses": uses});
    let made = services.bao.ask(None, "auth/token/create", &made).unwrap();
    let token = made.pointer("/auth/client_token").and_then(serde_json::Value::as_str).unwrap();
    services.stage.cluster.apply_yaml(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: token, namespace: {}}}, stringData: {{token: {token}}}}}",
        services.stage.namespace
    ))
    .unwrap();
}

/// Changes the last letters of the wrapped data key.
fn damaged(sealed: &str) -> String {
    let start = sealed.find("vault:v1:").unwrap();
    let end = start + sealed[start..].find('\n').unwrap();
    format!("{}AAAA{}", &sealed[..end - 4], &sealed[end..])
}
