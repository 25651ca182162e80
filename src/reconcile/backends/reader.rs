//! Reads a backend and what it names, as the tenant, and says why that can't be used.

use waxwing_formats::reference::PathPattern;
use waxwing_keys::{KeyPattern, Origin};

use super::{FIELD, Tenant};
use crate::api::{Reason, SecretBackend};
use crate::cluster::secrets::{self, Secret};
use crate::cluster::{CallError, read_backend};
use crate::reconcile::trouble::{Trouble, of_secret};

/// Reads one backend.
pub(super) struct Reader<'a> {
    pub(super) tenant: &'a Tenant<'a>,
    /// The backend's name.
    pub(super) name: &'a str,
}

impl Reader<'_> {
    pub(super) async fn backend(&self) -> Result<SecretBackend, Trouble> {
        let Tenant { job, session, .. } = self.tenant;
        let backend = read_backend(&session.client, &job.account, self.name).await;
        let backend = backend.map_err(|error| self.unreadable(&error))?.ok_or_else(|| {
            self.useless(&format!("{self} does not exist"), &format!("create it, or correct {FIELD}"))
        })?;
        serde_json::from_value(backend).map_err(|_| {
            let hint = "install the definitions of this version, and write it anew";
            self.useless(&format!("{self} can't be read"), hint)
        })
    }

    /// Reads the patterns of the keys that it allows.
    pub(super) fn patterns(&self, backend: &SecretBackend) -> Result<Vec<KeyPattern>, Trouble> {
        let patterns = backend.spec.allow.keys.iter().map(|pattern| KeyPattern::parse(pattern));
        patterns.collect::<Result<_, _>>().map_err(|error| {
            let hint =
                "write an ARN of AWS, a resource id of Google Cloud, keys/NAME of Azure, or ENGINE/keys/NAME of Vault";
            self.useless(&format!("{self}, spec.allow.keys: {error}"), hint)
        })
    }

    /// Reads the patterns of the secrets that it allows.
    pub(super) fn path_patterns(&self, backend: &SecretBackend) -> Result<Vec<PathPattern>, Trouble> {
        let patterns = backend.spec.allow.paths.iter().map(|pattern| pattern.parse::<PathPattern>());
        patterns.collect::<Result<_, _>>().map_err(|error| {
            let hint = "write a path with * or {namespace} for whole segments, such as secret/data/{namespace}/*";
            self.useless(&format!("{self}, spec.allow.paths: {error}"), hint)
        })
    }

    /// Reads where the backend leads to, which the controller's list must have.
    pub(super) fn origin(&self, address: &str) -> Result<Origin, Trouble> {
        let origin = address.parse::<Origin>().ok();
        origin.filter(|origin| self.tenant.key_services().origins.contains(origin)).ok_or_else(|| {
            let fact = format!("{self} leads to {address}, which is not among the controller's backend origins");
            Trouble::passing(Reason::KeyNotAllowed, fact, "ask whoever runs the controller to add --backend-origin")
        })
    }

    /// Reads a Secret that the backend names; it must have these entries.
    pub(super) async fn secret(&self, name: &str, entries: &[&str]) -> Result<Secret, Trouble> {
        let Tenant { job, session, .. } = self.tenant;
        let secret = secrets::read(&session.client, &session.identity, job.namespace(), name).await;
        let (field, reader) = (format!("SecretBackend {}", self.name), format!("ServiceAccount {}", job.account));
        let secret = secret.map_err(|error| of_secret(error, &field, &reader))?;
        match entries.iter().find(|entry| !secret.data.contains_key(**entry)) {
            None => Ok(secret),
            Some(entry) => {
                let fact = format!("Secret {}/{name}, which {field} names, has no entry {entry}", job.namespace());
                Err(self.useless(&fact, "add the entry"))
            }
        }
    }

    /// Says that a field should have exactly one of what it can have; the API server holds that too.
    pub(super) fn incomplete(&self, field: &str) -> Trouble {
        self.useless(&format!("{self}: {field} does not say exactly one"), "set exactly one")
    }

    pub(super) fn useless(&self, fact: &str, hint: &str) -> Trouble {
        Trouble::passing(Reason::KeysUnavailable, fact, hint)
    }

    fn unreadable(&self, error: &CallError) -> Trouble {
        match error.is_forbidden() {
            true => {
                let hint = format!("let ServiceAccount {} get it", self.tenant.job.account);
                self.useless(&format!("failed to read {self}: {error}"), &hint)
            }
            false => Trouble::outage(Reason::ApiUnavailable, error, "it is tried again"),
        }
    }
}

impl std::fmt::Display for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretBackend {}/{}", self.tenant.job.namespace(), self.name)
    }
}
