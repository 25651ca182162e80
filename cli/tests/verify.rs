//! `seal verify`: what should not be committed is found without any key, named by file and key path, and never shown.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::{Folder, Ran, run};
use waxwing_harness::{AgeKey, Call, Failure, GitRepo, Upstream};

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";
const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {colour: blue}\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n";
/// As the controller of Flux wants it, and one for files that are secret as a whole.
const RULES: &str = r"creation_rules:
- path_regex: ^secret/
  age: RECIPIENT
- path_regex: \.yaml$
  encrypted_regex: ^(data|stringData)$
  age: RECIPIENT
";

/// A repository with rules, someone who can open its files, and a stranger.
struct Tree {
    repo: GitRepo,
    upstream: Upstream,
    own: AgeKey,
    stranger: AgeKey,
}

impl Tree {
    fn new() -> Result<Self, Failure> {
        let (repo, upstream) = (GitRepo::new()?, Upstream::new()?);
        let mut keys = [upstream.age_keygen()?, upstream.age_keygen()?];
        // Recipients are listed in their order.
        keys.sort_by(|own, stranger| own.recipient.cmp(&stranger.recipient));
        let [own, stranger] = keys;
        repo.write(".sops.yaml", RULES.replace("RECIPIENT", &own.recipient))?;
        Ok(Self { repo, upstream, own, stranger })
    }

    /// Seals with the real sops, for a file of this name.
    fn sops(&self, name: &str, plain: &str, recipients: &[&AgeKey], more: &[&str]) -> Result<String, Failure> {
        let recipients: Vec<_> = recipients.iter().map(|key| key.recipient.as_str()).collect();
        let all = recipients.join(",");
        let arguments = [&["encrypt", "--age", &all, "--filename-override", name], more].concat();
        self.upstream.sops(&arguments)?.stdin(plain).text()
    }

    fn verify(&self, arguments: &[&str]) -> Ran {
        let seal = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &self.repo.tree());
        let ran = run(seal.arg("verify").args(arguments));
        for secret in ["hunter2", "aHVudGVyMg", "AGE-SECRET-KEY-1"] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
        }
        ran
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.verify(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&ran.stdout).expect("one JSON object")
    }
}

const VALUES: [&str; 2] = ["--encrypted-regex", "^(data|stringData)$"];

/// Returns a SealedSecret with one value.
fn sealed_secret() -> String {
    let arguments = ["new", "token", "-n", "shop", "--cert", "cluster.pem", "--from-literal", "password=hunter2"];
    Folder::new().seal(&arguments, "").stdout
}

