//! Giving up fields that a Sync leaves to others.
//!
//! Server-side apply removes a field that our manager owned alone and no longer sends. So before an apply without such a
//! field, and right after the apply that created its object, it is taken out of our entry of `metadata.managedFields`:
//! its value stays, and whoever writes it next does not run into a conflict with us.

use kube::Client;
use serde_json::{Map, Value};
use waxwing_plan::{FieldPath, ObjectId};

use super::adoption::{is_ours, rewrite};
use super::apply::Cause;
use super::call::CallError;
use super::identity::Identity;
use super::marks::metadata;

/// How often it is tried while others write to the object.
const ATTEMPTS: usize = 5;

/// Who gives up which fields of which object.
pub(super) struct Release<'a> {
    pub(super) client: &'a Client,
    pub(super) identity: &'a Identity,
    /// The object's path at the API server.
    pub(super) path: &'a str,
    pub(super) id: &'a ObjectId,
    /// The object as it is sent, with public values only: it tells which item of a list a position means.
    pub(super) skeleton: &'a Value,
    pub(super) fields: &'a [FieldPath],
}

impl Release<'_> {
    /// Gives the fields up, as far as they are ours. Takes the live object's metadata and returns it as it is then.
    ///
    /// # Errors
    ///
    /// Fails as the requests do, and when a field is part of something that is only ever replaced as a whole.
    pub(super) async fn run(&self, mut live: Value) -> Result<Value, Cause> {
        for attempt in 1.. {
            let Some(entries) = self.without_fields(&live)? else { break };
            match rewrite(self.client, self.identity, self.path, &live, entries).await {
                Ok(released) => return Ok(released),
                Err(error) if error.code() == Some(409) && attempt < ATTEMPTS => live = self.live().await?,
                Err(error) => return Err(Cause::Call(error)),
            }
        }
        Ok(live)
    }

    /// Reads the live object's metadata.
    pub(super) async fn live(&self) -> Result<Value, Cause> {
        metadata(self.client, self.path, self.identity).await.map_err(Cause::Call)
    }

    /// Returns the new `managedFields`, none when no field is ours.
    fn without_fields(&self, live: &Value) -> Result<Option<Vec<Value>>, Cause> {
        let malformed = || Cause::Call(CallError::malformed(&self.id.to_string()));
        let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).ok_or_else(malformed)?;
        let mut entries = entries.clone();
        let mut released = false;
        for entry in entries.iter_mut().filter(|entry| is_ours(entry)) {
            let Some(Value::Object(owned)) = entry.get_mut("fieldsV1") else { continue };
            for field in self.fields {
                released |= remove(owned, Some(self.skeleton), &field.segments())
                    .map_err(|Whole| Cause::OwnedAsAWhole { id: self.id.clone(), field: field.clone() })?;
            }
        }
        Ok(released.then_some(entries))
    }
}

/// A field is part of something that is owned as a whole.
struct Whole;

/// Removes a field from a field set (structured-merge-diff, "FieldsV1": nested maps of path elements), and what is empty
/// after that: an element with nothing below it stands for all that is there. Tells whether the field was in the set.
fn remove(owned: &mut Map<String, Value>, value: Option<&Value>, segments: &[String]) -> Result<bool, Whole> {
    let Some((first, rest)) = segments.split_first() else { return Ok(false) };
    let (element, below) = element(owned, value, first);
    if rest.is_empty() {
        return Ok(owned.remove(&element).is_some());
    }
    let Some(Value::Object(inner)) = owned.get_mut(&element) else { return Ok(false) };
    if inner.is_empty() {
        return Err(Whole);
    }
    let removed = remove(inner, below, rest)?;
    if inner.is_empty() {
        owned.remove(&element);
    }
    Ok(removed)
}

