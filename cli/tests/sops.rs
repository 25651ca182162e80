//! The command line of sops: the same calls of the real sops and of ours, in folders that are alike, end with the same exit code,
//! print the same and leave the same files, but for what is random in them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

#[path = "../../crates/formats/tests/support/masked.rs"]
#[allow(unreachable_pub, reason = "shared with the tests of the formats")]
mod masked;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use age::secrecy::SecretString;
use masked::masked;
use tempfile::TempDir;
use waxwing_harness::{AgeKey, Call, Finished, Tools, Upstream};

/// What is sealed in the table.
const PLAIN: &str = "# about\nuser: admin\npassword: hunter2\nnested:\n    list:\n        - one\n        - 2\n    port_unencrypted: 5432\n";
const MANIFEST: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";

/// The programs, and the keys of two people.
#[derive(Clone)]
struct Stage {
    upstream: Arc<Upstream>,
    own: Arc<AgeKey>,
    other: Arc<AgeKey>,
    /// Files that every folder begins with.
    files: BTreeMap<String, Vec<u8>>,
}

/// Which program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Theirs,
    Ours,
}

/// What every test begins with; making it takes a dozen calls of sops.
static STAGE: LazyLock<Stage> = LazyLock::new(Stage::make);

impl Stage {
    fn new() -> Self {
        STAGE.clone()
    }

    fn make() -> Self {
        let upstream = Arc::new(Upstream::new().unwrap());
        let (own, other) = (Arc::new(upstream.age_keygen().unwrap()), Arc::new(upstream.age_keygen().unwrap()));
        let mut stage = Self { upstream, own, other, files: BTreeMap::new() };
        stage.add_files();
        stage
    }

    fn add_files(&mut self) {
        let config = format!(
            "creation_rules:\n- path_regex: secrets/.*\\.yaml$\n  encrypted_regex: ^(data|stringData)$\n  age: {}\n- path_regex: both/\n  age: [{}, {}]\n- path_regex: shares/\n  shamir_threshold: 2\n  key_groups:\n  - age: [{}]\n  - age: [{}]\n- path_regex: quorum/\n  key_groups:\n  - age: [{own}]\n  - age: [{own}]\n- path_regex: three/\n  shamir_threshold: 2\n  key_groups:\n  - age: [{own}]\n  - age: [{own}]\n  - age: [{}]\nstores: {{json: {{indent: 2}}}}\n",
            self.own.recipient,
            self.own.recipient,
            self.other.recipient,
            self.own.recipient,
            self.other.recipient,
            self.other.recipient,
            own = self.own.recipient,
        );
        for (name, text) in [
            ("key.txt", self.own.identity.as_str()),
            ("other.txt", &self.other.identity),
            ("rules.yaml", &config),
            ("plain.yaml", PLAIN),
            ("plain.json", "{\"user\": \"admin\", \"ports\": [1, 2.5], \"on\": true}"),
            ("plain.env", "# about\nUSER=admin\nTEXT=a\\nb\n"),
            ("plain.ini", "; about\n[db]\nuser = admin\n"),
            ("plain.bin", "any\0thing"),
            ("secrets/db.yaml", MANIFEST),
            ("both/db.yaml", MANIFEST),
            ("shares/db.yaml", MANIFEST),
            ("new.json", "\"from a file\""),
            ("empty.yaml", ""),
            ("list.yaml", "- hunter2\n"),
            (
                "nulls.yaml",
                "creation_rules:\n- path_regex: never\n  shamir_threshold:\n  key_groups:\n  - pgp:\nstores: {yaml: }\n",
            ),
            ("bad-path.yaml", "creation_rules: [{path_regex: '('}]\n"),
            ("pgp.yaml", "creation_rules: [{pgp: ABCD}]\n"),
            ("merge.yaml", "<<: 1\na: 2\n"),
            ("merge.json", "{\"<<\": 1, \"a\": {\"<<\": [1]}}"),
            ("edit.sh", "#!/bin/sh\nsed -i s/admin/root/ \"$1\"\n"),
            ("look.sh", "#!/bin/sh\ncp \"$1\" seen\n"),
        ] {
            self.files.insert(name.to_owned(), text.as_bytes().to_vec());
        }
        for name in ["plain.yaml", "plain.json", "plain.env", "plain.ini", "plain.bin"] {
            let sealed = self.call(Program::Theirs, &["encrypt", "--age", &self.own.recipient, name]).1.stdout;
            self.files.insert(name.replace("plain", "sealed"), sealed);
        }
        for name in ["quorum", "three"] {
            let path = format!("{name}/x.yaml");
            let words = ["--config", "rules.yaml", "encrypt", "--filename-override", &path, "plain.yaml"];
            let sealed = self.call(Program::Theirs, &words).1.stdout;
            self.files.insert(format!("{name}.yaml"), sealed);
        }
        let sealed = String::from_utf8(self.files["sealed.yaml"].clone()).unwrap();
        let others = self.call(Program::Theirs, &["encrypt", "--age", &self.other.recipient, "plain.yaml"]).1.stdout;
        for (name, text) in [
            ("tampered.yaml", sealed.replace("port_unencrypted: 5432", "port_unencrypted: 5433")),
            ("moved.yaml", sealed.replace("user:", "name:")),
            (
                "unsigned.yaml",
                sealed.lines().filter(|line| !line.contains(" mac:")).map(|line| format!("{line}\n")).collect(),
            ),
            ("others.yaml", String::from_utf8(others).unwrap()),
        ] {
            self.files.insert(name.to_owned(), text.into_bytes());
        }
    }

