//! Which secret of a store: its path as decoded segments, and which value in it: a pointer.

use std::fmt;
use std::str::FromStr;

use super::ReferenceError;
use super::escape::{decode, encode, is_hidden};

/// The path of a secret in a store: at least one segment, none of which is empty, `.` or `..` or has a slash, a backslash, a
/// percent sign or a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretPath(Vec<String>);

impl SecretPath {
    /// Takes segments as they are, without decoding anything.
    ///
    /// # Errors
    /// Fails if there is none, or one that no path has.
    pub fn new(segments: impl IntoIterator<Item = String>) -> Result<Self, ReferenceError> {
        let segments: Vec<String> = segments.into_iter().collect();
        segments.iter().try_for_each(|segment| check(segment))?;
        if segments.is_empty() { Err(ReferenceError::NoPath) } else { Ok(Self(segments)) }
    }

    /// Returns the segments, decoded.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for SecretPath {
    type Err = ReferenceError;

    /// Reads segments with slashes between them and decodes each of them once.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::NoPath);
        }
        Self::new(text.split('/').map(decode).collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (index, segment) in self.0.iter().enumerate() {
            text.push_str(if index > 0 { "/" } else { "" });
            encode(segment, &mut text);
        }
        f.write_str(&text)
    }
}

fn check(segment: &str) -> Result<(), ReferenceError> {
    match segment {
        "" => Err(ReferenceError::EmptySegment),
        "." | ".." => Err(ReferenceError::DotSegment),
        segment if segment.contains(['/', '\\']) => Err(ReferenceError::EncodedSlash),
        segment if segment.contains('%') => Err(ReferenceError::EncodedPercent),
        segment if segment.chars().any(is_hidden) => Err(ReferenceError::ControlCharacter),
        _ => Ok(()),
    }
}

/// Which value of a secret that is a JSON object: the keys that lead to it (RFC 6901); none for the secret as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Takes keys as they are, without decoding anything.
    ///
    /// # Errors
    /// Fails if one is empty, or has a control character or a backslash.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Result<Self, ReferenceError> {
        let keys: Vec<String> = keys.into_iter().collect();
        for key in &keys {
            if key.is_empty() {
                return Err(ReferenceError::EmptyKey);
            }
            if key.contains('\\') {
                return Err(ReferenceError::EncodedSlash);
            }
            if key.chars().any(is_hidden) {
                return Err(ReferenceError::ControlCharacter);
            }
        }
        Ok(Self(keys))
    }

    /// Returns the keys, decoded.
    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Pointer {
    type Err = ReferenceError;

    /// Reads what stands behind `#`: percent-encoding first, then `~0` and `~1` (RFC 6901, section 6).
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let keys = text.strip_prefix('/').ok_or(ReferenceError::PointerWithoutSlash)?;
        Self::new(keys.split('/').map(|key| untilde(&decode(key)?)).collect::<Result<Vec<_>, _>>()?)
    }
}

fn untilde(key: &str) -> Result<String, ReferenceError> {
    let mut parts = key.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return Err(ReferenceError::BadTilde),
        };
        text.push(character);
        text.push_str(rest);
    }
    Ok(text)
}

impl fmt::Display for Pointer {
    /// Writes the pointer as it stands behind `#`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for key in &self.0 {
            text.push('/');
            encode(&key.replace('~', "~0").replace('/', "~1"), &mut text);
        }
        f.write_str(&text)
    }
}
