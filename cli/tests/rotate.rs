//! `seal rotate`: the sealed files of a tree get new data keys and the recipients of their rules, each as a whole or not at all.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Ran, run};
use waxwing_harness::{AgeKey, Call, Failure, GitRepo, Upstream};

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";
const VALUES: [&str; 2] = ["--encrypted-regex", "^(data|stringData)$"];
/// A file that was sealed on 21 November 2026, and whose key is among the fixtures.
const OLD: &str = include_str!("../../crates/formats/tests/fixtures/sops/good/yaml-secret/sealed.yaml");
const AFTER_OLD: &str = "2026-11-21T10:17:12Z";

/// A repository, someone who can open its files, a new colleague, and one who left.
struct Tree {
    repo: GitRepo,
    upstream: Upstream,
    own: AgeKey,
    new: AgeKey,
    gone: AgeKey,
}

impl Tree {
    fn new() -> Result<Self, Failure> {
        let (repo, upstream) = (GitRepo::new()?, Upstream::new()?);
        let [own, new, gone] = [upstream.age_keygen()?, upstream.age_keygen()?, upstream.age_keygen()?];
        let tree = Self { repo, upstream, own, new, gone };
        let rules = format!(
            "creation_rules:\n- path_regex: ^secret/\n  age: {own}\n- path_regex: ^open/\n- path_regex: \\.yaml$\n  age: [{own}, {new}]\n  encrypted_regex: ^(data|stringData)$\n",
            own = tree.own.recipient,
            new = tree.new.recipient,
        );
        tree.repo.write(".sops.yaml", rules)?;
        tree.repo.write(".gitignore", "*.ignored.yaml\n")?;
        Ok(tree)
    }

    /// Seals with the real sops.
    fn sealed(&self, name: &str, plain: &str, recipients: &[&AgeKey], more: &[&str]) -> Result<String, Failure> {
        let recipients: Vec<_> = recipients.iter().map(|key| key.recipient.as_str()).collect();
        let all = recipients.join(",");
        let arguments = [&["encrypt", "--age", &all, "--filename-override", name], more].concat();
        let call = self.upstream.sops(&arguments)?.dir(self.upstream.home()).stdin(plain);
        call.text()
    }

    /// The files of most tests.
    fn with_files(self) -> Result<Self, Failure> {
        let (own, gone) = (&self.own, &self.gone);
        for (name, text) in [
            ("app/db.yaml", self.sealed("x.yaml", SECRET, &[own, gone], &VALUES)?),
            ("app/right.yaml", self.sealed("x.yaml", SECRET, &[own, &self.new], &VALUES)?),
            ("app/foreign.yaml", self.sealed("x.yaml", SECRET, &[gone], &VALUES)?),
            ("app/damaged.yaml", self.sealed("x.yaml", SECRET, &[own], &VALUES)?.replace("name: db", "name: my")),
            ("app/cut.yaml", self.sealed("x.yaml", SECRET, &[own], &VALUES)?.replace("data:", "data:!")),
            ("app/plain.yaml", "kind: ConfigMap\n".to_owned()),
            ("app/build.ignored.yaml", self.sealed("x.yaml", SECRET, &[own], &VALUES)?),
            ("secret/api.env", self.sealed("x.env", "TOKEN=hunter2\n", &[own], &[])?),
            ("open/any.ini", self.sealed("x.ini", "[a]\nb = hunter2\n", &[own, gone], &[])?),
            ("nobody/any.bin", self.sealed("x.bin", "hunter2", &[own, gone], &[])?),
        ] {
            self.repo.write(name, text)?;
        }
        Ok(self)
    }

