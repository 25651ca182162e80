//! References into secret stores: what stands in a manifest instead of a value that a store keeps.
//!
//! ```text
//! reference = ( "ref+store://" / "ref+clusterstore://" ) store "/" path [ "?" query ] [ "#" pointer ] [ "+" ]
//! store     = the name of a SecretBackend (RFC 1123 subdomain)
//! path      = segment *( "/" segment )
//! segment   = 1*( literal / escape )          decoded once: not ".", "..", no slash, backslash, "%" or control character
//! query     = parameter [ "&" parameter ]     each at most once
//! parameter = "version=" 1*128( ALPHA / DIGIT / "-" / "_" / "." ) / "decode=base64" / "refresh=" period
//! period    = 1*5DIGIT ( "s" / "m" / "h" )    from a second to a day
//! pointer   = 1*( "/" key )                   RFC 6901, section 6: percent-encoding first, then "~0" and "~1"
//! key       = 1*( literal / escape )
//! literal   = ALPHA / DIGIT / "-" / "." / "_" / "~" / ":" / "@" / "="
//! escape    = "%" HEXDIG HEXDIG
//! ```
//!
//! [`Reference::find`] is the one place that decides what is a reference. A reference ends with `+`, which belongs to it, or where
//! the line or the text does; anything else behind it is a mistake, never the end, so that a character that was not encoded can't
//! lead to another secret. The forms of vals and of argocd-vault-plugin are recognized as [`Foreign`], with what they name. What
//! comes out of a store is never looked at again.
//!
//! [`StoredSecret`] takes a value out of what a store answered. Not here: stores, and who may read what; [`PathPattern`] is how that is
//! written.

mod error;
mod escape;
mod find;
mod foreign;
mod mapped;
mod path;
mod pattern;
mod refresh;
mod stored;
mod value;

use std::fmt;
use std::str::FromStr;

pub use error::{PathPatternError, ReferenceError};
pub use find::{Content, Piece, decoded};
pub use foreign::{Foreign, Form, Named, Need, Provider};
pub use mapped::{ForeignError, ForeignStores, Mapped};
pub use path::{Pointer, SecretPath};
pub use pattern::PathPattern;
pub use refresh::Refresh;
pub use stored::StoredSecret;
pub use value::ValueError;

/// The longest reference in bytes, with everything that belongs to it.
pub const MAX_BYTES: usize = 2048;

/// The longest version in bytes.
const MAX_VERSION_BYTES: usize = 128;

/// Which kind of resource a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreKind {
    /// A `SecretBackend` of the object's namespace: `ref+store://`.
    Namespaced,
    /// A `ClusterSecretBackend`: `ref+clusterstore://`.
    Cluster,
}

impl StoreKind {
    /// Returns what stands between `ref+` and `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Namespaced => "store",
            Self::Cluster => "clusterstore",
        }
    }

    fn of_scheme(scheme: &str) -> Option<Self> {
        [Self::Namespaced, Self::Cluster].into_iter().find(|kind| kind.scheme() == scheme)
    }
}

/// The name of a store: that of a resource, up to 253 lower-case letters, digits, `-` and `.` (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreName(String);

impl StoreName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StoreName {
    type Err = ReferenceError;

    fn from_str(name: &str) -> Result<Self, ReferenceError> {
        let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_label = |label: &str| {
            let label = label.as_bytes();
            is_end(label.first())
                && is_end(label.last())
                && label.iter().all(|byte| is_end(Some(byte)) || *byte == b'-')
        };
        match name.len() <= 253 && name.split('.').all(is_label) {
            true => Ok(Self(name.to_owned())),
            false => Err(ReferenceError::BadStore),
        }
    }
}

/// What is done with a value before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decode {
    /// It is decoded from base64.
    Base64,
}

/// A reference to a secret in a store, or to one value of it. It is public, and gives no right to anything.
///
/// Printed in its canonical form: the parameters in the order of the grammar, only what has to be encoded is, no `+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The kind of the store.
    pub kind: StoreKind,
    /// The name of the store.
    pub store: StoreName,
    /// The secret in it.
    pub path: SecretPath,
    /// Which version of the secret; the newest if there is none.
    pub version: Option<Version>,
    /// What is done with the value.
    pub decode: Option<Decode>,
    /// How often the store is asked whether there is another version; as often as its backend says if there is none.
    pub refresh: Option<Refresh>,
    /// The value in the secret; without keys, the secret as a whole.
    pub pointer: Pointer,
}

