//! Standard base64 as Go's `encoding/base64.StdEncoding` reads it, since that is what wrote and accepted the files.
//!
//! CR and LF are skipped anywhere, and the unused bits of the last digit may be set. Padding is required. Nothing
//! else is forgiven.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Decodes `text`, which may be plaintext: all intermediate copies are wiped.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.contains(['\r', '\n']) {
        let mut compact = Zeroizing::new(String::with_capacity(text.len()));
        compact.extend(text.chars().filter(|digit| !matches!(digit, '\r' | '\n')));
        return decode_compact(&compact);
    }
    decode_compact(text)
}

fn decode_compact(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
    ENGINE.decode_vec(text, &mut bytes).ok()?;
    Some(std::mem::take(&mut bytes))
}

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_accepts_is_accepted() {
        for text in ["aGk=", "aG\r\nk=", "\naGk=\n", "aGk\n=", "aGl="] {
            assert_eq!(decode(text).as_deref(), Some(b"hi".as_slice()), "{text:?}");
        }
        assert_eq!(decode("").as_deref(), Some(b"".as_slice()));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in ["aGk", "aGk= ", "aGk==", "a Gk=", "aGk=aGk=", "aG-_", "é", "="] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
