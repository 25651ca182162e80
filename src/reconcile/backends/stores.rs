//! Secrets of stores, as references name them: which backend is asked, whether it allows that, and what came of it.
//!
//! A reference goes through the backend of its name, which the Sync must name too and which must allow the path; else nobody is called.
//! What the store says is told apart and put into words here; of the secret itself nothing is said.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use waxwing_formats::reference::{StoreKind, Stored, StoredSecret, Version};
use waxwing_formats::{Handle, HandleInput, KeyPath, SecretBytes};
use waxwing_keys::{Newest, StoreError, VersionedSecret};

use super::backend::Backend;
use super::reader::{full_label, label, word};
use super::{AT_ONCE_AGAIN, Backends, FIELD, LATE, store_hint};
use crate::api::BackendKind;
use crate::unsealing::{Answered, RefusalKind, StoreRefusal};

/// Which version of a secret there is, and when that was asked. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::reconcile) struct Found {
    /// What tells this version from any other, also from one of the same number.
    pub(in crate::reconcile) stamp: String,
    /// The version to read; none of a store that keeps none.
    pub(in crate::reconcile) version: Option<Version>,
    /// When the store was asked.
    pub(in crate::reconcile) asked: Instant,
    /// How often its backend is asked, where references don't say it.
    pub(in crate::reconcile) refresh: Duration,
}

/// What a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum About {
    /// Which versions there are.
    Versions,
    /// The secrets.
    Secrets,
}

