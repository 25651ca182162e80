//! `seal keys` against a real API server: which keys there are and what needs them, their backup, and that nothing is lost by a mistake. Beside
//! it, references to Secrets of the cluster.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Value, json};
use support::{Folder, Ran, run};
use waxwing_harness::{AgeKey, Call, Cluster, Failure, SealedSecretsController, Upstream};

const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
const SECRET: &str =
    "{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, stringData: {password: hunter2}}";
/// The names of the throw-away keys.
const KEYS: [(&str, &str); 3] =
    [("sealed-secrets-key-new", "newer"), ("sealed-secrets-key-old", "throw-away"), ("sealed-secrets-key-big", "big")];

/// A namespace of keys, a folder, and someone who can open backups.
struct Place {
    cluster: &'static Cluster,
    folder: Folder,
    upstream: Upstream,
    own: AgeKey,
    namespace: String,
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/fixtures/sealed_secret/keys");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn base64(text: &str) -> Value {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text).into()
}

fn key_secret(namespace: &str, name: &str, label: &str, key: &str, certificate: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: label, "team": "platform"}},
        "data": {"tls.key": base64(key), "tls.crt": base64(certificate)}})
}

impl Place {
    fn new(namespace: &str) -> Result<Self, Failure> {
        let cluster = Cluster::shared()?;
        SealedSecretsController::install(cluster)?;
        cluster.apply_yaml(
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string(),
        )?;
        let (folder, upstream) = (Folder::new(), Upstream::new()?);
        let own = upstream.age_keygen()?;
        for name in ["newer.crt", "throw-away.crt", "throw-away.key", "big.crt"] {
            folder.write(name, fixture(name));
        }
        Ok(Self { cluster, folder, upstream, own, namespace: namespace.to_owned() })
    }

    fn add(&self, name: &str, label: &str, key: &str, certificate: &str) {
        let secret = key_secret(&self.namespace, name, label, &fixture(key), &fixture(certificate));
        self.cluster.apply_yaml(&secret.to_string()).unwrap();
    }

    /// Adds the throw-away keys.
    fn with_keys(self) -> Self {
        KEYS.iter().for_each(|(name, key)| self.add(name, "active", &format!("{key}.key"), &format!("{key}.crt")));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Seals with the real kubeseal.
    fn sealed(&self, name: &str, certificate: &str) -> String {
        let secret = SECRET.replace("name: db", &format!("name: {name}"));
        let call = self.upstream.kubeseal(&["-o", "yaml", "--cert", self.path(certificate).to_str().unwrap()]).unwrap();
        call.stdin(secret).text().unwrap()
    }

    fn call(&self, arguments: &[&str]) -> Call {
        let call = self.folder.call(&["keys"]).args(arguments).env("SOPS_AGE_KEY", &self.own.identity);
        call.env("KUBECONFIG", self.cluster.kubeconfig())
    }

    /// Runs it in this namespace, and sees that no key is shown.
    fn keys(&self, arguments: &[&str]) -> Ran {
        let ran = run(self.call(arguments).args(["--controller-namespace", &self.namespace]));
        for secret in ["PRIVATE KEY", "hunter2", &base64(&fixture("newer.key")).as_str().unwrap()[100..140]] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
        }
        ran
    }