/// Returns the path element of a name or position, and the value there.
fn element<'v>(owned: &Map<String, Value>, value: Option<&'v Value>, segment: &str) -> (String, Option<&'v Value>) {
    let Some(Value::Array(items)) = value else {
        return (format!("f:{segment}"), value.and_then(|value| value.get(segment)));
    };
    let item = segment.parse().ok().and_then(|position: usize| items.get(position));
    let keyed = owned.keys().find(|element| item.is_some_and(|item| is_key_of(element, item)));
    (keyed.cloned().unwrap_or_else(|| format!("i:{segment}")), item)
}

/// Tells whether `element` is the key of a list's item. A part of a key that the item doesn't have is a default.
fn is_key_of(element: &str, item: &Value) -> bool {
    let key = element.strip_prefix("k:").and_then(|key| serde_json::from_str::<Map<String, Value>>(key).ok());
    let fits = |key: &Map<String, Value>| {
        let mut given = key.iter().filter_map(|(name, value)| Some((value, item.get(name)?))).peekable();
        given.peek().is_some() && given.all(|(wanted, found)| wanted == found)
    };
    key.is_some_and(|key| fits(&key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is left of the field set `owned` of `object` without `field`; none when the field is part of a whole.
    fn left(owned: Value, object: &Value, field: &str) -> Option<(bool, Value)> {
        let Value::Object(mut owned) = owned else { return None };
        let path: FieldPath = field.parse().expect("it is well-formed");
        let removed = remove(&mut owned, Some(object), &path.segments()).ok()?;
        Some((removed, Value::Object(owned)))
    }

    #[test]
    fn a_field_goes_and_nothing_stays_that_would_stand_for_more() {
        let object = json!({"spec": {"replicas": 2, "paused": true}});
        let both = json!({"f:spec": {"f:replicas": {}, "f:paused": {}}});
        assert_eq!(left(both, &object, "/spec/replicas"), Some((true, json!({"f:spec": {"f:paused": {}}}))));
        let one = json!({"f:spec": {"f:replicas": {}}, "f:data": {}});
        assert_eq!(left(one, &object, "/spec/replicas"), Some((true, json!({"f:data": {}}))));
        let none = json!({"f:spec": {"f:paused": {}}});
        assert_eq!(left(none.clone(), &object, "/spec/replicas"), Some((false, none)));
        let dotted = json!({"f:spec": {".": {}, "f:replicas": {}}});
        assert_eq!(left(dotted, &object, "/spec/replicas"), Some((true, json!({"f:spec": {".": {}}}))));
    }

    #[test]
    fn a_position_means_the_item_that_stands_there() {
        let object = json!({"c": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}],
            "ports": [{"port": 80, "x": 1}, {"port": 80, "protocol": "UDP", "x": 1}]});
        let owned = json!({"f:c": {
            r#"k:{"name":"b"}"#: {".": {}, "f:image": {}}, r#"k:{"name":"a"}"#: {".": {}, "f:image": {}}}});
        let without = json!({"f:c": {
            r#"k:{"name":"b"}"#: {".": {}}, r#"k:{"name":"a"}"#: {".": {}, "f:image": {}}}});
        assert_eq!(left(owned.clone(), &object, "/c/1/image"), Some((true, without)));
        assert_eq!(left(owned.clone(), &object, "/c/2/image"), Some((false, owned)));
        let (tcp, udp) = (r#"k:{"port":80,"protocol":"TCP"}"#, r#"k:{"port":80,"protocol":"UDP"}"#);
        let owned = json!({"f:ports": {tcp: {".": {}, "f:x": {}}, udp: {".": {}, "f:x": {}}}});
        let without = json!({"f:ports": {tcp: {".": {}, "f:x": {}}, udp: {".": {}}}});
        assert_eq!(left(owned, &object, "/ports/1/x"), Some((true, without)));
    }

    #[test]
    fn a_part_of_what_is_owned_as_a_whole_can_not_be_given_up() {
        let object = json!({"spec": {"args": [{"x": 1}]}});
        assert_eq!(left(json!({"f:spec": {"f:args": {}}}), &object, "/spec/args/0/x"), None);
        assert_eq!(left(json!({"f:spec": {"f:args": {}}}), &object, "/spec/args"), Some((true, json!({}))));
    }
}