impl Backends<'_> {
    /// Puts together what is asked for by one request, where the store has one for several; all else stands alone.
    pub(in crate::reconcile) fn together(
        &self,
        wanted: impl IntoIterator<Item = Stored>,
        about: About,
    ) -> Vec<Vec<Stored>> {
        let (mut groups, mut all) = (BTreeMap::<_, Vec<Stored>>::new(), Vec::new());
        for stored in wanted {
            let most = self.store(&stored).map_or((1, 1), |backend| backend.at_once(&stored));
            let most = if about == About::Versions { most.0 } else { most.1 };
            match (most, self.store(&stored)) {
                (2.., Ok(backend)) => {
                    let whose = (backend.label(), backend.keeper(&stored.path));
                    let group = groups.entry(whose).or_default();
                    group.push(stored);
                    if group.len() >= most {
                        all.push(std::mem::take(group));
                    }
                }
                _ => all.push(vec![stored]),
            }
        }
        all.extend(groups.into_values().filter(|group| !group.is_empty()));
        all
    }

    /// Asks which versions of some secrets there are, which [`Backends::together`] put together.
    pub(in crate::reconcile) async fn versions(
        &self,
        wanted: Vec<Stored>,
    ) -> Vec<(Stored, Result<Found, StoreRefusal>)> {
        let mut several = match (wanted.first().map(|stored| self.store(stored)), wanted.len()) {
            (Some(Ok(backend)), 2..) => {
                let paths: Vec<_> = wanted.iter().map(|stored| &stored.path).collect();
                let keeper = paths.first().map_or("", |path| backend.keeper(path));
                let ask = async { backend.store(&self.tenant).await?.newest_of(&paths).await };
                self.ask_store(backend, keeper, "version", ask).await.unwrap_or_default()
            }
            _ => BTreeMap::new(),
        };
        let mut answers = Vec::with_capacity(wanted.len());
        for (place, stored) in wanted.into_iter().enumerate() {
            let answer = match (several.remove(&place), self.store(&stored)) {
                (Some(newest), Ok(backend)) => self.found(backend, &stored, newest),
                _ => self.version(&stored).await,
            };
            answers.push((stored, answer));
        }
        answers
    }

    /// Asks which version of a secret there is, without reading it where the store says it otherwise.
    async fn version(&self, stored: &Stored) -> Result<Found, StoreRefusal> {
        let backend = self.store(stored)?;
        if let Some(version) = stored.version.as_ref().filter(|_| backend.is_fixed(stored)) {
            // Nobody is asked, so that what the backend leads to has to be part of it: another place has another secret there.
            let stamp = format!("{} of {}", version.as_str(), backend.place());
            return Ok(Found {
                stamp,
                version: Some(version.clone()),
                asked: Instant::now(),
                refresh: backend.refresh,
            });
        }
        let ask = async { backend.store(&self.tenant).await?.newest(&stored.path, stored.version.as_ref()).await };
        let newest = self.ask_store(backend, backend.keeper(&stored.path), "version", ask).await;
        let newest = match self.told(backend, newest)? {
            Some(newest) => newest,
            None => Newest::Read { version: None, secret: self.read_secret(stored, None).await?.secret },
        };
        self.found(backend, stored, newest)
    }

    /// Makes of a version what tells it from any other. Of a secret, that is a digest under the key of this installation.
    fn found(&self, backend: &Backend, stored: &Stored, newest: Newest) -> Result<Found, StoreRefusal> {
        match newest {
            Newest::Told { version, mark } => Ok(found(backend, version, &mark)),
            Newest::Read { version, secret } => Ok(found(backend, version, &self.digest(backend, stored, &secret)?)),
        }
    }

    fn digest(&self, backend: &Backend, stored: &Stored, secret: &StoredSecret) -> Result<String, StoreRefusal> {
        secret.digested(|object| self.stamp(stored, object)).map_err(|_| self.unusable(backend, stored))
    }

    /// Reads some secrets, which [`Backends::together`] put together, and returns with each which version it has.
    pub(in crate::reconcile) async fn read_with_versions(
        &self,
        wanted: Vec<Stored>,
    ) -> Vec<(Stored, Result<(Found, Answered), StoreRefusal>)> {
        let mut several = self.read_several(&wanted, |_| None).await;
        let mut answers = Vec::with_capacity(wanted.len());
        for (place, stored) in wanted.into_iter().enumerate() {
            let answer = match (several.remove(&place), self.store(&stored)) {
                (Some(read), Ok(backend)) => self.answered_with_version(backend, &stored, read),
                _ => self.read_with_version(&stored).await,
            };
            answers.push((stored, answer));
        }
        answers
    }

    async fn read_with_version(&self, stored: &Stored) -> Result<(Found, Answered), StoreRefusal> {
        if stored.version.is_some() {
            let found = self.version(stored).await?;
            let answered = self.read_secret(stored, found.version.as_ref()).await?;
            return Ok((found, answered));
        }
        let backend = self.store(stored)?;
        let read = async { backend.store(&self.tenant).await?.read_newest(&stored.path).await };
        let read = self.ask_store(backend, backend.keeper(&stored.path), "read", read).await;
        self.answered_with_version(backend, stored, self.told(backend, read)?)
    }

    fn answered_with_version(
        &self,
        backend: &Backend,
        stored: &Stored,
        VersionedSecret { version, mark, secret }: VersionedSecret,
    ) -> Result<(Found, Answered), StoreRefusal> {
        // Where nothing is read by a version, what tells it from another is its name.
        let name = version.as_ref().map(Version::as_str).or(mark.as_deref()).unwrap_or_default().to_owned();
        let mark = mark.map_or_else(|| self.digest(backend, stored, &secret), Ok)?;
        Ok((found(backend, version, &mark), self.answered(backend, secret, name)))
    }

    /// Reads some secrets of these versions, which [`Backends::together`] put together.
    pub(in crate::reconcile) async fn read_secrets(
        &self,
        wanted: Vec<Stored>,
        version_of: impl Fn(&Stored) -> Option<Version>,
    ) -> Vec<(Stored, Result<Answered, StoreRefusal>)> {
        let versions: Vec<Option<Version>> = wanted.iter().map(version_of).collect();
        let mut several = self.read_several(&wanted, |place| versions.get(place).and_then(Option::as_ref)).await;
        let mut answers = Vec::with_capacity(wanted.len());
        for (place, (stored, version)) in wanted.into_iter().zip(&versions).enumerate() {
            let answer = match (several.remove(&place), self.store(&stored)) {
                (Some(VersionedSecret { secret, .. }), Ok(backend)) => {
                    let version = version.as_ref().map(|version| version.as_str().to_owned());
                    Ok(self.answered(backend, secret, version.unwrap_or_default()))
                }
                _ => self.read_secret(&stored, version.as_ref()).await,
            };
            answers.push((stored, answer));
        }
        answers
    }

    /// Reads what one request gives of several secrets, by their places; all else has to be read by itself.
    async fn read_several<'v>(
        &self,
        wanted: &[Stored],
        version: impl Fn(usize) -> Option<&'v Version>,
    ) -> BTreeMap<usize, VersionedSecret> {
        let (Some(Ok(backend)), 2..) = (wanted.first().map(|stored| self.store(stored)), wanted.len()) else {
            return BTreeMap::new();
        };
        let all: Vec<_> = wanted.iter().enumerate().map(|(place, stored)| (&stored.path, version(place))).collect();
        let keeper = all.first().map_or("", |(path, _)| backend.keeper(path));
        let read = async { backend.store(&self.tenant).await?.read_of(&all).await };
        self.ask_store(backend, keeper, "read", read).await.unwrap_or_default()
    }

    /// Reads a secret, of this version.
    async fn read_secret(&self, stored: &Stored, version: Option<&Version>) -> Result<Answered, StoreRefusal> {
        let backend = self.store(stored)?;
        let read = async { backend.store(&self.tenant).await?.read(&stored.path, version).await };
        let read = self.ask_store(backend, backend.keeper(&stored.path), "read", read).await;
        let (secret, version) = self.told(backend, read)?;
        Ok(self.answered(backend, secret, version))
    }

    fn answered(&self, backend: &Backend, secret: StoredSecret, version: String) -> Answered {
        let backend = full_label(backend.kind, self.tenant.job.namespace(), &backend.name);
        Answered { secret, version, backend }
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
        keeper: &'static str,
        what: &'static str,
        ask: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if let Some(error) = backend.store_closed.get() {
            return Err(error.clone());
        }
        let away = |why: &str| StoreError::Unavailable { service: keeper, why: why.to_owned() };
        let place = self.place(backend).await.map_err(away)?;
        let begun = Instant::now();
        let left = self.tenant.job.deadline.saturating_duration_since(begun);
        let answer = tokio::time::timeout(left, ask).await.unwrap_or_else(|_| Err(away(LATE)));
        match &answer {
            Err(StoreError::Throttled { retry_after, .. }) => place.away(retry_after.unwrap_or(AT_ONCE_AGAIN)),
            Err(StoreError::Unavailable { .. }) if begun.elapsed() < left => place.away(Duration::ZERO),
            Err(StoreError::Unavailable { .. }) => drop(place),
            _ => place.answered(),
        }
        let outcome = answer.as_ref().map_or_else(StoreError::word, |_| what);
        self.tenant.job.context.metrics.asked_store(keeper, outcome, begun.elapsed());
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
        answer.map_err(|error| {
            match &error {
                StoreError::Unavailable { .. } | StoreError::Answer { .. } => self.is_away_for(Duration::ZERO),
                StoreError::Throttled { retry_after, .. } => self.is_away_for(retry_after.unwrap_or_default()),
                _ => {}
            }
            self.refused(backend, &error)
        })
    }

    fn unusable(&self, backend: &Backend, stored: &Stored) -> StoreRefusal {
        self.refused(backend, &StoreError::Answer { service: backend.keeper(&stored.path) })
    }

    fn refused(&self, backend: &Backend, error: &StoreError) -> StoreRefusal {
        let hint = store_hint::of(error, backend, &self.tenant.job.account.to_string());
        StoreRefusal { kind: store_hint::kind(error), fact: format!("{}: {error}", backend.label()), hint }
    }
}

fn found(backend: &Backend, version: Option<Version>, mark: &str) -> Found {
    let parts = [version.as_ref().map_or("", Version::as_str), mark].into_iter().filter(|part| !part.is_empty());
    let stamp = parts.collect::<Vec<_>>().join(" ");
    // From when it has answered, so that one that is slower than that is not asked without a pause.
    Found { stamp, version, asked: Instant::now(), refresh: backend.refresh }
}
