//! Who a holder is, and whether another one is known to be dead.
//!
//! An identity is `HOST_PLACE_NONCE`: the name of the host, which is that of the pod; a digest of where the process is, that is of the host's
//! name, the boot of its kernel and its network namespace; and 128 random bits. Each process has the nonce as the name of a socket in the
//! abstract namespace (unix(7)), which belongs to the network namespace and which the kernel takes back when the process is gone, not before:
//! not when it is stopped. So whoever is in the same place and can have the name of another knows that the other is dead. That is so for a
//! container that is started again in its pod, whose network namespace stays, and for a process that is started again on a host.
//!
//! Nothing is ever read from or written to such a socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sha2::{Digest, Sha256};

/// Where a process is that can't tell.
const NOWHERE: &str = "-";

/// The identity of this process.
pub(super) struct Identity {
    text: String,
    place: String,
    _alive: Option<UnixDatagram>,
}

impl Identity {
    /// Makes up the identity of this process. One that can't show that it is alive is in no place, so that nobody takes it for dead.
    pub(super) fn of_this_process() -> Self {
        Self::at(place())
    }

    fn at(place: Option<String>) -> Self {
        let mut nonce = [0; 16];
        let is_random = aws_lc_rs::rand::fill(&mut nonce).is_ok();
        let nonce = hex::encode(nonce);
        let alive = place.as_ref().filter(|_| is_random).and_then(|_| bind(&nonce));
        let place = place.filter(|_| alive.is_some()).unwrap_or_else(|| NOWHERE.to_owned());
        Self { text: format!("{}_{place}_{nonce}", host().unwrap_or_else(|| NOWHERE.to_owned())), place, _alive: alive }
    }

    /// Returns it as it stands in a Lease.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether `other` is known to be dead.
    pub(super) fn knows_dead(&self, other: &str) -> bool {
        let mut parts = other.rsplitn(3, '_');
        let (nonce, place) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let is_nonce = nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_nonce && place != NOWHERE && place == self.place && bind(nonce).is_some()
    }
}

fn bind(nonce: &str) -> Option<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("waxwing-lease-{nonce}")).ok()?).ok()
}

/// Returns the digest of where this process is, none where the kernel doesn't tell.
fn place() -> Option<String> {
    let boot = told("/proc/sys/kernel/random/boot_id")?;
    let network = std::fs::read_link("/proc/self/ns/net").ok()?;
    let parts = format!("{}\0{boot}\0{}", host()?, network.display());
    Some(hex::encode(Sha256::digest(parts)).chars().take(16).collect())
}

/// Returns the name of the host, without what separates the parts of an identity.
fn host() -> Option<String> {
    let name = told("/proc/sys/kernel/hostname")?;
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    Some(name.chars().take(63).collect())
}

fn told(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_is_known_to_be_dead_once_it_is_and_not_before() {
        let (one, other) = (Identity::of_this_process(), Identity::of_this_process());
        assert_ne!((one.as_str(), one.place.as_str()), (other.as_str(), NOWHERE));
        assert!(!one.knows_dead(other.as_str()) && !one.knows_dead(one.as_str()));
        let of_other = other.as_str().to_owned();
        drop(other);
        assert!(one.knows_dead(&of_other) && one.knows_dead(&of_other));
    }

    #[test]
    fn who_was_elsewhere_or_is_nobody_of_ours_is_not_known_to_be_dead() {
        let one = Identity::of_this_process();
        let (place, nonce) = (one.place.clone(), "0".repeat(32));
        assert!(one.knows_dead(&format!("a_{place}_{nonce}")));
        let far = format!("a_{}_{nonce}", "0".repeat(16));
        let nowhere = format!("a_{NOWHERE}_{nonce}");
        let short = format!("a_{place}_00");
        for other in ["", "a", "a_b", "_", "__", &far, &nowhere, &short, "pod_0f3c2f2e-5d3e-4e83-a1c2-b6cbb7d1a1b2"] {
            assert!(!one.knows_dead(other), "{other:?}");
        }
        let lost = Identity::at(None);
        assert!(!lost.knows_dead(&nowhere) && lost.as_str().contains("_-_"));
    }
}
