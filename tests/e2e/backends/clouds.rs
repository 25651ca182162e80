//! Google Cloud KMS and Azure Key Vault: fakes of both, which check who asks by the public keys of the test's own API server.

use std::fs;

use serde_json::Value;
use waxwing_harness::{CloudMood, Controller, ControllerOptions, FakeGcpKms, FakeKeyVault};

use super::{PASSWORD, World};
use crate::stage::{Alone, Stage};

/// For whom tokens of ServiceAccounts are made here.
pub(super) const GOOGLE_AUDIENCE: &str = "https://iam.googleapis.com/clusters";
pub(super) const AZURE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A tenant whose keys live in both clouds.
pub(super) struct Clouds {
    pub(super) world: World,
    pub(super) google: FakeGcpKms,
    pub(super) azure: FakeKeyVault,
    /// The tenant's key at Google.
    gcp: String,
    /// The tenant's key at Azure, with its version.
    vault: String,
}

impl Clouds {
    /// Starts a controller that finds Google and the logins of Azure where the operator says, and the vault through a proxy of its
    /// environment, under its real name.
    fn new(name: &str, origins: &str) -> Self {
        Self::with(name, origins, &[])
    }

    /// The same, with further arguments.
    pub(super) fn with(name: &str, origins: &str, more: &[&str]) -> Self {
        let alone = Alone::new();
        let stage = Stage::on(alone.cluster(), name);
        let (google, azure) = (FakeGcpKms::start().unwrap(), FakeKeyVault::start().unwrap());
        let gcp = google.create_key(&stage.namespace).unwrap();
        let vault = azure.create_key(&stage.namespace).unwrap();
        let authorities = stage.upstream.home().join("authorities.pem");
        fs::write(&authorities, google.ca_pem() + &azure.ca_pem()).unwrap();
        let (at_google, at_login) = (google.url(), azure.authority_url());
        let mut flags = vec!["--allow-file-sources", "--gcp-endpoint", &at_google, "--azure-login-endpoint", &at_login];
        flags.extend(["--log-level", "trace"].iter().chain(more));
        flags.extend(["--backend-origin", origins].into_iter().filter(|_| !origins.is_empty()));
        let mut options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &flags);
        options.environment = vec![
            ("SSL_CERT_FILE".to_owned(), authorities.display().to_string()),
            ("ALL_PROXY".to_owned(), azure.proxy()),
            ("NO_PROXY".to_owned(), "127.0.0.1".to_owned()),
        ];
        let controller = Controller::start(alone.cluster(), options).unwrap();
        let keys: Value = alone.cluster().get("/openid/v1/jwks").unwrap();
        let subject = format!("system:serviceaccount:{}:deployer", stage.namespace);
        google.trust(keys.clone(), &subject, GOOGLE_AUDIENCE);
        azure.trust(keys, &subject, AZURE_AUDIENCE);
        let world = World { stage, controller, _alone: alone };
        Self { world, google, azure, gcp, vault }
    }

    fn by_google(&self, name: &str, value: &str, key: &str) -> String {
        let plain = PASSWORD.replace("NAME", name).replace("VALUE", value);
        let arguments =
            ["encrypt", "--filename-override", "x.yaml", "--encrypted-regex", "^stringData$", "--gcp-kms", key];
        let call = self.world.stage.upstream.sops(&arguments).unwrap().stdin(plain);
        let call = call.env("SSL_CERT_FILE", self.authorities()).env("SOPS_GCP_KMS_ENDPOINT", self.google.url());
        let call = call.env("GOOGLE_OAUTH_ACCESS_TOKEN", self.google.access_token().unwrap());
        call.env("SOPS_GCP_KMS_CLIENT_TYPE", "rest").text().unwrap()
    }

    fn by_azure(&self, name: &str, value: &str, key: &str) -> String {
        let plain = PASSWORD.replace("NAME", name).replace("VALUE", value);
        let arguments =
            ["encrypt", "--filename-override", "x.yaml", "--encrypted-regex", "^stringData$", "--azure-kv", key];
        let call = self.world.stage.upstream.sops(&arguments).unwrap().stdin(plain);
        let [tenant, client, secret] = self.azure.application();
        let call =
            call.env("AZURE_TENANT_ID", tenant).env("AZURE_CLIENT_ID", client).env("AZURE_CLIENT_SECRET", secret);
        let call = call.env("SSL_CERT_FILE", self.authorities()).env("HTTPS_PROXY", self.azure.proxy());
        call.env("NO_PROXY", "127.0.0.1").env("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential").text().unwrap()
    }

    fn authorities(&self) -> String {
        self.world.stage.upstream.home().join("authorities.pem").display().to_string()
    }

    /// Writes a backend for keys of Google in the tenant's ring.
    fn google_backend(&self, auth: &str, keys: &str) {
        self.world.backend("google", &format!("{{gcp: {{auth: {auth}}}, allow: {{keys: [{keys}]}}}}"));
    }

    fn azure_backend(&self, url: &str, auth: &str, keys: &str) {
        let [tenant, client, _] = self.azure.application();
        let auth = format!("{{tenantId: '{tenant}', clientId: '{client}', {auth}}}");
        let spec = format!("{{azure: {{vaultUrl: '{url}', auth: {auth}}}, allow: {{keys: [{keys}]}}}}");
        self.world.backend("azure", &spec);
    }

    fn secret(&self, name: &str, entry: &str, value: &str) {
        let entry = format!("--from-literal={entry}={value}");
        self.world.stage.kubectl(&["create", "secret", "generic", name, &entry]).unwrap();
    }

    fn arrived(&self, name: &str, value: &str) {
        assert_eq!(self.world.stage.secret_value(name, "password").as_deref(), Some(value), "{name}");
    }
}

