//! age identities from a key file, and what they unwrap.
//!
//! Native X25519 identities (<https://age-encryption.org/v1>), post-quantum ones and SSH keys. Plugins and what a passphrase
//! protects are refused by name: who runs no programs and asks nobody, such as a controller, can't use them.
//! The `age` crate wipes its keys; the identity text is borrowed and left to the caller to wipe.

use std::io::Read;

use age::x25519::Identity;
use age::{DecryptError, Decryptor};
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use zeroize::Zeroizing;

use crate::hybrid::{self, HybridIdentity};
use crate::ssh::{SshIdentity, SshKeyError};

/// The identities of one key file.
pub struct AgeIdentities(Vec<AgeIdentity>);

enum AgeIdentity {
    X25519(Identity),
    Hybrid(Box<HybridIdentity>),
    Ssh(Box<SshIdentity>),
}

impl AgeIdentity {
    fn recipient(&self) -> String {
        match self {
            Self::X25519(identity) => identity.to_public().to_string(),
            Self::Hybrid(identity) => identity.recipient().to_string(),
            Self::Ssh(identity) => identity.recipient().to_string(),
        }
    }

    fn as_age(&self) -> &dyn age::Identity {
        match self {
            Self::X25519(identity) => identity,
            Self::Hybrid(identity) => identity.as_ref(),
            Self::Ssh(identity) => identity.as_ref(),
        }
    }
}

impl AgeIdentities {
    /// Parses a key file: one identity a line, `#` comments and empty lines between them; or one private SSH key.
    ///
    /// # Errors
    /// Refuses a file without identities and one with a line of any other kind; gives the line's number, never its
    /// text.
    pub fn parse(file: &[u8]) -> Result<Self, IdentityError> {
        if is_ssh_key(file) {
            return Ok(SshIdentity::from_pem(file)?.into());
        }
        if is_age_file(file) {
            return Err(IdentityError::Locked { kind: "an identity file" });
        }
        let text = std::str::from_utf8(file).map_err(|_| IdentityError::NotText)?;
        let lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let identities = lines.map(|(line, number)| parse_line(line, number)).collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() { Err(IdentityError::Empty) } else { Ok(Self(identities)) }
    }

    /// Returns the recipients that the identities open for, such as `age1...`; these are public.
    pub fn recipients(&self) -> Vec<String> {
        self.0.iter().map(AgeIdentity::recipient).collect()
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// Says why it can't: another scheme, another recipient, a passphrase, or damage.
    pub fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        match wrapped {
            WrappedKey::Age { enc, .. } => self.unwrap(enc).map_err(Refusal),
            other => Err(Refusal(format!("there is no identity for {}, only age identities", other.recipient()))),
        }
    }

    fn unwrap(&self, armored: &str) -> Result<DataKey, String> {
        open(armored, self.0.iter().map(AgeIdentity::as_age)).map_err(|error| match error {
            UnwrapError::Age(DecryptError::NoMatchingKeys) => {
                format!("no identity matches; there are identities for {}", self.recipients().join(", "))
            }
            error => error.to_string(),
        })
    }
}

impl From<SshIdentity> for AgeIdentities {
    fn from(identity: SshIdentity) -> Self {
        Self(vec![AgeIdentity::Ssh(Box::new(identity))])
    }
}

/// Unwraps a data key with an identity of another crate.
///
/// # Errors
/// Says why it can't.
pub fn unwrap_with(identity: &dyn age::Identity, wrapped: &WrappedKey) -> Result<DataKey, UnwrapError> {
    match wrapped {
        WrappedKey::Age { enc, .. } => open(enc, std::iter::once(identity)),
        _ => Err(UnwrapError::Age(DecryptError::NoMatchingKeys)),
    }
}

fn open<'a>(armored: &str, identities: impl Iterator<Item = &'a dyn age::Identity>) -> Result<DataKey, UnwrapError> {
    let armor = age::armor::ArmoredReader::new(armored.trim().as_bytes());
    let decryptor = Decryptor::new_buffered(armor).map_err(UnwrapError::Age)?;
    if decryptor.is_scrypt() {
        return Err(UnwrapError::Passphrase);
    }
    read_key(decryptor.decrypt(identities).map_err(UnwrapError::Age)?)
}

