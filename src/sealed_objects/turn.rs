//! One turn of a SealedSecret: is its Secret as it should be, and if not, open it and write that.
//!
//! Whether there is something to do is decided by metadata, without a key. A Secret that stands is only ever replaced by one that
//! was opened as a whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;

use super::error::Trouble;
use super::events;
use super::fields::Mark;
use super::form::Contents;
use super::memory::Done;
use super::object::{SealedSecret, synced_condition};
use super::ownership::{Hold, is_of_sync};
use super::produce::Production;
use super::status::Told;
use super::{OPENED_AT_ONCE, Objects, status};
use crate::cluster::{self, CallError, FIELD_MANAGER, is_newer};
use crate::reconcile::Place;

/// The longest pause between two tries of what passes unseen.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What a turn came to, where nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything was as it should be.
    Unchanged,
    /// The Secret was written.
    Written,
}

/// Gives a SealedSecret its turn, and returns after how long it wants the next one, none where it is asked for when there is a
/// reason. Its place is the next one's as soon as there is nothing left to do but to tell what came of it.
pub(super) async fn turn(objects: Arc<Objects>, name: ObjectRef<SealedSecret>, place: Place) -> Option<Duration> {
    let object = objects.cache.get(&name).filter(|object| object.metadata.deletion_timestamp.is_none())?;
    drop(name);
    // In boxes, since many may wait to be told at the same time.
    let making = objects.telling.making();
    let came_to = Box::pin(make_so(&objects, &object)).await;
    drop((making, place));
    note(&objects, &object, came_to.as_ref());
    let unwritten = tell(&objects, &object, came_to.as_ref()).await;
    let uid = object.uid().unwrap_or_default();
    if let (Err(Trouble::Contested { left, .. }), None) = (&came_to, unwritten) {
        objects.retries.forget(&uid);
        return Some(*left);
    }
    let passes = came_to.as_ref().err().and_then(Trouble::passes).max(unwritten);
    match passes {
        Some(asked) => Some(objects.retries.pause(&uid, asked, LONGEST_PAUSE)),
        None => {
            objects.retries.forget(&uid);
            None
        }
    }
}

async fn make_so(objects: &Objects, object: &SealedSecret) -> Result<Outcome, Trouble> {
    objects.metrics.sealed_objects.asked();
    let production = Production::of(object)?;
    let look = Look { objects, object, production: &production };
    let known = objects.secrets.get(&ObjectRef::from_obj(object));
    if known.as_ref().is_some_and(|secret| look.is_as_it_should_be(secret)) {
        return Ok(Outcome::Unchanged);
    }
    // Of a SealedSecret that nobody has said anything of there is probably no Secret; if there is one, creating it says so.
    if known.is_none() && !object.is_told() {
        match look.write(None, false).await {
            Err(Trouble::Call(error)) if error.code() == Some(409) => {}
            written => return written,
        }
    }
    let (namespace, name) = (production.form.namespace(), production.form.name());
    let live = cluster::secret_metadata(&objects.client, namespace, name).await?;
    let live = match &live {
        Some(live) if look.is_as_it_should_be(live) => return Ok(Outcome::Unchanged),
        Some(live) => Some((live, look.hold(live)?)),
        None => None,
    };
    let is_revert = live.is_some_and(|(live, _)| was_done(objects, object, Some(live)));
    if let (true, Some((live, _)), Some(left)) = (is_revert, live, objects.memory.contested(object, Instant::now())) {
        return Err(Trouble::Contested { by: last_writer(live), left });
    }
    look.write(live, is_revert).await
}

/// Tells whether this spec was done once, so that what its Secret is to be now was written over by somebody. A status that says
/// that putting it back failed doesn't change that, also after a start. What changed beside the spec while nobody looked, such as the
/// scope, was not done: it is later than what was said, and than the Secret if that stands.
fn was_done(objects: &Objects, object: &SealedSecret, live: Option<&ObjectMeta>) -> bool {
    match objects.memory.done(object) {
        Some(done) => done.generation == object.metadata.generation && done.scope == object.scope(),
        None => {
            let is_later = || live.is_some_and(|live| is_newer(&version(&object.metadata), &version(live)));
            (object.is_done() && !object.is_changed_since_told() && !is_later()) || object.was_done_once()
        }
    }
}

