//! Secrets of stores as the user: to which store a reference leads, by the backends in files, and what it has, by the user's own credentials.
//!
//! What a file says never decides where credentials go. A server of Vault that it names has to be the one that the user named (`BAO_ADDR` or
//! `VAULT_ADDR`), a vault of Azure one below Azure's own domains; AWS and Google Cloud are where they always are, or where the user says, and the cluster is that of
//! the user's kubeconfig. What a backend allows to Syncs is not looked at, since the user asks as nobody but the user. Not here: how a store is
//! asked (`asking`).

use reqwest::Url;
use serde_json::Value;
use waxwing_formats::reference::{
    Foreign, ForeignStores, Form, PathPattern, Provider, Reference, SecretPath, StoreKind, StoreName, Stored,
    StoredSecret,
};
use waxwing_keys::{Origin, StoreError};

use super::asking::{Asking, Looked};
use super::fault::StoreFault;
use crate::cluster::ContextArgs;
use crate::sealed::vault_address;

/// The names of what references of vals lead to: where the user is logged in.
const VAULT_OF_THE_USER: &str = "vault.of.the.environment";
const AWS_OF_THE_USER: &str = "aws.of.the.environment";
const GCP_OF_THE_USER: &str = "gcp.of.the.environment";

/// Which references of vals lead to which of them.
const PROVIDERS: [(Provider, &str); 5] = [
    (Provider::Vault, VAULT_OF_THE_USER),
    (Provider::OpenBao, VAULT_OF_THE_USER),
    (Provider::AwsSecrets, AWS_OF_THE_USER),
    (Provider::AwsSsm, AWS_OF_THE_USER),
    (Provider::GcpSecrets, GCP_OF_THE_USER),
];

/// The domains that vaults are in, of Azure's clouds.
const VAULT_DOMAINS: [&str; 4] =
    [".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net", ".vault.microsoftazure.de"];

/// How many questions are asked at the same time.
pub(super) const ASKED_AT_ONCE: usize = 16;

/// A backend in a file, as far as it says where secrets are.
#[derive(Clone, Debug)]
pub(super) struct Store {
    kind: StoreKind,
    name: String,
    /// Nothing where it leads to a service that is not known here.
    leads: Option<Leads>,
    /// The paths at which a secret would be made for whoever asks.
    dynamic: Vec<PathPattern>,
}

/// Where a backend leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To a server of Vault or OpenBao.
    Vault { address: String, namespace: Option<String> },
    /// To AWS, in this region or in that of the user.
    Aws { region: Option<String> },
    /// To Google Cloud.
    Gcp,
    /// To a vault of Azure.
    Azure { vault: String },
    /// To the cluster.
    Kubernetes,
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
        let dynamic = document.pointer("/spec/vault/dynamic").and_then(Value::as_array).into_iter().flatten();
        let dynamic = dynamic.filter_map(|dynamic| dynamic.get("path")?.as_str()?.parse().ok()).collect();
        Some(Self { kind, name: text("/metadata/name")?.to_owned(), leads: Leads::of(document), dynamic })
    }

    /// Tells whether the backend has a secret made at a path, whatever the namespace.
    fn makes(&self, path: &SecretPath) -> bool {
        let in_some = |pattern: &PathPattern| path.segments().iter().any(|segment| pattern.allows(path, segment));
        self.dynamic.iter().any(in_some)
    }
}

