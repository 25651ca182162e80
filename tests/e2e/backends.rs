//! Proves that key services open SOPS files only through backends that allow it, as the tenant, and that nothing is lost while they
//! are away. The services are real: OpenBao, which asks the API server about the tenant's token, and moto in the place of AWS.

use serde_json::json;
use waxwing_harness::{Controller, Failure, Moto, OpenBao, eventually};

use crate::act::{config_map, message};
use crate::stage::{Alone, PATIENCE, Stage, condition, start_controller};

const REGION: &str = "eu-west-1";
const PASSWORD: &str = "kind: Secret\napiVersion: v1\nmetadata: {name: NAME}\nstringData: {password: VALUE}\n";

/// A tenant whose keys live in services, on a cluster of its own.
struct World {
    stage: Stage,
    bao: OpenBao,
    moto: Moto,
    controller: Controller,
    /// A key of moto.
    arn: String,
    _alone: Alone,
}

impl World {
    fn new(name: &str) -> Self {
        let alone = Alone::new();
        let stage = Stage::on(alone.cluster(), name);
        let (bao, moto) = (OpenBao::start().unwrap(), Moto::start().unwrap());
        bao.mount_transit(None, "transit").unwrap();
        for key in [stage.namespace.as_str(), "bank"] {
            bao.make_key(None, "transit", key).unwrap();
        }
        let arn = moto.make_key(REGION).unwrap();
        let (origin, endpoint) = (bao.address(), moto.address());
        let flags = ["--backend-origin", &origin, "--aws-endpoint", &endpoint, "--log-level", "trace"];
        let controller = start_controller(alone.cluster(), &flags).unwrap();
        let world = Self { stage, bao, moto, controller, arn, _alone: alone };
        world.let_bao_review_tokens().unwrap();
        world
    }

    /// Has OpenBao ask the API server whose token it was shown, and let the tenant decrypt with the key of its namespace.
    fn let_bao_review_tokens(&self) -> Result<(), Failure> {
        let (cluster, namespace) = (self.stage.cluster, self.stage.namespace.as_str());
        self.stage.kubectl(&["create", "serviceaccount", "reviewer"])?;
        let subject = format!("--serviceaccount={namespace}:reviewer");
        let binding = format!("reviewer-{namespace}");
        cluster.kubectl(&[
            "create",
            "clusterrolebinding",
            &binding,
            "--clusterrole=system:auth-delegator",
            &subject,
        ])?;
        let reviewer = cluster.service_account_token(namespace, "reviewer")?;
        let server = json!({
            "kubernetes_host": cluster.url(),
            "kubernetes_ca_cert": cluster.ca_pem(),
            "token_reviewer_jwt": reviewer,
            "disable_local_ca_jwt": true,
        });
        self.bao.ask(None, "sys/auth/kubernetes", &json!({"type": "kubernetes"}))?;
        self.bao.ask(None, "auth/kubernetes/config", &server)?;
        let policy = format!("path \"transit/decrypt/{namespace}\" {{ capabilities = [\"update\"] }}");
        self.bao.ask(None, "sys/policies/acl/shop", &json!({"policy": policy}))?;
        let role = json!({
            "bound_service_account_names": ["deployer"],
            "bound_service_account_namespaces": [namespace],
            "audience": "vault",
            "token_policies": ["shop"],
        });
        self.bao.ask(None, "auth/kubernetes/role/shop", &role).map(drop)
    }

    /// Encrypts a Secret with the real sops for keys of services alone.
    fn sealed(&self, name: &str, value: &str, keys: &[&str]) -> String {
        let plain = PASSWORD.replace("NAME", name).replace("VALUE", value);
        let mut arguments = vec!["encrypt", "--filename-override", "secret.yaml", "--encrypted-regex", "^stringData$"];
        arguments.extend(keys);
        let call = self.stage.upstream.sops(&arguments).unwrap().stdin(plain);
        let call = call.env("VAULT_TOKEN", self.bao.root_token()).env("AWS_ENDPOINT_URL", self.moto.address());
        call.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").text().unwrap()
    }

    fn by_vault(&self, name: &str, value: &str) -> String {
        self.sealed(name, value, &["--hc-vault-transit", &self.vault_key(&self.stage.namespace)])
    }

    fn vault_key(&self, name: &str) -> String {
        format!("{}/v1/transit/keys/{name}", self.bao.address())
    }

