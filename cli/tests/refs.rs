//! `seal refs list`: which references stand where, without any store, and without showing what is no reference.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Folder, Ran, run};
use waxwing_harness::{Call, Failure, GitRepo};

const DB: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData:
  password: ref+store://vault/secret/data/shop/db?version=3#/password
  url: postgres://ref+store://vault/secret/data/shop/db#/user+:hunter2@db/shop
data:
  token: cmVmK2NsdXN0ZXJzdG9yZTovL2F3cy9zaG9wL3Rva2Vu
  plain: aHVudGVyMg==
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data:
  shop.env: |
    COLOUR=blue
    KEY=ref+store://vault/secret/data/shop/api#/key
";
const OLD: &str = r#"[{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old"}, "stringData": {
  "a": "<path:secret/data/shop/db#password | base64encode>",
  "b": "ref+vault://kv/shop/db?address=https://hunter2.example.com#/user",
  "c": "ref+echo://hunter2",
  "d": "<path:secret/data/shop/db#tls | jsonPath {.hunter2}>"}}]
"#;

fn list(repo: &GitRepo, arguments: &[&str]) -> Ran {
    refs(repo, "list", arguments)
}

fn refs(repo: &GitRepo, verb: &str, arguments: &[&str]) -> Ran {
    let seal = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &repo.tree());
    let ran = run(seal.args(["refs", verb]).args(arguments));
    for secret in ["hunter2", "aHVudGVyMg"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
    }
    ran
}

#[test]
fn references_are_listed_with_file_document_and_key_path_and_those_of_other_tools_with_ours() -> Result<(), Failure> {
    let repo = GitRepo::new()?;
    repo.write("app/db.yaml", DB)?;
    repo.write("app/old.json", OLD)?;
    repo.write(
        "app/shop.env",
        "# ref+store://not/looked/at\nA=1\nTOKEN=ref+store://vault/secret/data/shop/api#/token\n",
    )?;
    repo.write("app/README.md", "Write ref+store://STORE/PATH\n")?;
    repo.write("chart/plain.yaml", "{{- if .Values.on }}\nkind: Secret\n{{- end }}\n")?;
    repo.write("chart/template.yaml", "{{- if .Values.on }}\npassword: ref+store://v/db\n{{- end }}\n")?;
    repo.write(".gitignore", "build/\n")?;
    repo.write("build/db.yaml", DB)?;
    let ran = list(&repo, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    insta::assert_snapshot!(ran.stdout);

    assert_eq!(list(&repo, &["app/README.md"]).code, Some(2), "a file that is named is looked into whatever it is");
    assert_eq!(list(&repo, &["nothing"]).code, Some(1));
    Ok(())
}

#[test]
fn a_reference_that_is_none_is_an_error_with_its_place_and_a_remedy() -> Result<(), Failure> {
    let repo = GitRepo::new()?;
    let bad = "a: ref+store://v/a%2Fhunter2\nb: 'hunter2 ref+store://v/../hunter2+ ref+store://v/ok+ ref+store://v/a hunter2'\n";
    repo.write("app/bad.yaml", format!("kind: A\n---\n{bad}c: [{{d: <path:secret/../hunter2#e>}}]\n"))?;
    repo.write("app/base64.yaml", "kind: Secret\ndata: {a: cmVmK3N0b3JlOi8vdmF1bHQ=}\n")?;
    let ran = list(&repo, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""), "{}", ran.stdout);
    insta::assert_snapshot!(ran.stdout);
    Ok(())
}

