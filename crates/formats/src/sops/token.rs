//! One sealed value as it stands in a file: `ENC[AES256_GCM,data:...,iv:...,tag:...,type:...]`.
//!
//! Source: sops 3.13.3, `aes/cipher.go`. Stricter than there: nothing may follow the `]`, the tag has 16
//! bytes, and each part stands exactly once. The type is *not* authenticated by the cipher.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The type that a token says its plaintext has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Text.
    Str,
    /// A 64-bit signed integer.
    Int,
    /// A 64-bit float.
    Float,
    /// A boolean.
    Bool,
    /// A time, as RFC 3339.
    Time,
    /// Bytes, written by sops 1.x only.
    Bytes,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// The text does not have the form of a token, or something follows it.
    Form,
    /// A part is not standard base64 with padding.
    Base64,
    /// The initialization vector has a length other than 12, 16 or 32 bytes.
    IvLength,
    /// The tag has a length other than 16 bytes.
    TagLength,
    /// The type is none that sops writes, or one that can't stand here.
    Kind,
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "is not a well-formed token",
            Self::Base64 => "has a part that is not base64",
            Self::IvLength => "has an initialization vector of an unknown length",
            Self::TagLength => "has a tag that is not 16 bytes long",
            Self::Kind => "has a type that is unknown or can't stand here",
        })
    }
}

/// A parsed token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) data: Vec<u8>,
    pub(crate) iv: Vec<u8>,
    pub(crate) tag: [u8; 16],
    /// Nothing for a comment.
    pub(crate) kind: Option<ValueKind>,
}

const PREFIX: &str = "ENC[AES256_GCM,";

/// Tells whether text begins as every sealed value of sops does.
pub fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

impl Token {
    /// Writes a token. `kind` is nothing for a comment.
    pub(crate) fn new(data: Vec<u8>, iv: &[u8], tag: [u8; 16], kind: Option<ValueKind>) -> Self {
        let [packed_data, packed_iv, packed_tag] = [&data, iv, &tag].map(|part| STANDARD.encode(part));
        let text = format!("{PREFIX}data:{packed_data},iv:{packed_iv},tag:{packed_tag},type:{}]", name_of(kind));
        Self { text, data, iv: iv.to_owned(), tag, kind }
    }

    /// Parses the whole of `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, TokenFault> {
        let body = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(']')).ok_or(TokenFault::Form)?;
        let mut parts = body.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(TokenFault::Form);
        let (data, iv, tag, kind) = (part("data:")?, part("iv:")?, part("tag:")?, part("type:")?);
        if parts.next().is_some() || data.is_empty() {
            return Err(TokenFault::Form);
        }
        let iv = decode(iv)?;
        if !matches!(iv.len(), 12 | 16 | 32) {
            return Err(TokenFault::IvLength);
        }
        let tag = decode(tag)?.try_into().map_err(|_| TokenFault::TagLength)?;
        Ok(Self { text: text.to_owned(), data: decode(data)?, iv, tag, kind: kind_of(kind)? })
    }
}

fn decode(text: &str) -> Result<Vec<u8>, TokenFault> {
    STANDARD.decode(text).map_err(|_| TokenFault::Base64)
}

fn kind_of(name: &str) -> Result<Option<ValueKind>, TokenFault> {
    Ok(Some(match name {
        "str" => ValueKind::Str,
        "int" => ValueKind::Int,
        "float" => ValueKind::Float,
        "bool" => ValueKind::Bool,
        "time" => ValueKind::Time,
        "bytes" => ValueKind::Bytes,
        "comment" => return Ok(None),
        _ => return Err(TokenFault::Kind),
    }))
}

fn name_of(kind: Option<ValueKind>) -> &'static str {
    match kind {
        Some(ValueKind::Str) => "str",
        Some(ValueKind::Int) => "int",
        Some(ValueKind::Float) => "float",
        Some(ValueKind::Bool) => "bool",
        Some(ValueKind::Time) => "time",
        Some(ValueKind::Bytes) => "bytes",
        None => "comment",
    }
}
