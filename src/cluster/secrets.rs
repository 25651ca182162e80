//! Reading Kubernetes Secrets that a resource names: keys, credentials.
//!
//! By GET, as the identity that the resource acts as, into buffers that are wiped; never a list, watch or cache.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde_json::{Map, Value};
use waxwing_formats::SecretBytes;
use waxwing_plan::{GroupKind, ObjectId};

use super::call::{Call, CallError, METADATA_LIST, METADATA_ONLY, Privacy};
use super::identity::Identity;
use super::requests::{Binding, Encoding, Request};

/// A Secret that was read. Not `Debug`.
pub struct Secret {
    /// The values.
    pub data: BTreeMap<String, SecretBytes>,
    /// Its uid and resourceVersion: another one once it has other values.
    pub version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// Why a Secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The name can't be one of a Secret.
    #[error("{name:?} is not the name of a Secret")]
    Name {
        /// The name.
        name: String,
    },
    /// The API server refused or didn't answer.
    #[error("failed to read Secret {namespace}/{name}")]
    Call {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// What the API server said.
        source: CallError,
    },
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow)]
    data: BTreeMap<String, std::borrow::Cow<'a, str>>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    resource_version: String,
    creation_timestamp: Option<Timestamp>,
}

/// Reads one Secret as `identity`.
///
/// # Errors
///
/// See [`SecretError`]; a missing Secret is a refusal with code 404.
pub async fn read(client: &Client, identity: &Identity, namespace: &str, name: &str) -> Result<Secret, SecretError> {
    let path = path(namespace, name).ok_or_else(|| SecretError::Name { name: name.to_owned() })?;
    let call = |source| SecretError::Call { namespace: namespace.to_owned(), name: name.to_owned(), source };
    let bytes = Call::get(&path).privacy(Privacy::Secret).send_raw(client, identity).await.map_err(call)?;
    let malformed = || call(CallError::Malformed { path: path.clone() });
    let wire: Wire<'_> = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    let mut data = BTreeMap::new();
    for (key, value) in &wire.data {
        let decoded = STANDARD.decode(value.as_bytes()).map_err(|_| malformed())?;
        data.insert(key.clone(), SecretBytes::new(decoded));
    }
    let version = format!("{} {}", wire.metadata.uid, wire.metadata.resource_version);
    Ok(Secret { data, version, created: wire.metadata.creation_timestamp })
}

/// Returns the uid and resourceVersion of one Secret, read as `identity`, without its values.
///
/// # Errors
///
/// As [`read`].
pub async fn version(client: &Client, identity: &Identity, namespace: &str, name: &str) -> Result<String, SecretError> {
    let path = path(namespace, name).ok_or_else(|| SecretError::Name { name: name.to_owned() })?;
    let call = |source| SecretError::Call { namespace: namespace.to_owned(), name: name.to_owned(), source };
    let asked = Call::get(&path).accept(METADATA_ONLY).privacy(Privacy::Secret);
    let answer = asked.send(client, identity).await.map_err(call)?;
    let field = |field: &str| answer.pointer(field).and_then(Value::as_str).unwrap_or_default();
    Ok(format!("{} {}", field("/metadata/uid"), field("/metadata/resourceVersion")))
}

fn path(namespace: &str, name: &str) -> Option<String> {
    // The rules for names of ServiceAccounts and Secrets are the same (RFC 1123 subdomain).
    super::identity::ServiceAccount::new(namespace, name).ok()?;
    Some(format!("/api/v1/namespaces/{namespace}/secrets/{name}"))
}

/// Returns the names of the Secrets in `namespace` that `selector` selects, read as metadata by the controller.
///
/// # Errors
///
/// Fails as the request does.
pub async fn names(client: &Client, namespace: &str, selector: &str) -> Result<Vec<String>, CallError> {
    let selector = percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/api/v1/namespaces/{namespace}/secrets?labelSelector={selector}");
    let list = Call::get(&path).accept(METADATA_LIST).send(client, &Identity::Controller).await?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.filter_map(|item| item.pointer("/metadata/name")?.as_str()).map(str::to_owned).collect())
}

/// A Secret of this installation that doesn't exist yet. Not `Debug`.
pub struct NewSecret {
    /// The Secret without the value.
    pub skeleton: Value,
    /// The key under which the value stands.
    pub key: &'static str,
    /// The value.
    pub value: SecretBytes,
}

/// Creates a Secret of this installation as the controller, and returns its name.
///
/// # Errors
///
/// Fails as the request does; 409 when there is one of that name.
pub async fn create(client: &Client, namespace: &str, secret: NewSecret) -> Result<String, CallError> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    let body = body(secret).ok_or_else(|| CallError::malformed(&path))?;
    let call = Call::post(&path, body).accept(METADATA_ONLY).privacy(Privacy::Secret);
    let answer = call.send(client, &Identity::Controller).await?;
    let name = answer.pointer("/metadata/name").and_then(Value::as_str);
    name.map(str::to_owned).ok_or(CallError::Malformed { path })
}

/// Writes the body in the one way in which bodies with secrets are written.
fn body(secret: NewSecret) -> Option<Bytes> {
    let NewSecret { mut skeleton, key, value } = secret;
    let data = skeleton.as_object_mut()?.entry("data").or_insert_with(|| Value::Object(Map::new()));
    data.as_object_mut()?.insert(key.to_owned(), Value::Null);
    let pointer = format!("/data/{key}");
    let binding = Binding { pointer, value, encoding: Encoding::Base64, provenance: Vec::new() };
    let id = ObjectId { kind: GroupKind::new("", "Secret"), namespace: None, name: String::new() };
    Request::new(id, "v1".to_owned(), skeleton, vec![binding]).body().ok()
}
