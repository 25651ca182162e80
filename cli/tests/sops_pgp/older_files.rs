//! Files of older versions of sops: they open as with the sops of today, and are sealed anew so that it opens them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use tempfile::TempDir;

use crate::{BOTH, Desk, Program, fixture};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn files_of_the_sops_that_was_written_in_python_open_and_are_sealed_anew_as_by_sops() {
    let desk = Desk::new();
    let import = desk.gnupg.gpg(&["--import"]).unwrap().stdin(fixture("rsa.asc"));
    assert!(import.run().unwrap().status.success());
    let old = |name: &str| fs::read(folder("sops-1.18").join(name)).unwrap();
    for ending in ["yaml", "json", "txt", "bin"] {
        let (sealed, plain) = (format!("sealed.{ending}"), old(&format!("plain.{ending}")));
        desk.write(&sealed, old(&sealed));
        let [theirs, ours] = BOTH.map(|program| desk.run(program, &["decrypt", &sealed]));
        assert!(ours.status.success(), "{ending}: {}", ours.stderr);
        match ending {
            "yaml" | "json" => assert_eq!(String::from_utf8(ours.stdout), String::from_utf8(theirs.stdout)),
            // Bytes have a type of their own in these, over which the sops of today breaks down.
            _ => assert!(
                ours.stdout == plain && theirs.stderr.contains("unhashable type"),
                "{ending}: {}",
                theirs.stderr
            ),
        }
        let opened = desk.run(Program::Ours, &["decrypt", &sealed]).stdout;
        desk.text(Program::Ours, &["rotate", "-i", &sealed]);
        for program in BOTH {
            assert_eq!(desk.run(program, &["decrypt", &sealed]).stdout, opened, "{ending}: {program:?}");
        }
    }
    // Before, the version was written without quotes. That of sops 1.0 becomes 1, which the sops of today takes for none.
    for (version, opened) in [("1.7", &BOTH[..]), ("1.0", &[Program::Ours])] {
        let sealed = text(&old("sealed.yaml")).replace("version: '1.18'", &format!("version: {version}"));
        desk.write("number.yaml", sealed);
        for program in opened {
            assert_eq!(
                desk.text(*program, &["decrypt", "number.yaml"]),
                desk.text(Program::Ours, &["decrypt", "sealed.yaml"])
            );
        }
        desk.text(Program::Ours, &["unset", "number.yaml", "[\"user\"]"]);
        desk.text(Program::Theirs, &["decrypt", "number.yaml"]);
    }
}

/// A file that a version of sops 3 sealed.
struct Sealed {
    /// Such as `3.5.0/sealed.yaml`.
    name: String,
    /// What it opens to.
    plain: String,
}

/// Returns the files of `fixtures/sops-3`, in the order of their names.
fn sealed_by_sops_3() -> Vec<Sealed> {
    let folder = folder("sops-3");
    let names = |path: &Path| {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<BTreeSet<String>>()
    };
    let versions = names(&folder).into_iter().filter(|name| folder.join(name).is_dir());
    let files = versions.flat_map(|version| {
        let files = names(&folder.join(&version));
        files.into_iter().map(move |file| (version.clone(), file))
    });
    let read = |(version, file): (String, String)| {
        // Until 3.6 comments went elsewhere when a file was sealed.
        let is_early = ["3.3.", "3.4.", "3.5.", "3.6."].iter().any(|early| version.starts_with(early));
        let plain = match file.rsplit_once('.').unwrap().1 {
            "yaml" if is_early => "opened-3.3.yaml".to_owned(),
            "yaml" => "opened-3.7.yaml".to_owned(),
            ending => format!("plain.{ending}"),
        };
        Sealed { plain: text(&fs::read(folder.join(plain)).unwrap()), name: format!("{version}/{file}") }
    };
    files.map(read).collect()
}

/// Bytes as letters of the same numbers, so that those of a binary file can be compared and shown too.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Keyrings of the older form, in which all that is needed is found without gpg.
fn keyrings(desk: &Desk) -> TempDir {
    for key in ["rsa.asc", "other.asc"] {
        let import = desk.gnupg.gpg(&["--import"]).unwrap().stdin(fixture(key)).run().unwrap();
        assert!(import.status.success(), "{}", import.stderr);
    }
    let rings = TempDir::new().unwrap();
    for (ring, export) in [("secring.gpg", "--export-secret-keys"), ("pubring.gpg", "--export")] {
        fs::write(rings.path().join(ring), desk.gnupg.gpg(&[export]).unwrap().run().unwrap().stdout).unwrap();
    }
    rings
}

#[test]
fn files_of_each_version_of_sops_3_open_and_keep_what_did_not_change_when_they_are_edited() {
    let desk = Desk::new();
    let rings = keyrings(&desk);
    let age = folder("../../../crates/keys/tests/fixtures/age/throw-away.txt");
    let run = |program: Program, words: &[&str]| {
        let call = desk.call(program, words).env("GNUPGHOME", rings.path()).env("SOPS_GPG_EXEC", "/none/gpg");
        let finished = call.env("SOPS_AGE_KEY_FILE", &age).run().unwrap();
        assert!(finished.status.success(), "{program:?} {words:?}: {}", finished.stderr);
        text(&finished.stdout)
    };
    let files = sealed_by_sops_3();
    let versions: BTreeSet<&str> = files.iter().map(|file| file.name.split_once('/').unwrap().0).collect();
    assert!(versions.len() >= 10, "{versions:?}");
    for Sealed { name, .. } in &files {
        fs::create_dir_all(desk.path(name).parent().unwrap()).unwrap();
        fs::copy(folder("sops-3").join(name), desk.path(name)).unwrap();
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    // In one go, where what is YAML begins a document of its own.
    let opened = run(Program::Ours, &[&["decrypt"], &names[..]].concat());
    let left = files.iter().fold(opened.as_str(), |rest, Sealed { name, plain }| {
        let rest = if name.ends_with(".yaml") { rest.strip_prefix("---\n").unwrap_or(rest) } else { rest };
        rest.strip_prefix(plain.as_str()).unwrap_or_else(|| panic!("{name}: {rest:.999}"))
    });
    assert_eq!(left, "");
    for Sealed { name, plain } in &files {
        // What the others are made of, sops shows below.
        if name.ends_with(".yaml") {
            assert_eq!(&run(Program::Theirs, &["decrypt", name]), plain, "{name}");
        }
        let before = fs::read_to_string(desk.path(name)).unwrap();
        let changed = match name.rsplit_once('.').unwrap().1 {
            "yaml" | "env" => Some("[\"changed\"]"),
            "json" => Some("[\"changed_secret\"]"),
            "ini" => Some("[\"database\"][\"changed\"]"),
            _ => None,
        };
        match changed {
            Some(path) => run(Program::Ours, &["set", name, path, "\"after\""]),
            None => run(Program::Ours, &["rotate", "-i", name]),
        };
        let kept = tokens(&before).intersection(&tokens(&fs::read_to_string(desk.path(name)).unwrap())).count();
        // The value that was changed, and the code over all of them.
        assert_eq!(kept, if changed.is_some() { tokens(&before).len() - 2 } else { 0 }, "{name}");
        let wanted = plain.replacen("before", "after", 1);
        assert_eq!(run(Program::Theirs, &["decrypt", name]), wanted, "{name}");
    }
}

/// Returns the ciphertexts in a file.
fn tokens(sealed: &str) -> BTreeSet<String> {
    let token = Regex::new(r"ENC\[[^\]]*\]").unwrap();
    token.find_iter(sealed).map(|found| found.as_str().to_owned()).collect()
}
