//! `seal audit recipients`: who can read what, as the files say.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Folder, Ran, run};
use waxwing_harness::{Call, Failure, GitRepo, Upstream};

fn audit(repo: &GitRepo, arguments: &[&str]) -> Ran {
    let seal = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &repo.tree());
    run(seal.args(["audit", "recipients"]).args(arguments))
}

#[test]
fn each_recipient_is_listed_with_what_it_can_open_alone_and_with_others() -> Result<(), Failure> {
    let (repo, upstream) = (GitRepo::new()?, Upstream::new()?);
    let mut keys = [upstream.age_keygen()?, upstream.age_keygen()?];
    keys.sort_by(|one, two| one.recipient.cmp(&two.recipient));
    let [one, two] = keys;
    let masked = |text: &str| text.replace(&one.recipient, "ONE").replace(&two.recipient, "TWO");
    let sops = |before: &[&str], recipients: &[&str]| {
        let named = ["encrypt", "--filename-override=a.env"];
        upstream
            .sops(&[before, &named, recipients].concat())?
            .stdin(
                "A=hunter2
",
            )
            .text()
    };
    assert_eq!(audit(&repo, &[]).stdout, "no sealed files\n");

    let both = format!("{},{}", one.recipient, two.recipient);
    repo.write("one.env", sops(&[], &["--age", &one.recipient])?)?;
    repo.write("more/both.env", sops(&[], &["--age", &both])?)?;
    let groups = format!(
        "creation_rules:\n- shamir_threshold: 2\n  key_groups:\n  - age: [{}]\n  - age: [{}]\n",
        one.recipient, two.recipient
    );
    repo.write("rules.yaml", groups)?;
    let rules = repo.tree().join("rules.yaml");
    let shared = sops(&["--config", rules.to_str().expect("a path in UTF-8")], &[])?;
    repo.write("more/shared.env", shared)?;
    let arguments = ["new", "token", "-n", "shop", "--cert", "cluster.pem", "--from-literal", "password=hunter2"];
    repo.write("more/token.yaml", Folder::new().seal(&arguments, "").stdout)?;
    repo.write(".gitignore", "ignored.env\n")?;
    repo.write("ignored.env", sops(&[], &["--age", &one.recipient])?)?;

    let ran = audit(&repo, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let expected = "\
age ONE
  more/both.env
  one.env
  more/shared.env (with a recipient of another key group)
age TWO
  more/both.env
  more/shared.env (with a recipient of another key group)
sealed-secrets key
  more/token.yaml
";
    assert_eq!(masked(&ran.stdout), expected);

    let ran = audit(&repo, &["one.env", "--output", "json"]);
    let listed: Value = serde_json::from_str(&masked(&ran.stdout)).expect("one JSON object");
    assert_eq!(listed, json!({"recipients": {"age ONE": {"files": ["one.env"], "shares": []}}}));

    repo.write("lfs.bin", "version https://git-lfs.github.com/spec/v1\n")?;
    let ran = audit(&repo, &["lfs.bin"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "no sealed files\n"));
    assert!(ran.stderr.starts_with("note: lfs.bin was not looked into: "), "{}", ran.stderr);
    repo.remove("lfs.bin")?;

    repo.write("one.env", "A=ENC[\nsops_version=3.13.3\n")?;
    let ran = audit(&repo, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "a list that lacks something is none");
    assert!(ran.stderr.starts_with("error: one.env: "), "{}", ran.stderr);
    Ok(())
}