#[test]
fn a_tree_in_which_all_is_sealed_as_the_rules_say_has_no_errors() -> Result<(), Failure> {
    let tree = Tree::new()?;
    tree.repo.write("app/db.yaml", tree.sops("db.yaml", SECRET, &[&tree.own], &VALUES)?)?;
    tree.repo.write("app/token.yaml", sealed_secret())?;
    tree.repo.write("app/web.yaml", DEPLOYMENT)?;
    tree.repo.write("secret/api.env", tree.sops("api.env", "TOKEN=hunter2\n", &[&tree.own], &[])?)?;
    tree.repo.write("app/kustomization.yaml", "secretGenerator: [{name: api, envs: [../secret/api.env]}]\n")?;
    tree.repo.write("README.md", "How sops writes: ENC[AES256_GCM,data:...]\n")?;
    tree.repo.write("chart/templates/web.yaml", "{{- if .Values.on }}\nkind: Secret\n{{- end }}\n")?;
    tree.repo.write(".gitignore", "*.decrypted\nbuild/\n")?;
    tree.repo.write("app/db.yaml.decrypted", SECRET)?;
    tree.repo.write("build/secret.yaml", SECRET)?;
    let ran = tree.verify(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    insta::assert_snapshot!(ran.stdout);
    let ran = tree.verify(&["app", "secret"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "5 files, 3 sealed, 0 errors, 0 warnings\n"));
    Ok(())
}

#[test]
fn whatever_should_not_be_committed_is_named_and_not_shown() -> Result<(), Failure> {
    let tree = Tree::new()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"password": "aHVudGVyMg=="}},
    ]});
    let ours = |plain: &str, more: &[&str]| tree.sops("x.yaml", plain, &[&tree.own], more);
    let damaged = ours(SECRET, &VALUES)?.replacen("ENC[AES256_GCM,data:", "ENC[AES256_GCM,data:!", 1);
    let (weak, other) = (["--encrypted-regex", "^user$"], tree.sops("x.yaml", SECRET, &[&tree.stranger], &VALUES)?);
    let both = tree.sops("x.yaml", SECRET, &[&tree.own, &tree.stranger], &VALUES)?;
    let files = [
        ("app/plain.yaml", SECRET.to_owned()),
        ("app/several.yaml", format!("{CONFIG}---\n{SECRET}")),
        ("app/list.json", list.to_string()),
        ("app/weak.yaml", ours(&SECRET.replace("{password", "{user: me, password"), &weak)?),
        ("app/other.yaml", other),
        ("app/both.yaml", both),
        ("app/damaged.yaml", damaged),
        ("app/unsigned.yaml", ours(SECRET, &VALUES)?.lines().filter(|line| !line.contains(" mac:")).map(|line| format!("{line}\n")).collect()),
        ("app/cut.yaml", sealed_secret().replacen("password: A", "password: !", 1)),
        ("gen/kustomization.yaml", "secretGenerator:\n- name: a\n  literals: [password=hunter2]\n- name: b\n  envs: [b.env]\n  files: [key=c.txt]\n".to_owned()),
        ("gen/b.env", "PASSWORD=hunter2\n".to_owned()),
        ("gen/c.txt", "hunter2".to_owned()),
        ("secret/plain.env", "PASSWORD=hunter2\nEMPTY=\n".to_owned()),
        ("secret/any.bin", "hunter2".to_owned()),
        ("secret/broken.yaml", "password: [hunter2\n".to_owned()),
        ("keys/age.txt", format!("# throw-away\n{}\n", tree.stranger.identity)),
        ("keys/tls.pem", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n".to_owned()),
        ("keys/shop.asc", "# shop\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nhunter2\n".to_owned()),
        ("lfs.bin", "version https://git-lfs.github.com/spec/v1\n".to_owned()),
    ];
    for (name, text) in files {
        tree.repo.write(name, text)?;
    }
    tree.repo.write("tracked.yaml", SECRET)?;
    tree.repo.commit("with a file that is ignored later")?;
    tree.repo.write(".gitignore", "tracked.yaml\n")?;
    let ran = tree.verify(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""));
    let text = ran.stdout.replace(&tree.own.recipient, "OWN").replace(&tree.stranger.recipient, "STRANGER");
    insta::assert_snapshot!(text);
    Ok(())
}

/// What the specification of SARIF 2.1.0 says of the objects that are written (sections 3.13, 3.14, 3.18, 3.19, 3.27 to 3.30, 3.33, 3.49, 3.4 and
/// 3.11), with their properties that are used here: no object may have one that it does not define, and some have to be there (`!`). The
/// official schema itself is not at hand here.
const SARIF: [(&str, &[(&str, &str)]); 11] = [
    ("sarifLog", &[("$schema", "uri"), ("version!", "version"), ("runs!", "[run")]),
    ("run", &[("tool!", "tool"), ("results", "[result")]),
    ("tool", &[("driver!", "toolComponent")]),
    ("toolComponent", &[("name!", "text"), ("version", "text"), ("rules", "[reportingDescriptor")]),
    ("reportingDescriptor", &[("id!", "text"), ("shortDescription", "message"), ("help", "message")]),
    ("result", &[("ruleId", "text"), ("level", "level"), ("message!", "message"), ("locations", "[location")]),
    ("message", &[("text!", "text")]),
    ("location", &[("physicalLocation", "physicalLocation"), ("logicalLocations", "[logicalLocation")]),
    ("physicalLocation", &[("artifactLocation", "artifactLocation"), ("region", "region")]),
    ("logicalLocation", &[("fullyQualifiedName", "text"), ("kind", "text")]),
    ("artifactLocation", &[("uri", "uri"), ("uriBaseId", "text")]),
];

