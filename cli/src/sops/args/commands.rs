//! The flags of each command that works on files, but for those that run another program.

use std::path::PathBuf;

use clap::Args;

use super::files::{DraftFlag, Formats, Target, Trust, Types};
use super::keys::{ChangedKeys, ContextFlag, CreationFlags};

/// Seal a file and print it; without a file, what comes from standard input
#[derive(Args)]
pub(crate) struct EncryptArgs {
    /// The file in the clear
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) types: Types,

    #[command(flatten)]
    pub(crate) creation: CreationFlags,

    #[command(flatten)]
    pub(crate) context: ContextFlag,
}

/// Open a file and print it; without a file, what comes from standard input
///
/// Several files are printed one after the other, with `---` between those in YAML, when all of them were opened.
#[derive(Args)]
pub(crate) struct DecryptArgs {
    /// The sealed files
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) types: Types,

    #[arg(
        long,
        value_name = "PATH",
        help = "Print only what stands at this path, as in '[\"key\"][\"other key\"][0]'"
    )]
    pub(crate) extract: Option<String>,

    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Open a file in an editor and seal it again; what was not changed keeps its ciphertext
///
/// The editor is the one that SOPS_EDITOR or EDITOR names, else vim, nano or vi. The text stands in a folder that only the user
/// can read, in memory where the system has such a place, and is wiped when the editor ends. A file that does not exist is made
/// from an example.
#[derive(Args, Default)]
pub(crate) struct EditArgs {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) types: Types,

    #[command(flatten)]
    pub(crate) creation: CreationFlags,

    #[command(flatten)]
    pub(crate) context: ContextFlag,

    #[command(flatten)]
    pub(crate) draft: DraftFlag,

    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// How a file is read in which one value changes.
#[derive(Args)]
pub(crate) struct ChangeFlags {
    #[command(flatten)]
    pub(crate) formats: Formats,

    #[command(flatten)]
    pub(crate) trust: Trust,

    /// Accepted for sops's sake, where it does nothing either: the recipients stay as they are
    #[arg(long, value_name = "COUNT", hide = true)]
    shamir_secret_sharing_threshold: Option<usize>,
}

/// Set one value of a file, in place; what was not changed keeps its ciphertext
#[derive(Args)]
pub(crate) struct SetArgs {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[arg(value_name = "PATH", help = "Where, as in '[\"key\"][\"other key\"][0]'")]
    pub(crate) path: String,

    /// What, as JSON; every user of the machine may see it while the command runs, so better use one of the next two
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    pub(crate) value: Option<String>,

    /// Take VALUE for the name of a file that has the JSON
    #[arg(long, conflicts_with = "value_stdin")]
    pub(crate) value_file: bool,

    /// Read the JSON from standard input
    #[arg(long, conflicts_with = "value")]
    pub(crate) value_stdin: bool,

    /// Do not write the file if it has this value already
    #[arg(long)]
    pub(crate) idempotent: bool,

    #[command(flatten)]
    pub(crate) change: ChangeFlags,
}

/// Take one value out of a file, in place; what was not changed keeps its ciphertext
#[derive(Args)]
pub(crate) struct UnsetArgs {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[arg(value_name = "PATH", help = "Which, as in '[\"key\"][\"other key\"][0]'")]
    pub(crate) path: String,

    /// Do nothing if there is no such value
    #[arg(long)]
    pub(crate) idempotent: bool,

    #[command(flatten)]
    pub(crate) change: ChangeFlags,
}

/// Seal all values of a file anew with a new data key, and print it
#[derive(Args)]
pub(crate) struct RotateArgs {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) types: Types,

    #[command(flatten)]
    pub(crate) changed: ChangedKeys,

    #[command(flatten)]
    pub(crate) context: ContextFlag,

    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Give files the recipients that .sops.yaml says; values and data keys stay
#[derive(Args)]
pub(crate) struct UpdatekeysArgs {
    /// The sealed files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Take the input for yaml, json, dotenv, ini or binary [default: by the name of the file]
    #[arg(long, value_name = "TYPE")]
    pub(crate) input_type: Option<String>,
}

/// Write what stands in files to where .sops.yaml says, in the clear
///
/// Its destination_rules say where. Only key/value engines of Vault and OpenBao are published to. The token is that of VAULT_TOKEN or ~/.vault-token, the server that of the
/// rule, or of VAULT_ADDR. What is there already is not written again.
#[derive(Args)]
pub(crate) struct PublishArgs {
    /// The sealed file, or with --recursive a folder
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Leave out the ending of each name
    #[arg(long)]
    pub(crate) omit_extensions: bool,

    /// Publish all files of a folder and of those in it
    #[arg(long)]
    pub(crate) recursive: bool,
}

/// Print a completion script for a shell
#[derive(Args)]
pub(crate) struct CompletionArgs {
    /// The shell to print it for
    pub(crate) shell: clap_complete::Shell,
}

/// Say whether a file is sealed, as {"encrypted":true}
#[derive(Args)]
pub(crate) struct FilestatusArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Take the input for yaml, json, dotenv, ini or binary [default: by the name of the file]
    #[arg(long, value_name = "TYPE")]
    pub(crate) input_type: Option<String>,
}
