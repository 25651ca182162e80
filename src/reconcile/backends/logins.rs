//! Tokens that logins at Vault servers gave, kept for who logged in and used by all of his syncs; and secret ids that were taken out of
//! their wrapping.
//!
//! In memory alone, each until its lease ends, [`LONGEST`] at the most, and never renewed. A token is found by its [`Holder`] alone: the same
//! ServiceAccount through the same backend, of which nothing has changed. One that goes before its time is ended at the server, once
//! nobody uses it any more. Not here: how somebody logs in, and what is done with a token.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use waxwing_formats::SecretBytes;
use waxwing_keys::{Holder, Holdings, ServiceError, VaultLogin};

use super::carrier::Carrier;
use super::ends::{Ends, TO_END};
use super::vault_server::Server;

/// The most tokens that are kept, and the most secret ids.
const MOST: usize = 4096;

/// How long a token is kept at the most, however long it would be good for.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A token is not begun to be used when it ends as soon as this, or in less than the fifth of its time.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a secret id is kept that never ends.
const LONGEST_SECRET_ID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The tokens and secret ids that are kept. Not `Debug`.
pub struct Logins {
    tokens: Mutex<Holdings<(), Arc<Token>>>,
    logging_in: AtOnce<Holder, Arc<Token>>,
    /// By the wrapping that they were taken out of, which stands in the version of the holder.
    secret_ids: Mutex<Holdings<(), Arc<SecretBytes>>>,
    taking_out: Mutex<HashMap<Holder, TakingOut>>,
    ends: Arc<Ends>,
}

/// A secret id that is being taken out of its wrapping, for all that want it.
type TakingOut = Shared<BoxFuture<'static, Result<Arc<SecretBytes>, ServiceError>>>;

/// A token of a server, ended there when nobody has it any more. Not `Debug`.
pub(super) struct Token {
    secret: SecretBytes,
    server: Arc<Server>,
    is_revocable: bool,
    is_for_many_uses: bool,
    /// When it was asked for.
    since: Instant,
    /// When it ends by itself.
    ends_at: Option<Instant>,
    /// The same for people.
    expires_at: Option<Timestamp>,
    ends: Arc<Ends>,
}

impl Token {
    /// Leaves for the header of a request.
    pub(super) fn secret(&self) -> SecretBytes {
        SecretBytes::concat(&[self.secret.expose_secret()])
    }

    /// Tells whether it was asked for after that time.
    pub(super) fn is_newer_than(&self, time: Instant) -> bool {
        self.since >= time
    }

    /// Tells whether it has ended by itself.
    pub(super) fn is_over(&self) -> bool {
        self.ends_at.is_some_and(|end| Instant::now() >= end)
    }

    /// Returns when it ends by itself, if that is known.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Returns until when it is given out.
    fn is_kept_until(&self) -> Instant {
        let lifetime = self.ends_at.map_or(LONGEST, |end| end.saturating_duration_since(self.since)).min(LONGEST);
        self.since + (lifetime - MARGIN.min(lifetime / 5))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.is_revocable && !self.is_over() {
            self.ends.begin(self.server.clone(), self.secret());
        }
    }
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            tokens: Mutex::new(Holdings::new(MOST)),
            logging_in: AtOnce::default(),
            secret_ids: Mutex::new(Holdings::new(MOST)),
            taking_out: Mutex::default(),
            ends: Arc::default(),
        }
    }
}

impl Logins {
    /// Returns the token that `holder` has, or has him log in. Of several that ask at the same time one logs in, and all share what comes
    /// of it, unless the token is for some uses only.
    pub(super) async fn token<L: Future<Output = Result<VaultLogin, ServiceError>>>(
        &self,
        holder: &Holder,
        server: &Arc<Server>,
        log_in: impl Fn() -> L,
    ) -> Result<Arc<Token>, ServiceError> {
        loop {
            if let Some(token) = self.found(holder) {
                return Ok(token);
            }
            let obtain = async {
                match self.found(holder) {
                    Some(token) => Ok(token),
                    None => {
                        let since = Instant::now();
                        log_in().await.map(|login| self.keep(holder, server, login, since))
                    }
                }
            };
            let (obtained, is_own) = self.logging_in.once(holder.clone(), obtain).await;
            if is_own || obtained.as_ref().map_or(true, |token| token.is_for_many_uses) {
                return obtained;
            }
        }
    }

