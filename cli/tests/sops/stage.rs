//! The programs, two people's keys and the files that every folder begins with; and how two calls are compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use tempfile::TempDir;
use waxwing_harness::{AgeKey, Call, Finished, Upstream};

use crate::masked::masked;

/// What is sealed in the table.
pub(crate) const PLAIN: &str = "# about\nuser: admin\npassword: hunter2\nnested:\n    list:\n        - one\n        - 2\n    port_unencrypted: 5432\n";
pub(crate) const MANIFEST: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";

/// The programs, and the keys of two people.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) own: Arc<AgeKey>,
    pub(crate) other: Arc<AgeKey>,
    /// Files that every folder begins with.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Which program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Theirs,
    Ours,
}

/// What every test begins with; making it takes a dozen calls of sops.
static STAGE: LazyLock<Stage> = LazyLock::new(Stage::make);

impl Stage {
    pub(crate) fn new() -> Self {
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
            ("write.sh", "#!/bin/sh\nprintf '# about\\nuser: admin\\npassword: hunter2\\n' > \"$1\"\n"),
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
    pub(crate) fn call(&self, program: Program, arguments: &[&str]) -> (TempDir, Finished) {
        self.call_with(program, arguments, "", &[])
    }

    pub(crate) fn call_with(
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
        for script in
            ["edit.sh", "look.sh", "write.sh"].map(|name| folder.path().join(name)).iter().filter(|path| path.exists())
        {
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
    pub(crate) fn filled(&self, word: &str) -> String {
        word.replace("OWN", &self.own.recipient).replace("OTHER", &self.other.recipient)
    }

    /// Opens a file with the real sops.
    pub(crate) fn opened(&self, folder: &Path, name: &str) -> Option<Vec<u8>> {
        let call = self.upstream.sops(&["decrypt", name]).unwrap().dir(folder);
        let finished = call.env("SOPS_AGE_KEY_FILE", folder.join("key.txt")).run().unwrap();
        finished.status.success().then_some(finished.stdout)
    }
}

/// Makes the link `sops` to our program, in a folder that isn't compared.
pub(crate) fn ours(folder: &Path) -> PathBuf {
    let programs = folder.join(".programs");
    fs::create_dir(&programs).unwrap();
    let link = programs.join("sops");
    symlink(env!("CARGO_BIN_EXE_seal"), &link).unwrap();
    link
}

/// Returns all files of a folder, masked.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, String> {
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
pub(crate) fn compare(stage: &Stage, Row { words, stdin, variables }: &Row<'_>) -> Vec<String> {
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
pub(crate) struct Row<'a> {
    pub(crate) words: &'a [&'a str],
    pub(crate) stdin: &'a str,
    pub(crate) variables: &'a [(&'a str, &'a str)],
}
