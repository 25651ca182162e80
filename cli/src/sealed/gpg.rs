//! Runs `gpg`, the program of GnuPG, which has the user's keyrings and reaches a gpg-agent, as sops 3.13.3 does
//! (`pgp/keysource.go`).
//!
//! Arguments are fixed, or names of keys that are hexadecimal digits. What is secret goes to gpg on standard input or comes back on
//! standard output, and goes nowhere else; what gpg says on standard error is kept for the message of a failure. Only `seal` runs it:
//! it is run by whoever owns the keys.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::PgpKeyName;
use zeroize::Zeroizing;

const PROGRAM: &str = "SOPS_GPG_EXEC";
/// Secrets of the user that are none of gpg's business; a gpg-agent that it starts would keep them for as long as it runs.
const NOT_FOR_GPG: [&str; 8] = [
    "SOPS_AGE_KEY",
    "BAO_TOKEN",
    "VAULT_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
];
/// A data key has 32 bytes and a Shamir share of it 33; anything near that is judged by who uses it.
const MAX_KEY_LEN: usize = 64;
/// What an armored message begins and ends with (RFC 9580, section 6.2).
const ARMOR: (&str, &str) = ("-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----");
/// A message with a data key takes 1 to 2 KiB.
const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// Public keys with many signatures on them take some 100 KiB.
const MAX_EXPORT_LEN: usize = 1 << 20;
/// How much of what gpg says is kept.
const MAX_SAID_LEN: usize = 4096;

/// Has gpg open an armored message that holds a data key.
pub(super) fn open(message: &str) -> Result<DataKey, GpgError> {
    let output = run(&["--decrypt"], message.as_bytes(), MAX_KEY_LEN)?;
    match output.is_empty() {
        true => Err(GpgError::Nothing { program: program_name() }),
        false => Ok(DataKey::new(SecretBytes::concat(&[&output]))),
    }
}

/// Has gpg wrap a data key, or a share of one, in an armored message. gpg judges whether the key can be used now; whose it is does not
/// matter, as in sops, since it was named by its fingerprint.
pub(super) fn seal(name: &PgpKeyName, key: &DataKey) -> Result<String, GpgError> {
    let name = name.to_string();
    let to = ["--no-default-recipient", "--no-encrypt-to", "--trust-model", "always", "--recipient", &name];
    // Leaves for gpg, which wraps it.
    let output =
        run(&[&["--batch"], &to[..], &["--armor", "--encrypt"]].concat(), key.expose_secret(), MAX_MESSAGE_LEN)?;
    let message = String::from_utf8_lossy(&output).trim().to_owned();
    let is_plain = message.bytes().all(|byte| byte.is_ascii_graphic() || b" \r\n".contains(&byte));
    match is_plain && message.starts_with(ARMOR.0) && message.ends_with(ARMOR.1) {
        true => Ok(message),
        false => Err(GpgError::NoMessage { program: program_name() }),
    }
}

/// Has gpg export a public key.
pub(super) fn export(name: &PgpKeyName) -> Result<Zeroizing<Vec<u8>>, GpgError> {
    let arguments = ["--batch", "--export-options", "export-minimal", "--export", &name.to_string()];
    let output = run(&arguments, &[], MAX_EXPORT_LEN)?;
    match output.is_empty() {
        true => Err(GpgError::NoKey { program: program_name(), name: name.to_string() }),
        false => Ok(output),
    }
}

fn program() -> OsString {
    env::var_os(PROGRAM).filter(|program| !program.is_empty()).unwrap_or_else(|| "gpg".into())
}

fn program_name() -> String {
    program().to_string_lossy().into_owned()
}

/// Runs gpg to its end and returns what it wrote, which may be `limit` bytes.
fn run(arguments: &[&str], input: &[u8], limit: usize) -> Result<Zeroizing<Vec<u8>>, GpgError> {
    let mut command = Command::new(program());
    for variable in NOT_FOR_GPG {
        command.env_remove(variable);
    }
    let child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let not_run = |source| GpgError::NotRun { program: program_name(), source };
    let mut child = child.map_err(not_run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (output, said) = thread::scope(|scope| {
        scope.spawn(move || feed(stdin, input));
        let said = scope.spawn(move || said(stderr));
        (output(stdout, limit), said.join().unwrap_or_default())
    });
    let status = child.wait().map_err(not_run)?;
    let output = output.map_err(not_run)?.ok_or_else(|| GpgError::TooLong { program: program_name() })?;
    match status.success() {
        true => Ok(output),
        false => Err(GpgError::Failed { program: program_name(), status, said }),
    }
}

/// Whoever ends without reading all says why on standard error.
fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        stdin.write_all(input).unwrap_or_default();
    }
}

/// Reads into a buffer of fixed size, so that nothing is left behind by growth; nothing if there is more than fits.
fn output(stdout: Option<ChildStdout>, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut buffer = Zeroizing::new(vec![0; limit + 1]);
    let mut len = 0;
    let Some(mut stdout) = stdout else { return Ok(None) };
    while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
        match stdout.read(free) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(len);
    Ok((len <= limit).then_some(buffer))
}

/// Returns the beginning of what gpg says, in one line.
fn said(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut text = Vec::new();
    stderr.by_ref().take(MAX_SAID_LEN as u64).read_to_end(&mut text).unwrap_or_default();
    io::copy(&mut stderr, &mut io::sink()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(|line| line.strip_prefix("gpg: ").unwrap_or(line).trim());
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|letter| !letter.is_control()).collect()
}

/// Why gpg did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GpgError {
    /// It can't be run.
    #[error("failed to run {program}")]
    NotRun {
        /// How it is called.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended otherwise than well.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// How it is called.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// It has no such key.
    #[error("{program} has no public key {name}")]
    NoKey {
        /// How it is called.
        program: String,
        /// The key.
        name: String,
    },
    /// It ended well without a result, as one that does not know a cipher may.
    #[error("{program} gave nothing")]
    Nothing {
        /// How it is called.
        program: String,
    },
    /// It ended well, and what it gave is no armored message.
    #[error("{program} gave no message")]
    NoMessage {
        /// How it is called.
        program: String,
    },
    /// It gave too much.
    #[error("{program} gave more than there can be")]
    TooLong {
        /// How it is called.
        program: String,
    },
}

impl GpgError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRun { .. } => Some("install GnuPG, or name its program in SOPS_GPG_EXEC"),
            Self::NoKey { .. } => Some("import it with `gpg --import FILE`"),
            Self::Failed { .. } | Self::Nothing { .. } | Self::NoMessage { .. } | Self::TooLong { .. } => None,
        }
    }
}