    fn names(&self) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{}/secrets?labelSelector={LABEL}%3Dactive", self.namespace);
        let list = self.cluster.get(&path).unwrap();
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Puts one word in the place of what differs from run to run.
fn masked(text: &str) -> String {
    let time = Regex::new(r#""created": "[^"]*""#).unwrap();
    let age = Regex::new(r"\b\d+d\b").unwrap();
    age.replace_all(&time.replace_all(text, "\"created\": TIME"), "AGE").into_owned()
}

#[test]
fn keys_are_listed_with_what_needs_them_and_never_shown() -> Result<(), Failure> {
    let place = Place::new("keys-list")?.with_keys();
    place.add("elliptic", "active", "elliptic.key", "elliptic.crt");
    place.add("mixed", "active", "newer.key", "throw-away.crt");
    place.add("revoked", "compromised", "small.key", "expired.crt");
    let listed = place.keys(&["list"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));

    fs::create_dir(place.path("app")).unwrap();
    for (file, text) in [
        ("app/old.yaml", place.sealed("old", "throw-away.crt")),
        (
            "app/both.yaml",
            format!("{}---\n{}", place.sealed("one", "newer.crt"), place.sealed("two", "throw-away.crt")),
        ),
        ("app/renamed.yaml", place.sealed("renamed", "newer.crt").replace("name: renamed", "name: other")),
        (
            "app/steering.yaml",
            place
                .sealed("x", "newer.crt")
                .replace("    password: ", "    \"\\e[2J\\npassword\": ")
                .replace("name: x", "name: \"\\ex\""),
        ),
        ("app/chart.yaml", "kind: SealedSecret\n{{ if }}\n".to_owned()),
        ("app/homeless.yaml", place.sealed("x", "newer.crt").replace("  namespace: shop\n", "")),
    ] {
        place.folder.write(file, text);
    }
    place.cluster.apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")?;
    let mut live: Value = serde_json::from_str(
        &place.upstream.kubeseal(&["--cert", place.path("big.crt").to_str().unwrap()])?.stdin(SECRET).text()?,
    )
    .unwrap();
    live["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    live["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    place.cluster.apply_yaml(&live.to_string())?;
    let needed = place.keys(&["list", "--needed-by", "app", "--in-cluster"]);
    let json = place.keys(&["list", "--needed-by", "app", "-n", "shop", "-o", "json"]);
    let offline = ["list", "--needed-by", "app/old.yaml", "--recovery-private-key", "throw-away.key", "-o", "json"];
    let offline: Value = serde_json::from_str(&place.keys(&offline).stdout).unwrap();
    assert_eq!((needed.code, json.code), (Some(0), Some(0)), "{needed:?} {json:?}");
    insta::assert_snapshot!(masked(&format!("{}\n{}\n{}", listed.stdout, needed.stdout, json.stdout)));
    assert!(!needed.stdout.contains('\u{1b}'), "{needed:?}");
    let of_old =
        offline["keys"].as_array().unwrap().iter().find(|key| key["name"] == "sealed-secrets-key-old").unwrap();
    assert_eq!(of_old["neededBy"][0]["file"], "old.yaml");

    let stranger = place.cluster.kubeconfig_as("stranger")?;
    let refused = run(place.call(&["list", "--kubeconfig"]).arg(stranger));
    assert_eq!(refused.code, Some(1));
    insta::assert_snapshot!("refused", refused.stderr);
    Ok(())
}

#[test]
fn a_key_stays_while_something_needs_it_and_is_put_out_of_use_or_deleted_after() -> Result<(), Failure> {
    let place = Place::new("keys-retire")?.with_keys();
    fs::create_dir(place.path("app")).unwrap();
    place.folder.write("app/db.yaml", place.sealed("db", "throw-away.crt"));
    let mut told = String::new();
    let mut tell = |arguments: &[&str], code: i32| {
        let ran = place.keys(&[&["retire"], arguments].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        told.push_str(&format!("{}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr));
    };
    let old = "sealed-secrets-key-old";
    tell(&["nothing"], 1);
    tell(&[old], 1);
    tell(&[old, "--needed-by", "app"], 1);
    place.folder.write("app/db.yaml", "kind: SealedSecret\n{{ if }}\n");
    tell(&[old, "--needed-by", "app"], 1);
    // By its size another key may have sealed what no key opens; `big` has another one.
    let renamed = |certificate: &str| place.sealed("renamed", certificate).replace("name: renamed", "name: other");
    place.folder.write("app/db.yaml", renamed("throw-away.crt"));
    tell(&[old, "--needed-by", "app"], 1);
    place.folder.write("app/db.yaml", renamed("big.crt"));
    tell(&[old, "--needed-by", "app", "--dry-run"], 2);
    place.folder.write("app/db.yaml", place.sealed("db", "newer.crt"));
    assert_eq!(place.names().len(), 3);
    tell(&[old, "--needed-by", "app", "--dry-run"], 2);
    assert_eq!(place.names().len(), 3);
    tell(&[old, "--needed-by", "app"], 0);
    tell(&[old, "--needed-by", "app"], 0);
    assert_eq!(place.names(), ["sealed-secrets-key-big", "sealed-secrets-key-new"]);
    tell(&["SHA256:nobody", "--needed-by", "app"], 1);
    tell(&["sealed-secrets-key-big", "--needed-by", "app", "--delete", "--dry-run"], 2);
    tell(&["sealed-secrets-key-big", "--needed-by", "app", "--delete"], 0);
    tell(&["sealed-secrets-key-new", "--needed-by", "nothing-here", "--delete"], 1);
    tell(&["sealed-secrets-key-new", "--needed-by", "app", "--delete"], 1);
    assert_eq!(place.names(), ["sealed-secrets-key-new"]);
    // One from before there was the label counts for its name.
    let mut legacy =
        key_secret(&place.namespace, "sealed-secrets-key", "active", &fixture("big.key"), &fixture("big.crt"));
    legacy["metadata"].as_object_mut().unwrap().remove("labels");
    place.cluster.apply_yaml(&legacy.to_string())?;
    let keys: Value = serde_json::from_str(&place.keys(&["list", "-o", "json"]).stdout).unwrap();
    let opens: Vec<_> = keys["keys"].as_array().unwrap().iter().filter(|key| key["opens"] == true).collect();
    assert_eq!(opens.len(), 2, "{keys}");
    tell(&["sealed-secrets-key", "--needed-by", "app"], 1);
    tell(&["sealed-secrets-key", "--needed-by", "app", "--delete"], 0);
    tell(&["sealed-secrets-key-new", "--force"], 0);
    assert!(place.names().is_empty());
    insta::assert_snapshot!(told);
    Ok(())
}

#[test]
fn a_backup_is_for_its_recipients_alone_and_nothing_is_written_over() -> Result<(), Failure> {
    let place = Place::new("keys-backup")?.with_keys();
    // kubectl keeps a copy of what it applied in an annotation, the key with it.
    let applied = key_secret(&place.namespace, "applied", "active", &fixture("newer.key"), &fixture("newer.crt"));
    place.cluster.kubectl_call(&["apply", "-f-"]).stdin(applied.to_string()).text()?;
    let to_own = ["--age", &place.own.recipient];
    for name in ["keys.sops.yaml", "keys.sops.json"] {
        let ran = place.keys(&[&["backup", name], &to_own[..]].concat());
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", "note: 4 keys are written\n"));
        let text = fs::read_to_string(place.path(name)).unwrap();
        assert!(!text.contains("last-applied") && text.contains("sealed-secrets-key-old") && text.contains("ENC["));
        let secret = base64(&fixture("newer.key"));
        assert!(!text.contains(&secret.as_str().unwrap()[..60]), "{text}");
        assert_eq!(fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
        // The real sops opens it, and what is in it is what the API server has.
        let open = ["decrypt", "--output-type", "json", place.path(name).to_str().unwrap()].map(str::to_owned);
        let open = place.upstream.sops(&open.each_ref().map(String::as_str))?.env("SOPS_AGE_KEY", &place.own.identity);
        let list: Value = serde_json::from_str(&open.text()?).unwrap();
        assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("List"), 4));
        for item in list["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            let live = place.cluster.get(&format!("/api/v1/namespaces/{}/secrets/{name}", place.namespace))?;
            assert_eq!([&item["data"], &item["type"]], [&live["data"], &live["type"]]);
            assert_eq!(
                item["metadata"],
                json!({"name": name, "namespace": place.namespace, "labels": live["metadata"]["labels"]})
            );
        }
    }
    let plain = place.keys(&["backup", "--plaintext", "plain.yaml"]);
    assert_eq!(plain.code, Some(0), "{plain:?}");
    assert_eq!(fs::metadata(place.path("plain.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        run(place.call(&["backup", "-", "--plaintext", "--controller-namespace", &place.namespace])).stdout,
        fs::read_to_string(place.path("plain.yaml")).unwrap()
    );

    place.folder.write(
        ".sops.yaml",
        "creation_rules:\n- path_regex: weak\n  encrypted_regex: ^note$\n  age: RECIPIENT\n"
            .replace("RECIPIENT", &place.own.recipient),
    );
    let mut told = String::new();
    for (arguments, config) in [
        (&["backup", "keys.sops.yaml", "--age", &place.own.recipient][..], "elsewhere"),
        (&["backup", "new.yaml"], "elsewhere"),
        (&["backup", "new.env", "--age", &place.own.recipient], "elsewhere"),
        (&["backup", "new.yaml", "--age", "age1nobody"], "elsewhere"),
        (&["backup", "nowhere/new.yaml", "--age", &place.own.recipient], "elsewhere"),
        (&["backup", "weak.yaml"], ".sops.yaml"),
    ] {
        place.folder.write("elsewhere", "creation_rules: []\n");
        let arguments =
            if arguments.contains(&"--age") { arguments.to_vec() } else { [arguments, &["--config", config]].concat() };
        let ran = place.keys(&arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        told.push_str(&ran.stderr);
    }
    assert!(!place.path("new.yaml").exists() && !place.path("weak.yaml").exists());
    let terminal = Call::new(Path::new("python3"), place.folder.path())
        .args(["-c", "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"]);
    let words =
        [env!("CARGO_BIN_EXE_seal"), "keys", "backup", "-", "--plaintext", "--controller-namespace", &place.namespace];
    let shown = run(terminal.args(words).env("KUBECONFIG", place.cluster.kubeconfig()));
    assert!(shown.code == Some(1) && !shown.stdout.contains("tls.key"), "{shown:?}");
    told.push_str(&shown.stdout.replace('\r', ""));
    let empty = run(place.call(&["backup", "empty.yaml", "--plaintext", "--controller-namespace", "default"]));
    told.push_str(&empty.stderr);
    insta::assert_snapshot!(told);
    Ok(())
}

#[test]
fn what_is_missing_is_restored_and_another_key_of_the_same_name_is_never_touched() -> Result<(), Failure> {
    let (from, to) = (Place::new("keys-restore-from")?.with_keys(), Place::new("keys-restore-to")?);
    let file = from.path("keys.sops.yaml");
    let file = file.to_str().unwrap();
    assert_eq!(from.keys(&["backup", file, "--age", &to.own.recipient]).code, Some(0));
    // What there is by then: one of the keys, and one under another name that is out of use.
    to.add("sealed-secrets-key-old", "active", "throw-away.key", "throw-away.crt");
    to.add("other", "compromised", "big.key", "big.crt");
    // The right certificate with another key, which opens nothing.
    to.add("broken", "active", "big.key", "newer.crt");
    let planned = to.keys(&["restore", "--dry-run", file]);
    assert_eq!(
        (planned.code, to.names()),
        (Some(2), vec!["broken".to_owned(), "sealed-secrets-key-old".to_owned()]),
        "{planned:?}"
    );
    let done = to.keys(&["restore", file]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(to.names(), ["broken", "sealed-secrets-key-new", "sealed-secrets-key-old"]);
    let again = to.keys(&["restore", file]);
    insta::assert_snapshot!(format!(
        "{}\n{}{}\n{}{}",
        planned.stdout, done.stdout, done.stderr, again.stdout, again.stderr
    ));

    // As the documentation of Sealed Secrets makes one.
    let theirs = from.cluster.kubectl(&["get", "secret", "-n", &from.namespace, "-l", LABEL, "-o", "yaml"])?;
    let third = Place::new("keys-restore-third")?;
    third.folder.write("theirs.yaml", &theirs);
    assert_eq!(third.keys(&["restore", "theirs.yaml"]).code, Some(0));
    assert_eq!(third.names().len(), 3);

    let taken = Place::new("keys-restore-taken")?;
    taken.cluster.apply_yaml(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS[0].0, "namespace": taken.namespace}, "data": {"mine": "eA=="}}).to_string())?;
    let row = |edit: &dyn Fn(&mut Value)| {
        let mut secret = key_secret("x", "x", "active", &fixture("newer.key"), &fixture("newer.crt"));
        edit(&mut secret);
        secret.to_string()
    };
    for (name, text) in [
        ("unmarked.json", row(&|secret| drop(secret["metadata"].as_object_mut().unwrap().remove("labels")))),
        ("mixed.json", row(&|secret| secret["data"]["tls.crt"] = base64(&fixture("throw-away.crt")))),
        ("halved.json", row(&|secret| drop(secret["data"].as_object_mut().unwrap().remove("tls.key")))),
        ("no-base64.json", row(&|secret| secret["data"]["tls.key"] = "hunter2!".into())),
        ("no-text.json", row(&|secret| secret["data"]["tls.key"] = json!(["hunter2"]))),
        ("map.json", row(&|secret| secret["kind"] = "ConfigMap".into())),
        ("elliptic.json", row(&|secret| secret["data"]["tls.key"] = base64(&fixture("elliptic.key")))),
        ("empty.yaml", String::new()),
        ("broken.yaml", "kind: [hunter2".to_owned()),
        ("keys.sops.yaml", fs::read_to_string(from.path("keys.sops.yaml")).unwrap()),
    ] {
        taken.folder.write(name, text);
    }
    taken.folder.write("theirs.yaml", theirs);
    let mut told = String::new();
    for name in [
        "theirs.yaml",
        "unmarked.json",
        "mixed.json",
        "halved.json",
        "no-base64.json",
        "no-text.json",
        "map.json",
        "elliptic.json",
        "empty.yaml",
        "broken.yaml",
        "missing.yaml",
        "keys.sops.yaml",
    ] {
        let ran = taken.keys(&["restore", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}: {ran:?}");
        let recipients = ran.stderr.replace(&to.own.recipient, "RECIPIENT").replace(&taken.own.recipient, "OWN");
        told.push_str(&format!("{name}\n{recipients}"));
    }
    assert!(taken.names().is_empty(), "nothing is done while something is in the way");
    insta::assert_snapshot!("restore_refused", told);
    Ok(())
}

#[test]
fn secrets_of_the_cluster_are_read_as_whoever_the_kubeconfig_says() -> Result<(), Failure> {
    let place = Place::new("keys-stores")?;
    let (kubeconfig, folder) = (place.cluster.kubeconfig(), &place.folder);
    let data = json!({"password": base64("hunter-cluster")});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "keys-stores"}, "data": data});
    place.cluster.apply_yaml(&secret.to_string())?;
    folder.write(
        "backend.yaml",
        "{apiVersion: waxwing.dev/v1alpha1, kind: SecretBackend, metadata: {name: cluster}, spec: {kubernetes: {}, allow: {paths: ['*/*']}}}",
    );
    folder.write(
        "s.yaml",
        "a: ref+store://cluster/keys-stores/db#/password\nb: ref+store://cluster/keys-stores/db#/none\n\
        c: ref+store://cluster/keys-stores/none#/a\nd: ref+store://cluster/keys-stores/db?version=1#/password\ne: ref+store://cluster/db\n",
    );
    // What stands in Git in the clear is not taken for what the cluster has.
    folder.write(
        "none.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: none, namespace: keys-stores}\nstringData: {a: hunter-file}\n",
    );
    let variable = "PASSWORD=ref+store://cluster/keys-stores/db#/password";
    let words = ["run", "--kubeconfig", kubeconfig.to_str().unwrap(), "-e", variable, "--", "/bin/sh", "-c"];
    let ran = run(folder.call(&words).arg("echo $PASSWORD"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hunter-cluster\n"), "{}", ran.stderr);
    let elsewhere = fs::read_to_string(&kubeconfig).unwrap().replace(&place.cluster.url(), "https://127.0.0.1:1");
    folder.write("elsewhere", elsewhere);
    let check = |kubeconfig: &Path| {
        let call = folder
            .call(&["refs", "check", "--online", "s.yaml", "none.yaml", "backend.yaml"])
            .env("KUBECONFIG", kubeconfig);
        let ran = run(call);
        assert!(!ran.stdout.contains("hunter") && !ran.stderr.contains("hunter"), "{ran:?}");
        format!("exit code {:?}\n{}{}", ran.code, ran.stdout, ran.stderr)
    };
    let nobody = place.cluster.kubeconfig_as("nobody")?;
    let told = [&kubeconfig, &nobody, &place.path("elsewhere"), &place.path("none")].map(|path| check(path));
    insta::assert_snapshot!(told.join("\n").replace(&place.path("").display().to_string(), "<FOLDER>/"));
    Ok(())
}
