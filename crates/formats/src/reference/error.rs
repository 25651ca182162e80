//! Why a reference or a pattern of paths is none; never with a byte of it, since a value that only looks like a reference may be a
//! secret.

use thiserror::Error;

/// Says what is wrong with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum ReferenceError {
    /// What stands between `ref+` and `://` is neither ours nor of vals.
    #[error("the reference is of a kind that nobody knows")]
    UnknownScheme,
    /// It begins with `secretref+`, which is the spelling of vals.
    #[error("a reference to a store begins with ref+, not with secretref+")]
    SecretPrefix,
    /// It is longer than [`super::MAX_BYTES`].
    #[error("the reference is longer than 2048 bytes")]
    TooLong,
    /// Something stands behind it, or in it, that can't be part of it.
    #[error("the reference goes over into other text without a + at its end")]
    NotEnded,
    /// The store is no name of a resource.
    #[error("the name of the store is not that of a resource")]
    BadStore,
    /// There is nothing behind the store.
    #[error("the reference names no path")]
    NoPath,
    /// A segment of the path is empty.
    #[error("a segment of the path is empty")]
    EmptySegment,
    /// A segment of the path is `.` or `..`, however it is written.
    #[error("a segment of the path is . or ..")]
    DotSegment,
    /// A slash or a backslash is percent-encoded.
    #[error("a slash or backslash is encoded")]
    EncodedSlash,
    /// A percent sign is percent-encoded, so that something could be decoded twice.
    #[error("a percent sign is encoded")]
    EncodedPercent,
    /// A percent sign has no two hexadecimal digits behind it.
    #[error("a percent sign is not followed by two hexadecimal digits")]
    BadEscape,
    /// What is percent-encoded is not UTF-8, or not in its shortest form.
    #[error("what is percent-encoded is not UTF-8")]
    NotUtf8,
    /// There is a control character, or one that can't be seen.
    #[error("a control character or an invisible one is encoded")]
    ControlCharacter,
    /// A parameter is not one that references have.
    #[error("a parameter is none of version, decode and refresh")]
    UnknownParameter,
    /// A parameter stands twice.
    #[error("a parameter stands twice")]
    RepeatedParameter,
    /// The version is empty, too long or has other characters than versions have.
    #[error("the version is no version")]
    BadVersion,
    /// The value is to be decoded from something else than base64.
    #[error("values are decoded from base64 only")]
    BadDecode,
    /// The time between two questions is no time, or not between a second and a day.
    #[error("the time between two questions is not between a second and a day")]
    BadRefresh,
    /// What stands behind `#` does not begin with a slash.
    #[error("the pointer behind # does not begin with a slash")]
    PointerWithoutSlash,
    /// A key in the pointer is empty.
    #[error("a key in the pointer is empty")]
    EmptyKey,
    /// A `~` in the pointer is followed by neither 0 nor 1.
    #[error("a ~ in the pointer is followed by neither 0 nor 1")]
    BadTilde,
}

impl ReferenceError {
    /// All of them, in the order in which they are described.
    pub const ALL: [Self; 21] = [
        Self::UnknownScheme,
        Self::SecretPrefix,
        Self::TooLong,
        Self::NotEnded,
        Self::BadStore,
        Self::NoPath,
        Self::EmptySegment,
        Self::DotSegment,
        Self::EncodedSlash,
        Self::EncodedPercent,
        Self::BadEscape,
        Self::NotUtf8,
        Self::ControlCharacter,
        Self::UnknownParameter,
        Self::RepeatedParameter,
        Self::BadVersion,
        Self::BadDecode,
        Self::BadRefresh,
        Self::PointerWithoutSlash,
        Self::EmptyKey,
        Self::BadTilde,
    ];

    /// Returns the word for it that scripts may rely on.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownScheme => "unknown-scheme",
            Self::SecretPrefix => "secret-prefix",
            Self::TooLong => "too-long",
            Self::NotEnded => "not-ended",
            Self::BadStore => "bad-store",
            Self::NoPath => "no-path",
            Self::EmptySegment => "empty-segment",
            Self::DotSegment => "dot-segment",
            Self::EncodedSlash => "encoded-slash",
            Self::EncodedPercent => "encoded-percent",
            Self::BadEscape => "bad-escape",
            Self::NotUtf8 => "not-utf8",
            Self::ControlCharacter => "control-character",
            Self::UnknownParameter => "unknown-parameter",
            Self::RepeatedParameter => "repeated-parameter",
            Self::BadVersion => "bad-version",
            Self::BadDecode => "bad-decode",
            Self::BadRefresh => "bad-refresh",
            Self::PointerWithoutSlash => "pointer-without-slash",
            Self::EmptyKey => "empty-key",
            Self::BadTilde => "bad-tilde",
        }
    }

    /// Returns what the author of the file can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::UnknownScheme => {
                "write ref+store://STORE/PATH#/KEY, or ref+clusterstore:// for a store of the cluster"
            }
            Self::SecretPrefix => "write ref+store:// or ref+clusterstore://",
            Self::TooLong => "name the secret by a shorter path",
            Self::NotEnded => "end the reference with +, or percent-encode the character (%20 for a space)",
            Self::BadStore => {
                "name a SecretBackend: lower-case letters, digits, - and ., from a letter or digit to a letter or digit"
            }
            Self::NoPath => "write the path of the secret behind the store: ref+store://STORE/PATH",
            Self::EmptySegment => "take out slashes that are doubled or stand at the end",
            Self::DotSegment => "write the path as the store has it, without . and ..",
            Self::EncodedSlash => "write / between segments; in a pointer, ~1 for a slash in a key",
            Self::EncodedPercent => "decode the path once; a % can be part of a key, not of a path",
            Self::BadEscape => "write %25 for a percent sign in a key, or two hexadecimal digits behind it",
            Self::NotUtf8 => "encode the bytes of the character's UTF-8",
            Self::ControlCharacter => "take the character out",
            Self::UnknownParameter => {
                "write version, decode and refresh only; where a store is and who logs in says its SecretBackend"
            }
            Self::RepeatedParameter => "keep one of the two",
            Self::BadVersion => "write up to 128 letters, digits, -, _ and .",
            Self::BadDecode => "write decode=base64, or leave it out",
            Self::BadRefresh => "write refresh= and a whole number of s, m or h, such as refresh=30s",
            Self::PointerWithoutSlash => "write #/KEY, or leave out the # for the whole value",
            Self::EmptyKey => "write #/KEY, or leave out the # for the whole value",
            Self::BadTilde => "write ~0 for a ~ in a key and ~1 for a slash in one",
        }
    }
}

/// Says why a pattern of paths is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{pattern:?} is no pattern of paths: {why}")]
pub struct PathPatternError {
    pub(super) pattern: String,
    pub(super) why: &'static str,
}
