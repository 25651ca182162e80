//! That no flag of sops is missing in the tests and on its page: its own help says which there are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stage::{Program, Stage};

const COMMANDS: &[&str] = &[
    "completion",
    "exec-env",
    "exec-file",
    "publish",
    "keyservice",
    "filestatus",
    "groups add",
    "groups delete",
    "updatekeys",
    "decrypt",
    "encrypt",
    "rotate",
    "edit",
    "set",
    "unset",
];

/// What stands in the tests of key services for both flags that name one.
const BOTH_FLAGS: (&str, [&str; 2]) = ("@", ["--keyservice", "--enable-local-keyservice"]);

#[test]
fn every_flag_of_every_command_of_sops_is_in_a_call_of_these_tests_and_written_about() {
    let stage = Stage::new();
    let calls: Vec<Vec<String>> = sources(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))
        .iter()
        .flat_map(|path| lists(&fs::read_to_string(path).unwrap()))
        .collect();
    assert!(calls.len() > 200);
    let page = include_str!("../../../docs/from-sops.md");
    let mut missing = Vec::new();
    for command in [""].iter().chain(COMMANDS) {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = String::from_utf8(stage.call(Program::Theirs, &words).1.stdout).unwrap();
        let flags = flags(&help);
        assert!(!flags.is_empty(), "{command}: {help}");
        for names in flags.iter().filter(|names| !names.contains(&"--help".to_owned())) {
            if !calls.iter().any(|call| has(call, command, names)) {
                missing.push(format!("{command} {}", names.join(" ")));
            }
            if !names.iter().any(|name| page.contains(&format!("`{name}`"))) {
                missing.push(format!("docs/from-sops.md does not name {command} {}", names.join(" ")));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Returns for each flag of a help text its names.
fn flags(help: &str) -> Vec<Vec<String>> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    lines
        .map(|line| {
            let names = line.split("  ").next().unwrap().split(", ").filter_map(|name| name.split(' ').next());
            names.map(str::to_owned).collect()
        })
        .collect()
}

/// Tells whether a call is of this command, or of none, and has a flag. What stands before a command is a flag of none, too.
fn has(call: &[String], command: &str, names: &[String]) -> bool {
    let is_named = |word: &String| names.iter().any(|name| word == name || word.starts_with(&format!("{name}=")));
    let is_flag = |word: &String| {
        is_named(word) || word == BOTH_FLAGS.0 && names.iter().any(|name| BOTH_FLAGS.1.contains(&name.as_str()))
    };
    let words: Vec<&str> = command.split_whitespace().collect();
    let at = call.iter().position(|word| COMMANDS.iter().any(|one| one.split(' ').next() == Some(word)));
    match (at, words.first()) {
        (Some(at), None) => call[..at].iter().any(is_flag),
        (None, None) => call.iter().any(is_flag),
        (Some(at), Some(_)) => {
            words.iter().all(|word| call[at..].iter().any(|other| other == word))
                && call[at] == words[0]
                && call.iter().any(is_flag)
        }
        (None, Some(_)) => false,
    }
}

fn sources(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// Returns the texts in each list of a source file; those of the lists in it where they are put together (`.concat()`).
fn lists(source: &str) -> Vec<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![(Vec::new(), Vec::new())]);
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '"' => {
                let end = rest.char_indices().scan(false, |escaped, (at, letter)| {
                    let is_end = letter == '"' && !*escaped;
                    *escaped = letter == '\\' && !*escaped;
                    Some((at, is_end))
                });
                let end = end.filter(|(_, is_end)| *is_end).map(|(at, _)| at).next().unwrap_or(rest.len());
                open.last_mut().unwrap().0.push(rest[..end].replace("\\\"", "\""));
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            '/' if rest.starts_with('/') => rest = rest.find('\n').map_or("", |end| &rest[end..]),
            '\'' if rest.starts_with("\\'") => rest = &rest[2..],
            '\'' if rest.chars().nth(1) == Some('\'') => rest = &rest[rest.find('\'').unwrap() + 1..],
            '[' => open.push((Vec::new(), Vec::new())),
            ']' if open.len() > 1 => {
                let (own, inner): (Vec<String>, Vec<String>) = open.pop().unwrap();
                let all = [own.clone(), inner].concat();
                found.push(if rest.starts_with(".concat()") { all.clone() } else { own });
                open.last_mut().unwrap().1.extend(all);
            }
            _ => {}
        }
    }
    found
}
