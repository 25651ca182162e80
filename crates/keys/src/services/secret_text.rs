//! Keys as base64, and tokens, in JSON: in buffers that have their full size at once and are wiped.

use std::borrow::Cow;

use base64::Engine;
use serde::Deserialize;
use waxwing_formats::SecretBytes;
use zeroize::{Zeroize, Zeroizing};

/// A text that is a key or a token. It stays where the JSON is, unless something in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct SecretText<'a>(#[serde(borrow)] Cow<'a, str>);

impl SecretText<'_> {
    /// Tells whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text itself, for one that is no base64.
    pub(super) fn to_secret(&self) -> SecretBytes {
        SecretBytes::concat(&[self.0.as_bytes()])
    }

    /// Returns the key, or nothing if the text is not base64 or empty.
    pub(super) fn decode(&self, engine: &impl Engine) -> Option<SecretBytes> {
        let mut bytes = Zeroizing::new(vec![0; self.0.len()]);
        let length = engine.decode_slice(self.0.as_bytes(), &mut bytes).ok()?;
        let bytes = bytes.get(..length).filter(|bytes| !bytes.is_empty())?;
        Some(SecretBytes::concat(&[bytes]))
    }
}

impl Drop for SecretText<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

/// Writes a key as base64.
pub(super) fn encode(engine: &impl Engine, key: &[u8]) -> Zeroizing<Vec<u8>> {
    // Four characters for each three bytes that begin.
    let mut text = Zeroizing::new(vec![0; key.len().div_ceil(3).saturating_mul(4)]);
    let length = engine.encode_slice(key, &mut text).unwrap_or_default();
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_key_reads_back_also_where_a_service_escapes_what_it_need_not() {
        let key = [251, 255, 0, 1];
        assert_eq!((&**encode(&STANDARD, &key), &**encode(&URL_SAFE_NO_PAD, &key)), (&b"+/8AAQ=="[..], &b"-_8AAQ"[..]));
        let text: SecretText<'_> = serde_json::from_str(r#""+\/8AAQ\u003d\u003d""#).unwrap();
        assert_eq!(text.decode(&STANDARD).unwrap().expose_secret(), key);
        for text in [r#""""#, r#""+/8AAQ""#, r#""?""#] {
            let text: SecretText<'_> = serde_json::from_str(text).unwrap();
            assert!(text.decode(&STANDARD).is_none());
        }
    }
}
