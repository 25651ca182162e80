//! Secrets of AWS Secrets Manager and parameters of the Parameter Store, as references name them: which version is the newest, and what
//! stands in one or several.
//!
//! A path begins with the service: `secretsmanager/NAME`, `ssm/NAME`. An ARN is none, since it may be of another account. Not here: who may
//! read what, and references.
//! Source: the API references of Secrets Manager (`DescribeSecret`, `GetSecretValue`, `BatchGetSecretValue`) and of Systems Manager
//! (`GetParameters`), and their pages on names.

use std::collections::BTreeMap;

use aws_types::SdkConfig;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};

use super::aws_caller::{AwsCaller, AwsService};
use super::exchange::ServiceClient;
use super::secret_text::SecretText;
use super::service_name::{AWS_PARAMETERS, AWS_SECRETS};
use super::{AwsAccess, Newest, ServiceError, StoreError, VersionedSecret};

const SECRETS: AwsService =
    AwsService { label: AWS_SECRETS, name: "secretsmanager", target: "secretsmanager", id: "Secrets Manager" };
const PARAMETERS: AwsService = AwsService { label: AWS_PARAMETERS, name: "ssm", target: "AmazonSSM", id: "SSM" };

/// The most bytes that are read of an answer: twenty secrets of 64 KiB each have less, in which every third byte is escaped.
const MAX_ANSWER: usize = 3 * 1024 * 1024;
/// The most bytes that one secret may have.
const MAX_SECRET: usize = 1024 * 1024;

/// Reads secrets and parameters of one region, as one login.
pub struct AwsSecrets(AwsCaller);

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsPath {
    /// A secret of Secrets Manager, of this name.
    Secret(String),
    /// A parameter of the Parameter Store, of this name.
    Parameter(String),
}

impl AwsPath {
    /// Reads a path. The name of a parameter of several segments begins with a slash, as it has to.
    ///
    /// # Errors
    /// [`StoreError::NotASecret`] for one that begins with neither service, or has characters that no name has.
    pub fn of(path: &SecretPath) -> Result<Self, StoreError> {
        let refused = |service, why| StoreError::NotASecret { service, why };
        let (service, name) = match path.segments() {
            [service, name @ ..] if !name.is_empty() => (service.as_str(), name),
            _ => return Err(refused(AWS_SECRETS, "it has no name behind the service")),
        };
        let has = |further: &str| {
            let is_one = |letter: char| letter.is_ascii_alphanumeric() || further.contains(letter);
            name.iter().all(|segment| segment.chars().all(is_one))
        };
        match (service, name) {
            ("secretsmanager", name) if has("_+=.@-") => Ok(Self::Secret(name.join("/"))),
            ("ssm", [name]) if has("_.-") => Ok(Self::Parameter(name.clone())),
            ("ssm", name) if has("_.-") => Ok(Self::Parameter(format!("/{}", name.join("/")))),
            ("secretsmanager", _) => Err(refused(AWS_SECRETS, "its name has characters that no secret's has")),
            ("ssm", _) => Err(refused(AWS_PARAMETERS, "its name has characters that no parameter's has")),
            _ => Err(refused(AWS_SECRETS, "it begins with neither secretsmanager nor ssm")),
        }
    }

    /// Returns what the service is called.
    pub const fn service(&self) -> &'static str {
        match self {
            Self::Secret(_) => AWS_SECRETS,
            Self::Parameter(_) => AWS_PARAMETERS,
        }
    }

    /// Tells whether what a version names may become another: the stages of a secret (an id has 32 letters or more) and the labels of a
    /// parameter do.
    pub fn may_move(&self, version: &Version) -> bool {
        match self {
            Self::Secret(_) => version.as_str().len() < 32,
            Self::Parameter(_) => !version.as_str().bytes().all(|byte| byte.is_ascii_digit()),
        }
    }

    /// Returns how many one request asks for: of the newest versions, and of secrets.
    pub const fn at_once(&self) -> (usize, usize) {
        match self {
            Self::Secret(_) => (1, 20),
            Self::Parameter(_) => (10, 10),
        }
    }
}