    fn found(&self, holder: &Holder) -> Option<Arc<Token>> {
        self.tokens().find(holder, &(), Instant::now()).cloned()
    }

    fn keep(&self, holder: &Holder, server: &Arc<Server>, login: VaultLogin, since: Instant) -> Arc<Token> {
        let VaultLogin { token, lifetime, is_for_many_uses, is_revocable } = login;
        let token = Arc::new(Token {
            secret: token,
            server: Arc::new(server.for_strangers()),
            is_revocable,
            is_for_many_uses,
            since,
            ends_at: lifetime.and_then(|lifetime| since.checked_add(lifetime)),
            expires_at: lifetime.and_then(|lifetime| Timestamp::now().checked_add(lifetime).ok()),
            ends: self.ends.clone(),
        });
        if is_for_many_uses {
            drop(self.tokens().keep(holder, (), token.clone(), token.is_kept_until(), Instant::now()));
        }
        token
    }

    /// Has a request for a login go on to its end, as [`Ends::log_in`] says.
    pub(super) async fn log_in(
        &self,
        server: &Server,
        asked: impl Future<Output = Result<VaultLogin, ServiceError>> + Send + 'static,
    ) -> Result<VaultLogin, ServiceError> {
        self.ends.log_in(server, asked).await
    }

    /// Takes a login that is nobody else's, for one lease.
    pub(super) fn carrier(&self, server: &Server, login: VaultLogin) -> Carrier {
        Carrier::new(login, server, self.ends.clone())
    }

    /// Gives out a token no more that its server does not let in.
    pub(super) fn lose(&self, lost: &Arc<Token>) {
        drop(self.tokens().forget(|_, token| Arc::ptr_eq(token, lost)));
    }

    /// Returns the secret id that was taken out of a wrapping, or has it taken out: this goes on to its end, also when nobody waits for it
    /// any more, since it can be done only once, and who asks meanwhile waits for the same. `holder` says in its version which wrapping
    /// that is; what was taken out of an earlier one goes.
    pub(super) async fn secret_id<T>(
        self: &Arc<Self>,
        holder: &Holder,
        take_out: impl Fn() -> T,
    ) -> Result<Arc<SecretBytes>, ServiceError>
    where
        T: Future<Output = Result<(SecretBytes, Option<Duration>), ServiceError>> + Send + 'static,
    {
        let taken_out = {
            let mut all = self.taking_out();
            if let Some(found) = self.secret_ids().find(holder, &(), Instant::now()) {
                return Ok(found.clone());
            }
            let begin = || self.begin_to_take_out(holder.clone(), take_out());
            all.entry(holder.clone()).or_insert_with(begin).clone()
        };
        taken_out.await
    }

    /// Has a secret id taken out in a task of its own, which keeps it. Who comes after a failure begins anew.
    fn begin_to_take_out(
        self: &Arc<Self>,
        holder: Holder,
        taken_out: impl Future<Output = Result<(SecretBytes, Option<Duration>), ServiceError>> + Send + 'static,
    ) -> TakingOut {
        let logins = self.clone();
        let kept = tokio::spawn(async move {
            let taken_out = taken_out.await;
            // In one go, so that nobody finds it in neither.
            let mut all = logins.taking_out();
            let kept = taken_out.map(|(secret_id, lifetime)| {
                let (secret_id, now) = (Arc::new(secret_id), Instant::now());
                let until = now + lifetime.unwrap_or(LONGEST_SECRET_ID);
                drop(logins.secret_ids().keep(&holder, (), secret_id.clone(), until, now));
                secret_id
            });
            all.remove(&holder);
            kept
        });
        let kept = async { kept.await.unwrap_or(Err(ServiceError::Malformed { what: "the wrapping" })) };
        kept.boxed().shared()
    }

