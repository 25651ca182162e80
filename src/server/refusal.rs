//! Why the interface for `seal` does not do what it is asked: a status code, and in words what can be done about it.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::cluster::CallError;
use crate::sealed_objects::{ItemReport, ResealError, Unresealed};

/// Why a request is refused.
pub(super) enum Refusal {
    /// It has no token, or none that counts here.
    Unauthenticated,
    /// Who asks may not do as much at the API server.
    Forbidden {
        /// The right that is missing.
        verb: &'static str,
    },
    /// Its body was not taken.
    Body(StatusCode),
    /// It doesn't hold one SealedSecret, or there is no key.
    Reseal(ResealError),
    /// The SealedSecret in it has no name or no namespace.
    Unnamed,
    /// Not all items open.
    Unopened(Vec<ItemReport>),
    /// It is not its turn.
    TooMany,
    /// The API server can't be asked who it is from.
    Unavailable,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        tracing::warn!(%error, "the API server can't be asked who a caller is; hint: let the controller create tokenreviews and subjectaccessreviews");
        Self::Unavailable
    }
}

impl From<StatusCode> for Refusal {
    fn from(code: StatusCode) -> Self {
        Self::Body(code)
    }
}

impl From<Unresealed> for Refusal {
    fn from(error: Unresealed) -> Self {
        match error {
            Unresealed::Unopened(items) => Self::Unopened(items),
            Unresealed::Other(error) => Self::Reseal(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, told) = (self.code(), self.told());
        let mut answer = json(code, told.to_string());
        if code == StatusCode::TOO_MANY_REQUESTS {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

/// Makes an answer in JSON.
pub(super) fn json(code: StatusCode, told: String) -> Response {
    (code, [(CONTENT_TYPE, "application/json")], told).into_response()
}

impl Refusal {
    /// Returns the status code.
    pub(super) fn code(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Body(code) => *code,
            Self::Reseal(ResealError::NoCertificate) | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reseal(ResealError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Reseal(_) | Self::Unnamed => StatusCode::BAD_REQUEST,
            Self::Unopened(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Returns the words.
    pub(super) fn told(&self) -> Value {
        let told = |reason: &str, message: &str, hint: &str| serde_json::json!({"reason": reason, "message": message, "hint": hint});
        match self {
            Self::Unauthenticated => told(
                "Unauthenticated",
                "there is no token of this cluster for the audience waxwing",
                "pass what `kubectl create token ACCOUNT --audience waxwing` prints in the header X-Waxwing-Token",
            ),
            Self::Forbidden { verb } => told(
                "Forbidden",
                &format!("whoever this token is of may not {verb} this SealedSecret"),
                &format!("bind a Role with {verb} on sealedsecrets of the group bitnami.com in its namespace"),
            ),
            Self::Body(StatusCode::PAYLOAD_TOO_LARGE) => {
                told("TooLarge", "the body has more than 4 MiB", "ask about one SealedSecret at a time")
            }
            Self::Body(StatusCode::REQUEST_TIMEOUT) => told(
                "TooSlow",
                "the body was not sent in time: 10 seconds and one for each 32 KiB, 30 at most",
                "try again",
            ),
            Self::Body(StatusCode::TOO_MANY_REQUESTS) | Self::TooMany => told(
                "TooManyRequests",
                "others are asking, or you are asking too often, or too much at the same time",
                "try again in a moment",
            ),
            Self::Body(_) => told("Malformed", "the body broke off or is malformed", "try again"),
            Self::Reseal(ResealError::NoCertificate) => {
                told("Unavailable", "there is no sealing key", "restore one, or let the controller make one")
            }
            Self::Reseal(error @ ResealError::TooLarge) => {
                told("TooLarge", &error.to_string(), "make several SealedSecrets of it")
            }
            Self::Reseal(error) => told("Malformed", &error.to_string(), "send one SealedSecret in JSON"),
            Self::Unnamed => told(
                "Malformed",
                "the SealedSecret has no name or no namespace",
                "set metadata.name and metadata.namespace as they are in the cluster",
            ),
            Self::Unopened(items) => {
                let items: Vec<Value> = items.iter().filter_map(unopened).collect();
                let message = "not all items open, so none was sealed again";
                serde_json::json!({"reason": "Unopened", "message": message, "hint": "mend or remove these items",
                    "items": items})
            }
            Self::Unavailable => told(
                "Unavailable",
                "the API server can't be asked who you are",
                "try again; the controller's log says what is missing",
            ),
        }
    }
}

fn unopened(report: &ItemReport) -> Option<Value> {
    Some(serde_json::json!({"item": report.item, "error": report.opened.as_ref().err()?}))
}