impl AwsSecrets {
    /// Logs in in a region, under the name of the session; at `endpoint`, if AWS is not where it usually is.
    ///
    /// # Errors
    /// Fails if the region is none, the credentials are not text, or a role can't be had.
    pub async fn with_access(
        client: ServiceClient,
        access: &AwsAccess,
        endpoint: Option<&str>,
        region: &str,
        session: &str,
    ) -> Result<Self, ServiceError> {
        let client = client.for_answers_up_to(MAX_ANSWER);
        AwsCaller::log_in(client, access, endpoint, region, session).await.map(Self)
    }

    /// Reads as whoever a configuration says, in its region and at its endpoints; it is of somebody's own machine.
    ///
    /// # Errors
    /// Fails if it has no region or no credentials.
    pub async fn configured(client: ServiceClient, config: SdkConfig) -> Result<Self, ServiceError> {
        AwsCaller::configured(client.for_answers_up_to(MAX_ANSWER), AWS_SECRETS, config).await.map(Self)
    }

    /// Returns which version a secret has, without reading it: the newest, or the one that a stage, label or id stands for. An id without a
    /// stage, which AWS keeps for a while, is not found so.
    ///
    /// # Errors
    /// Fails if there is none, or the service does not say.
    pub async fn newest(&self, path: &SecretPath, version: Option<&Version>) -> Result<Newest, StoreError> {
        match AwsPath::of(path)? {
            AwsPath::Secret(name) => self.describe(&name, version).await,
            AwsPath::Parameter(name) => self.parameter(&name, version, false).await.map(Parameter::newest),
        }
    }

    /// Reads a secret: this version of it, or the newest.
    ///
    /// # Errors
    /// Fails if there is no such secret, no such version, or the service does not give it.
    pub async fn read(&self, path: &SecretPath, version: Option<&Version>) -> Result<StoredSecret, StoreError> {
        self.read_with_version(path, version).await.map(|found| found.secret)
    }

