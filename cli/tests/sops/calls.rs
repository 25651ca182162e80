//! The table of calls that end alike, and that no flag is missing in it.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use crate::stage::{PLAIN, Program, Row, Stage, compare};

/// Calls that take nothing but their words.
const CALLS: &[&[&str]] = &[
    &["decrypt", "sealed.yaml"],
    &["decrypt", "sealed.json"],
    &["decrypt", "sealed.env"],
    &["decrypt", "sealed.ini"],
    &["decrypt", "sealed.bin"],
    &["-d", "sealed.yaml"],
    &["--decrypt", "sealed.json"],
    &["-d", "-i", "sealed.yaml"],
    &["decrypt", "--in-place", "sealed.env"],
    &["decrypt", "--output", "opened.yaml", "sealed.yaml"],
    &["decrypt", "--output-type", "json", "sealed.yaml"],
    &["decrypt", "--output-type", "yaml", "sealed.json"],
    &["decrypt", "--output-type", "dotenv", "sealed.env"],
    &["decrypt", "--output-type", "yaml", "sealed.ini"],
    &["decrypt", "--output-type", "json", "sealed.ini"],
    &["--indent", "2", "decrypt", "sealed.yaml"],
    &["--indent", "3", "decrypt", "sealed.json"],
    &["--config", "rules.yaml", "decrypt", "sealed.json"],
    &["decrypt", "--extract", "[\"user\"]", "sealed.yaml"],
    &["decrypt", "--extract", "['nested']['list'][1]", "sealed.yaml"],
    &["decrypt", "--extract", "[\"nested\"]", "sealed.yaml"],
    &["decrypt", "--extract", "[\"nested\"][\"list\"]", "sealed.yaml"],
    &["decrypt", "--extract", "[\"ports\"]", "sealed.json"],
    &["decrypt", "--extract", "[\"on\"]", "sealed.json"],
    &["-d", "--extract", "[\"password\"]", "sealed.yaml"],
    &["decrypt", "--extract", "[\"none\"]", "sealed.yaml"],
    &["decrypt", "--extract", "[none]", "sealed.yaml"],
    &["decrypt", "none.yaml"],
    &["decrypt", "plain.yaml"],
    &["decrypt", "empty.yaml"],
    &["decrypt", "tampered.yaml"],
    &["decrypt", "moved.yaml"],
    &["decrypt", "unsigned.yaml"],
    &["decrypt", "others.yaml"],
    &["encrypt", "--age", "OWN", "plain.yaml"],
    &["encrypt", "--age", "OWN,OTHER", "plain.json"],
    &["encrypt", "--age", "OWN", "plain.env"],
    &["encrypt", "--age", "OWN", "plain.ini"],
    &["encrypt", "--age", "OWN", "plain.bin"],
    &["-e", "-a", "OWN", "plain.yaml"],
    &["-e", "-i", "-a", "OWN", "plain.yaml"],
    &["encrypt", "-i", "--age", "OWN", "plain.json"],
    &["encrypt", "--age", "OWN", "--output", "new.yaml", "plain.yaml"],
    &["encrypt", "--age", "OWN", "--input-type", "yaml", "--output-type", "json", "plain.yaml"],
    &["encrypt", "--age", "OWN", "--encrypted-regex", "^pass", "plain.yaml"],
    &["encrypt", "--age", "OWN", "--unencrypted-regex", "^pass", "plain.yaml"],
    &["encrypt", "--age", "OWN", "--encrypted-suffix", "word", "plain.yaml"],
    &["encrypt", "--age", "OWN", "--unencrypted-suffix", "word", "plain.yaml"],
    &["encrypt", "--age", "OWN", "--unencrypted-suffix", "a", "--encrypted-suffix", "b", "plain.yaml"],
    &["--mac-only-encrypted", "encrypt", "--age", "OWN", "--encrypted-regex", "^pass", "plain.yaml"],
    &["--encrypted-comment-regex", "about", "--age", "OWN", "-e", "plain.yaml"],
    &["--unencrypted-comment-regex", "about", "--age", "OWN", "-e", "plain.yaml"],
    &["--indent", "2", "encrypt", "--age", "OWN", "plain.yaml"],
    &["--config", "rules.yaml", "encrypt", "secrets/db.yaml"],
    &["--config", "rules.yaml", "encrypt", "both/db.yaml"],
    &["--config", "rules.yaml", "encrypt", "-i", "shares/db.yaml"],
    &["--config", "rules.yaml", "encrypt", "plain.yaml"],
    &["--config", "rules.yaml", "encrypt", "--filename-override", "secrets/x.yaml", "plain.yaml"],
    &["encrypt", "plain.yaml"],
    &["encrypt", "none.yaml"],
    &["encrypt", "--age", "OWN", "sealed.yaml"],
    &["encrypt", "--age", "OWN", "empty.yaml"],
    &["encrypt", "--age", "OWN", "list.yaml"],
    &["set", "sealed.yaml", "[\"password\"]", "\"other\""],
    &["set", "sealed.yaml", "[\"nested\"][\"list\"][0]", "{\"a\": true}"],
    &["set", "sealed.yaml", "[\"new\"][\"deep\"]", "null"],
    &["set", "--idempotent", "sealed.yaml", "[\"user\"]", "\"admin\""],
    &["set", "--value-file", "sealed.json", "[\"user\"]", "new.json"],
    &["set", "sealed.env", "[\"USER\"]", "\"root\""],
    &["set", "sealed.yaml", "[\"user\"]", "not JSON"],
    &["--set", "[\"user\"] \"root\"", "sealed.yaml"],
    &["unset", "sealed.yaml", "[\"nested\"][\"list\"][0]"],
    &["unset", "sealed.yaml", "[\"none\"]"],
    &["unset", "--idempotent", "sealed.yaml", "[\"none\"]"],
    &["rotate", "sealed.yaml"],
    &["rotate", "-i", "sealed.json"],
    &["-r", "-i", "sealed.yaml"],
    &["rotate", "-i", "--add-age", "OTHER", "sealed.yaml"],
    &["rotate", "-i", "--add-age", "OTHER", "--rm-age", "OWN", "sealed.yaml"],
    &["rotate", "--rm-age", "OWN", "sealed.yaml"],
    &["rotate", "--add-age", "OTHER", "none.yaml"],
    &["filestatus", "sealed.yaml"],
    &["filestatus", "plain.yaml"],
    &["filestatus", "sealed.bin"],
    &["filestatus", "unsigned.yaml"],
    &["filestatus", "none.yaml"],
    &["--config", "rules.yaml", "encrypt", "both/../secrets/db.yaml"],
    &["--config", "both/../rules.yaml", "encrypt", "secrets/db.yaml"],
    &["--config", "", "decrypt", "sealed.yaml"],
    &["--config", "nulls.yaml", "decrypt", "sealed.yaml"],
    &["--config", "bad-path.yaml", "decrypt", "sealed.yaml"],
    &["--config", "pgp.yaml", "encrypt", "--age", "OWN", "plain.yaml"],
    &["encrypt", "--age", "OWN", "merge.yaml"],
    &["encrypt", "--age", "OWN", "merge.json"],
    &["set", "sealed.yaml", "[\"user\"]"],
    &["set", "sealed.yaml", "[\"sops\"]", "1"],
    &["set", "sealed.yaml", "\"hunter2\"", "[\"user\"]"],
    &["unset", "sealed.yaml", "user"],
    &["decrypt", "--decryption-order", "pgp,age", "sealed.yaml"],
    &["decrypt", "--decryption-order", "age,pgp,age", "sealed.yaml"],
    &["decrypt", "--enable-local-keyservice", "sealed.yaml"],
    &["decrypt", "--enable-local-keyservice=true", "sealed.yaml"],
    &["decrypt", "--enable-local-keyservice=false", "sealed.yaml"],
    &["exec-env", "sealed.env", "echo \"$USER, $TEXT\"; exit 7"],
    &["exec-env", "sealed.env", "test -n \"$PATH\" && echo \"$SOPS_AGE_KEY_FILE\""],
    &["exec-env", "--pristine", "sealed.env", "env | grep -v -e ^_ -e ^PWD | sort"],
    &["exec-env", "--same-process", "sealed.env", "echo $USER; exit 5"],
    &["exec-env", "sealed.yaml", "echo never"],
    &["exec-env", "others.yaml", "echo never"],
    &["exec-env", "sealed.env", "/none"],
    &["exec-file", "sealed.yaml", "cat {}; exit 3"],
    &["exec-file", "sealed.yaml", "basename {}; true"],
    &["exec-file", "--no-fifo", "--filename", "x.yaml", "sealed.yaml", "cat {} {}; basename {}; stat -c %a {}"],
    &["exec-file", "--output-type", "json", "sealed.yaml", "cat {}"],
    &["exec-file", "tampered.yaml", "echo never"],
    &["exec-file", "--input-type", "yaml", "sealed.yaml", "cat {}"],
    &["decrypt", "--extract", "[\"user\"]", "--output", "user.txt", "sealed.yaml"],
    &["decrypt", "--filename-override", "x.env", "sealed.env"],
    &["encrypt", "--age", "OWN", "--shamir-secret-sharing-threshold", "1", "plain.yaml"],
    &[
        "--config",
        "rules.yaml",
        "encrypt",
        "--shamir-secret-sharing-threshold",
        "2",
        "--filename-override",
        "three/x.yaml",
        "plain.yaml",
    ],
    &["set", "--input-type", "yaml", "--output-type", "yaml", "sealed.yaml", "[\"user\"]", "1.5"],
    &["unset", "--input-type", "yaml", "--output-type", "yaml", "sealed.yaml", "[\"user\"]"],
    &["rotate", "--input-type", "yaml", "--output-type", "json", "sealed.yaml"],
    &["rotate", "--output", "new.yaml", "sealed.yaml"],
    &["rotate", "--filename-override", "x.yaml", "sealed.yaml"],
    &["filestatus", "--input-type", "json", "sealed.bin"],
    &["--encrypt", "--age", "OWN", "plain.json"],
    &["--rotate", "--in-place", "--add-age", "OTHER", "sealed.env"],
    &["--disable-version-check", "--verbose", "decrypt", "sealed.yaml"],
    &["decrypt", "--ignore-mac", "tampered.yaml"],
    &["decrypt", "--ignore-mac", "unsigned.yaml"],
    &["decrypt", "--ignore-mac", "moved.yaml"],
    &["decrypt", "--ignore-mac", "others.yaml"],
    &["-d", "--ignore-mac", "tampered.yaml"],
    &["set", "--ignore-mac", "tampered.yaml", "[\"user\"]", "\"root\""],
    &["set", "tampered.yaml", "[\"user\"]", "\"root\""],
    &["--set", "[\"user\"] \"root\"", "--ignore-mac", "tampered.yaml"],
    &["unset", "--ignore-mac", "unsigned.yaml", "[\"user\"]"],
    &["unset", "tampered.yaml", "[\"user\"]"],
    &["rotate", "-i", "tampered.yaml"],
    &["-r", "-i", "--ignore-mac", "unsigned.yaml"],
    &["--config", "rules.yaml", "encrypt", "--filename-override", "quorum/x.yaml", "plain.yaml"],
    &["decrypt", "quorum.yaml"],
    &["decrypt", "three.yaml"],
    &["groups", "add", "--file", "sealed.yaml", "--age", "OTHER"],
    &["groups", "add", "-f", "sealed.yaml", "--age", "OTHER", "--in-place"],
    &[
        "groups",
        "add",
        "-f",
        "sealed.json",
        "-i",
        "--age",
        "OTHER",
        "--age",
        "OWN",
        "--shamir-secret-sharing-threshold",
        "2",
    ],
    &["groups", "add", "-f", "sealed.env", "-i", "--age", "OWN"],
    &["groups", "add", "-f", "sealed.ini", "-i", "--age", "OWN"],
    &["groups", "add", "-f", "sealed.bin", "-i", "--age", "OWN"],
    &["groups", "add", "-f", "three.yaml", "-i", "--age", "OTHER,OWN"],
    &["groups", "add", "-f", "three.yaml", "-i", "--shamir-secret-sharing-threshold", "3", "--age", "OWN"],
    &["groups", "add", "--age", "OWN"],
    &["groups", "add", "-f", "none.yaml", "--age", "OWN"],
    &["groups", "add", "-f", "others.yaml", "--age", "OWN"],
    &["groups", "add", "-f", "plain.yaml", "--age", "OWN"],
    &["groups", "add", "-f", "sealed.yaml", "--age", "OTHER", "stray"],
    &["groups", "delete", "-f", "three.yaml", "-i", "2"],
    &["groups", "delete", "-f", "three.yaml", "--shamir-secret-sharing-threshold", "2", "0"],
    &["groups", "delete", "-f", "three.yaml", "-i", "--shamir-secret-sharing-threshold", "3", "0"],
    &["groups", "delete", "-f", "quorum.yaml", "-i", "1"],
    &["groups", "delete", "-f", "quorum.yaml", "-i", "--shamir-secret-sharing-threshold", "1", "1"],
    &["groups", "delete", "-f", "three.yaml", "x"],
    &["groups", "delete", "-f", "three.yaml"],
    &["exec-env", "--user", "nobody", "sealed.env", "id -un; id -G; echo $HOME $LOGNAME $USER"],
    &["exec-env", "--pristine", "--user", "nobody", "sealed.env", "env | grep -v -e ^_ -e ^PWD | sort"],
    &["exec-env", "--same-process", "--user", "nobody", "sealed.env", "id -u; id -g"],
    &["exec-env", "--user", "no-such-user", "sealed.env", "echo never"],
    &["exec-env", "--user", "", "sealed.env", "id -un"],
    &["exec-env", "--background", "--same-process", "sealed.env", "echo never"],
    &["exec-env", "--background", "sealed.env", "echo never"],
    &["decrypt", "--enable-local-keyservice=false", "--keyservice", "unix:///none", "sealed.yaml"],
    &["decrypt", "--keyservice", "unix:///none", "sealed.yaml"],
    &["encrypt", "--enable-local-keyservice=false", "--age", "OWN", "plain.yaml"],
    &["encrypt", "--enable-local-keyservice=false", "--keyservice", "unix:///none", "--age", "OWN", "plain.yaml"],
    &["edit", "--enable-local-keyservice=false", "--age", "OWN", "new.yaml"],
    &["rotate", "--enable-local-keyservice=false", "sealed.yaml"],
    &["groups", "add", "--enable-local-keyservice=false", "-f", "sealed.yaml", "--age", "OWN"],
];

