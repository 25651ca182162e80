//! The Secrets in which the controller has its sealing keys, read and written with the user's own rights.
//!
//! Source: `pkg/controller/keys.go` of sealed-secrets 0.40: TLS Secrets with a label in the controller's namespace, and one of a fixed
//! name without. The API has no way to ask for certificates alone, so whoever may list keys has the private halves in memory here; they
//! are never shown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use waxwing_formats::sealed_secret::{Certificate, CertificateError};
use waxwing_formats::{SecretBytes, is_copy_of_the_object};
use waxwing_keys::{KeyError, SealingKey, UnsealingKey};

use crate::cluster::{Ask, ClusterError, Connection};

pub(crate) const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
/// A key with this label opens; one with any other does not.
pub(crate) const ACTIVE: &str = "active";
/// What the Sealed Secrets project relabels a key to that shall open nothing any more.
pub(crate) const COMPROMISED: &str = "compromised";
/// The name of a key from before there was the label, which counts without it.
pub(crate) const LEGACY: &str = "sealed-secrets-key";
const PAGE: usize = 100;

/// The Secret of a sealing key. Not `Debug`.
pub(crate) struct KeySecret {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) created: Option<Timestamp>,
    pub(crate) labels: Map<String, Value>,
    pub(crate) annotations: Map<String, Value>,
    pub(crate) type_: String,
    pub(crate) immutable: Option<bool>,
    pub(crate) data: BTreeMap<String, SecretBytes>,
}

/// Why a Secret holds no sealing key. None of it quotes the Secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySecretError {
    /// It is no Secret, or not a well-formed one.
    #[error("it is no well-formed Secret")]
    Malformed,
    /// A part is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// The key and the certificate are none, or don't belong together.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate can't be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

#[derive(Deserialize)]
struct WireList<'a> {
    #[serde(default)]
    metadata: WireListMetadata,
    #[serde(borrow, default)]
    items: Vec<Wire<'a>>,
}

#[derive(Default, Deserialize)]
struct WireListMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow)]
    data: BTreeMap<String, Cow<'a, str>>,
    #[serde(default)]
    metadata: WireMetadata,
    #[serde(default, rename = "type")]
    type_: String,
    immutable: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireMetadata {
    name: String,
    uid: String,
    creation_timestamp: Option<Timestamp>,
    labels: Option<Map<String, Value>>,
    annotations: Option<Map<String, Value>>,
}

impl TryFrom<Wire<'_>> for KeySecret {
    type Error = KeySecretError;

    fn try_from(wire: Wire<'_>) -> Result<Self, KeySecretError> {
        let decoded = |(key, value): (&String, &Cow<'_, str>)| {
            let value = waxwing_formats::sealed_secret::decode_base64(value).ok_or(KeySecretError::Malformed)?;
            Ok((key.clone(), SecretBytes::new(value)))
        };
        let data = wire.data.iter().map(decoded).collect::<Result<_, KeySecretError>>()?;
        let WireMetadata { name, uid, creation_timestamp, labels, annotations } = wire.metadata;
        let mut annotations = annotations.unwrap_or_default();
        annotations.retain(|name, _| !is_copy_of_the_object(name));
        Ok(Self {
            name,
            uid,
            created: creation_timestamp,
            labels: labels.unwrap_or_default(),
            annotations,
            type_: wire.type_,
            immutable: wire.immutable,
            data,
        })
    }
}

impl KeySecret {
    /// Reads one from a manifest of any origin.
    pub(crate) fn from_manifest(manifest: &Value) -> Result<Self, KeySecretError> {
        let is_secret = manifest.get("kind").and_then(Value::as_str) == Some("Secret");
        let wire = Wire::deserialize(manifest).ok().filter(|wire| is_secret && !wire.metadata.name.is_empty());
        wire.ok_or(KeySecretError::Malformed)?.try_into()
    }

    /// Returns what its label says, if it has one.
    pub(crate) fn label(&self) -> Option<&str> {
        self.labels.get(LABEL).and_then(Value::as_str)
    }

    /// Tells whether the controller opens with it.
    pub(crate) fn is_active(&self) -> bool {
        self.label() == Some(ACTIVE) || self.name == LEGACY
    }

    /// Returns the certificate.
    pub(crate) fn certificate(&self) -> Result<Certificate, KeySecretError> {
        let text = self.data.get("tls.crt").ok_or(KeySecretError::Missing("tls.crt"))?;
        Ok(Certificate::from_pem(text.expose_secret())?)
    }

    /// Returns the fingerprint of the key, after a check that the certificate belongs to it.
    pub(crate) fn checked(&self) -> Result<String, KeySecretError> {
        let (key, certificate) = (self.private()?, self.data.get("tls.crt"));
        let certificate = certificate.ok_or(KeySecretError::Missing("tls.crt"))?;
        Ok(SealingKey::from_pem(key, certificate.expose_secret())?.fingerprint().to_string())
    }

    /// Returns the key, to open with it.
    pub(crate) fn key(&self) -> Result<UnsealingKey, KeySecretError> {
        Ok(UnsealingKey::from_pem(self.private()?)?)
    }

    fn private(&self) -> Result<&SecretBytes, KeySecretError> {
        self.data.get("tls.key").ok_or(KeySecretError::Missing("tls.key"))
    }