    /// Ends the tokens, and forgets the secret ids, of backends that are gone.
    pub(in crate::reconcile) fn forget_those_of(&self, gone: &HashSet<String>) {
        drop(self.tokens().forget(|holder, _| gone.contains(&holder.backend)));
        drop(self.secret_ids().forget(|holder, _| gone.contains(&holder.backend)));
    }

    /// Takes out of memory what is out of time.
    pub(in crate::reconcile) fn expire(&self, now: Instant) {
        drop(self.tokens().expire(now));
        drop(self.secret_ids().expire(now));
        self.logging_in.forget_done();
        // It stays only where the task ended in a panic.
        self.taking_out().retain(|_, taken_out| taken_out.peek().is_none());
    }

    /// Ends every token that is kept, or still comes of a request that is under way, and waits for that, but not for long.
    pub async fn end(&self) {
        let all = async {
            loop {
                drop(self.tokens().forget(|_, _| true));
                let mut under_way = self.ends.take();
                if under_way.is_empty() {
                    return;
                }
                while under_way.join_next().await.is_some() {}
            }
        };
        if tokio::time::timeout(TO_END, all).await.is_err() {
            tracing::debug!("some tokens were not ended; they end by themselves");
        }
    }

    fn tokens(&self) -> MutexGuard<'_, Holdings<(), Arc<Token>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taking_out(&self) -> MutexGuard<'_, HashMap<Holder, TakingOut>> {
        self.taking_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret_ids(&self) -> MutexGuard<'_, Holdings<(), Arc<SecretBytes>>> {
        self.secret_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Outcome<T> = Arc<OnceCell<Result<T, ServiceError>>>;

/// What several want at the same time and one does for all of them.
struct AtOnce<K, T>(Mutex<HashMap<K, Outcome<T>>>);

impl<K, T> Default for AtOnce<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T: Clone> AtOnce<K, T> {
    /// Does some work, or waits for who does it already, and tells whether it was done here. When that one is cut off, another of those who
    /// wait begins anew.
    async fn once(
        &self,
        key: K,
        work: impl Future<Output = Result<T, ServiceError>>,
    ) -> (Result<T, ServiceError>, bool) {
        let cell = self.all().entry(key).or_default().clone();
        let mut is_own = false;
        let work = async {
            is_own = true;
            let done = work.await;
            // Who comes later begins anew.
            self.all().retain(|_, other| !Arc::ptr_eq(other, &cell));
            done
        };
        let done = cell.get_or_init(|| work).await.clone();
        (done, is_own)
    }

    /// Forgets what nobody waits for, where all were cut off.
    fn forget_done(&self) {
        self.all().retain(|_, cell| Arc::strong_count(cell) > 1);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Outcome<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::api::{VaultAuth, VaultBackend};

    fn server() -> Arc<Server> {
        server_at("http://127.0.0.1:9")
    }

    fn server_at(address: &str) -> Arc<Server> {
        let auth = VaultAuth { kubernetes: None, jwt: None, app_role: None, cert: None, token_ref: None };
        let spec =
            VaultBackend { address: address.to_owned(), namespace: None, ca_bundle: None, auth, dynamic: Vec::new() };
        Arc::new(Server::new(&spec, None))
    }

    fn holder(account: &str) -> Holder {
        let [tenant, account, backend, version] = [account, account, "b", "1"].map(str::to_owned);
        Holder { tenant, account, backend, version }
    }

    fn login(lifetime: Option<u64>, is_for_many_uses: bool) -> VaultLogin {
        let token = SecretBytes::new(b"hunter2".to_vec());
        VaultLogin { token, lifetime: lifetime.map(Duration::from_secs), is_for_many_uses, is_revocable: false }
    }

    #[test]
    fn a_token_is_given_out_until_shortly_before_it_ends_and_for_no_longer_than_an_hour() {
        let logins = Logins::default();
        for (lifetime, seconds) in
            [(Some(10), 8), (Some(600), 570), (Some(36_000), 3570), (Some(u64::MAX), 3570), (None, 3570)]
        {
            let token = logins.keep(&holder("shop"), &server(), login(lifetime, true), Instant::now());
            assert_eq!(token.is_kept_until() - token.since, Duration::from_secs(seconds), "{lifetime:?}");
        }
    }

    /// Returns how often somebody logged in when eight of an account asked at the same time.
    async fn asked_by_eight(logins: &Logins, account: &str, is_for_many_uses: bool) -> u64 {
        let (times, server) = (AtomicU64::new(0), server());
        let log_in = || async {
            times.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(login(Some(600), is_for_many_uses))
        };
        let holder = holder(account);
        let all = (0..8).map(|_| logins.token(&holder, &server, log_in));
        assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
        times.into_inner()
    }

    #[tokio::test]
    async fn of_several_that_ask_at_once_one_logs_in_unless_the_token_is_for_some_uses_only() {
        let logins = Logins::default();
        assert_eq!(asked_by_eight(&logins, "shop", true).await, 1);
        assert_eq!(asked_by_eight(&logins, "shop", true).await, 0);
        assert_eq!(asked_by_eight(&logins, "bank", true).await, 1);
        assert_eq!(asked_by_eight(&logins, "limited", false).await, 8);
    }

    /// Takes a secret id out as soon as it may.
    async fn taken_out(
        times: Arc<AtomicU64>,
        may: Arc<Semaphore>,
    ) -> Result<(SecretBytes, Option<Duration>), ServiceError> {
        times.fetch_add(1, Ordering::Relaxed);
        let _place = may.acquire().await;
        Ok((SecretBytes::new(b"hunter2".to_vec()), None))
    }

    #[tokio::test]
    async fn a_secret_id_is_taken_out_of_its_wrapping_once_also_where_who_began_is_cut_off() {
        let (logins, holder) = (Arc::new(Logins::default()), holder("shop"));
        let (times, may) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let take_out = || taken_out(times.clone(), may.clone());
        let mut cut_off = Box::pin(logins.secret_id(&holder, take_out));
        assert!(futures::poll!(cut_off.as_mut()).is_pending());
        drop(cut_off);
        let mut waiting = Box::pin(logins.secret_id(&holder, take_out));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        may.add_permits(1);
        assert_eq!(waiting.await.unwrap().expose_secret(), b"hunter2");
        assert!(logins.secret_id(&holder, take_out).await.is_ok());
        assert_eq!(times.load(Ordering::Relaxed), 1);
        assert!(logins.taking_out().is_empty());
    }

    /// Answers requests that need no answer, and tells the first line of each.
    fn told_by_a_server() -> (Arc<Server>, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = server_at(&format!("http://{}", listener.local_addr().unwrap()));
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                // Told first: who asked may look for it as soon as there is an answer.
                tell.send(lines.next().unwrap()).unwrap();
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
            }
        });
        (server, told)
    }

