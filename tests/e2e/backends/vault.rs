//! A Vault server that has more to it: TLS with an authority of its own, namespaces, and tokens that somebody was given.

use std::fs;

use super::PASSWORD;
use super::services::Services;

#[test]
fn a_server_with_its_own_authority_and_namespace_is_called_with_the_token_of_a_secret_and_not_without_all_three() {
    let services = Services::new("backends-vault");
    let (stage, bao) = (&services.stage, &services.bao);
    bao.make_namespace("team").unwrap();
    bao.mount_transit(Some("team"), "transit").unwrap();
    bao.make_key(Some("team"), "transit", &stage.namespace).unwrap();
    let policy = format!("path \"transit/decrypt/{}\" {{ capabilities = [\"update\"] }}", stage.namespace);
    let token = bao.make_token(Some("team"), &policy).unwrap();
    let authority = stage.upstream.home().join("authority.pem");
    fs::write(&authority, services.authority.pem()).unwrap();
    let key = format!("{}/v1/transit/keys/{}", bao.tls_address(), stage.namespace);
    let arguments =
        ["encrypt", "--filename-override", "x.yaml", "--encrypted-regex", "^stringData$", "--hc-vault-transit", &key];
    let call =
        stage.upstream.sops(&arguments).unwrap().env("VAULT_TOKEN", bao.root_token()).env("VAULT_NAMESPACE", "team");
    let plain = PASSWORD.replace("NAME", "database").replace("VALUE", "hunter-one-9d41c7e2");
    let sealed = call.env("VAULT_CACERT", &authority).stdin(plain).text().unwrap();
    let pem = serde_json::to_string(&services.authority.pem()).unwrap();
    let backend = |more: &str| {
        let server = format!("address: '{}', auth: {{tokenRef: {{name: token}}}}{more}", bao.tls_address());
        services.backend("vault", &format!("{{vault: {{{server}}}, allow: {{keys: ['transit/keys/{{namespace}}']}}}}"));
    };
    let trusted = format!(", caBundle: {pem}");

    backend(&format!("{trusted}, namespace: team"));
    let commit = stage.commit(&[("app/database.yaml", &sealed)]);
    stage.sync("./app", "  backends: [{name: vault}]");
    services.waits_for(&commit, "KeysUnavailable", &["Secret", "token", "does not exist"]);
    stage.kubectl(&["create", "secret", "generic", "token", "--from-literal=other=x"]).unwrap();
    services.waits_for(&commit, "KeysUnavailable", &["has no entry token"]);
    stage.kubectl(&["delete", "secret", "token"]).unwrap();
    // Somebody wrote it with an editor.
    stage.kubectl(&["create", "secret", "generic", "token", &format!("--from-literal=token={token}\n")]).unwrap();
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one-9d41c7e2"));
    assert_eq!(services.asked("Vault", "unwrapped"), 1);

    // A backend that says less is another one, through which nothing was opened yet.
    backend(&trusted);
    stage.kubectl(&["delete", "secret", "database"]).unwrap();
    services.waits_for(&commit, "KeyNotFound", &["does not allow it (403)", "let the login of SecretBackend vault"]);
    backend(", namespace: team");
    let words = ["no encrypted connection to it that can be trusted", "it is tried again"];
    services.waits_for(&commit, "KeyServiceUnavailable", &words);
    backend(&format!("{trusted}, namespace: team"));
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one-9d41c7e2"));
    services.told_nothing(&["hunter-one-9d41c7e2", &token]);
}
