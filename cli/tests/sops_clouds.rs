//! Keys of Google Cloud KMS and Azure Key Vault: the real sops and ours call the same fakes, and each opens what the other wrote.
//!
//! Both reach the vault under its real name, through a proxy that leads that name to the fake. What sops can't be pointed at (a user's
//! credentials of Google, whose address it has built in; an identity of a machine) is shown with ours alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where it stands")]

#[path = "sops_clouds/keyservice.rs"]
mod keyservice;
#[path = "support/keyservice.rs"]
#[allow(dead_code, reason = "shared with the tests of other services")]
mod running;
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use support::server;
use tempfile::TempDir;
use waxwing_harness::{AgeKey, Call, CloudMood, FakeGcpKms, FakeKeyVault, Finished, Upstream};

const PLAIN: &str = "user: admin\npassword: hunter2\n";
/// A token of a server that always gives the same.
const FIXED_TOKEN: &str = "ya29.fixed-token-of-a-machine";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Theirs,
    Ours,
}

const BOTH: [(Program, Program); 2] = [(Program::Theirs, Program::Ours), (Program::Ours, Program::Theirs)];

type Variables = Vec<(&'static str, String)>;

/// Both fakes with a key each, an age key, and a folder.
struct Stage {
    upstream: Upstream,
    age: AgeKey,
    google: FakeGcpKms,
    gcp: String,
    azure: FakeKeyVault,
    vault: String,
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let upstream = Upstream::new().unwrap();
        let (google, azure) = (FakeGcpKms::start().unwrap(), FakeKeyVault::start().unwrap());
        let folder = TempDir::new().unwrap();
        symlink(env!("CARGO_BIN_EXE_seal"), folder.path().join("sops")).unwrap();
        fs::write(folder.path().join("ca.pem"), google.ca_pem() + &azure.ca_pem()).unwrap();
        fs::write(folder.path().join("plain.yaml"), PLAIN).unwrap();
        let age = upstream.age_keygen().unwrap();
        fs::write(folder.path().join("age.txt"), &age.identity).unwrap();
        let (gcp, vault) = (google.create_key("sops").unwrap(), azure.create_key("sops").unwrap());
        Self { upstream, age, google, gcp, azure, vault, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        self.write(name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Runs a program with these variables and no others.
    fn call(&self, program: Program, words: &[&str], variables: &Variables) -> Finished {
        let call = match program {
            Program::Theirs => self.upstream.sops(words).unwrap(),
            Program::Ours => Call::new(&self.path().join("sops"), self.path()).args(words),
        };
        let call = call.dir(self.path()).env("SSL_CERT_FILE", self.path().join("ca.pem"));
        variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run().unwrap()
    }

    /// Runs a program, which must succeed.
    fn text(&self, program: Program, words: &[&str], variables: &Variables) -> String {
        self.call(program, words, variables).text().unwrap()
    }

    /// Seals a file for what the words name, and returns it.
    fn sealed(&self, program: Program, words: &[&str], variables: &Variables) -> String {
        let words = [&["encrypt"], words, &["plain.yaml"]].concat();
        self.text(program, &words, variables)
    }

    /// Tells whether a program opens `sealed.yaml`.
    fn opens(&self, program: Program, variables: &Variables) -> bool {
        let finished = self.call(program, &["decrypt", "sealed.yaml"], variables);
        finished.status.success() && finished.stdout == PLAIN.as_bytes()
    }

    fn with_age(&self) -> Variables {
        vec![("SOPS_AGE_KEY_FILE", self.path().join("age.txt").display().to_string())]
    }

    /// Where Google Cloud is.
    fn at_google(&self) -> Variables {
        vec![
            ("SOPS_GCP_KMS_ENDPOINT", self.google.url()),
            ("SOPS_GCP_KMS_CLIENT_TYPE", "rest".to_owned()),
            // Nobody is there: whoever has nothing else has no credentials.
            ("GCE_METADATA_HOST", "127.0.0.1:1".to_owned()),
        ]
    }

    fn with_google(&self) -> Variables {
        let token = self.google.access_token().unwrap();
        [self.at_google(), vec![("GOOGLE_OAUTH_ACCESS_TOKEN", token)]].concat()
    }

    /// Where Azure is, for those who have credentials in the environment or none.
    fn at_azure(&self) -> Variables {
        vec![
            ("HTTPS_PROXY", self.azure.proxy()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
            ("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential".to_owned()),
        ]
    }

    fn with_azure(&self) -> Variables {
        let [tenant, client, secret] = self.azure.application();
        let own = vec![("AZURE_TENANT_ID", tenant), ("AZURE_CLIENT_ID", client), ("AZURE_CLIENT_SECRET", secret)];
        [self.at_azure(), own].concat()
    }
}

fn joined(variables: &[Variables]) -> Variables {
    variables.concat()
}

#[test]
fn each_program_opens_what_the_other_sealed_for_google_cloud_kms() {
    let stage = Stage::new();
    let account = stage.google.service_account().unwrap();
    stage.write("account.json", &account);
    let file = stage.path().join("account.json").display().to_string();
    for credentials in [
        ("GOOGLE_OAUTH_ACCESS_TOKEN", stage.google.access_token().unwrap()),
        ("GOOGLE_CREDENTIALS", account),
        ("GOOGLE_CREDENTIALS", file.clone()),
        ("GOOGLE_APPLICATION_CREDENTIALS", file),
    ] {
        let name = credentials.0;
        let variables = joined(&[stage.at_google(), vec![credentials]]);
        for (writer, reader) in BOTH {
            stage.write("sealed.yaml", stage.sealed(writer, &["--gcp-kms", &stage.gcp], &variables));
            assert!(stage.opens(reader, &variables), "{name}: {reader:?}");
        }
    }
    assert_eq!((stage.google.count(":encrypt"), stage.google.count(":decrypt")), (8, 8));
}

#[test]
fn other_credentials_of_google_serve_too() {
    let stage = Stage::new();
    stage.write("sealed.yaml", stage.sealed(Program::Theirs, &["--gcp-kms", &stage.gcp], &stage.with_google()));
    let user = stage.google.authorized_user().unwrap();
    let with = |name, value| joined(&[stage.at_google(), vec![(name, value)]]);
    assert!(stage.opens(Program::Ours, &with("GOOGLE_CREDENTIALS", user.clone())));
    assert_eq!(stage.google.count("/token"), 1);
    fs::create_dir_all(stage.path().join(".config/gcloud")).unwrap();
    stage.write(".config/gcloud/application_default_credentials.json", user);
    assert!(stage.opens(Program::Ours, &stage.at_google()));
    fs::remove_dir_all(stage.path().join(".config")).unwrap();
    assert!(!stage.opens(Program::Ours, &stage.at_google()));
    stage.google.admit(FIXED_TOKEN);
    let token = |_: &str, _| {
        let body = format!("{{\"access_token\": \"{FIXED_TOKEN}\", \"expires_in\": 3599, \"token_type\": \"Bearer\"}}");
        server::with_body("200 OK\r\nMetadata-Flavor: Google\r\nContent-Type: application/json", &body)
    };
    let metadata = server::serve(token, None).to_string();
    let variables = stage.at_google().into_iter().filter(|(name, _)| *name != "GCE_METADATA_HOST").collect();
    assert!(stage.opens(Program::Ours, &joined(&[variables, vec![("GCE_METADATA_HOST", metadata)]])));
}

#[test]
fn each_program_opens_what_the_other_sealed_for_azure_key_vault() {
    let stage = Stage::new();
    let variables = stage.with_azure();
    for (writer, reader) in BOTH {
        stage.write("sealed.yaml", stage.sealed(writer, &["--azure-kv", &stage.vault], &variables));
        assert!(stage.opens(reader, &variables), "{reader:?}");
    }
    // Without a version: both ask for the newest, and write which that was.
    let newest = stage.azure.create_key("sops").unwrap();
    let (key, version) = newest.rsplit_once('/').unwrap();
    for (writer, reader) in BOTH {
        let sealed = stage.sealed(writer, &["--azure-kv", key], &variables);
        assert!(sealed.contains(&format!("version: {version}")), "{writer:?}");
        stage.write("sealed.yaml", sealed);
        assert!(stage.opens(reader, &variables), "{reader:?}");
    }
}

#[test]
fn other_credentials_of_azure_serve_too() {
    let stage = Stage::new();
    stage.write("sealed.yaml", stage.sealed(Program::Theirs, &["--azure-kv", &stage.vault], &stage.with_azure()));
    let [tenant, client, secret] = stage.azure.application();
    let selected = |name: &str| {
        let places = vec![("AZURE_TOKEN_CREDENTIALS", name.to_owned())];
        let rest = stage.at_azure().into_iter().filter(|(name, _)| *name != "AZURE_TOKEN_CREDENTIALS").collect();
        joined(&[rest, places])
    };
    // Somebody else vouches for the application.
    stage.write("federated", stage.azure.federated_token());
    let file = stage.path().join("federated").display().to_string();
    let own = vec![
        ("AZURE_TENANT_ID", tenant.clone()),
        ("AZURE_CLIENT_ID", client.clone()),
        ("AZURE_FEDERATED_TOKEN_FILE", file),
    ];
    for program in [Program::Theirs, Program::Ours] {
        assert!(stage.opens(program, &joined(&[selected("WorkloadIdentityCredential"), own.clone()])), "{program:?}");
    }
    // The authority is elsewhere.
    let host = vec![("AZURE_AUTHORITY_HOST", stage.azure.authority_url())];
    let own = vec![("AZURE_TENANT_ID", tenant), ("AZURE_CLIENT_ID", client), ("AZURE_CLIENT_SECRET", secret)];
    assert!(stage.opens(Program::Ours, &joined(&[stage.at_azure(), own, host])));
    assert!(stage.azure.requests().iter().any(|request| request.host.starts_with("127.0.0.1:")));
    // A machine with an identity.
    stage.azure.admit(FIXED_TOKEN);
    let token = |path: &str, _| {
        let is_wanted = path.contains("resource=https") && path.contains("vault.azure.net");
        let body = format!(
            "{{\"access_token\": \"{FIXED_TOKEN}\", \"expires_on\": \"4102444800\", \"resource\": \"x\", \"token_type\": \"Bearer\"}}"
        );
        server::with_body(if is_wanted { "200 OK" } else { "400 Bad Request" }, &body)
    };
    let endpoint = format!("http://{}/token", server::serve(token, None));
    let machine = vec![("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_HEADER", "x".to_owned())];
    assert!(stage.opens(Program::Ours, &joined(&[selected("ManagedIdentityCredential"), machine])));
    // Whoever is logged in with az.
    let folder = stage.path().join("bin");
    fs::create_dir(&folder).unwrap();
    let answer =
        format!("{{\"accessToken\": \"{FIXED_TOKEN}\", \"expires_on\": 4102444800, \"tokenType\": \"Bearer\"}}");
    fs::write(folder.join("az"), format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
    fs::set_permissions(folder.join("az"), fs::Permissions::from_mode(0o700)).unwrap();
    let path = vec![("PATH", format!("{}:/usr/bin:/bin", folder.display()))];
    for program in [Program::Theirs, Program::Ours] {
        assert!(stage.opens(program, &joined(&[selected("AzureCLICredential"), path.clone()])), "{program:?}");
    }
    // A machine that has an endpoint, and no identity.
    let refusal = |_: &str, _| server::with_body("400 Bad Request", "{\"error\": \"invalid_request\"}");
    let endpoint = format!("http://{}/token", server::serve(refusal, None));
    let machine = vec![("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_HEADER", "x".to_owned())];
    assert!(stage.opens(Program::Ours, &joined(&[selected(""), machine, path])));
}

#[test]
fn keys_are_added_and_removed_as_with_sops() {
    let stage = Stage::new();
    let everything = joined(&[stage.with_age(), stage.with_google(), stage.with_azure()]);
    for (writer, reader) in BOTH {
        stage.write("sealed.yaml", stage.sealed(writer, &["--age", &stage.age.recipient], &everything));
        let add = ["rotate", "-i", "--add-gcp-kms", &stage.gcp, "--add-azure-kv", &stage.vault, "sealed.yaml"];
        stage.text(writer, &add, &everything);
        for variables in [stage.with_age(), stage.with_google(), stage.with_azure()] {
            assert!(stage.opens(reader, &variables), "{reader:?} {variables:?}");
        }
        stage.text(writer, &["rotate", "-i", "--rm-age", &stage.age.recipient, "sealed.yaml"], &everything);
        assert!(!stage.opens(reader, &stage.with_age()));
        stage.text(writer, &["rotate", "-i", "--rm-gcp-kms", &stage.gcp, "sealed.yaml"], &everything);
        assert!(!stage.opens(reader, &stage.with_google()) && stage.opens(reader, &stage.with_azure()));
    }
}

#[test]
fn groups_the_editor_and_the_older_flags_take_keys_of_both_clouds() {
    let stage = Stage::new();
    stage.program("write.sh", &format!("printf '{}' > \"$1\"", PLAIN.replace('\n', "\\n")));
    let editor = vec![("EDITOR", "./write.sh".to_owned())];
    let everything = joined(&[stage.with_age(), stage.with_google(), stage.with_azure(), editor]);
    for (writer, reader) in BOTH {
        stage.text(writer, &["edit", "--gcp-kms", &stage.gcp, "--azure-kv", &stage.vault, "new.yaml"], &everything);
        fs::rename(stage.path().join("new.yaml"), stage.path().join("sealed.yaml")).unwrap();
        assert!(stage.opens(reader, &stage.with_google()) && stage.opens(reader, &stage.with_azure()), "{writer:?}");
        let sealed = stage.sealed(writer, &["--age", &stage.age.recipient], &everything);
        stage.write("sealed.yaml", &sealed);
        let add = ["groups", "add", "-f", "sealed.yaml", "-i", "--gcp-kms", &stage.gcp, "--azure-kv", &stage.vault];
        stage.text(writer, &add, &everything);
        let two = joined(&[stage.with_age(), stage.with_google()]);
        assert!(!stage.opens(reader, &stage.with_google()) && stage.opens(reader, &two), "{writer:?}");
        stage.write("sealed.yaml", &sealed);
        let add = ["-r", "-i", "--add-gcp-kms", &stage.gcp, "--add-azure-kv", &stage.vault, "sealed.yaml"];
        stage.text(writer, &add, &everything);
        assert!(stage.opens(reader, &stage.with_google()) && stage.opens(reader, &stage.with_azure()), "{writer:?}");
        stage.text(writer, &["-r", "-i", "--rm-gcp-kms", &stage.gcp, "sealed.yaml"], &everything);
        let both = stage.read("sealed.yaml");
        assert!(!stage.opens(reader, &stage.with_google()) && stage.opens(reader, &stage.with_azure()), "{writer:?}");
        for remove in [
            ["-r", "-i", "--rm-azure-kv", &stage.vault, "sealed.yaml"],
            ["rotate", "-i", "--rm-azure-kv", &stage.vault, "sealed.yaml"],
        ] {
            stage.write("sealed.yaml", &both);
            stage.text(writer, &remove, &everything);
            assert!(!stage.opens(reader, &stage.with_azure()) && stage.opens(reader, &stage.with_age()), "{writer:?}");
        }
    }
}

#[test]
fn rules_and_key_groups_have_keys_of_both_clouds() {
    let stage = Stage::new();
    let (key, version) = stage.vault.rsplit_once('/').unwrap();
    let name = key.rsplit_once('/').unwrap().1;
    let vault = FakeKeyVault::URL;
    let (age, gcp) = (&stage.age.recipient, &stage.gcp);
    let everything = joined(&[stage.with_age(), stage.with_google(), stage.with_azure()]);
    let groups = format!(
        "creation_rules:\n- shamir_threshold: 2\n  key_groups:\n  - age: [{age}]\n  - gcp_kms: [{{resource_id: {gcp}}}]\n  - azure_keyvault: [{{vaultUrl: {vault}/, key: {name}, version: {version}}}]\n"
    );
    for (writer, reader) in BOTH {
        stage.write(".sops.yaml", &groups);
        stage.write("sealed.yaml", stage.sealed(writer, &[], &everything));
        for two in [
            [stage.with_age(), stage.with_google()],
            [stage.with_age(), stage.with_azure()],
            [stage.with_google(), stage.with_azure()],
        ] {
            assert!(stage.opens(reader, &joined(&two)), "{reader:?}");
        }
        assert!(!stage.opens(reader, &stage.with_google()));
        // Sealed for one, then for those that the rule names now.
        stage.write(".sops.yaml", format!("creation_rules:\n- age: {age}\n"));
        stage.write("sealed.yaml", stage.sealed(writer, &[], &everything));
        stage.write(
            ".sops.yaml",
            format!("creation_rules:\n- age: {age}\n  gcp_kms: {gcp}\n  azure_keyvault: {}\n", stage.vault),
        );
        stage.text(writer, &["updatekeys", "--yes", "sealed.yaml"], &everything);
        assert!(stage.opens(reader, &stage.with_google()) && stage.opens(reader, &stage.with_azure()));
        let before = stage.read("sealed.yaml");
        stage.text(reader, &["updatekeys", "--yes", "sealed.yaml"], &everything);
        assert_eq!(stage.read("sealed.yaml"), before, "there is nothing to change");
    }
}

#[test]
fn a_file_whose_age_key_is_at_hand_calls_no_service() {
    let stage = Stage::new();
    let everything = joined(&[stage.with_age(), stage.with_google(), stage.with_azure()]);
    let words = ["--age", &stage.age.recipient, "--gcp-kms", &stage.gcp, "--azure-kv", &stage.vault];
    stage.write("sealed.yaml", stage.sealed(Program::Ours, &words, &everything));
    stage.google.forget_requests();
    stage.azure.forget_requests();
    assert!(stage.opens(Program::Ours, &everything));
    assert_eq!((stage.google.requests(), stage.azure.requests()), (vec![], vec![]));
    stage.text(Program::Ours, &["decrypt", "--decryption-order", "gcp_kms,azure_kv,age", "sealed.yaml"], &everything);
    assert_eq!((stage.google.count(":decrypt"), stage.azure.requests().len()), (1, 0));
}

#[test]
fn a_vault_of_another_domain_gets_no_token() {
    let stage = Stage::new();
    let variables = stage.with_azure();
    let sealed = stage.sealed(Program::Theirs, &["--azure-kv", &stage.vault], &variables);
    stage.azure.forget_requests();
    stage.write("sealed.yaml", sealed.replace(FakeKeyVault::URL, FakeKeyVault::FOREIGN_URL));
    for program in [Program::Theirs, Program::Ours] {
        assert!(!stage.opens(program, &variables), "{program:?}");
    }
    assert_eq!(stage.azure.count_of_tokens(), 0);
    assert!(stage.azure.requests().len() >= 2 && stage.azure.requests().iter().all(|request| !request.has_token));
}

#[test]
fn whoever_has_no_credentials_or_rights_is_told_what_to_do() {
    let stage = Stage::new();
    let google = |name, value: &str| joined(&[stage.at_google(), vec![(name, value.to_owned())]]);
    let azure = |name, value: &str| joined(&[stage.with_azure(), vec![(name, value.to_owned())]]);
    let (gcp, vault) = (["--gcp-kms", &stage.gcp], ["--azure-kv", &stage.vault]);
    let missing = format!("{}x", stage.gcp);
    let rows = [
        ("no credentials", gcp, stage.at_google()),
        ("neither a file nor JSON", gcp, google("GOOGLE_CREDENTIALS", "none.json")),
        ("another type", gcp, google("GOOGLE_CREDENTIALS", "{\"type\": \"other\"}")),
        ("a field is missing", gcp, google("GOOGLE_CREDENTIALS", "{\"type\": \"service_account\"}")),
        ("a file that is missing", gcp, google("GOOGLE_APPLICATION_CREDENTIALS", "none.json")),
        ("a token that is none", gcp, google("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.not-one")),
        (
            "no TLS",
            gcp,
            joined(&[stage.with_google(), vec![("SOPS_GCP_KMS_ENDPOINT", "http://kms.example.com".into())]]),
        ),
        ("no such key", ["--gcp-kms", &missing], stage.with_google()),
        ("no credentials", vault, stage.at_azure()),
        ("another secret", vault, azure("AZURE_CLIENT_SECRET", "not-it")),
        ("no place that is known", vault, azure("AZURE_TOKEN_CREDENTIALS", "AzurePowerShellCredential")),
        (
            "a certificate",
            vault,
            joined(&[
                stage.with_azure(),
                vec![("AZURE_CLIENT_SECRET", String::new()), ("AZURE_CLIENT_CERTIFICATE_PATH", "x.pem".to_owned())],
            ]),
        ),
        ("another domain", ["--azure-kv", "https://vault.foreign.example/keys/k/1"], stage.with_azure()),
    ];
    let mut report = String::new();
    for (what, key, variables) in rows {
        let words = [&["encrypt"], &key[..], &["plain.yaml"]].concat();
        let finished = stage.call(Program::Ours, &words, &variables);
        assert!(!finished.status.success() && finished.stdout.is_empty(), "{what}");
        let version = stage.vault.rsplit_once('/').unwrap().1;
        report.push_str(&format!("{what}\n{}\n", finished.stderr.replace(version, "VERSION")));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn what_goes_wrong_is_said_without_data_keys_and_tokens() {
    let stage = Stage::new();
    let account = stage.google.service_account().unwrap();
    let both = vec![
        ("GOOGLE_CREDENTIALS", account.clone()),
        ("RUST_LOG", "trace".to_owned()),
        ("RUST_BACKTRACE", "1".to_owned()),
    ];
    let variables = joined(&[stage.at_google(), stage.with_azure(), both]);
    let mut seen = Vec::new();
    let mut call = |words: &[&str]| {
        let finished = stage.call(Program::Ours, words, &variables);
        assert!(!finished.status.success());
        seen.push(format!("{}{}", String::from_utf8_lossy(&finished.stdout), finished.stderr));
    };
    stage.write("gcp.yaml", stage.sealed(Program::Ours, &["--gcp-kms", &stage.gcp], &variables));
    stage.write("azure.yaml", stage.sealed(Program::Ours, &["--azure-kv", &stage.vault], &variables));
    for mood in [CloudMood::Deny, CloudMood::Garble, CloudMood::Damage, CloudMood::Redirect] {
        stage.google.behave(mood.clone());
        stage.azure.behave(mood);
        call(&["--verbose", "decrypt", "gcp.yaml"]);
        call(&["--verbose", "decrypt", "azure.yaml"]);
        call(&["--verbose", "encrypt", "--gcp-kms", &format!("{}x", stage.gcp), "plain.yaml"]);
        call(&["--verbose", "encrypt", "--azure-kv", &format!("{}/keys/none", FakeKeyVault::URL), "plain.yaml"]);
    }
    stage.google.stop();
    stage.azure.stop();
    call(&["decrypt", "gcp.yaml"]);
    call(&["decrypt", "azure.yaml"]);
    let [_, _, secret] = stage.azure.application();
    let keys = [stage.google.plaintexts(), stage.azure.plaintexts()].concat();
    assert!(keys.len() >= 2);
    for text in seen {
        for private in ["BEGIN PRIVATE KEY", "ya29.", "eyJ", &secret] {
            assert!(!text.contains(private), "{text}");
        }
        for key in &keys {
            assert!(!text.contains(&STANDARD.encode(key)) && !text.contains(&URL_SAFE_NO_PAD.encode(key)), "{text}");
        }
    }
}
