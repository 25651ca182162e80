//! Secrets of stores, as references name them: which backend is asked, whether it allows that, and what came of it.
//!
//! A reference goes through the backend of its name, which the Sync must name too and which must allow the path; else nobody is called.
//! What the store says is told apart and put into words here; of the secret itself nothing is said.

use std::time::{Duration, Instant};

use waxwing_formats::reference::{StoreKind, Stored, Version};
use waxwing_formats::{Handle, HandleInput, KeyPath, SecretBytes};
use waxwing_keys::service_name::VAULT;
use waxwing_keys::{StoreError, StoredVersion};

use super::backend::Backend;
use super::reader::{full_label, label, word};
use super::{Backends, FIELD};
use crate::api::BackendKind;
use crate::unsealing::{Answered, RefusalKind, StoreRefusal};

/// Which version of a secret there is, and for how long that counts. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::reconcile) struct Found {
    /// What tells this version from any other, also from one of the same number.
    pub(in crate::reconcile) stamp: String,
    /// The version to read; none of a store that keeps none.
    pub(in crate::reconcile) version: Option<Version>,
    /// When the store is asked again.
    pub(in crate::reconcile) until: Instant,
}

impl Backends<'_> {
    /// Asks which version of a secret there is, without reading it where the store keeps versions.
    pub(in crate::reconcile) async fn version(&self, stored: &Stored) -> Result<Found, StoreRefusal> {
        let backend = self.store(stored)?;
        if let Some(version) = &stored.version {
            // Nobody is asked, so that what the backend leads to has to be part of it: another server has another secret there.
            let stamp = format!("{} of {}", version.as_str(), backend.place());
            return Ok(Found { stamp, version: Some(version.clone()), until: Instant::now() + backend.refresh });
        }
        let newest = self.ask_store(backend, "version", backend.newest(&self.tenant, &stored.path)).await;
        // From when it has answered, so that one that is slower than that is not asked without a pause.
        let until = Instant::now() + backend.refresh;
        match self.told(backend, newest)? {
            StoredVersion::Numbered { number, times } => {
                let version = number.to_string().parse().map_err(|_| self.unusable(backend))?;
                Ok(Found { stamp: format!("{number} {times}"), version: Some(version), until })
            }
            StoredVersion::Unnumbered => {
                let answered = self.read_secret(stored, None).await?;
                let stamp = answered.secret.digested(|object| self.stamp(stored, object));
                let stamp = stamp.map_err(|_| self.unusable(backend))?;
                Ok(Found { stamp, version: None, until })
            }
        }
    }

    /// Reads a secret, of this version.
    pub(in crate::reconcile) async fn read_secret(
        &self,
        stored: &Stored,
        version: Option<&Version>,
    ) -> Result<Answered, StoreRefusal> {
        let backend = self.store(stored)?;
        let read = backend.read_secret(&self.tenant, &stored.path, version);
        let secret = self.ask_store(backend, "read", read).await;
        let secret = self.told(backend, secret)?;
        let version = version.map(|version| version.as_str().to_owned()).unwrap_or_default();
        let backend = full_label(backend.kind, self.tenant.job.namespace(), &backend.name);
        Ok(Answered { secret, version, backend })
    }

    /// Tells one value from another without showing it: a digest under the key of this installation.
    fn stamp(&self, stored: &Stored, bytes: &SecretBytes) -> String {
        let path = KeyPath::root().key(stored.store.as_str()).key(stored.path.to_string());
        let input = HandleInput { domain: "stored", document: 0, path: &path, token: bytes.expose_secret() };
        Handle::of_plaintext(input, &self.tenant.job.context.salt).to_string()
    }

    /// Finds the backend that a reference goes through, if that allows it.
    pub(super) fn store(&self, stored: &Stored) -> Result<&Backend, StoreRefusal> {
        let (name, namespace) = (stored.store.as_str(), self.tenant.job.namespace());
        let refused = |fact: String, hint: String| StoreRefusal { kind: RefusalKind::NotAllowed, fact, hint };
        let (kind, named, entry) = match stored.kind {
            StoreKind::Namespaced => (BackendKind::SecretBackend, name.to_owned(), format!("{{name: {name}}}")),
            StoreKind::Cluster => {
                let kind = BackendKind::ClusterSecretBackend;
                (kind, label(kind, name), format!("{{kind: {}, name: {name}}}", word(kind)))
            }
        };
        let is_it = |backend: &&Backend| (backend.kind, backend.name.as_str()) == (kind, name);
        let Some(backend) = self.all.iter().find(is_it) else {
            let hint = format!("add {entry} to {FIELD} if there is such a {}, or correct the reference", word(kind));
            return Err(refused(format!("{FIELD} does not name {named}"), hint));
        };
        match backend.allows_path(&stored.path, namespace) {
            true => Ok(backend),
            false => {
                let label = full_label(kind, namespace, name);
                let hint = format!("list the path in spec.allow.paths of {label}, or refer to one that is listed");
                Err(refused(format!("{label} does not allow the path {}", stored.path), hint))
            }
        }
    }

    pub(super) async fn ask_store<T>(
        &self,
        backend: &Backend,
        what: &'static str,
        ask: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if let Some(error) = backend.store_closed.get() {
            return Err(error.clone());
        }
        let begun = Instant::now();
        let left = self.tenant.job.deadline.saturating_duration_since(begun);
        let late = StoreError::Unavailable { service: VAULT, why: "it does not answer in time".to_owned() };
        let answer = tokio::time::timeout(left, ask).await.unwrap_or(Err(late));
        let outcome = answer.as_ref().map_or_else(StoreError::word, |_| what);
        self.tenant.job.context.metrics.asked_store(VAULT, outcome, begun.elapsed());
        match &answer {
            Err(StoreError::NoCredentials { why, .. }) => self.note_login(backend, Some(why)).await,
            Err(
                StoreError::Throttled { .. }
                | StoreError::Unavailable { .. }
                | StoreError::Answer { .. }
                | StoreError::Malformed { .. },
            ) => {}
            _ => self.note_login(backend, None).await,
        }
        if let Err(
            error @ (StoreError::Unavailable { .. } | StoreError::NoCredentials { .. } | StoreError::Throttled { .. }),
        ) = &answer
        {
            backend.store_closed.get_or_init(|| error.clone());
        }
        answer
    }

    /// Puts into words what a store said, and remembers that it is away.
    pub(super) fn told<T>(&self, backend: &Backend, answer: Result<T, StoreError>) -> Result<T, StoreRefusal> {
        let account = &self.tenant.job.account;
        answer.map_err(|error| {
            match &error {
                StoreError::Unavailable { .. } | StoreError::Answer { .. } => self.is_away_for(Duration::ZERO),
                StoreError::Throttled { retry_after, .. } => self.is_away_for(retry_after.unwrap_or_default()),
                _ => {}
            }
            let hint = hint(&error, backend, &account.to_string());
            StoreRefusal { kind: kind(&error), fact: format!("{}: {error}", backend.label()), hint }
        })
    }

    fn unusable(&self, backend: &Backend) -> StoreRefusal {
        let error = StoreError::Answer { service: VAULT };
        let fact = format!("{}: {error}", backend.label());
        StoreRefusal { kind: kind(&error), fact, hint: hint(&error, backend, "") }
    }
}

