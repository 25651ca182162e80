//! Follows the metadata of Secrets, to see which of those that SealedSecrets made were written over or deleted.
//!
//! Metadata only, and what has nothing to do with a SealedSecret is not kept. Where the controller may not watch Secrets, they are
//! looked at one by one when their SealedSecret is.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::object::SealedSecret;
use super::ownership::{concerns_sealed_secrets, is_made_again};
use crate::cluster::{Reach, code_of_watch, drop_copies, pages, watching};

/// Something happened to a Secret; the SealedSecret is the one of its name, whether there is one or not.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) sealed_secret: ObjectRef<SealedSecret>,
    /// Whether it is gone, and nobody has a right to expect it again.
    pub(super) given_up: bool,
}

/// The Secrets that have to do with SealedSecrets.
pub(super) struct Secrets {
    /// As JSON, since what is kept of all of them is looked at for one at a time.
    known: RwLock<HashMap<ObjectRef<SealedSecret>, Arc<str>>>,
    touched: mpsc::UnboundedSender<Touched>,
}

impl Secrets {
    pub(super) fn new(touched: mpsc::UnboundedSender<Touched>) -> Self {
        Self { known: RwLock::default(), touched }
    }

    /// Returns the metadata of the Secret of a SealedSecret's name, as far as it is known.
    pub(super) fn get(&self, of: &ObjectRef<SealedSecret>) -> Option<ObjectMeta> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(of).cloned()?;
        read(&known)
    }

    /// Follows until it is dropped; `filled` is cancelled once every namespace was listed, or can't be.
    pub(super) async fn follow(&self, client: &Client, reach: &Reach, filled: CancellationToken) {
        let places: Vec<Option<&str>> = reach.namespaces();
        let (answered, mut answers) = mpsc::unbounded_channel();
        let watches = places.iter().map(|namespace| {
            let api = match namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            self.watch(api, *namespace, answered.clone())
        });
        let all_answered = async {
            for _ in 0..places.len() {
                answers.recv().await;
            }
            filled.cancel();
            std::future::pending::<()>().await;
        };
        futures::future::join(futures::future::join_all(watches), all_answered).await;
    }

    async fn watch(
        &self,
        api: Api<PartialObjectMeta<Secret>>,
        namespace: Option<&str>,
        answered: mpsc::UnboundedSender<()>,
    ) {
        let mut events = pin!(watching(api, pages()));
        let (mut listed, mut first) = (HashSet::new(), Some(answered));
        let mut tell = || first.take().map(|answered| answered.send(()));
        let mut is_forbidden = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let is_whole = matches!(event, Event::InitDone);
                    self.take(event, namespace, &mut listed);
                    if is_whole {
                        is_forbidden = false;
                        tell();
                    }
                }
                Err(error) => {
                    if code_of_watch(&error) == Some(403) && !std::mem::replace(&mut is_forbidden, true) {
                        tracing::warn!(
                            namespace,
                            "the controller may not watch Secrets, so those of SealedSecrets are not put back when others change them"
                        );
                    }
                    tell();
                }
            }
        }
    }

    fn take(
        &self,
        event: Event<PartialObjectMeta<Secret>>,
        namespace: Option<&str>,
        listed: &mut HashSet<ObjectRef<SealedSecret>>,
    ) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(secret) => {
                listed.insert(name(&secret.metadata));
                self.put(secret.metadata);
            }
            Event::InitDone => self.drop_all_but(listed, namespace),
            Event::Apply(secret) => self.put(secret.metadata),
            Event::Delete(secret) => self.remove(&name(&secret.metadata), Some(&secret.metadata)),
        }
    }

    fn put(&self, mut secret: ObjectMeta) {
        let name = name(&secret);
        drop_copies(&mut secret);
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            match concerns_sealed_secrets(&secret) {
                true => drop(known.insert(name.clone(), written(&secret))),
                false => drop(known.remove(&name)),
            }
        }
        self.tell(name, false);
    }

    fn remove(&self, name: &ObjectRef<SealedSecret>, last: Option<&ObjectMeta>) {
        let known = self.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let known = known.as_deref().and_then(read);
        let is_expected = last.or(known.as_ref()).is_some_and(is_made_again);
        self.tell(name.clone(), !is_expected);
    }

    /// Forgets what a whole list of a namespace, or of all, does not have.
    fn drop_all_but(&self, listed: &HashSet<ObjectRef<SealedSecret>>, namespace: Option<&str>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_here =
            |name: &&ObjectRef<SealedSecret>| namespace.is_none_or(|here| name.namespace.as_deref() == Some(here));
        let gone: Vec<_> = known.keys().filter(is_here).filter(|name| !listed.contains(*name)).cloned().collect();
        drop(known);
        gone.iter().for_each(|name| self.remove(name, None));
    }

    fn tell(&self, sealed_secret: ObjectRef<SealedSecret>, given_up: bool) {
        // The receiver lives as long as SealedSecrets are reconciled.
        let _ = self.touched.send(Touched { sealed_secret, given_up });
    }
}

/// Returns the name that a SealedSecret and its Secret have in common.
pub(super) fn name(of: &ObjectMeta) -> ObjectRef<SealedSecret> {
    let name = ObjectRef::new(of.name.as_deref().unwrap_or_default());
    name.within(of.namespace.as_deref().unwrap_or_default())
}

fn written(secret: &ObjectMeta) -> Arc<str> {
    // There are strings and numbers only: nothing in it can fail to be written, or to be read again.
    serde_json::to_string(secret).unwrap_or_default().into()
}

fn read(known: &str) -> Option<ObjectMeta> {
    serde_json::from_str(known).ok()
}
