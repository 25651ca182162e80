//! What `seal` asks about SealedSecrets: which of its items open, and the same sealed with the newest key. Served always, and only to
//! whoever shows who they are and may do as much to the object at the API server.
//!
//! The API server's proxy passes no `Authorization` on, so a token for the audience `waxwing` comes in a header of its own. It is asked
//! about each time, and kept no longer. An answer says why; nobody gets one who could not read the SealedSecret and its status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kube::Client;
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use waxwing_formats::SecretBytes;
use waxwing_keys::Keyring;

use super::Shown;
use super::bodies::{Bodies, Held};
use super::connections::UntilWritten;
use super::limits::{Line, Turn, Users};
use super::refusal::{Refusal, json as answer};
use crate::cluster::{CallError, Caller, caller, may_touch};
use crate::sealed_objects::{Asked, ItemReport, Named, ResealError};

/// Where the token is.
const TOKEN: &str = "x-waxwing-token";
/// What a token has to be for.
const AUDIENCE: &str = "waxwing";
/// Longer than a token is.
const LONGEST_TOKEN: usize = 16 << 10;
/// How many callers are asked about at the same time.
const REVIEWS_AT_ONCE: usize = 8;
const REVIEWS_WAITING: usize = 64;
/// How many requests are worked on at the same time.
const AT_ONCE: usize = 4;
const WORK_WAITING: usize = 32;
/// How long a request waits for each of these, and for its caller's turn: `seal` waits 30 seconds for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// How long the API server may take to say who somebody is, or what they may do.
const LONGEST_REVIEW: Duration = Duration::from_secs(10);

struct Interface {
    shown: Shown,
    bodies: Bodies,
    users: Users,
    reviews: Line,
    places: Line,
}

/// A request that may be answered.
struct Admitted {
    asked: Asked,
    ring: Arc<Keyring>,
    /// Held until the work is over, though whoever asked be gone.
    place: OwnedSemaphorePermit,
    kept: Kept,
}

/// What a request holds until its answer is written, or nobody is there any more to read it: the place of its user, and memory.
struct Kept {
    _turn: Turn,
    memory: Held,
}

/// Returns the routes.
pub(super) fn routes(shown: Shown) -> Router {
    let interface = Interface {
        shown,
        bodies: Bodies::default(),
        users: Users::default(),
        reviews: Line::new(REVIEWS_AT_ONCE, REVIEWS_WAITING),
        places: Line::new(AT_ONCE, WORK_WAITING),
    };
    Router::new()
        .route("/v1/waxwing/verify", post(verified))
        .route("/v1/waxwing/rotate", post(rotated))
        .with_state(Arc::new(interface))
}

async fn verified(State(interface): State<Arc<Interface>>, headers: HeaderMap, body: Body) -> Response {
    let answered = async {
        let admitted = interface.admit("get", &headers, body).await?;
        let told = interface.clone();
        interface.work(admitted, move |asked, ring| Ok(json!({"items": told.told(&asked.inspect(ring))}))).await
    };
    answered.await.unwrap_or_else(Refusal::into_response)
}

async fn rotated(State(interface): State<Arc<Interface>>, headers: HeaderMap, body: Body) -> Response {
    let resealed = |asked: &Asked, ring: &Keyring| {
        let (sealed_secret, resealed) = asked.reseal(ring)?;
        Ok(json!({"sealedSecret": sealed_secret, "resealed": resealed}))
    };
    let answered = async {
        let admitted = interface.admit("update", &headers, body).await?;
        interface.work(admitted, resealed).await
    };
    answered.await.unwrap_or_else(Refusal::into_response)
}

