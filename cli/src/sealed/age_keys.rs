//! The age keys that are at hand, from where sops 3.13.3 looks for them (`age/keysource.go`).
//!
//! A place that can't be read is named when nothing opens, and does not keep the others from being tried. Plugins and keys with a
//! passphrase come last; the user is asked once for each passphrase: for that of an identity file by his gpg-agent if one runs, else at the terminal.

use std::cell::OnceCell;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use waxwing_keys::{AgeIdentities, IdentityError, LockedIdentities, UnlockIdentitiesError};
use zeroize::Zeroizing;

use super::gpg_agent::{Agent, CacheKey};
use super::plugins::{self, PluginIdentity};
use super::terminal::Terminal;

const KEYS: &str = "SOPS_AGE_KEY";
const KEY_FILE: &str = "SOPS_AGE_KEY_FILE";
const KEY_COMMAND: &str = "SOPS_AGE_KEY_CMD";
const SSH_KEY_FILE: &str = "SOPS_AGE_SSH_PRIVATE_KEY_FILE";
const SSH_KEY_COMMAND: &str = "SOPS_AGE_SSH_PRIVATE_KEY_CMD";
/// What a command is told: for whom a key is wanted.
const RECIPIENT: &str = "SOPS_AGE_RECIPIENT";

/// All age keys that are at hand.
pub(super) struct AgeKeys {
    keys: Vec<Key>,
    /// Commands that print an identity for a recipient, by the variable they stand in.
    commands: Vec<(&'static str, String)>,
    /// Where nothing was looked for.
    unset: Vec<&'static str>,
    /// What could not be read, and why.
    unread: Vec<String>,
}

impl AgeKeys {
    /// Reads the environment and the user's key files: SSH keys first, as sops does.
    pub(super) fn at_hand() -> Self {
        let mut found = Self { keys: Vec::new(), commands: Vec::new(), unset: Vec::new(), unread: Vec::new() };
        found.take_named_file(SSH_KEY_FILE);
        for path in users_ssh_keys() {
            found.take_file(&path);
        }
        match env::var(KEYS).map(Zeroizing::new) {
            Ok(keys) if keys.starts_with("-----BEGIN ") => found.take(KEYS, keys.as_bytes()),
            Ok(keys) => found.take(KEYS, one_a_line(&keys).as_bytes()),
            Err(_) => found.unset.push(KEYS),
        }
        found.take_named_file(KEY_FILE);
        if let Some(path) = users_file() {
            found.take_file(&path);
        }
        for variable in [SSH_KEY_COMMAND, KEY_COMMAND] {
            found.commands.extend(env::var(variable).ok().map(|command| (variable, command)));
        }
        found
    }

    fn take(&mut self, place: &str, text: &[u8]) {
        match Key::read(place, text) {
            Ok(keys) => self.keys.extend(keys),
            Err(error) => self.unread.push(error),
        }
    }

    fn take_named_file(&mut self, variable: &'static str) {
        match env::var_os(variable).map(PathBuf::from) {
            Some(path) => self.take_file(&path),
            None => self.unset.push(variable),
        }
    }

    fn take_file(&mut self, path: &Path) {
        match super::read(Some(path)) {
            Ok(text) => self.take(&path.display().to_string(), &text),
            Err(error) => self.unread.push(format!("{}: {error}", path.display())),
        }
    }

    /// Unwraps a data key with the first identity that opens it. The commands are run when no key does that is at hand; plugins, and
    /// whoever has a passphrase, are asked in the end.
    pub(super) fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        let mut refusals = Vec::new();
        let (open, asking): (Vec<&Key>, Vec<&Key>) = self.keys.iter().partition(|key| key.is_open());
        if let Some(key) = first(open, wrapped, &mut refusals) {
            return Ok(key);
        }
        let mut printed = Vec::new();
        for ((variable, command), recipient) in self.commands.iter().zip(recipient(wrapped).into_iter().cycle()) {
            match ask(variable, command, recipient) {
                Ok(keys) => printed.extend(keys),
                Err(reason) => refusals.push(reason),
            }
        }
        let (open, printed): (Vec<&Key>, Vec<&Key>) = printed.iter().partition(|key| key.is_open());
        if let Some(key) = first(open.into_iter().chain(asking).chain(printed), wrapped, &mut refusals) {
            return Ok(key);
        }
        refusals.extend(self.unread.iter().cloned());
        if self.keys.is_empty() {
            refusals.extend(self.unset.iter().map(|variable| format!("{variable} is not set")));
        }
        Err(Refusal(refusals.join("; ")))
    }
}

/// Returns what the first key unwraps that can; adds to the refusals what the others say.
fn first<'a>(
    keys: impl IntoIterator<Item = &'a Key>,
    wrapped: &WrappedKey,
    refusals: &mut Vec<String>,
) -> Option<DataKey> {
    keys.into_iter().find_map(|key| key.answer(wrapped).map_err(|reason| refusals.push(reason)).ok())
}

