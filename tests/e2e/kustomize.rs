//! The real Kustomize over sealed values: overlays, replacements, generators.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::stage::{Stage, certificate};

const DATABASE: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: database}\nstringData: {password: opened-by-sops}\n";
const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {greeting: hello, colour: red}\n";
const ONLY_DATA: [&str; 2] = ["--encrypted-regex", "^(data|stringData)$"];

impl Stage {
    /// Encrypts bytes with the real sops, in the format that the name tells.
    fn sops_bytes(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        let arguments = ["encrypt", "--age", self.age.recipient.as_str(), "--filename-override", name];
        let finished = self.upstream.sops(&arguments).unwrap().stdin(plain).run().unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        finished.stdout
    }

    /// Returns what the real `sops decrypt` prints.
    fn sops_decrypt(&self, name: &str, sealed: &[u8]) -> Vec<u8> {
        let path = self.upstream.home().join(name);
        std::fs::write(&path, sealed).unwrap();
        let call = self.upstream.sops(&["decrypt", path.to_str().unwrap()]).unwrap();
        let finished = call.env("SOPS_AGE_KEY", &self.age.identity).run().unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        finished.stdout
    }

    /// Returns the bytes under a key of a Secret.
    fn secret_bytes(&self, secret: &str, key: &str) -> Vec<u8> {
        let object = self.get(&format!("secret/{secret}")).unwrap();
        STANDARD.decode(object["data"][key].as_str().unwrap_or_default()).unwrap()
    }

    /// Returns the names of the Secrets that begin like this.
    fn secrets_named(&self, start: &str) -> Vec<String> {
        let names = self.kubectl(&["get", "secret", "--output", "name"]).unwrap();
        let names = names.lines().filter_map(|line| line.strip_prefix("secret/"));
        names.filter(|name| name.starts_with(start)).map(str::to_owned).collect()
    }
}

#[test]
fn an_overlay_patches_prefixes_and_copies_sealed_values() {
    let stage = Stage::new("overlay");
    let plain = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: eu-token, namespace: {}}}\nstringData: {{token: opened-by-seal}}\n",
        stage.namespace
    );
    let certificate = certificate(&stage);
    let token = stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap(), "--format", "yaml"]);
    let token = token.unwrap().stdin(plain).text().unwrap().replace("eu-token", "token");
    let database = stage.sops("database.yaml", DATABASE, &ONLY_DATA);
    let rotated =
        stage.sops("patch.yaml", &DATABASE.replace("password: opened-by-sops", "user: patched-by-sops"), &ONLY_DATA);
    let overlay = format!(
        "namespace: {}\nnamePrefix: eu-\nresources: [../../base]\npatches:\n- path: patch.yaml\n- target: {{kind: ConfigMap, name: settings}}\n  patch: '[{{op: replace, path: /data/greeting, value: patched}}]'\nreplacements:\n- source: {{kind: Secret, name: database, fieldPath: stringData.password}}\n  targets:\n  - select: {{kind: Secret, name: copy}}\n    fieldPaths: [stringData.copied]\n    options: {{create: true}}\n",
        stage.namespace
    );
    let commit = stage.commit(&[
        ("base/kustomization.yaml", "resources: [settings.yaml, database.yaml, copy.yaml, token.yaml]\n"),
        ("base/settings.yaml", CONFIG),
        ("base/database.yaml", &database),
        ("base/copy.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: copy}\n"),
        ("base/token.yaml", &token),
        ("overlays/eu/kustomization.yaml", &overlay),
        ("overlays/eu/patch.yaml", &rotated),
    ]);
    stage.sync("./overlays/eu", "");
    stage.applied(&commit);

    let settings = stage.get("configmap/eu-settings").unwrap();
    assert_eq!(settings["data"], serde_json::json!({"greeting": "patched", "colour": "red"}));
    assert_eq!(stage.secret_value("eu-database", "password").as_deref(), Some("opened-by-sops"));
    assert_eq!(stage.secret_value("eu-database", "user").as_deref(), Some("patched-by-sops"));
    assert_eq!(stage.secret_value("eu-copy", "copied").as_deref(), Some("opened-by-sops"));
    assert_eq!(stage.secret_value("eu-token", "token").as_deref(), Some("opened-by-seal"));
}

const GENERATOR: &str = "secretGenerator:\n- name: files\n  files: [whole.yaml, whole.json, whole.env, whole.ini, renamed.bin=whole.bin]\n- name: env\n  envs: [whole.env]\n";

#[test]
fn generated_secrets_have_exactly_what_sops_prints() {
    let stage = Stage::new("generated");
    let files: [(&str, &[u8]); 5] = [
        ("whole.yaml", b"# a comment\nuser: admin\nlist: [1, 2.50, yes]\ntext: |\n  two\n  lines\n"),
        ("whole.json", b"{\"user\": \"admin\", \"nested\": {\"number\": 1.0, \"none\": null}}"),
        ("whole.env", b"USER=admin\n# a comment\nPASSWORD=with = and spaces\n"),
        ("whole.ini", b"top = 1\n; a comment\n[database]\npassword = `p#w`\nlong_key = x\n"),
        ("whole.bin", b"\x00\xff\xfebinary\r\n"),
    ];
    let mut opened = Vec::new();
    for (name, plain) in files {
        let sealed = stage.sops_bytes(name, plain);
        opened.push((name.replace("whole.bin", "renamed.bin"), stage.sops_decrypt(name, &sealed)));
        stage.repo.write(&format!("app/{name}"), sealed).unwrap();
    }
    let commit = stage.commit(&[(
        "app/kustomization.yaml",
        &format!("{GENERATOR}generatorOptions: {{disableNameSuffixHash: true}}\n"),
    )]);
    stage.sync("./app", "");
    stage.applied(&commit);
    for (name, expected) in opened {
        assert_eq!(stage.secret_bytes("files", &name), expected, "{name}");
    }
    assert_eq!(stage.secret_value("env", "USER").as_deref(), Some("admin"));
    assert_eq!(stage.secret_value("env", "PASSWORD").as_deref(), Some("with = and spaces"));
}

#[test]
fn a_generated_secret_gets_another_name_when_its_ciphertext_changes_and_the_old_one_goes() {
    let stage = Stage::new("suffix");
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers: [{name: web, image: web, envFrom: [{secretRef: {name: env}}]}]\n";
    let env =
        |value: &str| String::from_utf8(stage.sops_bytes("app.env", format!("KEY={value}\n").as_bytes())).unwrap();
    let first = stage.commit(&[
        ("app/kustomization.yaml", "resources: [web.yaml]\nsecretGenerator:\n- name: env\n  envs: [app.env]\n"),
        ("app/web.yaml", web),
        ("app/app.env", &env("one")),
    ]);
    stage.sync("./app", "wait: false");
    stage.applied(&first);
    let used = || {
        let web = stage.get("deployment/web").unwrap();
        let name = &web["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"];
        name.as_str().unwrap().to_owned()
    };
    let before = used();
    assert_eq!(stage.secrets_named("env-"), [before.as_str()]);
    assert_eq!(stage.secret_value(&before, "KEY").as_deref(), Some("one"));

    // What stays the same keeps its name.
    stage.applied(&stage.commit(&[("README.md", "unrelated")]));
    assert_eq!(used(), before);

    stage.applied(&stage.commit(&[("app/app.env", &env("two"))]));
    let after = used();
    assert_ne!(after, before, "the Secret has another name, so its users start again");
    assert_eq!(stage.secrets_named("env-"), [after.as_str()], "the old one was pruned");
    assert_eq!(stage.secret_value(&after, "KEY").as_deref(), Some("two"));
}
