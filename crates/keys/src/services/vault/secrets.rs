//! Secrets of key/value engines of Vault and OpenBao, as references name them: which version is the newest, and what stands in one.
//!
//! A path is that of the server's API below `/v1`, so with the `data` of an engine that keeps versions. Which engine it belongs to, and
//! whether that keeps versions, the server says (`sys/internal/ui/mounts`), and only key/value engines are read: to read from any other may
//! make something, such as credentials. Nothing is read that is larger than [`MAX_SECRET`]. Not here: who may read what, and references.
//! Source: <https://openbao.org/api-docs/secret/kv/> (version 1: `Read Secret`; version 2: `Read Secret Version`, `Read Secret Metadata`),
//! and `getUIMountInfo` and `kvPreflightVersionRequest` of Vault's `command/kv_helpers.go`.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use tokio::sync::Mutex;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};

use super::{Answer, Enveloped, SERVICE, VaultAccess, VaultTransit};
use crate::services::exchange::ServiceClient;
use crate::services::{ServiceError, StoreError};

/// The most bytes that are read of an answer with a secret.
const MAX_SECRET: usize = 1024 * 1024;

/// Reads secrets of one server, as one login.
pub struct VaultSecrets {
    server: VaultTransit,
    engines: Mutex<Engines>,
}

#[derive(Default)]
struct Engines {
    /// Those that paths were found to lead to. One is never mounted within another.
    known: Vec<Engine>,
    /// Why the server answers nobody, if it said so.
    closed: Option<StoreError>,
}

/// A key/value engine.
#[derive(Clone)]
struct Engine {
    mount: Vec<String>,
    has_versions: bool,
}

/// Which version of a secret there is. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredVersion {
    /// One of an engine that keeps versions.
    Numbered {
        /// Its number, from 1.
        number: u64,
        /// Since when there is this version, and since when it is deleted, as the server writes it: numbers begin anew where a secret was
        /// deleted with all of its versions.
        times: String,
    },
    /// The engine keeps none, so the secret was read to see whether it is another one.
    Unnumbered,
}

impl VaultSecrets {
    /// Makes a client for one server. Nothing is called yet.
    ///
    /// # Errors
    /// As [`VaultTransit::new`].
    pub fn new(client: ServiceClient, address: &str, access: &VaultAccess) -> Result<Self, ServiceError> {
        let server = VaultTransit::new(client.for_answers_up_to(MAX_SECRET), address, access)?;
        Ok(Self { server, engines: Mutex::default() })
    }

    /// Returns the newest version of a secret, without reading it where its engine keeps versions.
    ///
    /// # Errors
    /// Fails if there is no such secret, or the server does not say. One whose newest version is deleted has that version all the same.
    pub async fn newest(&self, path: &SecretPath) -> Result<StoredVersion, StoreError> {
        let engine = self.engine(path).await?;
        if !engine.has_versions {
            return Ok(StoredVersion::Unnumbered);
        }
        let metadata = self.metadata(&engine, path).await?;
        let number = metadata.current_version;
        if number == 0 {
            return Err(StoreError::Missing { service: SERVICE });
        }
        let version = metadata.versions.get(&number.to_string()).ok_or(StoreError::Answer { service: SERVICE })?;
        Ok(StoredVersion::Numbered { number, times: version.times() })
    }

    /// Returns what there is of one version of a secret, without reading it.
    ///
    /// # Errors
    /// Fails if there is no such version, or no versions, or the server does not say. One that was deleted has its times all the same.
    pub async fn numbered(&self, path: &SecretPath, version: &Version) -> Result<StoredVersion, StoreError> {
        let engine = self.engine(path).await?;
        if !engine.has_versions {
            return Err(StoreError::NoVersions { service: SERVICE });
        }
        let none = StoreError::NoSuchVersion { service: SERVICE };
        let Some(number) = version.as_str().parse::<u64>().ok().filter(|number| *number > 0) else { return Err(none) };
        let metadata = self.metadata(&engine, path).await?;
        let found = metadata.versions.get(&number.to_string()).ok_or(none)?;
        Ok(StoredVersion::Numbered { number, times: found.times() })
    }

