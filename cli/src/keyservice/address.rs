//! Where a key service is: `tcp://HOST:PORT` or `unix:///PATH`, as `--keyservice` of sops 3.13.3 has it (`keyservices` in
//! `cmd/sops/main.go`).

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

/// Where a key service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyServiceAddress {
    /// A host and a port.
    Tcp(Authority),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A text that says of no key service where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of a key service")]
pub(crate) struct AddressError {
    text: String,
}

impl AddressError {
    /// What the user can do about it.
    pub(crate) const HINT: &str = "write tcp://HOST:PORT or unix:///PATH";
}

impl KeyServiceAddress {
    /// Tells whether what is said to the service leaves this machine, as far as its address says.
    pub(crate) fn is_elsewhere(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Tcp(authority) => {
                let host = authority.host().trim_matches(['[', ']']);
                let is_here = host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
                !is_here
            }
        }
    }
}

impl FromStr for KeyServiceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || AddressError { text: text.to_owned() };
        if let Some(host) = text.strip_prefix("tcp://") {
            let authority: Authority = host.trim_end_matches('/').parse().map_err(|_| refused())?;
            let is_whole = authority.port_u16().is_some() && !authority.host().is_empty();
            let is_plain = !authority.as_str().contains('@');
            return if is_whole && is_plain { Ok(Self::Tcp(authority)) } else { Err(refused()) };
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:"));
        path.filter(|path| path.starts_with('/')).map(|path| Self::Unix(path.into())).ok_or_else(refused)
    }
}

impl fmt::Display for KeyServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_sops_and_say_whether_they_are_on_this_machine() {
        for (text, shown, is_elsewhere) in [
            ("tcp://127.0.0.1:5000", "tcp://127.0.0.1:5000", false),
            ("tcp://localhost:5000/", "tcp://localhost:5000", false),
            ("tcp://[::1]:5000", "tcp://[::1]:5000", false),
            ("tcp://keys.example.com:5000", "tcp://keys.example.com:5000", true),
            ("tcp://10.0.0.1:5000", "tcp://10.0.0.1:5000", true),
            ("unix:///run/user/1000/keys", "unix:///run/user/1000/keys", false),
            ("unix:/run/keys", "unix:///run/keys", false),
        ] {
            let address: KeyServiceAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_elsewhere()), (shown, is_elsewhere));
        }
    }

    #[test]
    fn what_says_of_no_service_where_it_is_is_refused() {
        for text in [
            "",
            "127.0.0.1:5000",
            "tcp://",
            "tcp://host",
            "tcp://:5000",
            "tcp://me@host:5000",
            "tcp://host:x",
            "tcp://host:99999",
            "tcp://host:1/path",
            "http://host:5000",
            "unix://",
            "unix:keys",
            "unix://keys",
        ] {
            assert!(text.parse::<KeyServiceAddress>().is_err(), "{text}");
        }
    }
}
