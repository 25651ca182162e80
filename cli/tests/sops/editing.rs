//! `edit`, and the values that `set` sets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use waxwing_harness::Finished;

use crate::stage::{PLAIN, Program, Stage, ours};

#[test]
fn an_editor_that_writes_what_can_not_be_sealed_is_run_again_if_somebody_wants_that() {
    let mut stage = Stage::new();
    let script = "#!/bin/sh\nif [ -e again ]; then sed -i 's/^user admin/user: root/' \"$1\"; else touch again; sed -i s/user:/user/ \"$1\"; fi\n";
    stage.files.insert("edit.sh".to_owned(), script.as_bytes().to_vec());
    for (answer, code, user) in [("\n", 0, "root"), ("", 2, "admin")] {
        let (folder, finished) =
            stage.call_with(Program::Ours, &["edit", "sealed.yaml"], answer, &[("EDITOR", "./edit.sh")]);
        assert_eq!(finished.status.code(), Some(code), "{}", finished.stderr);
        let opened = String::from_utf8(stage.opened(folder.path(), "sealed.yaml").unwrap()).unwrap();
        assert_eq!(opened, PLAIN.replace("admin", user));
    }
}

/// Edits a file whose metadata the editor shows.
fn edited(stage: &Stage, file: &str, script: &str) -> (TempDir, Finished) {
    let mut stage = stage.clone();
    stage.files.insert("edit.sh".to_owned(), stage.filled(&format!("#!/bin/sh\n{script}\n")).into_bytes());
    stage.call_with(Program::Ours, &["edit", "-s", "--age", "OWN", file], "", &[("EDITOR", "./edit.sh")])
}

/// Opens a file with the real sops and another key than one's own.
fn opened_by_other(stage: &Stage, folder: &Path, name: &str) -> Option<String> {
    let call = stage.upstream.sops(&["decrypt", name]).unwrap().dir(folder);
    let finished = call.env("SOPS_AGE_KEY_FILE", folder.join("other.txt")).run().unwrap();
    finished.status.success().then(|| String::from_utf8(finished.stdout).unwrap())
}

#[test]
fn what_is_changed_in_the_metadata_in_the_editor_is_taken_over() {
    let stage = Stage::new();
    let own =
        |folder: &TempDir, name: &str| stage.opened(folder.path(), name).map(|text| String::from_utf8(text).unwrap());
    let add = "sed -i -e 's/^    age:/    age:\\n        - recipient: OTHER/' -e s/admin/root/ \"$1\"";
    let (folder, finished) = edited(&stage, "sealed.yaml", add);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let text = Some(PLAIN.replace("admin", "root"));
    assert_eq!(
        (own(&folder, "sealed.yaml"), opened_by_other(&stage, folder.path(), "sealed.yaml")),
        (text.clone(), text)
    );
    let wrapped = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.split("ENCRYPTED FILE-----").map(str::to_owned).collect::<Vec<_>>()
    };
    let after = wrapped(&fs::read(folder.path().join("sealed.yaml")).unwrap());
    assert!(after.contains(&wrapped(&stage.files["sealed.yaml"])[1]), "who had the key keeps it as it was wrapped");

    let (folder, finished) = edited(&stage, "sealed.yaml", "sed -i s/OWN/OTHER/ \"$1\"");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert_eq!(own(&folder, "sealed.yaml"), None);
    assert_eq!(opened_by_other(&stage, folder.path(), "sealed.yaml").as_deref(), Some(PLAIN));

    let (folder, _) = edited(&stage, "sealed.yaml", "sed -i 's/unencrypted_suffix: .*/encrypted_regex: ^pass/' \"$1\"");
    assert_eq!(own(&folder, "sealed.yaml").as_deref(), Some(PLAIN));
    assert!(fs::read_to_string(folder.path().join("sealed.yaml")).unwrap().contains("user: admin\n"));

    let (folder, _) = edited(&stage, "three.yaml", "sed -i 's/shamir_threshold: 2/shamir_threshold: 3/' \"$1\"");
    assert_eq!(own(&folder, "three.yaml"), None, "the shares are those of another polynomial");
    let both = [stage.files["key.txt"].as_slice(), &stage.files["other.txt"]].concat();
    fs::write(folder.path().join("key.txt"), both).unwrap();
    assert_eq!(own(&folder, "three.yaml").as_deref(), Some(PLAIN));

    let (folder, finished) = edited(&stage, "new.yaml", "sed -i 's/something/hunter2/' \"$1\"");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(own(&folder, "new.yaml").unwrap().ends_with("password: hunter2\n"));
}