/// Says what of a value is not as the specification wants it.
fn strays(value: &Value, kind: &str) -> Vec<String> {
    if let Some(kind) = kind.strip_prefix('[') {
        let Some(items) = value.as_array() else { return vec![format!("{value} is no list of {kind}")] };
        let twice = items.iter().enumerate().any(|(at, item)| kind != "result" && items[..at].contains(item));
        let twice = twice.then(|| format!("{kind} twice"));
        return items.iter().flat_map(|item| strays(item, kind)).chain(twice).collect();
    }
    let Some((_, properties)) = SARIF.iter().find(|(name, _)| *name == kind) else {
        let text = value.as_str().unwrap_or_default();
        let is_right = match kind {
            "version" => text == "2.1.0",
            "level" => ["none", "note", "warning", "error"].contains(&text),
            // RFC 3986: a reference has nothing else in it.
            "uri" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/:%".contains(&b)),
            "region" => value
                .as_object()
                .is_some_and(|fields| fields.keys().eq(["startLine"]) && value["startLine"].as_u64() > Some(0)),
            _ => !text.is_empty(),
        };
        return (!is_right).then(|| format!("{value} is no {kind}")).into_iter().collect();
    };
    let Some(fields) = value.as_object() else { return vec![format!("{value} is no {kind}")] };
    let known = |(name, _): &(&str, &str)| name.trim_end_matches('!').to_owned();
    let names: Vec<_> = properties.iter().map(known).collect();
    let unknown = fields.keys().filter(|name| !names.contains(name)).map(|name| format!("{kind} has {name}"));
    let missing =
        properties.iter().filter_map(|(name, _)| name.strip_suffix('!').filter(|name| !fields.contains_key(*name)));
    let missing = missing.map(|name| format!("{kind} has no {name}"));
    let below = properties.iter().flat_map(|(name, kind)| {
        fields.get(name.trim_end_matches('!')).map(|value| strays(value, kind)).unwrap_or_default()
    });
    unknown.chain(missing).chain(below).collect()
}

#[test]
fn scripts_get_json_and_code_scanning_gets_sarif() -> Result<(), Failure> {
    let tree = Tree::new()?;
    tree.repo.write("größe/my secret.yaml", format!("{CONFIG}---\n{SECRET}"))?;
    let found = tree.json(&[]);
    assert_eq!((&found["files"], &found["sealed"]), (&json!(2), &json!(0)));
    let secret = json!({
        "level": "error", "check": "plain-secret", "file": "größe/my secret.yaml", "document": 1,
        "keyPath": "/stringData/password", "line": 9, "message": "a value of a Secret is in the clear",
    });
    assert_eq!(found["findings"][0], secret);

    let ran = tree.verify(&["--output", "sarif"]);
    assert_eq!(ran.code, Some(2));
    let log: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules: Vec<_> =
        run["tool"]["driver"]["rules"].as_array().into_iter().flatten().map(|rule| &rule["id"]).collect();
    for result in run["results"].as_array().expect("results") {
        assert!(rules.contains(&&result["ruleId"]), "{result}");
    }
    assert_eq!(strays(&log, "sarifLog"), Vec::<String>::new());
    let first = &run["results"][0];
    assert_eq!((&first["ruleId"], &first["level"]), (&json!("plain-secret"), &json!("error")));
    let location = &first["locations"][0];
    assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], "gr%C3%B6%C3%9Fe/my%20secret.yaml");
    assert_eq!(location["logicalLocations"][0]["fullyQualifiedName"], "/stringData/password");
    assert_eq!(location["physicalLocation"]["region"], json!({"startLine": 9}));
    Ok(())
}

