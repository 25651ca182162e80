//! The flags of sops 3.13 that are supported, by their names there (`cmd/sops/main.go`); the doc comments are the help texts.
//!
//! Here are the commands and the flags that stand before them. `commands` and `run` have those of each command, `groups` those of
//! `sops groups`, `files` and `keys` what several have in common.

mod commands;
mod files;
mod groups;
mod keys;
mod keyservice;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) use commands::{
    ChangeFlags, CompletionArgs, DecryptArgs, EditArgs, EncryptArgs, FilestatusArgs, PublishArgs, RotateArgs, SetArgs,
    UnsetArgs, UpdatekeysArgs,
};
pub(crate) use files::{DraftFlag, Formats, Target, Trust, Types};
pub(crate) use groups::{GroupsAddArgs, GroupsArgs, GroupsChange, GroupsCommand, GroupsDeleteArgs};
pub(crate) use keys::{ChangedKeys, ContextFlag, CreationFlags, KeyFlags};
pub(crate) use keyservice::{KeyServiceFlags, KeyserviceArgs, Network};
pub(crate) use run::{ExecEnvArgs, ExecFileArgs, RunFlags};

/// Seal, open and change SOPS files, with the command line of sops
///
/// Without a command, FILE is edited, or with -e, -d, -r or --set sealed, opened, rotated or changed: the older way to call sops.
/// Keys are looked for where sops looks for them: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD and sops/age/keys.txt in the
/// folder of the user's configuration. Key services are called with what their own command lines find: the credentials of AWS, and
/// VAULT_TOKEN or ~/.vault-token.
#[derive(Args)]
#[command(disable_help_subcommand = true, max_term_width = 100, after_help = CODES)]
pub(crate) struct SopsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) global: Global,

    #[command(flatten)]
    pub(crate) older: Older,
}

const CODES: &str = "\
Exit codes, as those of sops (`exec-env` and `exec-file` have that of their command):
    0  it worked
    1  it did not, for a reason that has no code of its own
    2  the input can't be read, or is not of its format
    3  the output can't be written
    4  what was opened can't be said in the format of the output
    6  the encryption context is malformed
    7  the value of `set` is not JSON
    8  flags that can't be used together
   23  the file can't be sealed
   25  a value was changed or moved after it was sealed
   49  recipients of a file that does not exist can't change
   51  the message authentication code is missing or another one
   85  the program was asked to end while the editor ran
   91  the path of --extract, `set` or `unset` is malformed
   92  the file is empty
  100  no file is named, or there is none of that name
  112  --decryption-order names a kind of key twice
  128  no key that is at hand opens the file
  200  the file was not changed in the editor
  201  there is no editor
  203  the file is sealed already";

#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    Encrypt(Box<EncryptArgs>),
    Decrypt(DecryptArgs),
    Edit(Box<EditArgs>),
    Set(SetArgs),
    Unset(UnsetArgs),
    Rotate(Box<RotateArgs>),
    Updatekeys(UpdatekeysArgs),
    Groups(GroupsArgs),
    ExecEnv(ExecEnvArgs),
    ExecFile(ExecFileArgs),
    Publish(PublishArgs),
    Keyservice(KeyserviceArgs),
    Filestatus(FilestatusArgs),
    Completion(CompletionArgs),
}

/// Flags that may stand before the command too.
#[derive(Args, Default)]
pub(crate) struct Global {
    /// Read this configuration, instead of the .sops.yaml in the working folder or above it
    #[arg(long, value_name = "FILE", env = "SOPS_CONFIG", hide_env_values = true, global = true)]
    pub(crate) config: Option<OsString>,

    /// Indent YAML and JSON by this many spaces
    #[arg(long, value_name = "SPACES", global = true)]
    pub(crate) indent: Option<u8>,

    /// Let the message authentication code cover only what is sealed
    #[arg(long, global = true)]
    pub(crate) mac_only_encrypted: bool,

    /// Seal what does not stand below a comment that matches this expression
    #[arg(long, value_name = "REGEX", global = true)]
    pub(crate) unencrypted_comment_regex: Option<String>,

    /// Seal only what stands below a comment that matches this expression
    #[arg(long, value_name = "REGEX", global = true)]
    pub(crate) encrypted_comment_regex: Option<String>,

    /// Ask for keys of these kinds first, with commas between them: age, pgp, kms, gcp_kms, azure_kv, hc_vault
    #[arg(long, value_name = "KIND,...", env = "SOPS_DECRYPTION_ORDER", hide_env_values = true, global = true)]
    pub(crate) decryption_order: Option<String>,

    #[command(flatten)]
    pub(crate) services: KeyServiceFlags,

    /// Accepted for sops's sake: nothing ever asks for newer versions
    #[arg(long, global = true, hide = true)]
    pub(crate) disable_version_check: bool,

    /// Accepted for sops's sake: nothing ever asks for newer versions
    #[arg(long, global = true, hide = true)]
    pub(crate) check_for_updates: bool,

    /// Tell of each question that `keyservice` answers; for other commands accepted for sops's sake: errors are told in full without it
    #[arg(long, global = true, hide = true)]
    pub(crate) verbose: bool,
}

/// The flags of sops without a command.
#[derive(Args)]
pub(crate) struct Older {
    /// The file; with -d there may be several
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Open the file
    #[arg(short, long)]
    pub(crate) decrypt: bool,

    /// Seal the file
    #[arg(short, long)]
    pub(crate) encrypt: bool,

    /// Seal the file anew with a new data key
    #[arg(short, long)]
    pub(crate) rotate: bool,

    #[arg(
        long,
        value_name = "PATH VALUE",
        help = "Set one value, as in '[\"key\"][0] \"value\"', where the value is JSON"
    )]
    pub(crate) set: Option<String>,

    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) types: Types,

    #[command(flatten)]
    pub(crate) creation: CreationFlags,

    #[command(flatten)]
    pub(crate) context: ContextFlag,

    #[command(flatten)]
    pub(crate) changed: ChangedKeys,

    #[command(flatten)]
    pub(crate) trust: Trust,

    #[command(flatten)]
    pub(crate) draft: DraftFlag,

    #[arg(
        long,
        value_name = "PATH",
        help = "Print only what stands at this path, as in '[\"key\"][\"other key\"][0]'"
    )]
    pub(crate) extract: Option<String>,
}