#[test]
fn scripts_get_each_reference_taken_apart() -> Result<(), Failure> {
    let repo = GitRepo::new()?;
    repo.write("db.yaml", DB)?;
    repo.write("old.json", OLD)?;
    repo.write("bad.yaml", "a: ref+store://v\n")?;
    let ran = list(&repo, &["--output", "json"]);
    assert_eq!(ran.code, Some(2));
    let listed: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!((&listed["files"], &listed["notRead"]), (&json!(3), &json!([])));
    let references = listed["references"].as_array().expect("references");
    let at = |file: &str, key_path: &str| {
        let is_it = |one: &&Value| one["file"] == file && one["keyPath"] == key_path;
        references.iter().find(is_it).cloned().unwrap_or_default()
    };
    let expected = json!({
        "file": "db.yaml", "document": 0, "keyPath": "/stringData/password", "base64": false, "offset": 0,
        "kind": "reference", "reference": "ref+store://vault/secret/data/shop/db?version=3#/password", "scheme": "store",
        "store": "vault", "path": ["secret", "data", "shop", "db"], "version": "3", "pointer": ["password"],
    });
    assert_eq!(at("db.yaml", "/stringData/password"), expected);
    let token = at("db.yaml", "/data/token");
    assert_eq!(
        (&token["base64"], &token["scheme"], &token["pointer"]),
        (&json!(true), &json!("clusterstore"), &json!([]))
    );
    assert_eq!(at("db.yaml", "/stringData/url")["offset"], 11);
    let foreign = at("old.json", "/0/stringData/b");
    assert_eq!((&foreign["kind"], &foreign["tool"]), (&json!("foreign"), &json!("vals")));
    assert_eq!(foreign["native"], "ref+store://vault/kv/shop/db#/user");
    assert_eq!(at("old.json", "/0/stringData/c")["native"], Value::Null);
    assert_eq!(at("bad.yaml", "/a")["error"], "no-path");
    Ok(())
}

#[test]
fn a_tree_without_references_has_none() {
    let folder = Folder::new();
    folder.write("a.yaml", "a: hunter2\n");
    let ran = folder.seal(&["refs", "list"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1 file, 0 references, 0 of other tools, 0 errors\n"));
}

#[test]
fn a_reference_is_held_against_the_backends_of_the_tree_by_its_name_its_path_and_its_namespace() -> Result<(), Failure>
{
    let backend = |head: &str, paths: &str| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{{head}}}\nspec: {{allow: {{paths: [{paths}]}}}}\n"
        )
    };
    let repo = GitRepo::new()?;
    repo.write("shop/backend.yaml", backend("name: vault, namespace: shop", "'secret/data/{namespace}/*'"))?;
    repo.write("open/backend.yaml", backend("name: open", "'secret/data/{namespace}/*', 'kv/public/*'"))?;
    let of_cluster =
        backend("name: vault", "'secret/data/{namespace}/*'").replace("SecretBackend", "ClusterSecretBackend");
    let of_cluster = of_cluster.replace("allow: {", "allow: {namespaces: {names: [shop]}, ");
    repo.write("all/backend.yaml", of_cluster)?;
    repo.write("bad/backend.yaml", backend("name: bad", "'secret/**'"))?;
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:
  good: 'hunter2:ref+store://vault/secret/data/shop/db#/password'
  bank: ref+store://vault/secret/data/bank/db#/password
  deeper: ref+store://vault/secret/data/shop/a/b#/password
  unknown: ref+store://other/secret/data/shop/db#/password
  cluster: ref+clusterstore://vault/secret/data/shop/db#/password
  public: ref+store://open/kv/public/a#/password
  own: ref+store://open/secret/data/shop/db#/password
  bad: ref+store://bad/secret/data/shop/db#/password
";
    repo.write("shop/db.yaml", secret)?;
    let without = refs(&repo, "check", &[]);
    let with = refs(&repo, "check", &["--namespace", "shop"]);
    let other = refs(&repo, "check", &["--namespace", "bank"]);
    assert_eq!([without.code, with.code, other.code], [Some(2); 3]);
    insta::assert_snapshot!(format!(
        "{}\n--namespace shop\n{}\n--namespace bank\n{}",
        without.stdout, with.stdout, other.stdout
    ));
    let json = refs(&repo, "check", &["-o", "json", "shop"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    let errors: Vec<&str> = json["references"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["refused"]["error"].as_str())
        .collect();
    assert_eq!(
        errors,
        ["not-allowed", "not-allowed", "no-backend", "no-backend", "no-backend", "no-backend", "no-backend"]
    );
    Ok(())
}
