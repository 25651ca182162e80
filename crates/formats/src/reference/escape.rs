//! Percent-encoding (RFC 3986, section 2.1), decoded exactly once, and the characters that no part of a reference has.

use std::fmt::Write;

use super::ReferenceError;

/// Tells whether a byte stands for itself: unreserved (RFC 3986, section 2.3), and `:`, `@` and `=`, which names of AWS have.
pub(super) fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'=')
}

/// Tells whether a byte can stand in a reference behind its scheme.
pub(super) fn is_of_reference(byte: u8) -> bool {
    is_literal(byte) || matches!(byte, b'%' | b'/' | b'?' | b'&' | b'#')
}

/// Decodes one segment of a path or one key of a pointer.
pub(super) fn decode(text: &str) -> Result<String, ReferenceError> {
    match text.bytes().all(|byte| is_literal(byte) || byte == b'%') {
        true => decode_any(text),
        false => Err(ReferenceError::NotEnded),
    }
}

/// Decodes what may have other characters too, as references of vals have.
pub(super) fn decode_any(text: &str) -> Result<String, ReferenceError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next())? << 4 | hex(rest.next())? } else { byte });
    }
    let decoded = String::from_utf8(bytes).map_err(|_| ReferenceError::NotUtf8)?;
    if decoded.contains(['/', '\\']) {
        return Err(ReferenceError::EncodedSlash);
    }
    if decoded.chars().any(is_hidden) {
        return Err(ReferenceError::ControlCharacter);
    }
    Ok(decoded)
}

fn hex(digit: Option<u8>) -> Result<u8, ReferenceError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(ReferenceError::BadEscape),
    }
}

/// Tells whether a character controls something or can't be seen: C0, C1 and DEL, and the separators, joiners and marks of
/// direction of General Punctuation.
pub(super) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Encodes what [`decode`] gives back: one form for each text.
pub(super) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match is_literal(byte) {
            true => into.push(char::from(byte)),
            false => {
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
}