    fn call(&self, arguments: &[&str]) -> Call {
        Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), &self.repo.tree()).dir(&self.repo.tree()).args(arguments)
    }

    /// Rotates with one's own key; no secret is shown.
    fn rotate(&self, arguments: &[&str]) -> Ran {
        let call = self.call(&["rotate"]).args(arguments).env("SOPS_AGE_KEY", self.own.identity.as_str());
        let ran = run(call);
        for secret in ["hunter2", "AGE-SECRET-KEY-1", "ENC["] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
        }
        ran
    }

    /// Puts the names of people in the place of their recipients.
    fn named(&self, text: &str) -> String {
        let people = [("OWN", &self.own), ("NEW", &self.new), ("GONE", &self.gone)];
        people.iter().fold(text.to_owned(), |text, (name, key)| text.replace(&key.recipient, name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.repo.tree().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the file is there")
    }

    /// Opens a file with the real sops and someone's key.
    fn opened(&self, name: &str, key: &AgeKey) -> Result<Option<String>, Failure> {
        let call = self.upstream.sops(&["decrypt", name])?.dir(&self.repo.tree());
        let finished = call.env("SOPS_AGE_KEY", key.identity.as_str()).run()?;
        let text = String::from_utf8(finished.stdout).expect("sops prints text");
        Ok(finished.status.success().then_some(text))
    }
}

fn tokens(text: &str) -> BTreeSet<&str> {
    text.split("ENC[").skip(1).filter_map(|rest| rest.split(']').next()).collect()
}

#[test]
fn what_would_be_rotated_is_said_without_any_key_and_not_done() -> Result<(), Failure> {
    let tree = Tree::new()?.with_files()?;
    let before = tree.text("app/db.yaml");
    // No key is at hand here.
    let ran = run(tree.call(&["rotate", "--dry-run", "."]));
    assert_eq!(ran.code, Some(1), "one file can't even be read: {ran:?}");
    insta::assert_snapshot!(tree.named(&format!("{}{}", ran.stdout, ran.stderr)));
    fs::remove_file(tree.path("app/cut.yaml")).expect("the file can be removed");
    assert_eq!(tree.rotate(&["--dry-run", "."]).code, Some(2));
    assert_eq!(tree.text("app/db.yaml"), before);

    let ran = tree.rotate(&["--dry-run", "--only-recipients", "--output", "json", "."]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""));
    let report: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    insta::assert_snapshot!(tree.named(&serde_json::to_string_pretty(&report).expect("JSON")));
    Ok(())
}

