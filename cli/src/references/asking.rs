//! One store as the user reaches it: logs in when the first secret of it is asked for, reads secrets, and looks which version there is.
//!
//! Who is asked too often is asked again for a while; one that is away, or lets nobody in, is not asked for the next secret. Not here: which store
//! that is, and where credentials are found (`sealed::services`).

use std::sync::OnceLock;

use kube::Client;
use tokio::sync::OnceCell;
use waxwing::reconcile::ClusterSecrets;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};
use waxwing_keys::service_name::{KUBERNETES, VAULT};
use waxwing_keys::{AwsPath, AwsSecrets, AzureSecrets, GcpSecrets, Newest, StoreError, StoredVersion, VaultSecrets};

use super::fault::StoreFault;
use super::stores::Leads;
use crate::cluster::{ContextArgs, Patience};
use crate::error::with_causes;
use crate::sealed::{aws_secrets, azure_secrets, gcp_secrets, vault_secrets};

/// What a look at a secret brought.
pub(super) enum Looked {
    /// There is this version, which was not read.
    Version(String),
    /// One would be made, so nobody was asked.
    WouldMake,
    /// It had to be read to see it; with its version, where it has any.
    Secret(Option<String>, StoredSecret),
}

/// A store that may not have been asked yet. Not `Debug`.
#[derive(Default)]
pub(super) struct Asking {
    client: OnceCell<Result<StoreClient, StoreFault>>,
    /// Why it is not asked any more; the Parameter Store is another service than the secrets of the same backend.
    closed: OnceLock<StoreFault>,
    closed_for_parameters: OnceLock<StoreFault>,
}

enum StoreClient {
    Vault(VaultSecrets),
    Aws(AwsSecrets),
    Gcp(GcpSecrets),
    Azure(AzureSecrets),
    Kubernetes(Client),
}

impl Asking {
    /// Reads a secret: this version of it, or the newest.
    pub(super) async fn read(
        &self,
        leads: &Leads,
        context: &ContextArgs,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<StoredSecret, StoreFault> {
        let client = self.client(leads, context).await?;
        self.patiently(self.closed(leads, path), async || client.read(path, version).await).await
    }

    /// Finds out which version of a secret there is.
    pub(super) async fn look(
        &self,
        leads: &Leads,
        context: &ContextArgs,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<Looked, StoreFault> {
        let client = self.client(leads, context).await?;
        self.patiently(self.closed(leads, path), async || client.look(path, version).await).await
    }

    async fn client(&self, leads: &Leads, context: &ContextArgs) -> Result<&StoreClient, StoreFault> {
        let client = self.client.get_or_init(|| StoreClient::open(leads, context)).await;
        client.as_ref().map_err(Clone::clone)
    }

    fn closed(&self, leads: &Leads, path: &SecretPath) -> &OnceLock<StoreFault> {
        match leads {
            Leads::Aws { .. } if matches!(AwsPath::of(path), Ok(AwsPath::Parameter(_))) => &self.closed_for_parameters,
            _ => &self.closed,
        }
    }

    async fn patiently<T>(
        &self,
        closed: &OnceLock<StoreFault>,
        ask: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreFault> {
        let patience = Patience::new();
        loop {
            if let Some(fault) = closed.get() {
                return Err(fault.clone());
            }
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let StoreError::Throttled { retry_after, .. } = &error
                && let Some(pause) = patience.pause(*retry_after)
            {
                tokio::time::sleep(pause).await;
                continue;
            }
            let fault = StoreFault::Store(error);
            if fault.closes_the_store() {
                closed.get_or_init(|| fault.clone());
            }
            return Err(fault);
        }
    }
}

impl StoreClient {
    async fn open(leads: &Leads, context: &ContextArgs) -> Result<Self, StoreFault> {
        let opened = match leads {
            Leads::Vault { address, namespace } => vault_secrets(address, namespace.as_deref()).map(Self::Vault),
            Leads::Aws { region } => aws_secrets(region.as_deref()).await.map(Self::Aws),
            Leads::Gcp => gcp_secrets().map(Self::Gcp),
            Leads::Azure { vault } => azure_secrets(vault).map(Self::Azure),
            Leads::Kubernetes => {
                let client = context.client().await.map(Self::Kubernetes);
                return client.map_err(|error| StoreFault::NoCluster { why: with_causes(&error) });
            }
        };
        opened.map_err(|error| StoreFault::Store(error.into()))
    }

    async fn read(&self, path: &SecretPath, version: Option<&Version>) -> Result<StoredSecret, StoreError> {
        match self {
            Self::Vault(vault) => vault.read(path, version).await,
            Self::Aws(aws) => aws.read(path, version).await,
            Self::Gcp(gcp) => gcp.read(path, version).await,
            Self::Azure(vault) => vault.read(path, version).await,
            Self::Kubernetes(_) if version.is_some() => Err(StoreError::NoVersions { service: KUBERNETES }),
            Self::Kubernetes(client) => Ok(ClusterSecrets::as_caller(client).read(path).await?.0),
        }
    }

    async fn look(&self, path: &SecretPath, version: Option<&Version>) -> Result<Looked, StoreError> {
        let told = |newest| match newest {
            Newest::Told { version, .. } => Looked::Version(version.map(text).unwrap_or_default()),
            Newest::Read { version, secret } => Looked::Secret(version.map(text), secret),
        };
        match self {
            Self::Vault(vault) => look_at_vault(vault, path, version).await,
            Self::Aws(aws) => match (aws.newest(path, version).await, version) {
                // AWS keeps versions without a stage for a while, and tells of them only who asks for them.
                (Err(StoreError::NoSuchVersion { .. }), Some(id)) => {
                    let secret = aws.read(path, version).await?;
                    Ok(Looked::Secret(Some(text(id.clone())), secret))
                }
                (newest, _) => newest.map(told),
            },
            Self::Gcp(gcp) => gcp.newest(path, version).await.map(told),
            Self::Azure(vault) => {
                let (version, secret) = vault.read_with_version(path, version).await?;
                Ok(Looked::Secret(Some(text(version)), secret))
            }
            Self::Kubernetes(_) => Ok(Looked::Secret(None, self.read(path, version).await?)),
        }
    }
}

async fn look_at_vault(
    vault: &VaultSecrets,
    path: &SecretPath,
    version: Option<&Version>,
) -> Result<Looked, StoreError> {
    let seen = match version {
        None => vault.newest(path).await?,
        Some(version) => vault.numbered(path, version).await?,
    };
    match seen {
        StoredVersion::Numbered { times, .. } if is_deleted(&times) => Err(StoreError::Deleted { service: VAULT }),
        StoredVersion::Numbered { number, .. } => Ok(Looked::Version(number.to_string())),
        StoredVersion::Unnumbered => Ok(Looked::Secret(None, vault.read(path, version).await?)),
    }
}

fn text(version: Version) -> String {
    version.as_str().to_owned()
}

/// Tells whether the times of a version say that it is gone by now.
fn is_deleted(times: &str) -> bool {
    match times.split_once(" until ") {
        Some((_, until)) => until.parse::<jiff::Timestamp>().is_ok_and(|until| until <= jiff::Timestamp::now()),
        None => times.ends_with(" destroyed"),
    }
}
