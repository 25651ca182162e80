//! Calls key services as the user: with the credentials that sops 3.13.3 would find, at the addresses that the key names.
//!
//! A client is made when the first key of its service comes up, so that a file without such keys costs nothing of it.

use waxwing_formats::{DataKey, WrappedKey};
use waxwing_keys::{ServiceError, ServiceKey};

/// Wraps a data key, or a share of one.
pub(super) fn wrap(key: &ServiceKey, _data_key: &DataKey) -> Result<WrappedKey, ServiceError> {
    Err(unsupported(key))
}

/// Unwraps a data key, or a share of one.
pub(super) fn unwrap(key: &ServiceKey, _enc: &str) -> Result<DataKey, ServiceError> {
    Err(unsupported(key))
}

fn unsupported(key: &ServiceKey) -> ServiceError {
    let service = match key {
        ServiceKey::Aws(_) => "AWS KMS",
        ServiceKey::Gcp(_) => "Google Cloud KMS",
        ServiceKey::Azure(_) => "Azure Key Vault",
        ServiceKey::Vault(_) => "Vault",
    };
    ServiceError::NoCredentials { service, why: "it can't be called yet".to_owned() }
}