/// The login by a token of the ServiceAccount, as itself or as a service account.
pub(super) fn pool(audience: &str, more: &str) -> String {
    format!("{{workloadIdentity: {{provider: {}, audience: '{audience}'{more}}}}}", FakeGcpKms::PROVIDER)
}

const GOOGLE_KEYS: &str = "'projects/fake/locations/*/keyRings/fake/cryptoKeys/{namespace}'";

#[test]
fn keys_of_google_cloud_open_files_as_the_tenant_and_with_every_login_that_a_backend_can_name() {
    let clouds = Clouds::new("backends-google", "");
    let (world, stage) = (&clouds.world, &clouds.world.stage);
    let account = clouds.google.service_account().unwrap();
    let elsewhere = account.replace(&clouds.google.url(), "https://tokens.evil.example");
    assert_ne!(account, elsewhere);
    clouds.secret("google", "key.json", &elsewhere);
    let acted = format!(", serviceAccount: {}", FakeGcpKms::SERVICE_ACCOUNT);
    stage.sync("./app", "  backends: [{name: google}]");
    for (name, auth) in [
        ("as-itself", pool(GOOGLE_AUDIENCE, "")),
        ("as-an-account", pool(GOOGLE_AUDIENCE, &acted)),
        // The address in the file does not count: this one does not exist.
        ("by-a-key", "{secretRef: {name: google}}".to_owned()),
    ] {
        clouds.google_backend(&auth, GOOGLE_KEYS);
        let path = format!("app/{name}.yaml");
        let commit = stage.commit(&[(&path, &clouds.by_google(name, "hunter-one-9d41c7e2", &clouds.gcp))]);
        stage.applied(&commit);
        clouds.arrived(name, "hunter-one-9d41c7e2");
    }
    assert_eq!((clouds.google.count(":decrypt"), world.asked("Google Cloud KMS", "unwrapped")), (3, 3));
    assert_eq!((clouds.google.count("/v1/token"), clouds.google.count(":generateAccessToken")), (2, 1));
    let private = account.split("\\n").nth(3).unwrap();
    world.told_nothing(&["hunter-one-9d41c7e2", "ya29.", "eyJhbGci", private]);
}