    /// Writes a SecretBackend; `spec` is YAML in one line.
    fn backend(&self, name: &str, spec: &str) {
        let namespace = &self.stage.namespace;
        let head = format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        );
        self.stage.cluster.apply_yaml(&format!("{head}spec: {spec}\n")).unwrap();
    }

    fn vault_backend(&self, keys: &str) {
        let address = self.bao.address();
        let auth = "{kubernetes: {role: shop, audience: vault}}";
        self.backend("vault", &format!("{{vault: {{address: '{address}', auth: {auth}}}, allow: {{keys: [{keys}]}}}}"));
    }

    /// Makes a ServiceAccount that may read the tenant's key and nothing else.
    fn admit_guest(&self) {
        self.stage.kubectl(&["create", "serviceaccount", "guest"]).unwrap();
        self.allow_guest("keys", &["--verb=get", "--resource=secrets"]);
    }

    fn allow_guest(&self, role: &str, rights: &[&str]) {
        let create = [["create", "role", role].as_slice(), rights].concat();
        self.stage.kubectl(&create).unwrap();
        let account = format!("--serviceaccount={}:guest", self.stage.namespace);
        self.stage.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), &account]).unwrap();
    }

    /// Returns how often a service was asked, with this outcome.
    fn asked(&self, service: &str, outcome: &str) -> u64 {
        let (_, page) = self.controller.get("/metrics").unwrap();
        let start = format!("waxwing_key_service_requests_total{{service=\"{service}\",outcome=\"{outcome}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
    }

    /// Looks for what nobody may learn in all that the controller wrote, at the level TRACE.
    fn told_nothing(&self, needles: &[&str]) {
        let log = self.controller.log();
        assert!(log.contains("TRACE"), "the log has nothing of that level");
        for needle in needles {
            assert!(!log.contains(needle), "{needle} is in the log");
        }
    }

    /// Waits until the Sync refuses a commit for a reason and in these words.
    fn waits_for(&self, commit: &str, reason: &str, words: &[&str]) {
        let revision = format!("main@sha1:{commit}");
        let refused = self.stage.sync_is(&format!("{reason} with {words:?}"), |sync| {
            let ready = condition(sync, "Ready");
            sync["status"]["lastAttemptedRevision"] == revision.as_str()
                && ready["reason"] == reason
                && words.iter().all(|word| ready["message"].as_str().unwrap_or_default().contains(word))
        });
        let told = message(&refused);
        assert!(!told.contains("hunter"), "{told}");
    }
}

