//! `seal completion`: a script that teaches a shell the command line.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::args::{Cli, kubeseal_command, sops_command};
use crate::error::Error;
use crate::output;

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell to print it for
    shell: Shell,

    /// Complete the program under this name, which a link has given it
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Name::Seal)]
    name: Name,
}

/// A name that the program goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// `seal`, with everything
    Seal,
    /// The command line of sops
    Sops,
    /// The command line of kubeseal
    Kubeseal,
}

const EXAMPLES: &str = "\
Examples:
  source <(seal completion bash)
  seal completion zsh > \"${fpath[1]}/_seal\"
  source <(seal completion bash --name kubeseal)";

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs) -> Result<(), Error> {
    let (mut command, name) = match args.name {
        Name::Seal => (Cli::command(), "seal"),
        Name::Sops => (sops_command(), "sops"),
        Name::Kubeseal => (kubeseal_command(), "kubeseal"),
    };
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::print_bytes(&script)
}