    /// Runs a program in a new folder, and returns the folder too.
    fn call(&self, program: Program, arguments: &[&str]) -> (TempDir, Finished) {
        self.call_with(program, arguments, "", &[])
    }

    fn call_with(
        &self,
        program: Program,
        words: &[&str],
        stdin: &str,
        variables: &[(&str, &str)],
    ) -> (TempDir, Finished) {
        let folder = TempDir::new().unwrap();
        for (name, bytes) in &self.files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        for script in ["edit.sh", "look.sh"].map(|name| folder.path().join(name)).iter().filter(|path| path.exists()) {
            fs::set_permissions(script, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let words: Vec<String> = words.iter().map(|word| self.filled(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let call = match program {
            Program::Theirs => self.upstream.sops(&words).unwrap(),
            Program::Ours => Call::new(&ours(folder.path()), folder.path()).args(&words),
        };
        let mut call = call.dir(folder.path()).env("SOPS_AGE_KEY_FILE", "key.txt").stdin(stdin);
        for (name, value) in variables {
            call = call.env(name, self.filled(value));
        }
        let finished = call.run().unwrap();
        (folder, finished)
    }

    /// Puts the recipients of this run in the place of their names.
    fn filled(&self, word: &str) -> String {
        word.replace("OWN", &self.own.recipient).replace("OTHER", &self.other.recipient)
    }

    /// Opens a file with the real sops.
    fn opened(&self, folder: &Path, name: &str) -> Option<Vec<u8>> {
        let call = self.upstream.sops(&["decrypt", name]).unwrap().dir(folder);
        let finished = call.env("SOPS_AGE_KEY_FILE", folder.join("key.txt")).run().unwrap();
        finished.status.success().then_some(finished.stdout)
    }
}

/// Makes the link `sops` to our program, in a folder that isn't compared.
fn ours(folder: &Path) -> PathBuf {
    let programs = folder.join(".programs");
    fs::create_dir(&programs).unwrap();
    let link = programs.join("sops");
    symlink(env!("CARGO_BIN_EXE_seal"), &link).unwrap();
    link
}

/// Returns all files of a folder, masked.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            match path.is_dir() {
                true if name.starts_with('.') => {}
                true => folders.push(path),
                false => drop(found.insert(name, masked(&String::from_utf8_lossy(&fs::read(&path).unwrap())))),
            }
        }
    }
    found
}

