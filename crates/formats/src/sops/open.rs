//! Opens all values of a file with its data key and checks the message authentication code.
//!
//! Source: sops 3.13.3, `Tree.Decrypt` in `sops.go` and `DecryptTree` in `cmd/sops/common/common.go`. The code is
//! a SHA-512 over the plaintext of all values in the order of the file, without separators, comments left out.

use std::borrow::Cow;
use std::iter;

use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::metadata::Metadata;
use super::token::{Token, ValueKind};
use super::tree::{Slot, SlotContent};
use super::unlock::UnlockError;
use crate::yaml::resolve::Scalar;
use crate::yaml::time::Time;
use crate::{KeyPath, SecretBytes, Segment, go_number};

/// A value that was sealed: its type and its text.
///
/// The text is a string's bytes, an integer in decimal, a float in decimal without an exponent, `true` or
/// `false`, or a time in RFC 3339.
#[derive(Debug)]
pub struct OpenedValue {
    /// The type that the token claimed. The cipher does not authenticate it, the text it does.
    pub kind: ValueKind,
    /// The text.
    pub text: SecretBytes,
}

impl OpenedValue {
    /// Returns the number that the text of a float says.
    pub(crate) fn float(&self) -> Option<f64> {
        std::str::from_utf8(self.text.expose_secret()).ok()?.parse().ok()
    }

    /// Returns the time that the text of a time says.
    pub(crate) fn time(&self) -> Option<Time> {
        Time::from_rfc3339(std::str::from_utf8(self.text.expose_secret()).ok()?)
    }
}

/// Opens every sealed slot and checks the code of the file; the result has one entry for each slot.
pub(crate) fn open(
    slots: &[Slot],
    metadata: &Metadata,
    cipher: &Cipher,
) -> Result<Vec<Option<OpenedValue>>, UnlockError> {
    let mac = metadata.mac.as_ref().ok_or(UnlockError::NoMac)?;
    let expected = cipher.open(mac, &mac_place(metadata)).ok_or(UnlockError::MacDamaged)?;
    let opened = open_unverified(slots, cipher)?;
    let equal: bool = code(slots, &opened, metadata).as_bytes().ct_eq(expected.as_slice()).into();
    if equal { Ok(opened) } else { Err(UnlockError::MacMismatch) }
}

/// Opens every sealed slot, and looks at no code; the result has one entry for each slot.
pub(crate) fn open_unverified(slots: &[Slot], cipher: &Cipher) -> Result<Vec<Option<OpenedValue>>, UnlockError> {
    slots.iter().map(|slot| open_slot(slot, cipher)).collect()
}

/// Returns the code of a file in capital hexadecimal digits: over what was opened of its slots, and what stands in the others.
///
/// It is computed on the heap, where it is wiped when it is freed: it holds up to a block of plaintext, which moving it would leave
/// behind.
pub(crate) fn code(slots: &[Slot], opened: &[Option<OpenedValue>], metadata: &Metadata) -> Zeroizing<String> {
    let mac_only_encrypted = metadata.terms.mac_only_encrypted;
    let mut hash = Box::new(Sha512::new());
    if mac_only_encrypted {
        hash.update(Sha256::digest(b"sops"));
    }
    let opened = opened.iter().map(Option::as_ref).chain(iter::repeat(None));
    for (slot, opened) in slots.iter().zip(opened) {
        if !slot.is_comment && (slot.selected || !mac_only_encrypted) {
            feed(&mut hash, &slot.content, opened);
        }
    }
    Zeroizing::new(hash.finalize_reset().iter().map(|byte| format!("{byte:02X}")).collect())
}

/// The additional data of the code itself: the time of the last change, to the second.
pub(crate) fn mac_place(metadata: &Metadata) -> Vec<u8> {
    metadata.last_modified.to_seconds().into_bytes()
}

