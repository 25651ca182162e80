//! `seal completion`: a script that teaches a shell the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Error;
use crate::output;

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell to print it for
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  source <(seal completion bash)
  seal completion zsh > \"${fpath[1]}/_seal\"";

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "seal", &mut script);
    output::print_bytes(&script)
}
