//! `seal plan`: what differs between two states of a folder, shown without a cluster, a key or a secret.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use support::{Folder, Ran, run};
use waxwing_harness::{Call, Failure, GitRepo, Tools, Upstream};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {colour: blue}\n";
const PLAIN: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\nstringData: {password: hunter2}\n";

/// Runs `seal plan` in the work tree of a repository.
fn plan(repository: &GitRepo, arguments: &[&str]) -> Result<Ran, Failure> {
    let seal = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &repository.tree());
    let ran = run(seal.arg("plan").args(arguments).arg("--kustomize").arg(Tools::locate()?.path("kustomize")?));
    for secret in ["hunter2", "aHVudGVyMg", "waxwinghandle"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
    }
    Ok(ran)
}

/// Returns a SealedSecret with one value; sealing it again gives another text.
fn sealed(folder: &Folder, name: &str) -> String {
    let arguments = ["new", name, "-n", "shop", "--cert", "cluster.pem", "--from-literal", "password=hunter2"];
    folder.seal(&arguments, "").stdout
}

#[test]
fn what_did_not_change_is_no_change_and_what_did_is_named_without_its_secrets() -> Result<(), Failure> {
    let (folder, repository, upstream) = (Folder::new(), GitRepo::new()?, Upstream::new()?);
    let age = upstream.age_keygen()?;
    let encrypt = ["encrypt", "--input-type=dotenv", "--output-type=dotenv", "--age", &age.recipient, "/dev/stdin"];
    let env = || upstream.sops(&encrypt)?.stdin("TOKEN=hunter2\nUSER=me\n").text();
    repository.write(
        "prod/kustomization.yaml",
        "resources: [config.yaml, db.yaml]\nsecretGenerator:\n- {name: api, envs: [api.env]}\n",
    )?;
    repository.write("prod/config.yaml", CONFIG)?;
    repository.write("prod/db.yaml", sealed(&folder, "db"))?;
    repository.write("prod/api.env", env()?)?;
    repository.commit("all of it")?;
    let ran = plan(&repository, &["prod"])?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, "0 to create, 0 to change, 0 to delete, 3 unchanged\n");

    repository.write("prod/config.yaml", CONFIG.replace("blue", "green"))?;
    repository.write("prod/db.yaml", sealed(&folder, "db"))?;
    repository.write("prod/api.env", env()?)?;
    let ran = plan(&repository, &["prod"])?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""));
    let ends_with_a_suffix = |word: &str| word.strip_prefix("api-").is_some_and(|rest| rest.len() >= 10);
    assert!(ran.stdout.split(['/', ' ', '\n']).any(ends_with_a_suffix), "{}", ran.stdout);
    let suffix = |line: &str| line.split("api-").nth(1).and_then(|rest| rest.get(..10)).map(str::to_owned);
    let suffixes: Vec<_> = ran.stdout.lines().filter_map(suffix).collect();
    insta::assert_snapshot!(suffixes.iter().fold(ran.stdout, |text, suffix| text.replace(suffix, "SUFFIX")));

    let ran = plan(&repository, &["prod", "-o", "json"])?;
    let json: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!((ran.code, &json["objects"][0]["kind"]), (Some(2), &Value::from("ConfigMap")));
    Ok(())
}