#[test]
fn every_file_gets_a_new_data_key_and_the_recipients_of_its_rule_and_what_fails_is_as_it_was() -> Result<(), Failure> {
    let tree = Tree::new()?.with_files()?;
    let names = ["app/db.yaml", "app/right.yaml", "secret/api.env", "open/any.ini", "nobody/any.bin"];
    let failing = ["app/foreign.yaml", "app/damaged.yaml", "app/cut.yaml", "app/build.ignored.yaml"];
    let before = names.map(|name| (tree.text(name), tree.opened(name, &tree.own)));
    let left = failing.map(|name| tree.text(name));
    let ran = tree.rotate(&["app", ".", "secret/api.env"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let note = ran.stderr.lines().next().unwrap_or_default();
    assert!(note.starts_with("note: if this is cut off, go on with --older-than 20"), "{note}");
    insta::assert_snapshot!(tree.named(&format!("{}{}", ran.stdout, ran.stderr.replace(note, "note"))));
    for (name, (old, plain)) in names.iter().zip(before) {
        let text = tree.text(name);
        assert!(tokens(&text).is_disjoint(&tokens(&old)), "{name} has a token that it had");
        assert_eq!(tree.opened(name, &tree.own)?, plain?, "{name}");
    }
    assert_eq!(failing.map(|name| tree.text(name)), left);
    assert!(tree.opened("app/db.yaml", &tree.new)?.is_some() && tree.opened("app/db.yaml", &tree.gone)?.is_none());
    assert!(tree.opened("open/any.ini", &tree.gone)?.is_some(), "a rule without keys leaves them to whoever seals");
    assert!(tree.text("app/db.yaml").contains("    encrypted_regex: ^(data|stringData)$\n"));
    Ok(())
}

#[test]
fn only_the_recipients_change_where_that_is_wanted_and_what_is_right_is_left() -> Result<(), Failure> {
    let tree = Tree::new()?.with_files()?;
    let (old, right) = (tree.text("app/db.yaml"), tree.text("app/right.yaml"));
    let files = ["app/db.yaml", "app/right.yaml", "secret"];
    let ran = tree.rotate(&[&["--only-recipients"], &files[..]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(tokens(&tree.text("app/db.yaml")), tokens(&old));
    assert_eq!(tree.text("app/right.yaml"), right);
    assert!(tree.opened("app/db.yaml", &tree.new)?.is_some() && tree.opened("app/db.yaml", &tree.gone)?.is_none());
    let ran = tree.rotate(&[&["--only-recipients", "--dry-run"], &files[..]].concat());
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(0), Some("3 left")), "{ran:?}");
    Ok(())
}

/// A tree with copies of a file that was sealed long ago.
fn old_files(count: usize) -> Result<(Tree, Vec<String>), Failure> {
    let tree = Tree::new()?;
    tree.repo.write("key.txt", include_str!("../../crates/formats/tests/fixtures/sops/keys/one.txt"))?;
    tree.repo.write(".sops.yaml", "creation_rules: []\n")?;
    let names: Vec<String> = (0..count).map(|number| format!("old/{number:03}.yaml")).collect();
    for name in &names {
        tree.repo.write(name, OLD)?;
    }
    Ok((tree, names))
}

#[test]
fn a_rotation_that_was_killed_goes_on_and_no_file_is_lost() -> Result<(), Failure> {
    let (tree, names) = old_files(120)?;
    let mut child = begun(&tree, &names);
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    let done = names.iter().filter(|name| tree.text(name) != OLD).count();
    assert!((4..120).contains(&done), "{done} files were rotated before it was killed");
    let call = |arguments: &[&str]| run(tree.call(arguments).env("SOPS_AGE_KEY_FILE", "key.txt"));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let opened = call(&[&["sops", "decrypt"], all.as_slice()].concat());
    assert_eq!((opened.code, opened.stderr.as_str()), (Some(0), ""), "every file is whole");

    let rotated = tree.text(&names[0]);
    let ran = call(&["rotate", "--older-than", AFTER_OLD, "old"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let counts = format!("{} rotated, {done} left", 120 - done);
    assert_eq!(ran.stdout.lines().last(), Some(counts.as_str()));
    assert_eq!(tree.text(&names[0]), rotated);
    assert!(names.iter().all(|name| tree.text(name) != OLD));
    let ran = call(&["rotate", "--older-than", AFTER_OLD, "--dry-run", "old"]);
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(0), Some("120 left")));
    Ok(())
}

/// Begins to rotate the old files, and waits until the fourth is done.
fn begun(tree: &Tree, names: &[String]) -> Child {
    // Whoever runs the tests in the background may have these signals ignored.
    let mut child = Command::new("env")
        .args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_seal"), "rotate", "old"])
        .current_dir(tree.repo.tree())
        .env("SOPS_AGE_KEY_FILE", "key.txt")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("seal can be started");
    while tree.text(&names[3]) == OLD && child.try_wait().expect("it is a child").is_none() {
        std::thread::yield_now();
    }
    child
}

#[test]
fn a_request_to_end_waits_for_the_file_that_is_being_written() -> Result<(), Failure> {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (tree, names) = old_files(120)?;
        let mut child = begun(&tree, &names);
        // Sent from here, since to start a program for it may take longer than the files do.
        kill_process(Pid::from_child(&child), signal).expect("the child is there");
        let (name, number) = (format!("{signal:?}"), signal.as_raw());
        assert_eq!(child.wait().expect("it is a child").signal(), Some(number));
        let left: Vec<_> = fs::read_dir(tree.path("old")).expect("the folder is there").collect();
        assert_eq!(left.len(), 120, "{name}: {left:?}");
        assert!(names.iter().any(|name| tree.text(name) == OLD), "{name} came too late");
    }
    Ok(())
}

#[test]
fn whoever_looks_on_sees_which_file_it_is_at() -> Result<(), Failure> {
    let (tree, _) = old_files(3)?;
    let terminal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/terminal.py");
    let call = Call::new(Path::new("python3"), &tree.repo.tree()).dir(&tree.repo.tree()).arg(terminal);
    let call = call.args(["", env!("CARGO_BIN_EXE_seal"), "rotate", "old"]).env("SOPS_AGE_KEY_FILE", "key.txt");
    let ran = run(call);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("2/3 old/001.yaml"), "{ran:?}");
    Ok(())
}

#[test]
fn a_file_that_can_not_be_replaced_as_a_whole_is_left() -> Result<(), Failure> {
    let (tree, names) = old_files(2)?;
    fs::hard_link(tree.path(&names[0]), tree.path("other.txt")).expect("a link can be made");
    let ran = run(tree.call(&["rotate", "old"]).env("SOPS_AGE_KEY_FILE", "key.txt"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("old/000.yaml: failed to replace it: it has several names"), "{ran:?}");
    assert_eq!(tree.text(&names[0]), OLD);
    assert_ne!(tree.text(&names[1]), OLD);
    Ok(())
}

#[test]
fn a_limit_is_a_date_a_time_or_how_long_ago() -> Result<(), Failure> {
    let (tree, _) = old_files(1)?;
    for (limit, code) in [
        ("2026-11-21", 0),
        ("2026-11-22", 2),
        ("2026-11-21T10:17:11Z", 0),
        (AFTER_OLD, 2),
        ("2026-11-21T12:17:12+02:00", 2),
        ("1000000h", 0),
        ("100y", 0),
        ("-1d", 1),
        ("soon", 1),
    ] {
        let limit = format!("--older-than={limit}");
        let ran = run(tree.call(&["rotate", "--dry-run", &limit, "old"]));
        assert_eq!(ran.code, Some(code), "{limit}: {ran:?}");
    }
    Ok(())
}
