//! The part of the fake of Azure Key Vault that keeps secrets.
//!
//! Source: the REST reference of Key Vault 7.4 (`get secret`), and its page on error codes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::StatusCode;
use serde_json::json;

use super::Answer;
use super::key_vault::refusal;
use crate::tls_server::lock;

/// Secrets by their names, each with its versions, the oldest first.
#[derive(Default)]
pub(super) struct VaultSecrets(Mutex<BTreeMap<String, Vec<Secret>>>);

struct Secret {
    version: String,
    value: String,
    is_enabled: bool,
}

impl VaultSecrets {
    /// Adds a version.
    pub(super) fn add(&self, name: &str, version: String, value: &str) {
        let secret = Secret { version, value: value.to_owned(), is_enabled: true };
        lock(&self.0).entry(name.to_owned()).or_default().push(secret);
    }

    /// Disables or enables a version.
    pub(super) fn enable(&self, name: &str, version: &str, is_enabled: bool) {
        let mut all = lock(&self.0);
        for secret in all.get_mut(name).into_iter().flatten().filter(|secret| secret.version == version) {
            secret.is_enabled = is_enabled;
        }
    }

    /// Answers who asks for a version, or for the newest if it is empty.
    pub(super) fn answer(&self, host: &str, name: &str, version: &str) -> Answer {
        let all = lock(&self.0);
        let wanted = |one: &&Secret| version.is_empty() || one.version == version;
        let found = all.get(name).and_then(|versions| versions.iter().rev().find(wanted));
        match found {
            None => {
                let message = format!("A secret with (name/id) {name} was not found in this key vault.");
                refusal(404, "SecretNotFound", &message, None)
            }
            Some(secret) if !secret.is_enabled => {
                refusal(403, "Forbidden", "Operation get is not allowed on a disabled secret.", Some("SecretDisabled"))
            }
            Some(Secret { version, value, .. }) => {
                let attributes = json!({
                    "enabled": true, "created": 1_700_000_000, "updated": 1_700_000_000, "recoveryLevel": "Recoverable",
                });
                let id = format!("https://{host}/secrets/{name}/{version}");
                super::json(StatusCode::OK, &json!({"value": value, "id": id, "attributes": attributes}))
            }
        }
    }
}
