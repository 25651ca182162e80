//! Secrets of the cluster itself as a store: `NAMESPACE/NAME`, read as the Sync's ServiceAccount, or by `seal` as its user.
//!
//! Its version is uid and resourceVersion, which are asked for without the values. The API server gives out the newest only, so what was read
//! may be newer than what was found; the next question finds that out.

use kube::Client;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};
use waxwing_keys::service_name::KUBERNETES as SERVICE;
use waxwing_keys::{Newest, StoreError};

use crate::cluster::secrets::{self, SecretError};
use crate::cluster::{CallError, Identity};

/// The most bytes that the values of one have together, as the API server has it.
const MAX_SECRET: usize = 1024 * 1024;

/// The Secrets that somebody may read.
pub struct ClusterSecrets<'a> {
    pub(super) client: &'a Client,
    pub(super) identity: &'a Identity,
}

impl<'a> ClusterSecrets<'a> {
    /// Reads as whoever the client is.
    pub const fn as_caller(client: &'a Client) -> Self {
        Self { client, identity: &Identity::Controller }
    }

    pub(super) async fn newest(&self, path: &SecretPath, version: Option<&Version>) -> Result<Newest, StoreError> {
        if version.is_some() {
            return Err(StoreError::NoVersions { service: SERVICE });
        }
        let (namespace, name) = place(path)?;
        let found = secrets::version(self.client, self.identity, namespace, name).await;
        Ok(Newest::Told { version: None, mark: found.map_err(|error| refusal(&error))? })
    }

    /// Reads a Secret, and returns with it which version it has: uid and resourceVersion.
    ///
    /// # Errors
    /// Fails if there is none, or the API server does not give it.
    pub async fn read(&self, path: &SecretPath) -> Result<(StoredSecret, String), StoreError> {
        let (namespace, name) = place(path)?;
        let secret = secrets::read(self.client, self.identity, namespace, name).await;
        let secret = secret.map_err(|error| refusal(&error))?;
        let (stored, version) = (StoredSecret::of_entries(secret.data), secret.version);
        match stored.len() > MAX_SECRET {
            true => Err(StoreError::TooLarge { service: SERVICE }),
            false => Ok((stored, version)),
        }
    }
}

fn place(path: &SecretPath) -> Result<(&str, &str), StoreError> {
    match path.segments() {
        [namespace, name] => Ok((namespace, name)),
        _ => Err(StoreError::NotASecret { service: SERVICE, why: "it is not of the form NAMESPACE/NAME" }),
    }
}

/// Keeps of an answer its code alone.
fn refusal(error: &SecretError) -> StoreError {
    let service = SERVICE;
    let source = match error {
        SecretError::Name { .. } => {
            return StoreError::NotASecret { service, why: "its segments are no names of a namespace and a Secret" };
        }
        SecretError::Call { source, .. } => source,
    };
    match source {
        CallError::Refused(refusal) => match refusal.code {
            code @ (401 | 403) => StoreError::Denied { service, code: code.to_string() },
            404 => StoreError::Missing { service },
            code @ 429 => StoreError::Throttled { service, code: code.to_string(), retry_after: refusal.retry_after },
            code => StoreError::Unavailable { service, why: format!("the API server answered {code}") },
        },
        CallError::Unreachable { .. } => {
            StoreError::Unavailable { service, why: "the API server can't be reached".to_owned() }
        }
        CallError::Malformed { .. } => StoreError::Answer { service },
        CallError::NotLeading(_) => {
            StoreError::Unavailable { service, why: "this controller leads no more".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_path_is_a_namespace_and_a_name() {
        let place_of = |text: &str| {
            let path: SecretPath = text.parse().unwrap();
            place(&path).map(|(namespace, name)| format!("{namespace} {name}"))
        };
        assert_eq!(place_of("shop/db").unwrap(), "shop db");
        for text in ["db", "shop/db/password"] {
            assert!(matches!(place_of(text), Err(StoreError::NotASecret { .. })), "{text}");
        }
    }

    #[test]
    fn an_overloaded_api_server_is_told_from_one_that_denies() {
        let refused = |code, retry_after| {
            let refusal = crate::cluster::ApiRefusal {
                code,
                reason: String::new(),
                fields: Vec::new(),
                message: None,
                terminating: false,
                lacks_right: code == 403,
                retry_after,
            };
            let (namespace, name) = ("shop".to_owned(), "db".to_owned());
            self::refusal(&SecretError::Call { namespace, name, source: CallError::Refused(Box::new(refusal)) })
        };
        let soon = Some(Duration::from_secs(3));
        assert_eq!(refused(403, None).to_string(), "Kubernetes does not let it be read (403)");
        assert_eq!(refused(404, None), StoreError::Missing { service: SERVICE });
        let throttled = StoreError::Throttled { service: SERVICE, code: "429".to_owned(), retry_after: soon };
        assert_eq!(refused(429, soon), throttled);
        assert_eq!(refused(500, None).word(), "unavailable");
    }
}
