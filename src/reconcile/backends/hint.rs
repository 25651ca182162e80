//! What whoever reads the status of a Sync can do about a key service that gave no data key.

use waxwing_keys::ServiceError;

use super::backend::Backend;
use crate::cluster::ServiceAccount;

/// Where no backend allows the key of a file.
pub(super) const NOT_ALLOWED: &str = "list the key in spec.allow.keys of a backend that spec.secrets.backends names, or seal the file for a key that is listed";

/// Returns what to do about an error that came through a backend.
pub(super) fn of(error: &ServiceError, backend: &Backend, account: &ServiceAccount) -> String {
    let (login, backend) = (backend, backend.label());
    match error {
        ServiceError::NoCredentials { service, .. } => login.login_hint(service, &account.to_string()),
        ServiceError::Denied { service, .. } => {
            format!("let the login of {backend} decrypt with this key, at {service}")
        }
        ServiceError::NotFound { service, .. } => {
            format!("see whether the key is still there at {service}, or seal the file for one that is")
        }
        ServiceError::Refused { service, .. } => {
            format!("see that the key is enabled at {service}; if it is, the file was not sealed for it: seal it anew")
        }
        ServiceError::Throttled { .. } | ServiceError::Unavailable { .. } => {
            "it is tried again; what runs keeps running".to_owned()
        }
        ServiceError::Answer { service } => format!("see that what answers there is {service}"),
        ServiceError::NotAllowed { .. } | ServiceError::Malformed { .. } => {
            format!("correct how the file names the key, or what {backend} says")
        }
    }
}
