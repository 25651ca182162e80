//! What comes in: documents, values and names, read into memory that is wiped, and checked.
//!
//! Nothing here quotes what it has read: an error names the file, the line and what was expected.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::yaml::{self, YamlError};
use zeroize::Zeroizing;

use crate::output;

/// One document of the input.
pub(crate) struct Document {
    /// The file and the line, as `secret.yaml:12`.
    pub(crate) place: String,
    /// What stands there; it holds plaintext.
    pub(crate) value: Value,
}

/// The input could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// A file or standard input could not be read.
    #[error("failed to read {name}")]
    Read {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The text is neither YAML nor JSON.
    #[error("{name} is not well-formed YAML or JSON")]
    Malformed {
        /// The file.
        name: String,
        /// Where, and what is wrong there.
        source: YamlError,
    },
    /// There is no document in it.
    #[error("there is no Secret in {name}")]
    Nothing {
        /// The file.
        name: String,
    },
}

impl InputError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => None,
            Self::Malformed { source, .. } => Some(source.hint()),
            Self::Nothing { .. } => Some("check that the command before the pipe worked, and that its output is UTF-8"),
        }
    }
}

/// Reads the documents of a file, or of standard input; the items of a `List` are documents.
pub(crate) fn documents(file: Option<&Path>) -> Result<Vec<Document>, InputError> {
    let file = file.filter(|path| *path != Path::new("-"));
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let text = match file {
        Some(path) => std::fs::read(path).map(Zeroizing::new),
        None => standard_input("Secrets as YAML or JSON"),
    }
    .map_err(|source| InputError::Read { name: name.clone(), source })?;
    documents_of(name, &text)
}

/// Reads the documents of a text that was read from there.
pub(crate) fn documents_of(name: String, text: &[u8]) -> Result<Vec<Document>, InputError> {
    let found = yaml::manifests(text).map_err(|source| InputError::Malformed { name: name.clone(), source })?;
    let documents: Vec<_> = found
        .into_iter()
        .flat_map(|document| items(document.value).map(move |value| (document.line, value)))
        .map(|(line, value)| Document { place: format!("{name}:{line}"), value })
        .collect();
    if documents.is_empty() { Err(InputError::Nothing { name }) } else { Ok(documents) }
}

/// Unfolds a `v1` `List`, as `kubectl get secrets -o yaml` prints one.
fn items(mut value: Value) -> impl Iterator<Item = Value> {
    let is_list = value.get("kind").is_some_and(|kind| kind == "List");
    let items = match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => std::mem::take(items),
        _ => vec![value],
    };
    items.into_iter()
}

fn standard_input(expected: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        output::note(&format!("reading {expected} from the terminal; end with Ctrl-D"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    input.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A value for a new Secret is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    /// No value was given at all.
    #[error("a Secret needs at least one value")]
    None,
    /// A key is not one that a Secret can have.
    #[error("{key:?} can't be a key of a Secret")]
    BadKey {
        /// The key.
        key: String,
    },
    /// A key was given twice.
    #[error("the key {key} comes twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A file gives no key.
    #[error("--from-file {argument} gives no key")]
    FileWithoutKey {
        /// What was passed.
        argument: String,
    },
    /// A literal has no `=`. What was passed may be the secret, so it is not shown.
    #[error("--from-literal is not of the form KEY=VALUE")]
    LiteralWithoutKey,
    /// What stands before the `=` of a literal is not a key. It may be part of a secret, so it is not shown.
    #[error("--from-literal does not begin with a key that a Secret can have")]
    LiteralWithBadKey,
    /// A line of an env file has no `=`.
    #[error("{}:{line} is not of the form KEY=VALUE", path.display())]
    LineWithoutKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The key on a line of an env file is not one. It may be part of a secret, so it is not shown.
    #[error("{}:{line} does not begin with a key that a Secret can have", path.display())]
    LineWithBadKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The values are more than Kubernetes takes.
    #[error("the values have {bytes} bytes; a Secret can have 1048576")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// A file could not be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody can be asked.
    #[error("failed to ask for {key} on the terminal")]
    Prompt {
        /// The key.
        key: String,
        /// What the system said.
        source: io::Error,
    },
    /// The two answers differ.
    #[error("the two values for {key} differ")]
    PromptsDiffer {
        /// The key.
        key: String,
    },
}

impl ValueError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::None => Some("pass --from-file, --from-env-file, --prompt or --from-literal"),
            Self::BadKey { .. } => Some(KEY_RULE),
            Self::DuplicateKey { .. } => Some("give each key once"),
            Self::FileWithoutKey { .. } => Some("write --from-file KEY=PATH"),
            Self::LiteralWithoutKey => Some("write --from-literal KEY=VALUE, or better --prompt KEY"),
            Self::LineWithoutKey { .. } => Some("write KEY=VALUE; values are not taken from the environment"),
            Self::LiteralWithBadKey | Self::LineWithBadKey { .. } => Some(KEY_RULE),
            Self::TooLarge { .. } => Some("split it into several Secrets"),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
                Some("pass each file of the folder by itself")
            }
            Self::Read { .. } => None,
            Self::Prompt { .. } => Some("without a terminal, pass the value with --from-file KEY=-"),
            Self::PromptsDiffer { .. } => Some("type the same value twice"),
        }
    }
}