    /// Reads a secret, and returns with it which version that is.
    ///
    /// # Errors
    /// As [`AwsSecrets::read`].
    pub async fn read_with_version(
        &self,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<VersionedSecret, StoreError> {
        match AwsPath::of(path)? {
            AwsPath::Secret(name) => self.secret(&name, version).await,
            AwsPath::Parameter(name) => self.parameter(&name, version, true).await.map(Parameter::opened),
        }
    }

    /// Returns the newest versions of several parameters, by their place in the list; what is not among them has to be asked for by itself.
    ///
    /// # Errors
    /// Fails as a whole if the service gives no answer.
    pub async fn newest_of(&self, paths: &[&SecretPath]) -> Result<BTreeMap<usize, Newest>, StoreError> {
        let names = names(paths, |path| if let AwsPath::Parameter(name) = path { Some(name) } else { None });
        let names: Vec<_> = names.into_iter().map(|(place, name)| (place, name, None)).collect();
        let found = self.parameters(&names, false).await?;
        Ok(found.into_iter().map(|(place, found)| (place, found.newest())).collect())
    }

    /// Reads several secrets, or several parameters, of these versions or the newest, by their place in the list, each with which version it
    /// is; what is not among them has to be read by itself: that the newest version is another one now, for instance.
    ///
    /// # Errors
    /// Fails as a whole if the service gives no answer.
    pub async fn read_of(
        &self,
        wanted: &[(&SecretPath, Option<&Version>)],
    ) -> Result<BTreeMap<usize, VersionedSecret>, StoreError> {
        let paths: Vec<&SecretPath> = wanted.iter().map(|(path, _)| *path).collect();
        let version = |place: usize| wanted.get(place).and_then(|(_, version)| *version);
        let secrets = names(&paths, |path| if let AwsPath::Secret(name) = path { Some(name) } else { None });
        let parameters = names(&paths, |path| if let AwsPath::Parameter(name) = path { Some(name) } else { None });
        if !secrets.is_empty() {
            return self.secrets(&secrets, version).await;
        }
        let parameters: Vec<_> = parameters.into_iter().map(|(place, name)| (place, name, version(place))).collect();
        let found = self.parameters(&parameters, true).await?;
        Ok(found.into_iter().map(|(place, found)| (place, found.opened())).collect())
    }

    /// Asks which version has a stage or id. A secret that is to be deleted has one, and does not give it out.
    async fn describe(&self, name: &str, stage: Option<&Version>) -> Result<Newest, StoreError> {
        let service = AWS_SECRETS;
        let answer = self.0.call(&SECRETS, "DescribeSecret", &json!({"SecretId": name}).to_string()).await?;
        let described: Described =
            serde_json::from_slice(answer.body.expose_secret()).map_err(|_| StoreError::Answer { service })?;
        if described.deleted_date.is_some() {
            return Err(StoreError::Disabled { service });
        }
        let wanted = stage.map_or("AWSCURRENT", Version::as_str);
        let is_it = |id: &str, stages: &[String]| id == wanted || stages.iter().any(|stage| stage == wanted);
        let found = described.version_ids_to_stages.into_iter().find(|(id, stages)| is_it(id, stages));
        let (id, _) = found.ok_or(StoreError::Missing { service }).map_err(|error| match stage {
            Some(_) => error.of_version(),
            None => error,
        })?;
        let version = id.parse().map_err(|_| StoreError::Answer { service })?;
        Ok(Newest::Told { version: Some(version), mark: String::new() })
    }

    async fn secret(&self, name: &str, version: Option<&Version>) -> Result<VersionedSecret, StoreError> {
        let asked = match version {
            None => json!({"SecretId": name}),
            Some(version) if version.as_str().len() < 32 => {
                json!({"SecretId": name, "VersionStage": version.as_str()})
            }
            Some(version) => json!({"SecretId": name, "VersionId": version.as_str()}),
        };
        let answer = self.0.call(&SECRETS, "GetSecretValue", &asked.to_string()).await;
        let answer = answer.map_err(|error| if version.is_some() { error.of_version() } else { error })?;
        let value: Value<'_> = serde_json::from_slice(answer.body.expose_secret())
            .map_err(|_| StoreError::Answer { service: AWS_SECRETS })?;
        value.versioned()
    }

    async fn secrets<'v>(
        &self,
        names: &[(usize, String)],
        version: impl Fn(usize) -> Option<&'v Version>,
    ) -> Result<BTreeMap<usize, VersionedSecret>, StoreError> {
        let ids: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        let asked = json!({"SecretIdList": ids}).to_string();
        let answer = self.0.call(&SECRETS, "BatchGetSecretValue", &asked).await?;
        let values: Values<'_> = serde_json::from_slice(answer.body.expose_secret())
            .map_err(|_| StoreError::Answer { service: AWS_SECRETS })?;
        let mut found = BTreeMap::new();
        for value in values.secret_values {
            let place = names.iter().find(|(_, name)| *name == value.name).map(|(place, _)| *place);
            // What is the newest by now need not be what was planned.
            let is_wanted = |place: &usize| version(*place).is_none_or(|version| version.as_str() == value.version_id);
            if let Some(place) = place.filter(is_wanted) {
                found.insert(place, value.versioned()?);
            }
        }
        Ok(found)
    }

    async fn parameter(&self, name: &str, version: Option<&Version>, is_opened: bool) -> Result<Parameter, StoreError> {
        let found = self.parameters(&[(0, name.to_owned(), version)], is_opened).await;
        let missing = StoreError::Missing { service: AWS_PARAMETERS };
        let missing = if version.is_some() { missing.of_version() } else { missing };
        found?.remove(&0).ok_or(missing)
    }