/// Runs both, and compares.
fn compare(stage: &Stage, Row { words, stdin, variables }: &Row<'_>) -> Vec<String> {
    let mut different = Vec::new();
    let (their_folder, theirs) = stage.call_with(Program::Theirs, words, stdin, variables);
    let (our_folder, ours) = stage.call_with(Program::Ours, words, stdin, variables);
    let shown = |finished: &Finished| (finished.status.code(), masked(&String::from_utf8_lossy(&finished.stdout)));
    let (their_files, our_files) = (files(their_folder.path()), files(our_folder.path()));
    if shown(&theirs) != shown(&ours) || their_files != our_files {
        let changed: Vec<_> = their_files.iter().filter(|(name, text)| our_files.get(*name) != Some(text)).collect();
        different.push(format!(
            "{words:?}\ntheirs: {:?} {}\nours: {:?} {}\nfiles: {changed:?} {:?}",
            shown(&theirs),
            theirs.stderr,
            shown(&ours),
            ours.stderr,
            changed.iter().map(|(name, _)| our_files.get(*name)).collect::<Vec<_>>(),
        ));
    }
    let is_new = |name: &&String| {
        our_folder.path().join(name).is_file()
            && stage.files.get(*name) != fs::read(our_folder.path().join(name)).ok().as_ref()
    };
    for name in our_files.keys().filter(is_new) {
        let (their_text, our_text) = (stage.opened(their_folder.path(), name), stage.opened(our_folder.path(), name));
        if their_text != our_text {
            different.push(format!("{words:?}: {name} opens to other bytes"));
        }
    }
    different
}

/// A call.
struct Row<'a> {
    words: &'a [&'a str],
    stdin: &'a str,
    variables: &'a [(&'a str, &'a str)],
}

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
    let source = include_str!("sops.rs");
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

/// A kind of age key: who is sealed for, and what is set so that it opens.
type Kind<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Adds the throw-away keys, as `keys/NAME`, and SSH keys for a user whose home is `home`.
fn add_keys(stage: &mut Stage) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/keys/tests/fixtures/ssh");
    for entry in fs::read_dir(fixtures).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        stage.files.insert(format!("keys/{}", name.to_string_lossy()), fs::read(path).unwrap());
    }
    for (from, to) in [("keys/ed25519", "home/.ssh/id_ed25519"), ("keys/rsa", "home/.ssh/id_rsa")] {
        stage.files.insert(to.to_owned(), stage.files[from].clone());
    }
}

/// Adds the throw-away age key behind a passphrase, with little work: with as much as the age program takes, the test would do
/// nothing else.
fn add_locked_age_key(stage: &mut Stage) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/keys/tests/fixtures/age/throw-away.txt");
    let key = fs::read(path).unwrap();
    let mut recipient = age::scrypt::Recipient::new(SecretString::from("open sesame".to_owned()));
    recipient.set_work_factor(2);
    let armored = age::encrypt_and_armor(&recipient, &key).unwrap().into_bytes();
    stage.files.insert("keys/locked.age".to_owned(), armored);
    stage.files.insert("keys/locked.bin".to_owned(), age::encrypt(&recipient, &key).unwrap());
}

/// What one program seals for a kind of key, both open.
fn both_open(stage: &Stage, (recipient, variables): Kind<'_>) {
    let mut stage = stage.clone();
    for sealer in [Program::Theirs, Program::Ours] {
        let (_, sealed) = stage.call_with(sealer, &["encrypt", "--age", recipient, "plain.yaml"], "", variables);
        assert_eq!(sealed.status.code(), Some(0), "{sealer:?} {recipient}: {}", sealed.stderr);
        assert!(String::from_utf8_lossy(&sealed.stdout).contains(&format!("recipient: {recipient}\n")));
        stage.files.insert("kind.yaml".to_owned(), sealed.stdout);
        for opener in [Program::Theirs, Program::Ours] {
            let (_, opened) = stage.call_with(opener, &["decrypt", "kind.yaml"], "", variables);
            assert_eq!(String::from_utf8_lossy(&opened.stdout), PLAIN, "{opener:?} {variables:?}: {}", opened.stderr);
        }
    }
}