#[test]
fn the_same_calls_of_sops_and_of_ours_print_the_same_and_leave_the_same_files() {
    let stage = Stage::new();
    let mut rows: Vec<Row<'_>> = CALLS.iter().map(|words| Row { words, stdin: "", variables: &[] }).collect();
    let sealed = String::from_utf8(stage.files["sealed.yaml"].clone()).unwrap();
    for (words, stdin) in [
        (&["decrypt", "--input-type", "yaml", "--output-type", "yaml"][..], sealed.as_str()),
        (&["encrypt", "--age", "OWN", "--filename-override", "x.yaml"], PLAIN),
        (&["encrypt", "--age", "OWN"], PLAIN),
        (&["set", "--value-stdin", "sealed.yaml", "[\"user\"]"], "\"from standard input\""),
    ] {
        rows.push(Row { words, stdin, variables: &[] });
    }
    for (words, variables) in [
        (&["encrypt", "plain.yaml"][..], &[("SOPS_AGE_RECIPIENTS", "OWN")][..]),
        (&["encrypt", "secrets/db.yaml"], &[("SOPS_CONFIG", "rules.yaml")]),
        (&["encrypt", "--age", "OWN", "plain.yaml"], &[("SOPS_PGP_FP", "AAAA")]),
        (&["decrypt", "sealed.yaml"], &[("SOPS_DISABLE_VERSION_CHECK", "1"), ("SOPS_CONFIG", "")]),
        (&["decrypt", "sealed.yaml"], &[("SOPS_ENABLE_LOCAL_KEYSERVICE", "1")]),
        (&["decrypt", "sealed.yaml"], &[("SOPS_AGE_KEY_FILE", "none.txt"), ("SOPS_AGE_KEY_CMD", "cat key.txt")]),
        (&["decrypt", "sealed.yaml"], &[("SOPS_AGE_KEY_FILE", "other.txt")]),
        (&["decrypt", "sealed.yaml"], &[("SOPS_AGE_KEY_FILE", "none.txt")]),
        (&["edit", "sealed.yaml"], &[("EDITOR", "./edit.sh")]),
        (&["sealed.json"], &[("SOPS_EDITOR", "./edit.sh"), ("EDITOR", "false")]),
        (&["edit", "sealed.yaml"], &[("EDITOR", "true")]),
        (&["edit", "--ignore-mac", "tampered.yaml"], &[("EDITOR", "./edit.sh")]),
        (&["edit", "tampered.yaml"], &[("EDITOR", "./edit.sh")]),
        (&["--ignore-mac", "unsigned.yaml"], &[("EDITOR", "./edit.sh")]),
        (&["exec-file", "--user", "nobody", "sealed.yaml", "cat {}; echo $HOME $USER; id -un"], &[("TMPDIR", "/tmp")]),
        (
            &["exec-file", "--user", "nobody", "--no-fifo", "sealed.yaml", "stat -c '%U %a' {}; cat {}"],
            &[("TMPDIR", "/tmp")],
        ),
        (&["edit", "--show-master-keys", "sealed.yaml"], &[("EDITOR", "./look.sh")]),
        (&["edit", "-s", "sealed.json"], &[("EDITOR", "./look.sh")]),
        (&["edit", "-s", "sealed.env"], &[("EDITOR", "./look.sh")]),
        (&["edit", "-s", "sealed.ini"], &[("EDITOR", "./look.sh")]),
        (&["edit", "-s", "sealed.bin"], &[("EDITOR", "./look.sh")]),
        (&["-s", "three.yaml"], &[("EDITOR", "./look.sh")]),
        (&["edit", "sealed.yaml"], &[("EDITOR", "./none.sh")]),
        (&["edit", "sealed.yaml"], &[("EDITOR", "false")]),
    ] {
        rows.push(Row { words, stdin: "", variables });
    }
    let (left, different) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = { left.lock().unwrap().next() } {
                    let found = compare(&stage, row);
                    different.lock().unwrap().extend(found);
                }
            });
        }
    });
    let different = different.into_inner().unwrap();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

