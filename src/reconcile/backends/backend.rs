//! One backend: what it allows, who holds what was unwrapped through it, and the service that it leads to.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use waxwing_formats::DataKey;
use waxwing_formats::reference::{PathPattern, SecretPath, Stored, StoredSecret};
use waxwing_keys::service_name::{AWS_SECRETS, AZURE_KEY_VAULT, GCP_SECRETS, KUBERNETES, VAULT};
use waxwing_keys::{AwsPath, GcpSecrets, Holder, KeyPattern, ServiceError, ServiceKey, StoreError};

use super::aws::Aws;
use super::azure::Azure;
use super::gcp::Gcp;
use super::kubernetes::ClusterSecrets;
use super::pace::Pace;
use super::reader::{Named, Reader, label};
use super::store::Store;
use super::vault::Vault;
use super::vault_leases::{Dynamic, Lease};
use super::{Tenant, Trouble};
use crate::api::{BackendKind, SecretBackendSpec};
use crate::cluster::Session;

/// One backend, with what it logs in with. Not `Debug`.
pub(super) struct Backend {
    pub(super) kind: BackendKind,
    pub(super) name: String,
    pub(super) holder: Holder,
    /// Why it is not asked again in this sync: it is away, or nobody is let in.
    pub(super) closed: OnceLock<ServiceError>,
    /// The same, when it was asked for secrets.
    pub(super) store_closed: OnceLock<StoreError>,
    /// How often it is asked for versions.
    pub(super) refresh: Duration,
    /// How often all Syncs together ask it.
    pub(super) pace: Arc<Pace>,
    allowed: Vec<KeyPattern>,
    allowed_paths: Vec<PathPattern>,
    service: Service,
}

enum Service {
    Vault(Box<Vault>),
    Aws(Box<Aws>),
    Gcp(Box<Gcp>),
    Azure(Box<Azure>),
    Kubernetes,
}

impl Backend {
    pub(super) async fn read(reader: &Reader<'_>) -> Result<Self, Trouble> {
        let Named { uid, generation, spec } = reader.backend().await?;
        let (allowed, allowed_paths) = (reader.patterns(&spec)?, reader.path_patterns(&spec)?);
        let refresh = spec.refresh_interval.get();
        let pace = reader.tenant.job.context.paces.of(&uid, generation, &spec.limits);
        let (service, secret) = Service::read(reader, &spec).await?;
        let holder = Holder {
            tenant: reader.tenant.job.namespace().to_owned(),
            account: reader.tenant.job.account.to_string(),
            backend: uid,
            // Not its resourceVersion, which its status changes too.
            version: [generation.to_string(), secret, reader.tenant.uid.clone()].join(" "),
        };
        let (closed, store_closed) = (OnceLock::new(), OnceLock::new());
        let (kind, name) = (reader.kind, reader.name.to_owned());
        Ok(Self { kind, name, holder, closed, store_closed, refresh, pace, allowed, allowed_paths, service })
    }

    /// Says which backend it is, to somebody who knows of which namespace.
    pub(super) fn label(&self) -> String {
        label(self.kind, &self.name)
    }

    /// Tells whether a Sync in `namespace` may use a key through it.
    pub(super) fn allows(&self, key: &ServiceKey, namespace: &str) -> bool {
        let is_here = match (&self.service, key) {
            (Service::Vault(server), ServiceKey::Vault(key)) => server.has(key),
            (Service::Azure(vault), ServiceKey::Azure(key)) => vault.has(key),
            (Service::Aws(_), ServiceKey::Aws(_)) => true,
            (Service::Gcp(_), ServiceKey::Gcp(key)) => key.is_well_formed(),
            _ => false,
        };
        is_here && self.allowed.iter().any(|pattern| pattern.allows(key, namespace))
    }

    /// Tells whether a Sync in `namespace` may read a secret through it.
    pub(super) fn allows_path(&self, path: &SecretPath, namespace: &str) -> bool {
        self.allowed_paths.iter().any(|pattern| pattern.allows(path, namespace))
    }

