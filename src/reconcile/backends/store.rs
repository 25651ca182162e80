//! A store of secrets, as a Sync has it: which versions there are, and the secrets. Each kind of store is a file of its own, and this only
//! chooses among them.

use std::collections::BTreeMap;

use waxwing_formats::reference::{SecretPath, StoredSecret, Version};
use waxwing_keys::{AwsSecrets, AzureSecrets, GcpSecrets, Holder, Newest, StoreError, StoredVersion};

use super::Tenant;
use super::kubernetes::ClusterSecrets;
use super::vault::Vault;

/// A store, for as long as a sync lasts. Not `Debug`.
pub(super) enum Store<'a> {
    /// It logs in itself, and once more where a login ended.
    Vault {
        server: &'a Vault,
        tenant: &'a Tenant<'a>,
        holder: &'a Holder,
    },
    Aws(&'a AwsSecrets),
    Gcp(&'a GcpSecrets),
    Azure(&'a AzureSecrets),
    Kubernetes(ClusterSecrets<'a>),
}

impl Store<'_> {
    /// Returns which version of a secret there is; nothing where it has to be read to see whether it is another one.
    pub(super) async fn newest(
        &self,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<Option<Newest>, StoreError> {
        match self {
            Self::Vault { server, tenant, holder } => match server.newest(tenant, holder, path).await? {
                StoredVersion::Numbered { number, times } => {
                    Ok(Some(Newest::Told { version: Some(numbered(number)?), mark: times }))
                }
                StoredVersion::Unnumbered => Ok(None),
            },
            Self::Aws(aws) => aws.newest(path, version).await.map(Some),
            Self::Gcp(gcp) => gcp.newest(path, version).await.map(Some),
            Self::Azure(vault) => vault.newest(path).await.map(Some),
            Self::Kubernetes(secrets) => secrets.newest(path, version).await.map(Some),
        }
    }

    /// Reads a secret; returns with it which version it is, empty where the store has none.
    pub(super) async fn read(
        &self,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<(StoredSecret, String), StoreError> {
        let secret = match self {
            Self::Vault { server, tenant, holder } => server.read_secret(tenant, holder, path, version).await?,
            Self::Aws(aws) => aws.read(path, version).await?,
            Self::Gcp(gcp) => gcp.read(path, version).await?,
            Self::Azure(vault) => vault.read(path, version).await?,
            Self::Kubernetes(secrets) => return secrets.read(path).await,
        };
        Ok((secret, version.map(|version| version.as_str().to_owned()).unwrap_or_default()))
    }

    /// Reads the newest version of a secret, and returns with it which one that is; nothing of a store where that is two questions.
    pub(super) async fn read_newest(&self, path: &SecretPath) -> Result<Option<Current>, StoreError> {
        let Self::Vault { server, tenant, holder } = self else { return Ok(None) };
        let (version, secret) = server.read_newest(tenant, holder, path).await?;
        Ok(Some(match version {
            StoredVersion::Numbered { number, times } => {
                Current { version: Some(numbered(number)?), mark: Some(times), secret }
            }
            StoredVersion::Unnumbered => Current { version: None, mark: None, secret },
        }))
    }

    /// Returns the newest versions of several secrets, by their place in the list; what is not among them has to be asked for by itself.
    pub(super) async fn newest_of(&self, paths: &[&SecretPath]) -> Result<BTreeMap<usize, Newest>, StoreError> {
        match self {
            Self::Aws(aws) => aws.newest_of(paths).await,
            _ => Ok(BTreeMap::new()),
        }
    }

    /// Reads several secrets, by their place in the list; what is not among them has to be read by itself.
    pub(super) async fn read_of(
        &self,
        wanted: &[(&SecretPath, Option<&Version>)],
    ) -> Result<BTreeMap<usize, StoredSecret>, StoreError> {
        match self {
            Self::Aws(aws) => aws.read_of(wanted).await,
            _ => Ok(BTreeMap::new()),
        }
    }
}

/// A secret with which version of it that is. Not `Debug`.
pub(super) struct Current {
    /// What it is read by; none of a store that keeps no versions.
    pub(super) version: Option<Version>,
    /// What tells the version from another of the same name; where there is none, only the secret does.
    pub(super) mark: Option<String>,
    pub(super) secret: StoredSecret,
}

fn numbered(number: u64) -> Result<Version, StoreError> {
    number.to_string().parse().map_err(|_| StoreError::Malformed { what: "the number of a version" })
}
