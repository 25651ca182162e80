//! What is remembered of each SealedSecret while the controller runs: which key opens it, what its Secret was when it was last
//! done, and whether it failed. Losing it costs nothing: what was done is seen in the metadata of both.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use waxwing_formats::sealed_secret::{Fingerprint, Scope};
use waxwing_plan::Digest;

use super::object::SealedSecret;
use super::secrets::name;

/// After so many times within [`CONTEST`] what others write over is left for a while.
const MOST_REVERTS: usize = 10;
/// How long a write over a Secret counts.
const CONTEST: Duration = Duration::from_secs(5 * 60);

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) generation: Option<i64>,
    pub(super) scope: Scope,
    /// How its Secret was left; none where that does not belong to it and is left to others.
    pub(super) secret: Option<Digest>,
}

#[derive(Debug, Default)]
struct Known {
    uid: String,
    key: Option<Fingerprint>,
    done: Option<Done>,
    failed: Option<Failed>,
    /// When its Secret was last put back.
    reverts: VecDeque<Instant>,
}

/// How a SealedSecret failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    /// Another keyring may help.
    about_keys: bool,
}

/// All SealedSecrets that were looked at.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<ObjectRef<SealedSecret>, Known>>);

impl Memory {
    /// Returns the key that opened it last.
    pub(super) fn key(&self, object: &SealedSecret) -> Option<Fingerprint> {
        self.of(object, |known| known.key.clone())
    }

    /// Returns what was done last.
    pub(super) fn done(&self, object: &SealedSecret) -> Option<Done> {
        self.of(object, |known| known.done.clone())
    }

    /// Notes what was done, and by which key where something was opened.
    pub(super) fn note_done(&self, object: &SealedSecret, done: Done, key: Option<Fingerprint>) {
        self.of(object, |known| {
            (known.done, known.failed) = (Some(done), None);
            known.key = key.or(known.key.take());
        });
    }

    /// Notes that it failed. What was done before may still stand.
    pub(super) fn note_failed(&self, object: &SealedSecret, about_keys: bool) {
        self.of(object, |known| known.failed = Some(Failed { about_keys }));
    }

    /// Returns how long its Secret is left as others write it, none where it was not put back too often of late.
    pub(super) fn contested(&self, object: &SealedSecret, now: Instant) -> Option<Duration> {
        self.of(object, |known| {
            known.reverts.retain(|then| now.duration_since(*then) < CONTEST);
            let first = known.reverts.front().filter(|_| known.reverts.len() >= MOST_REVERTS)?;
            Some(CONTEST - now.duration_since(*first))
        })
    }

    /// Notes that its Secret was put back.
    pub(super) fn note_revert(&self, object: &SealedSecret, now: Instant) {
        self.of(object, |known| known.reverts.push_back(now));
    }

    /// Forgets all but those that `is_there` knows.
    pub(super) fn keep(&self, is_there: impl Fn(&ObjectRef<SealedSecret>) -> bool) {
        self.all().retain(|name, _| is_there(name));
    }

    /// Tells whether the last try failed.
    pub(super) fn has_failed(&self, name: &ObjectRef<SealedSecret>) -> bool {
        self.all().get(name).is_some_and(|known| known.failed.is_some())
    }

    /// Returns those that another keyring may help.
    pub(super) fn waiting_for_keys(&self) -> Vec<ObjectRef<SealedSecret>> {
        let all = self.all();
        let waits = |known: &Known| known.failed.is_some_and(|failed| failed.about_keys);
        all.iter().filter(|(_, known)| waits(known)).map(|(name, _)| name.clone()).collect()
    }

    /// Notes that there was nothing to do.
    pub(super) fn note_good(&self, object: &SealedSecret) {
        self.of(object, |known| known.failed = None);
    }

    /// Looks at what is known of an object; of another one of its name nothing is.
    fn of<R>(&self, object: &SealedSecret, look: impl FnOnce(&mut Known) -> R) -> R {
        let mut all = self.all();
        let known = all.entry(name(&object.metadata)).or_default();
        let uid = object.uid().unwrap_or_default();
        if known.uid != uid {
            *known = Known { uid, ..Known::default() };
        }
        look(known)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ObjectRef<SealedSecret>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
