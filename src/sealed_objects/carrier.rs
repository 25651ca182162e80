//! The connection over which Secrets are written: it carries values, so it is there only while one is on its way.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use kube::Client;

use crate::cluster::{ApiServer, CallError, NotLeading};

/// Makes the connection when it is needed; those that need it at the same time share it.
pub(super) struct Carrier {
    server: ApiServer,
    open: Mutex<Weak<Client>>,
}

impl Carrier {
    pub(super) fn new(server: ApiServer) -> Self {
        Self { server, open: Mutex::new(Weak::new()) }
    }

    /// Makes sure that this process may write now.
    pub(super) fn check(&self) -> Result<(), CallError> {
        if self.server.may_write() { Ok(()) } else { Err(CallError::NotLeading(NotLeading)) }
    }

    /// Returns the connection; it is closed when nobody has it any more.
    pub(super) fn get(&self) -> Result<Arc<Client>, CallError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = open.upgrade() {
            return Ok(client);
        }
        let unreachable = |_| CallError::Unreachable { path: "/".to_owned() };
        let client = Arc::new(self.server.connect_to_write().map_err(unreachable)?);
        *open = Arc::downgrade(&client);
        Ok(client)
    }
}
