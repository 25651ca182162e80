//! `publish` to key/value engines: the same secrets as with sops, in both versions of the engine, and nothing is written again that is
//! there.

use std::fs;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::canned::{Canned, answer};
use crate::keyservice::start;
use crate::services::Program::{self, Ours, Theirs};
use crate::services::{STAGE, Stage};

/// Values of all kinds, with a comment.
const TREE: &str = "# about\nuser: admin\npassword: hunter2\nempty: ''\nnothing: null\non: true\nport: 5432\nratio: 2.5\nwhen: 2020-01-01T00:00:00Z\nlist:\n    - one\n    - 2\nnested:\n    deep:\n        \"key\": ü\"\n---\nuser: root\nsecond: document\n";
const RULES: &str = "destination_rules:
- {path_regex: ^one/, vault_path: FOLDER/one, vault_address: <VAULT>, vault_kv_mount_name: first/, vault_kv_version: 1}
- {path_regex: '\\.two\\.yaml$', vault_path: FOLDER/two/, vault_address: <VAULT>, vault_kv_version: 2, omit_extensions: true}
- {path_regex: recreated, vault_path: FOLDER/recreated, vault_address: <VAULT>, recreation_rule: {age: <AGE>}}
- {path_regex: bad-recreation, vault_path: x, vault_address: <VAULT>, recreation_rule: {encrypted_regex: a, encrypted_suffix: b}}
- {path_regex: s3, s3_bucket: mine, s3_prefix: x}
- {path_regex: gcs, gcs_bucket: mine}
- {path_regex: both, s3_bucket: mine, vault_path: x}
- {path_regex: nowhere, omit_extensions: true}
- {path_regex: usual, vault_path: FOLDER/usual}
- {path_regex: tree, vault_path: FOLDER/tree, vault_address: <VAULT>}
";

static SERVER: LazyLock<&Stage> = LazyLock::new(|| {
    let stage = &*STAGE;
    let mount = json!({"type": "kv", "options": {"version": "1"}});
    stage.bao.ask(None, "sys/mounts/first", &mount).unwrap();
    stage
});

/// Makes a folder whose rules publish below a folder of its own.
fn folder(at: &str) -> TempDir {
    let stage = *SERVER;
    let rules = RULES.replace("FOLDER", at).replace("<VAULT>", &stage.bao.address());
    let folder = stage.folder(&[
        (".sops.yaml", &rules),
        ("tree.yaml", TREE),
        ("plain.env", "USER=admin\nTEXT=a\\nb\n"),
        ("plain.txt", "any\nthing"),
        ("list.yaml", "users:\n    # about\n    - name: admin\n    - [hunter2]\n"),
    ]);
    let own = [("SOPS_AGE_KEY_FILE", "age.txt")];
    for (name, from) in [
        ("one/tree.yaml", "tree.yaml"),
        ("x.two.yaml", "tree.yaml"),
        ("recreated.yaml", "plain.yaml"),
        ("bad-recreation.yaml", "plain.yaml"),
        ("s3.yaml", "plain.yaml"),
        ("gcs.yaml", "plain.yaml"),
        ("both.yaml", "plain.yaml"),
        ("nowhere.yaml", "plain.yaml"),
        ("no-rule.yaml", "plain.yaml"),
        ("usual.yaml", "plain.yaml"),
        ("tree/a.env", "plain.env"),
        ("tree/b/c.txt", "plain.txt"),
        ("tree/b/d.yaml", "tree.yaml"),
        ("tampered/tree.yaml", "plain.yaml"),
    ] {
        let sealed =
            stage.text(Theirs, folder.path(), &["--config", "/dev/null", "encrypt", "--age", "<AGE>", from], &own);
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let is_tampered = name.starts_with("tampered");
        let sealed = if is_tampered {
            sealed.replacen("user: ENC[AES256_GCM,data:", "user: ENC[AES256_GCM,data:AAAA", 1)
        } else {
            sealed
        };
        fs::write(path, sealed).unwrap();
    }
    folder
}

fn publish(
    program: Program,
    folder: &TempDir,
    words: &[&str],
    variables: &[(&str, &str)],
    answer: &str,
) -> (Option<i32>, String) {
    let stage = *SERVER;
    let call = stage.call(program, folder.path(), words).env("SOPS_AGE_KEY_FILE", "age.txt");
    let call = call.env("VAULT_TOKEN", stage.bao.root_token()).env("VAULT_ADDR", stage.bao.address()).stdin(answer);
    let ran = variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run().unwrap();
    (ran.status.code(), ran.stderr)
}

