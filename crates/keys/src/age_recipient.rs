//! age recipients: who a data key is wrapped for.
//!
//! Native X25519 recipients (<https://age-encryption.org/v1>), post-quantum ones and SSH keys. Those of plugins
//! are not known here. Each recipient gets an armored age file of its own, as in sops 3.13.3, `age/keysource.go`.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use age::armor::{ArmoredWriter, Format};
use age::x25519::Recipient;
use age::{EncryptError, Encryptor};
use waxwing_formats::{DataKey, WrappedKey};

use crate::hybrid::{self, HybridRecipient};
use crate::ssh::{SshKeyError, SshRecipient};

/// A recipient that can be wrapped for.
#[derive(Clone)]
pub struct AgeRecipient {
    /// What it was given as, which is what a file calls it: behind an SSH key there may be a comment.
    name: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    X25519(Recipient),
    Hybrid(Box<HybridRecipient>),
    Ssh(SshRecipient),
}

impl AgeRecipient {
    /// Wraps a data key, or a share of one.
    ///
    /// # Errors
    /// Fails only if age does, which needs no more than memory and random numbers.
    pub fn wrap(&self, key: &DataKey) -> Result<WrappedKey, WrapError> {
        let recipient: &dyn age::Recipient = match &self.key {
            Key::X25519(recipient) => recipient,
            Key::Hybrid(recipient) => recipient.as_ref(),
            Key::Ssh(recipient) => recipient,
        };
        wrap_with(recipient, &self.name, key).map_err(|_| WrapError)
    }
}

/// Wraps a data key for a recipient of another crate, which is called `name`.
///
/// # Errors
/// Fails if the recipient does.
pub fn wrap_with(recipient: &dyn age::Recipient, name: &str, key: &DataKey) -> Result<WrappedKey, EncryptError> {
    let encryptor = Encryptor::with_recipients(std::iter::once(recipient))?;
    let enc = armored(encryptor, key.expose_secret()).map_err(EncryptError::Io)?;
    Ok(WrappedKey::Age { recipient: name.to_owned(), enc })
}

fn armored(encryptor: Encryptor, key: &[u8]) -> std::io::Result<String> {
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(key)?;
    let file = writer.finish()?.finish()?;
    Ok(String::from_utf8_lossy(&file).into_owned())
}

impl FromStr for AgeRecipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let not_a_recipient = || RecipientError::NotARecipient { text: shown(text) };
        let key = if text.starts_with("ssh-") {
            SshRecipient::from_line(text).map(Key::Ssh).map_err(|error| match error {
                SshKeyError::Unsupported(kind) => RecipientError::Unsupported { recipient: text.to_owned(), kind },
                SshKeyError::Damaged | SshKeyError::Locked => not_a_recipient(),
            })?
        } else if text.starts_with(hybrid::RECIPIENT_PREFIX) {
            HybridRecipient::parse(text).map(|key| Key::Hybrid(Box::new(key))).ok_or_else(not_a_recipient)?
        } else {
            text.parse().map(Key::X25519).map_err(|_| not_a_recipient())?
        };
        Ok(Self { name: text.to_owned(), key })
    }
}

/// Someone may have passed a private key by mistake.
fn shown(text: &str) -> String {
    let is_secret = text.to_ascii_uppercase().contains("SECRET-KEY") || text.starts_with("-----");
    if is_secret { "what was given is a private key, and".to_owned() } else { format!("{text:?}") }
}

impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgeRecipient({self})")
    }
}

/// A data key could not be wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to wrap the data key with age")]
pub struct WrapError;

/// Why a recipient was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// It is of a kind that is known and not supported.
    #[error("{recipient} is {kind}, which is not supported")]
    Unsupported {
        /// The recipient.
        recipient: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// It is nothing that is known.
    #[error("{text} is no age recipient")]
    NotARecipient {
        /// What was given; not shown if it looks like a private key.
        text: String,
    },
}

impl RecipientError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        "give a public key: what `age-keygen` prints (age1...), or one of SSH (ssh-ed25519 ..., ssh-rsa ...)"
    }
}
