//! Deleting one object, with the proofs that it is the one we made.

use serde_json::{Value, json};
use waxwing_plan::{Deletion, LiveMark, Recheck};

use super::apply::{Cause, Session};
use super::call::{Call, CallError, METADATA_ONLY, Privacy};
use super::marks::metadata;

/// What deleting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The API server accepted the delete; finalizers may keep the object for a while.
    Deleted,
    /// The object was gone already.
    Absent,
    /// The object is no longer what the plan saw; the next plan decides.
    Left,
}

impl Session<'_> {
    /// Deletes an object that a plan with its proofs allows to delete, if it still is what the plan saw.
    ///
    /// The mark is read right before, as the controller or else as the session's identity; the delete is made as that identity, with uid and
    /// resourceVersion as preconditions, so a write in between makes it fail. Dependents go in the background.
    ///
    /// # Errors
    ///
    /// Fails as the requests do.
    pub async fn delete(&self, deletion: &Deletion) -> Result<Deleted, Cause> {
        let kinds = self.kinds.get().await.map_err(Cause::Call)?;
        let version = kinds.any_version(&deletion.id().kind).unwrap_or(deletion.version());
        let unknown = || Cause::UnknownKind {
            kind: deletion.id().kind.kind.clone(),
            api_version: deletion.id().kind.api_version(version),
        };
        let path = kinds.object_path(deletion.id(), version).ok_or_else(unknown)?;
        let live = match metadata(&self.client, &path, &self.identity).await {
            Ok(answer) => LiveMark::from_metadata(&answer).map_err(|_| Cause::Call(CallError::malformed(&path)))?,
            Err(error) if error.is_not_found() => return Ok(Deleted::Absent),
            Err(error) => return Err(Cause::Call(error)),
        };
        let Recheck::Delete { resource_version } = deletion.recheck(Some(&live)) else { return Ok(Deleted::Left) };
        let options = delete_options(deletion.uid(), &resource_version);
        let call = Call::delete(&path, &options).accept(METADATA_ONLY).privacy(Privacy::Secret);
        match call.send_raw(&self.client, &self.identity).await {
            Ok(_) => Ok(Deleted::Deleted),
            Err(error) if error.is_not_found() => Ok(Deleted::Absent),
            Err(error) if error.code() == Some(409) => Ok(Deleted::Left),
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
