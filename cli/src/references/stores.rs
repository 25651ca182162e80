//! Secrets of stores as the user: to which store a reference leads, by the backends in files, and what it has, by the user's own credentials.
//!
//! What a file says never decides where credentials go: it names a server, and that has to be the one that the user named (`VAULT_ADDR`).
//! What a backend allows to Syncs is not looked at, since the user asks as nobody but the user. Each further kind of store becomes a variant of
//! `Leads`; until then it is refused by name. Not here: how a store is called (`waxwing-keys`).

use std::env;

use serde_json::Value;
use tokio::sync::OnceCell;
use waxwing_formats::reference::{
    Foreign, ForeignError, ForeignStores, Form, PathPattern, Provider, Reference, SecretPath,
};
use waxwing_formats::reference::{StoreKind, StoreName, Stored, StoredSecret};
use waxwing_keys::{Origin, StoreError, StoredVersion, VaultSecrets};

use crate::sealed::vault_secrets;

/// The variable that names the server.
const ADDRESS: &str = "VAULT_ADDR";

/// The name of what references of vals lead to: the server that the user names.
const OF_THE_USER: &str = "vault.of.the.environment";

/// How many questions are asked at the same time.
pub(super) const ASKED_AT_ONCE: usize = 16;

/// A backend in a file, as far as it says where secrets are.
#[derive(Clone, Debug)]
pub(super) struct Store {
    kind: StoreKind,
    name: String,
    leads: Leads,
    /// The paths at which a secret would be made for whoever asks.
    dynamic: Vec<PathPattern>,
}

/// Where a backend leads.
#[derive(Clone, Debug)]
enum Leads {
    /// To a server of Vault or OpenBao.
    Vault { address: String, namespace: Option<String> },
    /// To a store that is not asked yet.
    Elsewhere(&'static str),
}

impl Store {
    /// Reads a document if it is a backend.
    pub(super) fn of(document: &Value) -> Option<Self> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let kind =
            match text("/kind").filter(|_| text("/apiVersion").is_some_and(|api| api.starts_with("waxwing.dev/")))? {
                "SecretBackend" => StoreKind::Namespaced,
                "ClusterSecretBackend" => StoreKind::Cluster,
                _ => return None,
            };
        let namespace = text("/spec/vault/namespace").filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        let leads = match text("/spec/vault/address") {
            Some(address) => Leads::Vault { address: address.to_owned(), namespace },
            None => Leads::Elsewhere(service(document)),
        };
        let dynamic = document.pointer("/spec/vault/dynamic").and_then(Value::as_array).into_iter().flatten();
        let dynamic = dynamic.filter_map(|dynamic| dynamic.get("path")?.as_str()?.parse().ok()).collect();
        Some(Self { kind, name: text("/metadata/name")?.to_owned(), leads, dynamic })
    }

    /// Tells whether the backend has a secret made at a path, whatever the namespace.
    fn makes(&self, path: &SecretPath) -> bool {
        let in_some = |pattern: &PathPattern| path.segments().iter().any(|segment| pattern.allows(path, segment));
        self.dynamic.iter().any(in_some)
    }
}

fn service(document: &Value) -> &'static str {
    let services = [("aws", "AWS"), ("gcp", "Google Cloud"), ("azure", "Azure"), ("kubernetes", "Kubernetes")];
    let is_one = |(field, _): &&(&str, &str)| document.pointer("/spec").is_some_and(|spec| spec.get(*field).is_some());
    services.iter().find(is_one).map_or("a service that is not known here", |(_, service)| service)
}

/// Why a reference leads to nothing; none of it quotes a value.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreFault {
    /// There is no backend of that name.
    #[error("no {kind} {name} stands in these files")]
    NoBackend { kind: &'static str, name: String },
    /// The backend is of a kind that is not asked yet.
    #[error("{kind} {name} leads to {service}, and so far only Vault and OpenBao are asked from here")]
    Elsewhere { kind: &'static str, name: String, service: &'static str },
    /// The user names no server.
    #[error("{ADDRESS} names no server")]
    NoAddress,
    /// The user names another server than the backend.
    #[error("{kind} {name} leads to {address}, and {ADDRESS} to another server")]
    OtherServer { kind: &'static str, name: String, address: String },
    /// A reference of another tool that can't be read.
    #[error("{0}")]
    Foreign(ForeignError),
    /// A reference of another tool whose store is not known here.
    #[error("a reference of {tool} is not read here")]
    OtherTool { tool: String },
    /// The store says so.
    #[error(transparent)]
    Store(StoreError),
}

impl StoreFault {
    /// Returns the word for it that scripts may rely on.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NoBackend { .. } => "no-backend",
            Self::Elsewhere { .. } => "other-service",
            Self::NoAddress => "no-address",
            Self::OtherServer { .. } => "other-server",
            Self::Foreign(error) => error.name(),
            Self::OtherTool { .. } => "other-tool",
            Self::Store(error) => error.word(),
        }
    }

    /// Tells whether nobody could be asked, so that nothing is known of the secret.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Elsewhere { .. } | Self::NoAddress | Self::OtherServer { .. } => true,
            Self::Store(error) => matches!(
                error,
                StoreError::NoCredentials { .. }
                    | StoreError::Throttled { .. }
                    | StoreError::Unavailable { .. }
                    | StoreError::Answer { .. }
                    | StoreError::Malformed { .. }
            ),
            Self::NoBackend { .. } | Self::Foreign(_) | Self::OtherTool { .. } => false,
        }
    }

    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoBackend { .. } => "correct the name, or name the file or folder of the backend too",
            Self::Elsewhere { .. } => "ask with the tool of that service; the controller is not concerned",
            Self::NoAddress => "set VAULT_ADDR, and VAULT_TOKEN or log in with `vault login` or `bao login`",
            Self::OtherServer { .. } => {
                "if that server is the right one, set VAULT_ADDR to it: no file decides where your token goes"
            }
            Self::Foreign(error) => error.hint(),
            Self::OtherTool { .. } => "write ref+store://STORE/PATH#/KEY",
            Self::Store(error) => store_hint(error),
        }
    }
}

