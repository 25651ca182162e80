//! A commit with a SealedSecret, a SOPS file and ordinary manifests arrives in the cluster.

use waxwing_harness::Gnupg;

use crate::stage::{Stage, certificate, condition};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {greeting: hello}\n";

#[test]
fn a_commit_with_sealed_values_arrives() {
    let stage = Stage::new("main-job");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: database}\nstringData: {password: opened-by-sops}\n";
    let sops = stage.sops("database.yaml", secret, &["--encrypted-regex", "^(data|stringData)$"]);
    let plain = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token, namespace: {}}}\nstringData: {{token: opened-by-seal}}\n",
        stage.namespace
    );
    let certificate = certificate(&stage);
    let sealed = stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap(), "--format", "yaml"]);
    let sealed = sealed.unwrap().stdin(plain).text().unwrap();
    assert!(sealed.contains("\n  template:\n"), "{sealed}");
    let template = "\n  template:\n    data: {url: 'https://{{ .token | upper }}@db'}\n";
    let sealed = sealed.replace("\n  template:\n", template);
    let commit =
        stage.commit(&[("app/config.yaml", CONFIG), ("app/database.yaml", &sops), ("app/token.yaml", &sealed)]);
    stage.sync("./app", "");
    let sync = stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("opened-by-sops"));
    assert_eq!(stage.secret_value("token", "token").as_deref(), Some("opened-by-seal"));
    assert_eq!(stage.secret_value("token", "url").as_deref(), Some("https://OPENED-BY-SEAL@db"));
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["greeting"], "hello");
    assert_eq!(sync["status"]["counts"]["created"], 3);
    for kind in ["Healthy", "Unsealed"] {
        assert_eq!(condition(&sync, kind)["status"], "True", "{kind}");
    }
    stage.kubectl(&["wait", "--for=condition=Ready", "sync/app", "--timeout=10s"]).unwrap();
}

#[test]
fn a_file_that_was_sealed_for_a_pgp_key_arrives_and_keys_that_can_not_be_used_are_named_with_their_entry() {
    let stage = Stage::new("pgp");
    let gnupg = Gnupg::new().unwrap();
    let named = gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    let words =
        ["encrypt", "--pgp", &named, "--filename-override", "database.yaml", "--encrypted-regex", "^stringData$"];
    let call = stage.upstream.sops(&words).unwrap().env("GNUPGHOME", gnupg.home());
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: database}\nstringData: {password: opened-by-pgp}\n";
    let commit = stage.commit(&[("app/database.yaml", &call.stdin(secret).text().unwrap())]);
    let put = |key: &str| {
        let key: String = key.lines().map(|line| format!("    {line}\n")).collect();
        let head =
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: sops-pgp, namespace: {}}}", stage.namespace);
        stage.cluster.apply_yaml(&format!("{head}\nstringData:\n  shop.asc: |\n{key}")).unwrap();
    };
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/keys/tests/fixtures/pgp");
    let fixture = |name: &str| std::fs::read_to_string(format!("{fixtures}/{name}")).unwrap();
    put(&fixture("locked.asc"));
    stage.source();
    stage.declare(
        "app",
        "path: ./app\nserviceAccountName: deployer\nsecrets: {keysFrom: [{secretRef: {name: sops-pgp}}]}",
    );
    let is_named = |message: &str| message.starts_with("Secret sops-pgp, shop.asc: the PGP key ");
    stage.ready("False", |message| is_named(message) && message.contains("has a passphrase"));
    put(&fixture("small.asc"));
    stage.ready("False", |message| is_named(message) && message.contains("is an RSA key of 1024 bits"));
    put(&fixture("other.asc"));
    stage.ready("False", |message| message.contains("Secret sops-pgp, shop.asc: no key matches"));
    put(&gnupg.private_key(&named).unwrap());
    stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("opened-by-pgp"));
}
