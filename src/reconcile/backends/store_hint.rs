//! What whoever reads the status of a Sync can do about a store that gave no secret, and of which kind the reason is.

use waxwing_keys::StoreError;
use waxwing_keys::service_name::{AWS_PARAMETERS, AWS_SECRETS, AZURE_KEY_VAULT, GCP_SECRETS, KUBERNETES};

use super::backend::Backend;
use crate::unsealing::RefusalKind;

pub(super) fn kind(error: &StoreError) -> RefusalKind {
    match error {
        StoreError::NoCredentials { .. } | StoreError::Denied { .. } => RefusalKind::Denied,
        StoreError::Missing { .. }
        | StoreError::NoRole { .. }
        | StoreError::NoSuchVersion { .. }
        | StoreError::Deleted { .. }
        | StoreError::Disabled { .. } => RefusalKind::NotFound,
        StoreError::NoVersions { .. }
        | StoreError::NotASecret { .. }
        | StoreError::NotMade { .. }
        | StoreError::TooLarge { .. }
        | StoreError::Malformed { .. } => RefusalKind::NotAllowed,
        StoreError::Throttled { .. } | StoreError::Unavailable { .. } | StoreError::Answer { .. } => {
            RefusalKind::Unavailable
        }
    }
}

/// Returns what to do about an error that came through a backend.
pub(super) fn of(error: &StoreError, backend: &Backend, account: &str) -> String {
    let (login, backend) = (backend, backend.label());
    match error {
        StoreError::NoCredentials { service, .. } => login.login_hint(service, account),
        StoreError::Denied { service, .. } => denied(service, &backend, account),
        StoreError::Missing { service: AWS_SECRETS | AWS_PARAMETERS } => format!(
            "correct the path, or spec.aws.region of {backend}; see that its login is of the account that has the secret, or write it; what runs \
             keeps running"
        ),
        StoreError::Missing { .. } => "correct the path, or write the secret; what runs keeps running".to_owned(),
        StoreError::NoRole { .. } => format!(
            "correct the role at the end of the path, or what spec.vault.dynamic of {backend} asks for, such as a ttl that is too long; what runs \
             keeps running"
        ),
        StoreError::NoSuchVersion { .. } => "correct the version, or leave it out for the newest".to_owned(),
        StoreError::Deleted { .. } => {
            "undelete the version, write a new one, or take the reference out of Git; what runs keeps running"
                .to_owned()
        }
        StoreError::Disabled { .. } => {
            "enable or restore it, refer to another version, or take the reference out of Git; what runs keeps running"
                .to_owned()
        }
        StoreError::NoVersions { .. } => "leave the version out of the reference".to_owned(),
        StoreError::NotASecret { service, .. } => form(service).to_owned(),
        StoreError::NotMade { .. } => {
            format!(
                "correct the path, or spec.vault.dynamic of {backend}: it is for what ends, such as database/creds/ROLE"
            )
        }
        StoreError::TooLarge { .. } => "keep less in one secret".to_owned(),
        StoreError::Throttled { .. } | StoreError::Unavailable { .. } => {
            "it is tried again; what runs keeps running".to_owned()
        }
        StoreError::Answer { service } => format!("see that what answers there is {service}"),
        StoreError::Malformed { .. } => format!("correct what {backend} says"),
    }
}

/// Says which right is missing.
fn denied(service: &str, backend: &str, account: &str) -> String {
    let of_kms = "and kms:Decrypt where it is sealed with a key of your own";
    let right = match service {
        AWS_SECRETS => format!("secretsmanager:DescribeSecret and secretsmanager:GetSecretValue, {of_kms}"),
        AWS_PARAMETERS => format!("ssm:GetParameters, {of_kms}"),
        GCP_SECRETS => "the role roles/secretmanager.secretAccessor on the secret".to_owned(),
        AZURE_KEY_VAULT => {
            "the role Key Vault Secrets User on the secret, or get in the vault's access policy".to_owned()
        }
        KUBERNETES => return format!("let ServiceAccount {account} get the Secret, in its namespace"),
        _ => {
            return format!(
                "let the login of {backend} read the path, and with KV version 2 its metadata; see also that an engine is mounted there"
            );
        }
    };
    format!("give the login of {backend} {right}")
}

/// Says how paths are written.
fn form(service: &str) -> &'static str {
    match service {
        AWS_SECRETS | AWS_PARAMETERS => "write secretsmanager/NAME or ssm/NAME, with the name and not the ARN",
        GCP_SECRETS => "write projects/PROJECT/secrets/NAME",
        AZURE_KEY_VAULT => "write secrets/NAME",
        KUBERNETES => "write NAMESPACE/NAME",
        _ => "write ENGINE/data/NAME for KV version 2, and ENGINE/NAME for version 1",
    }
}
