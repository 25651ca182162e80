//! Data keys, as SOPS files have them wrapped: which backend is asked for them, whether it allows that, and what came of it.
//!
//! What a file needs is known before anyone is asked, so that those of one key of a transit engine are put together into one request; all
//! others are asked for one by one. Not here: what is opened with them, and how a service is asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::{ServiceError, ServiceKey, VaultKey, VaultTransit};

use super::backend::Backend;
use super::{AT_ONCE_AGAIN, Backends, FIELD, LATE, hint};
use crate::unsealing::ServiceRefusal;

/// How many requests for data keys are made at the same time for one Sync.
const ASKED_AT_ONCE: usize = 8;

type Unwrapped = Result<DataKey, ServiceError>;
type Answer = Result<DataKey, ServiceRefusal>;

/// A wrapped key that a service is asked for, through the backend that allows it.
struct Wanted<'b> {
    wrapped: WrappedKey,
    key: ServiceKey,
    enc: String,
    /// The backend, by its place in the list too.
    backend: (usize, &'b Backend),
}

impl Backends<'_> {
    /// Unwraps data keys, each by the first backend that allows its key, or takes them from what was unwrapped before.
    pub(in crate::reconcile) async fn data_keys(
        &self,
        wanted: impl IntoIterator<Item = WrappedKey>,
    ) -> Vec<(WrappedKey, Answer)> {
        let (mut answers, mut asked) = (Vec::new(), Vec::new());
        for wrapped in wanted {
            match self.allowed(&wrapped) {
                None => {
                    let refusal = Refusal(format!("no backend of {FIELD} allows it"));
                    answers.push((wrapped, Err(ServiceRefusal { refusal, hint: hint::NOT_ALLOWED.to_owned() })));
                }
                Some((key, enc, backend)) => match self.kept(backend.1, &wrapped) {
                    Some(kept) => answers.push((wrapped, Ok(kept))),
                    None => asked.push(Wanted { wrapped, key, enc, backend }),
                },
            }
        }
        let requests: Vec<_> = together(asked).into_iter().map(|several| self.obtained(several)).collect();
        let obtained = futures::stream::iter(requests).buffer_unordered(ASKED_AT_ONCE).collect::<Vec<_>>().await;
        answers.extend(obtained.into_iter().flatten());
        answers
    }

    fn allowed(&self, wrapped: &WrappedKey) -> Option<(ServiceKey, String, (usize, &Backend))> {
        let (key, enc) = ServiceKey::of(wrapped)?;
        let namespace = self.tenant.job.namespace();
        let backend = self.all.iter().enumerate().find(|(_, backend)| backend.allows(&key, namespace))?;
        Some((key, enc.to_owned(), backend))
    }

    fn kept(&self, backend: &Backend, wrapped: &WrappedKey) -> Option<DataKey> {
        let context = &self.tenant.job.context;
        let key = context.data_keys.find(&backend.holder, wrapped, Instant::now())?;
        context.metrics.was_kept("data-key", 1);
        Some(key)
    }

    /// Asks for what [`together`] put together, and keeps what is answered.
    async fn obtained(&self, wanted: Vec<Wanted<'_>>) -> Vec<(WrappedKey, Answer)> {
        let unwrapped = match wanted.as_slice() {
            [one] => vec![self.one(one).await],
            several => self.several(several).await,
        };
        let answer = |(wanted, unwrapped): (Wanted<'_>, _)| {
            let answer = self.answer(wanted.backend.1, &wanted.wrapped, unwrapped);
            (wanted.wrapped, answer)
        };
        wanted.into_iter().zip(unwrapped).map(answer).collect()
    }

    /// Asks for several by one request. Where it is refused as a whole, each is asked for by itself and has a reason of its own: older
    /// servers, and policies about parameters, take them so.
    async fn several(&self, wanted: &[Wanted<'_>]) -> Vec<Unwrapped> {
        let Some(Wanted { key, backend: (_, backend), .. }) = wanted.first() else { return Vec::new() };
        let encs: Vec<&str> = wanted.iter().map(|wanted| wanted.enc.as_str()).collect();
        // A request that did not get every key is one that failed.
        let outcome = |all: &Vec<Unwrapped>| all.iter().find_map(|one| one.as_ref().err()).map(ServiceError::word);
        let ask = Box::pin(backend.unwrap_several(&self.tenant, key, &encs));
        match self.ask_service(backend, key, ask, outcome).await {
            Ok(answers) => answers,
            Err(ServiceError::Refused { .. } | ServiceError::Answer { .. } | ServiceError::Denied { .. }) => {
                Box::pin(self.one_by_one(wanted)).await
            }
            Err(error) => wanted.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Asks for each until one is denied: what may be done with their key is the same for all of them.
    async fn one_by_one(&self, wanted: &[Wanted<'_>]) -> Vec<Unwrapped> {
        let mut answers: Vec<Unwrapped> = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let answer = match answers.last() {
                Some(Err(error)) if error.is_denied() => Err(error.clone()),
                _ => self.one(wanted).await,
            };
            answers.push(answer);
        }
        answers
    }

    async fn one(&self, wanted: &Wanted<'_>) -> Unwrapped {
        let Wanted { key, enc, backend: (_, backend), .. } = wanted;
        let ask = Box::pin(backend.unwrap(&self.tenant, key, enc));
        self.ask_service(backend, key, ask, |_| None).await
    }

    /// Keeps a data key, or puts into words why there is none.
    fn answer(&self, backend: &Backend, wrapped: &WrappedKey, unwrapped: Unwrapped) -> Answer {
        let job = self.tenant.job;
        match unwrapped {
            Ok(key) => {
                job.context.data_keys.keep(&backend.holder, wrapped, &key, Instant::now());
                Ok(key)
            }
            Err(error) => {
                self.note(&error, backend);
                let refusal = Refusal(format!("{}: {error}", backend.label()));
                Err(ServiceRefusal { refusal, hint: hint::of(&error, backend, &job.account) })
            }
        }
    }

    /// Makes one request, when the backend may be asked; `failed` says in a word why an answer is not all that was asked for.
    async fn ask_service<T>(
        &self,
        backend: &Backend,
        key: &ServiceKey,
        ask: impl Future<Output = Result<T, ServiceError>>,
        failed: impl FnOnce(&T) -> Option<&'static str>,
    ) -> Result<T, ServiceError> {
        if let Some(error) = backend.closed.get() {
            return Err(error.clone());
        }
        let service = key.service();
        let away = |why: &str| ServiceError::Unavailable { service, why: why.to_owned() };
        let place = self.place(backend).await.map_err(away)?;
        let begun = Instant::now();
        let left = self.tenant.job.deadline.saturating_duration_since(begun);
        let answer = tokio::time::timeout(left, ask).await.unwrap_or_else(|_| Err(away(LATE)));
        match &answer {
            Err(ServiceError::Throttled { retry_after, .. }) => place.away(retry_after.unwrap_or(AT_ONCE_AGAIN)),
            Err(ServiceError::Unavailable { .. }) if begun.elapsed() < left => place.away(Duration::ZERO),
            Err(ServiceError::Unavailable { .. }) => drop(place),
            _ => place.answered(),
        }
        let outcome = answer.as_ref().map_or_else(ServiceError::word, |got| failed(got).unwrap_or("unwrapped"));
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

/// Puts together those of one key of a transit engine, through one backend, as far as one request goes; all others stand alone.
fn together(wanted: Vec<Wanted<'_>>) -> Vec<Vec<Wanted<'_>>> {
    let (mut of_one_key, mut all) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for wanted in wanted {
        match wanted.key.clone() {
            ServiceKey::Vault(VaultKey { address, engine_path, key_name }) => {
                of_one_key.entry((wanted.backend.0, address, engine_path, key_name)).or_default().push(wanted);
            }
            _ => all.push(vec![wanted]),
        }
    }
    all.extend(of_one_key.into_values().flat_map(|wanted| in_requests(wanted, |wanted| wanted.enc.len())));
    all
}

/// Divides what is asked for into requests that are not too long. What is too long by itself stands alone.
fn in_requests<T>(all: Vec<T>, length_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut requests, mut length) = (Vec::<Vec<T>>::new(), 0);
    for one in all {
        let longer = length + length_of(&one);
        match requests.last_mut() {
            Some(request) if request.len() < VaultTransit::MOST_AT_ONCE && longer <= VaultTransit::LONGEST_AT_ONCE => {
                length = longer;
                request.push(one);
            }
            _ => {
                length = length_of(&one);
                requests.push(vec![one]);
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_as_many_ciphertexts_as_it_may_and_none_is_left_out() {
        let lengths = |all: Vec<usize>| -> Vec<usize> {
            let requests = in_requests(all.clone(), |length| *length);
            assert_eq!(requests.concat(), all);
            requests.iter().map(Vec::len).collect()
        };
        let most = VaultTransit::LONGEST_AT_ONCE;
        assert_eq!(lengths(Vec::new()), Vec::<usize>::new());
        assert_eq!(lengths(vec![89; 300]), [128, 128, 44]);
        assert_eq!(lengths(vec![most / 2, most / 2, 1, most - 1, 1]), [2, 2, 1]);
        assert_eq!(lengths(vec![1, most + 1, 1, 1]), [1, 1, 2]);
    }
}
