//! The flags of the commands that run another program with what was opened.

use std::path::PathBuf;

use clap::Args;

use super::files::Formats;

/// Whom a command is run as, and whether it is waited for.
#[derive(Args)]
pub(crate) struct RunFlags {
    /// Run the command as this user, with his groups; only root may
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Do not wait for the command, which gets no input and whose output is dropped (deprecated)
    #[arg(long)]
    pub(crate) background: bool,
}

/// Run a command with the values of a file as variables of its environment
///
/// The command is run by /bin/sh, and its exit code is that of sops. The file must be flat: a value that is a list or a mapping
/// can't stand in a variable.
#[derive(Args)]
pub(crate) struct ExecEnvArgs {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: String,

    /// Give the command nothing of the environment but the values
    #[arg(long)]
    pub(crate) pristine: bool,

    /// Let the command take the place of this program
    #[arg(long)]
    pub(crate) same_process: bool,

    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// Run a command with the opened file in a temporary file
///
/// The command is run by /bin/sh, with the name of the file in the place of each {}, and its exit code is that of sops. The file
/// is a pipe, which can be read once, in a folder that only the user can enter.
#[derive(Args)]
pub(crate) struct ExecFileArgs {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: String,

    /// Make a regular file, in memory where there is such a place; it is wiped when the command ends
    #[arg(long)]
    pub(crate) no_fifo: bool,

    /// Give the temporary file this name
    #[arg(long, value_name = "NAME")]
    pub(crate) filename: Option<String>,

    #[command(flatten)]
    pub(crate) run: RunFlags,

    #[command(flatten)]
    pub(crate) formats: Formats,
}
