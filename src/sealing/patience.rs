//! Waiting for an API server that is overloaded or away: the controller needs its keys before it can do anything, and whoever
//! starts it again when it ends would wait longer each time.

use std::time::Duration;

use super::SealingError;
use crate::cluster::pauses;

/// Does something again and again while it fails in a way that passes.
///
/// # Errors
///
/// Returns what somebody has to change first.
pub(super) async fn patiently<T>(step: impl AsyncFn() -> Result<T, SealingError>) -> Result<T, SealingError> {
    let mut pauses = pauses();
    loop {
        match step().await {
            Err(error) if error.passes() => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, cause, "it is tried again");
                tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(1))).await;
            }
            done => return done,
        }
    }
}
