//! Flags that name master keys: of a new file, and those that come and go.

use clap::Args;

use crate::sealed::{Context, MasterKeyError, Names, context};

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

    /// Refused: keys of Huawei Cloud are not supported
    #[arg(long, value_name = "KEY,...", hide = true)]
    pub(crate) add_hckms: Option<String>,

    /// Refused: keys of Huawei Cloud are not supported
    #[arg(long, value_name = "KEY,...", hide = true)]
    pub(crate) rm_hckms: Option<String>,
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
            huawei: text(&self.add_hckms),
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
            huawei: text(&self.rm_hckms),
            ..Names::default()
        }
    }
}

/// What is not said is nothing.
pub(super) fn text(said: &Option<String>) -> &str {
    said.as_deref().unwrap_or_default()
}