#[test]
fn a_key_service_opens_files_only_through_a_backend_that_allows_the_key_and_as_the_tenant() {
    let world = World::new("backends");
    let stage = &world.stage;
    let commit = stage.commit(&[("app/database.yaml", &world.by_vault("database", "hunter-one"))]);
    stage.sync("./app", "");
    world.waits_for(&commit, "KeyNotFound", &["vault-transit", "spec.secrets.backends names no backend"]);

    world.admit_guest();
    stage.patch_spec(r#"{"serviceAccountName": "guest", "secrets": {"backends": [{"name": "vault"}]}}"#);
    world.waits_for(&commit, "KeysUnavailable", &["failed to read SecretBackend", "let ServiceAccount", "guest"]);
    world.allow_guest("backends", &["--verb=get", "--resource=secretbackends.waxwing.dev"]);
    world.waits_for(&commit, "KeysUnavailable", &["SecretBackend", "does not exist"]);
    let plain = PASSWORD.replace("NAME", "by-age").replace("VALUE", "hunter-age");
    let by_age = stage.sops("by-age.yaml", &plain, &["--encrypted-regex", "^stringData$"]);
    world.vault_backend("'transit/keys/{namespace}'");
    world.waits_for(&commit, "KeyNotFound", &["failed to make a token of ServiceAccount", "guest", "403"]);
    stage.patch_spec(r#"{"serviceAccountName": "deployer"}"#);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one"));
    assert_eq!(world.asked("Vault", "unwrapped"), 1);

    // Who needs no key service needs no backend either.
    stage.kubectl(&["delete", "secretbackend", "vault"]).unwrap();
    let commit = stage.commit(&[("app/by-age.yaml", &by_age)]);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("by-age", "password").as_deref(), Some("hunter-age"));
}

#[test]
fn what_no_backend_allows_is_refused_before_anyone_is_called() {
    let world = World::new("backends-list");
    let stage = &world.stage;
    let commit = stage.commit(&[("app/database.yaml", &world.by_vault("database", "hunter-one"))]);
    world.vault_backend("transit/keys/bank");
    stage.sync("./app", "  backends: [{name: vault}]");
    world.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it"]);
    world.backend("vault", "{vault: {address: 'http://127.0.0.1:1', auth: {kubernetes: {role: shop, audience: vault}}}, allow: {keys: [transit/keys/bank]}}");
    world.waits_for(&commit, "KeyNotAllowed", &["127.0.0.1:1", "--backend-origin"]);
    let asked: u64 =
        ["unwrapped", "denied", "refused", "unavailable"].iter().map(|outcome| world.asked("Vault", outcome)).sum();
    assert_eq!(asked, 0, "somebody was asked before anything was allowed");

    // A token that the API server takes itself is shown to nobody.
    let auth = "{kubernetes: {role: shop, audience: 'https://kubernetes.default.svc.cluster.local'}}";
    let address = world.bao.address();
    world.backend(
        "vault",
        &format!("{{vault: {{address: '{address}', auth: {auth}}}, allow: {{keys: ['transit/keys/*']}}}}"),
    );
    world.waits_for(&commit, "KeyNotFound", &["is that of the API server"]);

    world.vault_backend("'transit/keys/{namespace}'");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one"));
    assert_eq!(world.asked("Vault", "unwrapped"), 1);

    // What the operator allows is still up to the service: the role may not use this key.
    world.vault_backend("'transit/keys/*'");
    let foreign = world.sealed("foreign", "hunter-two", &["--hc-vault-transit", &world.vault_key("bank")]);
    let commit = stage.commit(&[("app/foreign.yaml", &foreign)]);
    world.waits_for(&commit, "KeyNotFound", &["vault-transit", "does not allow it (403)"]);
    assert!(!stage.has("secret/foreign"));
    world.told_nothing(&["hunter-one", "hunter-two", "eyJhbGci", "client_token"]);
}

#[test]
fn a_service_that_is_down_stops_neither_what_runs_nor_a_restart_and_one_data_key_is_asked_for_once() {
    let mut world = World::new("backends-down");
    world.vault_backend("'transit/keys/{namespace}'");
    let sealed = world.by_vault("database", "hunter-one");
    let commit =
        world.stage.commit(&[("app/database.yaml", &sealed), ("app/settings.yaml", &config_map("settings", "a"))]);
    world.stage.sync("./app", "  backends: [{name: vault}]");
    world.stage.applied(&commit);
    assert_eq!(world.asked("Vault", "unwrapped"), 1);

    // The value is opened again for the drifted Secret, with the data key that is kept.
    world
        .stage
        .kubectl(&["patch", "secret", "database", "--type=merge", "--patch={\"data\":{\"password\":\"eA==\"}}"])
        .unwrap();
    let reverted = || match world.stage.secret_value("database", "password").as_deref() {
        Some("hunter-one") => Ok(()),
        other => Err(format!("the value is {other:?}")),
    };
    eventually(PATIENCE, "the value is put back", reverted).unwrap();
    assert_eq!(world.asked("Vault", "unwrapped"), 1);

    let later = world.by_vault("later", "hunter-two");
    world.bao.stop();
    let commit = world.stage.commit(&[("app/settings.yaml", &config_map("settings", "b"))]);
    world.stage.applied(&commit);
    world.controller.restart().unwrap();
    world.controller.wait_ready().unwrap();
    let commit = world.stage.commit(&[("app/settings.yaml", &config_map("settings", "c"))]);
    world.stage.applied(&commit);
    assert_eq!(world.asked("Vault", "unwrapped"), 0, "a restart without change asked a service");

    let commit = world.stage.commit(&[("app/later.yaml", &later), ("app/settings.yaml", &config_map("settings", "d"))]);
    world.waits_for(&commit, "KeyServiceUnavailable", &["SecretBackend vault", "can't be reached"]);
    assert_eq!(
        world.stage.get("configmap/settings").unwrap()["data"]["key"],
        "c",
        "half of a refused revision was applied"
    );
    assert_eq!(world.stage.secret_value("database", "password").as_deref(), Some("hunter-one"));
}

#[test]
fn keys_of_aws_open_files_with_the_credentials_that_the_backend_names_and_a_role_only_if_it_is_listed() {
    let world = World::new("backends-aws");
    let stage = &world.stage;
    let secret = [
        "create",
        "secret",
        "generic",
        "aws",
        "--from-literal=accessKeyId=test",
        "--from-literal=secretAccessKey=hunter-key",
    ];
    stage.kubectl(&secret).unwrap();
    let role = "arn:aws:iam::123456789012:role/deploy";
    let backend = |keys: &str| {
        world.backend("aws", &format!("{{aws: {{auth: {{secretRef: {{name: aws}}}}}}, allow: {{keys: [{keys}]}}}}"))
    };
    backend(&format!("'{}'", world.arn));
    let sealed = world.sealed("database", "hunter-one", &["--kms", &world.arn, "--encryption-context", "app:shop"]);
    let commit = stage.commit(&[("app/database.yaml", &sealed)]);
    stage.sync("./app", "  backends: [{name: aws}]");
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("hunter-one"));

    let with_role = format!("{}+{role}", world.arn);
    let sealed = world.sealed("assumed", "hunter-two", &["--kms", &with_role]);
    let commit = stage.commit(&[("app/assumed.yaml", &sealed)]);
    world.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it"]);
    backend(&format!("'{with_role}'"));
    stage.applied(&commit);
    assert_eq!(stage.secret_value("assumed", "password").as_deref(), Some("hunter-two"));

    let auth = format!("{{webIdentity: {{roleArn: '{role}', audience: sts.amazonaws.com}}}}");
    world.backend("aws", &format!("{{aws: {{auth: {auth}}}, allow: {{keys: ['{}']}}}}", world.arn));
    let sealed = world.sealed("exchanged", "hunter-two", &["--kms", &world.arn]);
    let commit = stage.commit(&[("app/exchanged.yaml", &sealed)]);
    stage.applied(&commit);
    assert_eq!(stage.secret_value("exchanged", "password").as_deref(), Some("hunter-two"));
    world.told_nothing(&["hunter-one", "hunter-two", "hunter-key", "X-Amz-Security-Token", "x-amz-security-token"]);
}
