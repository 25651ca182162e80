//! Data keys, as SOPS files have them wrapped: which backend is asked for one, whether it allows that, and what came of it.
//!
//! Not here: what is opened with them, and how a service is asked.

use std::time::{Duration, Instant};

use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::{ServiceError, ServiceKey};

use super::backend::Backend;
use super::{AT_ONCE_AGAIN, Backends, FIELD, LATE, hint};
use crate::unsealing::ServiceRefusal;

impl Backends<'_> {
    /// Unwraps a data key by the first backend that allows its key, or takes it from what was unwrapped before.
    pub(in crate::reconcile) async fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, ServiceRefusal> {
        let job = self.tenant.job;
        let allows =
            |(key, _): &(ServiceKey, &str)| self.all.iter().find(|backend| backend.allows(key, job.namespace()));
        let asked = ServiceKey::of(wrapped);
        let Some(((key, enc), backend)) = asked.and_then(|asked| Some((asked.clone(), allows(&asked)?))) else {
            let refusal = Refusal(format!("no backend of {FIELD} allows it"));
            return Err(ServiceRefusal { refusal, hint: hint::NOT_ALLOWED.to_owned() });
        };
        let cache = &job.context.data_keys;
        if let Some(key) = cache.find(&backend.holder, wrapped, Instant::now()) {
            job.context.metrics.was_kept("data-key", 1);
            return Ok(key);
        }
        match self.ask(backend, &key, enc).await {
            Ok(key) => {
                cache.keep(&backend.holder, wrapped, &key, Instant::now());
                Ok(key)
            }
            Err(error) => {
                self.note(&error, backend);
                let refusal = Refusal(format!("{}: {error}", backend.label()));
                Err(ServiceRefusal { refusal, hint: hint::of(&error, backend, &job.account) })
            }
        }
    }

    async fn ask(&self, backend: &Backend, key: &ServiceKey, enc: &str) -> Result<DataKey, ServiceError> {
        if let Some(error) = backend.closed.get() {
            return Err(error.clone());
        }
        let service = key.service();
        let away = |why: &str| ServiceError::Unavailable { service, why: why.to_owned() };
        let place = self.place(backend).await.map_err(away)?;
        let begun = Instant::now();
        let left = self.tenant.job.deadline.saturating_duration_since(begun);
        let answer = tokio::time::timeout(left, backend.unwrap(&self.tenant, key, enc)).await;
        let answer = answer.unwrap_or_else(|_| Err(away(LATE)));
        match &answer {
            Err(ServiceError::Throttled { retry_after, .. }) => place.away(retry_after.unwrap_or(AT_ONCE_AGAIN)),
            Err(ServiceError::Unavailable { .. }) if begun.elapsed() < left => place.away(Duration::ZERO),
            Err(ServiceError::Unavailable { .. }) => drop(place),
            _ => place.answered(),
        }
        let outcome = answer.as_ref().map_or_else(ServiceError::word, |_| "unwrapped");
        self.tenant.job.context.metrics.asked_service(service, outcome, begun.elapsed());
        match &answer {
            Err(ServiceError::NoCredentials { why, .. }) => self.note_login(backend, Some(why)).await,
            Ok(_) | Err(ServiceError::Denied { .. } | ServiceError::Refused { .. } | ServiceError::NotFound { .. }) => {
                self.note_login(backend, None).await;
            }
            Err(_) => {}
        }
        if let Err(
            error @ (ServiceError::Unavailable { .. }
            | ServiceError::NoCredentials { .. }
            | ServiceError::Throttled { .. }),
        ) = &answer
        {
            backend.closed.get_or_init(|| error.clone());
        }
        answer
    }

    /// Forgets what was unwrapped for somebody who is not let in any more, and remembers that a service is down.
    fn note(&self, error: &ServiceError, backend: &Backend) {
        match error {
            ServiceError::Unavailable { .. } => self.is_away_for(Duration::ZERO),
            ServiceError::Throttled { retry_after, .. } => self.is_away_for(retry_after.unwrap_or_default()),
            ServiceError::Denied { .. } | ServiceError::NoCredentials { .. } => {
                self.tenant.job.context.data_keys.forget(|holder| *holder == backend.holder);
            }
            _ => {}
        }
    }
}