#[test]
fn a_key_of_google_cloud_that_no_backend_allows_is_refused_before_anyone_is_called() {
    let clouds = Clouds::new("backends-google-list", "");
    let (world, stage) = (&clouds.world, &clouds.world.stage);
    let bank = clouds.google.create_key("bank").unwrap();
    let foreign = clouds.by_google("foreign", "hunter-one-9d41c7e2", &bank);
    clouds.google.forget_requests();
    clouds.google_backend(&pool(GOOGLE_AUDIENCE, ""), GOOGLE_KEYS);
    let commit = stage.commit(&[("app/foreign.yaml", &foreign)]);
    stage.sync("./app", "  backends: [{name: google}]");
    world.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it", "spec.allow.keys"]);
    // A file can be written by hand, and a Secret can hold what Google would follow elsewhere.
    let twisted = foreign.replace(&bank, &format!("{}/../bank", clouds.gcp));
    let commit = stage.commit(&[("app/foreign.yaml", &twisted)]);
    world.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it"]);
    clouds.secret(
        "google",
        "key.json",
        r#"{"type": "external_account", "token_url": "https://evil.example/hunter-two-51be08f3"}"#,
    );
    clouds.google_backend("{secretRef: {name: google}}", GOOGLE_KEYS);
    world.waits_for(&commit, "KeysUnavailable", &["key.json of Secret google", "another type than service_account"]);
    assert!(clouds.google.requests().is_empty(), "somebody was called before anything was allowed");
    world.told_nothing(&["hunter-one-9d41c7e2", "hunter-two-51be08f3"]);
}

#[test]
fn whatever_else_google_cloud_does_is_told_with_what_to_do_and_nothing_of_its_words() {
    let clouds = Clouds::new("backends-google-moods", "");
    let (world, stage) = (&clouds.world, &clouds.world.stage);
    let sealed = clouds.by_google("database", "hunter-one-9d41c7e2", &clouds.gcp);
    clouds.google_backend(&pool("somebody-else", ""), GOOGLE_KEYS);
    let commit = stage.commit(&[("app/database.yaml", &sealed)]);
    stage.sync("./app", "  backends: [{name: google}]");
    let service = "Google's token service";
    world.waits_for(
        &commit,
        "KeyNotFound",
        &[service, "(400 invalid_grant)", "see that Google's token service lets in"],
    );
    clouds.google_backend(&pool(GOOGLE_AUDIENCE, ", serviceAccount: nobody@fake.example"), GOOGLE_KEYS);
    world.waits_for(&commit, "KeyNotFound", &[service, "(404 NOT_FOUND)"]);
    clouds.google.behave_at_login(CloudMood::Throttle { times: 1, retry_after: 3600 });
    clouds.google_backend(&pool(GOOGLE_AUDIENCE, ""), GOOGLE_KEYS);
    world.waits_for(&commit, "KeyServiceUnavailable", &[service, "asked too often (429 RESOURCE_EXHAUSTED)"]);

    for (mood, reason, words) in [
        (
            CloudMood::Deny,
            "KeyNotFound",
            ["does not allow it (403 PERMISSION_DENIED)", "let the login of SecretBackend google"],
        ),
        (CloudMood::Garble, "KeyNotFound", ["gave an answer that can't be read", "see that what answers there"]),
        (CloudMood::Damage, "KeyNotFound", ["gave an answer that can't be read", "Google Cloud KMS"]),
        (CloudMood::Redirect, "KeyNotFound", ["gave an answer that can't be read", "Google Cloud KMS"]),
        (
            CloudMood::Throttle { times: 1, retry_after: 3600 },
            "KeyServiceUnavailable",
            ["asked too often (429", "it is tried again"],
        ),
    ] {
        clouds.google.behave(mood);
        stage.request();
        world.waits_for(&commit, reason, &words);
    }
    assert_eq!(clouds.google.count("/elsewhere"), 0);
    clouds.google.behave(CloudMood::Serve);
    clouds.google.destroy_key(&clouds.gcp);
    stage.request();
    world.waits_for(&commit, "KeyNotFound", &["(400 FAILED_PRECONDITION)", "see that the key is enabled"]);
    clouds.google.enable_key(&clouds.gcp, true);
    // One that wants to be asked again at once is.
    clouds.google.behave(CloudMood::Throttle { times: 1, retry_after: 0 });
    stage.request();
    stage.applied(&commit);
    clouds.arrived("database", "hunter-one-9d41c7e2");
    world.told_nothing(&["hunter-one-9d41c7e2", "ya29.", "eyJhbGci", "Quota exceeded", "cryptoKeyVersions.useTo"]);
}