impl Leads {
    fn of(document: &Value) -> Option<Self> {
        let spec = document.get("spec")?;
        let text = |pointer: &str| {
            let text = spec.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        // Of two that are the same, one may end in a slash.
        let origin = |pointer: &str| text(pointer).map(|at| at.parse().map_or(at, |at: Origin| at.to_string()));
        Some(
            match ["vault", "aws", "gcp", "azure", "kubernetes"].into_iter().find(|field| spec.get(*field).is_some())? {
                "vault" => Self::Vault { address: origin("/vault/address")?, namespace: text("/vault/namespace") },
                "aws" => Self::Aws { region: text("/aws/region") },
                "gcp" => Self::Gcp,
                "azure" => Self::Azure { vault: origin("/azure/vaultUrl")? },
                _ => Self::Kubernetes,
            },
        )
    }

    /// Says why the user's credentials do not go there.
    fn refused(&self, own: &UserServer, kind: &'static str, name: &str) -> Option<StoreFault> {
        let name = name.to_owned();
        let shown = |address: &str| match address.parse::<Origin>() {
            Ok(origin) => origin.to_string(),
            Err(_) => "what is no address".to_owned(),
        };
        match (self, &own.address) {
            (Self::Vault { .. }, None) => Some(StoreFault::NoAddress),
            (Self::Vault { address, .. }, Some(of_user)) if !is_same(address, of_user) => {
                let variable = own.variable.clone();
                Some(StoreFault::OtherServer { kind, name, address: shown(address), variable })
            }
            (Self::Azure { vault }, _) if !is_vault(vault) => {
                Some(StoreFault::NoVault { kind, name, address: shown(vault) })
            }
            _ => None,
        }
    }
}

/// Tells whether an address is that of a vault of Azure.
fn is_vault(address: &str) -> bool {
    let url = Url::parse(address).ok().filter(|url| url.scheme() == "https" && url.port().is_none());
    let is_in = |host: &str, domain: &&str| host.strip_suffix(*domain).is_some_and(|name| !name.is_empty());
    url.is_some_and(|url| url.domain().is_some_and(|host| VAULT_DOMAINS.iter().any(|domain| is_in(host, domain))))
}

/// The server of Vault or OpenBao that the user named, and where.
struct UserServer {
    variable: String,
    address: Option<String>,
}

impl UserServer {
    fn of_environment() -> Self {
        let (variable, address) = vault_address();
        Self { variable, address }
    }
}

/// The stores that files name, as the user reaches them. Not `Debug`.
pub(crate) struct UserStores {
    server: UserServer,
    context: ContextArgs,
    all: Vec<Reached>,
    foreign: ForeignStores,
}

struct Reached {
    store: Store,
    leads: Option<Leads>,
    asking: Asking,
}

impl Reached {
    /// Has the server of Vault asked at the address that the user wrote.
    fn new(store: Store, own: Option<&str>) -> Self {
        let leads = match (store.leads.clone(), own) {
            (Some(Leads::Vault { address, namespace }), Some(own)) if is_same(&address, own) => {
                Some(Leads::Vault { address: own.to_owned(), namespace })
            }
            (leads, _) => leads,
        };
        Self { store, leads, asking: Asking::default() }
    }
}

impl UserStores {
    /// Takes the backends of files, and for references of vals what the user is logged in to.
    pub(super) fn new(stores: Vec<Store>, context: ContextArgs) -> Self {
        let server = UserServer::of_environment();
        let vault = Leads::Vault { address: server.address.clone().unwrap_or_default(), namespace: None };
        let own =
            [(VAULT_OF_THE_USER, vault), (AWS_OF_THE_USER, Leads::Aws { region: None }), (GCP_OF_THE_USER, Leads::Gcp)];
        let own = own.into_iter().map(|(name, leads)| {
            let (kind, dynamic) = (StoreKind::Namespaced, Vec::new());
            Store { kind, name: name.to_owned(), leads: Some(leads), dynamic }
        });
        let all = stores.into_iter().chain(own).map(|store| Reached::new(store, server.address.as_deref())).collect();
        let named = PROVIDERS.into_iter().filter_map(|(form, name)| Some((Form::Vals(form), name.parse().ok()?)));
        let with = |foreign: ForeignStores, (form, name): (Form, StoreName)| foreign.with(form, None, name);
        Self { server, context, all, foreign: named.fold(ForeignStores::default(), with) }
    }

    /// Returns the reference that one of vals is; its store is what the user is logged in to.
    ///
    /// # Errors
    /// Fails if it is not to be read as it stands, or leads to another store.
    pub(super) fn read_foreign(&self, foreign: &Foreign) -> Result<Reference, StoreFault> {
        match self.foreign.read(foreign) {
            Some(mapped) => mapped.map(|mapped| mapped.reference).map_err(StoreFault::Foreign),
            None => Err(match foreign.form {
                Form::Vals(provider) => StoreFault::of_provider(provider),
                Form::ArgocdVaultPlugin => StoreFault::OtherTool { tool: "argocd-vault-plugin".to_owned() },
            }),
        }
    }

