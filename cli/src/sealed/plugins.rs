//! Plugins of age: programs `age-plugin-NAME` that wrap and unwrap, by the protocol of <https://github.com/C2SP/C2SP/blob/main/age-plugin.md>.
//!
//! The crate `age` speaks the protocol. Only `seal` runs plugins: it is run by whoever owns the keys. The controller's types for
//! identities and recipients, in `waxwing-keys`, have no place for one.

use std::fmt;

use age::plugin::{Identity, IdentityPluginV1, Recipient, RecipientPluginV1};
use age::{DecryptError, EncryptError};
use waxwing_formats::{DataKey, WrappedKey};
use waxwing_keys::{UnwrapError, unwrap_with, wrap_with};
use zeroize::Zeroizing;

use super::terminal::Terminal;

/// A recipient `age1NAME1...`.
#[derive(Clone)]
pub(crate) struct PluginRecipient(Recipient);

impl PluginRecipient {
    /// Recognizes the recipient of a plugin. The name of a plugin stands between two ones; behind the last 1 there is none.
    pub(crate) fn recognize(text: &str) -> Option<Self> {
        let is_native = text.starts_with("age1pq1") || text.matches('1').count() < 2;
        text.parse().ok().filter(|_| text.starts_with("age1") && !is_native).map(Self)
    }

    /// Wraps a data key, or a share of one.
    pub(crate) fn wrap(&self, key: &DataKey) -> Result<WrappedKey, PluginError> {
        let name = self.0.plugin();
        let plugin = RecipientPluginV1::new(name, std::slice::from_ref(&self.0), &[], Terminal);
        let wrapped = plugin.and_then(|plugin| wrap_with(&plugin, &self.to_string(), key));
        wrapped.map_err(|error| match error {
            EncryptError::MissingPlugin { .. } => PluginError::missing(name),
            EncryptError::Plugin(errors) => PluginError::failed(name, &messages(&errors)),
            error => PluginError::failed(name, &error.to_string()),
        })
    }
}

impl fmt::Display for PluginRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PluginRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginRecipient({self})")
    }
}

/// An identity `AGE-PLUGIN-NAME-1...`.
pub(crate) struct PluginIdentity(Identity);

impl PluginIdentity {
    /// Unwraps a data key, or says why it can't.
    pub(crate) fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, String> {
        let name = self.0.plugin();
        let plugin = IdentityPluginV1::new(name, std::slice::from_ref(&self.0), Terminal);
        let plugin = plugin.map_err(|_| PluginError::missing(name).to_string())?;
        unwrap_with(&plugin, wrapped).map_err(|error| match error {
            UnwrapError::Age(DecryptError::Plugin(errors)) => PluginError::failed(name, &messages(&errors)).to_string(),
            UnwrapError::Age(DecryptError::NoMatchingKeys) => format!("{} does not open it", program(name)),
            error => error.to_string(),
        })
    }
}

/// Takes the identities of plugins out of a key file, and leaves empty lines where they stood.
///
/// # Errors
/// Gives the number of a line that is damaged.
pub(crate) fn taken_out(file: &[u8]) -> Result<(Vec<PluginIdentity>, Zeroizing<Vec<u8>>), usize> {
    let mut identities = Vec::new();
    // Of the same length or shorter, so this does not grow.
    let mut rest = Zeroizing::new(Vec::with_capacity(file.len() + 1));
    for (line, number) in file.split(|byte| *byte == b'\n').zip(1_usize..) {
        if line.trim_ascii_start().starts_with(b"AGE-PLUGIN-") {
            let identity = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
            identities.push(PluginIdentity(identity.ok_or(number)?));
        } else {
            rest.extend_from_slice(line);
        }
        rest.push(b'\n');
    }
    Ok((identities, rest))
}

/// Why a plugin did not wrap or unwrap.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    /// It is not there.
    #[error("there is no {program} in PATH")]
    Missing {
        /// The plugin's name.
        program: String,
    },
    /// It refused, or broke off.
    #[error("{program} failed: {message}")]
    Failed {
        /// The plugin's name.
        program: String,
        /// What it said.
        message: String,
    },
}

impl PluginError {
    fn missing(name: &str) -> Self {
        Self::Missing { program: program(name) }
    }

    fn failed(name: &str, message: &str) -> Self {
        Self::Failed { program: program(name), message: message.to_owned() }
    }

    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some("install it, or remove the recipient"),
            Self::Failed { .. } => None,
        }
    }
}

fn program(name: &str) -> String {
    format!("age-plugin-{name}")
}

/// What a plugin said, in one line.
fn messages(errors: &[impl fmt::Display]) -> String {
    errors.iter().map(|error| error.to_string().replace('\n', " ")).collect::<Vec<_>>().join("; ")
}