fn store_hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::NoCredentials { .. } => "set VAULT_TOKEN, or log in with `vault login` or `bao login`",
        StoreError::Denied { .. } => {
            "log in as somebody who may read the path, and with KV version 2 its metadata; see also that an engine is mounted there"
        }
        StoreError::Missing { .. } => "correct the path, or write the secret",
        StoreError::NoSuchVersion { .. } => "correct the version, or leave it out for the newest",
        StoreError::Deleted { .. } => "undelete the version, or write a new one",
        StoreError::Disabled { .. } => "enable or restore it, or refer to another version",
        StoreError::NoVersions { .. } => "leave the version out of the reference",
        StoreError::NotASecret { .. } => "write ENGINE/data/NAME for KV version 2, and ENGINE/NAME for version 1",
        StoreError::NotMade { .. } | StoreError::NoRole { .. } => "correct the path",
        StoreError::TooLarge { .. } => "keep less in one secret",
        StoreError::Throttled { .. } | StoreError::Unavailable { .. } => "check VAULT_ADDR, or try again later",
        StoreError::Answer { .. } => "see that what answers there is Vault or OpenBao",
        StoreError::Malformed { .. } => "correct VAULT_ADDR and VAULT_CACERT",
    }
}

/// The stores that files name, as the user reaches them. Not `Debug`.
pub(crate) struct UserStores {
    address: Option<String>,
    all: Vec<Reached>,
    foreign: ForeignStores,
}

struct Reached {
    store: Store,
    client: OnceCell<Result<VaultSecrets, StoreError>>,
}

impl UserStores {
    /// Takes the backends of files, and for references of vals the server that the user names.
    pub(super) fn new(stores: Vec<Store>) -> Self {
        let address = env::var(ADDRESS).ok().filter(|address| !address.is_empty());
        let leads = Leads::Vault { address: address.clone().unwrap_or_default(), namespace: None };
        let own = Store { kind: StoreKind::Namespaced, name: OF_THE_USER.to_owned(), leads, dynamic: Vec::new() };
        let reached = |store| Reached { store, client: OnceCell::new() };
        let foreign = OF_THE_USER.parse::<StoreName>().map_or_else(
            |_| ForeignStores::default(),
            |name| {
                let forms = [Provider::Vault, Provider::OpenBao].map(Form::Vals);
                forms.into_iter().fold(ForeignStores::default(), |all, form| all.with(form, None, name.clone()))
            },
        );
        Self { address, all: stores.into_iter().chain([own]).map(reached).collect(), foreign }
    }

    /// Returns the reference that one of vals is; its store is the server that the user names.
    ///
    /// # Errors
    /// Fails if it is not to be read as it stands, or leads to another store.
    pub(super) fn read_foreign(&self, foreign: &Foreign) -> Result<Reference, StoreFault> {
        match self.foreign.read(foreign) {
            Some(mapped) => mapped.map(|mapped| mapped.reference).map_err(StoreFault::Foreign),
            None => Err(StoreFault::OtherTool {
                tool: match foreign.form {
                    Form::Vals(provider) => format!("vals to {}", provider.scheme()),
                    Form::ArgocdVaultPlugin => "argocd-vault-plugin".to_owned(),
                },
            }),
        }
    }

    /// Reads a secret. A reference of vals may leave `data` out, as it does there.
    pub(super) async fn read(&self, stored: &Stored) -> Result<StoredSecret, StoreFault> {
        let version = stored.version.as_ref();
        let secrets = self.secrets(stored).await?;
        let mut answer = secrets.read(&stored.path, version).await;
        if stored.store.as_str() == OF_THE_USER {
            for path in with_data(&stored.path) {
                if !matches!(answer, Err(StoreError::NotASecret { .. })) {
                    break;
                }
                answer = secrets.read(&path, version).await;
            }
        }
        answer.map_err(StoreFault::Store)
    }