#[test]
fn any_revision_and_any_folder_can_be_compared_with() -> Result<(), Failure> {
    let repository = GitRepo::new()?;
    repository.write("a/config.yaml", CONFIG)?;
    let first = repository.commit("first")?;
    repository.write("a/config.yaml", CONFIG.replace("blue", "green"))?;
    repository.write("b/config.yaml", CONFIG.replace("shop", "other"))?;
    repository.commit("second")?;
    repository.tag("v2")?;
    for (arguments, summary) in [
        (["a", "--against", "HEAD"].as_slice(), "0 to create, 0 to change, 0 to delete, 1 unchanged\n"),
        (&["a", "--against", "HEAD~1"], "0 to create, 1 to change, 0 to delete, 0 unchanged\n"),
        (&["a", "--against", &first[..8]], "0 to create, 1 to change, 0 to delete, 0 unchanged\n"),
        (&["b", "--against", "v2"], "0 to create, 0 to change, 0 to delete, 1 unchanged\n"),
        (&["b", "--against", &first], "1 to create, 0 to change, 0 to delete, 0 unchanged\n"),
        (&[".", "--against", "HEAD"], "0 to create, 0 to change, 0 to delete, 2 unchanged\n"),
        (&["a", "--against", "b"], "1 to create, 0 to change, 1 to delete, 0 unchanged\n"),
    ] {
        let ran = plan(&repository, arguments)?;
        assert!(ran.stdout.ends_with(summary), "{arguments:?}: {ran:?}");
    }
    assert_eq!(repository.git(&["status", "--short"])?, "", "nothing was written");
    Ok(())
}

#[test]
fn folders_outside_of_git_can_be_compared_too() {
    let folder = Folder::new();
    for (name, colour) in [("a", "blue"), ("b", "green")] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        folder.write(&format!("{name}/config.yaml"), CONFIG.replace("blue", colour));
    }
    let ran = folder.seal(&["plan", "b", "--against", "a", "--color", "always"], "");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("\u{1b}[33m~\u{1b}[0m data.colour: \"blue\" -> \"green\""), "{}", ran.stdout);
}

#[test]
fn what_the_controller_would_refuse_is_refused_here_with_a_remedy() -> Result<(), Failure> {
    let (repository, upstream) = (GitRepo::new()?, Upstream::new()?);
    let age = upstream.age_keygen()?;
    let encrypt = [
        "encrypt",
        "--input-type=yaml",
        "--output-type=yaml",
        "--encrypted-regex=^data$",
        "--age",
        &age.recipient,
        "/dev/stdin",
    ];
    repository.write("good/config.yaml", CONFIG)?;
    repository.write("plain/secret.yaml", PLAIN)?;
    repository.write("broken/config.yaml", "kind: [\n")?;
    repository.write("twice/a.yaml", CONFIG)?;
    repository.write("twice/b.yaml", CONFIG)?;
    repository.write("missing-base/kustomization.yaml", "resources: [../nowhere]\n")?;
    repository.write("remote-base/kustomization.yaml", "resources: ['https://example.com/base.yaml']\n")?;
    repository.write("bound/config.yaml", upstream.sops(&encrypt)?.stdin(CONFIG.replace("blue", "hunter2")).text()?)?;
    std::fs::write(repository.tree().join("../outside.yaml"), CONFIG).expect("a file can be written");
    repository.symlink("../../outside.yaml", "leaving/config.yaml")?;
    repository.commit("all of it")?;
    let mut told = String::new();
    for arguments in [
        ["nowhere"].as_slice(),
        &["good", "--against", "no-such-branch"],
        &["plain"],
        &["broken"],
        &["twice"],
        &["missing-base"],
        &["remote-base"],
        &["bound"],
        &["leaving"],
    ] {
        let ran = plan(&repository, arguments)?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        writeln!(told, "$ seal plan {}\n{}", arguments.join(" "), ran.stderr).unwrap_or_default();
    }
    insta::assert_snapshot!(told.replace(&repository.tree().display().to_string(), "/REPOSITORY"));

    assert_eq!(plan(&repository, &["bound", "--bind-into", "ConfigMap"])?.code, Some(0));
    assert_eq!(plan(&repository, &["plain", "--plaintext", "allow"])?.stderr, "");
    let warned = plan(&repository, &["plain", "--plaintext", "warn"])?;
    assert_eq!(
        (warned.code, warned.stderr.as_str()),
        (Some(0), "note: plain/secret.yaml:1, /stringData/password: a secret value in clear text\n")
    );
    Ok(())
}

#[test]
fn without_git_something_to_compare_with_must_be_named() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("a")).expect("a folder can be made");
    let ran = folder.seal(&["plan", "a"], "");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("is not in a Git repository\nhint: name a folder to compare with\n"), "{}", ran.stderr);
}