/// A key that was found.
enum Key {
    Open(AgeIdentities),
    Plugin(PluginIdentity),
    Locked(Locked),
}

impl Key {
    /// Reads the keys of one place.
    fn read(place: &str, text: &[u8]) -> Result<Vec<Self>, String> {
        if let Some(identities) = LockedIdentities::recognize(text) {
            let (place, cache_key) = (place.to_owned(), CacheKey::of(text));
            let locked = Locked { place, identities, cache_key, unlocked: OnceCell::new() };
            return Ok(vec![Self::Locked(locked)]);
        }
        let (plugins, rest) = plugins::taken_out(text)
            .map_err(|line| format!("{place}: line {line} of the age key file is not the identity of a plugin"))?;
        let mut keys: Vec<Self> = plugins.into_iter().map(Self::Plugin).collect();
        match AgeIdentities::parse(&rest) {
            Ok(identities) => keys.push(Self::Open(identities)),
            Err(IdentityError::Empty) if !keys.is_empty() => {}
            Err(error) => return Err(format!("{place}: {error}")),
        }
        Ok(keys)
    }

    /// Tells whether it opens without running a program or asking anyone.
    fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, String> {
        match self {
            Self::Open(identities) => identities.answer(wrapped).map_err(|Refusal(reason)| reason),
            Self::Plugin(identity) => identity.answer(wrapped),
            Self::Locked(locked) => locked.answer(wrapped),
        }
    }
}

/// Identities with a passphrase.
struct Locked {
    place: String,
    identities: LockedIdentities,
    /// What a gpg-agent keeps the passphrase under, if it is one that sops asks such an agent for.
    cache_key: Option<CacheKey>,
    /// What came of asking for it.
    unlocked: OnceCell<Result<AgeIdentities, String>>,
}

impl Locked {
    fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, String> {
        if !self.identities.may_open(wrapped) {
            return Err(format!("{}: it is for another recipient", self.place));
        }
        let unlocked = self.unlocked.get_or_init(|| self.unlock());
        let identities = unlocked.as_ref().map_err(|reason| format!("{}: {reason}", self.place))?;
        identities.answer(wrapped).map_err(|Refusal(reason)| reason)
    }

    fn unlock(&self) -> Result<AgeIdentities, String> {
        match self.cache_key.as_ref().and_then(|key| Some((key, Agent::find()?))) {
            Some((key, agent)) => self.unlock_by(agent, key),
            None => self.unlock_at_the_terminal(),
        }
    }

    fn unlock_by(&self, mut agent: Agent, key: &CacheKey) -> Result<AgeIdentities, String> {
        let passphrase = agent.passphrase(key, &self.place).map_err(|error| error.to_string())?;
        self.identities.unlock(&passphrase).map_err(|error| {
            if matches!(error, UnlockIdentitiesError::Passphrase) {
                // Else the agent would give it again; it asks anew in any case when its time is over.
                let _ = agent.forget(key);
            }
            error.to_string()
        })
    }

    fn unlock_at_the_terminal(&self) -> Result<AgeIdentities, String> {
        let passphrase = Terminal::secret(&format!("Passphrase for {}: ", self.place))
            .map_err(|error| format!("it has a passphrase, and nobody can be asked: {error}"))?;
        let passphrase = SecretBytes::concat(&[passphrase.expose_secret().as_bytes()]);
        self.identities.unlock(&passphrase).map_err(|error| error.to_string())
    }
}

fn recipient(wrapped: &WrappedKey) -> Option<&str> {
    match wrapped {
        WrappedKey::Age { recipient, .. } => Some(recipient),
        _ => None,
    }
}

/// In the variable there may be several identities on a line.
fn one_a_line(keys: &str) -> Zeroizing<String> {
    let lines = keys.lines().filter(|line| !line.starts_with('#'));
    Zeroizing::new(lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join("\n"))
}

/// Returns those of the user's SSH keys that are there.
fn users_ssh_keys() -> impl Iterator<Item = PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let keys = home.into_iter().flat_map(|home| ["id_ed25519", "id_rsa"].map(|name| home.join(".ssh").join(name)));
    keys.filter(|path| path.exists())
}

/// Returns where the user's identities are, if they are there.
fn users_file() -> Option<PathBuf> {
    let configured = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = configured.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(folder.join("sops/age/keys.txt")).filter(|path| path.exists())
}

/// Runs the user's command, which gets nothing secret and prints identities.
fn ask(variable: &str, command: &str, recipient: &str) -> Result<Vec<Key>, String> {
    let refused = |why: &dyn std::fmt::Display| format!("{variable}: {why}");
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| refused(&"a quote is not closed, or there is no program"))?;
    let (program, arguments) = words.split_first().ok_or_else(|| refused(&"there is no program"))?;
    let mut child = Command::new(program);
    child.args(arguments).env(RECIPIENT, recipient).stdin(Stdio::inherit()).stderr(Stdio::inherit());
    let output = child.output().map_err(|error| refused(&error))?;
    let text = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(refused(&output.status));
    }
    Key::read(variable, &text)
}
