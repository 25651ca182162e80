//! Stores asked as the user, against a real OpenBao: `seal run` gives a command what references lead to, and `seal refs check --online` says
//! whether it is there. Values are in the environment of the command and nowhere else; no file decides where the token goes.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Ran, run};
use waxwing_harness::{Authority, Call, Failure, GitRepo, OpenBao, Tools};

/// Prints all variables that a command got.
const SHOW: [&str; 3] = ["/bin/sh", "-c", "for name in $NAMES; do eval \"echo $name=\\$$name\"; done"];

struct World {
    bao: OpenBao,
    authority: Authority,
    repo: GitRepo,
}

impl World {
    fn new() -> Result<Self, Failure> {
        let authority = Authority::new("of the harness")?;
        let (bao, repo) = (OpenBao::start_certified_by(&authority)?, GitRepo::new()?);
        bao.ask(None, "sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}}))?;
        bao.ask(None, "kv1/legacy", &json!({"key": "hunter-legacy"}))?;
        for password in ["hunter-old", "hunter-one"] {
            let data =
                json!({"user": "shop", "password": password, "all": {"A": "hunter-a", "B": "1"}, "zero": "aAAA"});
            bao.ask(None, "secret/data/shop/db", &json!({"data": data}))?;
        }
        for gone in ["gone", "late"] {
            bao.ask(None, &format!("secret/data/shop/{gone}"), &json!({"data": {"a": "hunter-gone"}}))?;
        }
        bao.ask(None, "secret/delete/shop/gone", &json!({"versions": [1]}))?;
        bao.make_namespace("team")?;
        bao.ask(Some("team"), "sys/mounts/secret", &json!({"type": "kv", "options": {"version": "2"}}))?;
        bao.ask(Some("team"), "secret/data/shop/db", &json!({"data": {"password": "hunter-team"}}))?;
        let backend = |name: &str, spec: &str| {
            format!(
                "apiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: {name}}}\nspec: {{{spec}, allow: {{paths: ['*/*', '*/*/*/*']}}}}\n"
            )
        };
        let vault = |more: &str, address: &str| {
            format!("vault: {{address: '{address}', auth: {{tokenRef: {{name: a}}}}{more}}}")
        };
        repo.write(
            "backends/vault.yaml",
            backend("vault", &vault(", dynamic: [{path: 'database/creds/{namespace}/*'}]", &bao.address())),
        )?;
        repo.write("backends/team.yaml", backend("team", &vault(", namespace: team", &bao.address())))?;
        repo.write("backends/other.yaml", backend("other", &vault("", "http://127.0.0.1:1")))?;
        repo.write("backends/aws.yaml", backend("aws", "aws: {auth: {secretRef: {name: a}}}"))?;
        Ok(Self { bao, authority, repo })
    }

    fn call(&self, words: &[&str]) -> Call {
        let call =
            Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &self.repo.tree()).dir(&self.repo.tree()).args(words);
        call.env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// Runs it as a user of the server.
    fn ran(&self, words: &[&str]) -> Ran {
        run(self.call(words).env("VAULT_ADDR", self.bao.address()).env("VAULT_TOKEN", self.bao.root_token()))
    }

    fn told(&self, ran: &Ran) -> String {
        let told = format!("exit code {}\n{}{}", ran.code.unwrap_or(-1), ran.stdout, ran.stderr);
        for secret in ["hunter", self.bao.root_token()] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
        told.replace(&self.bao.address(), "<ADDRESS>").replace(&self.repo.tree().display().to_string(), "<TREE>")
    }
}

#[test]
fn a_command_gets_what_references_lead_to_in_its_environment_with_its_own_exit_code() -> Result<(), Failure> {
    let world = World::new()?;
    let repo = &world.repo;
    let db = "ref+store://vault/secret/data/shop/db";
    repo.write(
        "shop.env",
        format!("# settings\nexport PLAIN=as it is\nURL=postgres://{db}#/user+:{db}#/password+@db\nLAST=first\n"),
    )?;
    let manifest = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, annotations: {{waxwing.dev/expand: '{db}#/all'}}}}\nstringData: {{OLD: '{db}?version=1#/password'}}\ndata: {{ENCODED: cmVmK3N0b3JlOi8vdmF1bHQva3YxL2xlZ2FjeSMva2V5}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{LAST: nothing}}\n"
    );
    repo.write("s.yaml", manifest)?;
    repo.write("vals.yaml", "VALS: ref+vault://secret/shop/db#/password\nNUMBER: 5\n")?;
    let last = format!("LAST={db}#/password");
    let words = [
        &[
            "run",
            "--backends",
            "backends",
            "--from",
            "s.yaml",
            "-f",
            "vals.yaml",
            "--env-file",
            "shop.env",
            "-e",
            &last,
        ][..],
        &["-e", "TEAM=ref+store://team/secret/data/shop/db#/password", "--"],
        &SHOW,
    ]
    .concat();
    let names = "PLAIN URL LAST OLD ENCODED A B VALS NUMBER TEAM OUTER";
    let call = |call: Call| call.env("VAULT_ADDR", world.bao.address()).env("VAULT_TOKEN", world.bao.root_token());
    let ran = run(call(world.call(&words)).env("NAMES", names).env("OUTER", "of the caller"));
    let expected = "PLAIN=as it is\nURL=postgres://shop:hunter-one@db\nLAST=hunter-one\nOLD=hunter-old\nENCODED=hunter-legacy\n\
        A=hunter-a\nB=1\nVALS=hunter-one\nNUMBER=5\nTEAM=hunter-team\nOUTER=of the caller\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), expected, ""));

    // The value is neither in the arguments of the command nor in those of anyone else, and the process is the command.
    let only = ["run", "--backends", "backends", "--pristine", "-e", &last, "--"];
    let shown = world.ran(&[&only[..], &["/bin/sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline; exit 42"]].concat());
    assert_eq!((shown.code, shown.stdout.contains("hunter")), (Some(42), false), "{shown:?}");
    let pristine = world.ran(&[&only[..], &["/usr/bin/env"]].concat());
    assert_eq!(pristine.stdout, "LAST=hunter-one\n");
    let killed = run(call(world.call(&[&only[..], &["/bin/sh", "-c", "kill -TERM $$"]].concat())));
    assert_eq!(killed.code, None, "the signal is the command's");
    let codes = ["/nonexistent/program", "./backends"].map(|program| world.ran(&["run", "--", program]).code);
    assert_eq!(codes, [Some(127), Some(126)]);

    // Over TLS, with the authority and the token of a login.
    let (authority, home) = (repo.tree().join("ca.pem"), repo.tree());
    std::fs::write(&authority, world.authority.pem()).expect("it is written");
    std::fs::write(home.join(".vault-token"), format!("{}\n", world.bao.root_token())).expect("it is written");
    let tls = ["run", "-e", "VALS=ref+openbao://secret/shop/db#/password", "--", "/bin/sh", "-c", "echo $VALS"];
    let ran = run(world.call(&tls).env("VAULT_ADDR", world.bao.tls_address()).env("VAULT_CACERT", &authority));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hunter-one\n"), "{}", ran.stderr);
    Ok(())
}