    /// Writes it as a manifest in JSON for a namespace, with all that belongs to the key and nothing that belongs to the cluster.
    pub(crate) fn manifest(&self, namespace: &str) -> Vec<u8> {
        let Self { name, labels, annotations, type_, immutable, data, .. } = self;
        let mut metadata = json!({"name": name, "namespace": namespace, "labels": labels});
        if let (Some(fields), false) = (metadata.as_object_mut(), annotations.is_empty()) {
            fields.insert("annotations".to_owned(), Value::Object(annotations.clone()));
        }
        let (metadata, type_) = (metadata.to_string(), Value::from(type_.as_str()).to_string());
        let immutable = immutable.map(|immutable| format!(",\"immutable\":{immutable}")).unwrap_or_default();
        let values: Vec<_> = data
            .iter()
            .map(|(key, value)| {
                // It leaves here for a file of the user's, sealed or not as he said, or for the API server.
                let value = zeroize::Zeroizing::new(STANDARD.encode(value.expose_secret()));
                zeroize::Zeroizing::new(format!("{}:\"{}\"", Value::from(key.as_str()), &*value))
            })
            .collect();
        let values = zeroize::Zeroizing::new(values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(","));
        format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{metadata},\"type\":{type_}{immutable},\"data\":{{{}}}}}",
            &*values
        )
        .into_bytes()
    }
}

/// The Secrets of all keys.
pub(crate) struct KeySecrets(pub(crate) Vec<KeySecret>);

impl KeySecrets {
    /// Reads them, newest first: by their certificates, as the controller orders them, then by age.
    ///
    /// # Errors
    /// Fails as the requests do.
    pub(crate) fn read(connection: &Connection) -> Result<Self, ClusterError> {
        let namespace = &connection.namespace;
        let what = format!("failed to list the sealing keys in namespace {namespace}");
        let malformed = || ClusterError::Request("the answer is no list of Secrets".to_owned());
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let label = super::escaped(LABEL);
            let path = format!("/api/v1/namespaces/{namespace}/secrets?labelSelector={label}&limit={PAGE}{next}");
            let answer = connection.must(&Ask::get(path), &what)?;
            let list: WireList<'_> = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
            for item in list.items {
                found.push(KeySecret::try_from(item).map_err(|_| malformed())?);
            }
            match list.metadata.next.as_str() {
                "" => break,
                token => next = format!("&continue={}", super::escaped(token)),
            }
        }
        if found.iter().all(|secret| secret.name != LEGACY) {
            found.extend(Self::one(connection, LEGACY)?);
        }
        let since = |secret: &KeySecret| secret.certificate().ok().map(|certificate| certificate.not_before);
        found.sort_by_key(|secret| std::cmp::Reverse((since(secret), secret.created)));
        Ok(Self(found))
    }

    /// Reads the Secret of a name, if there is one.
    pub(crate) fn one(connection: &Connection, name: &str) -> Result<Option<KeySecret>, ClusterError> {
        let path = path(connection, name);
        let answer = connection.ask(&Ask::get(path))?;
        if answer.code == 404 {
            return Ok(None);
        }
        let what = format!("failed to read Secret {}/{name}", connection.namespace);
        if !answer.is_good() {
            return Err(ClusterError::Denied { what, code: answer.code, reason: answer.reason() });
        }
        let secret = serde_json::from_slice::<Wire<'_>>(&answer.body).ok().and_then(|wire| wire.try_into().ok());
        secret.map(Some).ok_or_else(|| ClusterError::Request("the answer is no Secret".to_owned()))
    }

    /// Finds a key by the name of its Secret or by its fingerprint.
    pub(crate) fn find(&self, key: &str) -> Option<&KeySecret> {
        let is_it = |secret: &&KeySecret| {
            secret.name == key
                || secret.certificate().is_ok_and(|certificate| certificate.public_key.fingerprint().as_str() == key)
        };
        self.0.iter().find(is_it)
    }
}

impl KeySecret {
    /// Creates it in the controller's namespace.
    pub(crate) fn create(&self, connection: &Connection) -> Result<(), ClusterError> {
        let namespace = &connection.namespace;
        let ask = Ask::post(format!("/api/v1/namespaces/{namespace}/secrets"), self.manifest(namespace));
        connection.must(&ask, &format!("failed to create Secret {namespace}/{}", self.name)).map(drop)
    }

    /// Takes the key out of use: from then on it opens nothing.
    pub(crate) fn relabel(&self, connection: &Connection) -> Result<(), ClusterError> {
        let patch = json!({"metadata": {"uid": self.uid, "labels": {LABEL: COMPROMISED}}});
        let what = format!("failed to relabel Secret {}/{}", connection.namespace, self.name);
        connection.must(&Ask::merge(path(connection, &self.name), &patch), &what).map(drop)
    }

    /// Deletes the key.
    pub(crate) fn delete(&self, connection: &Connection) -> Result<(), ClusterError> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": self.uid}});
        let what = format!("failed to delete Secret {}/{}", connection.namespace, self.name);
        connection.must(&Ask::delete(path(connection, &self.name), &options), &what).map(drop)
    }
}

fn path(connection: &Connection, name: &str) -> String {
    format!("/api/v1/namespaces/{}/secrets/{}", connection.namespace, super::escaped(name))
}