/// Opens all items and runs the templates over them.
async fn opened(objects: &Objects, object: &SealedSecret, production: &Production<'_>) -> Result<Contents, Trouble> {
    let (form, ring, hint) = (production.form.clone(), objects.keys.ring(), objects.memory.key(object));
    let whole = move || form.contents(&ring, hint.as_ref());
    let _place = OPENED_AT_ONCE.acquire().await;
    tokio::task::spawn_blocking(whole).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Returns who but us wrote something into a Secret last.
fn last_writer(live: &ObjectMeta) -> Option<String> {
    let others = live.managed_fields.iter().flatten();
    let others = others.filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER));
    others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?.manager.clone()
}

/// Tells the refusal of a Secret that may not be changed from others: the API server's message is not kept.
fn refused(error: CallError, live: Option<&ObjectMeta>) -> Trouble {
    let CallError::Refused(refusal) = &error else { return error.into() };
    let entries = live.into_iter().flat_map(|live| live.managed_fields.iter().flatten());
    let mut fields = entries.filter_map(|entry| entry.fields_v1.as_ref());
    let may_be_immutable = fields.any(|fields| fields.0.get("f:immutable").is_some());
    let is_about_it = refusal.fields.iter().any(|field| field == "data" || field == "immutable");
    match refusal.code == 422 && may_be_immutable && is_about_it {
        true => Trouble::Immutable,
        false => error.into(),
    }
}

/// Looks at what stands.
struct Look<'a> {
    objects: &'a Objects,
    object: &'a SealedSecret,
    production: &'a Production<'a>,
}

impl Look<'_> {
    /// Opens everything and writes it, over `live` where a Secret stands.
    async fn write(&self, live: Option<(&ObjectMeta, Hold)>, is_revert: bool) -> Result<Outcome, Trouble> {
        let Self { objects, object, production } = self;
        // Before anything is opened: without it nobody could have what comes of that, and those that wait for each other share it.
        let carrier = objects.carrier.get()?;
        let mut contents = opened(objects, object, production).await?;
        let key = contents.key.take();
        let request = production.request(contents, live)?;
        let written = match live {
            None => cluster::create_secret(&carrier, production.form.namespace(), &request).await,
            // What this spec made was written over: what others put beside it is theirs until the next one.
            Some((live, _)) if is_revert => cluster::apply_secret(&carrier, &request, live, &[]).await,
            Some((live, hold)) => cluster::apply_secret(&carrier, &request, live, hold.taken()).await,
        };
        let written = written.map_err(|error| refused(error, live.map(|(live, _)| live)))?;
        if is_revert {
            objects.memory.note_revert(object, Instant::now());
        }
        objects.memory.note_done(object, self.done(&written), key);
        Ok(Outcome::Written)
    }

    /// Tells whether there is nothing to do: this spec was done, and nobody wrote over what came of it. After a start that is read
    /// from the times that the API server has noted.
    fn is_as_it_should_be(&self, secret: &ObjectMeta) -> bool {
        // Its end is told, and it is made again then.
        if secret.deletion_timestamp.is_some() {
            return true;
        }
        let mark = self.mark(secret);
        let now = self.done_as(mark.as_ref());
        match self.objects.memory.done(self.object) {
            Some(done) => done == now && (now.secret.is_some() || self.may_be_left(secret)),
            None if self.was_done_before(secret, mark.as_ref()) => {
                self.objects.memory.note_done(self.object, now, None);
                true
            }
            None => false,
        }
    }

    fn was_done_before(&self, secret: &ObjectMeta, mark: Option<&Mark>) -> bool {
        let Some(told) = self.object.status_written().filter(|_| self.object.is_done()) else { return false };
        if self.object.is_changed_since_told() {
            return false;
        }
        let Some(mark) = mark else { return self.may_be_left(secret) };
        let mut writers = self.object.status_writers();
        writers.push(FIELD_MANAGER);
        // A field that somebody took away leaves no entry; what was written after the status has a later version.
        let is_later = || is_newer(&version(&self.object.metadata), &version(secret));
        mark.is_older(told, &writers) && (self.production.is_traced() || is_later())
    }

    /// Returns what is noted when the Secret is left like this.
    fn done(&self, secret: &ObjectMeta) -> Done {
        self.done_as(self.mark(secret).as_ref())
    }

    fn done_as(&self, mark: Option<&Mark>) -> Done {
        Done {
            generation: self.object.metadata.generation,
            scope: self.object.scope(),
            secret: mark.map(|mark| mark.digest),
        }
    }

    /// Says who has the fields that count of a Secret that may be written.
    fn mark(&self, secret: &ObjectMeta) -> Option<Mark> {
        self.production.mark((secret, Hold::of(secret, &self.uid())?))
    }

    /// Tells whether a Secret that may not be written is left as it is without a word: it was not to belong to the SealedSecret.
    fn may_be_left(&self, secret: &ObjectMeta) -> bool {
        Hold::of(secret, &self.uid()).is_none() && !is_of_sync(secret) && !self.production.is_owned()
    }

    fn hold(&self, secret: &ObjectMeta) -> Result<Hold, Trouble> {
        let unmanaged =
            || Trouble::Unmanaged { name: secret.name.clone().unwrap_or_default(), of_sync: is_of_sync(secret) };
        Hold::of(secret, &self.uid()).ok_or_else(unmanaged)
    }

    fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }
}