    #[tokio::test]
    async fn a_token_that_comes_of_a_login_whose_turn_was_cut_off_is_ended_too() {
        let (logins, (server, told)) = (Logins::default(), told_by_a_server());
        let may = Arc::new(Semaphore::new(0));
        let asked = |may: Arc<Semaphore>, is_revocable| async move {
            let _place = may.acquire().await;
            Ok(VaultLogin { is_revocable, ..login(Some(600), true) })
        };
        for is_revocable in [true, false] {
            let mut cut_off = Box::pin(logins.log_in(&server, asked(may.clone(), is_revocable)));
            assert!(futures::poll!(cut_off.as_mut()).is_pending());
        }
        may.add_permits(2);
        let taken = logins.log_in(&server, asked(may.clone(), true)).await;
        logins.end().await;
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["POST /v1/auth/token/revoke-self HTTP/1.1"]);
        assert_eq!(taken.unwrap().token.expose_secret(), b"hunter2");
    }

    #[tokio::test]
    async fn what_fails_fails_for_all_that_wait_and_is_tried_anew_by_who_comes_later() {
        let (logins, server, holder, times) = (Logins::default(), server(), holder("shop"), AtomicU64::new(0));
        let log_in = || async {
            times.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(ServiceError::Answer { service: "Vault" })
        };
        for tried in [1, 2] {
            let all = (0..8).map(|_| logins.token(&holder, &server, log_in));
            assert!(futures::future::join_all(all).await.iter().all(Result::is_err));
            assert_eq!(times.load(Ordering::Relaxed), tried);
        }
    }
}
