//! What to fetch, from where, and as whom.
//!
//! Credentials come in as types of this module; where they are kept is NOT its concern. Nothing here prints a credential.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::revision::{CommitId, Revision};
use super::tree::Tree;
use super::url::RemoteUrl;

/// Describes one fetch: for whom, the repository, what of it, with which credentials and within which time.
#[derive(Debug)]
pub struct Remote {
    /// The source that asks, by a name that nobody can choose for himself, such as the uid of its object.
    pub holder: String,
    /// The repository.
    pub url: RemoteUrl,
    /// The branch, tag or commit.
    pub reference: Reference,
    /// Who asks, and whom to trust.
    pub credentials: Credentials,
    /// The time for everything, including the wait for another fetch of the same repository.
    pub timeout: Duration,
}

impl Remote {
    /// Returns the revision that the reference led to.
    pub(super) fn revision(&self, tree: &Tree) -> Revision {
        Revision { reference: self.reference.clone(), commit: tree.commit() }
    }
}

/// Names what to fetch of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The tip of a branch.
    Branch(RefName),
    /// The commit that a tag names, through annotated tags.
    Tag(RefName),
    /// Exactly this commit.
    Commit(CommitId),
}

impl Reference {
    /// Returns the full name on the server, or nothing for a commit.
    pub fn full_name(&self) -> Option<String> {
        match self {
            Self::Branch(name) => Some(format!("refs/heads/{name}")),
            Self::Tag(name) => Some(format!("refs/tags/{name}")),
            Self::Commit(_) => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch {name}"),
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Commit(id) => write!(f, "commit {id}"),
        }
    }
}

/// Holds the short name of a branch or tag that follows the rules of git-check-ref-format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefName(String);

/// Says that a text cannot be the name of a branch or tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name that Git allows for a branch or tag")]
pub struct RefNameError;

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let full = format!("refs/heads/{name}");
        let plain = !name.is_empty() && !name.starts_with('-');
        match gix::validate::reference::name(full.as_str().into()) {
            Ok(_) if plain => Ok(Self(name.to_owned())),
            _ => Err(RefNameError),
        }
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Holds who asks and whom to trust. The default asks anonymously and trusts the authorities of the system.
#[derive(Debug, Default)]
pub struct Credentials {
    /// How to authenticate.
    pub login: Login,
    /// Certificate authorities in PEM form, trusted instead of those of the system.
    pub ca_pem: Option<Vec<u8>>,
}

/// Says how to authenticate.
#[derive(Debug, Default)]
pub enum Login {
    /// Not at all.
    #[default]
    Anonymous,
    /// With a user name and password, as RFC 7617 describes.
    Basic {
        /// The user name, which is not treated as secret but is not printed either.
        username: Credential,
        /// The password or access token.
        password: Credential,
    },
    /// With a token, as RFC 6750 describes.
    Bearer(Credential),
}

/// Says that a credential has characters that no HTTP header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a credential has characters that an HTTP header cannot carry")]
pub struct CredentialError;

impl Login {
    /// Tells whether there is nothing to authenticate with.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// Returns the `Authorization` header, marked as sensitive so that no log prints it.
    ///
    /// # Errors
    ///
    /// Fails when a token has control characters or a user name has a colon (RFC 7617, section 2).
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, CredentialError> {
        let text = match self {
            Self::Anonymous => return Ok(None),
            Self::Basic { username, .. } if username.0.contains(':') => return Err(CredentialError),
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{}:{}", username.0.as_str(), password.0.as_str()));
                Zeroizing::new(format!("Basic {}", Zeroizing::new(STANDARD.encode(pair.as_bytes())).as_str()))
            }
            Self::Bearer(token) => Zeroizing::new(format!("Bearer {}", token.0.as_str())),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| CredentialError)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Holds a user name, password or token; wiped on drop, never printed.
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// Takes ownership of the text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> Login {
        Login::Basic { username: Credential::new(username.to_owned()), password: Credential::new(password.to_owned()) }
    }

    #[test]
    fn a_name_that_git_forbids_is_refused() {
        for name in ["", "-x", "a..b", "a b", "a~1", "a:b", "/a", "a/", "a.lock", "a\0", "a\n", "@{u}", ".a"] {
            assert_eq!(name.parse::<RefName>(), Err(RefNameError), "{name:?}");
        }
        for name in ["main", "release/1.2", "v1.0.0"] {
            assert!(name.parse::<RefName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn no_form_of_printing_shows_a_credential() {
        let login = login("robot", "hunter2");
        let header = login.authorization();
        let printed = format!("{login:?} {header:?}");
        for word in ["robot", "hunter2", "cm9ib3Q6aHVudGVyMg=="] {
            assert!(!printed.contains(word), "{printed}");
        }
    }

    #[test]
    fn a_credential_that_would_break_the_header_is_refused() {
        let broken = [login("a:b", "x"), Login::Bearer(Credential::new("x\r\nHost: evil".to_owned()))];
        for login in broken {
            assert_eq!(login.authorization(), Err(CredentialError));
        }
    }
}
