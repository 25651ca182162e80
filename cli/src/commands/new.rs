//! `seal new`: a SealedSecret straight from values, so that the plaintext is never in a manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::PlainSecret;

use super::seal::SealingArgs;
use crate::error::Error;
use crate::input::{self, Pair, ValueError};

/// Make a SealedSecret from values
///
/// Takes values from files, from env files or from a prompt, and prints a SealedSecret. At least one value is needed, and no
/// key may come twice.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NewArgs {
    /// The name of the Secret that it becomes in the cluster
    #[arg(value_name = "NAME", value_parser = input::dns_subdomain)]
    name: String,

    /// Take a value from a file; the key is the file's name unless one is given. The path `-` is standard input
    #[arg(long, value_name = "[KEY=]PATH", help_heading = "Values")]
    from_file: Vec<String>,

    /// Take a value from each line KEY=VALUE of a file; empty lines and lines that begin with # are skipped
    #[arg(long, value_name = "PATH", help_heading = "Values")]
    from_env_file: Vec<PathBuf>,

    /// Ask for a value on the terminal, twice and without showing it
    #[arg(long, value_name = "KEY", help_heading = "Values", value_parser = input::data_key)]
    prompt: Vec<String>,

    /// Take a value from the command line, where every user of this machine and the shell's history can see it; prefer --prompt
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Values")]
    from_literal: Vec<String>,

    /// Give the Secret this type, such as kubernetes.io/tls [default: Opaque]
    #[arg(long = "type", value_name = "TYPE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    type_: Option<String>,

    /// Give the Secret a label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Pair>,

    /// Give the Secret an annotation
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<Pair>,

    #[command(flatten)]
    sealing: SealingArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal new db --prompt password -n shop > db.yaml
  seal new tls --type kubernetes.io/tls --from-file tls.crt --from-file tls.key=private.pem > tls.yaml
  pwgen -s 32 1 | tr -d '\\n' | seal new api --from-file token=- > api.yaml";

/// Gathers the values, seals them and prints the result.
pub(crate) fn run(args: NewArgs) -> Result<(), Error> {
    let values = Values::gather(&args)?;
    let mut secret = PlainSecret::new(args.name, None, values.0);
    if let Some(type_) = args.type_ {
        secret.set_type(type_);
    }
    for Pair { key, value } in args.label {
        secret.set_label(key, value);
    }
    for Pair { key, value } in args.annotation {
        secret.set_annotation(key, value);
    }
    args.sealing.seal_and_print(vec![secret])
}

/// Values by key, each key once.
#[derive(Default)]
struct Values(BTreeMap<String, SecretBytes>);

impl Values {
    fn gather(args: &NewArgs) -> Result<Self, ValueError> {
        let mut values = Self::default();
        for argument in &args.from_file {
            let (key, path) = key_and_path(argument)?;
            values.insert(&key, input::value_file(&path)?)?;
        }
        for path in &args.from_env_file {
            for (key, value) in input::env_file(path)? {
                values.insert(&key, value)?;
            }
        }
        for argument in &args.from_literal {
            let (key, value) = literal(argument)?;
            values.insert(key, value)?;
        }
        values.check_prompts(&args.prompt)?;
        for key in &args.prompt {
            values.insert(key, input::prompt(key)?)?;
        }
        values.check_size()
    }

    fn insert(&mut self, key: &str, value: SecretBytes) -> Result<(), ValueError> {
        let key = input::data_key(key)?;
        match self.0.contains_key(&key) {
            true => Err(ValueError::DuplicateKey { key }),
            false => self.0.insert(key, value).map_or(Ok(()), |_| Ok(())),
        }
    }

    /// Refuses a key that is there already before anything is typed for it.
    fn check_prompts(&self, keys: &[String]) -> Result<(), ValueError> {
        match keys.iter().find(|key| self.0.contains_key(*key)) {
            Some(key) => Err(ValueError::DuplicateKey { key: key.clone() }),
            None => Ok(()),
        }
    }

    fn check_size(self) -> Result<Self, ValueError> {
        let bytes = self.0.values().map(SecretBytes::len).sum::<usize>();
        match bytes {
            _ if self.0.is_empty() => Err(ValueError::None),
            0..=MAX_BYTES => Ok(self),
            _ => Err(ValueError::TooLarge { bytes }),
        }
    }
}

/// The most bytes that the values of a Secret may have together (`MaxSecretSize` in Kubernetes' core/v1 types).
const MAX_BYTES: usize = 1024 * 1024;

/// Splits `key=value`, and quotes neither where it can't, since either may be the secret.
fn literal(argument: &str) -> Result<(&str, SecretBytes), ValueError> {
    let (key, value) = argument.split_once('=').ok_or(ValueError::LiteralWithoutKey)?;
    if !input::is_data_key(key) {
        return Err(ValueError::LiteralWithBadKey);
    }
    Ok((key, SecretBytes::new(value.as_bytes().to_vec())))
}

/// Splits `key=path`; a path alone gives its last part as the key.
fn key_and_path(argument: &str) -> Result<(String, PathBuf), ValueError> {
    if let Some((key, path)) = argument.split_once('=') {
        return Ok((key.to_owned(), PathBuf::from(path)));
    }
    let path = Path::new(argument);
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) if argument != "-" => Ok((name.to_owned(), path.to_owned())),
        _ => Err(ValueError::FileWithoutKey { argument: argument.to_owned() }),
    }
}
