//! `seal run`: a command that gets what references lead to in its environment.
//!
//! The program becomes that command, so its exit code and the signals are the command's. Values are in the environment of that process
//! and nowhere else: not in arguments, files or what is printed.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::cluster::ContextArgs;
use crate::error::Error;
use crate::references::{Variables, stores_in};

/// Run a command with references resolved into its environment
///
/// Reads variables from manifests, env files and the command line, asks the stores for what the references in them lead to, and then becomes
/// the command, with these variables beside its own environment. Of several of one name the last counts: those of --from, then --env-file, then
/// --env. What stands in the environment already is not looked at. If one reference can't be resolved nothing is run, and all that can't be
/// are named.
///
/// The SecretBackend that a reference names is looked for in the files of --backends, and asked with your own credentials, as the command line of
/// each service finds them: for Vault and OpenBao VAULT_ADDR, VAULT_TOKEN or what `vault login` and `bao login` leave, VAULT_NAMESPACE and
/// VAULT_CACERT, each of them only where there is no BAO_ADDR, BAO_TOKEN, BAO_NAMESPACE or BAO_CACERT; for AWS, Google Cloud and Azure what `seal sops` takes for their keys; for Secrets of the cluster the kubeconfig. No file decides where
/// they go: a server of Vault must be the one in VAULT_ADDR or BAO_ADDR, a vault of Azure one in Azure's own domains. What the backend allows to Syncs does not
/// count here. References of vals to vault and openbao go to that server, to awssecrets and awsssm to AWS in your region, to gcpsecrets to Google.
///
/// The exit code is that of the command; 127 where it is not found, 126 where it can't be run, and 1 where a variable can't be had.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Set a variable to a text with references in it; may come several times. Other processes can see arguments: no secret belongs here
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Take the variables in the lines NAME=VALUE of a file, without quotes; may come several times
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Take the entries of the Secrets and ConfigMaps in a file, or of a YAML mapping; may come several times
    #[arg(short, long, value_name = "FILE")]
    from: Vec<PathBuf>,

    /// Look for SecretBackends in this file or folder; may come several times
    #[arg(long, value_name = "FILE|DIR", default_value = ".")]
    backends: Vec<PathBuf>,

    /// Give the command these variables only, without those of the environment
    #[arg(long)]
    pristine: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    context: ContextArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal run --env PASSWORD=ref+store://vault/secret/data/shop/db#/password -- ./migrate
  seal run --env-file shop.env --backends clusters/prod -- npm start
  seal run --from app/db.yaml -- sh -c 'psql \"$url\"'";

/// The command could not be run.
#[derive(Debug, thiserror::Error)]
#[error("failed to run {program}")]
pub(crate) struct NotRun {
    program: String,
    #[source]
    source: io::Error,
}

impl NotRun {
    /// Returns the exit code that shells have for it.
    pub(crate) fn code(&self) -> u8 {
        if self.source.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

/// Becomes the command. Returns only if that fails.
pub(crate) fn run(args: &RunArgs) -> Result<(), Error> {
    let variables = Variables::new(&args.from, &args.env_file, &args.env);
    let backends = if variables.have_references() { args.backends.as_slice() } else { &[] };
    let variables = variables.resolved(&stores_in(backends, &args.context)?)?;
    let Some((program, words)) = args.command.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(words);
    if args.pristine {
        command.env_clear();
    }
    command.envs(variables);
    let source = command.exec();
    Err(Error::NotRun(NotRun { program: program.to_string_lossy().into_owned(), source }))
}
