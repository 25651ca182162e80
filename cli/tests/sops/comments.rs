//! Comments that stay where they stand, where sops moves them or prints what it sealed them to: rows of the list in docs/from-sops.md.

use std::fs;

use crate::stage::Program::{Ours, Theirs};
use crate::stage::Stage;

/// Opens a file of the stage with a program.
fn opened(stage: &Stage, program: crate::stage::Program, name: &str) -> String {
    let finished = stage.call(program, &["decrypt", name]).1;
    assert!(finished.status.success(), "{}", finished.stderr);
    String::from_utf8(finished.stdout).unwrap()
}

/// Seals a text with the real sops, and puts it among the files of the stage.
fn sealed(stage: &mut Stage, text: &str, words: &[&str]) -> String {
    stage.files.insert("commented.yaml".to_owned(), text.as_bytes().to_vec());
    let recipient = stage.own.recipient.clone();
    let words = [words, &["encrypt", "--age", &recipient, "commented.yaml"]].concat();
    let finished = stage.call(Theirs, &words).1;
    assert!(finished.status.success(), "{}", finished.stderr);
    stage.files.insert("commented.yaml".to_owned(), finished.stdout.clone());
    String::from_utf8(finished.stdout).unwrap()
}

/// sops seals the comment for the keys of `a`, and reads it as one of `b` in what it wrote itself.
#[test]
fn a_sealed_comment_that_sops_looks_for_under_other_keys_is_read_and_kept_where_it_is() {
    let mut stage = Stage::new();
    let text = "a:\n    b:\n        c: v\n    # hunter2\n";
    let before = sealed(&mut stage, text, &[]);
    let theirs = opened(&stage, Theirs, "commented.yaml");
    assert!(theirs.contains("#ENC[") && !theirs.contains("hunter2"), "{theirs}");
    assert_eq!(opened(&stage, Ours, "commented.yaml"), text);

    let (folder, finished) = stage.call(Ours, &["set", "commented.yaml", "[\"a\"][\"b\"][\"c\"]", "\"w\""]);
    assert!(finished.status.success(), "{}", finished.stderr);
    let after = fs::read_to_string(folder.path().join("commented.yaml")).unwrap();
    let comment = |text: &str| text.lines().find(|line| line.contains("#ENC[")).map(str::to_owned);
    assert_eq!((comment(&after), comment(&after).is_some()), (comment(&before), true), "{after}");
    stage.files.insert("commented.yaml".to_owned(), after.into_bytes());
    assert_eq!(opened(&stage, Ours, "commented.yaml"), text.replace(": v", ": w"));
}

/// Behind a value, a key and a comment that is an item of a list: sealed or not.
#[test]
fn a_comment_that_somebody_adds_in_the_clear_behind_anything_is_where_sops_has_it() {
    let mut stage = Stage::new();
    let text = "a:\n    # mark\n    - x\n    - y\nb:\n    c: hunter2\n    d: 1\n";
    for words in [&[][..], &["--encrypted-comment-regex", "mark"], &["--unencrypted-comment-regex", "mark"]] {
        let sealed = sealed(&mut stage, text, words);
        let lines: Vec<&str> = sealed.lines().take_while(|line| *line != "sops:").collect();
        for at in 0..lines.len() {
            let note = |(line, text): (usize, &str)| format!("{text}{}\n", if line == at { " # note" } else { "" });
            let noted: String = sealed.lines().enumerate().map(note).collect();
            stage.files.insert("commented.yaml".to_owned(), noted.into_bytes());
            assert_eq!(
                opened(&stage, Ours, "commented.yaml"),
                opened(&stage, Theirs, "commented.yaml"),
                "{at}: {words:?}"
            );
        }
    }
}
