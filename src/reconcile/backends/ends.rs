//! Ending tokens that nobody has any more at the servers that gave them, also those of logins that nobody waited for.
//!
//! Each is ended in a task of its own, which is tried a few times again while the server is away. What comes of it nobody waits for but the end
//! of the controller, and not for long. Not here: which tokens are kept (`logins`).

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use waxwing_formats::SecretBytes;
use waxwing_keys::{Patience, ServiceError, VaultLogin};

use super::vault_server::Server;

/// How long the ends of tokens are waited for when the controller ends.
pub(super) const TO_END: Duration = Duration::from_secs(5);

/// How many tokens are ended at the same time.
static ENDED_AT_ONCE: Semaphore = Semaphore::const_new(16);

/// After which pauses it is tried again to end a token whose server is away.
const AGAIN_AFTER: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(300)];

/// How long a server may take to end a token, which ends by itself anyway.
const PATIENCE: Patience = Patience { timeout: TO_END, tries: 1, pause: Duration::ZERO, longest_pause: Duration::ZERO };

/// What is said of a login whose task ended before it did.
const NO_LOGIN: ServiceError = ServiceError::Malformed { what: "the login" };

/// A login that nobody has taken yet; what nobody takes is ended. Not `Debug`.
struct Untaken {
    login: Option<VaultLogin>,
    server: Arc<Server>,
    ends: Arc<Ends>,
}

impl Untaken {
    fn taken(mut self) -> Option<VaultLogin> {
        self.login.take()
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        if let Some(VaultLogin { token, is_revocable: true, .. }) = self.login.take() {
            self.ends.begin(self.server.clone(), token);
        }
    }
}

/// The ends of tokens that are under way, and the logins.
#[derive(Default)]
pub(super) struct Ends(Mutex<JoinSet<()>>);

impl Ends {
    /// Has a token ended in a task of its own, over a connection of its own, and a few times again where its server is away. What comes of
    /// it nobody waits for.
    pub(super) fn begin(&self, server: Arc<Server>, token: SecretBytes) {
        self.spawn(ended(server, token));
    }

    /// Has a request for a login go on to its end, also when nobody waits for it any more: the server may have made a token by then, and
    /// one that nobody takes is ended.
    pub(super) async fn log_in(
        self: &Arc<Self>,
        server: &Server,
        asked: impl Future<Output = Result<VaultLogin, ServiceError>> + Send + 'static,
    ) -> Result<VaultLogin, ServiceError> {
        let (server, ends) = (Arc::new(server.for_strangers()), self.clone());
        let (done, waiting) = oneshot::channel();
        self.spawn(async move {
            let untaken = asked.await.map(|login| Untaken { login: Some(login), server, ends });
            // What comes back is dropped, since nobody waits.
            drop(done.send(untaken));
        });
        let untaken = waiting.await.unwrap_or(Err(NO_LOGIN))?;
        untaken.taken().ok_or(NO_LOGIN)
    }

    /// Takes out all that is under way, which may begin more before it has ended.
    pub(super) fn take(&self) -> JoinSet<()> {
        mem::take(&mut *self.all())
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut all = self.all();
        while all.try_join_next().is_some() {}
        drop(all.spawn_on(work, &runtime));
    }

    fn all(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ended(server: Arc<Server>, token: SecretBytes) {
    let mut pauses = AGAIN_AFTER.iter();
    loop {
        let once = async {
            let _place = ENDED_AT_ONCE.acquire().await;
            let token = SecretBytes::concat(&[token.expose_secret()]);
            server.connect(PATIENCE)?.transit(Some(token))?.revoke_own_token().await
        };
        let Err(error) = once.await else { return };
        let is_away = matches!(error, ServiceError::Unavailable { .. } | ServiceError::Throttled { .. });
        match pauses.next().filter(|_| is_away) {
            Some(pause) => tokio::time::sleep(*pause).await,
            None => return tracing::debug!(%error, "a token was not ended; it ends by itself"),
        }
    }
}