/// Which secret of which store, and which version of it: what a store is asked for once, however many references lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stored {
    /// The kind of the store.
    pub kind: StoreKind,
    /// The name of the store.
    pub store: StoreName,
    /// The secret in it.
    pub path: SecretPath,
    /// Which version of the secret; the newest if there is none.
    pub version: Option<Version>,
}

/// A version of a secret, as its store calls it: up to 128 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(String);

impl Version {
    /// Returns the version.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match !text.is_empty() && text.len() <= MAX_VERSION_BYTES && text.bytes().all(is_fine) {
            true => Ok(Self(text.to_owned())),
            false => Err(ReferenceError::BadVersion),
        }
    }
}

impl Reference {
    /// Returns which secret it leads to, without the value in it.
    pub fn stored(&self) -> Stored {
        let Self { kind, store, path, version, .. } = self;
        Stored { kind: *kind, store: store.clone(), path: path.clone(), version: version.clone() }
    }

    /// Takes a text apart into what is a reference and what is not; together the pieces are the text. Whatever the text is, this
    /// takes time in proportion to its length.
    pub fn find(text: &str) -> Vec<Piece<'_>> {
        find::pieces(text)
    }

    /// Reads what stands behind `ref+store://` or `ref+clusterstore://`, without the `+` at its end.
    fn read(kind: StoreKind, body: &str) -> Result<Self, ReferenceError> {
        let (body, pointer) = match body.split_once('#') {
            Some((body, pointer)) => (body, pointer.parse()?),
            None => (body, Pointer::default()),
        };
        let (place, query) = match body.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (body, None),
        };
        let (store, path) = place.split_once('/').unwrap_or((place, ""));
        let (store, path) = (store.parse()?, path.parse()?);
        let Parameters { version, decode, refresh } = query.map_or(Ok(Parameters::default()), parameters)?;
        Ok(Self { kind, store, path, version, decode, refresh, pointer })
    }
}

#[derive(Default)]
struct Parameters {
    version: Option<Version>,
    decode: Option<Decode>,
    refresh: Option<Refresh>,
}

fn parameters(query: &str) -> Result<Parameters, ReferenceError> {
    let mut read = Parameters::default();
    for parameter in query.split('&') {
        let was = match parameter.split_once('=') {
            Some(("version", text)) => read.version.replace(text.parse()?).is_some(),
            Some(("decode", "base64")) => read.decode.replace(Decode::Base64).is_some(),
            Some(("decode", _)) => return Err(ReferenceError::BadDecode),
            Some(("refresh", text)) => read.refresh.replace(text.parse()?).is_some(),
            _ => return Err(ReferenceError::UnknownParameter),
        };
        if was {
            return Err(ReferenceError::RepeatedParameter);
        }
    }
    Ok(read)
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Reads a text that is one reference and nothing else.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let mut pieces = Self::find(text).into_iter();
        match (pieces.next().map(|piece| piece.content), pieces.next()) {
            (Some(Content::Reference(reference)), None) => Ok(reference),
            (Some(Content::Malformed(error)), _) => Err(error),
            (Some(Content::Reference(_)), Some(_)) => Err(ReferenceError::NotEnded),
            _ => Err(ReferenceError::UnknownScheme),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ref+{}://{}/{}", self.kind.scheme(), self.store.0, self.path)?;
        let version = self.version.iter().map(|version| format!("version={}", version.0));
        let decode = self.decode.iter().map(|Decode::Base64| "decode=base64".to_owned());
        let refresh = self.refresh.iter().map(|refresh| format!("refresh={refresh}"));
        for (index, parameter) in version.chain(decode).chain(refresh).enumerate() {
            write!(f, "{}{parameter}", if index > 0 { '&' } else { '?' })?;
        }
        if self.pointer.keys().is_empty() { Ok(()) } else { write!(f, "#{}", self.pointer) }
    }
}