/// The additional data of a value: `a:b:` for the path a, b. List indices do not count.
pub(crate) fn place(path: &KeyPath) -> Vec<u8> {
    let mut keys = path.segments().iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(key.as_str()),
        Segment::Index(_) => None,
    });
    let mut place = keys.next().unwrap_or_default().to_owned();
    for key in keys {
        place.push(':');
        place.push_str(key);
    }
    place.push(':');
    place.into_bytes()
}

fn open_slot(slot: &Slot, cipher: &Cipher) -> Result<Option<OpenedValue>, UnlockError> {
    let SlotContent::Sealed(token) = &slot.content else {
        return Ok(None);
    };
    let (document, path) = (slot.document, || slot.path.clone());
    let Some(text) = cipher.open(token, &place(&slot.path)) else {
        return Err(match slot.is_comment {
            true => UnlockError::Comment { document, path: path() },
            false => UnlockError::Value { document, path: path() },
        });
    };
    let value = typed(token, text).ok_or_else(|| UnlockError::Type { document, path: path() })?;
    Ok(Some(value))
}

fn typed(token: &Token, mut text: Zeroizing<Vec<u8>>) -> Option<OpenedValue> {
    let kind = token.kind.unwrap_or(ValueKind::Str);
    let text = match kind {
        ValueKind::Str | ValueKind::Bytes => std::mem::take(&mut *text),
        _ => normal_form(kind, std::str::from_utf8(&text).ok()?)?.into_bytes(),
    };
    Some(OpenedValue { kind, text: SecretBytes::new(text) })
}

/// Writes a value as Go would write what it read, since that is what sops hashes.
fn normal_form(kind: ValueKind, text: &str) -> Option<String> {
    match kind {
        ValueKind::Int => text.parse::<i64>().ok().map(|value| value.to_string()),
        ValueKind::Float => text.parse::<f64>().ok().map(go_number::plain),
        ValueKind::Time => Time::from_rfc3339(text).map(Time::to_nanos),
        ValueKind::Bool => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".to_owned()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".to_owned()),
            _ => None,
        },
        ValueKind::Str | ValueKind::Bytes => None,
    }
}

/// Feeds the code of a file with a value: what was opened, or what stands in the clear.
fn feed(hash: &mut Sha512, content: &SlotContent, opened: Option<&OpenedValue>) {
    match (content, opened) {
        (_, Some(OpenedValue { kind: ValueKind::Bool, text })) => hash.update(truth(text.expose_secret() == b"true")),
        (_, Some(value)) => hash.update(value.text.expose_secret()),
        (SlotContent::Plain(scalar), None) => hash.update(plaintext(scalar).unwrap_or_default()),
        (SlotContent::Sealed(_), None) => {}
    }
}

/// Returns the text of a value that is sealed and hashed; nothing for null.
pub(crate) fn plaintext(scalar: &Scalar) -> Option<Cow<'_, [u8]>> {
    let written = |text: String| Cow::Owned(text.into_bytes());
    Some(match scalar {
        Scalar::Null => return None,
        Scalar::Bool(value) => truth(*value).as_bytes().into(),
        Scalar::Int(value) => written(value.to_string()),
        Scalar::Uint(value) => written(value.to_string()),
        Scalar::Float(value) => written(go_number::plain(*value)),
        Scalar::Time(time) => written(time.to_nanos()),
        Scalar::Text(text) => text.as_bytes().into(),
        Scalar::Bytes(bytes) => bytes.into(),
        Scalar::Merge => b"<<".into(),
    })
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_additional_data_has_keys_and_no_indices() {
        let root = KeyPath::root();
        let cases = [
            (root.clone(), ":"),
            (root.key("a").key("b"), "a:b:"),
            (root.key("list").index(3).index(0).key("k"), "list:k:"),
            (root.key(""), ":"),
            (root.key("a:b").key("c"), "a:b:c:"),
        ];
        for (path, expected) in cases {
            assert_eq!(place(&path), expected.as_bytes(), "{path}");
        }
    }
}