/// Returns what is in the engines below a folder, and how often it was written.
fn published(at: &str) -> Vec<Option<Value>> {
    let paths = [
        "first/FOLDER/one/tree.yaml",
        "secret/data/FOLDER/two/x.two",
        "secret/data/FOLDER/recreated/recreated.yaml",
        "secret/data/FOLDER/usual/usual.yaml",
        "secret/data/FOLDER/usual/usual",
        "secret/data/FOLDER/tree/a.env",
        "secret/data/FOLDER/tree/a",
        "secret/data/FOLDER/tree/b/c.txt",
        "secret/data/FOLDER/tree/b/c",
        "secret/data/FOLDER/tree/b/d.yaml",
    ];
    let read = |path: &str| {
        let answer = SERVER.bao.read(&path.replace("FOLDER", at)).ok()?;
        let data = answer.get("data")?;
        Some(match data.get("metadata") {
            Some(metadata) => json!([data.get("data"), metadata.get("version")]),
            None => data.clone(),
        })
    };
    paths.iter().map(|path| read(path)).collect()
}

#[test]
fn what_is_published_is_what_sops_publishes_with_the_same_exit_codes() {
    let folders = [(Theirs, "theirs"), (Ours, "ours")].map(|(program, at)| (program, at, folder(at)));
    for (words, variables, answer) in [
        (&["publish", "--yes", "--verbose", "one/tree.yaml"][..], &[][..], ""),
        (&["publish", "-y", "x.two.yaml"], &[], ""),
        (&["publish", "-y", "recreated.yaml"], &[], ""),
        (&["publish", "-y", "recreated.yaml"], &[], ""),
        (&["publish", "usual.yaml"], &[], "y\n"),
        (&["publish", "usual.yaml"], &[], "n\n"),
        (&["publish", "usual.yaml"], &[], ""),
        (&["publish", "-y", "--omit-extensions", "usual.yaml"], &[], ""),
        (&["publish", "-y", "--recursive", "tree"], &[], ""),
        (&["publish", "-y", "--recursive", "--omit-extensions", "tree"], &[], ""),
        (&["publish", "--recursive", "tree"], &[], "n\nn\nn\n"),
        (&["publish", "-y", "--recursive", "./tree/../one/"], &[], ""),
        (&["publish", "-y", "--recursive", "."], &[], ""),
        (&["publish", "-y", "tree"], &[], ""),
        (&["publish", "-y", "no-rule.yaml"], &[], ""),
        (&["publish", "-y", "nowhere.yaml"], &[], ""),
        (&["publish", "-y", "both.yaml"], &[], ""),
        (&["publish", "-y", "bad-recreation.yaml"], &[], ""),
        (&["publish", "-y", "plain.env"], &[], ""),
        (&["publish", "-y", "none.yaml"], &[], ""),
        (&["publish", "-y"], &[], ""),
        (&["publish", "-y", "one/tree.yaml"], &[("SOPS_AGE_KEY_FILE", "none")], ""),
        (&["publish", "-y", "one/tree.yaml"], &[("VAULT_TOKEN", "nobody")], ""),
        (&["publish", "-y", "usual.yaml"], &[("VAULT_ADDR", "http://127.0.0.1:1")], ""),
        (&["publish", "-y", "--decryption-order", "age,age", "usual.yaml"], &[], ""),
        (&["publish", "-y", "tampered/tree.yaml"], &[], ""),
    ] {
        let [theirs, ours] = folders.each_ref().map(|(program, _, folder)| {
            let variables = if variables.first() == Some(&("VAULT_ADDR", "http://127.0.0.1:1")) && *program == Theirs {
                &[variables, &[("VAULT_MAX_RETRIES", "0")]].concat()
            } else {
                &variables.to_vec()
            };
            publish(*program, folder, words, variables, answer)
        });
        assert_eq!(theirs.0, ours.0, "{words:?} {variables:?}\n{}\n{}", theirs.1, ours.1);
        assert!(!ours.1.contains("hunter2"), "{}", ours.1);
        assert_eq!(published("theirs"), published("ours"), "{words:?}");
    }
    let ours = published("ours");
    assert!(ours.iter().all(Option::is_some), "{ours:?}");
    let wanted = json!({
        "user": "root", "password": "hunter2", "empty": "", "nothing": null, "on": true, "port": 5432, "ratio": 2.5,
        "when": "2020-01-01T00:00:00Z", "list": ["one", 2], "nested": {"deep": {"key": "ü\""}}, "second": "document",
    });
    assert_eq!(ours[0].as_ref(), Some(&wanted));
    assert_eq!(
        ours[2].as_ref().and_then(|secret| secret.get(1)),
        Some(&json!(1)),
        "what is there is not written again"
    );
}

