//! Handles: what stands in a manifest in place of a secret while it is rendered, planned and shown.
//!
//! A handle is [`Handle::PREFIX`] and 64 hexadecimal digits: letters and digits only, so that YAML, JSON,
//! shells and renderers leave it alone, and never a number. The digits are a SHA-256 over length-prefixed
//! parts (each as a 64-bit big-endian length and the bytes), so equal ciphertext in an equal place has an
//! equal handle in every render. For what is not ciphertext the digest is keyed (HMAC-SHA-256, RFC 2104),
//! because a plain digest of a weak value could be guessed.
//!
//! A handle says nothing about who may use it: it resolves only among the documents of the render that made it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::KeyPath;

/// The key under which handles of values that aren't ciphertext are made; one per installation, or per run of `seal`.
pub struct Salt(Zeroizing<[u8; 32]>);

impl Salt {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt([REDACTED])")
    }
}

/// What a handle is made from.
#[derive(Clone, Copy, Debug)]
pub struct HandleInput<'a> {
    /// Keeps kinds of use apart: `sops`, `sops-whole`, `sealed-secret`, `plain`.
    pub domain: &'a str,
    /// The position of the document in its file, from 0.
    pub document: usize,
    /// Where the value stands in the document.
    pub path: &'a KeyPath,
    /// The ciphertext as it stands in the file, or, with a [`Salt`], the plain value.
    pub token: &'a [u8],
}

/// The public stand-in for one sealed value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(String);

impl Handle {
    /// Starts every handle. Text from Git that holds it is refused.
    pub const PREFIX: &'static str = "waxwinghandle0";
    /// The length of every handle in bytes.
    pub const LEN: usize = Self::PREFIX.len() + 64;

    /// Makes the handle of a ciphertext.
    pub fn of_ciphertext(input: HandleInput<'_>) -> Self {
        let mut hash = Sha256::new();
        input.feed(|bytes| hash.update(bytes));
        Self::from_digest(&hash.finalize())
    }

    /// Makes the handle of a value that is not ciphertext.
    pub fn of_plaintext(input: HandleInput<'_>, salt: &Salt) -> Self {
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(salt.0.iter()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        input.feed(|bytes| mac.update(bytes));
        Self::from_digest(&mac.finalize().into_bytes())
    }

    fn from_digest(digest: &[u8]) -> Self {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{}{hex}", Self::PREFIX))
    }

    /// Returns the handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Finds all well-formed handles in `text` with their byte offsets, in order, without overlap.
    pub fn find_all(text: &str) -> Vec<(usize, Handle)> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(offset) = text.get(from..).and_then(|rest| rest.find(Self::PREFIX)) {
            let start = from + offset;
            match text.get(start..start + Self::LEN).and_then(Self::parse) {
                Some(handle) => {
                    found.push((start, handle));
                    from = start + Self::LEN;
                }
                None => from = start + Self::PREFIX.len(),
            }
        }
        found
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        let well_formed = digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HandleInput<'_> {
    fn feed(&self, mut update: impl FnMut(&[u8])) {
        let path = self.path.to_string();
        let document = (self.document as u64).to_be_bytes();
        for part in [self.domain.as_bytes(), &document, path.as_bytes(), self.token] {
            update(&(part.len() as u64).to_be_bytes());
            update(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input<'a>(path: &'a KeyPath, token: &'a [u8]) -> HandleInput<'a> {
        HandleInput { domain: "sops", document: 0, path, token }
    }

    #[test]
    fn equal_ciphertext_in_an_equal_place_has_an_equal_handle() {
        let path = KeyPath::root().key("data");
        assert_eq!(Handle::of_ciphertext(input(&path, b"x")), Handle::of_ciphertext(input(&path, b"x")));
        assert_ne!(Handle::of_ciphertext(input(&path, b"x")), Handle::of_ciphertext(input(&path, b"y")));
        let elsewhere = KeyPath::root().key("date");
        assert_ne!(Handle::of_ciphertext(input(&path, b"x")), Handle::of_ciphertext(input(&elsewhere, b"x")));
    }

    #[test]
    fn handles_of_plaintext_depend_on_the_salt() {
        let path = KeyPath::root();
        let (one, two) = (Salt::new([1; 32]), Salt::new([2; 32]));
        assert_ne!(Handle::of_plaintext(input(&path, b"x"), &one), Handle::of_plaintext(input(&path, b"x"), &two));
        assert_ne!(Handle::of_plaintext(input(&path, b"x"), &one), Handle::of_ciphertext(input(&path, b"x")));
    }

    #[test]
    fn handles_are_found_inside_longer_text_and_damaged_ones_are_not() {
        let handle = Handle::of_ciphertext(input(&KeyPath::root(), b"x"));
        let text = format!("a{handle}b{handle}{}zz", Handle::PREFIX);
        let found: Vec<usize> = Handle::find_all(&text).into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, [1, 2 + Handle::LEN]);
        let damaged = handle.as_str().replace(Handle::PREFIX, "waxwinghandle0Z");
        assert!(Handle::find_all(&damaged).is_empty());
        assert!(Handle::find_all("waxwinghandle0é").is_empty());
    }
}
