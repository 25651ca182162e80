//! Waits for what happens sooner or later, by asking again and again; the failure tells the last answer.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `attempt` until it succeeds, and returns what it found.
///
/// # Errors
/// [`Failure::TimedOut`] with the last attempt's error when `within` is over.
pub fn eventually<T, E: Display>(
    within: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + within;
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => return Err(timed_out(what, within, error)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Does the same as [`eventually`] in an async function.
///
/// # Errors
/// [`Failure::TimedOut`] with the last attempt's error when `within` is over.
pub async fn eventually_async<T, E: Display>(
    within: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + within;
    loop {
        match attempt().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => return Err(timed_out(what, within, error)),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn timed_out(what: &str, within: Duration, last: impl Display) -> Failure {
    Failure::TimedOut { what: what.to_owned(), within, last: last.to_string() }
}
