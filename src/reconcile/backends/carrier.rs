//! Logins that carry a lease: each lease has one of its own, so that it can be renewed and ended without touching any other.
//!
//! A lease ends with the token that it was asked for with. That of a shared login would take the leases of all its Syncs with it, and a
//! single lease is ended by whoever may end any; a token ends itself. Not here: what the lease is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waxwing_formats::SecretBytes;
use waxwing_keys::VaultLogin;

use super::ends::Ends;
use super::vault_server::Server;

/// A token with the lease that was asked for with it. Both are ended when this goes, unless they are left to end by themselves. Not `Debug`.
pub(in crate::reconcile) struct Carrier {
    token: SecretBytes,
    server: Arc<Server>,
    is_revocable: bool,
    is_left: AtomicBool,
    ends: Arc<Ends>,
}

impl Carrier {
    pub(super) fn new(login: VaultLogin, server: &Server, ends: Arc<Ends>) -> Self {
        let VaultLogin { token, is_revocable, .. } = login;
        Self { token, server: Arc::new(server.for_strangers()), is_revocable, is_left: AtomicBool::new(false), ends }
    }

    /// Leaves for the header of a request.
    pub(super) fn token(&self) -> SecretBytes {
        SecretBytes::concat(&[self.token.expose_secret()])
    }

    /// Has it end by itself.
    pub(in crate::reconcile) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if self.is_revocable && !self.is_left.load(Ordering::Relaxed) {
            self.ends.begin(self.server.clone(), self.token());
        }
    }
}