    /// Returns the store. A server of Vault logs the tenant in when it is asked; all others have done so by then.
    pub(super) async fn store<'s>(&'s self, tenant: &'s Tenant<'s>) -> Result<Store<'s>, StoreError> {
        Ok(match &self.service {
            Service::Vault(server) => Store::Vault { server, tenant, holder: &self.holder },
            Service::Aws(aws) => Store::Aws(aws.secrets(tenant).await?),
            Service::Gcp(gcp) => Store::Gcp(gcp.secrets(tenant).await?),
            Service::Azure(vault) => Store::Azure(vault.secrets(tenant).await?),
            Service::Kubernetes => {
                let Session { client, identity, .. } = &tenant.session;
                Store::Kubernetes(ClusterSecrets { client, identity })
            }
        })
    }

    /// Returns what keeps the secret that a path leads to.
    pub(super) fn keeper(&self, path: &SecretPath) -> &'static str {
        match &self.service {
            Service::Vault(_) => VAULT,
            Service::Aws(_) => AwsPath::of(path).map_or(AWS_SECRETS, |path| path.service()),
            Service::Gcp(_) => GCP_SECRETS,
            Service::Azure(_) => AZURE_KEY_VAULT,
            Service::Kubernetes => KUBERNETES,
        }
    }

    /// Tells whether a reference names a version that stays the same for ever.
    pub(super) fn is_fixed(&self, stored: &Stored) -> bool {
        stored.version.as_ref().is_some_and(|version| match &self.service {
            Service::Vault(_) | Service::Azure(_) => true,
            Service::Aws(_) => AwsPath::of(&stored.path).is_ok_and(|path| !path.may_move(version)),
            Service::Gcp(_) => !GcpSecrets::may_move(version),
            Service::Kubernetes => false,
        })
    }

    /// Returns how many secrets one request asks for: of their versions, and of themselves.
    pub(super) fn at_once(&self, stored: &Stored) -> (usize, usize) {
        match (&self.service, &stored.version) {
            (Service::Aws(_), None) => AwsPath::of(&stored.path).map_or((1, 1), |path| path.at_once()),
            _ => (1, 1),
        }
    }

    /// Returns what it says of a path at which the store makes secrets; nothing of any other.
    pub(super) fn makes(&self, path: &SecretPath, namespace: &str) -> Option<(&Vault, &Dynamic)> {
        match &self.service {
            Service::Vault(server) => server.makes(path, namespace).map(|dynamic| (&**server, dynamic)),
            Service::Aws(_) | Service::Gcp(_) | Service::Azure(_) | Service::Kubernetes => None,
        }
    }

    /// Has the store make a secret.
    pub(super) async fn issue(
        &self,
        tenant: &Tenant<'_>,
        path: &SecretPath,
    ) -> Result<(StoredSecret, Lease), StoreError> {
        let (server, dynamic) =
            self.makes(path, tenant.job.namespace()).ok_or(StoreError::Malformed { what: "spec.vault.dynamic" })?;
        server.issue(tenant, &self.holder, path, dynamic).await
    }

    /// Renews a lease of a secret that the store made; tells whether that was worth it.
    pub(super) async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        match &self.service {
            Service::Vault(server) => server.renew(lease).await,
            Service::Aws(_) | Service::Gcp(_) | Service::Azure(_) | Service::Kubernetes => Ok(false),
        }
    }

    /// Says which place a version of a secret is of, whatever the backend is called: another place has another secret of that path.
    pub(super) fn place(&self) -> String {
        match &self.service {
            Service::Vault(server) => server.place(),
            Service::Aws(aws) => aws.place(),
            Service::Azure(vault) => vault.place(),
            // Its paths say the project, of which there is one of each name.
            Service::Gcp(_) => String::new(),
            // It has no version that stays the same.
            Service::Kubernetes => String::new(),
        }
    }

    /// Tells whether somebody logs in there, as himself to the service and not to the cluster.
    pub(super) const fn has_logins(&self) -> bool {
        !matches!(self.service, Service::Kubernetes)
    }

    /// Returns when the token ends that the tenant has by now, if it is known to.
    pub(super) async fn token_expires_at(&self) -> Option<Timestamp> {
        match &self.service {
            Service::Vault(server) => server.token_expires_at().await,
            Service::Aws(_) | Service::Gcp(_) | Service::Azure(_) | Service::Kubernetes => None,
        }
    }

    /// Says what can be done when this service does not let `account` in.
    pub(super) fn login_hint(&self, service: &str, account: &str) -> String {
        match &self.service {
            Service::Vault(server) => server.hint(account),
            Service::Aws(_) | Service::Gcp(_) | Service::Azure(_) | Service::Kubernetes => format!(
                "see that {service} lets in what spec of {} logs in with, and that ServiceAccount {account} may create tokens of itself where \
                 that takes one",
                self.label()
            ),
        }
    }

    pub(super) async fn unwrap(
        &self,
        tenant: &Tenant<'_>,
        key: &ServiceKey,
        enc: &str,
    ) -> Result<DataKey, ServiceError> {
        match (&self.service, key) {
            (Service::Vault(server), ServiceKey::Vault(key)) => server.unwrap(tenant, &self.holder, key, enc).await,
            (Service::Aws(aws), ServiceKey::Aws(key)) => aws.unwrap(tenant, key, enc).await,
            (Service::Gcp(gcp), ServiceKey::Gcp(key)) => gcp.unwrap(tenant, key, enc).await,
            (Service::Azure(vault), ServiceKey::Azure(key)) => vault.unwrap(tenant, key, enc).await,
            _ => Err(ServiceError::Malformed { what: "the key, which is of another service," }),
        }
    }

    /// Unwraps several data keys of one key of a transit engine by one request, and returns what came of each.
    pub(super) async fn unwrap_several(
        &self,
        tenant: &Tenant<'_>,
        key: &ServiceKey,
        encs: &[&str],
    ) -> Result<Vec<Result<DataKey, ServiceError>>, ServiceError> {
        match (&self.service, key) {
            (Service::Vault(server), ServiceKey::Vault(key)) => {
                server.unwrap_several(tenant, &self.holder, key, encs).await
            }
            _ => Err(ServiceError::Malformed { what: "the key, which is of another service," }),
        }
    }
}

impl Service {
    /// Makes the service of a spec, with the version of the Secret that it logs in with, empty where there is none.
    async fn read(reader: &Reader<'_>, spec: &SecretBackendSpec) -> Result<(Self, String), Trouble> {
        let SecretBackendSpec { vault, aws, gcp, azure, kubernetes, .. } = spec;
        match (vault, aws, gcp, azure, kubernetes) {
            (Some(vault), None, None, None, None) => {
                let (server, version) = Vault::read(reader, vault).await?;
                Ok((Self::Vault(Box::new(server)), version))
            }
            (None, Some(aws), None, None, None) => {
                Aws::read(reader, aws).await.map(|(aws, version)| (Self::Aws(Box::new(aws)), version))
            }
            (None, None, Some(gcp), None, None) => {
                let (gcp, version) = Gcp::read(reader, gcp).await?;
                Ok((Self::Gcp(Box::new(gcp)), version))
            }
            (None, None, None, Some(azure), None) => {
                let (vault, version) = Azure::read(reader, azure).await?;
                Ok((Self::Azure(Box::new(vault)), version))
            }
            (None, None, None, None, Some(_)) => Ok((Self::Kubernetes, String::new())),
            _ => Err(reader.incomplete("spec")),
        }
    }
}
