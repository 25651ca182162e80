//! Addresses of Git repositories, parsed once at the edge.
//!
//! A [`RemoteUrl`] carries no credentials, no query and no fragment, so it may be printed anywhere. Which schemes are
//! allowed is the operator's choice ([`Allowed`]). It is NOT a check of where a host name leads to. Follows the URL
//! Living Standard, as `reqwest::Url` implements it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;

/// Says which schemes besides `https` the operator permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Permits `file://`, which reads repositories on this machine.
    pub file: bool,
    /// Permits `http://`, over which no credentials are ever sent.
    pub http: bool,
}

/// Names a Git repository; printing it reveals nothing but scheme, host, port and path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl(Arc<Url>);

/// Says why an address was refused. The address itself is not quoted: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is not an absolute URL.
    #[error("the repository URL cannot be parsed")]
    Malformed,
    /// The scheme is none that can be fetched from.
    #[error("the scheme of the repository URL is not supported")]
    SchemeUnsupported,
    /// The operator did not permit `file://`.
    #[error("the repository URL uses file://, which the operator did not allow")]
    FileNotAllowed,
    /// The operator did not permit `http://`.
    #[error("the repository URL uses http://, which the operator did not allow")]
    HttpNotAllowed,
    /// A user name or password stands before the host.
    #[error("the repository URL contains credentials")]
    Credentials,
    /// A query or fragment follows the path.
    #[error("the repository URL has a query or a fragment")]
    Query,
    /// A `file://` URL names a host.
    #[error("the repository URL uses file:// with a host")]
    FileHost,
}

impl UrlError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed => "write the URL as https://HOST/PATH",
            Self::SchemeUnsupported => "use an https:// URL",
            Self::FileNotAllowed => "use an https:// URL, or ask the operator to allow file:// sources",
            Self::HttpNotAllowed => "use an https:// URL, or ask the operator to allow http:// sources",
            Self::Credentials => "move the user name and password into the Secret of secretRef",
            Self::Query => "remove everything from the first ? or # on; tokens belong in a Secret",
            Self::FileHost => "write three slashes: file:///PATH",
        }
    }
}

impl RemoteUrl {
    /// Parses `text` and checks it against what the operator allowed.
    ///
    /// # Errors
    ///
    /// Fails on anything but a plain `https` URL, or `file` and `http` where `allowed` says so.
    pub fn parse(text: &str, allowed: Allowed) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if allowed.http => {}
            "http" => return Err(UrlError::HttpNotAllowed),
            "file" if allowed.file => {}
            "file" => return Err(UrlError::FileNotAllowed),
            _ => return Err(UrlError::SchemeUnsupported),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Query);
        }
        if url.scheme() == "file" && url.to_file_path().is_err() {
            return Err(UrlError::FileHost);
        }
        Ok(Self(Arc::new(url)))
    }

    /// Returns the directory that a `file://` URL names.
    pub fn local_path(&self) -> Option<PathBuf> {
        (self.0.scheme() == "file").then(|| self.0.to_file_path().ok()).flatten()
    }

    /// Tells whether what is sent to this address is encrypted on the way.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the address as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed { file: true, http: true };

    #[test]
    fn each_unacceptable_address_is_refused_for_its_own_reason() {
        let table = [
            ("", ALL, UrlError::Malformed),
            ("fleet.git", ALL, UrlError::Malformed),
            ("git@example.com:org/fleet.git", ALL, UrlError::Malformed),
            ("https://", ALL, UrlError::Malformed),
            ("ssh://git@example.com/fleet.git", ALL, UrlError::SchemeUnsupported),
            ("ext::sh -c id", ALL, UrlError::SchemeUnsupported),
            ("http://example.com/a", Allowed::default(), UrlError::HttpNotAllowed),
            ("file:///srv/a", Allowed::default(), UrlError::FileNotAllowed),
            ("file://host/srv/a", ALL, UrlError::FileHost),
            ("https://user@example.com/a", ALL, UrlError::Credentials),
            ("https://:pw@example.com/a", ALL, UrlError::Credentials),
            ("https://example.com/a?token=x", ALL, UrlError::Query),
            ("https://example.com/a#x", ALL, UrlError::Query),
        ];
        for (text, allowed, expected) in table {
            assert_eq!(RemoteUrl::parse(text, allowed), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_allowed_address_prints_as_it_was_written() {
        for text in ["https://example.com:8443/org/fleet.git", "file:///srv/fleet"] {
            let url = RemoteUrl::parse(text, ALL);
            assert_eq!(url.map(|url| url.to_string()).as_deref(), Ok(text));
        }
    }
}