/// Says what a program of OpenBao and ours make of some variables: a word, or that they got nothing.
fn both(world: &World, variables: &[(&str, &str)]) -> [String; 2] {
    let got = |call: Call| {
        let ran = run(variables.iter().fold(call, |call, (name, value)| call.env(name, value)));
        if ran.code == Some(0) { ran.stdout.trim().to_owned() } else { "nothing".to_owned() }
    };
    let program = Tools::locate().and_then(|tools| tools.path("bao")).expect("bao is installed");
    let theirs = Call::new(&program, &world.repo.tree()).env("BAO_MAX_RETRIES", "0");
    let theirs = theirs.args(["kv", "get", "-field=password", "secret/shop/db"]);
    let reference = "P=ref+openbao://secret/shop/db#/password";
    let ours = world.call(&["run", "-e", reference, "--", "/bin/sh", "-c", "echo $P"]);
    [got(theirs), got(ours)]
}

#[test]
fn the_settings_of_a_user_of_openbao_go_before_those_of_vault_as_for_bao_itself() -> Result<(), Failure> {
    let world = World::new()?;
    let (plain, tls, token) = (world.bao.address(), world.bao.tls_address(), world.bao.root_token().to_owned());
    let authority = world.repo.tree().join("ca.pem").display().to_string();
    std::fs::write(&authority, world.authority.pem()).expect("it is written");
    let (own, of_vault) = ([("BAO_ADDR", plain.as_str()), ("BAO_TOKEN", &token)], ("VAULT_TOKEN", token.as_str()));
    for (variables, wanted) in [
        (&own[..], "hunter-one"),
        (&[own[0], of_vault], "hunter-one"),
        (&[own[0], own[1], ("VAULT_ADDR", "http://127.0.0.1:1"), ("VAULT_TOKEN", "nobody")], "hunter-one"),
        (&[("VAULT_ADDR", &plain), of_vault, ("BAO_TOKEN", "nobody")], "nothing"),
        (&[("VAULT_ADDR", &plain), of_vault, ("BAO_TOKEN", "")], "nothing"),
        (&[("VAULT_ADDR", &plain), of_vault, ("BAO_ADDR", "http://127.0.0.1:1")], "nothing"),
        (&[own[0], own[1], ("BAO_NAMESPACE", "team"), ("VAULT_NAMESPACE", "none")], "hunter-team"),
        (&[own[0], own[1], ("VAULT_NAMESPACE", "team")], "hunter-team"),
        (&[own[0], own[1], ("VAULT_NAMESPACE", "team"), ("BAO_NAMESPACE", "")], "hunter-one"),
        (&[("BAO_ADDR", &tls), own[1], ("BAO_CACERT", &authority), ("VAULT_CACERT", "/none.pem")], "hunter-one"),
        (&[("BAO_ADDR", &tls), own[1], ("BAO_CACERT", "/none.pem"), ("VAULT_CACERT", &authority)], "nothing"),
    ] {
        assert_eq!(both(&world, variables), [wanted, wanted], "{variables:?}");
    }
    let with = |call: Call, variables: &[(&str, &str)]| {
        run(variables.iter().fold(call, |call, (name, value)| call.env(name, value)))
    };
    let check = |variables: &[(&str, &str)]| {
        world.repo.write("db.yaml", "a: ref+store://vault/secret/data/shop/db#/password\n").expect("it is written");
        with(world.call(&["refs", "check", "--online", "db.yaml", "backends"]), variables)
    };
    let there = check(&own);
    assert_eq!((there.code, there.stdout.contains("version 2 is in the store")), (Some(0), true), "{there:?}");
    // The token goes to no server but the one that counts, however right another one would be.
    let elsewhere = check(&[("VAULT_ADDR", &plain), of_vault, ("BAO_ADDR", "http://127.0.0.1:1")]);
    assert_eq!(elsewhere.code, Some(1));
    assert!(elsewhere.stdout.contains("BAO_ADDR to another server"), "{}", elsewhere.stdout);
    let skipped = check(&[own[0], own[1], ("BAO_SKIP_VERIFY", "true")]);
    assert!(skipped.stdout.contains("BAO_SKIP_VERIFY would let anyone take the token"), "{}", skipped.stdout);
    // For the keys of SOPS files it stays as sops has it.
    let words = ["sops", "encrypt", "--hc-vault-transit", &format!("{plain}/v1/transit/keys/a"), "db.yaml"];
    let sops = with(world.call(&words), &own);
    assert!(sops.stderr.contains("set VAULT_TOKEN"), "{}", sops.stderr);
    Ok(())
}