fn version(of: &ObjectMeta) -> String {
    of.resource_version.clone().unwrap_or_default()
}

/// Remembers and counts what came of it.
fn note(objects: &Objects, object: &SealedSecret, came_to: Result<&Outcome, &Trouble>) {
    let namespace = object.namespace().unwrap_or_default();
    match came_to {
        Ok(Outcome::Unchanged) => objects.memory.note_good(object),
        Ok(Outcome::Written) => {}
        Err(trouble) => {
            objects.metrics.sealed_objects.failed(trouble.metric_reason(), &namespace);
            objects.memory.note_failed(object, trouble.is_about_keys());
        }
    }
    objects.metrics.sealed_objects.observe(&namespace, &object.name_any(), object.instance(), came_to.is_ok());
}

/// Writes down what came of it where people and programs look, when it is time for that. Returns after how long at least the status is
/// to be written again, none when it stands.
async fn tell(objects: &Objects, object: &SealedSecret, came_to: Result<&Outcome, &Trouble>) -> Option<Duration> {
    resource(objects, object, came_to)?;
    let _place = objects.telling.place().await;
    // By now there may be another one of its name.
    let current = objects.cache.get(&ObjectRef::from_obj(object))?;
    if current.uid() != object.uid() {
        return None;
    }
    let both = async { tokio::join!(write_status(objects, object, came_to), publish(objects, object, came_to)).0 };
    let error = Box::pin(both).await.err()?;
    tracing::warn!(object = %ObjectRef::from_obj(object), %error, "failed to write the status");
    objects.metrics.sealed_objects.failed("status", &object.namespace().unwrap_or_default());
    Some(error.passes().unwrap_or_default())
}

async fn write_status(
    objects: &Objects,
    object: &SealedSecret,
    came_to: Result<&Outcome, &Trouble>,
) -> Result<(), CallError> {
    match resource(objects, object, came_to) {
        Some(resource) => cluster::write_status(&objects.client, &object.path(), &resource).await.map(drop),
        None => Ok(()),
    }
}

async fn publish(objects: &Objects, object: &SealedSecret, came_to: Result<&Outcome, &Trouble>) {
    let status = object.status();
    let told = synced_condition(&status).and_then(|synced| synced.get("message")?.as_str());
    match came_to {
        Ok(Outcome::Written) => events::unsealed(objects, object).await,
        Err(trouble) if told != Some(&trouble.to_string()) => events::failed(objects, object, trouble).await,
        Ok(Outcome::Unchanged) | Err(_) => {}
    }
}

/// Returns the resource with the status that says what came of it, none where it says so already.
fn resource(objects: &Objects, object: &SealedSecret, came_to: Result<&Outcome, &Trouble>) -> Option<Value> {
    let message = came_to.err().map(ToString::to_string);
    let trouble = message.as_deref().map(|message| Told { message, was_done: was_done(objects, object, None) });
    status::resource(object, trouble, came_to == Ok(&Outcome::Written), Timestamp::now())
}