#[test]
fn each_finding_has_the_line_that_it_stands_on() -> Result<(), Failure> {
    let tree = Tree::new()?;
    for (name, text) in [
        ("secret/a.env", "# about\n\nPASSWORD=hunter2\n"),
        ("secret/a.ini", "[db]\nuser_unencrypted = me\n\n[api]\ntoken = hunter2\n"),
        ("secret/a.json", "{\n\t\"list\": [\n\t\t{\n\t\t\t\"a/b\": \"hunter2\"\n\t\t}\n\t]\n}\n"),
        ("secret/a.bin", "hunter2\nhunter2\n"),
        ("key.pem", "a\n-----BEGIN PRIVATE KEY-----\n"),
        ("app/kustomization.yaml", "secretGenerator:\n- name: a\n  literals:\n  - a=hunter2\n  - b=hunter2\n"),
    ] {
        tree.repo.write(name, text)?;
    }
    let ran = tree.verify(&["--output", "sarif"]);
    let log: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    let results = log["runs"][0]["results"].as_array().expect("results");
    let at = |result: &Value| {
        let place = &result["locations"][0]["physicalLocation"];
        format!("{} {}", place["artifactLocation"]["uri"], place["region"]["startLine"]).replace('"', "")
    };
    assert_eq!(strays(&log, "sarifLog"), Vec::<String>::new());
    let mut lines: Vec<_> = results.iter().map(at).collect();
    lines.sort();
    let wanted = [
        "app/kustomization.yaml 4",
        "app/kustomization.yaml 5",
        "key.pem 2",
        "secret/a.bin 1",
        "secret/a.env 3",
        "secret/a.ini 5",
        "secret/a.json 4",
    ];
    assert_eq!(lines, wanted, "{}", ran.stdout);
    Ok(())
}