const AZURE_KEYS: &str = "'keys/{namespace}'";

#[test]
fn keys_of_azure_open_files_as_the_tenant_by_its_token_and_by_the_secret_of_an_application() {
    let clouds = Clouds::new("backends-azure", FakeKeyVault::URL);
    let (world, stage) = (&clouds.world, &clouds.world.stage);
    let [_, _, secret] = clouds.azure.application();
    clouds.secret("azure", "clientSecret", &format!("{secret}\n"));
    stage.sync("./app", "  backends: [{name: azure}]");
    let federated = format!("workloadIdentity: {{audience: '{AZURE_AUDIENCE}'}}");
    for (name, auth) in [("by-token", federated.as_str()), ("by-secret", "secretRef: {name: azure}")] {
        clouds.azure_backend(FakeKeyVault::URL, auth, AZURE_KEYS);
        let sealed = clouds.by_azure(name, "hunter-one-9d41c7e2", &clouds.vault);
        clouds.azure.forget_requests();
        let commit = stage.commit(&[(&format!("app/{name}.yaml"), &sealed)]);
        stage.applied(&commit);
        clouds.arrived(name, "hunter-one-9d41c7e2");
        assert_eq!((clouds.azure.count("/decrypt"), clouds.azure.count_of_tokens()), (1, 1), "{name}");
    }
    assert_eq!(world.asked("Azure Key Vault", "unwrapped"), 2);
    world.told_nothing(&["hunter-one-9d41c7e2", &secret, "eyJ0.fake", "eyJhbGci"]);
}

#[test]
fn a_vault_or_key_of_azure_that_nobody_allowed_is_refused_before_anyone_is_called() {
    let clouds = Clouds::new("backends-azure-list", FakeKeyVault::URL);
    let (world, stage) = (&clouds.world, &clouds.world.stage);
    let auth = format!("workloadIdentity: {{audience: '{AZURE_AUDIENCE}'}}");
    let foreign = clouds.by_azure("foreign", "hunter-one-9d41c7e2", &clouds.azure.create_key("bank").unwrap());
    let own = clouds.by_azure("own", "hunter-one-9d41c7e2", &clouds.vault);
    clouds.azure.forget_requests();
    clouds.azure_backend(FakeKeyVault::URL, &auth, AZURE_KEYS);
    let commit = stage.commit(&[("app/foreign.yaml", &foreign)]);
    stage.sync("./app", "  backends: [{name: azure}]");
    world.waits_for(&commit, "KeyNotFound", &["no backend of spec.secrets.backends allows it"]);
    let other = own.replace(FakeKeyVault::URL, "https://other.vault.azure.net");
    let commit = stage.commit(&[("app/foreign.yaml", &other)]);
    world.waits_for(
        &commit,
        "KeyNotFound",
        &["https://other.vault.azure.net", "no backend of spec.secrets.backends allows it"],
    );
    clouds.azure_backend("https://other.vault.azure.net", &auth, AZURE_KEYS);
    world.waits_for(&commit, "KeyNotAllowed", &["https://other.vault.azure.net", "--backend-origin"]);
    assert!(clouds.azure.requests().is_empty(), "somebody was called before anything was allowed");
    world.told_nothing(&["hunter-one-9d41c7e2", "eyJhbGci"]);
}