/// Why a data key could not be unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum UnwrapError {
    /// It is wrapped with a passphrase.
    #[error("it is wrapped with a passphrase, which is not supported; use an age recipient")]
    Passphrase,
    /// It is longer than any data key.
    #[error("it is too long to be a data key")]
    TooLong,
    /// It is damaged, or the identity says otherwise.
    #[error("it is damaged, or not an age file")]
    Age(#[source] DecryptError),
}

impl std::fmt::Debug for AgeIdentities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AgeIdentities").field(&self.recipients()).finish()
    }
}

/// Why a key file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is not UTF-8.
    #[error("the age key file is not text")]
    NotText,
    /// There is no identity in it.
    #[error("the age key file has no identity")]
    Empty,
    /// A passphrase protects it.
    #[error("the age key file is {kind} with a passphrase, and nobody is asked for one here")]
    Locked {
        /// What it is, with its article.
        kind: &'static str,
    },
    /// It is an SSH key that can't be read.
    #[error("failed to read the SSH key in the age key file")]
    DamagedSshKey,
    /// It is an SSH key that age has no use for.
    #[error("the age key file is {kind}, which is not supported")]
    UnsupportedSshKey {
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A line is the identity of a plugin.
    #[error("line {line} of the age key file is for a plugin, and no programs are run here")]
    Plugin {
        /// The line's number, from 1.
        line: usize,
    },
    /// A line is nothing that is known.
    #[error("line {line} of the age key file is not an age identity")]
    NotAnIdentity {
        /// The line's number, from 1.
        line: usize,
    },
}

impl IdentityError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DamagedSshKey | Self::UnsupportedSshKey { .. } => {
                "put in an ed25519 or RSA key as ssh-keygen makes it, or what `age-keygen` prints"
            }
            Self::Locked { .. } => "put in a key without a passphrase, such as what `age-keygen` prints",
            Self::NotText | Self::Empty | Self::Plugin { .. } | Self::NotAnIdentity { .. } => {
                "put in what `age-keygen` prints: a line that begins with AGE-SECRET-KEY-1"
            }
        }
    }
}

impl From<SshKeyError> for IdentityError {
    fn from(error: SshKeyError) -> Self {
        match error {
            SshKeyError::Damaged => Self::DamagedSshKey,
            SshKeyError::Unsupported(kind) => Self::UnsupportedSshKey { kind },
            SshKeyError::Locked => Self::Locked { kind: "an SSH key" },
        }
    }
}

/// Tells whether a file is a private key in PEM; an armored age file begins alike.
fn is_ssh_key(file: &[u8]) -> bool {
    let file = file.trim_ascii_start();
    file.starts_with(b"-----BEGIN ") && !file.starts_with(ARMOR)
}

/// Tells whether a file is an age file, armored or not.
pub(crate) fn is_age_file(file: &[u8]) -> bool {
    let file = file.trim_ascii_start();
    file.starts_with(ARMOR) || file.starts_with(b"age-encryption.org/")
}

fn parse_line(line: &str, number: usize) -> Result<AgeIdentity, IdentityError> {
    if line.starts_with(PLUGIN_PREFIX) {
        return Err(IdentityError::Plugin { line: number });
    }
    let identity = match line.starts_with(hybrid::IDENTITY_PREFIX) {
        true => HybridIdentity::parse(line).map(|identity| AgeIdentity::Hybrid(Box::new(identity))),
        false => line.parse().ok().map(AgeIdentity::X25519),
    };
    identity.ok_or(IdentityError::NotAnIdentity { line: number })
}

/// Reads one key into a buffer of fixed size, so that nothing is left behind by growth.
fn read_key(mut plaintext: impl Read) -> Result<DataKey, UnwrapError> {
    let mut buffer = Zeroizing::new([0; MAX_KEY_LEN + 1]);
    let mut len = 0;
    while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
        match plaintext.read(free) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) => return Err(UnwrapError::Age(DecryptError::Io(error))),
        }
    }
    match buffer.get(..len).filter(|key| key.len() <= MAX_KEY_LEN) {
        Some(key) => Ok(DataKey::new(SecretBytes::concat(&[key]))),
        None => Err(UnwrapError::TooLong),
    }
}

/// A data key has 32 bytes and a Shamir share of it 33; anything near that is judged by who uses it.
const MAX_KEY_LEN: usize = 64;
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE";
const PLUGIN_PREFIX: &str = "AGE-PLUGIN-";
