//! A Vault or OpenBao server: a Sync logs in there when the first key or secret is asked for, or uses the login that its ServiceAccount has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::Mutex;
use waxwing_formats::reference::{SecretPath, StoredSecret, Version};
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::{Holder, Origin, ServiceError, StoreError, StoredVersion, VaultKey, VaultSecrets, VaultTransit};

use super::logins::Token;
use super::reader::Reader;
use super::vault_leases::Dynamic;
use super::vault_login::{Login, Read};
use super::vault_server::Server;
use super::{PATIENCE, Tenant, Trouble};
use crate::api::VaultBackend;

/// The server. Not `Debug`.
pub(super) struct Vault {
    origin: Origin,
    pub(super) login: Login,
    pub(super) server: Arc<Server>,
    /// At which paths it makes secrets.
    pub(super) dynamic: Vec<Dynamic>,
    /// When this sync began to use it.
    began: Instant,
    /// What this sync asks with, or why it can't.
    current: Mutex<Option<Result<Arc<LoggedIn>, ServiceError>>>,
}

/// The server, with a token.
struct LoggedIn {
    transit: VaultTransit,
    secrets: VaultSecrets,
    /// The token, if it is of a login of ours.
    token: Option<Arc<Token>>,
}

impl Vault {
    pub(super) async fn read(reader: &Reader<'_>, spec: &VaultBackend) -> Result<(Self, String), Trouble> {
        let origin = reader.origin(&spec.address)?;
        let Read { login, identity, version } = Login::read(reader, &spec.auth).await?;
        let server = Arc::new(Server::new(spec, identity));
        let dynamic = Dynamic::read(reader, &spec.dynamic)?;
        Ok((Self { origin, login, server, dynamic, began: Instant::now(), current: Mutex::default() }, version))
    }

    /// Tells whether a key is one of this server.
    pub(super) fn has(&self, key: &VaultKey) -> bool {
        key.address.parse().as_ref() == Ok(&self.origin)
    }

    /// Says which server that is.
    pub(super) fn place(&self) -> String {
        self.server.place()
    }

    /// Returns when the token ends that this sync asks with, if it is known to.
    pub(super) async fn token_expires_at(&self) -> Option<Timestamp> {
        let current = self.current.lock().await;
        current.as_ref()?.as_ref().ok()?.token.as_ref()?.expires_at()
    }

    /// Says what can be done when the server does not let `account` in.
    pub(super) fn hint(&self, account: &str) -> String {
        self.login.hint(account)
    }

    pub(super) async fn unwrap(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        key: &VaultKey,
        enc: &str,
    ) -> Result<DataKey, ServiceError> {
        let server = self.logged_in(tenant, holder).await?;
        let answer = server.transit.unwrap(key, enc).await;
        let is_denied = answer.as_ref().is_err_and(ServiceError::is_denied);
        match self.logged_in_anew(tenant, holder, &server, is_denied).await {
            None => answer,
            Some(server) => server?.transit.unwrap(key, enc).await,
        }
    }

    /// Unwraps several data keys of one key by one request, and returns what came of each.
    pub(super) async fn unwrap_several(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        key: &VaultKey,
        encs: &[&str],
    ) -> Result<Vec<Result<DataKey, ServiceError>>, ServiceError> {
        let server = self.logged_in(tenant, holder).await?;
        let answer = server.transit.unwrap_several(key, encs).await;
        let is_denied = answer.as_ref().is_err_and(ServiceError::is_denied);
        match self.logged_in_anew(tenant, holder, &server, is_denied).await {
            None => answer,
            Some(server) => server?.transit.unwrap_several(key, encs).await,
        }
    }

    /// Returns the newest version of a secret.
    pub(super) async fn newest(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        path: &SecretPath,
    ) -> Result<StoredVersion, StoreError> {
        let server = self.logged_in(tenant, holder).await?;
        let answer = server.secrets.newest(path).await;
        let is_denied = answer.as_ref().is_err_and(StoreError::is_denied);
        match self.logged_in_anew(tenant, holder, &server, is_denied).await {
            None => answer,
            Some(server) => server?.secrets.newest(path).await,
        }
    }

    /// Reads a secret, of this version or the newest.
    pub(super) async fn read_secret(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        path: &SecretPath,
        version: Option<&Version>,
    ) -> Result<StoredSecret, StoreError> {
        let server = self.logged_in(tenant, holder).await?;
        let answer = server.secrets.read(path, version).await;
        let is_denied = answer.as_ref().is_err_and(StoreError::is_denied);
        match self.logged_in_anew(tenant, holder, &server, is_denied).await {
            None => answer,
            Some(server) => server?.secrets.read(path, version).await,
        }
    }

    /// Reads the newest version of a secret, and returns with it which one that is.
    pub(super) async fn read_newest(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        path: &SecretPath,
    ) -> Result<(StoredVersion, StoredSecret), StoreError> {
        let server = self.logged_in(tenant, holder).await?;
        let answer = server.secrets.read_newest(path).await;
        let is_denied = answer.as_ref().is_err_and(StoreError::is_denied);
        match self.logged_in_anew(tenant, holder, &server, is_denied).await {
            None => answer,
            Some(server) => server?.secrets.read_newest(path).await,
        }
    }

    async fn logged_in(&self, tenant: &Tenant<'_>, holder: &Holder) -> Result<Arc<LoggedIn>, ServiceError> {
        let mut current = self.current.lock().await;
        if let Some(known) = &*current {
            return known.clone();
        }
        let server = Box::pin(self.log_in(tenant, holder)).await;
        *current = Some(server.clone());
        server
    }

    /// Returns the server with another token, where that one was not let in and has ended, or is older than this sync: it may have been
    /// ended, or be of before a change of its role.
    async fn logged_in_anew(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        used: &Arc<LoggedIn>,
        is_denied: bool,
    ) -> Option<Result<Arc<LoggedIn>, ServiceError>> {
        if !is_denied {
            return None;
        }
        let mut current = self.current.lock().await;
        match &*current {
            Some(Ok(other)) if Arc::ptr_eq(other, used) => {}
            Some(other) => return Some(other.clone()),
            None => {}
        }
        let token = used.token.as_ref().filter(|token| token.is_over() || !token.is_newer_than(self.began))?;
        tenant.job.context.logins.lose(token);
        let server = Box::pin(self.log_in(tenant, holder)).await;
        *current = Some(server.clone());
        Some(server)
    }

    async fn log_in(&self, tenant: &Tenant<'_>, holder: &Holder) -> Result<Arc<LoggedIn>, ServiceError> {
        let (secret, token) = match &self.login {
            Login::Token(token) => (SecretBytes::concat(&[token.expose_secret()]), None),
            login => {
                let is_kept = AtomicBool::new(true);
                let log_in = || {
                    is_kept.store(false, Ordering::Relaxed);
                    login.log_in(tenant, &self.server, holder)
                };
                let token = tenant.job.context.logins.token(holder, &self.server, log_in).await?;
                tenant.job.context.metrics.was_kept("token", is_kept.into_inner().into());
                (token.secret(), Some(token))
            }
        };
        let connections = self.server.connect(PATIENCE)?;
        let transit = connections.transit(Some(SecretBytes::concat(&[secret.expose_secret()])))?;
        let secrets = connections.secrets(Some(secret))?;
        Ok(Arc::new(LoggedIn { transit, secrets, token }))
    }
}
