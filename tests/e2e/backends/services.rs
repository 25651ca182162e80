//! Vault and AWS. The services are real: OpenBao, which asks the API server about the tenant's token, and moto in the place of AWS.

use std::ops::Deref;

use waxwing_harness::{Authority, Moto, OpenBao, eventually};

use super::{PASSWORD, World};
use crate::act::config_map;
use crate::other_keys::let_bao_review_tokens;
use crate::stage::{Alone, PATIENCE, Stage, start_controller};

const REGION: &str = "eu-west-1";

/// A tenant whose keys live in services.
pub(super) struct Services {
    world: World,
    pub(super) bao: OpenBao,
    /// Who certifies OpenBao where it speaks TLS.
    pub(super) authority: Authority,
    moto: Moto,
    /// A key of moto.
    arn: String,
}

impl Deref for Services {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Services {
    pub(super) fn new(name: &str) -> Self {
        let alone = Alone::new();
        let stage = Stage::on(alone.cluster(), name);
        let authority = Authority::new("of a test").unwrap();
        let (bao, moto) = (OpenBao::start_certified_by(&authority).unwrap(), Moto::start().unwrap());
        bao.mount_transit(None, "transit").unwrap();
        for key in [stage.namespace.as_str(), "bank"] {
            bao.make_key(None, "transit", key).unwrap();
        }
        let arn = moto.make_key(REGION).unwrap();
        let (origins, endpoint) = (format!("{},{}", bao.address(), bao.tls_address()), moto.address());
        let flags = ["--backend-origin", &origins, "--aws-endpoint", &endpoint, "--log-level", "trace"];
        let controller = start_controller(alone.cluster(), &flags).unwrap();
        let rule = format!("path \"transit/decrypt/{}\" {{ capabilities = [\"update\"] }}", stage.namespace);
        let_bao_review_tokens(&stage, &bao, "kubernetes", &rule);
        Self { world: World { stage, controller, _alone: alone }, bao, authority, moto, arn }
    }

    /// Encrypts a Secret with the real sops for keys of services alone.
    pub(super) fn sealed(&self, name: &str, value: &str, keys: &[&str]) -> String {
        let plain = PASSWORD.replace("NAME", name).replace("VALUE", value);
        let mut arguments = vec!["encrypt", "--filename-override", "secret.yaml", "--encrypted-regex", "^stringData$"];
        arguments.extend(keys);
        let call = self.stage.upstream.sops(&arguments).unwrap().stdin(plain);
        let call = call.env("VAULT_TOKEN", self.bao.root_token()).env("AWS_ENDPOINT_URL", self.moto.address());
        call.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").text().unwrap()
    }

    pub(super) fn by_vault(&self, name: &str, value: &str) -> String {
        self.sealed(name, value, &["--hc-vault-transit", &self.vault_key(&self.stage.namespace)])
    }

    pub(super) fn vault_key(&self, name: &str) -> String {
        format!("{}/v1/transit/keys/{name}", self.bao.address())
    }