impl Interface {
    /// Lets a request in that is from somebody who may do `verb` to the SealedSecret in it.
    async fn admit(&self, verb: &'static str, headers: &HeaderMap, body: Body) -> Result<Admitted, Refusal> {
        let token = token(headers).ok_or(Refusal::Unauthenticated)?;
        // The API server isn't asked about whom there is no place for.
        if self.places.is_full() {
            return Err(Refusal::TooMany);
        }
        let (client, caller) = self.caller(token).await?;
        let turn = self.users.turn(&caller.username, patience()).await.ok_or(Refusal::TooMany)?;
        let body = self.bodies.read(body).await?;
        // Of somebody who may not ask nothing is read but the names.
        let (named, body, turn) = blocking(move || (Named::read(&body.text), body, turn)).await?;
        let named = named.map_err(Refusal::Reseal)?.ok_or(Refusal::Unnamed)?;
        let Named { namespace, name } = &named;
        let may = review(may_touch(&client, &caller, verb, (namespace, name))).await?;
        tracing::info!(user = caller.username, verb, namespace, name, may, "asked about a SealedSecret");
        if !may {
            return Err(Refusal::Forbidden { verb });
        }
        let place = self.places.wait(patience()).await.ok_or(Refusal::TooMany)?;
        // With all that it holds: whoever goes away doesn't make room for others before this is over.
        let read = move || (Asked::read(&body.text), place, Kept { _turn: turn, memory: body.emptied() });
        let (asked, place, kept) = blocking(read).await?;
        let asked = asked.map_err(Refusal::Reseal)?;
        if !asked.is(&named) {
            return Err(Refusal::Reseal(ResealError::Malformed));
        }
        Ok(Admitted { asked, ring: self.shown.keys.ring(), place, kept })
    }

    /// Returns who shows a token, and the connection over which that was asked.
    async fn caller(&self, token: SecretBytes) -> Result<(Client, Caller), Refusal> {
        let _review = self.reviews.wait(patience()).await.ok_or(Refusal::TooMany)?;
        let client = (self.shown.reviewer)().map_err(|_| Refusal::Unavailable)?;
        let caller = review(caller(&client, &token, AUDIENCE)).await?.ok_or(Refusal::Unauthenticated)?;
        Ok((client, caller))
    }

    /// Does the work that is asked for, and answers. Whoever goes away doesn't make room for others before it is over.
    async fn work(
        &self,
        Admitted { asked, ring, place, kept }: Admitted,
        work: impl FnOnce(&Asked, &Keyring) -> Result<Value, Refusal> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let bodies = self.bodies.clone();
        let done = move || {
            let _place = place;
            let (code, told) = match work(&asked, &ring) {
                Ok(told) => (StatusCode::OK, told),
                Err(refusal) => (refusal.code(), refusal.told()),
            };
            let text = told.to_string();
            let memory = bodies.exchange(kept.memory, text.capacity())?;
            let mut answer = answer(code, text);
            answer.extensions_mut().insert(UntilWritten::new(Kept { memory, ..kept }));
            Ok(answer)
        };
        blocking(done).await?
    }

    fn told(&self, items: &[ItemReport]) -> Vec<Value> {
        let told = |report: &ItemReport| match &report.opened {
            Ok((key, scope)) => {
                let mut told = Map::new();
                let fields = [("item", report.item.as_str()), ("key", key.as_str()), ("scope", &scope.to_string())];
                told.extend(fields.map(|(field, text)| (field.to_owned(), Value::from(text))));
                told.extend(self.shown.keys.secret_of(key).map(|name| ("keyName".to_owned(), name.into())));
                Value::Object(told)
            }
            Err(refusal) => json!({"item": report.item, "error": refusal}),
        };
        items.iter().map(told).collect()
    }
}

/// Returns the one token of a request, if it may be one: three parts of base64url, as a JSON Web Token has (RFC 7519).
fn token(headers: &HeaderMap) -> Option<SecretBytes> {
    let mut values = headers.get_all(TOKEN).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let bytes = value.as_bytes();
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_part = |part: &[u8]| !part.is_empty() && part.iter().all(is_digit);
    let parts = bytes.split(|byte| *byte == b'.');
    let may_be_one = bytes.len() <= LONGEST_TOKEN && parts.clone().count() == 3 && parts.clone().all(is_part);
    may_be_one.then(|| SecretBytes::new(bytes.to_vec()))
}

fn patience() -> Instant {
    Instant::now() + LONGEST_WAIT
}

async fn review<T>(asking: impl Future<Output = Result<T, CallError>>) -> Result<T, Refusal> {
    match tokio::time::timeout(LONGEST_REVIEW, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Refusal::Unavailable),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Unavailable)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn only_one_header_of_the_form_of_a_token_counts() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.extend(values.iter().map(|value| (HeaderName::from_static(TOKEN), value.parse().unwrap())));
            token(&headers).is_some()
        };
        assert!(of(&["eyJ.a-b_c.d"]));
        for none in
            [&[][..], &["a.b.c", "a.b.c"], &[""], &["a.b"], &["a.b.c.d"], &["a..c"], &["a.b=.c"], &["Bearer a.b.c"]]
        {
            assert!(!of(none), "{none:?}");
        }
        assert!(!of(&[&format!("a.b.{}", "c".repeat(LONGEST_TOKEN))]));
    }
}
