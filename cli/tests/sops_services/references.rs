//! References into AWS (moto), Google Cloud and Azure (the fakes of the harness), asked as the user: `seal run` gives a command what they lead to,
//! `seal refs check --online` says what is there, and no file decides where credentials go.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use waxwing_harness::{Call, CloudMood, FakeGcpKms, FakeKeyVault, Finished};

use crate::canned::{Canned, answer};
use crate::services::{REGION, STAGE};

/// The fakes with a secret each, and a folder with backends.
struct Clouds {
    google: FakeGcpKms,
    azure: FakeKeyVault,
    /// The versions of the secret in the vault.
    first: String,
    second: String,
    folder: TempDir,
}

impl Clouds {
    /// Of AWS the names are shared with other tests, so that each takes its own.
    fn new(name: &str) -> Self {
        let (google, azure) = (FakeGcpKms::start().unwrap(), FakeKeyVault::start().unwrap());
        let moto = &STAGE.moto;
        let secret = json!({"Name": format!("{name}/db"), "SecretString": r#"{"password": "hunter-aws"}"#});
        moto.secrets(REGION, "CreateSecret", &secret).unwrap();
        let parameter = |name: String| json!({"Name": name, "Type": "SecureString", "Value": "hunter-ssm"});
        moto.parameters(REGION, "PutParameter", &parameter(format!("/{name}/token"))).unwrap();
        google.add_secret("db", b"hunter-first");
        google.add_secret("db", br#"{"password": "hunter-google"}"#);
        let first = azure.add_secret("db", "hunter-first").unwrap();
        let second = azure.add_secret("db", "hunter-azure").unwrap();
        let clouds = Self { google, azure, first, second, folder: TempDir::new().unwrap() };
        fs::write(clouds.path("ca.pem"), clouds.google.ca_pem() + &clouds.azure.ca_pem()).unwrap();
        let vault = |url: &str| format!("azure: {{vaultUrl: '{url}', auth: {{tenantId: t, clientId: c}}}}");
        let backends = [
            ("aws", format!("aws: {{region: {REGION}, auth: {{secretRef: {{name: a}}}}}}")),
            ("google", "gcp: {auth: {secretRef: {name: a}}}".to_owned()),
            ("azure", vault(FakeKeyVault::URL)),
            ("foreign", vault(FakeKeyVault::FOREIGN_URL)),
            ("evil", vault("https://evil.example/vault.azure.net")),
            ("port", vault("https://fake.vault.azure.net:8443")),
            ("twice", vault(FakeKeyVault::URL)),
            ("twice", "gcp: {auth: {secretRef: {name: a}}}".to_owned()),
            ("later", "other: {}".to_owned()),
        ];
        let document = |(name, spec): &(&str, String)| {
            format!(
                "---\napiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: {name}}}\nspec: {{{spec}, allow: {{paths: ['*/*', '*/*/*', '*/*/*/*']}}}}\n"
            )
        };
        fs::write(clouds.path("backends.yaml"), backends.iter().map(document).collect::<String>()).unwrap();
        clouds
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs it as a user who is logged in everywhere, and then with these variables.
    fn seal(&self, words: &[&str], variables: &[(&str, &str)]) -> Finished {
        let [tenant, client, secret] = self.azure.application();
        let own = [
            ("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "hunter-access-key".to_owned()),
            ("AWS_ENDPOINT_URL", STAGE.moto.address()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("GOOGLE_OAUTH_ACCESS_TOKEN", self.google.access_token().unwrap()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", self.google.url()),
            ("GCE_METADATA_HOST", "127.0.0.1:1".to_owned()),
            ("HTTPS_PROXY", self.azure.proxy()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
            ("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential".to_owned()),
            ("AZURE_TENANT_ID", tenant),
            ("AZURE_CLIENT_ID", client),
            ("AZURE_CLIENT_SECRET", secret),
            ("SSL_CERT_FILE", self.path("ca.pem").display().to_string()),
        ];
        let call =
            Call::new(env!("CARGO_BIN_EXE_seal").as_ref(), self.folder.path()).dir(self.folder.path()).args(words);
        let call = own.iter().fold(call, |call, (name, value)| call.env(name, value));
        variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run().unwrap()
    }

    /// Returns what it told, in which no secret stands.
    fn told(&self, finished: &Finished) -> String {
        let stdout = String::from_utf8_lossy(&finished.stdout);
        let told = format!("exit code {:?}\n{stdout}{}", finished.status.code(), finished.stderr);
        assert!(!told.contains("hunter"), "{told}");
        told.replace(&self.first, "<FIRST>").replace(&self.second, "<SECOND>")
    }
}

#[test]
fn a_command_gets_what_references_into_clouds_lead_to_with_the_credentials_of_its_user() {
    let clouds = Clouds::new("run");
    let last = format!("PINNED=ref+store://azure/secrets/db?version={}", clouds.first);
    let variables = [
        "AWS=ref+store://aws/secretsmanager/run/db#/password",
        "SSM=ref+store://aws/ssm/run/token?version=1",
        "GOOGLE=ref+store://google/projects/fake/secrets/db#/password",
        "FIRST=ref+store://google/projects/fake/secrets/db?version=1",
        "AZURE=ref+store://azure/secrets/db",
        &last,
        "VALS_AWS=ref+awssecrets://run/db#/password",
        "VALS_SSM=ref+awsssm://run/token",
        "VALS_GOOGLE=ref+gcpsecrets://fake/db#/password",
    ];
    let mut words = vec!["run", "--pristine", "--backends", "backends.yaml"];
    variables.iter().for_each(|variable| words.extend(["-e", variable]));
    words.extend(["--", "/usr/bin/env"]);
    let ran = clouds.seal(&words, &[]);
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable();
    let expected = [
        "AWS=hunter-aws",
        "AZURE=hunter-azure",
        "FIRST=hunter-first",
        "GOOGLE=hunter-google",
        "PINNED=hunter-first",
        "SSM=hunter-ssm",
        "VALS_AWS=hunter-aws",
        "VALS_GOOGLE=hunter-google",
        "VALS_SSM=hunter-ssm",
    ];
    assert_eq!((ran.status.code(), lines.as_slice(), ran.stderr.as_str()), (Some(0), &expected[..], ""));
    assert_eq!(clouds.azure.count_of_tokens(), 1, "one login serves all secrets of the vaults");

    // A profile says region and endpoint as well as keys, and the region of a backend is looked for in that region.
    fs::create_dir_all(clouds.path(".aws")).unwrap();
    let profile = format!(
        "[profile work]\naws_access_key_id = A\naws_secret_access_key = b\nregion = {REGION}\nendpoint_url = {}\n",
        STAGE.moto.address()
    );
    fs::write(clouds.path(".aws/config"), profile).unwrap();
    let call = Call::new(env!("CARGO_BIN_EXE_seal").as_ref(), clouds.folder.path()).dir(clouds.folder.path());
    let call = call.args(["run", "--pristine", "-e", "A=ref+awssecrets://run/db#/password", "--", "/usr/bin/env"]);
    assert_eq!(call.env("AWS_PROFILE", "work").text().unwrap(), "A=hunter-aws\n");
}

#[test]
fn a_look_at_clouds_tells_what_is_missing_from_what_is_denied_and_from_a_service_that_is_down() {
    let clouds = Clouds::new("look");
    clouds.google.add_secret("off", b"hunter");
    clouds.google.set_secret_state("off", 1, "DISABLED");
    let aws =
        Canned::serve(&[&answer("400 Bad Request", r#"{"__type": "AccessDeniedException", "Message": "hunter"}"#)]);
    let first = format!("ref+store://azure/secrets/db?version={}", clouds.first);
    let values = [
        ("aws-there", "ref+store://aws/secretsmanager/look/db#/password"),
        ("aws-stage", "ref+store://aws/secretsmanager/look/db?version=AWSCURRENT"),
        ("aws-no-stage", "ref+store://aws/secretsmanager/look/db?version=AWSPENDING"),
        ("aws-missing", "ref+store://aws/secretsmanager/look/none"),
        ("aws-arn", "ref+store://aws/secretsmanager/arn:aws:db"),
        ("ssm-there", "ref+store://aws/ssm/look/token"),
        ("ssm-no-version", "ref+store://aws/ssm/look/token?version=9"),
        ("ssm-missing", "ref+store://aws/ssm/look/none"),
        ("google-there", "ref+store://google/projects/fake/secrets/db#/password"),
        ("google-no-value", "ref+store://google/projects/fake/secrets/db#/none"),
        ("google-no-version", "ref+store://google/projects/fake/secrets/db?version=9"),
        ("google-disabled", "ref+store://google/projects/fake/secrets/off"),
        ("google-missing", "ref+store://google/projects/fake/secrets/none"),
        ("azure-there", "ref+store://azure/secrets/db"),
        ("azure-pinned", &first),
        ("azure-missing", "ref+store://azure/secrets/none"),
        ("azure-no-secret", "ref+store://azure/keys/db"),
    ];
    let write = |values: &[(&str, &str)]| {
        let lines: String = values.iter().map(|(key, value)| format!("  {key}: '{value}'\n")).collect();
        let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n{lines}");
        fs::write(clouds.path("s.yaml"), secret).unwrap();
    };
    write(&values);
    let words = ["refs", "check", "--online", "s.yaml", "backends.yaml"];
    let version = |name: &str, json: &Value| {
        let all = json["references"].as_array().unwrap();
        all.iter().find(|one| one["keyPath"] == format!("/stringData/{name}")).unwrap()["inStore"]["version"].clone()
    };
    let looked = clouds.seal(&words, &[]);
    let json = clouds.seal(&[&words[..], &["-o", "json"]].concat(), &[]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let id = version("aws-there", &json).as_str().unwrap().to_owned();
    let versions = ["aws-stage", "ssm-there", "google-there", "azure-pinned"].map(|name| version(name, &json));
    assert_eq!(versions, [json!(id), json!("1"), json!("2"), json!(clouds.first)]);
    // The id of a version is found as well as the stage that it has.
    write(&[("aws", &format!("ref+store://aws/secretsmanager/look/db?version={id}"))]);
    let by_id = clouds.seal(&words, &[]);

    // Nobody is asked where the user's credentials do not belong, or where it can't be said which place is meant.
    clouds.azure.forget_requests();
    write(&[
        ("evil", "ref+store://evil/secrets/db"),
        ("foreign", "ref+store://foreign/secrets/db"),
        ("later", "ref+store://later/a/b"),
        ("port", "ref+store://port/secrets/db"),
        ("twice", "ref+store://twice/secrets/db"),
    ]);
    let elsewhere = clouds.seal(&words, &[]);
    assert_eq!(clouds.azure.requests().len(), 0);

    write(&[values[0], values[5], values[8], values[13]]);
    let without = ["AWS_ACCESS_KEY_ID", "GOOGLE_OAUTH_ACCESS_TOKEN", "AZURE_CLIENT_SECRET"].map(|name| (name, ""));
    let logged_out = clouds.seal(&words, &without);
    clouds.google.behave(CloudMood::Deny);
    clouds.azure.behave(CloudMood::Deny);
    let denied = clouds.seal(&words, &[("AWS_ENDPOINT_URL", &aws.address())]);
    clouds.google.stop();
    clouds.azure.stop();
    // Of the two services of AWS one is away.
    let away = clouds.seal(&words, &[("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")]);
    let all = [&looked, &by_id, &elsewhere, &logged_out, &denied, &away].map(|finished| clouds.told(finished));
    insta::assert_snapshot!(all.join("\n").replace(&id, "<ID>"));
}
