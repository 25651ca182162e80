//! Finds free TCP ports on loopback for programs that can't take port 0.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

use crate::failure::Failure;

/// The first port tried, and how many there are: below the range (32768 and up on Linux) from which the system takes
/// ports for outgoing connections, so that a server that is stopped finds its port free when it comes back.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// Returns a port that nobody listens on. Somebody may before the caller does; so a start is worth another try.
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