const KEY_RULE: &str = "a key has at most 253 letters, digits, `-`, `_` and `.`, and is not `.` or `..`";

/// Reads a value from a file, or from standard input for `-`, byte for byte.
pub(crate) fn value_file(path: &Path) -> Result<SecretBytes, ValueError> {
    let bytes = match path == Path::new("-") {
        true => standard_input("a value").map(|mut bytes| std::mem::take(&mut *bytes)),
        false => std::fs::read(path),
    };
    bytes.map(SecretBytes::new).map_err(|source| ValueError::Read { path: path.to_owned(), source })
}

/// Reads the lines `KEY=VALUE` of a file as `kubectl create secret --from-env-file` does: a value reaches to the end of its line,
/// and quotes are part of it.
pub(crate) fn env_file(path: &Path) -> Result<Vec<(String, SecretBytes)>, ValueError> {
    let text = value_file(path)?;
    let text = text.expose_secret();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut values = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if !line.is_empty() && !line.starts_with(b"#") {
            values.push(env_line(line, path, index + 1)?);
        }
    }
    Ok(values)
}

fn env_line(text: &[u8], path: &Path, line: usize) -> Result<(String, SecretBytes), ValueError> {
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
        return Err(ValueError::LineWithoutKey { path: path.to_owned(), line });
    };
    let key = std::str::from_utf8(key).ok().filter(|key| is_data_key(key));
    let key = key.ok_or_else(|| ValueError::LineWithBadKey { path: path.to_owned(), line })?;
    Ok((key.to_owned(), SecretBytes::new(value.to_vec())))
}

/// Asks for a value twice, without showing it.
pub(crate) fn prompt(key: &str) -> Result<SecretBytes, ValueError> {
    let ask = |text: String| {
        rpassword::prompt_password(text)
            .map(|answer| SecretBytes::new(answer.into_bytes()))
            .map_err(|source| ValueError::Prompt { key: key.to_owned(), source })
    };
    let first = ask(format!("{key}: "))?;
    let second = ask(format!("{key}, again: "))?;
    if first.ct_eq(&second) { Ok(first) } else { Err(ValueError::PromptsDiffer { key: key.to_owned() }) }
}

/// Checks a key of a Secret (`IsConfigMapKey` in apimachinery's validation).
pub(crate) fn data_key(text: &str) -> Result<String, ValueError> {
    if is_data_key(text) { Ok(text.to_owned()) } else { Err(ValueError::BadKey { key: text.to_owned() }) }
}

/// Tells whether `text` can be a key of a Secret.
pub(crate) fn is_data_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && ![".", ".."].contains(&text)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A `key=value` from the command line, for labels and annotations.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// What stands before the first `=`.
    pub(crate) key: String,
    /// What stands after it.
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("expected KEY=VALUE"),
        }
    }
}

/// Checks the name of a namespace or a Service (RFC 1123 label).
pub(crate) fn dns_label(text: &str) -> Result<String, &'static str> {
    let good = text.len() <= 63 && is_dns_part(text);
    good.then(|| text.to_owned()).ok_or("expected at most 63 lowercase letters, digits and `-`")
}

/// Checks the name of an object (RFC 1123 subdomain).
pub(crate) fn dns_subdomain(text: &str) -> Result<String, &'static str> {
    let good = text.len() <= 253 && text.split('.').all(is_dns_part);
    good.then(|| text.to_owned()).ok_or("expected at most 253 lowercase letters, digits, `-` and `.`")
}

fn is_dns_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
