//! What the handles of a render stand for, and how they are found again in rendered text.
//!
//! A renderer copies a handle like any string: as it is, inside longer text, or base64-encoded as a whole (the
//! `data` of a Secret). These are the forms that [`locate`] follows; anything else that was visibly made from a
//! handle is refused. Not here: opening anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing_formats::reference::Reference;
use waxwing_formats::{Handle, KeyPath, SecretBytes};
use waxwing_plan::SecretMark;

/// What one handle stands for. Only [`Origin::Plain`] holds a value, and that one is readable in Git.
#[derive(Debug)]
pub enum Origin {
    /// One leaf of a SOPS file.
    SopsLeaf {
        /// The file in the repository.
        file: String,
        /// The position of the document in the file, from 0.
        document: usize,
        /// Where the leaf stands in the document.
        path: KeyPath,
    },
    /// One line of a SOPS env file: the value as `sops -d` prints it, so with newlines written as `\n`.
    SopsEnv {
        /// The file in the repository.
        file: String,
        /// The key, as a path of one segment.
        path: KeyPath,
    },
    /// A whole SOPS file: exactly the bytes that `sops -d` prints.
    SopsWhole {
        /// The file in the repository.
        file: String,
    },
    /// One item of a SealedSecret.
    SealedItem {
        /// The file in the repository.
        file: String,
        /// The position of the document in the file, from 0.
        document: usize,
        /// Where the item stands in the document.
        path: KeyPath,
        /// The key of the Secret that it seals.
        item: String,
        /// The ciphertext in base64, as it stands in the file.
        token: String,
    },
    /// What a template of a SealedSecret makes of its items.
    SealedTemplate {
        /// The file in the repository.
        file: String,
        /// The position of the document in the file, from 0.
        document: usize,
        /// Where the template stands in the document.
        path: KeyPath,
        /// The key of the Secret that it makes.
        item: String,
    },
    /// A value that a store has.
    Reference {
        /// The file in the repository.
        file: String,
        /// The position of the document in the file, from 0.
        document: usize,
        /// Where the reference stands in the document, or in what was rendered from it.
        path: KeyPath,
        /// Which value of which store.
        reference: Reference,
    },
    /// A value that is not sealed in Git.
    Plain {
        /// The file in the repository.
        file: String,
        /// The position of the document in the file, from 0.
        document: usize,
        /// Where the value stands in the document.
        path: KeyPath,
        /// The text or bytes that the handle stands for.
        value: SecretBytes,
    },
}

impl Origin {
    /// Returns the public description that goes into a manifest.
    pub fn mark(&self) -> SecretMark {
        let root = KeyPath::root();
        let (file, document, path, scheme) = match self {
            Self::SopsLeaf { file, document, path } => (file, *document, path, "sops"),
            Self::SopsEnv { file, path } => (file, 0, path, "sops"),
            Self::SopsWhole { file } => (file, 0, &root, "sops"),
            Self::SealedItem { file, document, path, .. } | Self::SealedTemplate { file, document, path, .. } => {
                (file, *document, path, "sealed-secret")
            }
            Self::Reference { file, document, path, .. } => (file, *document, path, "reference"),
            Self::Plain { file, document, path, .. } => (file, *document, path, "plaintext"),
        };
        SecretMark { file: file.clone(), document, key_path: path.to_string(), scheme: scheme.to_owned() }
    }
}

/// The handles of one render. A handle resolves among these only.
#[derive(Debug, Default)]
pub struct HandleTable(BTreeMap<Handle, Origin>);

impl HandleTable {
    /// Returns what a handle stands for, if it is of this render.
    pub fn get(&self, handle: &Handle) -> Option<&Origin> {
        self.0.get(handle)
    }

    /// Returns all handles, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Handle, &Origin)> {
        self.0.iter()
    }

    /// Adds a handle and returns its text. Equal ciphertext in an equal place has one origin: the first.
    pub(super) fn add(&mut self, handle: Handle, origin: Origin) -> String {
        let text = handle.as_str().to_owned();
        self.0.entry(handle).or_insert(origin);
        text
    }

    /// Forgets a handle.
    pub(super) fn remove(&mut self, handle: &Handle) {
        self.0.remove(handle);
    }
}

/// How handles stand in a string of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub enum Embedding {
    /// In the string itself, each with its byte offset.
    Text(Vec<(usize, Handle)>),
    /// In what the string is the base64 of, line breaks aside.
    Base64 {
        /// The decoded text.
        text: String,
        /// The handles in the decoded text, each with its byte offset.
        handles: Vec<(usize, Handle)>,
    },
}

