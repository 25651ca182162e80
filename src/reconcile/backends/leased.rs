//! References into paths at which a store makes secrets: each object has one of its own, which stays the same as long as it can be renewed.
//!
//! A look makes nothing: it says which of an object's secrets stay and which have to be replaced. Only what is sent has one made.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxwing_formats::reference::{StoreKind, Stored};
use waxwing_keys::StoreError;
use waxwing_keys::service_name::VAULT;
use waxwing_plan::ObjectId;

use super::Backends;
use super::reader::{full_label, label};
use crate::api::BackendKind;
use crate::reconcile::leases::{Due, Issued, LeaseKey};
use crate::reconcile::report::whole_seconds;
use crate::unsealing::{Answered, StoreRefusal};

impl Backends<'_> {
    /// Tells whether what a reference leads to is made when it is asked for. Where it is not allowed, nobody has to know.
    pub(in crate::reconcile) fn makes(&self, stored: &Stored) -> bool {
        let namespace = self.tenant.job.namespace();
        self.store(stored).is_ok_and(|backend| backend.makes(&stored.path, namespace).is_some())
    }

    /// Returns what tells the secret that an object has, or is to get, from any other of its secrets. What is due is renewed.
    pub(in crate::reconcile) async fn look(&self, object: &ObjectId, stored: &Stored) -> Result<String, StoreRefusal> {
        let (backend, job) = (self.store(stored)?, self.tenant.job);
        if stored.version.is_some() {
            return self.told(backend, Err(StoreError::NoVersions { service: VAULT }));
        }
        let (leases, key) = (&job.context.leases, key(object, stored));
        let lease = match leases.due(job, &key, &backend.place()) {
            Due::Stays(stamp) => return Ok(stamp),
            Due::Replacement => return Ok(leases.replace(job, &key)),
            Due::Renewal(lease) => lease,
        };
        let renewed = self.ask_store(backend, VAULT, "renewed", backend.renew(&lease)).await;
        let is_worth_it = self.told(backend, renewed).map_err(|mut refusal| {
            let ends = lease.ends().saturating_duration_since(Instant::now());
            refusal.fact.push_str(&format!("; what {object} has of it {}", until(ends)));
            refusal
        })?;
        let renewed = leases.renewed(job, &key).filter(|_| is_worth_it);
        Ok(renewed.unwrap_or_else(|| leases.replace(job, &key)))
    }

    /// Has a secret made for an object.
    pub(in crate::reconcile) async fn issue(
        &self,
        object: &ObjectId,
        stored: &Stored,
        stamp: &str,
    ) -> Result<(Answered, Issued), StoreRefusal> {
        let (backend, job) = (self.store(stored)?, self.tenant.job);
        let issued = self.ask_store(backend, VAULT, "issued", backend.issue(&self.tenant, &stored.path)).await;
        let (secret, lease) = self.told(backend, issued)?;
        let backend = full_label(backend.kind, job.namespace(), &backend.name);
        let answered = Answered { secret, version: stamp.to_owned(), backend };
        Ok((answered, Issued { key: key(object, stored), object: object.clone(), stamp: stamp.to_owned(), lease }))
    }
}

/// Says which secret of an object it is.
pub(in crate::reconcile) fn key(object: &ObjectId, stored: &Stored) -> LeaseKey {
    let kind = match stored.kind {
        StoreKind::Namespaced => BackendKind::SecretBackend,
        StoreKind::Cluster => BackendKind::ClusterSecretBackend,
    };
    let backend = label(kind, stored.store.as_str());
    LeaseKey { object: object.to_string(), backend, path: stored.path.to_string() }
}

fn until(left: Duration) -> String {
    match Timestamp::now().checked_add(left) {
        Ok(_) | Err(_) if left.is_zero() => "has ended".to_owned(),
        Ok(end) => format!("ends at {}", whole_seconds(end)),
        Err(_) => "ends much later".to_owned(),
    }
}
