//! `seal keys`: the sealing keys of a cluster, what still needs them, and their backup.

mod list;
mod restore;
mod retire;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::args::Outcome;
use crate::cluster::{ClusterArgs, Connection};
use crate::error::Error;
use crate::input;
use crate::output;
use crate::sealed::{self, Configurations};
use crate::sealing::{Backup, BackupError, KeySecrets, SealedSource, of_files};
use crate::sops::KeyFlags;

pub(crate) use retire::RetireError;

/// Look after the sealing keys of a cluster
///
/// The keys are Secrets with the label sealedsecrets.bitnami.com/sealed-secrets-key in the controller's namespace, which you need the
/// rights to list. Whoever may do that has the private keys too; they are never shown. All of it works with the Sealed Secrets controller as well,
/// with --controller-namespace kube-system.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(Box<list::ListArgs>),
    Backup(Box<BackupArgs>),
    Restore(restore::RestoreArgs),
    Retire(Box<retire::RetireArgs>),
}

/// Write all sealing keys into a file
///
/// The file is a SOPS file of the Secrets, for the recipients that the flags or .sops.yaml name: `seal keys restore` reads it, and so
/// does `sops decrypt FILE | kubectl apply -f -`. Only you can read it, and nothing is ever written over. Whoever can open it can open
/// everything that was ever sealed for the cluster.
#[derive(Args)]
#[command(after_help = BACKUP_EXAMPLES)]
struct BackupArgs {
    /// The new file, which ends in .yaml or .json; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Write the private keys in the clear; to a terminal they are not written
    #[arg(long)]
    plaintext: bool,

    /// Read this configuration, instead of the .sops.yaml next to the file or above it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    keys: KeyFlags,

    #[command(flatten)]
    cluster: ClusterArgs,
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  seal keys backup --age age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq sealing-keys.sops.yaml
  seal keys backup --controller-namespace kube-system sealing-keys.sops.yaml";

/// Where to look for what is sealed.
#[derive(Args, Default)]
pub(crate) struct Places {
    /// Look for SealedSecrets in the files that Git would commit at or below this path
    #[arg(long, value_name = "FILE|DIR")]
    needed_by: Vec<PathBuf>,

    /// Look for SealedSecrets in the cluster, in all namespaces
    #[arg(long)]
    in_cluster: bool,

    /// Take SealedSecrets that name no namespace to be in this one
    #[arg(short, long, value_name = "NAME", value_parser = input::dns_label)]
    namespace: Option<String>,
}

impl Places {
    /// Tells whether something is to be looked at.
    fn are_some(&self) -> bool {
        self.in_cluster || !self.needed_by.is_empty()
    }

    fn look(&self, connection: &Connection) -> Result<SealedSource, Error> {
        let mut source = of_files(&self.needed_by)?;
        if self.in_cluster {
            source.add_cluster(connection)?;
        }
        Ok(source)
    }
}

/// Does what was asked for.
pub(crate) fn run(args: KeysArgs) -> Result<Outcome, Error> {
    match args.command {
        Command::List(args) => list::run(&args).map(|()| Outcome::Done),
        Command::Backup(args) => backup(&args).map(|()| Outcome::Done),
        Command::Restore(args) => restore::run(&args),
        Command::Retire(args) => retire::run(&args),
    }
}

fn backup(args: &BackupArgs) -> Result<(), Error> {
    let BackupArgs { file, plaintext, config, keys, cluster } = args;
    let is_output = file == Path::new("-");
    if *plaintext && is_output && io::stdout().is_terminal() {
        return Err(BackupError::Terminal.into());
    }
    if !is_output && file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { file: file.clone() }.into());
    }
    let connection = cluster.connect()?;
    let secrets = KeySecrets::read(&connection)?;
    let namespace = &connection.namespace;
    for secret in &secrets.0 {
        if let Err(error) = secret.checked() {
            output::note(&format!("Secret {namespace}/{} is in the backup and opens nothing: {error}", secret.name));
        }
    }
    let count = secrets.0.len();
    let backup = Backup { keys: secrets.0 };
    if count == 0 {
        return Err(BackupError::NoKeys { namespace: namespace.clone() }.into());
    }
    let bytes = match plaintext {
        true => backup.in_the_clear(namespace, file)?,
        false => {
            let configuration = Configurations::new(config.as_deref())?.into_one(file)?;
            let text = backup.sealed(namespace, file, &keys.names(), configuration.as_ref())?;
            waxwing_formats::SecretBytes::new(text.into_bytes())
        }
    };
    // Sealed, or in the clear as the user said.
    let bytes = bytes.expose_secret();
    if is_output {
        return output::print_bytes(bytes);
    }
    sealed::create(file, bytes).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists { file: file.clone() },
        _ => BackupError::File { verb: "write", file: file.clone(), source },
    })?;
    output::note(&format!(
        "{} {} written",
        crate::verify::counted(count, "key"),
        if count == 1 { "is" } else { "are" }
    ));
    Ok(())
}
