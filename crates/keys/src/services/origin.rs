//! Where a server is: scheme, host and port, compared as a whole.
//!
//! A path, a user or a query make no other server of it, so a text with one of them is no origin. Source: WHATWG URL, "origin".

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// A scheme (`https` or `http`), a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Url);

/// A text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://vault.example.com:8200, without user, path and query")]
pub struct ParseOriginError;

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| ParseOriginError)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_nobodys = url.username().is_empty() && url.password().is_none();
        let is_web = ["https", "http"].contains(&url.scheme()) && url.has_host();
        if is_bare && is_nobodys && is_web { Ok(Self(url)) } else { Err(ParseOriginError) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_the_same_whatever_their_spelling_and_never_by_a_prefix() {
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        assert_eq!(origin("https://Vault.Example.com:443/"), origin("https://vault.example.com"));
        for other in
            ["http://vault.example.com", "https://vault.example.com:8200", "https://vault.example.com.evil.test"]
        {
            assert_ne!(origin(other), origin("https://vault.example.com"), "{other}");
        }
        assert_eq!(origin("https://vault.example.com:8200/").to_string(), "https://vault.example.com:8200");
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "",
            "vault",
            "https://",
            "ftp://v",
            "https://u@v",
            "https://u:p@v",
            "https://v/x",
            "https://v?x",
            "https://v#x",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