fn kind(error: &StoreError) -> RefusalKind {
    match error {
        StoreError::NoCredentials { .. } | StoreError::Denied { .. } => RefusalKind::Denied,
        StoreError::Missing { .. } | StoreError::NoSuchVersion { .. } | StoreError::Deleted { .. } => {
            RefusalKind::NotFound
        }
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

fn hint(error: &StoreError, backend: &Backend, account: &str) -> String {
    let (login, backend) = (backend, backend.label());
    match error {
        StoreError::NoCredentials { service, .. } => login.login_hint(service, account),
        StoreError::Denied { .. } => format!(
            "let the login of {backend} read the path, and with KV version 2 its metadata; see also that an engine is mounted there"
        ),
        StoreError::Missing { .. } => "correct the path, or write the secret; what runs keeps running".to_owned(),
        StoreError::NoSuchVersion { .. } => "correct the version, or leave it out for the newest".to_owned(),
        StoreError::Deleted { .. } => {
            "undelete the version, write a new one, or take the reference out of Git; what runs keeps running"
                .to_owned()
        }
        StoreError::NoVersions { .. } => "leave the version out of the reference".to_owned(),
        StoreError::NotASecret { .. } => {
            "write ENGINE/data/NAME for KV version 2, and ENGINE/NAME for version 1".to_owned()
        }
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
