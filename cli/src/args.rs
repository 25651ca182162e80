//! The command line as clap sees it; the doc comments are the help texts.

use clap::{Parser, Subcommand};

use crate::commands::{cert, completion, new, plan, seal};
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
  seal plan clusters/prod --against origin/main

Exit codes:
  0  it worked
  1  it did not, and standard error says why; nothing was printed to standard output
  2  `seal plan` found changes";

#[derive(Subcommand)]
enum Command {
    Cert(cert::CertArgs),
    New(Box<new::NewArgs>),
    Plan(plan::PlanArgs),
    Completion(completion::CompletionArgs),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<Outcome, Error> {
        match self.command {
            None => seal::run(&self.seal).map(|()| Outcome::Done),
            Some(Command::Cert(args)) => cert::run(&args).map(|()| Outcome::Done),
            Some(Command::New(args)) => new::run(*args).map(|()| Outcome::Done),
            Some(Command::Plan(args)) => plan::run(&args),
            Some(Command::Completion(args)) => completion::run(&args).map(|()| Outcome::Done),
        }
    }
}

/// What came of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is nothing more to say.
    Done,
    /// There are changes, which a script may want to know.
    Changes,
}
