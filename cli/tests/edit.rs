//! `seal edit`: what `seal sops edit` does, with the configuration next to the file and the exit codes of `seal`.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{Ran, run};
use waxwing_harness::{AgeKey, Call, Failure, GitRepo, Upstream};

const PLAIN: &str = "user: admin\npassword: hunter2\n";

/// A repository with rules, a key, and an editor.
struct Desk {
    repo: GitRepo,
    upstream: Upstream,
    own: AgeKey,
}

impl Desk {
    fn new() -> Result<Self, Failure> {
        let (repo, upstream) = (GitRepo::new()?, Upstream::new()?);
        let own = upstream.age_keygen()?;
        let rule =
            format!("creation_rules:\n- path_regex: ^app/\n  encrypted_regex: ^pass\n  age: {}\n", own.recipient);
        repo.write(".sops.yaml", rule)?;
        let sealed = upstream.sops(&["encrypt", "--age", &own.recipient, "--filename-override", "x.yaml"])?;
        repo.write("app/db.yaml", sealed.dir(upstream.home()).stdin(PLAIN).text()?)?;
        Ok(Self { repo, upstream, own })
    }

    /// Edits with a script, from another folder than that of the file.
    fn edit(&self, script: &str, arguments: &[&str]) -> Result<Ran, Failure> {
        self.repo.write("edit.sh", format!("#!/bin/sh\n{script}\n"))?;
        let editor = self.repo.tree().join("edit.sh");
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o700)).expect("permissions can be set");
        let call = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), self.upstream.home()).dir(self.upstream.home());
        let ran = run(call.arg("edit").args(arguments).env("EDITOR", editor).env("SOPS_AGE_KEY", &self.own.identity));
        assert!(!ran.stderr.contains("hunter2") && ran.stdout.is_empty(), "{ran:?}");
        Ok(ran)
    }

    fn path(&self, name: &str) -> String {
        self.repo.tree().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the file is there")
    }

    fn opened(&self, name: &str) -> Result<String, Failure> {
        self.upstream.sops(&["decrypt", &self.path(name)])?.env("SOPS_AGE_KEY", &self.own.identity).text()
    }
}

#[test]
fn what_is_edited_is_sealed_again_and_what_is_not_keeps_its_ciphertext() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let file = desk.path("app/db.yaml");
    let before = desk.text("app/db.yaml");
    let ran = desk.edit("sed -i s/admin/root/ \"$1\"", &[&file])?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(desk.opened("app/db.yaml")?, PLAIN.replace("admin", "root"));
    let line = |text: &str| text.lines().find(|line| line.starts_with("password:")).map(str::to_owned);
    assert_eq!(line(&desk.text("app/db.yaml")), line(&before));
    Ok(())
}

#[test]
fn a_file_that_was_not_changed_in_the_editor_is_as_it_was() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let before = desk.text("app/db.yaml");
    let ran = desk.edit("true", &[&desk.path("app/db.yaml")])?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "note: nothing was changed, so the file is as it was\n"));
    assert_eq!(desk.text("app/db.yaml"), before);
    Ok(())
}

#[test]
fn a_new_file_is_made_as_the_rule_next_to_it_says() -> Result<(), Failure> {
    let desk = Desk::new()?;
    fs::create_dir_all(desk.path("app/deep")).expect("a folder can be made");
    let ran = desk.edit("sed -i s/something/hunter2/ \"$1\"", &[&desk.path("app/deep/new.yaml")])?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(desk.opened("app/deep/new.yaml")?.ends_with("user: someone\npassword: hunter2\n"));
    assert!(desk.text("app/deep/new.yaml").contains("user: someone\n"), "the rule seals the password only");
    let ran = desk.edit("true", &[&desk.path("elsewhere.yaml")])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("no creation rule matches elsewhere.yaml\nhint: "), "{ran:?}");
    let ran = desk.edit("sed -i s/someone/me/ \"$1\"", &["--age", &desk.own.recipient, &desk.path("own.json")])?;
    assert_eq!(ran.code, Some(1), "a rule has to match the file too: {ran:?}");
    Ok(())
}

#[test]
fn the_metadata_are_shown_where_that_is_wanted() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let script = "sed -i 's/unencrypted_suffix: .*/encrypted_regex: ^pass/' \"$1\"";
    let ran = desk.edit(script, &["--show-master-keys", &desk.path("app/db.yaml")])?;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(desk.text("app/db.yaml").starts_with("user: admin\n"));
    Ok(())
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do_and_has_one_exit_code() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let good = desk.text("app/db.yaml");
    desk.repo.write("tampered.yaml", good.replace("lastmodified: \"2", "lastmodified: \"3"))?;
    desk.repo.write("plain.yaml", PLAIN)?;
    for (script, name) in [
        ("sed -i s/user:/user/ \"$1\"", "app/db.yaml"),
        ("kill -TERM $PPID; exec sleep 60", "app/db.yaml"),
        ("exit 3", "app/db.yaml"),
        ("true", "tampered.yaml"),
        ("true", "plain.yaml"),
    ] {
        let before = desk.text(name);
        let ran = desk.edit(script, &[&desk.path(name)])?;
        assert_eq!(ran.code, Some(1), "{script}: {ran:?}");
        assert!(ran.stderr.contains("error: "), "{ran:?}");
        assert_eq!(desk.text(name), before);
    }
    Ok(())
}
