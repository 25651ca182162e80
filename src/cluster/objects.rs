//! Reading a whole object, for its health.
//!
//! Never a Secret, and never to keep: the answer is judged and dropped.

use kube::Client;
use serde_json::Value;
use waxwing_plan::{GroupKind, ObjectId};

use super::call::{Call, CallError, Privacy};
use super::discovery::Kinds;
use super::identity::Identity;

/// Reads one object as the controller, or as the `tenant` where the controller may not; none when it doesn't exist, and none
/// for a Secret.
///
/// # Errors
///
/// Fails when the API server doesn't answer.
pub async fn read(
    client: &Client,
    kinds: &Kinds,
    id: &ObjectId,
    version: &str,
    tenant: &Identity,
) -> Result<Option<Value>, CallError> {
    let path = kinds.object_path(id, version).filter(|_| id.kind != GroupKind::new("", "Secret"));
    let Some(path) = path else { return Ok(None) };
    let read = |reader| Call::get(&path).privacy(Privacy::Secret).send(client, reader);
    let answer = match read(&Identity::Controller).await {
        Err(error) if error.is_forbidden() => read(tenant).await,
        answer => answer,
    };
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
