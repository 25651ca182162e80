//! Who can open a file: `updatekeys`.

use std::collections::BTreeMap;
use std::fs;

use crate::stage::{Program, Stage, files};

#[test]
fn updatekeys_gives_files_the_recipients_of_the_rules_and_leaves_their_values() {
    let stage = Stage::new();
    let words = ["--config", "rules.yaml", "encrypt", "--age", "OWN", "-i", "both/db.yaml"];
    let (folder, _) = stage.call(Program::Theirs, &words);
    let mut stage = stage;
    let sealed = fs::read(folder.path().join("both/db.yaml")).unwrap();
    stage.files.insert("both/db.yaml".to_owned(), sealed.clone());
    let mut left: Vec<(Option<i32>, BTreeMap<String, String>)> = Vec::new();
    for program in [Program::Theirs, Program::Ours] {
        let (folder, finished) = stage
            .call(program, &["--config", "rules.yaml", "updatekeys", "--input-type", "yaml", "--yes", "both/db.yaml"]);
        left.push((finished.status.code(), files(folder.path())));
        let after = fs::read_to_string(folder.path().join("both/db.yaml")).unwrap();
        assert!(after.contains(&stage.other.recipient), "{after}");
        let tokens = |text: &str| {
            text.split("ENC[").skip(1).map(|rest| rest[..rest.find(']').unwrap()].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tokens(&after), tokens(&String::from_utf8_lossy(&sealed)));
        assert!(stage.opened(folder.path(), "both/db.yaml").is_some());
    }
    assert_eq!(left[0], left[1]);
    let words = ["--config", "rules.yaml", "updatekeys", "both/db.yaml"];
    for (answer, code) in [("y\n", 0), ("what\nn\n", 0), ("", 1)] {
        let (folder, finished) = stage.call_with(Program::Ours, &words, answer, &[]);
        assert_eq!(finished.status.code(), Some(code), "{}", finished.stderr);
        let after = fs::read_to_string(folder.path().join("both/db.yaml")).unwrap();
        assert_eq!(after.contains(&stage.other.recipient), answer == "y\n");
        if answer == "y\n" {
            leaves_what_is_up_to_date(&stage, &words, after);
        }
    }
}

fn leaves_what_is_up_to_date(stage: &Stage, words: &[&str], text: String) {
    let mut stage = stage.clone();
    stage.files.insert("both/db.yaml".to_owned(), text.clone().into_bytes());
    let (folder, finished) = stage.call(Program::Ours, words);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert_eq!(finished.stderr, "note: both/db.yaml has the recipients of the configuration already\n");
    assert_eq!(fs::read_to_string(folder.path().join("both/db.yaml")).unwrap(), text);
}
