//! Waits for what happens sooner or later, by asking again and again; the failure tells the last answer.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The pause after the first attempt; each further one is longer by half, since whoever asks all the time is what slows down the
/// answer.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);

/// Calls `attempt` until it succeeds, and returns what it found.
///
/// # Errors
/// [`Failure::TimedOut`] with the last attempt's error when `within` is over.
pub fn eventually<T, E: Display>(
    within: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, Failure> {
    let (deadline, mut pause) = (Instant::now() + within, FIRST_PAUSE);
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => return Err(timed_out(what, within, error)),
            Err(_) => thread::sleep(pause),
        }
        pause = longer(pause);
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
    let (deadline, mut pause) = (Instant::now() + within, FIRST_PAUSE);
    loop {
        match attempt().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => return Err(timed_out(what, within, error)),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = longer(pause);
    }
}

fn longer(pause: Duration) -> Duration {
    pause.mul_f64(1.5).min(LONGEST_PAUSE)
}

fn timed_out(what: &str, within: Duration, last: impl Display) -> Failure {
    Failure::TimedOut { what: what.to_owned(), within, last: last.to_string() }
}
