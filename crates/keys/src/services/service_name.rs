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
/// What keeps secrets for AWS.
pub const AWS_SECRETS: &str = "AWS Secrets Manager";
/// What keeps parameters for AWS: the Parameter Store of Systems Manager.
pub const AWS_PARAMETERS: &str = "AWS Parameter Store";
/// What keeps secrets for Google Cloud.
pub const GCP_SECRETS: &str = "Google Secret Manager";
/// Secrets of the cluster itself.
pub const KUBERNETES: &str = "Kubernetes";

/// Those that unwrap data keys.
pub const KEY_SERVICES: [&str; 4] = [AWS_KMS, AZURE_KEY_VAULT, GCP_KMS, VAULT];

/// Those that keep secrets which references lead to.
pub const STORES: [&str; 6] = [AWS_PARAMETERS, AWS_SECRETS, AZURE_KEY_VAULT, GCP_SECRETS, KUBERNETES, VAULT];
