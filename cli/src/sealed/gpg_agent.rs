//! Asks a gpg-agent for the passphrase of an identity file, as sops 3.13.3 does (`age/encrypted_keys.go`): the agent asks its user in a
//! window of its own, and remembers what he said for as long as it is set to.
//!
//! Nothing secret is sent. What the agent keeps it under is what sops has it under, so neither asks for what the other was told.
//! Not here: SSH keys with a passphrase, for which sops asks at the terminal, and so do we.
//! Source: `GET_PASSPHRASE` and `CLEAR_PASSPHRASE` in <https://www.gnupg.org/documentation/manuals/gnupg/Agent-Protocol.html>, and
//! <https://www.gnupg.org/documentation/manuals/assuan/>.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use age::armor::ArmoredReader;
use data_encoding::{BASE32, HEXUPPER_PERMISSIVE};
use sha2::{Digest, Sha256};
use waxwing_formats::SecretBytes;
use zeroize::Zeroizing;

/// How long an agent may take to say what needs no user.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line of the protocol, with its end.
const MAX_LINE: usize = 1002;
/// How much of the digest the agent keeps a passphrase under: its names have at most 50 characters.
const DIGEST_LEN: usize = 25;

/// What an agent keeps the passphrase of an identity file under.
pub(super) struct CacheKey(String);

impl CacheKey {
    /// Makes the one for an identity file with a passphrase; nothing for what is no age file. It is the same with armor and without.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        // The last byte of a file without armor may look like white space.
        let file = file.trim_ascii_start();
        let file = if file.starts_with(b"-----BEGIN") { file.trim_ascii_end() } else { file };
        let mut contents = Vec::with_capacity(file.len());
        ArmoredReader::new(file).read_to_end(&mut contents).ok()?;
        let digest = Sha256::digest(contents.starts_with(b"age-encryption").then_some(contents)?);
        Some(Self(format!("SopsAge{}", BASE32.encode(digest.get(..DIGEST_LEN)?))))
    }
}

/// A connection to an agent.
pub(super) struct Agent(UnixStream);

/// Why an agent gave no passphrase.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgentError {
    /// The connection failed.
    #[error("gpg-agent can't be asked: {0}")]
    Connection(#[from] io::Error),
    /// It refuses; what it says beyond its code is not kept.
    #[error("gpg-agent gives no passphrase (code {code})")]
    Refused {
        /// The code of libgpg-error.
        code: String,
    },
    /// What it says is not of the protocol.
    #[error("what gpg-agent says can't be read")]
    Malformed,
}

impl Agent {
    /// Reaches the user's agent, if one runs.
    pub(super) fn find() -> Option<Self> {
        let mut agent = Self(UnixStream::connect(socket()?).ok()?);
        agent.0.set_read_timeout(Some(PATIENCE)).ok()?;
        agent.done().ok()?;
        Some(agent)
    }

