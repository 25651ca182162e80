//! What the services are called: in errors, in hints, and in the labels of metrics.

/// Transit engines of Vault and of OpenBao.
pub const VAULT: &str = "Vault";
/// The key management service of AWS.
pub const AWS_KMS: &str = "AWS KMS";
/// What gives out the credentials of AWS's roles.
pub const AWS_STS: &str = "AWS STS";
/// The key management service of Google Cloud.
pub const GCP_KMS: &str = "Google Cloud KMS";
/// What gives out the access tokens of Google.
pub const GCP_TOKENS: &str = "Google's token service";
/// The vaults of Azure.
pub const AZURE_KEY_VAULT: &str = "Azure Key Vault";
/// What gives out the access tokens of Azure.
pub const ENTRA: &str = "Microsoft Entra ID";

/// Those that unwrap data keys.
pub const KEY_SERVICES: [&str; 4] = [AWS_KMS, AZURE_KEY_VAULT, GCP_KMS, VAULT];