    async fn metadata(&self, engine: &Engine, path: &SecretPath) -> Result<Metadata, StoreError> {
        let place = engine.place_in(path)?;
        let parts = engine.mount.iter().map(String::as_str).chain(["metadata"]).chain(place);
        let answer = self.get(parts, None).await?;
        read(&self.checked(answer)?)
    }

    /// Reads a secret: this version of it, or the newest.
    ///
    /// # Errors
    /// Fails if there is no such secret, no such version, or the server does not give it.
    pub async fn read(&self, path: &SecretPath, version: Option<&Version>) -> Result<StoredSecret, StoreError> {
        let (engine, answer) = self.read_at(path, version).await?;
        Ok(engine.secret(answer))
    }

    /// Reads the newest version of a secret, and returns with it which one that is.
    ///
    /// # Errors
    /// Fails as [`Self::read`] does, also where the newest version is deleted.
    pub async fn read_newest(&self, path: &SecretPath) -> Result<(StoredVersion, StoredSecret), StoreError> {
        let (engine, answer) = self.read_at(path, None).await?;
        let version = match engine.has_versions {
            true => {
                let Current { metadata: CurrentVersion { version: number, created_time, deletion_time, destroyed } } =
                    read(&answer)?;
                let times = Times { created_time, deletion_time, destroyed };
                StoredVersion::Numbered { number, times: times.times() }
            }
            false => StoredVersion::Unnumbered,
        };
        Ok((version, engine.secret(answer)))
    }

    async fn read_at(&self, path: &SecretPath, version: Option<&Version>) -> Result<(Engine, Answer), StoreError> {
        let engine = self.engine(path).await?;
        if !engine.has_versions && version.is_some() {
            return Err(StoreError::NoVersions { service: SERVICE });
        }
        if engine.has_versions {
            drop(engine.place_in(path)?);
        }
        let number = version.map(|version| version.as_str().parse::<u64>().ok().filter(|number| *number > 0));
        if number == Some(None) {
            return Err(StoreError::NoSuchVersion { service: SERVICE });
        }
        let answer = self.get(path.segments().iter().map(String::as_str), number.flatten()).await?;
        if answer.status == 404 && engine.has_versions {
            return Err(without_data(&answer, version.is_some()));
        }
        Ok((engine, self.checked(answer)?))
    }

    /// Finds out which engine a path belongs to. One question at a time, since the answer is most often that of the next path too.
    async fn engine(&self, path: &SecretPath) -> Result<Engine, StoreError> {
        let mut engines = self.engines.lock().await;
        if let Some(error) = &engines.closed {
            return Err(error.clone());
        }
        if let Some(engine) = engines.known.iter().find(|engine| path.segments().starts_with(&engine.mount)) {
            return Ok(engine.clone());
        }
        let found = self.mounted(path).await;
        match &found {
            Ok(engine) => engines.known.push(engine.clone()),
            Err(
                error @ (StoreError::Unavailable { .. }
                | StoreError::NoCredentials { .. }
                | StoreError::Throttled { .. }),
            ) => engines.closed = Some(error.clone()),
            Err(_) => {}
        }
        found
    }

    async fn mounted(&self, path: &SecretPath) -> Result<Engine, StoreError> {
        let parts = ["sys", "internal", "ui", "mounts"].into_iter().chain(path.segments().iter().map(String::as_str));
        let answer = self.get(parts, None).await?;
        let mount: Mount = read(&self.checked(answer)?)?;
        mount.engine(path)
    }

    async fn get<'a>(
        &self,
        parts: impl IntoIterator<Item = &'a str>,
        version: Option<u64>,
    ) -> Result<Answer, StoreError> {
        let mut url = self.server.below(parts)?;
        if let Some(version) = version {
            url.query_pairs_mut().append_pair("version", &version.to_string());
        }
        // An answer that is not read to its end is one that is too large.
        self.server.ask(Method::GET, url, None).await.map_err(|error| match error {
            ServiceError::Answer { service } => StoreError::TooLarge { service },
            error => error.into(),
        })
    }

    fn checked(&self, answer: Answer) -> Result<Answer, StoreError> {
        Ok(self.server.checked(answer)?)
    }
}

