//! Where references stand in a text, and where they end.

use std::fmt;

use zeroize::Zeroizing;

use super::escape::is_of_reference;
use super::{Foreign, MAX_BYTES, Provider, Reference, ReferenceError, StoreKind};
use crate::sealed_secret::lenient_base64;

/// A part of a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The part as it stands in the text, with the `+` that ends a reference. What is no well-formed reference may be a secret.
    pub raw: &'a str,
    /// What it is.
    pub content: Content,
}

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece {{ raw: [REDACTED; {} bytes], content: {:?} }}", self.raw.len(), self.content)
    }
}

/// What a part of a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// No reference.
    Text,
    /// A reference.
    Reference(Reference),
    /// What another tool takes for one.
    Foreign(Foreign),
    /// Something that begins as a reference and is none. Whoever resolves references must refuse the whole text.
    Malformed(ReferenceError),
}

/// Decodes a value of a Secret's `data`: gives its text if there is a reference in it, or what begins as one.
pub fn decoded(data: &str) -> Option<Zeroizing<String>> {
    let bytes = lenient_base64::decode(data)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            return None;
        }
    };
    let has_reference = Reference::find(&text).iter().any(|piece| piece.content != Content::Text);
    has_reference.then_some(text)
}

/// Where something begins as a reference, as byte offsets.
struct Claim<'a> {
    start: usize,
    end: usize,
    content: Content,
    raw: &'a str,
}

/// Takes a text apart.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut done, mut from) = (0, 0);
    while let Some(offset) = text.get(from..).and_then(|rest| rest.find(['r', '<'])) {
        let at = from + offset;
        let Some(claim) = claim(text, at, done) else {
            from = at + 1;
            continue;
        };
        let before = text.get(done..claim.start).filter(|before| !before.is_empty());
        pieces.extend(before.map(|raw| Piece { raw, content: Content::Text }));
        pieces.push(Piece { raw: claim.raw, content: claim.content });
        (done, from) = (claim.end, claim.end);
    }
    let rest = text.get(done..).filter(|rest| !rest.is_empty());
    pieces.extend(rest.map(|raw| Piece { raw, content: Content::Text }));
    pieces
}

/// Reads what begins at an offset, where nothing before `done` may be taken.
fn claim(text: &str, at: usize, done: usize) -> Option<Claim<'_>> {
    let rest = text.get(at..)?;
    if let Some(inner) = rest.strip_prefix(PLACEHOLDER).and_then(placeholder) {
        let end = at + PLACEHOLDER.len() + inner.len() + 1;
        let content = Content::Foreign(Foreign::of_placeholder(inner));
        return Some(Claim { start: at, end, content, raw: text.get(at..end)? });
    }
    let (scheme, body) = scheme(rest.strip_prefix("ref+")?)?;
    let is_secret = text.get(done..at).is_some_and(|before| before.ends_with(SECRET));
    let start = if is_secret { at - SECRET.len() } else { at };
    let begins = text.len() - body.len();
    let (length, content) = match (StoreKind::of_scheme(scheme), Provider::of_scheme(scheme)) {
        (Some(kind), _) => native(kind, body, is_secret),
        (None, Some(provider)) => of_vals(provider, body),
        (None, None) => (run(body).0, Content::Malformed(ReferenceError::UnknownScheme)),
    };
    let end = begins + length;
    let raw = text.get(start..end)?;
    let content = if raw.len() > MAX_BYTES { Content::Malformed(ReferenceError::TooLong) } else { content };
    Some(Claim { start, end, content, raw })
}

/// What stands before `ref+` where vals is told that a value is secret.
const SECRET: &str = "secret";

/// How a placeholder of argocd-vault-plugin begins.
const PLACEHOLDER: &str = "<path:";

/// The longest scheme that is taken for one.
const MAX_SCHEME_BYTES: usize = 32;

/// Takes the scheme from what stands behind `ref+`, and returns what stands behind its `://`.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let is_of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let length = text.bytes().take(MAX_SCHEME_BYTES + 1).take_while(|byte| is_of_scheme(byte)).count();
    let (scheme, rest) = text.split_at_checked(length)?;
    let body = rest.strip_prefix("://")?;
    (!scheme.is_empty() && length <= MAX_SCHEME_BYTES).then_some((scheme, body))
}

/// Takes what stands between `<path:` and `>`, on one line and without another `<`; argocd-vault-plugin takes it for a placeholder if
/// there is a `#` in it (`specificPathPlaceholder` in its `pkg/kube/util.go`).
fn placeholder(text: &str) -> Option<&str> {
    let length = text.bytes().take(MAX_BYTES).position(|byte| matches!(byte, b'<' | b'>' | b'\n' | b'\r'))?;
    let (inner, rest) = text.split_at_checked(length)?;
    (rest.starts_with('>') && inner.contains('#')).then_some(inner)
}

/// Reads a reference of ours. Returns how many bytes belong to it, with the `+`.
fn native(kind: StoreKind, body: &str, is_secret: bool) -> (usize, Content) {
    let (length, is_ended) = run(body);
    let inner = body.get(..length).map(|inner| inner.strip_suffix('+').unwrap_or(inner)).unwrap_or_default();
    let content = match () {
        () if is_secret => Err(ReferenceError::SecretPrefix),
        () if !is_ended => Err(ReferenceError::NotEnded),
        () if length > MAX_BYTES => Err(ReferenceError::TooLong),
        () => Reference::read(kind, inner),
    };
    (length, content.map_or_else(Content::Malformed, Content::Reference))
}

/// Returns how far a reference goes, with the `+` that ends it, and whether it is ended: by a `+`, a line break or the end of the
/// text. A `+` that belongs to another reference, since nothing else ended this one, is none.
fn run(body: &str) -> (usize, bool) {
    let length = body.bytes().take_while(|byte| is_of_reference(*byte)).count();
    match body.as_bytes().get(length) {
        Some(b'+') => ended_by_plus(body, length),
        Some(b'\n' | b'\r') | None => (length, true),
        Some(_) => (length, false),
    }
}

fn ended_by_plus(body: &str, length: usize) -> (usize, bool) {
    let before = body.get(..length).and_then(|before| before.strip_suffix("ref"));
    let begins_another = body.get(length + 1..).and_then(scheme).is_some();
    match before.filter(|_| begins_another) {
        Some(before) => (before.strip_suffix(SECRET).unwrap_or(before).len(), false),
        None => (length + 1, true),
    }
}

/// Reads a reference of vals, which ends before a blank, a `+` or a line break, and not with a quote or comma (`DefaultRefRegexp`
/// in its `pkg/expansion/expand_match.go`).
fn of_vals(provider: Provider, body: &str) -> (usize, Content) {
    let whole = body.find(['+', ' ', '\n', '\r', '\t']).unwrap_or(body.len());
    let inner = body.get(..whole).unwrap_or_default().trim_end_matches(['"', ',']);
    let has_plus = inner.len() == whole && body.as_bytes().get(whole) == Some(&b'+');
    let (length, is_ended) = if has_plus { ended_by_plus(body, whole) } else { (inner.len(), true) };
    match is_ended {
        true if inner.len() <= MAX_BYTES => (length, Content::Foreign(Foreign::of_vals(provider, inner))),
        true => (length, Content::Malformed(ReferenceError::TooLong)),
        false => (length, Content::Malformed(ReferenceError::NotEnded)),
    }
}
