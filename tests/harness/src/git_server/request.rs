//! What the Git server sees of a request: who asks, and for what (gitprotocol-http, gitprotocol-v2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};

/// Says whom the server lets in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody.
    Open,
    /// Who knows this user name and password (RFC 7617).
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: String,
    },
    /// Who has this token (RFC 6750).
    Bearer(String),
}

impl Access {
    /// Returns access by user name and password.
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic { username: username.to_owned(), password: password.to_owned() }
    }

    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let expected = match self {
            Self::Open => return true,
            Self::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes())
    }
}

/// Is one request as the server saw it.
#[derive(Clone, Debug)]
pub struct GitRequest {
    /// The method.
    pub method: Method,
    /// The path and query.
    pub target: String,
    /// What was wanted.
    pub operation: GitOperation,
    /// How it was answered, or nothing if it never was.
    pub status: Option<StatusCode>,
}

/// Says what a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitOperation {
    /// What the server can do (`GET .../info/refs`).
    Discover,
    /// The names and ids of branches and tags (protocol 2's `ls-refs`).
    LsRefs,
    /// Objects.
    Fetch,
    /// Anything else.
    Other,
}

impl GitOperation {
    /// Tells by the first lines of the body. One that is compressed is a fetch: an `ls-refs` is too short for that.
    pub(super) fn of(head: &Parts, body: &[u8]) -> Self {
        let has = |needle: &[u8]| body.windows(needle.len()).any(|window| window == needle);
        let path = head.uri.path();
        if path.ends_with("/info/refs") {
            Self::Discover
        } else if !path.ends_with("/git-upload-pack") {
            Self::Other
        } else if has(b"command=ls-refs") {
            Self::LsRefs
        } else {
            Self::Fetch
        }
    }
}
