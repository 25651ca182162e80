//! The cluster's sealing keys: finds, creates and re-reads the labelled Secrets, and hands out the one keyring.
//!
//! The Secrets are those of the Sealed Secrets controller (type `kubernetes.io/tls`, label
//! `sealedsecrets.bitnami.com/sealed-secrets-key: active`, `pkg/controller/keys.go` of sealed-secrets 0.40), so that an
//! existing cluster can be taken over and given back. Private-key operations live in `waxwing-keys`.

mod key_secrets;
mod patience;
mod renewal;
mod salt;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use waxwing_formats::sealed_secret::Fingerprint;
use waxwing_keys::Keyring;

use crate::cluster::secrets::SecretError;
use crate::cluster::{CallError, Fence, watching};
use key_secrets::Found;
use patience::patiently;

pub use salt::installation_salt;
pub use settings::{KeyOrder, KeyPlace, KeySettings, NewKey};

/// Why there are no sealing keys.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The key Secrets can't be listed.
    #[error("failed to list the sealing keys in namespace {namespace}")]
    List {
        /// The controller's namespace.
        namespace: String,
        /// What the API server said.
        source: CallError,
    },
    /// A Secret of this installation can't be read.
    #[error("failed to read a Secret of this installation")]
    Read(#[source] SecretError),
    /// A new Secret can't be created.
    #[error("failed to create a Secret in namespace {namespace}")]
    Create {
        /// The controller's namespace.
        namespace: String,
        /// What the API server said.
        source: CallError,
    },
    /// No key could be made.
    #[error("failed to make a sealing key")]
    Generate(#[source] waxwing_keys::KeyError),
    /// Only the controller that leads makes what an installation begins with.
    #[error("the Secrets of this installation are not there, and this controller doesn't lead, so it makes none")]
    Awaited,
    /// The Secret that holds the installation's salt is damaged.
    #[error("Secret {namespace}/{name} does not hold 32 bytes under {key}")]
    Salt {
        /// The controller's namespace.
        namespace: String,
        /// The Secret's name.
        name: &'static str,
        /// The Secret's key.
        key: &'static str,
    },
}

impl SealingError {
    /// Tells whether the same may work in a moment: not where the controller's credentials are refused.
    fn passes(&self) -> bool {
        match self {
            Self::List { source, .. } | Self::Create { source, .. } | Self::Read(SecretError::Call { source, .. }) => {
                source.code() != Some(401) && source.passes().is_some()
            }
            Self::Awaited => true,
            _ => false,
        }
    }
}

/// The sealing keys as they are now.
pub struct Keys {
    client: Client,
    settings: KeySettings,
    fence: Arc<Fence>,
    /// A key is to be made that this controller would have made at its start if it had led then.
    is_owed: bool,
    ring: watch::Sender<Arc<Keyring>>,
    names: RwLock<HashMap<Fingerprint, String>>,
}

impl Keys {
    /// Reads the keys, and makes one where there is none or the newest is older than it may be at a start, if `fence` lets it. While the
    /// API server is away, and while there is none and this controller may not make one, it waits.
    ///
    /// # Errors
    ///
    /// See [`SealingError`]. A malformed key Secret is logged and skipped, not an error.
    pub async fn load_or_create(
        client: Client,
        settings: KeySettings,
        fence: Arc<Fence>,
    ) -> Result<Self, SealingError> {
        let filled = async || {
            let found = key_secrets::load(&client, &settings).await?;
            match settings.needs_key_at_start(&found.ring) {
                true if fence.lets_through() => {
                    key_secrets::create(&client, &settings).await?;
                    Ok((key_secrets::load(&client, &settings).await?, false))
                }
                true if found.ring.newest_since().is_none() => Err(SealingError::Awaited),
                is_owed => Ok((found, is_owed)),
            }
        };
        // Whether a key was made whose answer got lost, it sees then.
        let (Found { ring, names }, is_owed) = patiently(filled).await?;
        let (ring, names) = (watch::Sender::new(Arc::new(ring)), RwLock::new(names));
        Ok(Self { client, settings, fence, is_owed, ring, names })
    }

    /// Returns the keys as they were read last.
    pub fn ring(&self) -> Arc<Keyring> {
        self.ring.borrow().clone()
    }

    /// Returns the Secret that a key was read from last.
    pub fn secret_of(&self, key: &Fingerprint) -> Option<String> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Returns what tells when the keys were read again.
    pub fn changes(&self) -> watch::Receiver<Arc<Keyring>> {
        self.ring.subscribe()
    }

    /// Returns how many private-key operations there were since the start.
    pub fn operations(&self) -> u64 {
        self.ring.borrow().operations()
    }

    /// Returns the certificate to seal with: that of the newest key.
    pub fn certificate_pem(&self) -> Option<String> {
        self.ring().certificate_pem().map(str::to_owned)
    }

    /// Reads the keys again whenever one of the labelled Secrets changes; runs until it is dropped.
    pub async fn follow(&self) {
        let secrets: Api<PartialObjectMeta<Secret>> =
            Api::namespaced(self.client.clone(), &self.settings.place.namespace);
        let labelled = watcher::Config::default().labels(key_secrets::ACTIVE);
        let changes = watching(secrets, labelled).touched_objects();
        let load = async || key_secrets::load(&self.client, &self.settings).await;
        let reload = changes.map_err(|_| ()).for_each(async |_| match patiently(load).await {
            Ok(found) => self.replace(found),
            Err(error) => tracing::warn!(%error, "failed to read the sealing keys again; the old ones stay"),
        });
        reload.await;
    }

    /// Uses other keys from now on; whoever waits for a change hears of one only if there is one.
    fn replace(&self, Found { ring, names }: Found) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        self.ring.send_if_modified(|current| {
            let is_other = !ring.fingerprints().eq(current.fingerprints())
                || ring.certificate_pem() != current.certificate_pem()
                || ring.newest_since() != current.newest_since();
            if is_other {
                *current = Arc::new(ring.counting_on(current));
            }
            is_other
        });
    }
}