#[test]
fn nothing_is_run_while_a_variable_is_missing_and_all_that_are_wrong_are_named() -> Result<(), Failure> {
    let world = World::new()?;
    let token = world.bao.make_token(None, "path \"secret/data/shop/*\" { capabilities = [\"read\"] }")?;
    world
        .repo
        .write("bad.env", "no line of this kind\nA=ref+store://vault/secret/data/shop/../hunter#/a\n=hunter\n")?;
    world.repo.write(
        "sealed.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec: {encryptedData: {a: hunter}}\n",
    )?;
    let mut words =
        vec!["run", "--backends", "backends", "--env-file", "bad.env", "-f", "sealed.yaml", "-f", "none.yaml"];
    for text in [
        "B=ref+store://vault/secret/data/shop/none#/a",
        "C=ref+store://vault/secret/data/bank/db#/a",
        "D=ref+store://vault/secret/data/shop/db#/none",
        "E=ref+store://vault/secret/data/shop/gone#/a",
        "F=ref+store://vault/secret/data/shop/db?version=9#/password",
        "G=ref+store://vault/secret/data/shop/db?decode=base64#/zero",
        "H=ref+store://none/secret/data/shop/db#/password",
        "I=ref+clusterstore://vault/secret/data/shop/db#/password",
        "J=ref+store://other/secret/data/shop/db#/password",
        "K=ref+store://aws/secretsmanager/db#/password",
        "L=ref+vault://secret/shop/db?address=https://hunter.example:8200#/password",
        "M=ref+awssecrets://db#/password",
        "N=ref+exec://hunter",
        "O=<path:secret/data/shop/db#password>",
        "P=ref+store://vault/secret/data/shop/db#/password hunter",
        "hunter",
    ] {
        words.extend(["-e", text]);
    }
    words.extend(["--", "/bin/sh", "-c", "echo it ran"]);
    let ran = run(world.call(&words).env("VAULT_ADDR", world.bao.address()).env("VAULT_TOKEN", &token));
    let missing = world.call(&["run", "-e", "A=ref+vault://secret/shop/db#/password", "--", "/bin/true"]);
    let nowhere = run(missing.env("VAULT_TOKEN", world.bao.root_token()));
    let away = world.call(&["run", "-e", "A=ref+vault://secret/shop/db#/password", "--", "/bin/true"]);
    let away = run(away.env("VAULT_ADDR", "http://127.0.0.1:1").env("VAULT_TOKEN", world.bao.root_token()));
    let all: Vec<String> = [&ran, &nowhere, &away].map(|ran| world.told(ran)).to_vec();
    assert!(!all.concat().contains("it ran"));
    insta::assert_snapshot!(all.join("\n"));
    Ok(())
}