#[test]
fn metadata_that_nobody_could_open_a_file_with_are_not_taken_over() {
    let stage = Stage::new();
    for (script, code) in [
        ("sed -i 's/^    age:/    pgp:/' \"$1\"", 2),
        ("sed -i '/^    age:/,/recipient/d' \"$1\"", 2),
        ("sed -i 's/recipient: .*/recipient: nobody/' \"$1\"", 1),
        ("sed -i '/^sops:/,$d' \"$1\"", 2),
    ] {
        let (folder, finished) = edited(&stage, "sealed.yaml", script);
        assert_eq!(finished.status.code(), Some(code), "{script}: {}", finished.stderr);
        assert_eq!(fs::read(folder.path().join("sealed.yaml")).unwrap(), stage.files["sealed.yaml"]);
    }
}

#[test]
fn integers_that_are_set_stay_integers() {
    let stage = Stage::new();
    for number in ["-5", "1000000"] {
        let (folder, finished) = stage.call(Program::Ours, &["set", "sealed.yaml", "[\"new\"]", number]);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        let opened = String::from_utf8(stage.opened(folder.path(), "sealed.yaml").unwrap()).unwrap();
        assert!(opened.ends_with(&format!("new: {number}\n")), "{opened}");
    }
}

#[test]
fn whoever_waits_for_an_answer_hears_of_requests_to_end_and_leaves_nothing() {
    let stage = Stage::new();
    let folder = TempDir::new().unwrap();
    for name in ["key.txt", "sealed.yaml"] {
        fs::write(folder.path().join(name), &stage.files[name]).unwrap();
    }
    let script = folder.path().join("edit.sh");
    fs::write(&script, "#!/bin/sh\ndirname \"$1\" > seen\necho 'a: [' > \"$1\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let program = ours(folder.path());
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut child = Command::new(&program)
            .args(["edit", "sealed.yaml"])
            .current_dir(folder.path())
            .envs([("SOPS_AGE_KEY_FILE", "key.txt"), ("EDITOR", "./edit.sh")])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(told.by_ref().any(|line| line.unwrap().contains("press Enter")));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(2), "{signal}");
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        assert!(!Path::new(seen.trim()).exists());
        assert_eq!(fs::read(folder.path().join("sealed.yaml")).unwrap(), stage.files["sealed.yaml"]);
    }
}

#[test]
fn an_edited_text_stands_in_a_private_folder_that_is_gone_afterwards() {
    let look = "#!/bin/sh\nstat -c '%a' \"$1\" \"$(dirname \"$1\")\" > seen\necho \"$1\" >> seen\n";
    for (then, code, is_edited) in [
        ("sed -i s/admin/root/ \"$1\"\n", 0, true),
        ("kill -TERM $PPID\nexec sleep 60\n", 85, false),
        ("kill -HUP $PPID\nexec sleep 60\n", 85, false),
        ("kill -INT $PPID\nsed -i s/admin/root/ \"$1\"\n", 0, true),
    ] {
        let mut stage = Stage::new();
        stage.files.insert("edit.sh".to_owned(), format!("{look}{then}").into_bytes());
        let variables = [("EDITOR", "./edit.sh")];
        let (folder, finished) = stage.call_with(Program::Ours, &["edit", "sealed.yaml"], "", &variables);
        assert_eq!(finished.status.code(), Some(code), "{then}{}", finished.stderr);
        let left = fs::read(folder.path().join("sealed.yaml")).unwrap();
        assert_eq!(left != stage.files["sealed.yaml"], is_edited);
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[..2], ["600", "700"]);
        assert!(lines[2].starts_with("/dev/shm/") && lines[2].ends_with("/sealed.yaml"), "{seen}");
        assert!(!Path::new(lines[2]).parent().unwrap().exists());
    }
}