    /// Reads a secret. A reference of vals to Vault may leave `data` out, as it does there.
    pub(super) async fn read(&self, stored: &Stored) -> Result<StoredSecret, StoreFault> {
        let version = stored.version.as_ref();
        let (asking, leads) = self.reached(stored)?;
        let read = async |path: &SecretPath| asking.read(leads, &self.context, path, version).await;
        let mut answer = read(&stored.path).await;
        if stored.store.as_str() == VAULT_OF_THE_USER {
            for path in with_data(&stored.path) {
                if !matches!(answer, Err(StoreFault::Store(StoreError::NotASecret { .. }))) {
                    break;
                }
                answer = read(&path).await;
            }
        }
        answer
    }

    /// Finds out which version of a secret there is, without reading it where its store tells that; what is read elsewhere is returned.
    pub(super) async fn look(&self, stored: &Stored) -> Result<Looked, StoreFault> {
        let is_made = self.named(stored).any(|reached| reached.store.makes(&stored.path));
        if is_made && stored.version.is_none() {
            return Ok(Looked::WouldMake);
        }
        let (asking, leads) = self.reached(stored)?;
        asking.look(leads, &self.context, &stored.path, stored.version.as_ref()).await
    }

    fn named(&self, stored: &Stored) -> impl Iterator<Item = &Reached> {
        let is_one =
            |reached: &&Reached| reached.store.kind == stored.kind && reached.store.name == stored.store.as_str();
        self.all.iter().filter(is_one)
    }

    /// Returns the store that a reference leads to. Of several of one name, in several namespaces, those count that the user's credentials may go
    /// to, and they have to lead to one place.
    fn reached(&self, stored: &Stored) -> Result<(&Asking, &Leads), StoreFault> {
        let kind = match stored.kind {
            StoreKind::Namespaced => "SecretBackend",
            StoreKind::Cluster => "ClusterSecretBackend",
        };
        let name = stored.store.as_str();
        let (mut found, mut refused) = (None, None);
        for Reached { leads, asking, .. } in self.named(stored) {
            let Some(leads) = leads else {
                refused.get_or_insert(StoreFault::Elsewhere { kind, name: name.to_owned() });
                continue;
            };
            match (leads.refused(&self.server, kind, name), found) {
                (Some(fault), _) => refused = refused.or(Some(fault)),
                (None, None) => found = Some((asking, leads)),
                (None, Some((_, first))) if first == leads => {}
                (None, Some(_)) => return Err(StoreFault::Ambiguous { kind, name: name.to_owned() }),
            }
        }
        found.ok_or_else(|| refused.unwrap_or(StoreFault::NoBackend { kind, name: name.to_owned() }))
    }
}

/// Returns a reference as the user may have written it.
pub(super) fn shown(reference: &Reference) -> String {
    let text = reference.to_string();
    let behind = |name: &str| text.strip_prefix("ref+store://").and_then(|rest| rest.strip_prefix(name));
    if let Some(rest) = behind(VAULT_OF_THE_USER) {
        return format!("ref+vault:/{rest}");
    }
    if let Some(rest) = behind(AWS_OF_THE_USER) {
        let named = [("/secretsmanager", Provider::AwsSecrets), ("/ssm", Provider::AwsSsm)].into_iter();
        let mut named =
            named.filter_map(|(service, form)| Some(format!("ref+{}:/{}", form.scheme(), rest.strip_prefix(service)?)));
        return named.next().unwrap_or_else(|| text.clone());
    }
    match behind(GCP_OF_THE_USER).and_then(|rest| rest.strip_prefix("/projects")) {
        Some(rest) => format!("ref+{}:/{}", Provider::GcpSecrets.scheme(), rest.replacen("/secrets/", "/", 1)),
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
