//! What a Vault or OpenBao server makes for one object: which paths a backend says that of, having it made, and renewing it.
//!
//! What is asked for with the question stands in the backend and never in a reference. Not here: when something is renewed or replaced
//! (`reconcile::leases`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxwing_formats::reference::{PathPattern, SecretPath, StoredSecret};
use waxwing_keys::service_name::VAULT;
use waxwing_keys::{Holder, LeaseId, Lifetime, MadeSecret, StoreError};

use super::carrier::Carrier;
use super::reader::{NO_PATH_PATTERN, Reader};
use super::vault::Vault;
use super::{PATIENCE, Tenant, Trouble};
use crate::api::DynamicSecrets;

/// What is good for longer than this is replaced all the same.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The stand-in for the tenant's namespace.
const NAMESPACE: &str = "{namespace}";

/// Paths that a server makes secrets at.
pub(super) struct Dynamic {
    pattern: PathPattern,
    parameters: BTreeMap<String, String>,
    revoke_after: Duration,
}

impl Dynamic {
    pub(super) fn read(reader: &Reader<'_>, spec: &[DynamicSecrets]) -> Result<Vec<Self>, Trouble> {
        let one = |spec: &DynamicSecrets| {
            let pattern = spec
                .path
                .parse()
                .map_err(|error| reader.useless(&format!("{reader}, spec.vault.dynamic: {error}"), NO_PATH_PATTERN))?;
            Ok(Self { pattern, parameters: spec.parameters.clone(), revoke_after: spec.revoke_after.get() })
        };
        spec.iter().map(one).collect()
    }

    fn parameters_in(&self, namespace: &str) -> BTreeMap<String, String> {
        let filled = |(name, value): (&String, &String)| (name.clone(), value.replace(NAMESPACE, namespace));
        self.parameters.iter().map(filled).collect()
    }
}

/// What was made, as far as it has to be known after its value is gone; it is ended when this goes. Not `Debug`.
pub(in crate::reconcile) struct Lease {
    id: Option<LeaseId>,
    carrier: Option<Carrier>,
    /// For how long it was made.
    period: Duration,
    ends: Mutex<Ends>,
    /// Which server it is of.
    pub(in crate::reconcile) place: String,
    /// For how long it stays good once it is replaced.
    pub(in crate::reconcile) revoke_after: Duration,
}

#[derive(Clone, Copy)]
struct Ends {
    lease: Instant,
    token: Option<Instant>,
}

impl Ends {
    fn first(self) -> Instant {
        self.token.map_or(self.lease, |token| token.min(self.lease))
    }
}

impl Lease {
    /// Returns when it ends if nobody renews it.
    pub(in crate::reconcile) fn ends(&self) -> Instant {
        self.both().first()
    }

    /// Has it end by itself, and not when this goes.
    pub(in crate::reconcile) fn leave(&self) {
        self.carrier.iter().for_each(Carrier::leave);
    }

    /// Tells whether so much is left of it that it need not be replaced: two thirds of what it was made for.
    fn has_enough(&self, now: Instant) -> bool {
        self.ends().saturating_duration_since(now) * 3 >= self.period * 2
    }

    fn both(&self) -> Ends {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault {
    /// Returns what the backend says of a path at which secrets are made; nothing of any other.
    pub(super) fn makes(&self, path: &SecretPath, namespace: &str) -> Option<&Dynamic> {
        self.dynamic.iter().find(|dynamic| dynamic.pattern.allows(path, namespace))
    }

    /// Has a secret made, by a login of its own.
    pub(super) async fn issue(
        &self,
        tenant: &Tenant<'_>,
        holder: &Holder,
        path: &SecretPath,
        dynamic: &Dynamic,
    ) -> Result<(StoredSecret, Lease), StoreError> {
        let begun = Instant::now();
        let login = self.login.log_in(tenant, &self.server, holder).await?;
        let (lifetime, is_for_many_uses) = (login.lifetime, login.is_for_many_uses);
        let carrier = tenant.job.context.logins.carrier(&self.server, login);
        if !is_for_many_uses {
            let why = "tokens of its role are for some uses only (token_num_uses), and what is made ends with them";
            return Err(StoreError::NoCredentials { service: VAULT, why: why.to_owned() });
        }
        let leases = self.server.connect(PATIENCE)?.leases(carrier.token())?;
        let asked = Instant::now();
        let parameters = dynamic.parameters_in(tenant.job.namespace());
        let MadeSecret { secret, lease: id, lifetime: own } = leases.issue(path, &parameters).await?;
        // What has no lease does not end with the token.
        let carrier = id.is_some().then_some(carrier);
        let token = lifetime.filter(|_| carrier.is_some()).map(|lifetime| begun + lifetime);
        let ends = Ends { lease: asked + length(own), token };
        let period = ends.first().saturating_duration_since(asked);
        let (place, revoke_after) = (self.place(), dynamic.revoke_after);
        Ok((secret, Lease { id, carrier, period, ends: Mutex::new(ends), place, revoke_after }))
    }

    /// Renews a lease and the login that carries it; tells whether that was worth it, or it has to be replaced.
    pub(super) async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        let (Some(carrier), Some(id)) = (&lease.carrier, &lease.id) else { return Ok(false) };
        let leases = self.server.connect(PATIENCE)?.leases(carrier.token())?;
        let asked = Instant::now();
        let mut ends = lease.both();
        if let Some(renewed) = leases.renew_own_token().await? {
            ends.token = (!renewed.is_zero()).then(|| asked + renewed);
        }
        if id.is_renewable
            && let Some(renewed) = leases.renew(id).await?
        {
            ends.lease = asked + renewed;
        }
        *lease.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
        Ok(lease.has_enough(asked))
    }
}

fn length(lifetime: Lifetime) -> Duration {
    match lifetime {
        Lifetime::For(length) => length,
        Lifetime::Until(second) => {
            let left = second.saturating_sub(Timestamp::now().as_second());
            Duration::from_secs(u64::try_from(left).unwrap_or_default()).min(LONGEST)
        }
    }
}