#[test]
fn what_sops_writes_again_or_badly_is_published_once_and_well() {
    let folder = folder("better");
    let versions = |at: usize| published("better")[at].as_ref().map(|secret| secret[1].clone());
    for _ in 0..2 {
        // A number: sops compares it with the text of a number, and finds it changed.
        assert_eq!(publish(Ours, &folder, &["publish", "-y", "x.two.yaml"], &[], "").0, Some(0));
    }
    assert_eq!(versions(1), Some(json!(1)));
    let sealed = SERVER.text(
        Ours,
        folder.path(),
        &["--config", "/dev/null", "encrypt", "--age", "<AGE>", "--input-type", "yaml", "list.yaml"],
        &[],
    );
    fs::write(folder.path().join("usual.yaml"), sealed).unwrap();
    assert_eq!(publish(Ours, &folder, &["publish", "-y", "usual.yaml"], &[], "").0, Some(0));
    let secret = published("better")[3].clone().unwrap();
    assert_eq!(secret[0], json!({"users": [{"name": "admin"}, ["hunter2"]]}));
}

#[test]
fn who_may_write_and_not_read_publishes_and_a_server_that_is_not_allowed_gets_nothing() {
    let folder = folder("blind");
    let token =
        SERVER.bao.make_token(None, r#"path "secret/data/blind/*" { capabilities = ["create", "update"] }"#).unwrap();
    for _ in 0..2 {
        let (code, told) = publish(Ours, &folder, &["publish", "-y", "usual.yaml"], &[("VAULT_TOKEN", &token)], "");
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("can't be read, so it is written in any case"), "{told}");
    }
    assert_eq!(published("blind")[3].as_ref().map(|secret| secret[1].clone()), Some(json!(2)));
    let none = [("SOPS_HC_VAULT_ALLOWLIST", "https://vault.example.com")];
    let (code, told) = publish(Ours, &folder, &["publish", "-y", "one/tree.yaml"], &none, "");
    assert_eq!(code, Some(1));
    assert!(told.contains("SOPS_HC_VAULT_ALLOWLIST does not have"), "{told}");
    assert_eq!(published("blind")[0], None);
}

#[test]
fn what_a_server_refuses_is_told_by_its_code_alone_and_where_it_sends_nothing_goes() {
    let folder = folder("refused");
    let elsewhere = Canned::serve(&[&answer("200 OK", "{}")]);
    let redirect = format!("307 Temporary Redirect\r\nLocation: {}/v1/x", elsewhere.address());
    let large = format!("{{\"data\": \"{}\"}}", "hunter2".repeat(400_000));
    // Who is overloaded or away for a moment is asked four times.
    for (status, body, told, asked) in [
        ("500 hunter2", "hunter2", "it answered 500", 4),
        ("400 Bad Request", "hunter2", "400", 1),
        ("503 Service Unavailable", "hunter2", "it is sealed or on standby", 4),
        (&redirect, "", "it sends elsewhere (307), and tokens don't follow", 1),
        ("200 OK", &large, "gave an answer that can't be read", 1),
    ] {
        let server = Canned::serve(&[&answer(status, body)]);
        let variables = [("VAULT_ADDR", server.address())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (code, said) = publish(Ours, &folder, &["publish", "-y", "usual.yaml"], &variables, "");
        assert_eq!(code, Some(1), "{status}: {said}");
        assert!(said.contains(told) && !said.contains("hunter2"), "{status}: {said}");
        assert_eq!(server.asked().len(), asked, "{status}");
    }
    assert!(elsewhere.asked().is_empty());
    let server = Canned::serve(&[&answer("200 OK", "not JSON"), &answer("204 No Content", "")]);
    let (code, said) =
        publish(Ours, &folder, &["publish", "-y", "usual.yaml"], &[("VAULT_ADDR", &server.address())], "");
    assert_eq!(code, Some(0), "{said}");
    let asked = server.asked();
    assert!(asked[0].starts_with("GET /v1/secret/data/refused/usual/usual.yaml HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[1].starts_with("PUT /v1/secret/data/refused/usual/usual.yaml HTTP/1.1\r\n"), "{}", asked[1]);
    assert!(asked[1].contains("hunter2") && asked[1].contains("x-vault-token: "), "{}", asked[1]);
}

#[test]
fn places_in_clouds_are_refused_by_name_before_anything_is_opened() {
    let folder = folder("clouds");
    for (file, field) in [("s3.yaml", "s3_bucket"), ("gcs.yaml", "gcs_bucket")] {
        let (code, told) = publish(Ours, &folder, &["publish", "-y", file], &[("SOPS_AGE_KEY_FILE", "none")], "");
        assert_eq!(code, Some(1));
        assert!(told.contains(&format!("{field} can't be published to\nhint: use the sops program for it")), "{told}");
    }
}

#[test]
fn publish_asks_key_services_too() {
    let (service, folder) = (start(Theirs, "unix", &[]), folder("asked"));
    let at = ["publish", "-y", "--keyservice", &service.address, "--enable-local-keyservice=false", "usual.yaml"];
    let (code, told) = publish(Ours, &folder, &at, &[("SOPS_AGE_KEY_FILE", "none")], "");
    assert_eq!(code, Some(0), "{told}");
    assert!(published("asked")[3].is_some());
}
