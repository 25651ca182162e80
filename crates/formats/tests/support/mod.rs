//! Fixtures of sealed files and an answerer that holds their throw-away age keys.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(unreachable_pub, reason = "shared by the test files beside it")]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests read fixtures"
)]

pub mod comments;
pub mod damage;
pub mod masked;
pub mod random;
pub mod templates;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use waxwing_formats::sops::{
    Document, Recipient, Rule, Sealed, Store, Terms, Unlock, UnlockError, Unverified, Verified,
};
use waxwing_formats::{DataKey, KeyRequest, Refusal, SecretBytes, WrappedKey};

/// The folder of the sops fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops")
}

/// The cases in a folder of fixtures, sorted.
pub fn cases(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures().join(folder)).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// The file of a case that begins with `stem`, and its bytes.
pub fn file(case: &Path, stem: &str) -> (PathBuf, Vec<u8>) {
    let entries = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.into_iter().find(|path| path.file_stem().is_some_and(|found| found == stem)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

/// Throw-away age identities that answer key requests.
pub struct Keys(Vec<age::x25519::Identity>);

impl Keys {
    /// Reads `keys/NAME.txt` of the fixtures.
    pub fn named(names: &[&str]) -> Self {
        let read = |name: &&str| std::fs::read_to_string(fixtures().join(format!("keys/{name}.txt"))).unwrap();
        let identity = |text: String| {
            let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().to_owned();
            age::x25519::Identity::from_str(&line).unwrap()
        };
        Self(names.iter().map(read).map(identity).collect())
    }

    /// Answers one request.
    pub fn answer(&self, request: &KeyRequest) -> Result<DataKey, Refusal> {
        let WrappedKey::Age { enc, .. } = &request.wrapped else {
            return Err(Refusal("only age in this test".to_owned()));
        };
        let refuse = |_| Refusal("no identity matches".to_owned());
        let armored = age::armor::ArmoredReader::new(enc.trim().as_bytes());
        let decryptor = age::Decryptor::new(armored).map_err(|_| Refusal("not an age file".to_owned()))?;
        let identities = self.0.iter().map(|identity| identity as &dyn age::Identity);
        let mut key = Vec::with_capacity(64);
        let mut plain = decryptor.decrypt(identities).map_err(refuse)?;
        plain.read_to_end(&mut key).map_err(|_| Refusal("the age file is damaged".to_owned()))?;
        Ok(DataKey::new(SecretBytes::new(key)))
    }

    /// Opens a document.
    pub fn open(&self, document: Document<Sealed>) -> Result<Document<Verified>, UnlockError> {
        self.open_with_key(document).map(|(document, _)| document)
    }

    /// Opens a document and keeps its data key.
    pub fn open_with_key(&self, document: Document<Sealed>) -> Result<(Document<Verified>, DataKey), UnlockError> {
        self.answered(document.unlock()).finish_with_key()
    }

    /// Opens a document without a check of its code.
    pub fn open_unverified(&self, document: Document<Sealed>) -> Result<Document<Unverified>, UnlockError> {
        self.answered(document.unlock().unverified()).finish_unverified().map(|(document, _)| document)
    }

    fn answered(&self, mut unlock: Unlock) -> Unlock {
        while let Some(request) = unlock.next() {
            unlock.answer(request.id, self.answer(&request));
        }
        unlock
    }

    /// Parses and opens a fixture whose refusal is not expected.
    pub fn open_file(&self, path: &Path) -> Document<Verified> {
        let bytes = std::fs::read(path).unwrap();
        let document = Document::parse(&bytes, Store::from_path(path));
        let document = document.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.open(document).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// The usual terms, for one recipient who has the data key wrapped so.
pub fn usual_terms(wrapped: WrappedKey) -> Terms {
    Terms {
        groups: vec![vec![Recipient::new(wrapped, Timestamp::UNIX_EPOCH)]],
        shamir_threshold: 0,
        rule: Some(Rule::usual()),
        mac_only_encrypted: false,
        version: None,
    }
}