    /// Returns the passphrase that the agent keeps, or that its user types.
    pub(super) fn passphrase(&mut self, key: &CacheKey, place: &str) -> Result<SecretBytes, AgentError> {
        for option in options() {
            // An agent that does not know one goes without it.
            self.send(&format!("OPTION {option}"))?;
            match self.done() {
                Ok(_) | Err(AgentError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let description = escaped(&format!("Passphrase for {place}:"));
        self.send(&format!("GET_PASSPHRASE {} X Passphrase {description}", key.0))?;
        // The user takes the time that he takes.
        self.0.set_read_timeout(None)?;
        let answer = self.done()?;
        self.0.set_read_timeout(Some(PATIENCE))?;
        let digits = answer.trim_ascii();
        let mut passphrase = Zeroizing::new(vec![0; digits.len() / 2]);
        let decoded = HEXUPPER_PERMISSIVE.decode_mut(digits, &mut passphrase);
        decoded.map(|_| SecretBytes::concat(&[&passphrase])).map_err(|_| AgentError::Malformed)
    }

    /// Has the agent forget a passphrase that does not open the file.
    pub(super) fn forget(&mut self, key: &CacheKey) -> Result<(), AgentError> {
        self.send(&format!("CLEAR_PASSPHRASE {}", key.0))?;
        self.done().map(drop)
    }

    fn send(&mut self, line: &str) -> Result<(), AgentError> {
        Ok(self.0.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Reads to the end of an answer, and returns what stands behind its `OK`.
    fn done(&mut self) -> Result<Zeroizing<Vec<u8>>, AgentError> {
        loop {
            let line = self.line()?;
            let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
                Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
                None => (line.as_slice(), &[][..]),
            };
            match word {
                b"OK" => return Ok(Zeroizing::new(rest.to_vec())),
                b"ERR" => {
                    let code = rest.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte));
                    return Err(AgentError::Refused { code: code.take(12).collect() });
                }
                // Remarks and how far it is.
                b"#" | b"S" => {}
                _ => return Err(AgentError::Malformed),
            }
        }
    }

    /// Reads a line into a buffer of fixed size, byte by byte, so that nothing of the next one is taken.
    fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, AgentError> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let mut byte = [0];
        while line.len() < MAX_LINE {
            self.0.read_exact(&mut byte)?;
            match byte {
                [b'\n'] => return Ok(line),
                [byte] => line.push(byte),
            }
        }
        Err(AgentError::Malformed)
    }
}

/// Returns where the agent listens: where `GPG_AGENT_INFO` says, else in the folder of GnuPG, else in that of the session.
fn socket() -> Option<PathBuf> {
    if let Some(said) = env::var_os("GPG_AGENT_INFO") {
        let said = said.into_string().ok()?;
        return said.split(':').next().filter(|path| !path.is_empty()).map(PathBuf::from);
    }
    let is_socket = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let below =
        |variable: &str, folder: &str| Some(Path::new(&env::var_os(variable)?).join(folder).join("S.gpg-agent"));
    [below("HOME", ".gnupg"), below("XDG_RUNTIME_DIR", "gnupg")].into_iter().flatten().find(|path| is_socket(path))
}

/// Says where the agent can ask.
fn options() -> impl Iterator<Item = String> {
    let said = |option: &str, value: Option<&OsStr>| {
        let value = value?.to_str().filter(|value| !value.is_empty() && !value.contains(char::is_control))?;
        Some(format!("{option}={value}"))
    };
    let terminal = fs::read_link("/proc/self/fd/0").ok().filter(|path| path.starts_with("/dev"));
    let terminal = terminal.map(PathBuf::into_os_string).or_else(|| env::var_os("GPG_TTY"));
    [
        said("display", env::var_os("DISPLAY").as_deref()),
        said("ttyname", terminal.as_deref()),
        said("ttytype", env::var_os("TERM").as_deref()),
    ]
    .into_iter()
    .flatten()
}

/// Writes a text as an argument of the protocol: a space as `+`, and all but letters, digits and `-_.` by its digits.
fn escaped(text: &str) -> String {
    let written = text.bytes().take(MAX_LINE / 4).map(|byte| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_kept_under_the_digest_of_the_file_without_armor() {
        let key = |file: &[u8]| CacheKey::of(file).map(|key| key.0);
        let binary = b"age-encryption.org/v1\nanything that is longer than a line of armor";
        // printf 'age-encryption.org/v1\nanything that is longer than a line of armor' | sha256sum | cut -c1-50 | xxd -r -p | base32
        assert_eq!(key(binary).as_deref(), Some("SopsAgeNL3AWXDTTVMTAT2NAIEOO5WZ23LZEGJ3XATUR723"));
        assert_eq!(key(b"-----BEGIN OPENSSH PRIVATE KEY-----\n"), None);
        assert_eq!(key(b"AGE-SECRET-KEY-1"), None);
    }

    #[test]
    fn what_an_agent_is_told_is_one_line_of_the_protocol() {
        assert_eq!(escaped("a b'ü\n%+"), "a+b%27%C3%BC%0A%25%2B");
        assert!(escaped(&"\n".repeat(10_000)).len() < MAX_LINE);
    }
}
