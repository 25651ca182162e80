//! The flags of `sops groups`, by their names in sops 3.13.3 (`cmd/sops/main.go`); the doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::keys::{ContextFlag, text};
use crate::sealed::{Context, MasterKey, MasterKeyError, Names};

/// Change the key groups of a file, each of which has a share of its data key
#[derive(Args)]
pub(crate) struct GroupsArgs {
    #[command(subcommand)]
    pub(crate) command: GroupsCommand,
}

#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum GroupsCommand {
    Add(Box<GroupsAddArgs>),
    Delete(GroupsDeleteArgs),
}

/// Add a key group to a file, and print it; values and data key stay
#[derive(Args)]
pub(crate) struct GroupsAddArgs {
    #[command(flatten)]
    pub(crate) change: GroupsChange,

    #[command(flatten)]
    pub(crate) keys: GroupKeyFlags,

    #[command(flatten)]
    pub(crate) context: ContextFlag,
}

/// Take a key group out of a file, and print it; values and data key stay
#[derive(Args)]
pub(crate) struct GroupsDeleteArgs {
    /// Which group, counted from 0
    #[arg(value_name = "INDEX")]
    pub(crate) index: usize,

    #[command(flatten)]
    pub(crate) change: GroupsChange,
}

/// Which file, and how many of its groups are needed afterwards.
#[derive(Args)]
pub(crate) struct GroupsChange {
    /// The sealed file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Write the result over the file
    #[arg(short, long)]
    pub(crate) in_place: bool,

    /// Let this many key groups be needed to open the file [default: as many as before; all, if there was one]
    #[arg(long, value_name = "COUNT")]
    pub(crate) shamir_secret_sharing_threshold: Option<usize>,
}

/// Who a new key group is for; each flag may be repeated.
#[derive(Args)]
pub(crate) struct GroupKeyFlags {
    /// Give these age recipients a share
    #[arg(long, value_name = "RECIPIENT,...")]
    pub(crate) age: Vec<String>,

    /// Give the PGP key with this fingerprint a share
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) pgp: Vec<String>,

    /// Give this key of AWS KMS a share; a role to assume stands behind it and a plus
    #[arg(long, value_name = "ARN")]
    pub(crate) kms: Vec<String>,

    /// Use this profile of the AWS configuration for the keys of --kms
    #[arg(long, value_name = "PROFILE")]
    pub(crate) aws_profile: Option<String>,

    /// Give this key of Google Cloud KMS a share
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) gcp_kms: Vec<String>,

    /// Give this key of Azure Key Vault a share
    #[arg(long, value_name = "URL")]
    pub(crate) azure_kv: Vec<String>,

    /// Give this key of a transit engine of Vault a share
    #[arg(long, value_name = "URI")]
    pub(crate) hc_vault_transit: Vec<String>,

    /// Refused: keys of Huawei Cloud are not supported
    #[arg(long, value_name = "KEY", hide = true)]
    pub(crate) hckms: Vec<String>,
}

impl GroupKeyFlags {
    /// Reads the keys.
    pub(crate) fn master_keys(&self, context: &Context) -> Result<Vec<MasterKey>, MasterKeyError> {
        let joined = |names: &[String]| names.join(",");
        let (age, pgp, aws, gcp) = (joined(&self.age), joined(&self.pgp), joined(&self.kms), joined(&self.gcp_kms));
        let (azure, vault) = (joined(&self.azure_kv), joined(&self.hc_vault_transit));
        let names = Names {
            age: &age,
            pgp: &pgp,
            aws: &aws,
            aws_profile: text(&self.aws_profile),
            gcp: &gcp,
            azure: &azure,
            vault: &vault,
            huawei: &joined(&self.hckms),
        };
        MasterKey::named(&names, context)
    }
}
