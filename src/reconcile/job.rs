//! One Sync's reconcile: what it is about and as whom it acts.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use waxwing_plan::OwnerMark;

use super::context::Context;
use super::trouble::Trouble;
use crate::api::{Reason, Sync};
use crate::cluster::inventory::SyncId;
use crate::cluster::{self, Identity, ServiceAccount};

/// How long it counts, for the revision that is being sent, that a ServiceAccount was seen. The API server itself takes a token for
/// good for longer than that after its ServiceAccount is gone.
const SEEN_LASTS: Duration = Duration::from_secs(5);

/// The ServiceAccounts that exist, and when that was seen for which revision: a thousand Syncs send one at once, and each new one
/// is sent by those only that are there by then.
#[derive(Default)]
pub struct Accounts(Mutex<HashMap<(ServiceAccount, String), Instant>>);

impl Accounts {
    fn is_seen(&self, sender: &(ServiceAccount, String)) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(sender).is_some_and(|at| at.elapsed() < SEEN_LASTS)
    }

    fn note(&self, sender: (ServiceAccount, String)) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| at.elapsed() < SEEN_LASTS);
        seen.insert(sender, Instant::now());
    }
}

/// One Sync's reconcile.
pub struct Job<'a> {
    /// What every reconcile needs.
    pub context: &'a Context,
    /// The Sync.
    pub sync: &'a Sync,
    /// Its identity, as marks and inventories have it.
    pub id: SyncId,
    /// As whom everything that it names is read and done.
    pub account: ServiceAccount,
    /// When this reconcile began.
    pub began: Instant,
    /// When nothing further is sent; what came of the rest is still written down.
    pub deadline: Instant,
    /// Set when an object was there that was taken for absent: then each object is asked for.
    pub look_closely: AtomicBool,
    /// The span of this reconcile, which gets the revision once that is known.
    pub span: tracing::Span,
}

impl<'a> Job<'a> {
    /// Starts a reconcile.
    ///
    /// # Errors
    ///
    /// Refuses a ServiceAccount name that can't be one.
    pub fn new(context: &'a Context, sync: &'a Sync) -> Result<Self, Trouble> {
        let namespace = sync.namespace().unwrap_or_default();
        let account = ServiceAccount::new(&namespace, sync.spec.service_account()).map_err(|error| {
            Trouble::lasting(Reason::ServiceAccountNotFound, error, "correct spec.serviceAccountName")
        })?;
        let mark = OwnerMark::new(namespace, sync.name_any());
        let id = SyncId { mark, uid: sync.uid().unwrap_or_default() };
        let began = Instant::now();
        let deadline = began + sync.spec.timeout.get();
        let (span, look_closely) = (tracing::Span::current(), AtomicBool::new(false));
        Ok(Self { context, sync, id, account, began, deadline, look_closely, span })
    }

    /// Returns the Sync's namespace.
    pub fn namespace(&self) -> &str {
        self.account.namespace()
    }

    /// Returns the identity of the tenant.
    pub fn identity(&self) -> Identity {
        Identity::Tenant(self.account.clone())
    }

    /// Makes sure that the tenant's ServiceAccount exists before it sends a revision; impersonation itself would not notice.
    ///
    /// # Errors
    ///
    /// Fails when it doesn't, or the API server doesn't answer.
    pub async fn check_account(&self, revision: &str) -> Result<(), Trouble> {
        let sender = (self.account.clone(), revision.to_owned());
        if self.context.accounts.is_seen(&sender) {
            return Ok(());
        }
        match cluster::service_account_uid(&self.context.client, &self.account).await? {
            Some(_) => {
                self.context.accounts.note(sender);
                Ok(())
            }
            None => Err(Trouble::passing(
                Reason::ServiceAccountNotFound,
                format!("ServiceAccount {} does not exist", self.account),
                "create it, or correct spec.serviceAccountName",
            )),
        }
    }
}
