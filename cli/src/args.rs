//! The command line as clap sees it; the doc comments are the help texts.

use clap::{Parser, Subcommand};

use crate::commands::{cert, completion, new, seal};
use crate::error::Error;

/// Seal Kubernetes Secrets so that they can be committed
///
/// Without a command, reads Secrets as YAML or JSON and prints a SealedSecret for each. Only the cluster whose certificate
/// was used can open them. Everything else in the input than Secrets is refused, and then nothing is printed.
#[derive(Parser)]
#[command(
    name = "seal",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    seal: seal::SealArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl create secret generic db --from-file=password --dry-run=client -o yaml | seal > db.yaml
  seal -f secret.yaml --cert cluster.pem > sealed.yaml
  seal new db --prompt password > db.yaml

Exit codes:
  0  it worked
  1  it did not, and standard error says why; nothing was printed to standard output";

#[derive(Subcommand)]
enum Command {
    Cert(cert::CertArgs),
    New(Box<new::NewArgs>),
    Completion(completion::CompletionArgs),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.command {
            None => seal::run(&self.seal),
            Some(Command::Cert(args)) => cert::run(&args),
            Some(Command::New(args)) => new::run(*args),
            Some(Command::Completion(args)) => completion::run(&args),
        }
    }
}
