//! Events about SealedSecrets, with the reasons of the Sealed Secrets controller (`pkg/controller/controller.go` of sealed-secrets 0.40)
//! and from the component that it names.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;

use super::Objects;
use super::error::Trouble;
use super::object::SealedSecret;
use crate::cluster::LONGEST_ANSWER;

/// Who these events are from.
const COMPONENT: &str = "sealed-secrets";
/// The most bytes of an event's note that the API server takes.
const NOTE_LIMIT: usize = 1024;

/// Says that the Secret was written.
pub(super) async fn unsealed(objects: &Objects, object: &SealedSecret) {
    publish(objects, object, EventType::Normal, "Unsealed", "SealedSecret unsealed successfully").await;
}

/// Says why not.
pub(super) async fn failed(objects: &Objects, object: &SealedSecret, trouble: &Trouble) {
    publish(objects, object, EventType::Warning, trouble.event_reason(), &trouble.event_note()).await;
}

async fn publish(objects: &Objects, object: &SealedSecret, kind: EventType, reason: &str, note: &str) {
    let name = ObjectRef::from_obj(object);
    match kind {
        EventType::Normal => tracing::info!(object = %name, reason, "{note}"),
        EventType::Warning => tracing::warn!(object = %name, reason, "{note}"),
    }
    let note = note.get(..note.floor_char_boundary(NOTE_LIMIT)).unwrap_or_default().to_owned();
    let action = "Unseal".to_owned();
    let event = Event { type_: kind, reason: reason.to_owned(), note: Some(note), action, secondary: None };
    let reporter = Reporter { controller: COMPONENT.to_owned(), instance: None };
    let recorder = Recorder::new(objects.client.clone(), reporter);
    let regarding = object.object_ref(&());
    let published = tokio::time::timeout(LONGEST_ANSWER, recorder.publish(&event, &regarding)).await;
    if !matches!(published, Ok(Ok(()))) {
        tracing::warn!(object = %name, "failed to publish an event");
    }
}