#[test]
fn as_a_hook_it_judges_what_is_staged_and_not_what_lies_on_the_disk() -> Result<(), Failure> {
    let tree = Tree::new()?;
    tree.repo.write("app/old.yaml", SECRET)?;
    tree.repo.commit("what was committed before is not looked at")?;
    let hook = format!("#!/bin/sh\nexec '{}' verify --staged\n", env!("CARGO_BIN_EXE_seal"));
    tree.repo.write(".git/hooks/pre-commit", hook)?;
    let path = tree.repo.tree().join(".git/hooks/pre-commit");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("permissions can be set");
    let commit = |more: &[&str]| tree.repo.git(&[&["commit", "--quiet", "-m", "x"], more].concat());
    let is_refused = |more: &[&str], what: &str| match commit(more) {
        Ok(_) => false,
        Err(failure) => failure.to_string().contains(what) && !failure.to_string().contains("hunter2"),
    };
    let own = tree.sops("db.yaml", SECRET, &[&tree.own], &VALUES)?;
    let stage = |name: &str, staged: &str, on_the_disk: &str| {
        tree.repo.write(name, staged)?;
        tree.repo.git(&["add", name])?;
        tree.repo.write(name, on_the_disk)
    };
    stage("app/db.yaml", SECRET, &own)?;
    assert!(is_refused(&[], "error: app/db.yaml, /stringData/password: "));
    stage("app/db.yaml", &own, SECRET)?;
    commit(&[])?;
    // For these git makes an index of its own.
    assert!(is_refused(&["--all"], "error: app/db.yaml, "));
    assert!(is_refused(&["app/db.yaml"], "error: app/db.yaml, "));
    // The rules of the commit count, not those on the disk.
    let rules = RULES.replace("RECIPIENT", &tree.own.recipient);
    stage(".sops.yaml", &rules.replace(&tree.own.recipient, &tree.stranger.recipient), &rules)?;
    let again = tree.sops("db.yaml", SECRET, &[&tree.own], &VALUES)?;
    stage("app/db.yaml", &again, &again)?;
    assert!(is_refused(&[], "can open it and is not in the rule"));
    stage(".sops.yaml", &rules, &rules)?;
    commit(&[])?;
    // What goes is nobody's business, and neither is what is only announced.
    tree.repo.git(&["rm", "--quiet", "app/db.yaml"])?;
    tree.repo.write("app/later.yaml", SECRET)?;
    tree.repo.git(&["add", "--intent-to-add", "app/later.yaml"])?;
    let ran = tree.verify(&["--staged"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "0 files, 0 sealed, 0 errors, 0 warnings\n"));
    tree.repo.git(&["add", "app/later.yaml"])?;
    for (below, code) in [("app", 2), ("app/later.yaml", 2), ("app/db.yaml", 0), ("app/old.yaml", 0), (".", 2)] {
        assert_eq!(tree.verify(&["--staged", below]).code, Some(code), "{below}");
    }
    // A file in the clear that a kustomization of an earlier commit makes a Secret of.
    let made = "secretGenerator:\n- {name: s, files: [password.txt]}\n";
    stage("made/kustomization.yaml", made, made)?;
    commit(&["made/kustomization.yaml", "--no-verify"])?;
    stage("made/password.txt", "hunter2", "")?;
    let ran = tree.verify(&["--staged", "made"]);
    assert!(ran.code == Some(2) && ran.stdout.contains("made/password.txt: the secretGenerator"), "{ran:?}");
    // What nobody knows is a mistake.
    for unknown in ["ap", "app/lter.yaml"] {
        let ran = tree.verify(&["--staged", unknown]);
        assert!(ran.code == Some(1) && ran.stderr.contains("is neither on the disk nor staged"), "{ran:?}");
    }
    // A link to the rules that is not staged counts for nothing; one that is is followed on the disk.
    tree.repo.write("linked/b.env", "PASSWORD=hunter2\n")?;
    tree.repo.git(&["add", "linked/b.env"])?;
    tree.repo.write(
        "all-rules.yaml",
        "creation_rules:\n- path_regex: env$\n  age: RECIPIENT\n".replace("RECIPIENT", &tree.own.recipient),
    )?;
    tree.repo.symlink("../all-rules.yaml", "linked/.sops.yaml")?;
    assert_eq!(tree.verify(&["--staged", "linked"]).code, Some(0));
    tree.repo.git(&["add", "linked/.sops.yaml"])?;
    assert_eq!(tree.verify(&["--staged", "linked"]).code, Some(2));
    fs::rename(tree.repo.tree().join(".sops.yaml"), tree.repo.tree().join("rules.yaml")).expect("it can be renamed");
    tree.repo.symlink("rules.yaml", ".sops.yaml")?;
    tree.repo.git(&["add", "--all"])?;
    tree.repo.write("secret/a.env", "PASSWORD=hunter2\n")?;
    tree.repo.git(&["add", "secret/a.env"])?;
    let ran = tree.verify(&["--staged", "secret"]);
    assert!(ran.code == Some(2) && ran.stdout.contains("secret/a.env, /PASSWORD: the rule in .sops.yaml"), "{ran:?}");
    let nowhere = Folder::new().seal(&["verify", "--staged"], "");
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("is not in a Git repository"), "{nowhere:?}");
    Ok(())
}

/// A file as sops would write it that is sealed for a key of each kind; nobody can open it, which is not asked for.
fn for_every_kind() -> Value {
    let token = "ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]";
    let at = "2026-01-01T00:00:00Z";
    json!({
        "password": token,
        "sops": {
            "kms": [{"arn": "arn:aws:kms:eu-1:1:key/a", "role": "arn:aws:iam::1:role/r", "created_at": at, "enc": "x"}],
            "gcp_kms": [{"resource_id": "projects/p/locations/l/keyRings/r/cryptoKeys/k", "created_at": at, "enc": "x"}],
            "azure_kv": [{"vault_url": "https://v.vault.azure.net", "name": "k", "version": "7", "created_at": at, "enc": "x"}],
            "hc_vault": [{"vault_address": "https://vault.example.com:8200", "engine_path": "team/transit", "key_name": "k", "created_at": at, "enc": "x"}],
            "age": [{"recipient": "age1example", "enc": "x"}],
            "pgp": [{"fp": "85D77543B3D624B63CEA9E6DBC17301B491B3F21", "created_at": at, "enc": "x"}],
            "lastmodified": at, "mac": token, "version": "3.13.3",
        },
    })
}