/// The commands take a kind of key wherever sops does.
fn commands_take(stage: &Stage, (recipient, variables): Kind<'_>) {
    let mut stage = stage.clone();
    let config = format!("creation_rules:\n- age: {recipient}\n");
    stage.files.insert("kind-rules.yaml".to_owned(), config.into_bytes());
    let (_, sealed) = stage.call_with(Program::Theirs, &["encrypt", "--age", recipient, "plain.yaml"], "", variables);
    stage.files.insert("kind.yaml".to_owned(), sealed.stdout);
    let mut different = Vec::new();
    for (words, variables) in [
        (&["decrypt", "kind.yaml"][..], &[][..]),
        (&["rotate", "-i", "--add-age", "OWN", "kind.yaml"], variables),
        (&["rotate", "-i", "--add-age", recipient, "sealed.yaml"], variables),
        (&["--config", "kind-rules.yaml", "encrypt", "plain.yaml"], variables),
        (&["encrypt", "plain.yaml"], &[variables, &[("SOPS_AGE_RECIPIENTS", recipient)]].concat()),
    ] {
        different.extend(compare(&stage, &Row { words, stdin: "", variables }));
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

#[test]
fn ssh_keys_open_and_seal_as_with_sops_wherever_they_are_found() {
    let mut stage = Stage::new();
    add_keys(&mut stage);
    let public = |name: &str| String::from_utf8(stage.files[&format!("keys/{name}.pub")].clone()).unwrap();
    let (ed25519, rsa) = (public("ed25519").trim().to_owned(), public("rsa").trim().to_owned());
    let kinds: [Kind<'_>; 8] = [
        (&ed25519, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/ed25519")]),
        (&ed25519, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/ed25519.pkcs8"), ("SOPS_AGE_KEY_FILE", "none.txt")]),
        (&ed25519, &[("SOPS_AGE_SSH_PRIVATE_KEY_CMD", "cat 'keys/ed25519'")]),
        (&ed25519, &[("HOME", "home")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa"), ("SOPS_AGE_KEY", "nonsense")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa.pkcs1")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa.pkcs8")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/other"), ("HOME", "home")]),
    ];
    let stage = &stage;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || both_open(stage, kind));
        }
        scope.spawn(|| commands_take(stage, kinds[0]));
        scope.spawn(|| commands_take(stage, kinds[4]));
    });
}

#[test]
fn whoever_has_a_key_with_a_passphrase_is_asked_for_it_at_the_terminal() {
    let mut stage = Stage::new();
    add_keys(&mut stage);
    add_locked_age_key(&mut stage);
    stage.files.insert("terminal.py".to_owned(), include_bytes!("support/terminal.py").to_vec());
    stage.files.insert("locked-home/.ssh/id_rsa".to_owned(), stage.files["keys/rsa.locked"].clone());
    let public = |name: &str| String::from_utf8(stage.files[&format!("keys/{name}.pub")].clone()).unwrap();
    let own = "age1d4cqk0wxqw3tj9rk6dugwd2qfd7pvmv8ht0nw4mdy8v837a5afnq5c9x38";
    let theirs = Tools::locate().unwrap().path("sops").unwrap().display().to_string();
    let stage = &stage;
    let asked = |recipient: &str, variables: &[(&str, &str)], answer: &str| {
        let mut stage = stage.clone();
        let (_, sealed) = stage.call(Program::Theirs, &["encrypt", "--age", recipient, "plain.yaml"]);
        stage.files.insert("kind.yaml".to_owned(), sealed.stdout);
        for program in [theirs.as_str(), ".programs/sops"] {
            // The call of ours makes the link that is run at the terminal.
            let (folder, _) = stage.call(Program::Ours, &["--version"]);
            let words = ["terminal.py", answer, program, "decrypt", "kind.yaml"];
            let mut call = Call::new(Path::new("python3"), folder.path()).args(words).dir(folder.path());
            for (name, value) in variables {
                call = call.env(name, value);
            }
            let opened = call.run().unwrap();
            let (code, text) = match answer {
                "open sesame" => (0, PLAIN),
                _ => (128, ""),
            };
            let shown = (opened.status.code(), String::from_utf8_lossy(&opened.stdout).into_owned());
            assert_eq!(shown, (Some(code), text.to_owned()), "{program} {variables:?}: {}", opened.stderr);
        }
    };
    let (ed25519, rsa) = (public("ed25519").trim().to_owned(), public("rsa").trim().to_owned());
    thread::scope(|scope| {
        for (recipient, variables) in [
            (ed25519.as_str(), [("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/ed25519.locked")]),
            (&rsa, [("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa.locked")]),
            (&rsa, [("HOME", "locked-home")]),
            (own, [("SOPS_AGE_KEY_FILE", "keys/locked.age")]),
            (own, [("SOPS_AGE_KEY_CMD", "cat keys/locked.bin")]),
        ] {
            let asked = &asked;
            scope.spawn(move || {
                asked(recipient, &variables, "open sesame");
                if variables[0].1 == "keys/ed25519.locked" || variables[0].1 == "keys/locked.age" {
                    asked(recipient, &variables, "what");
                }
            });
        }
    });
}

