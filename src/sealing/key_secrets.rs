//! Sealing keys as Kubernetes Secrets, in the form of the Sealed Secrets controller.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use waxwing_formats::sealed_secret::Fingerprint;
use waxwing_keys::{Keyring, SealingKey};

use super::settings::{KeyOrder, KeySettings, NewKey};
use super::{KeyPlace, SealingError};
use crate::cluster::secrets::NewSecret;
use crate::cluster::{Identity, secrets};

/// Selects the key Secrets that are in use.
pub(super) const ACTIVE: &str = "sealedsecrets.bitnami.com/sealed-secrets-key=active";
/// The same as a label.
const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";

/// The keys that were found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) ring: Keyring,
    /// The Secret of each.
    pub(super) names: HashMap<Fingerprint, String>,
}

/// Reads all key Secrets that carry the label, and the one named exactly like the prefix (upstream's oldest form).
pub(super) async fn load(client: &Client, settings: &KeySettings) -> Result<Found, SealingError> {
    let place = &settings.place;
    let list = |source| SealingError::List { namespace: place.namespace.clone(), source };
    let mut names = secrets::names(client, &place.namespace, ACTIVE).await.map_err(list)?;
    if !names.contains(&place.prefix) {
        names.push(place.prefix.clone());
    }
    let (mut keys, mut names_of_keys) = (Vec::new(), HashMap::new());
    for name in names {
        let Some((since, key)) = read(client, place, settings.order, &name).await? else { continue };
        names_of_keys.insert(key.fingerprint().clone(), name);
        keys.push((since, key));
    }
    Ok(Found { ring: Keyring::ordered(keys), names: names_of_keys })
}

/// Reads one key Secret, and since when it counts; none when it is gone or malformed.
async fn read(
    client: &Client,
    place: &KeyPlace,
    order: KeyOrder,
    name: &str,
) -> Result<Option<(Timestamp, SealingKey)>, SealingError> {
    let secret = match secrets::read(client, &Identity::Controller, &place.namespace, name).await {
        Ok(secret) => secret,
        Err(secrets::SecretError::Call { source, .. }) if source.is_not_found() => return Ok(None),
        Err(error) => return Err(SealingError::Read(error)),
    };
    let (Some(key), Some(certificate)) = (secret.data.get("tls.key"), secret.data.get("tls.crt")) else {
        tracing::warn!(secret = name, "skipped a sealing key without tls.key and tls.crt");
        return Ok(None);
    };
    match SealingKey::from_pem(key, certificate.expose_secret()) {
        Ok(key) => {
            let created = secret.created.filter(|_| order == KeyOrder::SecretCreationTimestamp);
            Ok(Some((created.unwrap_or_else(|| key.not_before()), key)))
        }
        Err(error) => {
            tracing::warn!(secret = name, %error, "skipped a malformed sealing key");
            Ok(None)
        }
    }
}

/// Makes a key and stores it.
pub(super) async fn create(client: &Client, settings: &KeySettings) -> Result<(), SealingError> {
    let (place, new) = (&settings.place, settings.new.clone());
    let generate = move || SealingKey::generate(Timestamp::now(), new.validity, &new.common_name, new.bits);
    let made = tokio::task::spawn_blocking(generate).await;
    let key = match made {
        Ok(key) => key.map_err(SealingError::Generate)?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let create = |source| SealingError::Create { namespace: place.namespace.clone(), source };
    let secret = NewSecret {
        skeleton: skeleton(place, &settings.new, &key.tls_crt_pem),
        key: "tls.key",
        value: key.tls_key_pem,
    };
    let name = secrets::create(client, &place.namespace, secret).await.map_err(create)?;
    tracing::info!(secret = name, "made a new sealing key");
    Ok(())
}

/// The Secret of a key but for the key itself.
fn skeleton(place: &KeyPlace, new: &NewKey, certificate: &str) -> Value {
    let mut labels = new.labels.clone();
    labels.insert(LABEL.to_owned(), "active".to_owned());
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "generateName": place.prefix,
            "namespace": place.namespace,
            "labels": labels,
            "annotations": new.annotations,
        },
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": STANDARD.encode(certificate)},
    })
}