    pub(super) fn vault_backend(&self, keys: &str) {
        let address = self.bao.address();
        let auth = "{kubernetes: {role: shop, audience: vault}}";
        self.backend("vault", &format!("{{vault: {{address: '{address}', auth: {auth}}}, allow: {{keys: [{keys}]}}}}"));
    }
}

#[test]
fn a_key_service_opens_files_only_through_a_backend_that_allows_the_key_and_as_the_tenant() {
    let services = Services::new("backends");
    let stage = &services.stage;
    let commit = stage.commit(&[("app/database.yaml", &services.by_vault("database", "hunter-one-9d41c7e2"))]);
    stage.sync("./app", "");
    services.waits_for(&commit, "KeyNotFound", &["vault-transit", "spec.secrets.backends names no backend"]);

    services.admit_guest();
    stage.patch_spec(r#"{"serviceAccountName": "guest", "secrets": {"backends": [{"name": "vault"}]}}"#);
    services.waits_for(&commit, "KeysUnavailable", &["failed to read SecretBackend", "let ServiceAccount", "guest"]);
    services.allow_guest("backends", &["--verb=get", "--resource=secretbackends.waxwing.dev"]);
    services.waits_for(&commit, "KeysUnavailable", &["SecretBackend", "does not exist"]);
    let plain = PASSWORD.replace("NAME", "by-age").replace("VALUE", "hunter-age");
    let by_age = stage.sops("by-age.yaml", &plain, &["--encrypted-regex", "^stringData$"]);
    services.vault_backend("'transit/keys/{namespace}'");
    services.waits_for(&commit, "KeyNotFound", &["failed to make a token of ServiceAccount", "guest", "403"]);
    stage.patch_spec(r#"{"serviceAccountName": "deployer"}"#);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one-9d41c7e2"));
    assert_eq!(services.asked("Vault", "unwrapped"), 1);

    // Who needs no key service needs no backend either.
    stage.kubectl(&["delete", "secretbackend", "vault"]).unwrap();
    let commit = stage.commit(&[("app/by-age.yaml", &by_age)]);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("by-age", "password").as_deref(), Some("hunter-age"));
}

#[test]
fn what_no_backend_allows_is_refused_before_anyone_is_called() {
    let services = Services::new("backends-list");
    let stage = &services.stage;
    let commit = stage.commit(&[("app/database.yaml", &services.by_vault("database", "hunter-one-9d41c7e2"))]);
    services.vault_backend("transit/keys/bank");
    stage.sync("./app", "  backends: [{name: vault}]");
    services.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it"]);
    services.backend("vault", "{vault: {address: 'http://127.0.0.1:1', auth: {kubernetes: {role: shop, audience: vault}}}, allow: {keys: [transit/keys/bank]}}");
    services.waits_for(&commit, "KeyNotAllowed", &["127.0.0.1:1", "--backend-origin"]);
    let asked: u64 =
        ["unwrapped", "denied", "refused", "unavailable"].iter().map(|outcome| services.asked("Vault", outcome)).sum();
    assert_eq!(asked, 0, "somebody was asked before anything was allowed");

    // A token that the API server takes itself is shown to nobody.
    let auth = "{kubernetes: {role: shop, audience: 'https://kubernetes.default.svc.cluster.local'}}";
    let address = services.bao.address();
    services.backend(
        "vault",
        &format!("{{vault: {{address: '{address}', auth: {auth}}}, allow: {{keys: ['transit/keys/*']}}}}"),
    );
    services.waits_for(&commit, "KeyNotFound", &["is that of the API server"]);

    services.vault_backend("'transit/keys/{namespace}'");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one-9d41c7e2"));
    assert_eq!(services.asked("Vault", "unwrapped"), 1);

    // What the operator allows is still up to the service: the role may not use this key.
    services.vault_backend("'transit/keys/*'");
    let foreign =
        services.sealed("foreign", "hunter-two-51be08f3", &["--hc-vault-transit", &services.vault_key("bank")]);
    let commit = stage.commit(&[("app/foreign.yaml", &foreign)]);
    services.waits_for(&commit, "KeyNotFound", &["vault-transit", "does not allow it (403)"]);
    assert!(!stage.has("secret/foreign"));
    services.told_nothing(&["hunter-one-9d41c7e2", "hunter-two-51be08f3", "eyJhbGci", "client_token"]);
}

#[test]
fn a_service_that_is_down_stops_neither_what_runs_nor_a_restart_and_one_data_key_is_asked_for_once() {
    let mut services = Services::new("backends-down");
    services.vault_backend("'transit/keys/{namespace}'");
    let sealed = services.by_vault("database", "hunter-one-9d41c7e2");
    let commit =
        services.stage.commit(&[("app/database.yaml", &sealed), ("app/settings.yaml", &config_map("settings", "a"))]);
    services.stage.sync("./app", "  backends: [{name: vault}]");
    services.stage.applied(&commit);
    assert_eq!(services.asked("Vault", "unwrapped"), 1);

    // The value is opened again for the drifted Secret, with the data key that is kept.
    services
        .stage
        .kubectl(&["patch", "secret", "database", "--type=merge", "--patch={\"data\":{\"password\":\"eA==\"}}"])
        .unwrap();
    let reverted = || match services.stage.secret_value("database", "password").as_deref() {
        Some("hunter-one-9d41c7e2") => Ok(()),
        other => Err(format!("the value is {other:?}")),
    };
    eventually(PATIENCE, "the value is put back", reverted).unwrap();
    assert_eq!(services.asked("Vault", "unwrapped"), 1);
    assert!(services.kept("data-key") > 0);

    let later = services.by_vault("later", "hunter-two-51be08f3");
    services.bao.stop();
    let commit = services.stage.commit(&[("app/settings.yaml", &config_map("settings", "b"))]);
    services.stage.applied(&commit);
    services.world.controller.restart().unwrap();
    services.world.controller.wait_ready().unwrap();
    let commit = services.stage.commit(&[("app/settings.yaml", &config_map("settings", "c"))]);
    services.stage.applied(&commit);
    assert_eq!(services.asked("Vault", "unwrapped"), 0, "a restart without change asked a service");

    let commit =
        services.stage.commit(&[("app/later.yaml", &later), ("app/settings.yaml", &config_map("settings", "d"))]);
    services.waits_for(&commit, "KeyServiceUnavailable", &["SecretBackend vault", "can't be reached"]);
    assert_eq!(
        services.stage.get("configmap/settings").unwrap()["data"]["key"],
        "c",
        "half of a refused revision was applied"
    );
    assert_eq!(services.stage.secret_value("database", "password").as_deref(), Some("hunter-one-9d41c7e2"));
}

#[test]
fn keys_of_aws_open_files_with_the_credentials_that_the_backend_names_and_a_role_only_if_it_is_listed() {
    let services = Services::new("backends-aws");
    let stage = &services.stage;
    let secret = [
        "create",
        "secret",
        "generic",
        "aws",
        "--from-literal=accessKeyId=test",
        "--from-literal=secretAccessKey=hunter-key-7c20aa96",
    ];
    stage.kubectl(&secret).unwrap();
    let role = "arn:aws:iam::123456789012:role/deploy";
    let backend = |keys: &str| {
        services.backend("aws", &format!("{{aws: {{auth: {{secretRef: {{name: aws}}}}}}, allow: {{keys: [{keys}]}}}}"))
    };
    backend(&format!("'{}'", services.arn));
    let sealed = services.sealed(
        "database",
        "hunter-one-9d41c7e2",
        &["--kms", &services.arn, "--encryption-context", "app:shop"],
    );
    let commit = stage.commit(&[("app/database.yaml", &sealed)]);
    stage.sync("./app", "  backends: [{name: aws}]");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one-9d41c7e2"));

    let with_role = format!("{}+{role}", services.arn);
    let sealed = services.sealed("assumed", "hunter-two-51be08f3", &["--kms", &with_role]);
    let commit = stage.commit(&[("app/assumed.yaml", &sealed)]);
    services.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it"]);
    backend(&format!("'{with_role}'"));
    stage.applied(&commit);
    assert_eq!(stage.secret_value("assumed", "password").as_deref(), Some("hunter-two-51be08f3"));

    let auth = format!("{{webIdentity: {{roleArn: '{role}', audience: sts.amazonaws.com}}}}");
    services.backend("aws", &format!("{{aws: {{auth: {auth}}}, allow: {{keys: ['{}']}}}}", services.arn));
    let sealed = services.sealed("exchanged", "hunter-two-51be08f3", &["--kms", &services.arn]);
    let commit = stage.commit(&[("app/exchanged.yaml", &sealed)]);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("exchanged", "password").as_deref(), Some("hunter-two-51be08f3"));
    services.told_nothing(&[
        "hunter-one-9d41c7e2",
        "hunter-two-51be08f3",
        "hunter-key-7c20aa96",
        "X-Amz-Security-Token",
        "x-amz-security-token",
    ]);
}