#[test]
fn a_look_at_the_stores_says_what_is_there_without_reading_what_has_versions() -> Result<(), Failure> {
    let mut world = World::new()?;
    let repo = &world.repo;
    // Whoever looks may not read the values.
    let policy =
        "path \"secret/metadata/shop/*\" { capabilities = [\"read\"] }\npath \"kv1/*\" { capabilities = [\"read\"] }";
    let token = world.bao.make_token(None, policy)?;
    let values = [
        ("a-there", "ref+store://vault/secret/data/shop/db#/password"),
        ("b-pinned", "ref+store://vault/secret/data/shop/db?version=1#/password"),
        ("c-no-version", "ref+store://vault/secret/data/shop/db?version=9#/password"),
        ("d-deleted", "ref+store://vault/secret/data/shop/gone#/a"),
        ("e-missing", "ref+store://vault/secret/data/shop/none#/a"),
        ("f-denied", "ref+store://vault/secret/data/bank/db#/a"),
        ("g-legacy", "ref+store://vault/kv1/legacy#/key"),
        ("h-no-value", "ref+store://vault/kv1/legacy#/none"),
        ("i-avp", "<path:secret/data/shop/db#password>"),
        ("j-vals", "ref+vault://secret/shop/db?token_env=HUNTER2#/password"),
        ("k-text", "ref+awssecrets://db#/key"),
        // The store would say that it is denied.
        ("l-made", "ref+store://vault/database/creds/bank/shop#/password"),
    ];
    let lines: String = values.iter().map(|(key, value)| format!("  {key}: '{value}'\n")).collect();
    repo.write("s.yaml", format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n{lines}"))?;
    repo.write("sync.yaml", "apiVersion: waxwing.dev/v1alpha1\nkind: Sync\nmetadata: {name: app}\nspec: {secrets: {backends: [{name: vault}], foreignReferences: {argocdVaultPlugin: vault, vals: {vault: vault}}}}\n")?;
    let words = ["refs", "check", "--online", "s.yaml", "sync.yaml", "backends"];
    let as_looker =
        |words: &[&str]| run(world.call(words).env("VAULT_ADDR", world.bao.address()).env("VAULT_TOKEN", &token));
    let looked = as_looker(&words);
    let json: Value = serde_json::from_str(&as_looker(&[&words[..], &["-o", "json"]].concat()).stdout).expect("JSON");
    let one = |name: &str| {
        let all = json["references"].as_array().expect("a list");
        all.iter().find(|one| one["keyPath"] == format!("/stringData/{name}")).cloned().unwrap_or_default()
    };
    assert_eq!(one("a-there")["inStore"], json!({"version": "2"}));
    assert_eq!(one("g-legacy")["inStore"], json!({}));
    assert_eq!(one("d-deleted")["refused"]["error"], "deleted");
    repo.write(
        "other.yaml",
        "a: ref+store://other/secret/data/shop/db#/password\nb: ref+store://aws/secretsmanager/db#/a\n",
    )?;
    let elsewhere = as_looker(&["refs", "check", "--online", "other.yaml", "backends"]);
    let own = |world: &World| {
        let words = ["refs", "check", "--online", "s.yaml", "backends"];
        run(world.call(&words).env("VAULT_ADDR", world.bao.address()).env("VAULT_TOKEN", world.bao.root_token()))
    };
    world.bao.stop();
    let all: Vec<String> = [&looked, &elsewhere, &own(&world)].map(|ran| world.told(ran)).to_vec();
    insta::assert_snapshot!(all.join("\n"));
    Ok(())
}
