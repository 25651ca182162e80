//! Finds known secrets in any bytes, in every form in which a program is likely to write them.
//!
//! Not here: compressed or encrypted forms, and secrets that are cut into pieces.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};

/// One form of one secret.
struct Needle {
    secret: String,
    form: String,
    bytes: Vec<u8>,
}

/// All forms of all secrets that are looked for.
#[derive(Default)]
pub(crate) struct Needles {
    needles: Vec<Needle>,
    /// Goes through a haystack once for all of them; made when it is first needed.
    search: OnceLock<AhoCorasick>,
}

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    secret: String,
    form: String,
    around: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}: ...{}...", self.secret, self.form, self.around)
    }
}

impl Needles {
    /// Adds a secret of at least 16 bytes, in all its forms.
    pub(crate) fn add(&mut self, secret: &str, bytes: &[u8]) {
        assert!(bytes.len() >= 16, "{secret} is too short to be found for sure");
        let needle = |(form, bytes)| Needle { secret: secret.to_owned(), form, bytes };
        self.needles.extend(forms(bytes).into_iter().map(needle));
        self.search = OnceLock::new();
    }

    /// Returns where each form of each secret stands first.
    pub(crate) fn find(&self, haystack: &[u8]) -> Vec<Found> {
        let all = || AhoCorasick::new(self.needles.iter().map(|needle| &needle.bytes)).unwrap();
        let mut found = BTreeMap::new();
        for hit in self.search.get_or_init(all).find_overlapping_iter(haystack) {
            let index = hit.pattern().as_usize();
            found.entry(index).or_insert_with(|| self.found(index, haystack, hit.start()));
        }
        found.into_values().collect()
    }

    fn found(&self, index: usize, haystack: &[u8], at: usize) -> Found {
        let Needle { secret, form, bytes } = &self.needles[index];
        let around = &haystack[at.saturating_sub(200)..haystack.len().min(at + bytes.len() + 100)];
        Found { secret: secret.clone(), form: form.clone(), around: String::from_utf8_lossy(around).into_owned() }
    }
}

/// Returns what each form is called, and the bytes that it is.
fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms: Vec<(String, Vec<u8>)> = vec![
        ("it is".to_owned(), secret.to_vec()),
        ("reversed bytes".to_owned(), secret.iter().rev().copied().collect()),
        ("hexadecimal digits".to_owned(), hex::encode(secret).into_bytes()),
        ("upper-case hexadecimal digits".to_owned(), hex::encode_upper(secret).into_bytes()),
        ("a list of numbers".to_owned(), numbers.join(", ").into_bytes()),
    ];
    for (name, engine) in [("base64", &STANDARD), ("URL-safe base64", &URL_SAFE)] {
        for offset in 0..3 {
            let letters = base64_within(engine, secret, offset);
            if forms.iter().all(|(_, bytes)| *bytes != letters) {
                forms.push((format!("{name} at offset {offset}"), letters));
            }
        }
    }
    forms
}

/// Returns the letters that stand in the base64 of anything that holds the secret at a position which is `offset`
/// modulo 3, whatever is before and behind it.
fn base64_within(engine: &GeneralPurpose, secret: &[u8], offset: usize) -> Vec<u8> {
    let padded = [&vec![0; offset], secret].concat();
    let whole = padded.len() / 3 * 3;
    let letters = engine.encode(&padded[..whole]).into_bytes();
    // Six bits a letter: those that hold bits of what is before are left out.
    letters[[0, 2, 3][offset]..].to_vec()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = "Vb4Gd6Hp1Js0????YcW2Qf3Zr9Xk5Tn8V";
    let mut needles = Needles::default();
    needles.add("the secret", secret.as_bytes());
    let text = format!("before {secret} after");
    let table = [
        ("it is", text.clone()),
        ("reversed bytes", text.chars().rev().collect()),
        ("hexadecimal digits", hex::encode(&text)),
        ("upper-case hexadecimal digits", hex::encode_upper(&text)),
        ("a list of numbers", format!("{:?}", text.as_bytes())),
        ("base64 at offset 0", STANDARD.encode(format!("123{secret}4"))),
        ("base64 at offset 1", STANDARD.encode(format!("1234{secret}45"))),
        ("base64 at offset 2", STANDARD.encode(format!("12345{secret}456"))),
        ("URL-safe base64 at offset 0", URL_SAFE.encode(secret)),
        ("URL-safe base64 at offset 1", URL_SAFE.encode(format!("1{secret}"))),
        ("URL-safe base64 at offset 2", URL_SAFE.encode(format!("12{secret}"))),
    ];
    for (form, haystack) in table {
        let found = needles.find(haystack.as_bytes());
        assert!(found.iter().any(|found| found.form == form), "{form} of {haystack}: {found:?}");
    }
}

#[test]
fn what_is_not_the_secret_is_not_found() {
    let mut needles = Needles::default();
    needles.add("the secret", b"Vb4Gd6Hp1Js0YcW2Qf3Zr9");
    for haystack in ["", "V", "Vb4Gd6Hp1Js0YcW2Qf3Zr", "vb4gd6hp1js0ycw2qf3zr9", "waxwing"] {
        assert_eq!(needles.find(haystack.as_bytes()), [], "{haystack}");
    }
}