impl Engine {
    /// Takes the secret out of an answer.
    fn secret(&self, Answer { body, .. }: Answer) -> StoredSecret {
        StoredSecret::new(body, if self.has_versions { &["data", "data"] } else { &["data"] })
    }

    /// Returns what stands behind `data` in a path.
    fn place_in<'a>(&self, path: &'a SecretPath) -> Result<impl Iterator<Item = &'a str>, StoreError> {
        let (data, place) = match path.segments().get(self.mount.len()..) {
            Some([data, place @ ..]) if !place.is_empty() => (data, place),
            _ => return Err(not_a_secret("it has no name behind the engine")),
        };
        match data == "data" {
            true => Ok(place.iter().map(String::as_str)),
            false => Err(not_a_secret("data has to stand behind the engine, which keeps versions")),
        }
    }
}

fn not_a_secret(why: &'static str) -> StoreError {
    StoreError::NotASecret { service: SERVICE, why }
}

/// Tells a version that was deleted from one that never was: with the former, the server says so beside the missing data.
fn without_data(answer: &Answer, is_of_a_version: bool) -> StoreError {
    #[derive(Deserialize)]
    struct Deleted {
        #[serde(rename = "metadata")]
        _metadata: Times,
    }
    match read::<Deleted>(answer) {
        Ok(_) => StoreError::Deleted { service: SERVICE },
        Err(_) if is_of_a_version => StoreError::NoSuchVersion { service: SERVICE },
        Err(_) => StoreError::Missing { service: SERVICE },
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, StoreError> {
    let enveloped: Result<Enveloped<T>, _> = serde_json::from_slice(answer.body.expose_secret());
    enveloped.map(|enveloped| enveloped.data).map_err(|_| StoreError::Answer { service: SERVICE })
}

/// What the server says of an engine.
#[derive(Deserialize)]
struct Mount {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    options: Option<BTreeMap<String, String>>,
}

impl Mount {
    fn engine(self, path: &SecretPath) -> Result<Engine, StoreError> {
        let mount: Vec<String> = self.path.trim_end_matches('/').split('/').map(str::to_owned).collect();
        if !path.segments().starts_with(&mount) || mount.len() == path.segments().len() {
            return Err(not_a_secret("it has no name behind the engine"));
        }
        let version = self.options.as_ref().and_then(|options| options.get("version")).map(String::as_str);
        match (self.kind.as_str(), version) {
            ("kv", Some("2")) => Ok(Engine { mount, has_versions: true }),
            ("kv", None | Some("" | "1")) | ("generic", _) => Ok(Engine { mount, has_versions: false }),
            ("kv", _) => Err(not_a_secret("the engine is of a version that nobody knows")),
            _ => Err(not_a_secret("the engine is of another type than key/value")),
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    current_version: u64,
    #[serde(default)]
    versions: BTreeMap<String, Times>,
}

/// What stands beside the secret of an engine that keeps versions.
#[derive(Deserialize)]
struct Current {
    metadata: CurrentVersion,
}

#[derive(Deserialize)]
struct CurrentVersion {
    version: u64,
    created_time: String,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

#[derive(Deserialize)]
struct Times {
    created_time: String,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

impl Times {
    fn times(&self) -> String {
        let created: String = self.created_time.chars().filter(|letter| letter.is_ascii_graphic()).take(40).collect();
        let deleted: String = self.deletion_time.chars().filter(|letter| letter.is_ascii_graphic()).take(40).collect();
        match (self.destroyed, deleted.is_empty()) {
            (true, _) => format!("{created} destroyed"),
            (false, true) => created,
            (false, false) => format!("{created} until {deleted}"),
        }
    }
}
