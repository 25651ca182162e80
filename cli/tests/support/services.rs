//! The servers of AWS and Vault that `sops` and `seal` are run against, with the keys in them.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use tempfile::TempDir;
use waxwing_harness::{AgeKey, Authority, Call, Finished, Moto, OpenBao, Upstream};

pub(crate) const PLAIN: &str = "user: admin\npassword: hunter2\n";
pub(crate) const REGION: &str = "eu-central-1";
/// A role of the account that moto keeps all keys in.
const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

/// What differs each time a file is sealed.
static RANDOM: LazyLock<Regex> = LazyLock::new(|| {
    let age = "(?s)-----BEGIN AGE ENCRYPTED FILE-----.*?-----END AGE ENCRYPTED FILE-----";
    let (token, wrapped, time) = (r"ENC\[[^\]]*\]", r#"(?m)enc"? *[:=].*$"#, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ");
    Regex::new(&format!("(?:{age})|(?:{token})|(?:{wrapped})|{time}")).unwrap()
});

/// What all tests share.
pub(crate) static STAGE: LazyLock<Stage> = LazyLock::new(Stage::make);

/// The servers with their keys, and an age key.
pub(crate) struct Stage {
    upstream: Upstream,
    age: AgeKey,
    pub(crate) moto: Moto,
    pub(crate) bao: OpenBao,
    pub(crate) authority: Authority,
    /// By the words that stand for them in arguments and files.
    pub(crate) names: Vec<(&'static str, String)>,
}

/// Which program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Theirs,
    Ours,
}

impl Stage {
    fn make() -> Self {
        let upstream = Upstream::new().unwrap();
        let age = upstream.age_keygen().unwrap();
        let authority = Authority::new("of the harness").unwrap();
        let (moto, bao) = (Moto::start().unwrap(), OpenBao::start_certified_by(&authority).unwrap());
        let (first, second) = (moto.make_key(REGION).unwrap(), moto.make_key("us-east-1").unwrap());
        let alias = moto.make_alias(REGION, "mine", &first).unwrap();
        bao.mount_transit(None, "transit").unwrap();
        bao.make_namespace("team").unwrap();
        bao.mount_transit(Some("team"), "of-team").unwrap();
        for (namespace, mount, key) in
            [(None, "transit", "mine"), (None, "transit", "other"), (Some("team"), "of-team", "k")]
        {
            bao.make_key(namespace, mount, key).unwrap();
        }
        let uri = |address: &str, path: &str| format!("{address}/v1/{path}");
        let names = vec![
            ("<ARN1>", first),
            ("<ARN2>", second),
            ("<ALIAS>", alias),
            ("<ROLE>", ROLE.to_owned()),
            ("<URI1>", uri(&bao.address(), "transit/keys/mine")),
            ("<URI2>", uri(&bao.address(), "transit/keys/other")),
            ("<URITEAM>", uri(&bao.address(), "of-team/keys/k")),
            ("<URITLS>", uri(&bao.tls_address(), "transit/keys/mine")),
            ("<AGE>", age.recipient.clone()),
        ];
        Self { upstream, age, moto, bao, authority, names }
    }

    pub(crate) fn filled(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (word, name)| text.replace(word, name))
    }

    /// Makes a folder with files, in which words stand for keys.
    pub(crate) fn folder(&self, files: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (name, text) in [("plain.yaml", PLAIN)].iter().chain(files) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.filled(text)).unwrap();
        }
        fs::write(folder.path().join("age.txt"), &self.age.identity).unwrap();
        folder
    }

    pub(crate) fn call(&self, program: Program, folder: &Path, words: &[&str]) -> Call {
        let words: Vec<String> = words.iter().map(|word| self.filled(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let call = match program {
            Program::Theirs => self.upstream.sops(&words).unwrap().env("HOME", folder),
            Program::Ours => Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), folder).arg("sops").args(&words),
        };
        call.dir(folder).env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// Runs a program with credentials for both services, and then with these variables.
    pub(crate) fn run(&self, program: Program, folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Finished {
        let call = self
            .call(program, folder, words)
            .env("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT")
            .env("AWS_SECRET_ACCESS_KEY", "hunter2-access-key")
            .env("AWS_ENDPOINT_URL", self.moto.address())
            .env("VAULT_TOKEN", self.bao.root_token());
        variables.iter().fold(call, |call, (name, value)| call.env(name, self.filled(value))).run().unwrap()
    }

    /// Runs a program that must succeed, and returns what it printed.
    pub(crate) fn text(&self, program: Program, folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> String {
        let finished = self.run(program, folder, words, variables);
        assert_eq!(finished.status.code(), Some(0), "{program:?} {words:?}: {}", finished.stderr);
        String::from_utf8(finished.stdout).unwrap()
    }
}

/// Puts a word in the place of all that differs each time a file is sealed.
pub(crate) fn masked(text: &str) -> String {
    RANDOM.replace_all(text, "RANDOM").into_owned()
}
