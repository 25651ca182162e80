//! Commands that are run with what was opened, and where it lies meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use waxwing_harness::Call;

use crate::stage::{Program, Stage, ours};

#[test]
fn a_command_in_the_background_goes_on_when_sops_has_ended() {
    let stage = Stage::new();
    let folder = TempDir::new().unwrap();
    for name in ["key.txt", "sealed.env"] {
        fs::write(folder.path().join(name), &stage.files[name]).unwrap();
    }
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let words = ["exec-env", "--background", "sealed.env", "echo $USER > pipe"];
    let call = Call::new(&ours(folder.path()), folder.path()).args(words).dir(folder.path());
    let finished = call.env("SOPS_AGE_KEY_FILE", "key.txt").run().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let read = Command::new("timeout").args(["30", "cat"]).arg(folder.path().join("pipe")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "admin\n");
}

#[test]
fn plain_text_lies_where_the_user_has_memory_of_his_own_or_else_in_that_of_all() {
    let stage = Stage::new();
    let own = TempDir::new().unwrap();
    let own = own.path().to_str().unwrap();
    // Not even root can make a folder in the last two.
    for (runtime, place) in [(own, own), ("/none", "/dev/shm"), ("/dev/null", "/dev/shm"), ("/proc", "/dev/shm")] {
        let words = ["exec-file", "--no-fifo", "sealed.yaml", "echo {}"];
        let (_, finished) = stage.call_with(Program::Ours, &words, "", &[("XDG_RUNTIME_DIR", runtime)]);
        assert_eq!(finished.status.code(), Some(0), "{runtime}: {}", finished.stderr);
        let seen = String::from_utf8(finished.stdout).unwrap();
        assert!(seen.starts_with(&format!("{place}/seal-")), "{runtime}: {seen}");
    }
}

#[test]
fn a_completion_script_is_printed_for_the_name_of_sops() {
    let stage = Stage::new();
    for shell in ["bash", "zsh"] {
        let (_, finished) = stage.call(Program::Ours, &["completion", shell]);
        let script = String::from_utf8(finished.stdout).unwrap();
        assert!(script.contains("sops") && script.contains("updatekeys"), "{shell}: {script}");
    }
}

#[test]
fn a_file_for_a_command_is_private_and_gone_afterwards_however_it_ends() {
    let stage = Stage::new();
    for (flags, then, code) in [
        (&["--no-fifo"][..], "exit 0", 0),
        (&["--no-fifo"], "exit 9", 9),
        (&["--no-fifo"], "kill -KILL $$", 255),
        (&["--no-fifo"], "kill -TERM $PPID; exec sleep 60", 85),
        (&[], "cat {} > /dev/null", 0),
        (&[], "exit 0", 0),
        (&[], "kill -TERM $PPID; exec sleep 60", 85),
    ] {
        let command = format!("stat -c %a {{}} $(dirname {{}}) > seen; echo {{}} >> seen; {then}");
        let (folder, finished) =
            stage.call(Program::Ours, &[&["exec-file"], flags, &["sealed.yaml", &command]].concat());
        assert_eq!(finished.status.code(), Some(code), "{then}: {}", finished.stderr);
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[..2], ["600", "700"]);
        assert!(lines[2].starts_with("/dev/shm/") && lines[2].ends_with("/tmp-file"), "{seen}");
        assert!(!Path::new(lines[2]).parent().unwrap().exists());
    }
}
