//! The installation's salt: the key of handles for values that aren't ciphertext.
//!
//! It must stay the same over restarts, or every object with such a value would look changed; so it lives in a Secret.

use kube::Client;
use serde_json::json;
use waxwing_formats::{Salt, SecretBytes};

use super::SealingError;
use super::patience::patiently;
use crate::cluster::secrets::NewSecret;
use crate::cluster::{Fence, Identity, secrets};

const NAME: &str = "waxwing-installation";
const KEY: &str = "handle-salt";

/// Reads the salt, and makes it at the first start if `fence` lets it. While the API server is away, and while there is none and this
/// controller may not make one, it waits.
///
/// # Errors
///
/// See [`SealingError`].
pub async fn installation_salt(client: &Client, namespace: &str, fence: &Fence) -> Result<Salt, SealingError> {
    patiently(async || read_or_create(client, namespace, fence).await).await
}

async fn read_or_create(client: &Client, namespace: &str, fence: &Fence) -> Result<Salt, SealingError> {
    if let Some(salt) = read(client, namespace).await? {
        return Ok(salt);
    }
    if !fence.lets_through() {
        return Err(SealingError::Awaited);
    }
    let create = |source| SealingError::Create { namespace: namespace.to_owned(), source };
    match secrets::create(client, namespace, new_secret(namespace)).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(409) => {}
        Err(error) => return Err(create(error)),
    }
    read(client, namespace).await?.ok_or(SealingError::Salt { namespace: namespace.to_owned(), name: NAME, key: KEY })
}

async fn read(client: &Client, namespace: &str) -> Result<Option<Salt>, SealingError> {
    let secret = match secrets::read(client, &Identity::Controller, namespace, NAME).await {
        Ok(secret) => secret,
        Err(secrets::SecretError::Call { source, .. }) if source.is_not_found() => return Ok(None),
        Err(error) => return Err(SealingError::Read(error)),
    };
    let bytes = secret.data.get(KEY).and_then(|value| value.expose_secret().try_into().ok());
    let damaged = || SealingError::Salt { namespace: namespace.to_owned(), name: NAME, key: KEY };
    bytes.map(|bytes| Some(Salt::new(bytes))).ok_or_else(damaged)
}

#[expect(clippy::expect_used, reason = "without random numbers nothing here can go on")]
fn new_secret(namespace: &str) -> NewSecret {
    let mut salt = vec![0; 32];
    aws_lc_rs::rand::fill(&mut salt).expect("the operating system's random numbers never end");
    let metadata = json!({"name": NAME, "namespace": namespace});
    let skeleton = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"});
    NewSecret { skeleton, key: KEY, value: SecretBytes::new(salt) }
}