    /// Finds out which version of a secret there is, without reading it where its engine keeps versions; what is read elsewhere is returned.
    pub(super) async fn look(&self, stored: &Stored) -> Result<Looked, StoreFault> {
        let is_made = self.named(stored).any(|reached| reached.store.makes(&stored.path));
        if is_made && stored.version.is_none() {
            return Ok(Looked::WouldMake);
        }
        let secrets = self.secrets(stored).await?;
        let seen = match &stored.version {
            None => secrets.newest(&stored.path).await,
            Some(version) => secrets.numbered(&stored.path, version).await,
        };
        match seen.map_err(StoreFault::Store)? {
            StoredVersion::Numbered { times, .. } if is_deleted(&times) => {
                Err(StoreFault::Store(StoreError::Deleted { service: waxwing_keys::service_name::VAULT }))
            }
            StoredVersion::Numbered { number, .. } => Ok(Looked::Version(number)),
            StoredVersion::Unnumbered => self.read(stored).await.map(Looked::Secret),
        }
    }

    fn named(&self, stored: &Stored) -> impl Iterator<Item = &Reached> {
        let is_one =
            |reached: &&Reached| reached.store.kind == stored.kind && reached.store.name == stored.store.as_str();
        self.all.iter().filter(is_one)
    }

    async fn secrets(&self, stored: &Stored) -> Result<&VaultSecrets, StoreFault> {
        let kind = match stored.kind {
            StoreKind::Namespaced => "SecretBackend",
            StoreKind::Cluster => "ClusterSecretBackend",
        };
        let name = stored.store.as_str().to_owned();
        let named: Vec<&Reached> = self.named(stored).collect();
        let Some(first) = named.first() else { return Err(StoreFault::NoBackend { kind, name }) };
        let own = self.address.as_deref();
        // Of several of one name, in several namespaces, the one at the server that the user named.
        let is_own = |reached: &&&Reached| match (&reached.store.leads, own) {
            (Leads::Vault { address, .. }, Some(own)) => is_same(address, own),
            _ => false,
        };
        let Some((reached, own)) = named.iter().find(is_own).zip(own) else {
            return Err(match &first.store.leads {
                Leads::Elsewhere(service) => StoreFault::Elsewhere { kind, name, service },
                Leads::Vault { .. } if own.is_none() => StoreFault::NoAddress,
                Leads::Vault { address, .. } => {
                    let address =
                        address.parse::<Origin>().map_or("what is no address".to_owned(), |own| own.to_string());
                    StoreFault::OtherServer { kind, name, address }
                }
            });
        };
        let namespace = match &reached.store.leads {
            Leads::Vault { namespace, .. } => namespace.as_deref(),
            Leads::Elsewhere(_) => None,
        };
        let client = reached.client.get_or_init(async || vault_secrets(own, namespace).map_err(StoreError::from)).await;
        client.as_ref().map_err(|error| StoreFault::Store(error.clone()))
    }
}

/// What a look at a secret brought.
pub(super) enum Looked {
    /// There is this version, which was not read.
    Version(u64),
    /// One would be made, so nobody was asked.
    WouldMake,
    /// There is no version, so it was read.
    Secret(StoredSecret),
}

/// Returns a reference as the user may have written it.
pub(super) fn shown(reference: &Reference) -> String {
    let text = reference.to_string();
    match text.strip_prefix("ref+store://").and_then(|rest| rest.strip_prefix(OF_THE_USER)) {
        Some(rest) => format!("ref+vault:/{rest}"),
        None => text,
    }
}

/// Tells whether two addresses lead to one server; what is none leads nowhere.
fn is_same(one: &str, other: &str) -> bool {
    one == other || one.parse::<Origin>().is_ok_and(|one| other.parse() == Ok(one))
}

/// Returns the paths with `data` behind each beginning of it that may be an engine.
fn with_data(path: &SecretPath) -> Vec<SecretPath> {
    let segments = path.segments();
    let inserted = |at: usize| {
        let (engine, name) = segments.split_at_checked(at)?;
        SecretPath::new(engine.iter().cloned().chain(["data".to_owned()]).chain(name.iter().cloned())).ok()
    };
    (1..segments.len()).filter_map(inserted).collect()
}

/// Tells whether the times of a version say that it is gone by now.
fn is_deleted(times: &str) -> bool {
    match times.split_once(" until ") {
        Some((_, until)) => until.parse::<jiff::Timestamp>().is_ok_and(|until| until <= jiff::Timestamp::now()),
        None => times.ends_with(" destroyed"),
    }
}
