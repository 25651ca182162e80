//! The age identities that are at hand, from where sops 3.13.3 looks for them (`age/keysource.go`).
//!
//! A place that can't be read is named when nothing opens, and does not keep the others from being tried. Keys with a passphrase come
//! last, and their user is asked once for each, at the terminal; sops asks for identity files at a gpg-agent too.

use std::cell::OnceCell;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use waxwing_keys::{AgeIdentities, LockedIdentities};
use zeroize::Zeroizing;

const KEYS: &str = "SOPS_AGE_KEY";
const KEY_FILE: &str = "SOPS_AGE_KEY_FILE";
const KEY_COMMAND: &str = "SOPS_AGE_KEY_CMD";
const SSH_KEY_FILE: &str = "SOPS_AGE_SSH_PRIVATE_KEY_FILE";
const SSH_KEY_COMMAND: &str = "SOPS_AGE_SSH_PRIVATE_KEY_CMD";
/// What a command is told: for whom a key is wanted.
const RECIPIENT: &str = "SOPS_AGE_RECIPIENT";

/// All identities that are at hand.
pub(crate) struct Identities {
    found: Vec<AgeIdentities>,
    locked: Vec<Locked>,
    /// Commands that print an identity for a recipient, by the variable they stand in.
    commands: Vec<(&'static str, String)>,
    /// Where nothing was looked for.
    unset: Vec<&'static str>,
    /// What could not be read, and why.
    unread: Vec<String>,
}

impl Identities {
    /// Reads the environment and the user's key files: SSH keys first, as sops does.
    pub(crate) fn at_hand() -> Self {
        let mut identities =
            Self { found: Vec::new(), locked: Vec::new(), commands: Vec::new(), unset: Vec::new(), unread: Vec::new() };
        identities.take_named_file(SSH_KEY_FILE);
        for path in users_ssh_keys() {
            identities.take_file(&path);
        }
        match env::var(KEYS).map(Zeroizing::new) {
            Ok(keys) if keys.starts_with("-----BEGIN ") => identities.take(KEYS, keys.as_bytes()),
            Ok(keys) => identities.take(KEYS, one_a_line(&keys).as_bytes()),
            Err(_) => identities.unset.push(KEYS),
        }
        identities.take_named_file(KEY_FILE);
        if let Some(path) = users_file() {
            identities.take_file(&path);
        }
        for variable in [SSH_KEY_COMMAND, KEY_COMMAND] {
            identities.commands.extend(env::var(variable).ok().map(|command| (variable, command)));
        }
        identities
    }

    fn take(&mut self, place: &str, text: &[u8]) {
        match Key::read(place, text) {
            Ok(Key::Open(found)) => self.found.push(found),
            Ok(Key::Locked(locked)) => self.locked.push(locked),
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

    /// Unwraps a data key with the first identity that opens it. The commands are run when no other does, and whoever has a
    /// passphrase is asked for it in the end.
    pub(crate) fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        let mut refusals = Vec::new();
        for identities in &self.found {
            match identities.answer(wrapped) {
                Ok(key) => return Ok(key),
                Err(Refusal(reason)) => refusals.push(reason),
            }
        }
        let mut printed = Vec::new();
        for ((variable, command), recipient) in self.commands.iter().zip(recipient(wrapped).into_iter().cycle()) {
            match ask(variable, command, recipient) {
                Ok(Key::Open(identities)) => match identities.answer(wrapped) {
                    Ok(key) => return Ok(key),
                    Err(Refusal(reason)) => refusals.push(reason),
                },
                Ok(Key::Locked(locked)) => printed.push(locked),
                Err(reason) => refusals.push(reason),
            }
        }
        for locked in self.locked.iter().chain(&printed).filter(|locked| locked.identities.may_open(wrapped)) {
            match locked.answer(wrapped) {
                Ok(key) => return Ok(key),
                Err(reason) => refusals.push(reason),
            }
        }
        refusals.extend(self.unread.iter().cloned());
        if self.found.is_empty() {
            refusals.extend(self.unset.iter().map(|variable| format!("{variable} is not set")));
        }
        Err(Refusal(refusals.join("; ")))
    }
}

/// The identities of one place.
enum Key {
    Open(AgeIdentities),
    Locked(Locked),
}

impl Key {
    fn read(place: &str, text: &[u8]) -> Result<Self, String> {
        match LockedIdentities::recognize(text) {
            Some(identities) => {
                Ok(Self::Locked(Locked { place: place.to_owned(), identities, unlocked: OnceCell::new() }))
            }
            None => AgeIdentities::parse(text).map(Self::Open).map_err(|error| format!("{place}: {error}")),
        }
    }
}

/// Identities with a passphrase.
struct Locked {
    place: String,
    identities: LockedIdentities,
    /// What came of asking for it.
    unlocked: OnceCell<Result<AgeIdentities, String>>,
}

impl Locked {
    fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, String> {
        let unlocked = self.unlocked.get_or_init(|| self.unlock());
        let identities = unlocked.as_ref().map_err(|reason| format!("{}: {reason}", self.place))?;
        identities.answer(wrapped).map_err(|Refusal(reason)| reason)
    }

    fn unlock(&self) -> Result<AgeIdentities, String> {
        let passphrase = rpassword::prompt_password(format!("Passphrase for {}: ", self.place));
        let passphrase =
            passphrase.map_err(|error| format!("it has a passphrase, and nobody can be asked: {error}"))?;
        self.identities.unlock(&SecretBytes::new(passphrase.into_bytes())).map_err(|error| error.to_string())
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
fn ask(variable: &str, command: &str, recipient: &str) -> Result<Key, String> {
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