/// A recipient and an identity of the plugin in `support/age-plugin-mirror.py`, and a recipient of one that there is not.
const MIRROR: &str = "age1mirror1washsamfdensafl90n";
const MIRROR_IDENTITY: &str = "AGE-PLUGIN-MIRROR-1WASHSAMFDENS098PAQ";
const NOBODY: &str = "age1nobody1washsamfdenslwcqyy";

#[test]
fn plugins_of_age_wrap_and_unwrap_as_with_sops() {
    let mut stage = Stage::new();
    let programs = TempDir::new().unwrap();
    let plugin = programs.path().join("age-plugin-mirror");
    fs::write(&plugin, include_bytes!("support/age-plugin-mirror.py")).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let own = stage.own.identity.lines().last().unwrap().to_owned();
    for (name, text) in [
        ("mirror.txt", format!("# a plugin\n{MIRROR_IDENTITY}\n")),
        ("both.txt", format!("{MIRROR_IDENTITY}\r\n{own}\n")),
        ("damaged.txt", MIRROR_IDENTITY.replace("MIRROR", "MIRRORS")),
    ] {
        stage.files.insert(name.to_owned(), text.into_bytes());
    }
    stage.files.insert("terminal.py".to_owned(), include_bytes!("support/terminal.py").to_vec());
    let kinds: [Kind<'_>; 3] = [
        (MIRROR, &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "mirror.txt")]),
        (MIRROR, &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "both.txt")]),
        (MIRROR, &[("PATH", &path), ("SOPS_AGE_KEY", MIRROR_IDENTITY)]),
    ];
    let (_, sealed) = stage.call_with(Program::Theirs, &["encrypt", "--age", MIRROR, "plain.yaml"], "", kinds[0].1);
    stage.files.insert("mirrored.yaml".to_owned(), sealed.stdout);
    let mut different = Vec::new();
    for (words, variables) in [
        (&["encrypt", "--age", MIRROR, "plain.yaml"][..], &[][..]),
        (&["encrypt", "--age", NOBODY, "plain.yaml"], kinds[0].1),
        (&["encrypt", "--age", &MIRROR.replace("mirror", "mirrors"), "plain.yaml"], kinds[0].1),
        (&["decrypt", "mirrored.yaml"], &[("SOPS_AGE_KEY_FILE", "mirror.txt")]),
        (&["decrypt", "mirrored.yaml"], &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "damaged.txt")]),
        (&["decrypt", "mirrored.yaml"], &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "mirror.txt"), ("MIRROR", "refuses")]),
        (&["encrypt", "--age", MIRROR, "plain.yaml"], &[("PATH", &path), ("MIRROR", "refuses")]),
        (&["encrypt", "--age", MIRROR, "plain.yaml"], &[("PATH", &path), ("MIRROR", "ends")]),
    ] {
        different.extend(compare(&stage, &Row { words, stdin: "", variables }));
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
    let (folder, _) = stage.call(Program::Ours, &["--version"]);
    for program in [Tools::locate().unwrap().path("sops").unwrap(), folder.path().join(".programs/sops")] {
        let words = ["terminal.py", "open sesame", &program.display().to_string(), "decrypt", "mirrored.yaml"];
        let call = Call::new(Path::new("python3"), folder.path()).args(words).dir(folder.path());
        let opened =
            call.env("PATH", &path).env("SOPS_AGE_KEY_FILE", "mirror.txt").env("MIRROR", "asks").run().unwrap();
        assert_eq!(String::from_utf8_lossy(&opened.stdout), PLAIN, "{}: {}", program.display(), opened.stderr);
    }
    let stage = &stage;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || both_open(stage, kind));
        }
        scope.spawn(|| commands_take(stage, kinds[2]));
    });
}

