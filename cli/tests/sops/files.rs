//! How files are found, read several at a time, and replaced.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;
use waxwing_harness::{Call, Tools};

use crate::stage::{PLAIN, Program, Stage, ours};

#[test]
fn a_file_opens_as_with_sops_from_a_folder_that_is_gone() {
    let stage = Stage::new();
    let folder = TempDir::new().unwrap();
    for name in ["key.txt", "sealed.yaml"] {
        fs::write(folder.path().join(name), &stage.files[name]).unwrap();
    }
    let path = |name: &str| folder.path().join(name);
    for program in [Tools::locate().unwrap().path("sops").unwrap(), ours(folder.path())] {
        let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" decrypt \"$1\"";
        let call = Call::new(Path::new("sh"), folder.path()).args(["-c", script]).dir(folder.path());
        let call = call.arg(&program).arg(path("sealed.yaml")).env("SOPS_AGE_KEY_FILE", path("key.txt"));
        let finished = call.run().unwrap();
        assert_eq!(finished.status.code(), Some(0), "{}: {}", program.display(), finished.stderr);
        assert_eq!(String::from_utf8_lossy(&finished.stdout), PLAIN);
    }
}

#[test]
fn a_file_that_is_replaced_keeps_its_permissions_its_links_and_its_other_names() {
    let stage = Stage::new();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("key.txt"), &stage.files["key.txt"]).unwrap();
    let program = ours(folder.path());
    let path = |name: &str| folder.path().join(name);
    let set = |name: &str| {
        let call = Call::new(&program, folder.path()).args(["set", name, "[\"user\"]", "\"x\""]).dir(folder.path());
        let finished = call.env("SOPS_AGE_KEY_FILE", "key.txt").run().unwrap();
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    };
    fs::write(path("a.yaml"), &stage.files["sealed.yaml"]).unwrap();
    fs::set_permissions(path("a.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a.yaml", path("link.yaml")).unwrap();
    set("link.yaml");
    assert!(path("link.yaml").is_symlink());
    assert_eq!(fs::metadata(path("a.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    fs::hard_link(path("a.yaml"), path("other.yaml")).unwrap();
    let before = fs::read(path("a.yaml")).unwrap();
    set("other.yaml");
    assert_ne!(fs::read(path("a.yaml")).unwrap(), before);
    assert_eq!(fs::read(path("a.yaml")).unwrap(), fs::read(path("other.yaml")).unwrap());
}

#[test]
fn a_file_that_can_not_be_replaced_as_a_whole_is_written_over() {
    let stage = Stage::new();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("key.txt"), &stage.files["key.txt"]).unwrap();
    let program = ours(folder.path());
    let set = "exec \"$0\" set kept/a.yaml '[\"user\"]' '\"root\"'";
    // Who has no name in a user namespace has no way around permissions there, not even as root.
    for (flags, before, mode) in [
        (&["--user"][..], "! touch kept/b 2> /dev/null", 0o555),
        (&["--mount", "--map-root-user"], "mount --bind kept/a.yaml kept/a.yaml", 0o755),
    ] {
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        let file = kept.join("a.yaml");
        fs::write(&file, &stage.files["sealed.yaml"]).unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        fs::set_permissions(&kept, fs::Permissions::from_mode(mode)).unwrap();
        let call = Call::new(Path::new("unshare"), folder.path()).args(flags).args(["sh", "-c"]).dir(folder.path());
        let call = call.arg(format!("{before} && {set}")).arg(&program).env("SOPS_AGE_KEY_FILE", "key.txt");
        let finished = call.run().unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(finished.status.code(), Some(0), "{flags:?}: {}", finished.stderr);
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
        assert_eq!(fs::read_dir(&kept).unwrap().count(), 1);
        let opened = stage.opened(folder.path(), "kept/a.yaml").unwrap();
        assert_eq!(String::from_utf8(opened).unwrap(), PLAIN.replace("admin", "root"));
        fs::remove_dir_all(&kept).unwrap();
    }
}

#[test]
fn several_files_are_opened_in_one_go_or_none_is() {
    let stage = Stage::new();
    let single = |name: &str| String::from_utf8(stage.call(Program::Theirs, &["decrypt", name]).1.stdout).unwrap();
    let (yaml, json, env) = (single("sealed.yaml"), single("sealed.json"), single("sealed.env"));
    for older in [&["-d"][..], &["decrypt"]] {
        let (_, ran) = stage.call(Program::Ours, &[older, &["sealed.yaml", "sealed.yaml", "sealed.env"]].concat());
        let printed = String::from_utf8(ran.stdout).unwrap();
        assert_eq!((ran.status.code(), printed), (Some(0), format!("{yaml}---\n{yaml}{env}")));
    }
    let (folder, ran) = stage.call(Program::Ours, &["decrypt", "--in-place", "sealed.yaml", "sealed.json"]);
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(0), 0));
    let left = |folder: &TempDir, name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!((left(&folder, "sealed.yaml"), left(&folder, "sealed.json")), (yaml, json));

    for words in [&["decrypt"][..], &["decrypt", "--in-place"]] {
        let files = ["sealed.yaml", "tampered.yaml", "sealed.json", "none.yaml"];
        let (folder, ran) = stage.call(Program::Ours, &[words, &files].concat());
        assert_eq!((ran.status.code(), ran.stdout.len()), (Some(1), 0));
        assert!(left(&folder, "sealed.yaml").contains("ENC["), "nothing is written where one is refused");
        insta::assert_snapshot!("what is said where two of several files fail", ran.stderr);
    }
    for (words, code) in [(["-e", "plain.yaml", "plain.json"], 1), (["decrypt", "sealed.yaml", "sealed.json"], 8)] {
        let output: &[&str] = if code == 8 { &["--output", "out"] } else { &[] };
        let (_, ran) = stage.call(Program::Ours, &[&words, output].concat());
        assert_eq!((ran.status.code(), ran.stdout.len()), (Some(code), 0), "{}", ran.stderr);
    }
}