#[test]
fn keys_of_every_kind_are_compared_with_those_of_the_rule_however_it_names_them() -> Result<(), Failure> {
    let tree = Tree::new()?;
    tree.repo.write("all.json", for_every_kind().to_string())?;
    let flat = r"creation_rules:
- age: age1example
  pgp: 85D7 7543 B3D6 24B6 3CEA  9E6D BC17 301B 491B 3F21
  kms: arn:aws:kms:eu-1:1:key/a+arn:aws:iam::1:role/r
  gcp_kms: projects/p/locations/l/keyRings/r/cryptoKeys/k
  azure_keyvault: https://v.vault.azure.net/keys/k/8
  hc_vault_transit_uri: https://vault.example.com:8200/v1/team/transit/keys/k
";
    let group = r"creation_rules:
- key_groups:
  - merge: [{pgp: [85D77543B3D624B63CEA9E6DBC17301B491B3F21]}]
    age: [age1example]
    kms: [{arn: 'arn:aws:kms:eu-1:1:key/a', role: 'arn:aws:iam::1:role/r'}]
    gcp_kms: [{resource_id: projects/p/locations/l/keyRings/r/cryptoKeys/k}]
    azure_keyvault: [{vaultUrl: 'https://v.vault.azure.net', key: k, version: '7'}]
    hc_vault: ['https://vault.example.com:8200/v1/team/transit/keys/k']
";
    for rules in [flat, group] {
        tree.repo.write(".sops.yaml", rules)?;
        assert_eq!(tree.json(&["all.json"])["findings"], json!([]), "{rules}");
    }
    for (was, is) in
        [("key/a", "key/b"), ("age1example", "age1other"), ("491B 3F21", "491B 3F22"), ("/keys/k/8", "/keys/l/8")]
    {
        tree.repo.write("other.yaml", flat.replace(was, is))?;
        let found = tree.json(&["all.json", "--config", "other.yaml"]);
        let checks: Vec<_> =
            found["findings"].as_array().into_iter().flatten().map(|finding| &finding["check"]).collect();
        assert_eq!(checks, ["recipients", "recipients"], "{is}: one is missing, one is there and should not be");
    }
    Ok(())
}