    /// Asks for parameters; what is not there is not in the answer.
    async fn parameters(
        &self,
        names: &[(usize, String, Option<&Version>)],
        is_opened: bool,
    ) -> Result<BTreeMap<usize, Parameter>, StoreError> {
        let selected = |(_, name, version): &(usize, String, Option<&Version>)| match version {
            Some(version) => format!("{name}:{}", version.as_str()),
            None => name.clone(),
        };
        let ids: Vec<String> = names.iter().map(selected).collect();
        let asked = json!({"Names": ids, "WithDecryption": is_opened}).to_string();
        let answer = self.0.call(&PARAMETERS, "GetParameters", &asked).await?;
        let found: Parameters<'_> = serde_json::from_slice(answer.body.expose_secret())
            .map_err(|_| StoreError::Answer { service: AWS_PARAMETERS })?;
        let of_one = |found: Found<'_>| {
            // Its own name has no selector, but for servers that repeat what they were asked.
            let bare = found.name.split(':').next().unwrap_or_default();
            let place = names.iter().find(|(_, name, _)| name == bare).map(|(place, ..)| *place)?;
            Some((place, found.parameter()?))
        };
        Ok(found.parameters.into_iter().filter_map(of_one).collect())
    }
}

fn names(paths: &[&SecretPath], of: impl Fn(AwsPath) -> Option<String>) -> Vec<(usize, String)> {
    let named = paths.iter().enumerate().map(|(place, path)| Some((place, of(AwsPath::of(path).ok()?)?)));
    named.flatten().collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    #[serde(default)]
    version_ids_to_stages: BTreeMap<String, Vec<String>>,
    deleted_date: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Values<'a> {
    #[serde(borrow, default)]
    secret_values: Vec<Value<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value<'a> {
    name: String,
    version_id: String,
    #[serde(borrow)]
    secret_string: Option<SecretText<'a>>,
    #[serde(borrow)]
    secret_binary: Option<SecretText<'a>>,
}

impl Value<'_> {
    fn versioned(&self) -> Result<VersionedSecret, StoreError> {
        let unreadable = || StoreError::Answer { service: AWS_SECRETS };
        let secret = match (&self.secret_string, &self.secret_binary) {
            (Some(text), _) => text.to_secret(),
            (None, Some(binary)) => binary.decode(&STANDARD).ok_or_else(unreadable)?,
            (None, None) => return Err(unreadable()),
        };
        if secret.len() > MAX_SECRET {
            return Err(StoreError::TooLarge { service: AWS_SECRETS });
        }
        // An id is used once, so that nothing else tells two versions apart.
        let version = self.version_id.parse().map_err(|_| unreadable())?;
        Ok(VersionedSecret {
            version: Some(version),
            mark: Some(String::new()),
            secret: StoredSecret::of_bytes(secret),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters<'a> {
    #[serde(borrow, default)]
    parameters: Vec<Found<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found<'a> {
    name: String,
    #[serde(borrow)]
    value: SecretText<'a>,
    version: u64,
    last_modified_date: Option<f64>,
}

/// A parameter, of which the value is a ciphertext where it was not opened.
struct Parameter {
    version: Option<Version>,
    mark: String,
    value: StoredSecret,
}

impl Parameter {
    fn newest(self) -> Newest {
        Newest::Told { version: self.version, mark: self.mark }
    }

    fn opened(self) -> VersionedSecret {
        VersionedSecret { version: self.version, mark: Some(self.mark), secret: self.value }
    }
}

impl Found<'_> {
    fn parameter(&self) -> Option<Parameter> {
        let version = Some(self.version.to_string().parse().ok()?);
        let mark = self.last_modified_date.map(|seconds| seconds.to_string()).unwrap_or_default();
        Some(Parameter { version, mark, value: StoredSecret::of_bytes(self.value.to_secret()) })
    }
}