/// Flags that need keys or services of other kinds, whose tests stand elsewhere, and those that do nothing here.
const FLAGS_OF_OTHER_TESTS: &[&str] = &[
    "--add-azure-kv",
    "--add-gcp-kms",
    "--add-hc-vault-transit",
    "--add-kms",
    "--add-pgp",
    "--aws-profile",
    "--azure-kv",
    "--encryption-context",
    "--gcp-kms",
    "--hc-vault-transit",
    "--kms",
    "--pgp",
    "--rm-azure-kv",
    "--rm-gcp-kms",
    "--rm-hc-vault-transit",
    "--rm-kms",
    "--rm-pgp",
    "--help",
    "--version",
];

#[test]
fn every_flag_that_is_listed_is_tried_in_these_tests() {
    let stage = Stage::new();
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops")).unwrap();
    let sources = sources.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let source: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_called = |flag: &str| source.contains(&format!("\"{flag}\""));
    let mut missing = Vec::new();
    for command in [
        "",
        "encrypt",
        "decrypt",
        "edit",
        "set",
        "unset",
        "rotate",
        "updatekeys",
        "groups add",
        "groups delete",
        "exec-env",
        "exec-file",
        "filestatus",
    ] {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = String::from_utf8(stage.call(Program::Ours, &words).1.stdout).unwrap();
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let flags = lines.filter_map(|line| line.split([' ', ',', '[']).find(|word| word.starts_with("--")));
        let flags: Vec<&str> = flags.filter(|flag| !FLAGS_OF_OTHER_TESTS.contains(flag)).collect();
        assert!(!flags.is_empty(), "{command}: {help}");
        missing.extend(flags.into_iter().filter(|flag| !is_called(flag)).map(|flag| format!("{command} {flag}")));
    }
    assert!(missing.is_empty(), "{missing:?}");
}