#[test]
fn what_a_rule_does_not_say_a_sealed_file_may_have_from_the_command_line() -> Result<(), Failure> {
    let tree = Tree::new()?;
    tree.repo.write("app/db.yaml", tree.sops("db.yaml", SECRET, &[&tree.own], &VALUES)?)?;
    for (rule, checks) in [
        (format!("path_regex: ^app/\n  age: {}", tree.own.recipient), json!([])),
        ("encrypted_regex: ^(data|stringData)$".to_owned(), json!([])),
        ("encrypted_regex: ^(metadata|data|stringData)$".to_owned(), json!(["plain-value"])),
        (format!("age: {}", tree.stranger.recipient), json!(["recipients", "recipients"])),
        (format!("path_regex: ^other/\n  age: {}", tree.stranger.recipient), json!([])),
    ] {
        tree.repo.write(".sops.yaml", format!("creation_rules:\n- {rule}\n"))?;
        let found = tree.json(&["app"]);
        let found: Vec<_> = found["findings"].as_array().into_iter().flatten().map(|one| &one["check"]).collect();
        assert_eq!(json!(found), checks, "{rule}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_an_error_of_its_own() -> Result<(), Failure> {
    let tree = Tree::new()?;
    let ran = tree.verify(&["nothing"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("nothing"), "{}", ran.stderr);
    tree.repo.write(".sops.yaml", "creation_rules:\n- path_regex: '('\n")?;
    let ran = tree.verify(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("creation rule 1: path_regex is not a valid expression"), "{}", ran.stderr);
    Ok(())
}

#[test]
fn a_reference_into_a_store_may_be_committed_and_what_only_looks_like_one_may_not() -> Result<(), Failure> {
    let repo = GitRepo::new()?;
    let reference = "ref+store://vault/secret/data/shop/db#/password";
    let secret = |name: &str, value: &str| {
        SECRET.replace("db", name).replace("password: hunter2", &format!("password: '{value}'"))
    };
    repo.write("a.yaml", secret("a", reference))?;
    repo.write("b.yaml", secret("b", &format!("postgres://shop:{reference}+@db")))?;
    repo.write("c.yaml", secret("c", "cmVmK3N0b3JlOi8vdmF1bHQvYSMvYg==").replace("stringData", "data"))?;
    repo.write("d.yaml", secret("d", "hunter2 ref+stores://vault/a"))?;
    repo.write("e.yaml", secret("e", "ref+vault://kv/db#/hunter2"))?;
    repo.write(
        "kustomization.yaml",
        format!("secretGenerator:\n- {{name: s, literals: ['a={reference}', 'b=hunter2'], envs: [s.env, t.env]}}\n"),
    )?;
    repo.write("s.env", format!("A={reference}\n"))?;
    repo.write("t.env", "A=hunter2\n")?;
    repo.commit("all")?;
    let seal = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &repo.tree());
    let ran = run(seal.arg("verify"));
    assert_eq!(ran.code, Some(2));
    let found: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(found.len(), 4, "{}", ran.stdout);
    for place in ["d.yaml", "e.yaml", "kustomization.yaml, /secretGenerator/0/literals/1", "t.env"] {
        assert!(found.iter().any(|line| line.contains(place)), "{place} in {}", ran.stdout);
    }
    Ok(())
}

#[test]
fn a_folder_without_a_repository_is_looked_at_as_a_whole() {
    let folder = Folder::new();
    folder.write("secret.yaml", SECRET);
    let ran = folder.seal(&["verify", "secret.yaml"], "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.starts_with("error: secret.yaml, /stringData/password: "), "{}", ran.stdout);
    let ran = folder.seal(&["verify"], "");
    assert!(ran.stdout.contains("error: cluster.key: a private key begins in line 1 (private-key)"), "{}", ran.stdout);
}

#[test]
fn a_sealed_secret_of_another_cluster_or_that_was_changed_is_named_without_any_key() -> Result<(), Failure> {
    let tree = Tree::new()?;
    let folder = Folder::new();
    let certificate = |name: &str| folder.path().join(name).display().to_string();
    let kubeseal = |scope: &str| {
        let call = tree.upstream.kubeseal(&["-o", "yaml", "--namespace", "shop", "--scope", scope, "--cert"])?;
        call.arg(folder.path().join("cluster.pem")).stdin(SECRET).text()
    };
    let (strict, wide) = (kubeseal("strict")?, kubeseal("cluster-wide")?);
    let annotation = "sealedsecrets.bitnami.com/cluster-wide: \"true\"";
    for (name, text) in [
        ("strict.yaml", strict.clone()),
        ("wide.yaml", wide.clone()),
        ("wide-renamed.yaml", wide.replacen("name: db", "name: other", 1)),
        ("renamed.yaml", strict.replacen("name: db", "name: other", 1)),
        ("moved.yaml", strict.replacen("namespace: shop", "namespace: other", 1)),
        ("narrowed.yaml", wide.replacen(annotation, "a: b", 1)),
        // The deprecated form.
        (
            "blob.yaml",
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a}\nspec: {data: AAAA}\n"
                .to_owned(),
        ),
    ] {
        tree.repo.write(&format!("app/{name}"), text)?;
    }
    let found = |cert: &str| {
        let report = tree.json(&["--cert", cert, "app"]);
        let of = |finding: &Value| format!("{} {}", finding["check"], finding["file"]).replace('"', "");
        report["findings"].as_array().expect("a list").iter().map(of).collect::<Vec<_>>()
    };
    let changed =
        ["damaged app/blob.yaml", "binding app/moved.yaml", "binding app/narrowed.yaml", "binding app/renamed.yaml"];
    assert_eq!(found(&certificate("cluster.pem")), changed);
    // One in some numbers below one modulus is below another too; a key of another size is always told.
    let of_another_size = found(&certificate("big.pem"));
    assert_eq!(of_another_size.iter().filter(|one| one.starts_with("other-key")).count(), 6, "{of_another_size:?}");
    let ran = tree.verify(&["--cert", &certificate("expired.pem"), "app"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("the certificate expired at 2020-01-02"), "{ran:?}");
    Ok(())
}

#[test]
fn what_keeps_a_sealed_secret_from_opening_is_seen_without_any_key_as_far_as_it_can_be() -> Result<(), Failure> {
    let (tree, folder) = (Tree::new()?, Folder::new());
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/fixtures/sealed_secret/keys");
    let certificate = |name: &str| keys.join(name).display().to_string();
    let kubeseal = |cert: &str, more: &[&str]| {
        let call = tree.upstream.kubeseal(&["-o", "yaml", "--namespace", "shop", "--cert", &certificate(cert)])?;
        call.args(more).stdin(SECRET).text()
    };
    let strict = kubeseal("throw-away.crt", &[])?;
    let wide = kubeseal("newer.crt", &["--scope", "cluster-wide"])?;
    let annotation = "sealedsecrets.bitnami.com/cluster-wide: \"true\"";
    let token = strict.lines().find_map(|line| line.trim().strip_prefix("password: ")).expect("an item").to_owned();
    let old_form = |data: &str, more: &str| {
        format!(
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: db, namespace: shop}}\nspec:\n  data: {data}\n{more}"
        )
    };
    for (name, text) in [
        ("old.yaml", strict.clone()),
        ("new.yaml", wide.clone()),
        ("big.yaml", kubeseal("big.crt", &[])?),
        ("loud.yaml", wide.replacen(annotation, &annotation.replace("\"true\"", "\"True\""), 1)),
        ("bare.yaml", wide.replacen(annotation, &annotation.replace("\"true\"", "true"), 1)),
        (
            "off.yaml",
            strict.replacen(
                "metadata:\n",
                &format!("metadata:\n  annotations: {{{}}}\n", annotation.replace("true", "false")),
                1,
            ),
        ),
        ("unsealed.yaml", strict.replacen("  template:\n", "  template:\n    stringData: {other: hunter2}\n", 1)),
        ("blob.yaml", old_form(&token, "")),
        ("cut-blob.yaml", old_form("AgA=", "")),
        ("both-forms.yaml", old_form(&token, "  encryptedData: {a: AgA=}\n")),
    ] {
        tree.repo.write(&format!("app/{name}"), text)?;
    }
    tree.repo.write("expired.pem", std::fs::read(folder.path().join("expired.pem")).expect("a fixture"))?;
    tree.repo.write("fine.pem", std::fs::read(folder.path().join("cluster.pem")).expect("a fixture"))?;
    let (newer, old) = (certificate("newer.crt"), certificate("throw-away.crt"));
    let ran = tree.verify(&["--cert", &newer, "--cert", &old]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""));
    insta::assert_snapshot!(ran.stdout);
    // What an older key sealed is fine as long as that is named, though its certificate has expired.
    let expired = folder.path().join("small.pem").display().to_string();
    assert_eq!(tree.verify(&["--cert", &expired, "app/old.yaml"]).code, Some(1), "a key of 1024 bits is none");
    let (big, both) =
        (certificate("big.crt"), tree.verify(&["--cert", &newer, "--cert", &old, "app/old.yaml", "app/new.yaml"]));
    assert_eq!(both.code, Some(0), "{both:?}");
    assert_eq!(tree.verify(&["--cert", &big, "app/old.yaml"]).code, Some(2));
    Ok(())
}
