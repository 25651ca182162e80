//! A Vault or OpenBao server as a backend names it, and the connections that are made to it.

use waxwing_formats::SecretBytes;
use waxwing_keys::{
    Patience, Proxies, ServiceClient, ServiceError, VaultAccess, VaultLeases, VaultSecrets, VaultTransit,
};

use crate::api::VaultBackend;

/// Where a server is, and as whom connections are made to it. Not `Debug`.
pub(super) struct Server {
    address: String,
    namespace: Option<String>,
    authorities: Option<String>,
    /// A certificate and its private key (PEM).
    identity: Option<SecretBytes>,
}

/// Connections to one server, which are closed when nobody has them any more.
pub(super) struct Connections<'a> {
    server: &'a Server,
    client: ServiceClient,
}

impl Server {
    pub(super) fn new(spec: &VaultBackend, identity: Option<SecretBytes>) -> Self {
        let VaultBackend { address, namespace, ca_bundle, .. } = spec;
        Self { address: address.clone(), namespace: namespace.clone(), authorities: ca_bundle.clone(), identity }
    }

    /// Returns the same server, to which connections are made as a stranger: what keeps it for longer keeps no private key.
    pub(super) fn for_strangers(&self) -> Self {
        let Self { address, namespace, authorities, .. } = self;
        Self {
            address: address.clone(),
            namespace: namespace.clone(),
            authorities: authorities.clone(),
            identity: None,
        }
    }

    /// Says which server and which part of it that is.
    pub(super) fn place(&self) -> String {
        format!("{} {}", self.address, self.namespace.as_deref().unwrap_or_default())
    }

    /// Makes connections of their own. A token of this cluster goes to no proxy.
    pub(super) fn connect(&self, patience: Patience) -> Result<Connections<'_>, ServiceError> {
        let authorities = self.authorities.as_deref().map(str::as_bytes);
        let malformed = |what| move |_| ServiceError::Malformed { what };
        let client = ServiceClient::new(authorities, Proxies::None, patience);
        let client = match &self.identity {
            None => client,
            Some(_) if client.is_err() => client,
            Some(identity) => Ok(ServiceClient::identified(authorities, Some(identity), Proxies::None, patience)
                .map_err(malformed("the certificate or the private key in the Secret of spec.vault.auth.cert"))?),
        };
        Ok(Connections { server: self, client: client.map_err(malformed("spec.vault.caBundle"))? })
    }
}

impl Connections<'_> {
    /// Returns what asks the server, with a token or as a stranger.
    pub(super) fn transit(&self, token: Option<SecretBytes>) -> Result<VaultTransit, ServiceError> {
        VaultTransit::new(self.client.clone(), &self.server.address, &self.access(token))
    }

    /// Asks whether the server answers.
    pub(super) async fn check_health(&self) -> Result<(), ServiceError> {
        // What answers that is the server itself, not one of its namespaces.
        let access = VaultAccess { token: None, namespace: None };
        VaultTransit::new(self.client.clone(), &self.server.address, &access)?.check_health().await
    }

    /// Returns what reads secrets of the server.
    pub(super) fn secrets(&self, token: Option<SecretBytes>) -> Result<VaultSecrets, ServiceError> {
        VaultSecrets::new(self.client.clone(), &self.server.address, &self.access(token))
    }

    /// Returns what has secrets made at the server, with the token that is to carry their leases.
    pub(super) fn leases(&self, token: SecretBytes) -> Result<VaultLeases, ServiceError> {
        VaultLeases::new(self.client.clone(), &self.server.address, &self.access(Some(token)))
    }

    fn access(&self, token: Option<SecretBytes>) -> VaultAccess {
        VaultAccess { token, namespace: self.server.namespace.clone() }
    }
}
