//! `docs/cli-reference.md`: the help text of every command, as the program prints it.
//!
//! The page is also the snapshot of these texts. `make generate` runs this test with `WAXWING_GENERATE` set, and then it
//! writes the page; without it the page must be what the program says.

#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::path::Path;

use support::Folder;

const INTRODUCTION: &str = "\
<!-- Generated from cli/src by `make generate`. Do not edit. -->
# `seal`

Seals secrets so that they can be committed. Every command with its flags, as `--help` prints them.
";

const COMMANDS: [&[&str]; 37] = [
    &[],
    &["cert"],
    &["new"],
    &["plan"],
    &["verify"],
    &["audit"],
    &["audit", "recipients"],
    &["refs"],
    &["refs", "list"],
    &["refs", "check"],
    &["run"],
    &["edit"],
    &["rotate"],
    &["keys"],
    &["keys", "list"],
    &["keys", "backup"],
    &["keys", "restore"],
    &["keys", "retire"],
    &["sops"],
    &["sops", "encrypt"],
    &["sops", "decrypt"],
    &["sops", "edit"],
    &["sops", "set"],
    &["sops", "unset"],
    &["sops", "rotate"],
    &["sops", "updatekeys"],
    &["sops", "groups"],
    &["sops", "groups", "add"],
    &["sops", "groups", "delete"],
    &["sops", "exec-env"],
    &["sops", "exec-file"],
    &["sops", "publish"],
    &["sops", "keyservice"],
    &["sops", "filestatus"],
    &["sops", "completion"],
    &["kubeseal"],
    &["completion"],
];

#[test]
fn the_cli_reference_is_what_the_program_prints() {
    let folder = Folder::new();
    let mut page = INTRODUCTION.to_owned();
    for command in COMMANDS {
        let name = [&["seal"], command].concat().join(" ");
        let help = folder.seal(&[command, &["--help"]].concat(), "").stdout;
        let trimmed: Vec<_> = help.lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", trimmed.join("\n")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli-reference.md");
    if std::env::var_os("WAXWING_GENERATE").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let actual = fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == page, "docs/cli-reference.md is stale: run `make generate`");
}

#[test]
fn every_command_is_in_the_reference() {
    for (above, depth) in
        [(&[][..], 0), (&["audit"], 1), (&["refs"], 1), (&["keys"], 1), (&["sops"], 1), (&["sops", "groups"], 2)]
    {
        let help = Folder::new().seal(&[above, &["--help"]].concat(), "").stdout;
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let listed: Vec<_> = listed.filter_map(|line| line.split_whitespace().next()).collect();
        let below = COMMANDS.iter().filter(|command| command.starts_with(above));
        let mut written: Vec<_> = below.filter_map(|command| command.get(depth).copied()).collect();
        written.dedup();
        assert_eq!(listed, written);
    }
}