impl Embedding {
    /// Returns the handles in their order.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        let (Self::Text(found) | Self::Base64 { handles: found, .. }) = self;
        found.iter().map(|(_, handle)| handle)
    }
}

/// Why a string that was made from a handle can't be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A handle was cut or changed.
    Damaged,
    /// A handle was encoded in a way that isn't followed.
    Encoded,
}

/// Finds the handles in a string: none, or how they are embedded.
///
/// # Errors
///
/// Refuses text in which a handle was cut, or is encoded other than as one base64 string.
pub fn locate(text: &str) -> Result<Option<Embedding>, Damage> {
    if text.contains(Handle::PREFIX) {
        if has_encoded_prefix(text) {
            return Err(Damage::Encoded);
        }
        return all_intact(text).map(|found| Some(Embedding::Text(found)));
    }
    if !has_encoded_prefix(text) {
        return Ok(None);
    }
    let bytes = STANDARD.decode(without_line_breaks(text).as_bytes()).map_err(|_| Damage::Encoded)?;
    let decoded = String::from_utf8(bytes).map_err(|_| Damage::Encoded)?;
    if has_encoded_prefix(&decoded) {
        return Err(Damage::Encoded);
    }
    let handles = all_intact(&decoded)?;
    Ok(Some(Embedding::Base64 { text: decoded, handles }))
}

/// Tells whether text has the prefix of handles, as it is or in base64.
pub(super) fn mentions_handle(text: &str) -> bool {
    text.contains(Handle::PREFIX) || has_encoded_prefix(text)
}

fn all_intact(text: &str) -> Result<Vec<(usize, Handle)>, Damage> {
    let found = Handle::find_all(text);
    match found.len() == text.matches(Handle::PREFIX).count() {
        true => Ok(found),
        false => Err(Damage::Damaged),
    }
}

fn has_encoded_prefix(text: &str) -> bool {
    let compact = without_line_breaks(text);
    ENCODED_PREFIXES.iter().any(|encoded| compact.contains(encoded.as_str()))
}

/// Kustomize breaks long base64 into lines of 70 characters.
fn without_line_breaks(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte == b'\n' || byte == b'\r') {
        true => text.replace(['\n', '\r'], "").into(),
        false => text.into(),
    }
}

/// What every base64 text has in which the prefix starts at byte 0, 1 or 2 of a group of three: the characters that
/// depend on the prefix alone (RFC 4648 section 4).
static ENCODED_PREFIXES: LazyLock<[String; 3]> = LazyLock::new(|| [0, 1, 2].map(encoded_prefix));

fn encoded_prefix(offset: usize) -> String {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(Handle::PREFIX.as_bytes());
    let first = (offset * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    STANDARD.encode(&bytes).chars().take(last).skip(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_formats::HandleInput;

    fn handle(token: &str) -> Handle {
        Handle::of_ciphertext(HandleInput {
            domain: "sops",
            document: 0,
            path: &KeyPath::root(),
            token: token.as_bytes(),
        })
    }

    #[test]
    fn handles_are_found_as_they_are_and_inside_longer_text() {
        let (a, b) = (handle("a"), handle("b"));
        let text = format!("postgres://{a}:{b}@db");
        let expected = Embedding::Text(vec![(11, a), (12 + Handle::LEN, b)]);
        assert_eq!(locate(&text), Ok(Some(expected)));
        assert_eq!(locate("postgres://db"), Ok(None));
    }

    #[test]
    fn handles_are_found_in_base64_at_any_offset_and_across_line_breaks() {
        let a = handle("a");
        for before in ["", "x", "xy", "xyz", "password="] {
            let text = format!("{before}{a}");
            let mut encoded = STANDARD.encode(&text);
            encoded.insert(70, '\n');
            let expected = Embedding::Base64 { text, handles: vec![(before.len(), a.clone())] };
            assert_eq!(locate(&encoded), Ok(Some(expected)));
        }
    }

    #[test]
    fn what_was_made_from_a_handle_but_is_none_is_refused() {
        let text = handle("a").to_string();
        let once = STANDARD.encode(&text);
        let cases = [
            (text[..40].to_owned(), Damage::Damaged),
            (text.replace('a', "A").replacen('A', "a", 2), Damage::Damaged),
            (STANDARD.encode(&text[..40]), Damage::Damaged),
            (format!("Basic {once}"), Damage::Encoded),
            (format!("{text} {once}"), Damage::Encoded),
            (once[..once.len() - 3].to_owned(), Damage::Encoded),
            (STANDARD.encode(format!("{text}{once}")), Damage::Encoded),
        ];
        for (text, expected) in cases {
            assert_eq!(locate(&text), Err(expected), "{text}");
        }
    }
}
