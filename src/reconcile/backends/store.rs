//! A store of secrets, as a Sync has it: which versions there are, and the secrets. Each kind of store is a file of its own, and this only
//! chooses among them.

use std::collections::BTreeMap;

use waxwing_formats::reference::{SecretPath, StoredSecret, Version};
use waxwing_keys::{AwsSecrets, AzureSecrets, GcpSecrets, Holder, Newest, StoreError, StoredVersion, VersionedSecret};

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

    /// Reads the newest version of a secret, and returns with it which one that is.
    pub(super) async fn read_newest(&self, path: &SecretPath) -> Result<VersionedSecret, StoreError> {
        let (version, mark, secret) = match self {
            Self::Vault { server, tenant, holder } => match server.read_newest(tenant, holder, path).await? {
                (StoredVersion::Numbered { number, times }, secret) => (Some(numbered(number)?), Some(times), secret),
                (StoredVersion::Unnumbered, secret) => (None, None, secret),
            },
            Self::Aws(aws) => return aws.read_with_version(path, None).await,
            Self::Gcp(gcp) => {
                let (version, secret) = gcp.read_with_version(path, None).await?;
                (Some(version), None, secret)
            }
            Self::Azure(vault) => {
                let (version, secret) = vault.read_with_version(path, None).await?;
                (Some(version), Some(String::new()), secret)
            }
            Self::Kubernetes(secrets) => {
                let (secret, mark) = secrets.read(path).await?;
                (None, Some(mark), secret)
            }
        };
        Ok(VersionedSecret { version, mark, secret })
    }

    /// Returns the newest versions of several secrets, by their place in the list; what is not among them has to be asked for by itself.
    pub(super) async fn newest_of(&self, paths: &[&SecretPath]) -> Result<BTreeMap<usize, Newest>, StoreError> {
        match self {
            Self::Aws(aws) => aws.newest_of(paths).await,
            _ => Ok(BTreeMap::new()),
        }
    }

    /// Reads several secrets with their versions, by their place in the list; what is not among them has to be read by itself.
    pub(super) async fn read_of(
        &self,
        wanted: &[(&SecretPath, Option<&Version>)],
    ) -> Result<BTreeMap<usize, VersionedSecret>, StoreError> {
        match self {
            Self::Aws(aws) => aws.read_of(wanted).await,
            _ => Ok(BTreeMap::new()),
        }
    }
}

fn numbered(number: u64) -> Result<Version, StoreError> {
    number.to_string().parse().map_err(|_| StoreError::Malformed { what: "the number of a version" })
}
