//! How PGP keys are called in rules, flags and files: by fingerprint or long key id, in hexadecimal digits.

use std::fmt;
use std::str::FromStr;

/// The name of a PGP key.
///
/// A fingerprint has 40 digits (RFC 9580 section 5.5.4.2) or 64 (section 5.5.4.3), a long key id the last or first 16 of them. There may be
/// spaces between the digits, `0x` before them, and behind them `!` for this very key and not the one that GnuPG would choose of those
/// that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgpKeyName {
    /// As it was given, without spaces: what a file calls it.
    text: String,
    /// The digits, in capitals.
    digits: String,
    is_exact: bool,
}

impl PgpKeyName {
    /// Tells whether it means one very key, and not the best of those that belong together.
    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Tells whether it names a key, which is given by its fingerprint and long key id in capitals.
    pub(super) fn is_of(&self, fingerprint: &str, key_id: &str) -> bool {
        self.digits == fingerprint || self.digits == key_id
    }
}

impl FromStr for PgpKeyName {
    type Err = PgpNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let name = text.strip_suffix('!').unwrap_or(&text);
        let digits = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")).unwrap_or(name).to_ascii_uppercase();
        let is_name = LENGTHS.contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_name {
            return Err(PgpNameError { text });
        }
        let is_exact = text.ends_with('!');
        Ok(Self { text, digits, is_exact })
    }
}

impl fmt::Display for PgpKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text is not the name of a PGP key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no fingerprint of a PGP key")]
pub struct PgpNameError {
    text: String,
}

impl PgpNameError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        "give the 40 digits that `gpg --list-keys` prints"
    }
}

/// How many digits key ids and fingerprints have. The shorter key ids of 8 digits can be made at will, and sops does not take them either.
const LENGTHS: [usize; 3] = [16, 40, 64];

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "85D77543B3D624B63CEA9E6DBC17301B491B3F21";

    #[test]
    fn a_key_is_named_by_fingerprint_or_long_key_id_in_any_spelling() {
        for (text, shown, is_exact) in [
            (FINGERPRINT, FINGERPRINT, false),
            ("85D7 7543 B3D6 24B6 3CEA  9E6D BC17 301B 491B 3F21", FINGERPRINT, false),
            ("85d77543b3d624b63cea9e6dbc17301b491b3f21!", "85d77543b3d624b63cea9e6dbc17301b491b3f21!", true),
            ("0xBC17301B491B3F21", "0xBC17301B491B3F21", false),
            ("BC17301B491B3F21", "BC17301B491B3F21", false),
        ] {
            let name: PgpKeyName = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.is_exact()), (shown, is_exact));
            assert!(name.is_of(FINGERPRINT, "BC17301B491B3F21"));
            assert!(!name.is_of(&FINGERPRINT.replace('8', "9"), "0000000000000000"));
        }
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in
            ["", "!", "0x", "491B3F21", "someone@example.com", "--export", "85D7", &"G".repeat(40), &"é".repeat(20)]
        {
            assert!(text.parse::<PgpKeyName>().is_err(), "{text:?}");
        }
    }
}
