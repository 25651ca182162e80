//! The age identities that are at hand, from where sops 3.13.3 looks for them (`age/keysource.go`).
//!
//! SSH keys are not read. A place that can't be read is named when nothing opens, and does not keep the others from being
//! tried.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::AgeIdentities;
use zeroize::Zeroizing;

const KEYS: &str = "SOPS_AGE_KEY";
const KEY_FILE: &str = "SOPS_AGE_KEY_FILE";
const KEY_COMMAND: &str = "SOPS_AGE_KEY_CMD";
/// What the command is told: for whom a key is wanted.
const RECIPIENT: &str = "SOPS_AGE_RECIPIENT";

/// All identities that are at hand.
pub(crate) struct Identities {
    found: Vec<AgeIdentities>,
    /// Prints an identity for a recipient.
    command: Option<String>,
    /// Where nothing was found, and why.
    missed: Vec<String>,
}

impl Identities {
    /// Reads the environment and the user's key file.
    pub(crate) fn at_hand() -> Self {
        let mut identities = Self { found: Vec::new(), command: env::var(KEY_COMMAND).ok(), missed: Vec::new() };
        match env::var(KEYS).map(Zeroizing::new) {
            Ok(keys) => identities.take(KEYS, one_a_line(&keys).as_bytes()),
            Err(_) => identities.missed.push(format!("{KEYS} is not set")),
        }
        match env::var_os(KEY_FILE).map(PathBuf::from) {
            Some(path) => identities.take_file(&path),
            None => identities.missed.push(format!("{KEY_FILE} is not set")),
        }
        if let Some(path) = users_file() {
            identities.take_file(&path);
        }
        identities
    }

    fn take(&mut self, place: &str, text: &[u8]) {
        match AgeIdentities::parse(text) {
            Ok(found) => self.found.push(found),
            Err(error) => self.missed.push(format!("{place}: {error}")),
        }
    }

    fn take_file(&mut self, path: &Path) {
        match super::read(Some(path)) {
            Ok(text) => self.take(&path.display().to_string(), &text),
            Err(error) => self.missed.push(format!("{}: {error}", path.display())),
        }
    }

    /// Unwraps a data key with the first identity that opens it. The command is run if none that is there does.
    pub(crate) fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        let mut refusals = Vec::new();
        let found = self.found.iter().map(|identities| identities.answer(wrapped));
        let commanded = self.command.as_deref().zip(recipient(wrapped)).into_iter();
        let commanded = commanded.map(|(command, recipient)| ask(command, recipient)?.answer(wrapped));
        for answer in found.chain(commanded) {
            match answer {
                Ok(key) => return Ok(key),
                Err(Refusal(reason)) => refusals.push(reason),
            }
        }
        if self.found.is_empty() {
            refusals.extend(self.missed.iter().cloned());
        }
        Err(Refusal(refusals.join("; ")))
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

/// Returns where the user's identities are, if they are there.
fn users_file() -> Option<PathBuf> {
    let configured = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = configured.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(folder.join("sops/age/keys.txt")).filter(|path| path.exists())
}

/// Runs the user's command, which gets nothing secret and prints identities.
fn ask(command: &str, recipient: &str) -> Result<AgeIdentities, Refusal> {
    let refused = |why: &dyn std::fmt::Display| Refusal(format!("{KEY_COMMAND}: {why}"));
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
    AgeIdentities::parse(&text).map_err(|error| refused(&error))
}
