//! The connection over which Secrets are written: it carries values, so it is there only while Secrets are being made, and where they
//! are made all the time it is another one every second.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use kube::Client;

use crate::cluster::{ApiServer, CallError, NotLeading};

/// How old one may be that is given to somebody: with a new one for each Secret, making a thousand of them takes a tenth longer.
const OLDEST: Duration = Duration::from_secs(1);

/// Makes the connection when it is needed; those that need it at the same time share it.
pub(super) struct Carrier {
    server: ApiServer,
    open: Mutex<Open>,
}

struct Open {
    client: Weak<Client>,
    since: Instant,
}

impl Carrier {
    pub(super) fn new(server: ApiServer) -> Self {
        Self { server, open: Mutex::new(Open { client: Weak::new(), since: Instant::now() }) }
    }

    /// Returns the connection; it is closed when nobody has it any more.
    ///
    /// # Errors
    ///
    /// Fails where this process may not write now.
    pub(super) fn get(&self) -> Result<Arc<Client>, CallError> {
        if !self.server.may_write() {
            return Err(CallError::NotLeading(NotLeading));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = open.client.upgrade().filter(|_| open.since.elapsed() < OLDEST) {
            return Ok(client);
        }
        let unreachable = |_| CallError::Unreachable { path: "/".to_owned() };
        let client = Arc::new(self.server.connect_to_write().map_err(unreachable)?);
        *open = Open { client: Arc::downgrade(&client), since: Instant::now() };
        Ok(client)
    }
}
