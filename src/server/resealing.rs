//! `/v1/verify` and `/v1/rotate` as the Sealed Secrets controller has them (`pkg/controller/server.go` of sealed-secrets 0.40), for
//! `kubeseal --validate` and `--re-encrypt`: open to whoever reaches them, since the API server's proxy passes no credentials on.
//!
//! An answer is a status code and, for a rotated SealedSecret, that. Nothing says what is wrong.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use waxwing_keys::Keyring;

use super::Shown;
use super::bodies::{Bodies, Held};
use super::connections::UntilWritten;
use super::limits::{Gate, Limits, Rate};
use crate::sealed_objects::{ResealError, rotate, verify};

/// What these handlers see.
struct Resealing {
    shown: Shown,
    bodies: Bodies,
    verify: Gate,
    rotate: Gate,
}

/// Returns the routes.
pub(super) fn routes(shown: Shown, rate: Rate) -> Router {
    let limits = Limits::new(rate);
    let state = Arc::new(Resealing { shown, bodies: Bodies::default(), verify: limits.gate(), rotate: limits.gate() });
    Router::new().route("/v1/verify", any(verified)).route("/v1/rotate", any(rotated)).with_state(state)
}

/// Counts the answers of the paths that the Sealed Secrets controller has.
pub(super) fn counted(routes: Router, shown: Shown) -> Router {
    routes.layer(from_fn_with_state(shown, count))
}

async fn count(State(shown): State<Shown>, request: Request, next: Next) -> Response {
    let known = ["/v1/verify", "/v1/rotate", "/v1/cert.pem"];
    let path = known.into_iter().find(|path| *path == request.uri().path());
    let method = match *request.method() {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::HEAD => "head",
        _ => "unknown",
    };
    let begun = Instant::now();
    let answer = next.run(request).await;
    if let Some(path) = path {
        shown.metrics.sealed_objects.answered(path, method, answer.status().as_u16(), begun.elapsed());
    }
    answer
}

async fn verified(State(resealing): State<Arc<Resealing>>, body: Body) -> StatusCode {
    match resealing.ask(&resealing.verify, body, verify).await {
        Ok((Ok(true), _)) => StatusCode::OK,
        Ok((Ok(false), _)) => StatusCode::CONFLICT,
        Ok((Err(error), _)) => refused("/v1/verify", error),
        Err(code) => code,
    }
}

async fn rotated(State(resealing): State<Arc<Resealing>>, body: Body) -> Response {
    match resealing.ask(&resealing.rotate, body, rotate).await {
        Ok((Ok(sealed), held)) => match resealing.bodies.exchange(held, sealed.capacity()) {
            Ok(held) => {
                let held = Extension(UntilWritten::new(held));
                (StatusCode::OK, [(CONTENT_TYPE, "application/json")], held, sealed).into_response()
            }
            Err(code) => code.into_response(),
        },
        Ok((Err(error), _)) => refused("/v1/rotate", error).into_response(),
        Err(code) => code.into_response(),
    }
}

fn refused(path: &'static str, error: ResealError) -> StatusCode {
    tracing::info!(path, %error, "refused a request");
    StatusCode::INTERNAL_SERVER_ERROR
}

impl Resealing {
    /// Does the work that is asked for, within the limits, and returns with what came of it the memory that the request held.
    async fn ask<T: Send + 'static>(
        &self,
        gate: &Gate,
        body: Body,
        work: fn(&[u8], &Keyring) -> T,
    ) -> Result<(T, Held), StatusCode> {
        let body = self.bodies.read(body).await?;
        let place = gate.admit(Instant::now()).ok_or(StatusCode::TOO_MANY_REQUESTS)?;
        let ring = self.shown.keys.ring();
        let worked = tokio::task::spawn_blocking(move || {
            // Whoever goes away doesn't make room for others before the work is over.
            let _place = place;
            let worked = work(&body.text, &ring);
            (worked, body.emptied())
        });
        worked.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
}