#[test]
fn whatever_else_azure_does_is_told_with_what_to_do_and_nothing_of_its_words() {
    let origins = format!("{},{}", FakeKeyVault::URL, FakeKeyVault::FOREIGN_URL);
    let clouds = Clouds::new("backends-azure-moods", &origins);
    let (world, stage) = (&clouds.world, &clouds.world.stage);
    let sealed = clouds.by_azure("database", "hunter-one-9d41c7e2", &clouds.vault);
    clouds.azure_backend(FakeKeyVault::URL, "workloadIdentity: {audience: somebody-else}", AZURE_KEYS);
    let commit = stage.commit(&[("app/database.yaml", &sealed)]);
    stage.sync("./app", "  backends: [{name: azure}]");
    let service = "Microsoft Entra ID";
    world.waits_for(
        &commit,
        "KeyNotFound",
        &[service, "(401 invalid_client AADSTS700212)", "see that Microsoft Entra ID lets in"],
    );
    let federated = format!("workloadIdentity: {{audience: '{AZURE_AUDIENCE}'}}");
    clouds.azure.behave_at_login(CloudMood::Throttle { times: 1, retry_after: 3600 });
    clouds.azure_backend(FakeKeyVault::URL, &federated, AZURE_KEYS);
    world.waits_for(&commit, "KeyServiceUnavailable", &[service, "asked too often (429 temporarily_unavailable)"]);
    for (mood, reason, words) in [
        (
            CloudMood::Deny,
            "KeyNotFound",
            ["does not allow it (403 ForbiddenByRbac)", "let the login of SecretBackend azure"],
        ),
        (CloudMood::Garble, "KeyNotFound", ["gave an answer that can't be read", "Azure Key Vault"]),
        (
            CloudMood::Throttle { times: 1, retry_after: 3600 },
            "KeyServiceUnavailable",
            ["asked too often (429 Throttled)", "it is tried again"],
        ),
    ] {
        clouds.azure.behave(mood);
        stage.request();
        world.waits_for(&commit, reason, &words);
    }
    clouds.azure.behave(CloudMood::Serve);
    clouds.azure.enable_key(&stage.namespace, false);
    stage.request();
    world.waits_for(&commit, "KeyNotFound", &["(403 KeyDisabled)", "see that the key is enabled"]);
    clouds.azure.enable_key(&stage.namespace, true);

    // Who is on the list and is no vault gets no token for vaults.
    clouds.azure.forget_requests();
    clouds.azure_backend(FakeKeyVault::FOREIGN_URL, &federated, AZURE_KEYS);
    let foreign = sealed.replace(FakeKeyVault::URL, FakeKeyVault::FOREIGN_URL);
    let refused = stage.commit(&[("app/database.yaml", &foreign)]);
    world.waits_for(&refused, "KeyNotFound", &["it wants a token for something that is not its domain"]);
    assert!(clouds.azure.requests().iter().all(|request| !request.has_token));
    assert_eq!(clouds.azure.count_of_tokens(), 0);

    clouds.azure_backend(FakeKeyVault::URL, &federated, AZURE_KEYS);
    let commit = stage.commit(&[("app/database.yaml", &sealed)]);
    stage.applied(&commit);
    clouds.arrived("database", "hunter-one-9d41c7e2");
    let later = clouds.by_azure("later", "hunter-one-9d41c7e2", &clouds.vault);
    clouds.azure.delete_key(&stage.namespace);
    let commit = stage.commit(&[("app/later.yaml", &later)]);
    world.waits_for(
        &commit,
        "KeyNotFound",
        &["has no such key (404 KeyNotFound)", "see whether the key is still there"],
    );
    world.told_nothing(&[
        "hunter-one-9d41c7e2",
        "eyJ0.fake",
        "eyJhbGci",
        "too many requests were received",
        "federated identity record",
    ]);
}
