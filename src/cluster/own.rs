//! Writes to our own resources, as the controller: statuses and finalizers.
//!
//! The inventory is `inventory.rs`. Nothing here says what stands in a status.

use kube::Client;
use serde_json::{Value, json};

use super::call::{Call, CallError, METADATA_ONLY};
use super::identity::Identity;

/// The field manager of our own status.
const STATUS_MANAGER: &str = "waxwing-status";
/// The field manager of our finalizers.
const FINALIZER_MANAGER: &str = "waxwing-finalizer";
/// How often finalizers are written that somebody else writes at the same time.
const ATTEMPTS: usize = 4;

/// Applies a status to the resource at `path`, and returns the resourceVersion that it has then; none when it is gone.
///
/// # Errors
///
/// Fails as the request does.
pub async fn write_status(client: &Client, path: &str, resource: &Value) -> Result<Option<String>, CallError> {
    let path = format!("{path}/status?fieldManager={STATUS_MANAGER}&force=true");
    let call = Call::apply(&path, resource.to_string().into()).accept(METADATA_ONLY);
    match call.send(client, &Identity::Controller).await {
        Ok(written) => Ok(Some(text(&written, "/metadata/resourceVersion"))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What has to be known of a resource to write its finalizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalizers {
    /// The resource's uid: another resource of the same name is left alone.
    pub uid: String,
    /// The resourceVersion that it had.
    pub version: String,
    /// The finalizers that it had.
    pub names: Vec<String>,
}

/// Changes the finalizers of the resource at `path` from what was `known`; when somebody wrote it since, from what it has now.
/// A resource that is gone has none.
///
/// # Errors
///
/// Fails as the requests do, with 409 when somebody else is always faster.
pub async fn change_finalizers(
    client: &Client,
    path: &str,
    mut known: Finalizers,
    change: impl Fn(&[String]) -> Vec<String>,
) -> Result<(), CallError> {
    let written = format!("{path}?fieldManager={FINALIZER_MANAGER}");
    for attempt in 1.. {
        let names = change(&known.names);
        if names == known.names {
            break;
        }
        let patch = json!({"metadata": {"finalizers": names, "resourceVersion": known.version, "uid": known.uid}});
        let call = Call::merge_patch(&written, &patch).accept(METADATA_ONLY);
        match call.send(client, &Identity::Controller).await {
            Err(error) if error.code() == Some(409) && attempt < ATTEMPTS => match read(client, path).await? {
                Some(now) if now.uid == known.uid => known = now,
                _ => break,
            },
            Err(error) if !error.is_not_found() => return Err(error),
            _ => break,
        }
    }
    Ok(())
}

async fn read(client: &Client, path: &str) -> Result<Option<Finalizers>, CallError> {
    let live = match Call::get(path).accept(METADATA_ONLY).send(client, &Identity::Controller).await {
        Ok(live) => live,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let names = live.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    let names = names.filter_map(Value::as_str).map(str::to_owned).collect();
    let [uid, version] = ["/metadata/uid", "/metadata/resourceVersion"].map(|pointer| text(&live, pointer));
    Ok(Some(Finalizers { uid, version, names }))
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