#[test]
fn post_quantum_keys_open_and_seal_as_with_sops() {
    let mut stage = Stage::new();
    let key = stage.upstream.age_keygen_hybrid().unwrap();
    stage.files.insert("hybrid.txt".to_owned(), key.identity.clone().into_bytes());
    let both = format!("{} {}", key.identity.lines().last().unwrap(), stage.own.identity.lines().last().unwrap());
    let kinds: [Kind<'_>; 3] = [
        (&key.recipient, &[("SOPS_AGE_KEY", &both), ("SOPS_AGE_KEY_FILE", "none.txt")]),
        (&key.recipient, &[("SOPS_AGE_KEY_FILE", "hybrid.txt")]),
        (&key.recipient, &[("SOPS_AGE_KEY_CMD", "cat hybrid.txt")]),
    ];
    let stage = &stage;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || both_open(stage, kind));
        }
        scope.spawn(|| commands_take(stage, kinds[0]));
    });
}

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
        let (folder, finished) =
            stage.call(program, &["--config", "rules.yaml", "updatekeys", "--yes", "both/db.yaml"]);
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

#[test]
fn mistakes_are_told_with_what_to_do_and_leave_every_file_as_it_was() {
    let mut stage = Stage::new();
    for (name, rule) in [
        ("bad-rule.yaml", "encrypted_regex: '('"),
        ("two-rules.yaml", "encrypted_regex: a\n  encrypted_suffix: b"),
        ("huawei.yaml", "hckms: ['eu-de:k']"),
        ("no-match.yaml", "path_regex: ^never$"),
        ("no-list.yaml", "age: {a: b}"),
    ] {
        let text = format!("creation_rules:\n- {rule}\n").into_bytes();
        stage.files.insert(name.to_owned(), text);
    }
    stage.files.insert("a".to_owned(), b"user: admin\n".to_vec());
    stage.files.insert("nul.env".to_owned(), b"A=a\0b\n".to_vec());
    let sealed = stage.call(Program::Ours, &["encrypt", "--age", "OWN", "nul.env"]).1.stdout;
    stage.files.insert("nul.env".to_owned(), sealed);
    let mut report = String::new();
    for words in [
        &[][..],
        &["-d", "-e", "sealed.yaml"],
        &["decrypt", "-i", "--output", "x", "sealed.yaml"],
        &["decrypt", "-i"],
        &["encrypt"],
        &["encrypt", "plain.yaml"],
        &["encrypt", "--age", "someone", "plain.yaml"],
        &["encrypt", "--age", "OWN", "--encrypted-regex", "(", "plain.yaml"],
        &["encrypt", "--age", "OWN", "--encrypted-regex", "a", "--unencrypted-regex", "b", "-i", "plain.yaml"],
        &["encrypt", "--age", "OWN", "--encrypted-suffix", "a", "plain.bin"],
        &["--config", "bad-rule.yaml", "encrypt", "plain.yaml"],
        &["--config", "bad-path.yaml", "encrypt", "plain.yaml"],
        &["--config", "two-rules.yaml", "encrypt", "plain.yaml"],
        &["--config", "huawei.yaml", "encrypt", "plain.yaml"],
        &["--config", "no-match.yaml", "encrypt", "plain.yaml"],
        &["--config", "no-list.yaml", "encrypt", "plain.yaml"],
        &["--config", "none.yaml", "encrypt", "plain.yaml"],
        &["encrypt", "--age", "OWN", "-i", "list.yaml"],
        &["encrypt", "--age", "OWN", "--output-type", "dotenv", "plain.yaml"],
        &["decrypt", "-i", "tampered.yaml"],
        &["decrypt", "moved.yaml"],
        &["decrypt", "plain.yaml"],
        &["decrypt", "--input-type", "yaml", "a"],
        &["decrypt", "--output-type", "binary", "sealed.yaml"],
        &["decrypt", "--output", "none/x.yaml", "sealed.yaml"],
        &["decrypt", "--extract", "[\"nested\"", "sealed.yaml"],
        &["decrypt", "--extract", "[\"nested\"][0]", "sealed.yaml"],
        &["set", "sealed.yaml", "[\"nested\"][\"list\"][\"key\"]", "1"],
        &["set", "sealed.yaml", "[\"user\"]", "hunter2"],
        &["set", "sealed.yaml", "\"hunter2\"", "[\"user\"]"],
        &["set", "sealed.yaml", "[\"user\"]", "my", "hunter2"],
        &["--set", "[\"user\"]\"my] hunter2\"", "sealed.yaml"],
        &["--set", "[\"user\"]", "sealed.yaml"],
        &["--set=[\"user\"]", "sealed.yaml", "hunter2"],
        &["unset", "sealed.yaml", "[\"none\"]"],
        &["rotate", "-i", "--rm-age", "OWN", "sealed.yaml"],
        &["updatekeys", "--yes", "sealed.yaml"],
        &["updatekeys", "--yes", "none.yaml", "sealed.yaml"],
        &["filestatus", "plain.bin"],
        &["exec-env", "nul.env", "echo hunter2"],
        &["exec-env", "sealed.env", "echo", "hunter2"],
        &["exec-file", "sealed.env", "echo", "--hunter2"],
        &["decrypt", "--ignore-mac", "moved.yaml"],
        &["decrypt", "--ignore-mac", "others.yaml"],
        &["groups", "add", "-f", "sealed.yaml", "-i"],
        &["groups", "add", "-f", "sealed.yaml", "-i", "--age", "someone"],
        &["groups", "add", "-f", "three.yaml", "-i", "--age", "OWN", "--shamir-secret-sharing-threshold", "1"],
        &["groups", "add", "-f", "three.yaml", "-i", "--age", "OWN", "--shamir-secret-sharing-threshold", "9"],
        &["groups", "delete", "-f", "three.yaml", "-i", "3"],
        &["groups", "delete", "-f", "quorum.yaml", "-i", "0"],
        &["groups", "delete", "-f", "sealed.yaml", "-i", "0"],
        &["groups", "add", "--age", "OWN"],
        &["exec-env", "--user", "no-such-user", "sealed.env", "echo hunter2"],
        &["exec-env", "--background", "--same-process", "sealed.env", "echo hunter2"],
        &["exec-file", "--background", "sealed.env", "echo hunter2"],
    ] {
        let (folder, finished) = stage.call(Program::Ours, words);
        let told = finished.stderr.replace(&folder.path().display().to_string(), "FOLDER");
        let told = told.replace(&stage.own.recipient, "OWN").replace(&stage.other.recipient, "OTHER");
        assert!(!told.contains("hunter2") && !told.contains("AGE-SECRET"), "{told}");
        report.push_str(&format!(
            "$ sops {}\n{told}exit code {:?}\n\n",
            words.join(" "),
            finished.status.code().unwrap()
        ));
        for (name, bytes) in &stage.files {
            assert_eq!(&fs::read(folder.path().join(name)).unwrap(), bytes, "{words:?} changed {name}");
        }
    }
    insta::assert_snapshot!(report);
}

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
fn a_command_that_prints_identities_is_run_only_if_no_other_identity_opens_the_file() {
    let stage = Stage::new();
    let command = "sh -c 'touch asked; cat key.txt'";
    for (program, file, is_asked) in [
        (Program::Theirs, "key.txt", true),
        (Program::Ours, "key.txt", false),
        (Program::Ours, "other.txt", true),
        (Program::Ours, "none.txt", true),
    ] {
        let variables = [("SOPS_AGE_KEY_FILE", file), ("SOPS_AGE_KEY_CMD", command)];
        let (folder, finished) = stage.call_with(program, &["decrypt", "sealed.yaml"], "", &variables);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert_eq!(folder.path().join("asked").exists(), is_asked, "{program:?} {file}");
    }
}

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
