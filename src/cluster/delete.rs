//! Deleting one object, with the proofs that it is the one we made.

use serde_json::{Value, json};
use waxwing_plan::{LiveMark, ObjectId, OwnerMark};

use super::apply::{Cause, Session};
use super::call::{Call, Privacy};
use super::marks::metadata;

/// What deleting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The API server accepted the delete; finalizers may keep the object for a while.
    Deleted,
    /// The object is gone, or another one stands in its place.
    Absent,
    /// The object no longer carries our mark, so it is not ours to delete.
    NotOurs,
}

impl Session<'_> {
    /// Deletes `id` if it still is the object with `uid` and still carries `owner`'s mark.
    ///
    /// The mark is read right before, as the controller; the delete is made as the session's identity, with uid and
    /// resourceVersion as preconditions, so a write in between makes it fail. Dependents go in the background.
    ///
    /// # Errors
    ///
    /// Fails as the requests do.
    pub async fn delete(&self, id: &ObjectId, uid: &str, owner: &OwnerMark) -> Result<Deletion, Cause> {
        let kinds = self.kinds.get().await.map_err(Cause::Call)?;
        let path = kinds.any_version(&id.kind).and_then(|version| kinds.object_path(id, version));
        let Some(path) = path else { return Ok(Deletion::Absent) };
        let live = match metadata(&self.client, &path).await {
            Ok(live) => LiveMark::from_metadata(&live),
            Err(error) if error.is_not_found() => return Ok(Deletion::Absent),
            Err(error) => return Err(Cause::Call(error)),
        };
        if live.uid != uid {
            return Ok(Deletion::Absent);
        }
        if live.owner.as_ref() != Some(owner) {
            return Ok(Deletion::NotOurs);
        }
        let options = delete_options(uid, &live.resource_version);
        let call = Call::delete(&path, &options).privacy(Privacy::Secret);
        match call.send_raw(&self.client, &self.identity).await {
            Ok(_) => Ok(Deletion::Deleted),
            Err(error) if error.is_not_found() => Ok(Deletion::Absent),
            Err(error) => Err(Cause::Call(error)),
        }
    }
}

fn delete_options(uid: &str, resource_version: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    })
}
