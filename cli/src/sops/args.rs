//! The flags of sops 3.13 that are supported, by their names there (`cmd/sops/main.go`); the doc comments are the help texts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::group_args::GroupsArgs;
use crate::sealed::{Context, MasterKeyError, Names, context};

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

    /// Accepted for sops's sake: keys are always looked for on this machine
    #[arg(
        long,
        env = "SOPS_ENABLE_LOCAL_KEYSERVICE",
        hide_env_values = true,
        value_parser = truth,
        global = true,
        hide = true,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub(crate) enable_local_keyservice: bool,

    /// Accepted for sops's sake: nothing ever asks for newer versions
    #[arg(long, global = true, hide = true)]
    pub(crate) disable_version_check: bool,

    /// Accepted for sops's sake: errors are told in full without it
    #[arg(long, global = true, hide = true)]
    pub(crate) verbose: bool,
}

/// Reads a boolean as Go does; nothing is what is usual.
fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false"),
    }
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

/// What the editor shows.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct DraftFlag {
    /// Show the metadata in the editor too; who is added to the recipients there can open the file, who is taken out no more
    #[arg(short, long)]
    pub(crate) show_master_keys: bool,
}

/// Where the result goes.
#[derive(Args)]
pub(crate) struct Target {
    /// Write the result over the file
    #[arg(short, long)]
    pub(crate) in_place: bool,

    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What the file is taken for and written as.
#[derive(Args, Clone, Default)]
pub(crate) struct Formats {
    /// Take the input for yaml, json, dotenv, ini or binary [default: by the name of the file]
    #[arg(long, value_name = "TYPE")]
    pub(crate) input_type: Option<String>,

    /// Write yaml, json, dotenv, ini or binary [default: by the name of the file]
    #[arg(long, value_name = "TYPE")]
    pub(crate) output_type: Option<String>,
}

/// The formats, and another name that they may follow from.
#[derive(Args, Default)]
pub(crate) struct Types {
    #[command(flatten)]
    pub(crate) formats: Formats,

    /// Take the file to have this name, for its types and for the rules of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) filename_override: Option<PathBuf>,
}

impl From<Formats> for Types {
    fn from(formats: Formats) -> Self {
        Self { formats, filename_override: None }
    }
}

/// Whether a file must be as it was sealed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Trust {
    /// Do not check that nothing was changed since the file was sealed, but for what is sealed in it
    #[arg(long)]
    pub(crate) ignore_mac: bool,
}

/// Who shall open a new file, and what is sealed in it; for all that is not said, .sops.yaml is asked.
#[derive(Args, Default)]
pub(crate) struct CreationFlags {
    #[command(flatten)]
    pub(crate) keys: KeyFlags,

    /// Seal what does not stand under a key with this ending
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) unencrypted_suffix: Option<String>,

    /// Seal only what stands under a key with this ending
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) encrypted_suffix: Option<String>,

    /// Seal what does not stand under a key that matches this expression
    #[arg(long, value_name = "REGEX")]
    pub(crate) unencrypted_regex: Option<String>,

    /// Seal only what stands under a key that matches this expression
    #[arg(long, value_name = "REGEX")]
    pub(crate) encrypted_regex: Option<String>,

    /// Let this many key groups be needed to open the file
    #[arg(long, value_name = "COUNT")]
    pub(crate) shamir_secret_sharing_threshold: Option<usize>,
}

/// For whom a new file is sealed.
#[derive(Args, Default)]
pub(crate) struct KeyFlags {
    /// Seal for these age recipients
    #[arg(short, long, value_name = "RECIPIENT,...", env = "SOPS_AGE_RECIPIENTS", hide_env_values = true)]
    pub(crate) age: Option<String>,

    /// Seal for the PGP keys with these fingerprints
    #[arg(short, long, value_name = "FINGERPRINT,...", env = "SOPS_PGP_FP", hide_env_values = true)]
    pub(crate) pgp: Option<String>,

    /// Seal for these keys of AWS KMS; a role to assume stands behind its key and a plus
    #[arg(short, long, value_name = "ARN,...", env = "SOPS_KMS_ARN", hide_env_values = true)]
    pub(crate) kms: Option<String>,

    /// Use this profile of the AWS configuration for the keys of --kms
    #[arg(long, value_name = "PROFILE")]
    pub(crate) aws_profile: Option<String>,

    /// Seal for these keys of Google Cloud KMS
    #[arg(long, value_name = "RESOURCE,...", env = "SOPS_GCP_KMS_IDS", hide_env_values = true)]
    pub(crate) gcp_kms: Option<String>,

    /// Seal for these keys of Azure Key Vault
    #[arg(long, value_name = "URL,...", env = "SOPS_AZURE_KEYVAULT_URLS", hide_env_values = true)]
    pub(crate) azure_kv: Option<String>,

