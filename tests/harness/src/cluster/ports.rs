//! Finds free TCP ports on loopback for programs that can't take port 0.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

use crate::failure::Failure;

/// The first port tried, and how many there are: below the range (32768 and up on Linux) from which the system takes
/// ports for outgoing connections, so that a server that is stopped finds its port free when it comes back.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// How often something is started whose ports others take.
const ATTEMPTS: usize = 3;

/// Starts something that listens on free ports, and again where somebody else took one before it did.
///
/// # Errors
/// As `start` does.
pub(crate) fn start_with_free_ports<T>(start: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let is_taken = |log: &str| log.to_lowercase().contains("address already in use");
    let mut attempt = start();
    for _ in 1..ATTEMPTS {
        if !matches!(&attempt, Err(Failure::Start { log, .. }) if is_taken(log)) {
            break;
        }
        attempt = start();
    }
    attempt
}

/// Returns a port that nobody listens on. Somebody may before the caller does: [`start_with_free_ports`] tries again then.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let start = random();
    (0..COUNT)
        .map(|step| FIRST + (start % COUNT + step) % COUNT)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or_else(|| Failure::io("find a free port on 127.0.0.1")(std::io::ErrorKind::AddrInUse.into()))
}

/// Returns a number that differs from process to process and from call to call: the standard library seeds its maps so.
fn random() -> u16 {
    let [high, low, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    u16::from_be_bytes([high, low])
}