    /// Seal for these keys of transit engines of Vault
    #[arg(long, value_name = "URI,...", env = "SOPS_VAULT_URIS", hide_env_values = true)]
    pub(crate) hc_vault_transit: Option<String>,

    /// Refused: keys of Huawei Cloud are not supported
    #[arg(long, value_name = "KEY,...", env = "SOPS_HUAWEICLOUD_KMS_IDS", hide_env_values = true, hide = true)]
    pub(crate) hckms: Option<String>,
}

impl KeyFlags {
    /// Returns what is named.
    pub(crate) fn names(&self) -> Names<'_> {
        Names {
            age: text(&self.age),
            pgp: text(&self.pgp),
            aws: text(&self.kms),
            aws_profile: text(&self.aws_profile),
            gcp: text(&self.gcp_kms),
            azure: text(&self.azure_kv),
            vault: text(&self.hc_vault_transit),
            huawei: text(&self.hckms),
        }
    }
}

/// What AWS KMS is told besides the data key.
#[derive(Args, Default)]
pub(crate) struct ContextFlag {
    /// Wrap with this encryption context for keys of AWS KMS, as in app:shop,stage:test
    #[arg(long, value_name = "NAME:VALUE,...")]
    pub(crate) encryption_context: Option<String>,
}

impl ContextFlag {
    /// Reads the context.
    pub(crate) fn context(&self) -> Result<Context, MasterKeyError> {
        context(text(&self.encryption_context))
    }
}

/// Recipients that come and go.
#[derive(Args)]
pub(crate) struct ChangedKeys {
    /// Add these age recipients
    #[arg(long, value_name = "RECIPIENT,...")]
    pub(crate) add_age: Option<String>,

    /// Remove these age recipients
    #[arg(long, value_name = "RECIPIENT,...")]
    pub(crate) rm_age: Option<String>,

    /// Add the PGP keys with these fingerprints
    #[arg(long, value_name = "FINGERPRINT,...")]
    pub(crate) add_pgp: Option<String>,

    /// Remove the PGP keys with these fingerprints
    #[arg(long, value_name = "FINGERPRINT,...")]
    pub(crate) rm_pgp: Option<String>,

    /// Add these keys of AWS KMS
    #[arg(long, value_name = "ARN,...")]
    pub(crate) add_kms: Option<String>,

    /// Remove these keys of AWS KMS
    #[arg(long, value_name = "ARN,...")]
    pub(crate) rm_kms: Option<String>,

    /// Add these keys of Google Cloud KMS
    #[arg(long, value_name = "RESOURCE,...")]
    pub(crate) add_gcp_kms: Option<String>,

    /// Remove these keys of Google Cloud KMS
    #[arg(long, value_name = "RESOURCE,...")]
    pub(crate) rm_gcp_kms: Option<String>,

    /// Add these keys of Azure Key Vault
    #[arg(long, value_name = "URL,...")]
    pub(crate) add_azure_kv: Option<String>,

    /// Remove these keys of Azure Key Vault
    #[arg(long, value_name = "URL,...")]
    pub(crate) rm_azure_kv: Option<String>,

    /// Add these keys of transit engines of Vault
    #[arg(long, value_name = "URI,...")]
    pub(crate) add_hc_vault_transit: Option<String>,

    /// Remove these keys of transit engines of Vault
    #[arg(long, value_name = "URI,...")]
    pub(crate) rm_hc_vault_transit: Option<String>,
}

impl ChangedKeys {
    /// Returns what is named of those that come.
    pub(crate) fn added(&self) -> Names<'_> {
        Names {
            age: text(&self.add_age),
            pgp: text(&self.add_pgp),
            aws: text(&self.add_kms),
            gcp: text(&self.add_gcp_kms),
            azure: text(&self.add_azure_kv),
            vault: text(&self.add_hc_vault_transit),
            ..Names::default()
        }
    }

    /// Returns what is named of those that go.
    pub(crate) fn removed(&self) -> Names<'_> {
        Names {
            age: text(&self.rm_age),
            pgp: text(&self.rm_pgp),
            aws: text(&self.rm_kms),
            gcp: text(&self.rm_gcp_kms),
            azure: text(&self.rm_azure_kv),
            vault: text(&self.rm_hc_vault_transit),
            ..Names::default()
        }
    }
}

/// What is not said is nothing.
pub(super) fn text(said: &Option<String>) -> &str {
    said.as_deref().unwrap_or_default()
}

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
    pub(crate) formats: Formats,

    #[command(flatten)]
    pub(crate) trust: Trust,
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
    pub(crate) formats: Formats,

    #[command(flatten)]
    pub(crate) trust: Trust,
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
